"""Market policies as text for managers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from governance.core.channels import CHANNELS
from governance.core.hooks import Moves
from governance.core.hours import DAYS, hours_in_words, listed
from governance.market.rules import PER_7_DAYS, PER_DAY, ContactRules, read_rules


def channels_in_words(channels: Iterable[str]) -> str:
    return listed(CHANNELS[channel].plural for channel in channels)


def week_in_words(rules: ContactRules) -> str:
    """Return the contact hours, days with the same hours together; empty without any."""
    return hours_in_words([rules.hours_of(day) for day in DAYS])


def in_words(rules: ContactRules, *, enabled: bool, zone: str) -> list[str]:
    """Return sentences that say when, how and whom a policy lets us contact."""
    if not enabled:
        return [_("Off: nobody is contacted here, and ALL does not apply instead.")]
    hours = week_in_words(rules)
    if not rules.channels or not hours:
        return [
            _("Nobody is ever contacted here: no channel is on.")
            if hours
            else _("Nobody is ever contacted here: no hours are given.")
        ]
    clock = (
        _("in %(zone)s time") % {"zone": zone.rpartition("/")[2].replace("_", " ")}
        if zone
        else _("local time")
    )
    holidays = _("not on holidays") if rules.skip_holidays else _("on holidays too")
    said = [capfirst(f"{channels_in_words(rules.channels)}, {hours}, {clock}, {holidays}.")]
    if rules.min_score > 0:
        places = max(2, -int(rules.min_score.normalize().as_tuple().exponent))
        score = number_format(rules.min_score, places)
        said.append(_("Only leads that score %(score)s or more, or have no score yet.") % {"score": score})
    said.append(
        _("At most %(day)s contacts a day and %(week)s in 7 days per number or address: our own rule.")
        % {"day": rules.per_day, "week": rules.per_7_days}
    )
    consent = [channel for channel in rules.consent_channels if channel in rules.channels]
    if consent:
        said.append(
            _("A consent on record is needed for %(channels)s.") % {"channels": channels_in_words(consent)}
        )
    return said


def change_in_words(changes: Mapping[str, Any]) -> list[str]:
    """Return the values that a scheduled change sets, as short texts."""
    said = []
    if "enabled" in changes:
        said.append(_("switched on") if changes["enabled"] else _("switched off"))
    if "timezone" in changes:
        zone = changes["timezone"]
        said.append(
            _("in %(zone)s time") % {"zone": zone.rpartition("/")[2].replace("_", " ")}
            if zone
            else _("local time")
        )
    rules = changes.get("rules", {})
    # without the caps: alone, one may exceed the other's default
    known = read_rules({name: value for name, value in rules.items() if name not in (PER_DAY, PER_7_DAYS)})
    told = {
        "contact_windows_local": lambda: _("hours: %(hours)s") % {"hours": week_in_words(known) or _("none")},
        "channels_allowed": lambda: (
            _("channels: %(channels)s") % {"channels": channels_in_words(known.channels) or _("none")}
        ),
        "consent_required_channels": lambda: (
            _("consent needed for: %(channels)s")
            % {"channels": channels_in_words(known.consent_channels) or _("none")}
        ),
        "min_lead_score_to_contact": lambda: (
            _("minimum score: %(score)s") % {"score": number_format(known.min_score.normalize())}
        ),
        "skip_holidays": lambda: _("not on holidays") if known.skip_holidays else _("on holidays too"),
        PER_DAY: lambda: _("contacts a day: %(most)s") % {"most": rules[PER_DAY]},
        PER_7_DAYS: lambda: _("contacts in 7 days: %(most)s") % {"most": rules[PER_7_DAYS]},
    }
    said += [told[name]() for name in told if name in rules]
    return said or [_("a policy of its own")]


def start_in_words(at: datetime, zone: str) -> str:
    """Return when a change takes effect, in the time zone."""
    moment = date_format(at.astimezone(ZoneInfo(zone)), "DATETIME_FORMAT")
    return _("%(moment)s (%(zone)s)") % {"moment": moment, "zone": zone.rpartition("/")[2].replace("_", " ")}


def moves_in_words(moves: Moves, zone: str) -> list[str]:
    """Return sentences on what a change would do to open tasks, in the time zone."""
    counted = [
        ngettext("%(count)s is rescheduled", "%(count)s are rescheduled", moves.moved)
        % {"count": moves.moved},
        ngettext("%(count)s is blocked", "%(count)s are blocked", moves.held) % {"count": moves.held},
        ngettext("%(count)s is unblocked", "%(count)s are unblocked", moves.returned)
        % {"count": moves.returned},
    ]
    looked = ngettext(
        "Of %(count)s open task that is due later:",
        "Of %(count)s open tasks that are due later:",
        moves.looked_at,
    ) % {"count": moves.looked_at}
    if not (moves.moved or moves.held or moves.returned):
        said = [
            ngettext(
                "Nothing moves: %(count)s open task that is due later keeps its time.",
                "Nothing moves: %(count)s open tasks that are due later keep their times.",
                moves.looked_at,
            )
            % {"count": moves.looked_at}
        ]
    else:
        said = [f"{looked} {listed(counted)}."]
    if moves.first_at is not None:
        # Translators: letters of Django's filter "date"; French has months in small letters: D j b, H:i T
        at = date_format(timezone.localtime(moves.first_at, ZoneInfo(zone)), _("D j M, H:i T"))
        said.append(_("The first time that changes is %(at)s.") % {"at": at})
    if not moves.complete:
        said.append(
            _("There are more tasks than could be checked in a few seconds: these are only some of them.")
        )
    return said

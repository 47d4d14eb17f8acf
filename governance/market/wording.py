"""What a market policy means, said as a manager would say it."""

from __future__ import annotations

from collections.abc import Iterable
from zoneinfo import ZoneInfo

from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from governance.hooks import Moves
from governance.hours import DAYS, hours_in_words, listed
from governance.market.rules import ContactRules

CHANNEL_NAMES = {
    "SMS": gettext_lazy("text messages"),
    "CALL": gettext_lazy("calls"),
    "EMAIL": gettext_lazy("e-mail"),
}


def channels_in_words(channels: Iterable[str]) -> str:
    return listed(CHANNEL_NAMES[channel] for channel in channels)


def week_in_words(rules: ContactRules) -> str:
    """Return the contact hours, days with the same hours together; empty where there are none."""
    return hours_in_words([rules.hours_of(day) for day in DAYS])


def in_words(rules: ContactRules, *, enabled: bool, zone: str) -> list[str]:
    """Return the sentences that say when, how and whom a policy lets us contact."""
    if not enabled:
        return [_("Switched off: nobody is contacted here, and ALL does not step in.")]
    hours = week_in_words(rules)
    if not rules.channels or not hours:
        return [
            _("Nobody is ever contacted here: no channel is on.")
            if hours
            else _("Nobody is ever contacted here: no hours are given.")
        ]
    clock = (
        _("by the clock of %(zone)s") % {"zone": zone.rpartition("/")[2].replace("_", " ")}
        if zone
        else _("local time")
    )
    holidays = _("not on holidays") if rules.skip_holidays else _("on holidays too")
    said = [capfirst(f"{channels_in_words(rules.channels)}, {hours}, {clock}, {holidays}.")]
    if rules.min_score > 0:
        places = max(2, -int(rules.min_score.normalize().as_tuple().exponent))
        score = number_format(rules.min_score, places)
        said.append(_("Only leads that score %(score)s or more, or have no score yet.") % {"score": score})
    consent = [channel for channel in rules.consent_channels if channel in rules.channels]
    if consent:
        said.append(
            _("A consent on record is needed for %(channels)s.") % {"channels": channels_in_words(consent)}
        )
    return said


def moves_in_words(moves: Moves, zone: str) -> list[str]:
    """Return in sentences what a change would do to open tasks, on the zone's clock."""
    counted = [
        ngettext("%(count)s gets another time", "%(count)s get another time", moves.moved)
        % {"count": moves.moved},
        ngettext("%(count)s is held", "%(count)s are held", moves.held) % {"count": moves.held},
        ngettext("%(count)s comes back", "%(count)s come back", moves.returned) % {"count": moves.returned},
    ]
    looked = ngettext(
        "Of %(count)s open task that is due later:", "Of %(count)s open tasks that are due later:",
        moves.looked_at,
    ) % {"count": moves.looked_at}  # fmt: skip
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
        said.append(_("There are more tasks than could be looked at in a few seconds: these are a part."))
    return said

"""What a market policy means, said as a manager would say it."""

from __future__ import annotations

from collections.abc import Iterable
from zoneinfo import ZoneInfo

from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.text import capfirst, get_text_list
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from governance.hooks import Moves
from governance.hours import DAY_NAMES, DAYS, write_clock
from governance.market.rules import ContactRules

CHANNEL_NAMES = {
    "SMS": gettext_lazy("text messages"),
    "CALL": gettext_lazy("calls"),
    "EMAIL": gettext_lazy("e-mail"),
}


def listed(words: Iterable[object]) -> str:
    """Return words as a sentence lists them: the last one after “and”."""
    return get_text_list([str(word) for word in words], _("and"))


def channels_in_words(channels: Iterable[str]) -> str:
    return listed(CHANNEL_NAMES[channel] for channel in channels)


def week_in_words(rules: ContactRules) -> str:
    """Return the contact hours, days with the same hours together; empty where there are none."""
    runs: list[tuple[int, int, tuple[tuple[int, int], ...]]] = []
    for day in DAYS:
        hours = rules.hours_of(day)
        if runs and runs[-1][1] == day - 1 and runs[-1][2] == hours:
            runs[-1] = (runs[-1][0], day, hours)
        else:
            runs.append((day, day, hours))
    return ", ".join(_run(*run) for run in runs if run[2])


def _run(first: int, last: int, hours: tuple[tuple[int, int], ...]) -> str:
    names = {"first": DAY_NAMES[first], "last": DAY_NAMES[last]}
    days = str(DAY_NAMES[first]) if first == last else _("%(first)s to %(last)s") % names
    spans = [
        _("%(start)s to %(end)s") % {"start": write_clock(start), "end": write_clock(end)}
        for start, end in hours
    ]
    return f"{days} {listed(spans)}"


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

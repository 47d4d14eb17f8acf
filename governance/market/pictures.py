"""A week's hours as a picture: the policy's hours, with legal hours shaded behind."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from governance.accounts.services import DEFAULT_ZONE
from governance.core import hooks
from governance.core.channels import CHANNELS
from governance.core.hooks import LawsWeek
from governance.core.hours import DAY_MINUTES, DAY_NAMES, DAYS, write_day
from governance.market.rules import ContactRules
from governance.market.wording import week_in_words

Spans = Sequence[tuple[int, int]]
Week = Sequence[Spans]
ROW = 6  # height of a day in the small picture, of which 4 are drawn


def laws_of(provinces: Sequence[str], at: datetime) -> dict[str, Sequence[LawsWeek]]:
    """Return the legal hours of a week, by province."""
    return dict(hooks.laws_week.first(provinces, at.astimezone(ZoneInfo(DEFAULT_ZONE)).date()) or {})


def closed_by_law(laws: Sequence[LawsWeek], day: int) -> list[tuple[int, int]]:
    """Return the minutes of a weekday in which the law forbids some channel, as spans."""
    edges = sorted({0, DAY_MINUTES, *(edge for law in laws for span in law.days[day] for edge in span)})
    found: list[tuple[int, int]] = []
    for start, end in zip(edges, edges[1:], strict=False):
        if any(not any(a <= start and end <= b for a, b in law.days[day]) for law in laws):
            if found and found[-1][1] == start:
                found[-1] = (found[-1][0], end)
            else:
                found.append((start, end))
    return found


def _bars(spans: Spans) -> list[dict[str, int]]:
    return [{"x": start, "width": end - start} for start, end in spans]


def day_line(spans: Spans, laws: Sequence[LawsWeek], day: int) -> SafeString:
    """Draw one day on a 24-hour scale."""
    context = {
        "open": _bars(spans),
        "law": _bars(closed_by_law(laws, day)),
        "says": write_day(spans),
        "day": DAY_NAMES[day],
    }
    return render_to_string("admin/governance/marketpolicy/day_line.html", context)


def small_week(rules: ContactRules, laws: Sequence[LawsWeek], *, enabled: bool) -> SafeString:
    """Draw seven days below each other, as large as a stamp."""
    days = [
        {
            "y": day * ROW,
            "open": _bars(rules.hours_of(day) if enabled else ()),
            "law": _bars(closed_by_law(laws, day)),
        }
        for day in DAYS
    ]
    context = {"days": days, "says": week_in_words(rules), "enabled": enabled}
    return render_to_string("admin/governance/marketpolicy/small_week.html", context)


def legend(laws: Sequence[LawsWeek]) -> list[dict[str, object]]:
    """Return the name and citation of each channel with legal hours."""
    return [
        {"channel": CHANNELS[law.channel].plural, "citation": "; ".join(filter(None, law.citations))}
        for law in laws
    ]

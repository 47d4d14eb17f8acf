"""Weekly local hours: read from JSON, compared, intersected. Used by policies, legal hours and shifts.

Minutes are counted from local midnight, 0 to 1440; days are 0 = Monday to 6 = Sunday.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.text import get_text_list
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

DAY_MINUTES = 1440
DAYS = range(7)
DAY_NAMES = (
    gettext_lazy("Monday"),
    gettext_lazy("Tuesday"),
    gettext_lazy("Wednesday"),
    gettext_lazy("Thursday"),
    gettext_lazy("Friday"),
    gettext_lazy("Saturday"),
    gettext_lazy("Sunday"),
)


@dataclass(frozen=True, slots=True)
class Window:
    """Weekly hours: half-open, with `start` minutes included and `end` excluded."""

    days: tuple[int, ...]
    start: int
    end: int

    def as_json(self) -> dict[str, Any]:
        return {"days": list(self.days), "start": write_clock(self.start), "end": write_clock(self.end)}

    def __str__(self) -> str:
        return f"{write_clock(self.start)}–{write_clock(self.end)}"


def write_clock(minutes: int) -> str:
    """Return minutes from midnight as HH:MM; 1440 is 24:00."""
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def read_clock(text: object, *, may_be_24: bool = False) -> int:
    """Return HH:MM as minutes from midnight. Raises ValueError for anything else."""
    found = re.fullmatch(r"([0-2][0-9]):([0-5][0-9])", text) if isinstance(text, str) else None
    if found is None:
        raise ValueError(text)
    minutes = int(found[1]) * 60 + int(found[2])
    if minutes > DAY_MINUTES or (minutes == DAY_MINUTES and not may_be_24):
        raise ValueError(text)
    return minutes


_TIME = r"(\d{1,2})(?:\s?[:.h]\s?([0-5]\d)?)?\s?([ap])?(?:\.?m\.?)?"
_TYPED = re.compile(rf"{_TIME}\s?(?:-|–|—|to|à)\s?{_TIME}", re.ASCII)
MOST_TYPED = 200  # characters of a day's hours


def read_day(text: str) -> tuple[tuple[int, int], ...]:
    """Return a day's hours from what a person types, such as `9-12, 13:30–20:00` or `9 h à 20 h`.

    They are (start, end) minutes in order; blank is no hours, and midnight as an end is 1440. Raises
    ValueError with the part that cannot be read, that ends before it starts, or that overlaps another.
    """
    spans: dict[tuple[int, int], str] = {}
    for part in re.split(r"[,;]|\band\b|\bet\b", text.strip()[:MOST_TYPED].lower()):
        words = " ".join(part.split())
        if not words:
            continue
        found = _TYPED.fullmatch(words)
        if found is None:
            raise ValueError(words)
        start = _minutes(*found.groups()[:3])
        end = _minutes(*found.groups()[3:]) or DAY_MINUTES
        if not start < end <= DAY_MINUTES:
            raise ValueError(words)
        if any(start < other_end and other_start < end for other_start, other_end in spans):
            raise ValueError(words)
        spans[(start, end)] = words
    return tuple(sorted(spans))


def _minutes(hour: str, minute: str | None, half: str | None) -> int:
    """Return a time of day in minutes; an invalid one as past the end of the day."""
    hours = int(hour)
    if half:
        hours = hours % 12 + (12 if half == "p" else 0) if 1 <= hours <= 12 else 99
    return hours * 60 + int(minute or 0)


def write_day(spans: Iterable[tuple[int, int]]) -> str:
    """Return a day's hours as text that `read_day` reads."""
    return ", ".join(f"{write_clock(start)}–{write_clock(end)}" for start, end in spans)


def week_windows(week: Sequence[Sequence[tuple[int, int]]]) -> tuple[Window, ...]:
    """Return seven days' hours, Monday first, as windows: days with the same hours share one."""
    days: dict[tuple[int, int], list[int]] = {}
    for day, spans in enumerate(week):
        for span in spans:
            days.setdefault(span, []).append(day)
    windows = [Window(tuple(on), start, end) for (start, end), on in days.items()]
    return tuple(sorted(windows, key=lambda window: (window.days, window.start)))


def typed_week(windows: Sequence[Window]) -> list[str]:
    """Return seven days' hours, Monday first, as a person types them."""
    return [
        write_day(sorted((window.start, window.end) for window in windows if day in window.days))
        for day in DAYS
    ]


def listed(words: Iterable[object]) -> str:
    """Return words as a sentence lists them: the last one after “and”."""
    return get_text_list([str(word) for word in words], _("and"))


def hours_in_words(week: Sequence[tuple[tuple[int, int], ...]]) -> str:
    """Return a week's hours as text, Monday first, days with the same hours together; empty without any."""
    runs: list[tuple[int, int, tuple[tuple[int, int], ...]]] = []
    for day, hours in enumerate(week):
        if runs and runs[-1][2] == hours:
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


def wrong_rules(message: str, **values: object) -> ValidationError:
    return ValidationError(message % values if values else message, code="invalid_rules")


def read_windows(raw: object) -> tuple[Window, ...]:
    """Read weekly windows. Raises ValidationError naming the invalid window."""
    if not isinstance(raw, list):
        raise wrong_rules(_("Weekly hours must be a list of windows."))
    if len(raw) > 50:
        raise wrong_rules(_("There may be at most 50 windows."))
    windows = [_read_window(number, item) for number, item in enumerate(raw, start=1)]
    for number, window in enumerate(windows, start=1):
        for earlier_number, earlier in enumerate(windows[: number - 1], start=1):
            same_day = set(window.days) & set(earlier.days)
            if same_day and window.start < earlier.end and earlier.start < window.end:
                raise wrong_rules(
                    _("Window %(a)s (%(window)s) overlaps window %(b)s (%(other)s) on day %(day)s."),
                    a=number,
                    window=window,
                    b=earlier_number,
                    other=earlier,
                    day=min(same_day),
                )
    return tuple(windows)


def _read_window(number: int, item: object) -> Window:
    if not isinstance(item, Mapping):
        raise wrong_rules(_("Window %(number)s must have days, start and end."), number=number)
    unknown = set(item) - {"days", "start", "end"}
    if unknown:
        raise wrong_rules(
            _("Window %(number)s has the unknown key “%(key)s”."),
            number=number,
            key=str(min(map(str, unknown)))[:40],
        )
    days = item.get("days")
    if not isinstance(days, list) or not days:
        raise wrong_rules(
            _("Window %(number)s names no days; use 0 for Monday to 6 for Sunday."), number=number
        )
    for day in days:
        if type(day) is not int or day not in DAYS:
            raise wrong_rules(
                _("Window %(number)s has the unknown day %(day)s; use 0 for Monday to 6 for Sunday."),
                number=number,
                day=str(day)[:20],
            )
    if len(set(days)) != len(days):
        raise wrong_rules(_("Window %(number)s names a day twice."), number=number)
    try:
        start = read_clock(item.get("start"))
        end = read_clock(item.get("end"), may_be_24=True)
    except ValueError as wrong:
        raise wrong_rules(
            _(
                "Window %(number)s has the time “%(time)s”; "
                "write it as 09:00, and midnight at the end as 24:00."
            ),
            number=number,
            time=str(wrong)[:20],
        ) from None
    if end <= start:
        raise wrong_rules(
            _(
                "Window %(number)s ends at %(end)s, which is not after its start %(start)s; "
                "a night is two windows."
            ),
            number=number,
            start=write_clock(start),
            end=write_clock(end),
        )
    return Window(tuple(sorted(days)), start, end)


def intersect(
    first: Iterable[tuple[int, int]], second: Iterable[tuple[int, int]]
) -> tuple[tuple[int, int], ...]:
    """Return the intersection of two ordered lists of half-open spans."""
    both = [(max(a, c), min(b, d)) for a, b in first for c, d in second]
    return tuple(sorted((a, b) for a, b in both if a < b))

"""Local hours as instants: a window of a local day in UTC, across every clock change.

Zone data is that of the ``tzdata`` package. Instants are aware datetimes in UTC, spans half-open.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

Span = tuple[datetime, datetime]

_REACH = timedelta(hours=15)  # no zone is further than this from UTC
_DAY = timedelta(days=1)


def zone_data_is_current() -> bool:
    """Return whether the zone data has British Columbia's end of clock changes in 2026.

    With older data, Vancouver is at -08:00 on 2026-12-15 and people there are called an hour off.
    """
    return _offset(ZoneInfo("America/Vancouver"), datetime(2026, 12, 15, 12, tzinfo=UTC)) == timedelta(
        hours=-7
    )


def _offset(zone: ZoneInfo, at: datetime) -> timedelta:
    offset = at.astimezone(zone).utcoffset()
    assert offset is not None
    return offset


@functools.lru_cache(maxsize=20_000)
def offsets_around(zone: str, day: date) -> tuple[tuple[datetime, datetime, timedelta], ...]:
    """Return (from, until, offset) pieces that cover a local day of the zone; two if its clocks change."""
    info = ZoneInfo(zone)
    midnight = datetime.combine(day, time(), UTC)
    low, high = midnight - _REACH, midnight + _DAY + _REACH
    before, after = _offset(info, low), _offset(info, high)
    if before == after:
        return ((low, high, before),)
    left, right = low, high
    while right - left > timedelta(seconds=1):
        middle = left + (right - left) / 2
        middle = middle.replace(microsecond=0)
        if middle in (left, right):
            break
        if _offset(info, middle) == before:
            left = middle
        else:
            right = middle
    return ((low, right, before), (right, high, after))


def spans_of(zone: str, day: date, hours: Iterable[tuple[int, int]]) -> list[Span]:
    """Return when it is `day` and one of the hours (minutes from midnight) in the zone, as instants."""
    midnight = datetime.combine(day, time(), UTC)
    found: list[Span] = []
    for start, end in hours:
        for low, high, offset in offsets_around(zone, day):
            first = max(low, midnight + timedelta(minutes=start) - offset)
            last = min(high, midnight + timedelta(minutes=end) - offset)
            if first < last:
                found.append((first, last))
    return merged(found)


def merged(spans: Iterable[Span]) -> list[Span]:
    """Return spans in order, those that touch or overlap as one."""
    result: list[Span] = []
    for start, end in sorted(spans):
        if result and start <= result[-1][1]:
            if end > result[-1][1]:
                result[-1] = (result[-1][0], end)
        else:
            result.append((start, end))
    return result


def common(first: Sequence[Span], second: Sequence[Span]) -> list[Span]:
    """Return the intersection of two ordered lists of spans."""
    result: list[Span] = []
    i = j = 0
    while i < len(first) and j < len(second):
        start = max(first[i][0], second[j][0])
        end = min(first[i][1], second[j][1])
        if start < end:
            result.append((start, end))
        if first[i][1] <= second[j][1]:
            i += 1
        else:
            j += 1
    return result


def zone_name(zone: str) -> str:
    """Return a zone's display name: “America/St_Johns” is St Johns."""
    return zone.rpartition("/")[2].replace("_", " ")


def add_local_days(at: datetime, days: int, zone: str) -> datetime:
    """Return the instant `days` later at the same wall time.

    A wall time that a clock change skips is read with the offset before it; if one occurs twice, the first
    counts.
    """
    wall = at.astimezone(ZoneInfo(zone))
    later = datetime.combine(wall.date() + timedelta(days=days), wall.time(), ZoneInfo(zone)).replace(fold=0)
    return later.astimezone(UTC)

"""Local hours on the world's clock: right across every clock change of every Canadian zone, 2024 to 2030."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest

from governance.contact.clock import add_local_days, common, merged, spans_of
from governance.core.places import CANADIAN_ZONES

pytestmark = pytest.mark.once

HOURS = ((0, 90), (120, 180), (540, 1290), (1430, 1440))
NEAR = timedelta(hours=36)


@cache
def transitions(zone: str) -> tuple[datetime, ...]:
    """Every clock change of a zone, found by halving."""
    info = ZoneInfo(zone)

    def offset(moment: datetime) -> timedelta | None:
        return moment.astimezone(info).utcoffset()

    found = []
    moment = datetime(2024, 1, 1, tzinfo=UTC)
    while moment < datetime(2031, 1, 1, tzinfo=UTC):
        after = moment + timedelta(days=7)
        if offset(moment) != offset(after):
            low, high = moment, after
            while high - low > timedelta(minutes=1):
                middle = low + (high - low) // 2
                low, high = (middle, high) if offset(middle) == offset(low) else (low, middle)
            found.append(high.replace(second=0, microsecond=0))
        moment = after
    return tuple(found)


def moments(zone: str, step: timedelta) -> Iterator[datetime]:
    """Instants within 36 h of each clock change; of a zone without any, within 36 h of Toronto's."""
    for change in transitions(zone) or transitions("America/Toronto"):
        moment = change - NEAR
        while moment <= change + NEAR:
            yield moment
            moment += step


def sweep(zone: str, step: timedelta) -> tuple[int, list[datetime]]:
    """Ask of each instant whether a span holds it, and whether its wall clock says so."""
    info = ZoneInfo(zone)
    wrong, count = [], 0
    for moment in moments(zone, step):
        count += 1
        wall = moment.astimezone(info)
        minute = wall.hour * 60 + wall.minute
        expected = any(start <= minute < end for start, end in HOURS)
        spans = [
            span for days in (-1, 0, 1) for span in spans_of(zone, wall.date() + timedelta(days=days), HOURS)
        ]
        if any(start <= moment < end for start, end in spans) is not expected:
            wrong.append(moment)
    return count, wrong


@pytest.mark.parametrize("zone", CANADIAN_ZONES)
def test_no_tenth_minute_near_a_clock_change_is_judged_wrongly(zone: str) -> None:
    count, wrong = sweep(zone, timedelta(minutes=10))
    assert count >= 400
    assert wrong == []


@pytest.mark.long
@pytest.mark.parametrize("zone", CANADIAN_ZONES)
def test_no_minute_near_a_clock_change_is_judged_wrongly(zone: str) -> None:
    count, wrong = sweep(zone, timedelta(minutes=1))
    assert count >= 4000
    assert wrong == []


def test_the_sweep_sees_clocks_change() -> None:
    """Toronto changes twice a year; Vancouver for the last time in March 2026; Regina never."""
    assert len(transitions("America/Toronto")) == 14
    assert transitions("America/Regina") == ()
    assert transitions("America/Vancouver")[-1].date() == date(2026, 3, 8)


def test_an_hour_that_comes_twice_is_open_twice() -> None:
    spans = spans_of("America/Toronto", date(2026, 11, 1), [(60, 120)])
    assert sum((end - start for start, end in spans), timedelta()) == timedelta(hours=2)


def test_an_hour_that_is_skipped_is_never_open() -> None:
    assert spans_of("America/Toronto", date(2027, 3, 14), [(120, 180)]) == []


def test_a_day_ends_where_the_next_begins() -> None:
    today = spans_of("America/St_Johns", date(2026, 11, 1), [(0, 1440)])
    tomorrow = spans_of("America/St_Johns", date(2026, 11, 2), [(0, 1440)])
    assert today[0][1] == tomorrow[0][0]
    assert today[0][1] - today[0][0] == timedelta(hours=25)


@pytest.mark.parametrize(
    ("begun", "days", "expected"),
    [
        ("2026-10-31T12:00-04:00", 1, "2026-11-01T12:00-05:00"),  # the day of 25 hours
        ("2027-03-13T12:00-05:00", 1, "2027-03-14T12:00-04:00"),  # the day of 23 hours
        ("2027-03-13T02:30-05:00", 1, "2027-03-14T03:30-04:00"),  # 02:30 is skipped that day
        ("2026-10-31T01:30-04:00", 1, "2026-11-01T01:30-04:00"),  # 01:30 comes twice: the first
    ],
)
def test_days_keep_the_wall_time(begun: str, days: int, expected: str) -> None:
    later = add_local_days(datetime.fromisoformat(begun).astimezone(UTC), days, "America/Toronto")
    assert later == datetime.fromisoformat(expected)


def test_spans_are_joined_and_intersected() -> None:
    hour = [datetime(2026, 11, 25, h, tzinfo=UTC) for h in range(10)]
    assert merged([(hour[2], hour[3]), (hour[0], hour[1]), (hour[1], hour[2])]) == [(hour[0], hour[3])]
    assert merged([(hour[0], hour[5]), (hour[1], hour[2])]) == [(hour[0], hour[5])]
    assert common([(hour[0], hour[4]), (hour[6], hour[8])], [(hour[3], hour[7])]) == [
        (hour[3], hour[4]),
        (hour[6], hour[7]),
    ]
    assert common([(hour[0], hour[1])], [(hour[1], hour[2])]) == []

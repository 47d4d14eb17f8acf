"""The due times of real ladders, to the minute."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from followups.services import LeadDetails, create_ladder
from governance.core.actors import Actor

pytestmark = [pytest.mark.both, pytest.mark.django_db]


def local_due_times(by: Actor, start: datetime, province: str, city: str, zone: str) -> list[str]:
    made = create_ladder(
        "L1", by=by, at=start.astimezone(UTC), province=province, details=LeadDetails(city=city)
    )
    assert [task.channel for task in made.tasks] == ["SMS", "CALL", "SMS", "CALL", "SMS", "CALL"]
    return [f"{task.due_at.astimezone(ZoneInfo(zone)):%a %d %H:%M}" for task in made.tasks if task.due_at]


def test_friday_evening_in_toronto(by: Callable[..., Actor]) -> None:
    """The specification's own example."""
    zone = "America/Toronto"
    start = datetime(2026, 11, 27, 19, 50, tzinfo=ZoneInfo(zone))
    assert local_due_times(by("VA"), start, "ON", "Toronto", zone) == [
        "Fri 27 19:50",
        "Sat 28 10:00",
        "Sat 28 10:30",
        "Mon 30 09:00",
        "Mon 30 19:50",
        "Fri 04 19:50",
    ]


def test_saturday_before_closing_in_st_johns(by: Callable[..., Actor]) -> None:
    zone = "America/St_Johns"
    start = datetime(2026, 11, 28, 17, 45, tzinfo=ZoneInfo(zone))
    assert local_due_times(by("VA"), start, "NL", "St. John's", zone) == [
        "Sat 28 17:45",
        "Mon 30 09:00",
        "Mon 30 09:30",
        "Mon 30 11:30",
        "Tue 01 17:45",
        "Sat 05 17:45",
    ]


def test_sunday_night_in_nunavut_without_a_city(by: Callable[..., Actor]) -> None:
    """Every clock must allow it: 09:00 in Cambridge Bay (UTC-7) to 20:00 in Iqaluit (UTC-5)."""
    start = datetime(2026, 11, 29, 7, 0, tzinfo=UTC)
    assert local_due_times(by("VA"), start, "NU", "", "UTC") == [
        "Mon 30 16:00",
        "Mon 30 16:30",
        "Mon 30 19:00",
        "Tue 01 16:00",
        "Thu 03 16:00",
        "Mon 07 16:00",
    ]

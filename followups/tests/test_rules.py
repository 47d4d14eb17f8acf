"""The ladder's sums, as tables of examples."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from followups.rules import (
    DEFAULT_STEPS,
    Answered,
    Step,
    due_times,
    gap_before,
    percentile,
    read_steps,
    sla,
)

pytestmark = pytest.mark.once
NOON = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


# --- steps ------------------------------------------------------------------------------------------------


def test_the_default_steps_read_as_they_are_written() -> None:
    assert read_steps([step.as_json() for step in DEFAULT_STEPS]) == DEFAULT_STEPS


def test_hours_are_kept_as_minutes_and_days_as_days() -> None:
    steps = read_steps(
        [
            {"channel": "SMS"},
            {"channel": "CALL", "delay": {"hours": 3}},
            {"channel": "SMS", "delay": {"days": 1}},
        ]
    )
    assert [(step.minutes, step.days) for step in steps] == [(0, 0), (180, 0), (0, 1)]


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ([], "1 to 30 steps"),
        ("SMS", "1 to 30 steps"),
        ({"channel": "SMS"}, "1 to 30 steps"),
        ([{"channel": "SMS"}] * 31, "1 to 30 steps"),
        ([{"channel": "FAX"}], "Step 1 has an unknown channel"),
        ([{"channel": ["SMS"]}], "Step 1 has an unknown channel"),
        (["SMS"], "Step 1 must have"),
        ([{"channel": "SMS", "script": "hello"}], "Step 1 must have"),
        ([{"channel": "SMS", "delay": {"minutes": 5}}], "Step 1 has no delay"),
        ([{"channel": "SMS"}, {"channel": "CALL"}], "Step 2 must come later"),
        ([{"channel": "SMS"}, {"channel": "CALL", "delay": {"minutes": -5}}], "Step 2 needs a delay"),
        ([{"channel": "SMS"}, {"channel": "CALL", "delay": {"minutes": 1.5}}], "Step 2 needs a delay"),
        ([{"channel": "SMS"}, {"channel": "CALL", "delay": {"minutes": True}}], "Step 2 needs a delay"),
        ([{"channel": "SMS"}, {"channel": "CALL", "delay": {"weeks": 1}}], "Step 2 needs a delay"),
        ([{"channel": "SMS"}, {"channel": "CALL", "delay": {"days": 1, "hours": 1}}], "Step 2 needs a delay"),
        ([{"channel": "SMS"}, {"channel": "CALL", "delay": 30}], "Step 2 needs a delay"),
        ([{"channel": "SMS"}, {"channel": "CALL", "delay": {"days": 366}}], "Step 2 comes more than a year"),
        (
            [{"channel": "SMS"}, {"channel": "CALL", "delay": {"days": 10**30}}],
            "Step 2 comes more than a year",
        ),
        ([{"channel": "SMS", "script_en": "x" * 2001}], "Step 1 has a script"),
        ([{"channel": "SMS", "script_fr": 5}], "Step 1 has a script"),
    ],
)
def test_steps_that_cannot_be_are_refused_by_number(raw: object, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        read_steps(raw)


# --- gaps and due times -------------------------------------------------------------------------------------


def test_the_gaps_of_the_default_ladder() -> None:
    gaps = [gap_before(DEFAULT_STEPS, number) for number in range(1, 7)]
    assert gaps == [timedelta(), 30 * MINUTE, 30 * MINUTE, 2 * HOUR, 2 * HOUR, 2 * HOUR]


@pytest.mark.parametrize(
    ("apart", "gap"),
    [
        (10 * MINUTE, 10 * MINUTE),
        (30 * MINUTE, 30 * MINUTE),
        (12 * HOUR - MINUTE, 30 * MINUTE),
        (12 * HOUR, 2 * HOUR),
    ],
)
def test_the_gap_is_never_more_than_the_distance(apart: timedelta, gap: timedelta) -> None:
    steps = (Step("SMS"), Step("CALL", minutes=int(apart / MINUTE)))
    assert gap_before(steps, 2) == gap


def test_where_everything_is_allowed_steps_are_due_as_scheduled() -> None:
    planned = due_times(DEFAULT_STEPS, NOON, "America/Toronto", lambda channel, at: at)
    assert [plan.due_at for plan in planned] == [plan.scheduled_for for plan in planned]
    assert planned[3].due_at == NOON + DAY


def test_days_keep_the_wall_time_over_a_clock_change() -> None:
    start = datetime(2026, 10, 31, 18, 0, tzinfo=UTC)  # 14:00 in Toronto, the night before clocks go back
    planned = due_times(DEFAULT_STEPS, start, "America/Toronto", lambda channel, at: at)
    assert planned[3].due_at == start + 25 * HOUR


def test_a_step_without_any_lawful_instant_is_held_and_the_others_go_on() -> None:
    planned = due_times(
        DEFAULT_STEPS, NOON, "America/Toronto", lambda channel, at: None if channel == "CALL" else at
    )
    assert [plan.due_at is None for plan in planned] == [False, True] * 3


steps_strategy = st.lists(st.integers(1, 20_000), min_size=0, max_size=8, unique=True).map(
    lambda minutes: (Step("SMS"), *(Step("CALL", minutes=m) for m in sorted(minutes)))
)


@given(steps=steps_strategy, opens=st.integers(0, 23), length=st.integers(1, 24))
def test_due_times_keep_order_gaps_and_windows(steps: tuple[Step, ...], opens: int, length: int) -> None:
    def first_allowed(channel: str, at: datetime) -> datetime:
        while (
            not (at - at.replace(hour=0, minute=0)) >= opens * HOUR
            or at >= at.replace(hour=0, minute=0) + (opens + length) * HOUR
        ):
            day = at.replace(hour=0, minute=0)
            at = day + opens * HOUR if at < day + opens * HOUR else day + DAY + opens * HOUR
        return at

    planned = due_times(steps, NOON, "UTC", first_allowed)
    for earlier, later in zip(planned, planned[1:], strict=False):
        assert earlier.due_at is not None
        assert later.due_at is not None
        assert later.due_at >= max(later.scheduled_for, earlier.due_at + gap_before(steps, later.number))
        assert first_allowed(later.step.channel, later.due_at) == later.due_at


# --- how quickly --------------------------------------------------------------------------------------------


def answered(after: int | None) -> Answered:
    """A task that is due at noon and was completed so many minutes later, or still waits."""
    done = None if after is None else NOON + after * MINUTE
    minutes = None if after is None else Decimal(max(after, 0))
    return Answered(NOON, done, minutes, (NOON + 5 * MINUTE, NOON + 30 * MINUTE, NOON + 2 * HOUR))


def test_nothing_counted_has_no_fractions() -> None:
    empty = {"count": 0, "overdue_open": 0}
    nulls = dict.fromkeys(("within_5m", "within_30m", "within_2h", "median_minutes", "p90_minutes"))
    assert sla([], NOON) == {**empty, **nulls}


def test_the_limit_itself_is_inside() -> None:
    found = sla([answered(5), answered(30), answered(120), answered(121)], NOON + DAY)
    assert [found[name] for name in ("within_5m", "within_30m", "within_2h")] == [
        Decimal("0.25"),
        Decimal("0.5"),
        Decimal("0.75"),
    ]


def test_undone_work_never_looks_good() -> None:
    found = sla([answered(1), answered(None), answered(None), answered(None)], NOON + 3 * HOUR)
    assert (found["count"], found["within_2h"], found["overdue_open"]) == (4, Decimal("0.25"), 3)


def test_what_waits_inside_the_limit_counts_neither_way() -> None:
    found = sla([answered(1), answered(None)], NOON + 10 * MINUTE)
    assert (found["within_5m"], found["within_30m"], found["overdue_open"]) == (Decimal("0.5"), 1, 0)


def test_a_task_still_open_at_its_limit_is_not_yet_late() -> None:
    assert sla([answered(None)], NOON + 2 * HOUR)["overdue_open"] == 0
    assert sla([answered(None)], NOON + 2 * HOUR + timedelta(seconds=1))["overdue_open"] == 1


def test_a_task_done_early_took_no_minutes() -> None:
    found = sla([answered(-30), answered(10)], NOON + DAY)
    assert (found["median_minutes"], found["within_5m"]) == (5, Decimal("0.5"))


@pytest.mark.parametrize(
    ("values", "median", "p90"),
    [([], None, None), ([3], "3.00", "3.00"), ([1, 2], "1.50", "1.90"), (range(1, 12), "6.00", "10.00")],
)
def test_percentiles_interpolate(values: Any, median: str | None, p90: str | None) -> None:
    ordered = [Decimal(value) for value in values]
    assert percentile(ordered, Decimal("0.5")) == (None if median is None else Decimal(median))
    assert percentile(ordered, Decimal("0.9")) == (None if p90 is None else Decimal(p90))


@given(st.lists(st.one_of(st.none(), st.integers(-100, 500)), max_size=30), st.integers(0, 600))
def test_doing_more_never_makes_it_look_worse(minutes: list[int | None], now: int) -> None:
    at = NOON + now * MINUTE
    tasks = [answered(m if m is None or m <= now else None) for m in minutes]
    found = sla(tasks, at)
    for name in ("within_5m", "within_30m", "within_2h"):
        assert found[name] is None or 0 <= found[name] <= 1
    if found["overdue_open"]:
        assert found["within_2h"] is not None
        assert found["within_2h"] < 1

"""Baseline, windows, verdicts, what can be seen, and when watching begins."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from governance.tripwire.rules import (
    Day,
    Limits,
    Measure,
    Reading,
    Verdict,
    Week,
    arms_on,
    baseline_of,
    days_test,
    drop_of,
    gravest,
    judge_days,
    judge_weeks,
    monday_of,
    verdict_of,
    volume_arms_on,
    weeks_baseline,
    weeks_dispersion,
    windows_of,
)
from governance.tripwire.simulation import _week
from governance.tripwire.statistics import STATISTICS
from governance.tripwire.streams import Stream

pytestmark = pytest.mark.once
RATE, MEAN, VOLUME = Measure.SUCCESS_RATE, Measure.MEAN, Measure.VOLUME
MONDAY = date(2026, 9, 7)
LIMITS = Limits()


def days(*counts: tuple[int, int], start: date = MONDAY) -> list[Day]:
    """Days in a row, each with its good and bad events."""
    return [
        Day(start + timedelta(days=number), good + bad, good, bad)
        for number, (good, bad) in enumerate(counts)
    ]


def after(*counts: tuple[int, int]) -> list[Day]:
    return days(*counts, start=MONDAY + timedelta(days=20))


def judged(*counts: tuple[int, int], base: tuple[int, int] = (18, 2), **limits: Any) -> Reading:
    """Judge days after a baseline of twenty equal ones."""
    baseline = baseline_of(RATE, LIMITS, days(*[base] * 20))
    assert baseline is not None
    return judge_days(RATE, replace(LIMITS, **limits), baseline, after(*counts))


# --- the baseline -------------------------------------------------------------------------------------------


def test_the_baseline_is_the_first_twenty_days_with_events() -> None:
    stream = days(*[(9, 1)] * 30)
    found = baseline_of(RATE, LIMITS, stream)
    assert found is not None
    assert (found.days[0].on, found.days[-1].on) == (MONDAY, MONDAY + timedelta(days=19))
    assert baseline_of(RATE, LIMITS, stream[:19]) is None


def test_a_baseline_of_quiet_days_goes_on_until_it_has_its_events() -> None:
    found = baseline_of(RATE, LIMITS, days(*[(4, 1)] * 60))
    assert found is not None
    assert (len(found.days), STATISTICS[RATE].events(found)) == (40, 200)
    assert baseline_of(RATE, LIMITS, days(*[(4, 1)] * 39)) is None


def test_days_without_what_is_measured_are_no_days() -> None:
    mixed = [
        day for pair in zip(days(*[(9, 1)] * 20), [Day(MONDAY, events=50)] * 20, strict=True) for day in pair
    ]
    found = baseline_of(RATE, LIMITS, mixed)
    assert found is not None
    assert STATISTICS[RATE].events(found) == 200


# --- the windows --------------------------------------------------------------------------------------------


def lengths(stream: Sequence[Day], **limits: Any) -> list[int]:
    return [len(window.days) for window in windows_of(RATE, replace(LIMITS, **limits), stream)]


@pytest.mark.parametrize(
    ("a_day", "known", "expected"),
    [
        (20, 4, []),
        (20, 5, [5]),
        (20, 9, [5]),
        (20, 10, [5, 10]),
        (20, 60, [5, 10, 20]),
        (5, 9, []),
        (5, 60, [10, 20]),  # five days have too few events, so that window is the one of ten
        (2, 60, [25]),
        (2, 24, []),
        (1, 49, []),
        (1, 50, [50]),
    ],
)
def test_windows_are_five_ten_and_twenty_days_and_have_enough_events(
    a_day: int, known: int, expected: list[int]
) -> None:
    assert lengths(after(*[(a_day, 0)] * known)) == expected


def test_a_window_is_the_newest_days() -> None:
    stream = after(*[(20, 0)] * 30)
    assert windows_of(RATE, LIMITS, stream)[0].days == tuple(stream[-5:])


# --- verdicts of rates --------------------------------------------------------------------------------------


def test_while_no_window_is_full_there_is_nothing_to_say() -> None:
    found = judged(*[(0, 20)] * 4)
    assert (found.verdict, found.current, found.drop, found.p) == (Verdict.LEARNING, None, None, None)
    assert found.baseline is not None
    assert found.baseline.figure == 0.9


def test_a_great_drop_trips_as_soon_as_five_days_show_it() -> None:
    found = judged(*[(10, 10)] * 5)
    assert found.verdict is Verdict.TRIPPED
    assert found.current is not None
    assert (found.current.days, found.current.events, found.current.figure) == (5, 100, 0.5)
    assert found.drop == pytest.approx(4 / 9)
    assert found.p is not None
    assert found.p < 1e-9


def test_a_steady_figure_is_clear_and_says_which_window_says_most() -> None:
    found = judged(*[(18, 2)] * 30)
    assert (found.verdict, found.drop) == (Verdict.CLEAR, 0.0)
    assert found.p is not None
    assert found.p > 0.4


def test_a_drop_that_chance_explains_does_nothing() -> None:
    """Of 0.5 in few events 20 % less is nothing strange."""
    found = judged(*[(4, 6)] * 5, base=(5, 5))
    assert found.verdict is Verdict.CLEAR
    assert found.drop == pytest.approx(0.2)
    assert found.p is not None
    assert found.p > 0.01


def test_a_certain_drop_that_is_too_small_does_nothing() -> None:
    found = judged(*[(150, 50)] * 20, base=(180, 20))
    assert found.p is not None
    assert found.p < 1e-9
    assert found.verdict is Verdict.CLEAR
    assert found.drop == pytest.approx(1 / 6)


def test_a_rise_does_nothing() -> None:
    assert judged(*[(20, 0)] * 20).verdict is Verdict.CLEAR


@pytest.mark.parametrize(
    ("drop", "p", "events", "expected"),
    [
        (0.20, 0.0005, 50, Verdict.TRIPPED),
        (0.20, 0.0006, 50, Verdict.WARNING),
        (0.20, 0.0100, 50, Verdict.WARNING),
        (0.20, 0.0101, 50, Verdict.CLEAR),
        (0.20, 0.0001, 49, Verdict.WARNING),
        (0.1999, 0.0, 50, Verdict.CLEAR),
        (None, 0.0, 50, Verdict.CLEAR),
    ],
)
def test_what_a_drop_means(drop: float | None, p: float, events: int, expected: Verdict) -> None:
    assert verdict_of(LIMITS, drop, p, events) is expected


def test_exactly_the_drop_of_the_policy_reaches_it() -> None:
    drop = drop_of(0.4, 0.5)
    assert drop is not None
    assert drop < 0.2, "the numbers' binary fractions are a little off"
    assert verdict_of(LIMITS, drop, 0.0, 50) is Verdict.TRIPPED


def test_the_gravest_window_is_told() -> None:
    """Five bad days trip, though in the last twenty they are hardly seen."""
    found = judged(*[(18, 2)] * 15, *[(6, 14)] * 5)
    assert found.verdict is Verdict.TRIPPED
    assert found.current is not None
    assert found.current.days == 5


def test_good_and_bad_days_need_more_than_the_same_figures_from_steady_ones() -> None:
    steady = judged(*[(12, 8)] * 5, base=(17, 3))
    baseline = baseline_of(RATE, LIMITS, days(*[(20, 0), (14, 6)] * 10))
    assert baseline is not None
    moody = judge_days(RATE, LIMITS, baseline, after(*[(12, 8)] * 5))
    assert moody.baseline is not None
    assert steady.baseline is not None
    assert moody.baseline.figure == steady.baseline.figure
    assert moody.current == steady.current
    assert moody.dispersion is not None
    assert moody.dispersion > 2
    assert (steady.verdict, moody.verdict) == (Verdict.TRIPPED, Verdict.WARNING)


def test_a_baseline_in_which_nothing_went_well_cannot_drop() -> None:
    found = judged(*[(0, 20)] * 20, base=(0, 20))
    assert (found.verdict, found.drop, found.smallest) == (Verdict.CLEAR, None, math.inf)


# --- means --------------------------------------------------------------------------------------------------


def valued(means: Sequence[float], start: date = MONDAY, a_day: int = 20) -> list[Day]:
    return [
        Day(start + timedelta(days=number), a_day, valued=a_day, total=mean * a_day)
        for number, mean in enumerate(means)
    ]


def judged_means(before: Sequence[float], now: Sequence[float]) -> Reading:
    baseline = baseline_of(MEAN, LIMITS, valued(before))
    assert baseline is not None
    return judge_days(MEAN, LIMITS, baseline, valued(now, MONDAY + timedelta(days=20)))


def test_a_mean_that_fell_trips() -> None:
    found = judged_means([1.0, 1.2] * 10, [0.7, 0.6, 0.7, 0.5, 0.6])
    assert found.verdict is Verdict.TRIPPED
    assert found.drop == pytest.approx(1 - 0.62 / 1.1)
    assert found.dispersion is None


def test_a_mean_below_nothing_falls_too() -> None:
    found = judged_means([-1.0, -1.2] * 10, [-2.0, -2.1, -1.9, -2.2, -2.0])
    assert found.verdict is Verdict.TRIPPED
    assert found.drop == pytest.approx((2.04 - 1.1) / 1.1)


def test_a_mean_of_nothing_has_no_fraction_to_fall_by() -> None:
    found = judged_means([1.0, -1.0] * 10, [-5.0] * 5)
    assert (found.verdict, found.drop, found.smallest) == (Verdict.CLEAR, None, math.inf)


def test_five_days_that_agree_by_luck_do_not_make_a_drop_certain() -> None:
    """Among many windows of five some hardly vary; the twenty days around them say how much days do."""
    before, wild, agreed = [0.6, 1.4] * 10, [0.5, 1.5] * 8, [0.60, 0.61, 0.60, 0.59, 0.60]
    found, alone = judged_means(before, [*wild, *agreed]), judged_means(before, agreed)
    assert found.drop == alone.drop == pytest.approx(0.4)
    assert (alone.verdict, found.verdict) == (Verdict.TRIPPED, Verdict.CLEAR)


# --- volumes ------------------------------------------------------------------------------------------------

USUAL, OPEN = (20, 22, 18, 21, 19, 10, 2), (1.0,) * 6 + (0.0,)


def week(number: int, events: tuple[int, ...] = USUAL, shares: tuple[float, ...] = OPEN) -> Week:
    return Week(MONDAY + timedelta(weeks=number), events, shares)


FOUR = [week(number) for number in range(4)]


def share_of(part: float) -> tuple[int, ...]:
    return tuple(round(events * part) for events in USUAL)


@pytest.mark.parametrize(
    ("part", "expected"),
    [(1.0, Verdict.CLEAR), (0.85, Verdict.CLEAR), (0.75, Verdict.WARNING), (0.5, Verdict.TRIPPED)],
)
def test_a_week_is_judged_against_four(part: float, expected: Verdict) -> None:
    assert judge_weeks(LIMITS, FOUR, week(7, share_of(part))).verdict is expected


def test_a_week_without_any_event_trips() -> None:
    found = judge_weeks(LIMITS, FOUR, week(4, (0,) * 7))
    assert (found.verdict, found.drop) == (Verdict.TRIPPED, 1.0)


def test_a_week_with_holidays_is_judged_by_the_days_it_was_open() -> None:
    closed_twice, open_four = (0, 0, *USUAL[2:]), (0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0)
    as_if_open = judge_weeks(LIMITS, FOUR, week(4, closed_twice))
    found = judge_weeks(LIMITS, FOUR, week(4, closed_twice, open_four))
    assert as_if_open.verdict >= Verdict.WARNING
    assert found.verdict is Verdict.CLEAR
    assert found.current is not None
    assert found.current.figure == sum(closed_twice) / 4


def test_a_holiday_in_the_baseline_is_no_lack_of_events() -> None:
    holiday = week(1, (0, *USUAL[1:]), (0.0, *OPEN[1:]))
    found = judge_weeks(LIMITS, [FOUR[0], holiday, *FOUR[2:]], None)
    assert found.baseline is not None
    assert found.baseline.figure == pytest.approx((sum(USUAL) * 4 - 20) / 23)
    assert found.dispersion == 1.0


def test_good_and_bad_weeks_make_a_volume_harder_to_judge() -> None:
    moody = [week(number, share_of(1.4 if number % 2 else 0.6)) for number in range(4)]
    assert weeks_dispersion(FOUR) == 1.0
    assert weeks_dispersion(moody) > 10
    assert judge_weeks(LIMITS, moody, week(4, share_of(0.5))).verdict is Verdict.CLEAR


def test_the_baseline_of_a_volume_begins_with_the_first_week_with_events() -> None:
    quiet = [week(number, (0,) * 7) for number in range(3)]
    assert weeks_baseline([*quiet, *FOUR[:3]]) is None
    found = weeks_baseline([*quiet, FOUR[0], quiet[0], *FOUR[1:]])
    assert found == (FOUR[0], quiet[0], FOUR[1], FOUR[2])


def test_a_volume_of_hardly_any_events_only_warns() -> None:
    few = [week(number, (2, 2, 2, 2, 2, 1, 0)) for number in range(4)]
    limits = replace(LIMITS, max_false_alarm=0.01)
    assert judge_weeks(limits, few, week(4, (0,) * 7)).verdict is Verdict.WARNING
    assert judge_weeks(replace(limits, min_events=40), few, week(4, (0,) * 7)).verdict is Verdict.TRIPPED


# --- what can be seen ---------------------------------------------------------------------------------------


def smallest(a_day: int, rate: float) -> float:
    good = round(a_day * rate)
    baseline = baseline_of(RATE, LIMITS, days(*[(good, a_day - good)] * 40))
    assert baseline is not None
    told = judge_days(RATE, LIMITS, baseline, []).smallest
    assert told is not None
    return told


def test_more_events_and_better_rates_show_smaller_drops() -> None:
    by_volume = [smallest(a_day, 0.3) for a_day in (10, 20, 50, 300)]
    by_rate = [smallest(20, rate) for rate in (0.3, 0.6, 0.9)]
    assert by_volume == sorted(by_volume, reverse=True)
    assert by_rate == sorted(by_rate, reverse=True)
    assert all(told > LIMITS.max_drop for told in (*by_volume, *by_rate))


def test_a_drop_that_is_told_to_be_the_smallest_is_seen_in_four_of_five_cases(chance: random.Random) -> None:
    for a_day, rate in ((20, 0.6), (50, 0.3), (300, 0.3)):
        drop = smallest(a_day, rate)
        seen = sum(_sees(chance, a_day, rate, drop) for _run in range(400)) / 400
        assert 0.68 < seen < 0.88, (a_day, rate, drop, seen)


def _sees(chance: random.Random, a_day: int, rate: float, drop: float) -> bool:
    """Say whether the window of twenty days shows a drop that fills it."""

    def made(chance_of_good: float) -> list[tuple[int, int]]:
        good = [sum(chance.random() < chance_of_good for _event in range(a_day)) for _day in range(20)]
        return [(g, a_day - g) for g in good]

    baseline = baseline_of(RATE, LIMITS, days(*made(rate)))
    assert baseline is not None
    now = after(*made(rate * (1 - drop)))
    windows = windows_of(RATE, LIMITS, now)[-1:]
    found = gravest(RATE, LIMITS, days_test(RATE, baseline, now), windows)
    return found is not None and found[0] is Verdict.TRIPPED


def test_the_smallest_drop_of_a_volume_is_seen_in_four_of_five_weeks(chance: random.Random) -> None:
    usual = Stream(VOLUME, 50, 2.0)
    seen = 0
    for _run in range(400):
        baseline = [_week(usual, chance, number, 0.0) for number in range(4)]
        told = judge_weeks(LIMITS, baseline, None).smallest
        assert told is not None
        dropped = _week(usual, chance, 4, told)
        seen += judge_weeks(LIMITS, baseline, dropped).verdict is Verdict.TRIPPED
    assert 0.68 < seen / 400 < 0.88


def test_a_few_events_show_not_even_a_fall_to_nothing() -> None:
    few = [week(number, (1, 0, 1, 0, 0, 0, 0)) for number in range(4)]
    assert judge_weeks(LIMITS, few, None).smallest == math.inf


def test_the_smallest_drop_of_a_mean(chance: random.Random) -> None:
    before = [1 + (number % 2 - 0.5) * 0.4 for number in range(20)]
    found = judged_means(before, [])
    assert found.smallest is not None
    assert 0.2 < found.smallest < 0.35


# --- when watching begins -----------------------------------------------------------------------------------

TODAY = MONDAY + timedelta(days=10)
Arms = Callable[..., date | None]


def arms(known: list[Day], baseline: Any = None, today: date = TODAY) -> int | None:
    """Return in how many days watching begins."""
    on = arms_on(RATE, LIMITS, known, baseline, MONDAY, today)
    return None if on is None else (on - today).days


def test_without_events_nobody_knows_when_watching_begins() -> None:
    assert arms([]) is None
    assert volume_arms_on([], False, MONDAY) is None
    assert volume_arms_on([week(0, (0,) * 7)], False, MONDAY) is None


def test_watching_begins_after_the_baseline_and_a_first_window() -> None:
    assert arms(days(*[(20, 0)] * 10)) == 10 + 5
    assert arms(days(*[(5, 0)] * 10)) == 30 + 10
    every_other_day = [day for number, day in enumerate(days(*[(20, 0)] * 10)) if number % 2]
    assert arms(every_other_day) == 30 + 10


def test_what_the_date_says_comes_true() -> None:
    stream = days(*[(5, 0)] * 200)
    told = arms(stream[:10])
    assert told is not None
    first = next(
        number
        for number in range(1, 200)
        if (base := baseline_of(RATE, LIMITS, stream[:number]))
        and windows_of(RATE, LIMITS, stream[len(base.days) : number])
    )
    assert first == 10 + told


def test_with_a_baseline_only_the_window_is_missing() -> None:
    baseline = baseline_of(RATE, LIMITS, days(*[(20, 0)] * 20))
    assert baseline is not None
    assert arms(after(*[(20, 0)] * 3), baseline, MONDAY + timedelta(days=23)) == 2


def test_a_volume_is_watched_after_its_fifth_week() -> None:
    quiet = week(0, (0,) * 7)
    assert volume_arms_on([quiet, week(1)], False, MONDAY + timedelta(weeks=2)) == MONDAY + timedelta(weeks=6)
    assert volume_arms_on(FOUR, True, MONDAY + timedelta(weeks=9)) == MONDAY + timedelta(weeks=10)


def test_the_monday_of_a_day() -> None:
    assert [monday_of(MONDAY + timedelta(days=number)) for number in (0, 6, 7)] == [
        MONDAY,
        MONDAY,
        MONDAY + timedelta(days=7),
    ]


# --- a day's own figure -------------------------------------------------------------------------------------


def test_a_day_has_a_figure_where_something_counts() -> None:
    day = Day(MONDAY, events=5, good=3, bad=1, valued=2, total=7.0)
    assert [STATISTICS[measure].day_figure(day) for measure in (RATE, MEAN, VOLUME)] == [0.75, 3.5, 5.0]
    assert [STATISTICS[measure].day_figure(Day(MONDAY)) for measure in (RATE, MEAN, VOLUME)] == [
        None,
        None,
        0.0,
    ]

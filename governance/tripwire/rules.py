"""When a metric has dropped: samples, the baseline, the windows and the verdict, as pure functions.

A metric is monitored over days with events (rates and means) or over full weeks (volumes). Days are local
days of the business, oldest first.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from governance.tripwire.chance import NORMAL, quasi_poisson_z
from governance.tripwire.samples import (
    BASELINE_DAYS,
    BASELINE_WEEKS,
    HALF,
    ROUNDING,
    SPREAD_DAYS,
    WARNING_P,
    WINDOWS,
    Compared,
    Day,
    DaysTest,
    Limits,
    Sample,
    Week,
    chance_of,
    least_drop,
)
from governance.tripwire.statistics import STATISTICS, Measure

__all__ = [
    "BASELINE_WEEKS",
    "SPREAD_DAYS",
    "WINDOWS",
    "Compared",
    "Day",
    "Limits",
    "Measure",
    "Reading",
    "Sample",
    "Verdict",
    "Week",
    "arms_on",
    "baseline_of",
    "days_test",
    "drop_of",
    "gravest",
    "judge_days",
    "judge_weeks",
    "monday_of",
    "reaches",
    "verdict_of",
    "volume_arms_on",
    "weeks_baseline",
    "weeks_dispersion",
    "windows_of",
]


class Verdict(enum.IntEnum):
    """The verdicts of an evaluation, the most serious last."""

    LEARNING = 0
    CLEAR = 1
    WARNING = 2
    TRIPPED = 3


@dataclass(frozen=True, slots=True)
class Reading:
    """An evaluation's result. `drop`, `smallest` and `p` are fractions; None if not known yet.

    `smallest` is the smallest drop that would be detected in four of five cases once it has filled the
    longest window; above 1 none would. `arms_on` is about when monitoring begins.
    """

    verdict: Verdict
    baseline: Compared | None = None
    current: Compared | None = None
    drop: float | None = None
    p: float | None = None
    dispersion: float | None = None
    smallest: float | None = None
    arms_on: date | None = None


def baseline_of(measure: Measure, limits: Limits, days: Iterable[Day]) -> Sample | None:
    """Return the first 20 days with events that have enough of them; None while there are too few."""
    statistic = STATISTICS[measure]
    taken: list[Day] = []
    events = 0
    for day in days:
        if not statistic.counted(day):
            continue
        taken.append(day)
        events += statistic.counted(day)
        if len(taken) >= BASELINE_DAYS and events >= limits.baseline_events:
            return Sample(tuple(taken))
    return None


def windows_of(measure: Measure, limits: Limits, days: Sequence[Day]) -> list[Sample]:
    """Return the last 5, 10 and 20 days, each extended further back if it has too few events.

    `days` are those with events after the baseline. A window that they cannot fill is left out.
    """
    statistic = STATISTICS[measure]
    found: list[Sample] = []
    length = events = 0
    for wanted in WINDOWS:
        while length < len(days) and (length < wanted or events < limits.window_events):
            length += 1
            events += statistic.counted(days[-length])
        if length < wanted or events < limits.window_events:
            break
        if not found or len(found[-1].days) < length:
            found.append(Sample(tuple(days[-length:])))
    return found


def drop_of(figure: float, baseline: float) -> float | None:
    """Return the fraction by which a value is below the baseline; None if the baseline is zero."""
    return (baseline - figure) / abs(baseline) if baseline else None


def judge_days(measure: Measure, limits: Limits, baseline: Sample, after: Iterable[Day]) -> Reading:
    """Judge the days after the baseline by the most significant window: most serious, then least likely."""
    statistic = STATISTICS[measure]
    days = [day for day in after if statistic.counted(day)]
    test = days_test(measure, baseline, days)
    told, smallest = _compared(measure, baseline), test.smallest(limits)
    windows = windows_of(measure, limits, days)
    if not windows:
        return Reading(Verdict.LEARNING, told, dispersion=test.dispersion, smallest=smallest)
    verdict, p, window = gravest(measure, limits, test, windows) or min(
        ((Verdict.CLEAR, test.p(window), window) for window in windows), key=lambda found: found[1]
    )
    seen = _compared(measure, window)
    return Reading(verdict, told, seen, drop_of(seen.figure, told.figure), p, test.dispersion, smallest)


def gravest(
    measure: Measure, limits: Limits, test: DaysTest, windows: Sequence[Sample]
) -> tuple[Verdict, float, Sample] | None:
    """Return the window that warns or trips, with its verdict and p; None if none does.

    The probability, which costs most, is computed only for windows whose drop is large enough.
    """
    statistic = STATISTICS[measure]
    found: tuple[Verdict, float, Sample] | None = None
    for window in windows:
        drop = drop_of(statistic.figure(window), test.figure)
        if not reaches(limits, drop):
            continue
        p = test.p(window)
        verdict = verdict_of(limits, drop, p, statistic.events(window))
        if verdict > Verdict.CLEAR and (found is None or (verdict, -p) > (found[0], -found[1])):
            found = verdict, p, window
    return found


def reaches(limits: Limits, drop: float | None) -> bool:
    """Return whether a drop is as large as the policy's."""
    return drop is not None and drop >= limits.max_drop - ROUNDING


def verdict_of(limits: Limits, drop: float | None, p: float, events: int) -> Verdict:
    """Return the verdict on a drop with probability `p` under chance alone, over so many events."""
    if not reaches(limits, drop) or p > max(WARNING_P, limits.max_false_alarm):
        return Verdict.CLEAR
    return Verdict.TRIPPED if p <= limits.max_false_alarm and events >= limits.min_events else Verdict.WARNING


def _compared(measure: Measure, sample: Sample) -> Compared:
    days, statistic = sample.days, STATISTICS[measure]
    return Compared(days[0].on, days[-1].on, len(days), statistic.events(sample), statistic.figure(sample))


def days_test(measure: Measure, baseline: Sample, after: Sequence[Day]) -> DaysTest:
    """Return the test of a measure, for the days with events after the baseline."""
    return STATISTICS[measure].test(baseline, Sample(tuple(after[-SPREAD_DAYS:])))


# --- volumes: full weeks ------------------------------------------------------------------------------------


def weeks_baseline(weeks: Iterable[Week]) -> tuple[Week, ...] | None:
    """Return the first four weeks, starting with the first one with events; None while there are fewer."""
    taken: list[Week] = []
    for week in weeks:
        if week.open_days > 0 and (taken or week.count):
            taken.append(week)
        if len(taken) == BASELINE_WEEKS:
            return tuple(taken)
    return None


def judge_weeks(limits: Limits, baseline: Sequence[Week], last: Week | None) -> Reading:
    """Judge the last full week that counts against the baseline's four, per open day."""
    count, exposure = sum(week.count for week in baseline), sum(week.open_days for week in baseline)
    dispersion = weeks_dispersion(baseline)
    end = baseline[-1].monday + timedelta(days=6)
    told = Compared(baseline[0].monday, end, 7 * len(baseline), count, count / exposure)
    smallest = _smallest_volume(limits, count, len(baseline), dispersion)
    if last is None:
        return Reading(Verdict.LEARNING, told, dispersion=dispersion, smallest=smallest)
    seen = Compared(last.monday, last.monday + timedelta(days=6), 7, last.count, last.count / last.open_days)
    drop = drop_of(seen.figure, told.figure)
    p = NORMAL.cdf(quasi_poisson_z(last.count, last.open_days, count, exposure, dispersion))
    return Reading(verdict_of(limits, drop, p, count), told, seen, drop, p, dispersion, smallest)


def weeks_dispersion(weeks: Sequence[Week]) -> float:
    """Return the dispersion of the counts compared with chance alone; never below 1.

    The larger of two Pearson chi-squares over their degrees of freedom: of days around the mean of their
    weekday, and of weeks around the mean per open day, since a good or bad week affects all of its days.
    """
    square, freedom = 0.0, 0
    for weekday in range(7):
        days = [(week.events[weekday], week.open[weekday]) for week in weeks]
        if max(share for _events, share in days) < HALF:  # a day off; its events have a mean of their own
            days = [(events, 1.0) for events, _share in days]
        days = [(events, share) for events, share in days if share >= HALF]
        rate = sum(events for events, _share in days) / sum(share for _events, share in days)
        if rate:
            square += sum((events - rate * share) ** 2 / (rate * share) for events, share in days)
            freedom += len(days) - 1
    of_days = square / freedom if freedom else 1.0
    rate = sum(week.count for week in weeks) / sum(week.open_days for week in weeks)
    squares = sum((w.count - rate * w.open_days) ** 2 / (rate * w.open_days) for w in weeks) if rate else 0.0
    return max(1.0, of_days, squares / (len(weeks) - 1))


def _smallest_volume(limits: Limits, count: int, weeks: int, dispersion: float) -> float:
    """Return the smallest drop of an ordinary week that is detected in four of five cases."""
    usual = count / weeks
    if not usual:
        return math.inf
    z = NORMAL.inv_cdf(limits.max_false_alarm)
    low, high = 0.0, usual * (1 - limits.max_drop)
    for _step in range(40):  # the largest number of events that trips
        middle = (low + high) / 2
        total, share = middle + count, 1 / (weeks + 1)
        trips = (middle - total * share) / math.sqrt(dispersion * total * share * (1 - share)) <= z
        low, high = (middle, high) if trips else (low, middle)
    if high < 1e-6:
        return math.inf

    def seen(drop: float) -> float:
        expected = usual * (1 - drop)
        return chance_of(low - expected, math.sqrt(dispersion * expected))

    return least_drop(seen)


# --- when monitoring begins ---------------------------------------------------------------------------------


def arms_on(
    measure: Measure, limits: Limits, days: Sequence[Day], baseline: Sample | None, start: date, today: date
) -> date | None:
    """Return about when a rate or mean is monitored, at the pace of the days so far; None without events.

    `start` is the day of the start mark, `days` those with events since (after the baseline if there is one);
    `today` is the first day that is not over.
    """
    statistic = STATISTICS[measure]
    counted = [day for day in days if statistic.counted(day)]
    known = [*(baseline.days if baseline else ()), *counted]
    if not known:
        return None
    span = max(1, (today - min(start, known[0].on)).days)
    days_a_day = len(known) / span
    events_a_day = sum(statistic.counted(day) for day in known) / span
    have, events = len(counted), sum(statistic.counted(day) for day in counted)
    wanted_days, wanted_events = float(WINDOWS[0]), float(max(limits.window_events, limits.min_events))
    if baseline is None:
        of_baseline = max(
            (BASELINE_DAYS - have) / days_a_day, (limits.baseline_events - events) / events_a_day, 0.0
        )
        have = events = 0
    else:
        of_baseline = 0.0
    of_window = max((wanted_days - have) / days_a_day, (wanted_events - events) / events_a_day, 0.0)
    return today + timedelta(days=min(math.ceil(of_baseline + of_window), 3650))


def volume_arms_on(weeks: Sequence[Week], baseline: bool, first_monday: date) -> date | None:
    """Return when a volume is monitored: the Monday after the fifth week that counts; None without events.

    `weeks` are those that count so far, `first_monday` that of the first week that is not over.
    """
    begun = next((number for number, week in enumerate(weeks) if week.count), None)
    if begun is None and not baseline:
        return None
    have = BASELINE_WEEKS if baseline else len(weeks) - (begun or 0)
    return first_monday + timedelta(weeks=BASELINE_WEEKS + 1 - have)


def monday_of(day: date) -> date:
    """Return the Monday of a day's week."""
    return day - timedelta(days=day.weekday())

"""The rules tried on simulated events: the rate of false alarms, and how soon drops are detected.

A stream is a baseline and up to 90 days, evaluated every day until something trips. The same seed gives the
same streams.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

from governance.tripwire.rules import (
    BASELINE_WEEKS,
    SPREAD_DAYS,
    Day,
    Limits,
    Verdict,
    Week,
    baseline_of,
    days_test,
    gravest,
    judge_weeks,
    windows_of,
)
from governance.tripwire.statistics import STATISTICS
from governance.tripwire.streams import CORRELATION, FIRST_DAY, Stream

LOOKS = 90
DROPS = (0.2, 0.3, 0.5)
WEEK = (1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.15)  # a quiet Saturday, and a Sunday with few events
OPEN = (1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0)

# The rules' goals: the maximum of false alarms within 90 evaluations, and the minimum share of runs that
# detect a 30 % drop at 20 events a day by day 30, by (noise, rate).
BY_DAY = 30
MOST_FALSE_ALARMS = {0.0: 0.03, CORRELATION: 0.08}
LEAST_SEEN = {
    (0.0, 0.3): 0.48,
    (0.0, 0.6): 0.97,
    (0.0, 0.9): 1.00,
    (CORRELATION, 0.3): 0.30,
    (CORRELATION, 0.6): 0.82,
    (CORRELATION, 0.9): 1.00,
}


@dataclass(frozen=True, slots=True)
class Found:
    """The day after the baseline on which each run tripped; None if it did not."""

    stream: Stream
    looks: int
    days: tuple[int | None, ...]

    @property
    def runs(self) -> int:
        return len(self.days)

    def seen(self, by_day: int | None = None) -> int:
        """Return how many runs had tripped by that day."""
        return sum(day is not None and day <= (by_day or self.looks) for day in self.days)

    def share(self, by_day: int | None = None) -> float:
        return self.seen(by_day) / self.runs

    def interval(self, by_day: int | None = None) -> tuple[float, float]:
        """Return the 95 % interval of that share."""
        return wilson(self.seen(by_day), self.runs)

    def day_of(self, part: float) -> int | None:
        """Return the day by which this part of the runs had tripped; None if so many never did."""
        days = sorted(self.looks + 1 if day is None else day for day in self.days)
        day = days[max(0, math.ceil(part * self.runs) - 1)]
        return day if day <= self.looks else None


def wilson(hits: int, runs: int, z: float = 1.96) -> tuple[float, float]:
    """Return the interval of a share (E. B. Wilson, JASA 22 (1927) 209-212)."""
    share, scale = hits / runs, 1 + z * z / runs
    middle = (share + z * z / (2 * runs)) / scale
    half = z * math.sqrt(share * (1 - share) / runs + z * z / (4 * runs * runs)) / scale
    return max(0.0, middle - half), min(1.0, middle + half)


def shortfalls(found: Iterable[Found]) -> list[str]:
    """Return a sentence for every goal that was missed; empty if all were reached."""
    missed = []
    for one in found:
        stream, share = one.stream, one.share()
        of_rates = STATISTICS[stream.measure].is_share
        most = MOST_FALSE_ALARMS[stream.noise if of_rates else 0.0]
        if not stream.drop and share > most:
            missed.append(f"{stream}: {share:.1%} false alarms, at most {most:.0%} wanted")
        least = LEAST_SEEN.get((stream.noise, stream.rate), 0.0)
        if of_rates and (stream.drop, stream.events) == (0.3, 20) and one.share(BY_DAY) < least:
            missed.append(f"{stream}: {one.share(BY_DAY):.1%} seen by day {BY_DAY}, {least:.0%} wanted")
    return missed


def with_drops(stream: Stream) -> Iterator[Stream]:
    """Return the stream unchanged and with each drop."""
    for drop in (0.0, *DROPS):
        yield replace(stream, drop=drop)


def simulate(
    stream: Stream, runs: int, *, seed: int, looks: int = LOOKS, limits: Limits | None = None
) -> Found:
    """Try the rules on `runs` streams of one kind."""
    chance = random.Random(f"{seed} {stream}")
    one_run = _weeks_run if STATISTICS[stream.measure].is_weekly else _days_run
    return Found(
        stream, looks, tuple(one_run(stream, chance, looks, limits or Limits()) for _run in range(runs))
    )


def _days_run(stream: Stream, chance: random.Random, looks: int, limits: Limits) -> int | None:
    measure, statistic = stream.measure, STATISTICS[stream.measure]
    before = list(
        itertools.islice(statistic.made_days(stream, chance, 0.0), SPREAD_DAYS + limits.baseline_events)
    )
    baseline = baseline_of(measure, limits, before)
    if baseline is None:
        raise ValueError("so few events never make a baseline")
    after: list[Day] = []
    for look, day in enumerate(
        itertools.islice(statistic.made_days(stream, chance, stream.drop), looks), start=1
    ):
        after.append(day)
        windows = windows_of(measure, limits, after)
        found = gravest(measure, limits, days_test(measure, baseline, after), windows)
        if found is not None and found[0] is Verdict.TRIPPED:
            return look
    return None


def _weeks_run(stream: Stream, chance: random.Random, looks: int, limits: Limits) -> int | None:
    baseline = [_week(stream, chance, number, 0.0) for number in range(BASELINE_WEEKS)]
    if not sum(week.count for week in baseline):
        return None
    for number in range(1, looks // 7 + 1):  # the evaluations of one week see the same last full week
        last = _week(stream, chance, BASELINE_WEEKS + number, stream.drop)
        if judge_weeks(limits, baseline, last).verdict is Verdict.TRIPPED:
            return 7 * number
    return None


def _week(stream: Stream, chance: random.Random, number: int, drop: float) -> Week:
    usual = [stream.events * share * (1 - drop) for share in WEEK]
    counts = tuple(_number(chance, mean, stream.noise) for mean in usual)
    return Week(FIRST_DAY + timedelta(weeks=number), counts, OPEN)


def _number(chance: random.Random, mean: float, over: float) -> int:
    """Return a Poisson number, or, if the variance is `over` times the mean, a negative binomial one."""
    if over > 1:
        mean = chance.gammavariate(mean / (over - 1), over - 1)
    count, waited = -1, 0.0
    while waited <= mean:  # events one after the other until the day is over
        waited += chance.expovariate(1.0)
        count += 1
    return count

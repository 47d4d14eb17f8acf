"""The data of comparisons: days, weeks and samples, a policy's limits, and the tests' interface."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Protocol

from governance.tripwire.chance import NORMAL, Spread

BASELINE_DAYS = 20
WINDOWS = (5, 10, 20)  # days with events
SPREAD_DAYS = 20
BASELINE_WEEKS = 4
WARNING_P = 0.01
POWER = 0.8
ROUNDING = 1e-9  # 0.4 is 20 % below 0.5, whatever their binary fractions are
HALF = 0.5  # a day on which less of the country is open says nothing about its weekday


@dataclass(frozen=True, slots=True)
class Limits:
    """A policy's numbers; `max_drop` and `max_false_alarm` are fractions."""

    window_events: int = 50
    baseline_events: int = 200
    min_events: int = 50
    max_drop: float = 0.20
    max_false_alarm: float = 0.0005


@dataclass(frozen=True, slots=True)
class Day:
    """The events of a local day: all, the good and bad ones, and those with a value and their sum."""

    on: date
    events: int = 0
    good: int = 0
    bad: int = 0
    valued: int = 0
    total: float = 0.0


@dataclass(frozen=True)
class Sample:
    """Days that are compared as a whole."""

    days: tuple[Day, ...]

    @cached_property
    def good(self) -> int:
        return sum(day.good for day in self.days)

    @cached_property
    def bad(self) -> int:
        return sum(day.bad for day in self.days)

    @cached_property
    def rates(self) -> tuple[tuple[int, int], ...]:
        return tuple((day.good, day.bad) for day in self.days)

    @cached_property
    def means(self) -> Spread:
        return Spread.of([day.total / day.valued for day in self.days])


@dataclass(frozen=True, slots=True)
class Week:
    """A full week from Monday: the events of each day, and how far each day was open, 0 to 1."""

    monday: date
    events: tuple[int, ...]
    open: tuple[float, ...]

    @property
    def count(self) -> int:
        return sum(self.events)

    @property
    def open_days(self) -> float:
        return sum(self.open)


@dataclass(frozen=True, slots=True)
class Compared:
    """A sample for display: its days, their number of events, and the resulting value.

    The value is a rate, a mean, or the events per open day.
    """

    since: date
    until: date
    days: int
    events: int
    figure: float


class DaysTest(Protocol):
    """A test of windows against the baseline; `figure` is the baseline's own value."""

    @property
    def figure(self) -> float: ...

    @property
    def dispersion(self) -> float | None: ...

    def p(self, window: Sample) -> float:
        """Return the probability of a window this low under chance alone."""

    def smallest(self, limits: Limits) -> float:
        """Return the smallest drop that, over the longest window, is detected in four of five cases."""


def chance_of(margin: float, error: float) -> float:
    """Return the probability of exceeding a mark that is exceeded by `margin` on average."""
    return NORMAL.cdf(margin / error) if error > 0 else float(margin >= 0)


def least_drop(seen: Callable[[float], float]) -> float:
    """Return the smallest drop detected in four of five cases; infinite if not even one to zero is."""
    if seen(1.0) < POWER:
        return math.inf
    low, high = 0.0, 1.0
    for _step in range(30):
        middle = (low + high) / 2
        low, high = (low, middle) if seen(middle) >= POWER else (middle, high)
    return high

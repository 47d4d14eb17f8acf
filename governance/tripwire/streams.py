"""Simulated event streams on which the rules are tried: their kinds and distributions."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from governance.tripwire.statistics import Measure

FIRST_DAY = date(2026, 1, 5)  # a Monday
EVENTS_A_DAY = (5, 20, 50, 300)
CORRELATION = 0.05


@dataclass(frozen=True, slots=True)
class Stream:
    """A kind of stream, with its `noise`: the intraclass correlation of a day's events (rates), the standard
    deviation of daily means (means) or the variance of daily numbers over their mean (volumes)."""

    measure: Measure
    events: int
    noise: float
    rate: float = 0.0
    drop: float = 0.0


def good_of(events: int, rate: float, correlation: float) -> list[float]:
    """Return the cumulative probabilities of 0, 1, 2, … good events in a day.

    Binomial; with a correlation beta-binomial, whose intraclass correlation is 1 / (a + b + 1).
    """
    if correlation:
        a, b = rate * (1 / correlation - 1), (1 - rate) * (1 / correlation - 1)
        chances = [_log_beta(k + a, events - k + b) - _log_beta(a, b) for k in range(events + 1)]
    else:
        chances = [k * math.log(rate) + (events - k) * math.log1p(-rate) for k in range(events + 1)]
    ways = [-_log_beta(events - k + 1, k + 1) - math.log(events + 1) for k in range(events + 1)]
    return list(itertools.accumulate(math.exp(way + log) for way, log in zip(ways, chances, strict=True)))


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)

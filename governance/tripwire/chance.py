"""The probability of a drop this large under chance alone: three one-sided tests on plain numbers.

Every p is the probability, if nothing changed, of a sample at least this much lower. No library: the
distributions are few, and the tests check each against published values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

NORMAL = NormalDist()
EPSILON = 1e-15
TINY = 1e-300
NOTHING = 1e-150  # a variance whose square would be 0


def fisher_less(good: int, bad: int, base_good: int, base_bad: int) -> float:
    """Return the one-sided p of Fisher's exact test that the first sample's rate is lower than the second's.

    The probability of `good` or fewer with all margins fixed: the lower tail of the hypergeometric
    distribution (R. A. Fisher, Statistical Methods for Research Workers, 5th ed., s. 21.02), its terms from
    log-gamma.
    """
    drawn, all_good, all_bad = good + bad, good + base_good, bad + base_bad
    least, most = max(0, drawn - all_bad), min(drawn, all_good)
    if good >= most:
        return 1.0
    # summing away from the middle is shorter, and loses no digits
    if good * (all_good + all_bad) <= drawn * all_good:
        return min(1.0, _tail(good, least, -1, drawn, all_good, all_bad))
    return max(0.0, 1.0 - _tail(good + 1, most, 1, drawn, all_good, all_bad))


def _tail(start: int, end: int, step: int, drawn: int, all_good: int, all_bad: int) -> float:
    """Return the sum of hypergeometric terms from `start` to `end`, in decreasing order."""
    term = math.exp(
        _log_choose(all_good, start)
        + _log_choose(all_bad, drawn - start)
        - _log_choose(all_good + all_bad, drawn)
    )
    total, k, rest = term, start, all_bad - drawn
    while k != end and term > total * EPSILON:
        if step < 0:
            term *= k * (rest + k) / ((all_good - k + 1) * (drawn - k + 1))
        else:
            term *= (all_good - k) * (drawn - k) / ((k + 1) * (rest + k + 1))
        k += step
        total += term
    return total


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


@dataclass(frozen=True, slots=True)
class Spread:
    """The mean and the variance (n - 1) of a number of values."""

    n: int
    mean: float
    variance: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        n = len(values)
        mean = math.fsum(values) / n
        return cls(n, mean, math.fsum((value - mean) ** 2 for value in values) / (n - 1) if n > 1 else 0.0)


@dataclass(frozen=True, slots=True)
class Welch:
    """Welch's t with its degrees of freedom and one-sided p; `error` is the difference's standard error."""

    t: float
    df: float
    p: float
    error: float


def welch_less(sample: Spread, base: Spread, spread: Spread | None = None) -> Welch:
    """Return Welch's test that the first sample's mean is lower. Each needs two values or more.

    B. L. Welch, Biometrika 34 (1947) 28-35; the degrees of freedom by Satterthwaite. If the sample is part of
    a longer period, `spread` is that period's: the variance of more values is better known.
    """
    known = spread or sample
    a, b = known.variance / sample.n, base.variance / base.n
    difference = sample.mean - base.mean
    if a + b < NOTHING:
        t = math.copysign(math.inf, difference) if difference else 0.0
        return Welch(t, float(known.n + base.n - 2), 0.0 if difference < 0 else 1.0, 0.0)
    error = math.sqrt(a + b)
    df = (a + b) ** 2 / (a * a / (known.n - 1) + b * b / (base.n - 1))
    return Welch(difference / error, df, t_below(difference / error, df), error)


def t_below(t: float, df: float) -> float:
    """Return the probability that Student's t with `df` degrees of freedom is at most `t`."""
    if math.isinf(t):
        return 0.0 if t < 0 else 1.0
    half = incomplete_beta(df / 2, 0.5, df / (df + t * t)) / 2
    return half if t < 0 else 1.0 - half


def t_quantile(p: float, df: float) -> float:
    """Return the quantile of Student's t with `df` degrees of freedom at probability `p`."""
    low, high = -1e6, 1e6
    for _step in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if t_below(middle, df) < p else (low, middle)
    return (low + high) / 2


def incomplete_beta(a: float, b: float, x: float) -> float:
    """Return the regularized incomplete beta function I_x(a, b).

    The continued fraction of DLMF 8.17.22 by Lentz's method, on the side on which it converges fast.
    """
    if x <= 0 or x >= 1:
        return float(x >= 1)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(a, b, x) / a
    return 1.0 - front * _fraction(b, a, 1 - x) / b


def _fraction(a: float, b: float, x: float) -> float:
    c, d = 1.0, 1.0 / _away(1.0 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, 1000):
        for numerator in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 / _away(1.0 + numerator * d)
            c = _away(1.0 + numerator / c)
            value *= c * d
        if abs(c * d - 1.0) < EPSILON:
            break
    return value


def _away(value: float) -> float:
    """Keep a denominator away from zero."""
    return value if abs(value) > TINY else TINY


def quasi_poisson_z(count: int, exposure: float, base: int, base_exposure: float, dispersion: float) -> float:
    """Return the z of one count's rate against another's, both with a variance of `dispersion` x their mean.

    The score test of two Poisson rates (J. Przyborowski and H. Wilenski, Biometrika 31 (1940) 313-323: of all
    events those of the first are binomial), its variance multiplied by the dispersion (R. W. M. Wedderburn,
    Biometrika 61 (1974) 439-447). Below 0 the first rate is the lower one.
    """
    share = exposure / (exposure + base_exposure)
    total = count + base
    if not total:
        return 0.0
    return (count - total * share) / math.sqrt(dispersion * total * share * (1 - share))


def rate_dispersion(*samples: Sequence[tuple[int, int]]) -> float:
    """Return the dispersion of days compared with chance alone: 1 for independent events.

    Each sample is a sequence of days, each day its good and bad events; Pearson's chi-square of each around
    its own rate, divided by the number of days. Never below 1.
    """
    square, days = 0.0, 0
    for sample in samples:
        good, bad = sum(day[0] for day in sample), sum(day[1] for day in sample)
        days += len(sample)
        if good and bad:
            rate = good / (good + bad)
            square += sum((g - (g + b) * rate) ** 2 / (g + b) for g, b in sample) / (rate * (1 - rate))
    return max(1.0, square / days) if days else 1.0

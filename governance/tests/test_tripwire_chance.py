"""The tripwires' tests of chance, against published values and against scipy."""

from __future__ import annotations

import math
import random
from fractions import Fraction

import pytest
from scipy import special, stats

from governance.tripwire.chance import (
    Spread,
    fisher_less,
    incomplete_beta,
    quasi_poisson_z,
    rate_dispersion,
    t_below,
    t_quantile,
    welch_less,
)

pytestmark = pytest.mark.once


# --- Fisher's exact test ------------------------------------------------------------------------------------


def test_the_lady_tasting_tea() -> None:
    """R. A. Fisher, The Design of Experiments (1935), ch. II: 3 of 4 cups right, or better, by chance."""
    assert fisher_less(1, 3, 3, 1) == pytest.approx(17 / 70, rel=1e-12)


def test_the_convictions_of_twins() -> None:
    """R. A. Fisher, Statistical Methods for Research Workers, s. 21.02: 619 in 1,330,665."""
    assert fisher_less(2, 15, 10, 3) == pytest.approx(619 / 1_330_665, rel=1e-12)


@pytest.mark.parametrize(
    ("table", "p"),
    [
        ((0, 0, 5, 5), 1.0),  # no sample says nothing
        ((5, 0, 5, 0), 1.0),  # nothing ever went wrong
        ((0, 5, 0, 5), 1.0),  # nothing ever went well
        ((5, 0, 0, 5), 1.0),  # as high as can be
        ((0, 5, 5, 0), 1 / 252),
    ],
)
def test_tables_at_the_edge(table: tuple[int, int, int, int], p: float) -> None:
    assert fisher_less(*table) == pytest.approx(p, rel=1e-12)


def test_fisher_agrees_with_scipy(chance: random.Random) -> None:
    for _table in range(300):
        most = chance.choice([5, 60, 800, 6000])
        a, b, c, d = (chance.randrange(most) for _cell in range(4))
        expected = stats.fisher_exact([[a, b], [c, d]], alternative="less").pvalue
        assert fisher_less(a, b, c, d) == pytest.approx(expected, rel=1e-7, abs=1e-290), (a, b, c, d)


def test_the_tail_keeps_its_digits_where_it_is_tiny() -> None:
    ways = sum(math.comb(990, good) * math.comb(1010, 1000 - good) for good in range(301))
    expected = float(Fraction(ways, math.comb(2000, 1000)))
    assert 0 < expected < 1e-60
    assert fisher_less(300, 700, 690, 310) == pytest.approx(expected, rel=1e-9)


# --- Welch's t ----------------------------------------------------------------------------------------------

SLEEP_1 = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
SLEEP_2 = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]


def test_the_hours_of_sleep() -> None:
    """Student (1908); R prints of ``t.test(extra ~ group, data = sleep)``: -1.8608, 17.776 and 0.07939."""
    found = welch_less(Spread.of(SLEEP_1), Spread.of(SLEEP_2))
    assert (round(found.t, 4), round(found.df, 3), round(2 * found.p, 5)) == (-1.8608, 17.776, 0.07939)


def test_welch_agrees_with_scipy(chance: random.Random) -> None:
    for _pair in range(200):
        n, m = chance.randrange(2, 30), chance.randrange(2, 30)
        first = [chance.gauss(0.9, chance.choice([0.1, 1, 30])) for _value in range(n)]
        second = [chance.gauss(1, 1) for _value in range(m)]
        expected = stats.ttest_ind(first, second, equal_var=False, alternative="less")
        found = welch_less(Spread.of(first), Spread.of(second))
        assert found.t == pytest.approx(expected.statistic, rel=1e-9)
        assert found.df == pytest.approx(expected.df, rel=1e-9)
        assert found.p == pytest.approx(expected.pvalue, rel=1e-8)


def test_values_that_never_differ_are_judged_by_their_mean_alone() -> None:
    five, four = Spread.of([5.0] * 8), Spread.of([4.0] * 8)
    assert (welch_less(four, five).p, welch_less(five, four).p, welch_less(five, five).p) == (0, 1, 1)


def test_a_sample_borrows_the_variance_of_a_longer_stretch() -> None:
    stretch = Spread.of([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    base = Spread.of([4.0, 5.0, 6.0, 7.0])
    found = welch_less(Spread.of([3.0, 3.1]), base, stretch)
    expected = stats.ttest_ind_from_stats(
        3.05, math.sqrt(3.5), 2, base.mean, math.sqrt(base.variance), 4, equal_var=False
    )
    assert found.t == pytest.approx(expected.statistic)
    assert found.p < expected.pvalue / 2, "six values know the variance better than two"


@pytest.mark.parametrize(
    ("t", "df", "above"),
    [(12.706, 1, 0.025), (4.303, 2, 0.025), (1.812, 10, 0.05), (2.086, 20, 0.025), (3.850, 20, 0.0005)],
)
def test_the_table_of_students_t(t: float, df: int, above: float) -> None:
    """R. A. Fisher and F. Yates, Statistical Tables, table III."""
    assert 1 - t_below(t, df) == pytest.approx(above, rel=2e-3)  # of three digits
    assert t_quantile(1 - above, df) == pytest.approx(t, rel=1e-3)


def test_the_beta_function_agrees_with_closed_forms_and_scipy(chance: random.Random) -> None:
    assert incomplete_beta(3, 3, 0.5) == pytest.approx(0.5)
    assert incomplete_beta(1, 4, 0.2) == pytest.approx(1 - 0.8**4)
    assert (incomplete_beta(2, 3, 0.0), incomplete_beta(2, 3, 1.0)) == (0.0, 1.0)
    for _point in range(500):
        a, b = (10 ** chance.uniform(-1, 4) for _side in range(2))
        x = chance.random()
        expected = float(special.betainc(a, b, x))  # 0 below about 1e-278, where ours still has a figure
        assert incomplete_beta(a, b, x) == pytest.approx(expected, rel=1e-8, abs=1e-250), (a, b, x)


def test_students_t_agrees_with_scipy_far_out(chance: random.Random) -> None:
    for _point in range(300):
        t, df = chance.uniform(-40, 40), 10 ** chance.uniform(0, 5)
        assert t_below(t, df) == pytest.approx(float(stats.t.cdf(t, df)), rel=1e-7, abs=1e-290), (t, df)
    assert (t_below(-math.inf, 3), t_below(math.inf, 3)) == (0.0, 1.0)


# --- numbers ------------------------------------------------------------------------------------------------


def test_the_z_of_two_counts_is_the_root_of_pearsons_chi_square(chance: random.Random) -> None:
    for _pair in range(100):
        count, base = chance.randrange(1, 500), chance.randrange(1, 2000)
        exposure, base_exposure = chance.uniform(1, 7), chance.uniform(10, 30)
        share = exposure / (exposure + base_exposure)
        expected = [(count + base) * share, (count + base) * (1 - share)]
        square = stats.chisquare([count, base], expected).statistic
        z = quasi_poisson_z(count, exposure, base, base_exposure, 1.0)
        assert z**2 == pytest.approx(square, rel=1e-9)
        assert (z < 0) == (count / exposure < base / base_exposure)
        assert quasi_poisson_z(count, exposure, base, base_exposure, 4.0) == pytest.approx(z / 2)
    assert quasi_poisson_z(0, 6, 0, 24, 1.0) == 0


# --- dispersion ---------------------------------------------------------------------------------------------


def test_days_that_differ_no_more_than_chance_have_a_dispersion_of_one() -> None:
    assert rate_dispersion([(6, 4)] * 20) == 1.0
    assert rate_dispersion([(10, 0)] * 20) == 1.0
    assert rate_dispersion() == 1.0


def test_the_dispersion_is_pearsons_chi_square_over_the_days() -> None:
    days = [(9, 1), (2, 8), (10, 0), (3, 7)]
    table = [[good for good, _bad in days], [bad for _good, bad in days]]
    square = stats.chi2_contingency(table, correction=False).statistic
    assert rate_dispersion(days) == pytest.approx(square / 4)


def test_each_sample_is_taken_around_its_own_rate() -> None:
    """Else a drop would look like days that differ, and hide itself."""
    assert rate_dispersion([(9, 1)] * 20, [(1, 9)] * 20) == 1.0
    assert rate_dispersion([(9, 1)] * 20 + [(1, 9)] * 20) > 5

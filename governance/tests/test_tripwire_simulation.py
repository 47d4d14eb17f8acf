"""How often the tripwires cry wolf, and how soon they see a drop, on streams that anyone can make again."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

import governance.tripwire.statistics as statistics
from governance.tripwire.simulation import (
    BY_DAY,
    LEAST_SEEN,
    MOST_FALSE_ALARMS,
    Found,
    shortfalls,
    simulate,
    wilson,
)
from governance.tripwire.statistics import STATISTICS, Measure
from governance.tripwire.streams import CORRELATION, Stream, good_of

pytestmark = pytest.mark.once
FEW, ALL, SEED = 40, 400, 20261124
RATE = Measure.SUCCESS_RATE
OTHERS = [stream for measure in (Measure.MEAN, Measure.VOLUME) for stream in STATISTICS[measure].streams()]


def test_what_does_not_change_rarely_trips() -> None:
    """A tenth of the runs, so all streams of one noise are judged together."""
    for noise, most in MOST_FALSE_ALARMS.items():
        found = [
            simulate(stream, FEW, seed=SEED) for stream in STATISTICS[RATE].streams() if stream.noise == noise
        ]
        assert len(found) == 12
        assert sum(one.seen() for one in found) / (FEW * len(found)) <= most


def test_other_measures_rarely_trip_either() -> None:
    found = [simulate(stream, FEW, seed=SEED) for stream in OTHERS]
    assert sum(one.seen() for one in found) / (FEW * len(found)) <= MOST_FALSE_ALARMS[0.0]


def test_a_drop_of_thirty_percent_is_seen_within_thirty_days() -> None:
    for (noise, rate), least in LEAST_SEEN.items():
        found = simulate(Stream(RATE, 20, noise, rate, drop=0.3), 2 * FEW, seed=SEED, looks=BY_DAY)
        assert found.interval()[1] >= least, (noise, rate, found.share())
    larger = simulate(Stream(RATE, 20, 0.0, 0.3, drop=0.5), FEW, seed=SEED, looks=BY_DAY)
    assert larger.share() > 0.9


@pytest.mark.long
def test_every_goal_is_reached_in_four_hundred_runs_a_stream() -> None:
    printed = StringIO()
    call_command("simulate_tripwire", runs=ALL, seed=1, stdout=printed)
    assert "Every goal was reached." in printed.getvalue()


def test_without_the_dispersion_of_days_every_other_quiet_quarter_trips(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The proof that the streams would show it: the plain test in place of ours."""
    monkeypatch.setattr(statistics, "rate_dispersion", lambda *samples: 1.0)
    found = simulate(Stream(RATE, 300, CORRELATION, 0.3), FEW, seed=SEED)
    assert found.share() > 0.5
    assert shortfalls([found]) != []


# --- the streams and what is told of them -------------------------------------------------------------------


def test_the_same_seed_makes_the_same_streams() -> None:
    stream = Stream(RATE, 5, CORRELATION, 0.6, drop=0.5)
    assert simulate(stream, 20, seed=1) == simulate(stream, 20, seed=1)
    assert simulate(stream, 20, seed=1) != simulate(stream, 20, seed=2)


@pytest.mark.parametrize("correlation", [0.0, CORRELATION])
def test_days_have_the_rate_and_the_correlation_that_was_asked_for(correlation: float) -> None:
    steps = good_of(20, 0.6, correlation)
    chances = [high - low for low, high in zip([0.0, *steps[:-1]], steps, strict=True)]
    mean = sum(good * part for good, part in enumerate(chances))
    variance = sum((good - mean) ** 2 * part for good, part in enumerate(chances))
    assert steps[-1] == pytest.approx(1.0)
    assert mean == pytest.approx(12.0)
    assert variance == pytest.approx(20 * 0.6 * 0.4 * (1 + 19 * correlation))


def test_a_share_and_a_day_are_told_with_their_interval() -> None:
    found = Found(Stream(RATE, 20, 0.0, 0.6), 90, (None, 5, 40, 10))
    assert (found.share(), found.share(30), found.day_of(0.5), found.day_of(0.9)) == (0.75, 0.5, 10, None)
    assert [round(end, 3) for end in wilson(0, 400)] == [0.0, 0.010]
    assert [round(end, 3) for end in wilson(200, 400)] == [0.451, 0.549]


def test_the_command_prints_a_row_for_each_stream_and_drop() -> None:
    def lines(**options: object) -> list[str]:
        printed = StringIO()
        call_command("simulate_tripwire", measure="VOLUME", runs=2, stdout=printed, **options)
        return [line for line in printed.getvalue().splitlines() if "%" in line and "to" in line][1:]

    assert len(lines()) == 12 * 4
    assert len(lines(no_drops=True)) == 12


def test_the_command_fails_where_a_goal_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MOST_FALSE_ALARMS, 0.0, -1.0)
    with pytest.raises(CommandError, match="miss their targets"):
        call_command("simulate_tripwire", measure="VOLUME", runs=1, no_drops=True, stdout=StringIO())
    with pytest.raises(CommandError, match="--runs"):
        call_command("simulate_tripwire", runs=0)

"""Each statistic that a tripwire can watch, and one more that is nothing but a class."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any, ClassVar

import pytest

from governance.tripwire.models import RegressionPolicy
from governance.tripwire.plot import plot_of
from governance.tripwire.rules import Verdict, baseline_of, judge_days
from governance.tripwire.samples import Day, Limits, Sample
from governance.tripwire.statistics import MEASURES, STATISTICS, Mean, Measure, Statistic
from governance.tripwire.why import why
from governance.tripwire.wording import figure

pytestmark = pytest.mark.once
MONDAY = date(2026, 9, 7)
KINDS = list(STATISTICS.values())


def test_every_measure_has_a_statistic_and_is_a_choice_of_the_policy() -> None:
    assert list(STATISTICS) == list(Measure)
    assert [code for code, _label in MEASURES] == [measure.value for measure in Measure]
    assert RegressionPolicy._meta.get_field("measure").choices == MEASURES


@pytest.mark.parametrize("statistic", KINDS, ids=lambda found: found.measure)
def test_every_statistic_counts_the_same_events_of_days_and_samples(statistic: Statistic) -> None:
    days = [Day(MONDAY + timedelta(days=n), 9, 5, n % 3, n % 4, 2.0 * (n % 4)) for n in range(1, 20)]
    assert statistic.events(Sample(tuple(days))) == sum(statistic.counted(day) for day in days)
    for stream in statistic.streams():
        assert stream.measure == statistic.measure


@pytest.mark.parametrize(
    ("measure", "shown", "with_unit", "top", "heading", "until"),
    [
        ("SUCCESS_RATE", "62.5\N{NO-BREAK SPACE}%", "62.5\N{NO-BREAK SPACE}%", 1.0, "Day", ""),
        ("MEAN", "0.625", "0.625", 1.25, "Day", ""),
        ("VOLUME", "0.625", "0.625 per open day", 1.25, "Week", " – 13 September 2026"),
    ],
)
def test_how_each_is_shown(
    measure: str, shown: str, with_unit: str, top: float, heading: str, until: str
) -> None:
    statistic = STATISTICS[measure]
    assert [statistic.display(0.625), statistic.tick(0.625)] == [shown, shown]
    assert statistic.display_with_unit(0.625) == with_unit
    assert statistic.axis_top(1.25, 0.9) == top
    assert statistic.point_heading() == heading
    assert statistic.point(MONDAY.isoformat()) == f"7 September 2026{until}"
    assert figure(measure, None) == "–"


class Total(Mean):
    """The sum of the values of a day."""

    measure: ClassVar[Any] = "TOTAL"

    def day_figure(self, day: Day) -> float | None:
        return day.total if day.valued else None

    def display(self, value: float) -> str:
        return f"{value:.0f} in all"

    def point_heading(self) -> str:
        return "When"


@pytest.fixture
def total(monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.setitem(STATISTICS, "TOTAL", Total())
    return "TOTAL"


def test_another_statistic_is_judged_told_and_drawn_without_a_change_elsewhere(total: Any) -> None:
    days = [Day(MONDAY + timedelta(days=n), 20, valued=20, total=200.0 + n % 3) for n in range(20)]
    after = [Day(MONDAY + timedelta(days=20 + n), 20, valued=20, total=100.0 + n % 3) for n in range(10)]
    baseline = baseline_of(total, Limits(), days)
    assert baseline is not None
    found = judge_days(total, Limits(), baseline, after)
    assert found.verdict is Verdict.TRIPPED
    points = [[day.on.isoformat(), STATISTICS[total].day_figure(day), 20] for day in (*days, *after)]
    sample = {"since": MONDAY.isoformat(), "until": MONDAY.isoformat(), "days": 1, "events": 20}
    seen = {
        "measure": total, "baseline": 200.0, "current": 100.0, "drop": 0.5, "p": 0.0001, "max_drop": 0.2,
        "max_false_alarm": 0.0005, "samples": {"baseline": sample, "current": sample},
        "series": {"baseline": points[:20], "after": points[20:]},
    }  # fmt: skip
    told, plot = why(seen, "now"), plot_of(seen)
    assert told.now is not None
    assert plot is not None
    assert (told.now.figure, plot.heading) == ("100 in all", "When")
    assert "100 in all" in told.sentences[0]

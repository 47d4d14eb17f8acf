"""The plot of a metric, as coordinates for an inline SVG and as text for screen readers.

Coordinates are text already: a template would localize their decimal separator.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.utils.formats import date_format
from django.utils.translation import gettext as _

from governance.tripwire.statistics import STATISTICS, day_display

WIDTH, HEIGHT = 760, 280
LEFT, RIGHT, TOP, BOTTOM = 56, 112, 18, 34
LABEL_GAP = 15


@dataclass(frozen=True, slots=True)
class Mark:
    """A text at a position: a tick of an axis, or the label of a line."""

    x: str
    y: str
    text: str
    anchor: str = "middle"


@dataclass(frozen=True, slots=True)
class Line:
    """A horizontal line at a value, with its label at the right."""

    kind: str
    x1: str
    x2: str
    y: str
    label: Mark


@dataclass(frozen=True, slots=True)
class Band:
    """A period that is compared as a whole."""

    kind: str
    x: str
    width: str
    label: Mark


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table: a day or week, its value and events, and its sample."""

    when: str
    figure: str
    events: int
    sample: str


@dataclass(frozen=True)
class Plot:
    """The template's data."""

    title: str
    told: str
    points: list[tuple[str, str]]
    path: str
    bands: list[Band]
    lines: list[Line]
    ticks: list[Mark]
    days: list[Mark]
    heading: str
    rows: list[Row]
    width: int = WIDTH
    height: int = HEIGHT
    left: str = str(LEFT)
    top: str = str(TOP)
    right: str = str(WIDTH - RIGHT)
    bottom: str = str(HEIGHT - BOTTOM)
    tall: str = str(HEIGHT - TOP - BOTTOM)


def plot_of(seen: dict[str, Any]) -> Plot | None:
    """Return the plot of an evaluation, as a firing stores it; None without any day."""
    series = seen.get("series") or {}
    before, after = series.get("baseline", []), series.get("after", [])
    points = [*before, *after]
    if not points:
        return None
    return _Drawing(seen, before, after).plot()


class _Drawing:
    """Days at equal distances: days without events are left out."""

    def __init__(
        self, seen: dict[str, Any], before: Sequence[Sequence[Any]], after: Sequence[Sequence[object]]
    ) -> None:
        self.statistic = STATISTICS[seen["measure"]]
        self.seen, self.points, self.n_before = seen, [*before, *after], len(before)
        self.baseline, self.current = seen.get("baseline"), seen.get("current")
        self.floor = None
        if self.baseline is not None:
            self.floor = self.baseline - abs(self.baseline) * seen["max_drop"]
        current = seen.get("samples", {}).get("current")
        self.window = [
            number
            for number, point in enumerate(self.points)
            if current and number >= self.n_before and current["since"] <= point[0] <= current["until"]
        ]
        drawn = [point[1] for point in self.points]
        drawn += [line for line in (self.baseline, self.current, self.floor) if line is not None]
        self.low = min(0.0, *drawn)
        self.step, self.high = _nice(self.low, max(drawn))
        self.high = self.statistic.axis_top(self.high, max(drawn))

    def x(self, number: float) -> float:
        across = WIDTH - LEFT - RIGHT
        return LEFT + across * (number + 0.5) / len(self.points)

    def y(self, value: float) -> float:
        share: float = (self.high - value) / (self.high - self.low)
        return TOP + (HEIGHT - TOP - BOTTOM) * share

    def plot(self) -> Plot:
        places = [(_text(self.x(n)), _text(self.y(point[1]))) for n, point in enumerate(self.points)]
        return Plot(
            title=_("Values in order"),
            told=self._told(),
            points=places,
            path=" ".join(f"{x},{y}" for x, y in places),
            bands=self._bands(),
            lines=self._lines(),
            ticks=self._ticks(),
            days=self._days(),
            heading=self.statistic.point_heading(),
            rows=[self._row(number) for number in range(len(self.points))],
        )

    def _bands(self) -> list[Band]:
        stretches = [("before", _("Baseline"), 0, self.n_before)] if self.n_before else []
        if self.window:
            stretches.append(("window", _("Window"), self.window[0], self.window[-1] + 1))
        return [
            Band(
                kind,
                _text(self.x(begin - 0.5)),
                _text(self.x(end - 0.5) - self.x(begin - 0.5)),
                Mark(_text(self.x((begin + end - 1) / 2)), _text(TOP - 5), label),
            )
            for kind, label, begin, end in stretches
        ]

    def _lines(self) -> list[Line]:
        last = len(self.points) - 0.5
        wanted: list[tuple[str, float, float, str]] = []
        if self.baseline is not None and self.floor is not None:
            wanted = [
                ("before", self.baseline, -0.5, _("before: %(figure)s")),
                ("floor", self.floor, self.n_before - 0.5, _("limit: %(figure)s")),
            ]
        if self.current is not None and self.window:
            wanted.append(("now", self.current, self.window[0] - 0.5, _("now: %(figure)s")))
        heights = _apart([self.y(value) for _kind, value, *_rest in wanted])
        return [
            Line(
                kind,
                _text(self.x(begin)),
                _text(self.x(last)),
                _text(self.y(value)),
                Mark(
                    _text(WIDTH - RIGHT + 8),
                    _text(height + 4),
                    told % {"figure": self._told_of(value)},
                    "start",
                ),
            )
            for (kind, value, begin, told), height in zip(wanted, heights, strict=True)
        ]

    def _ticks(self) -> list[Mark]:
        count = round((self.high - self.low) / self.step)
        values = [self.low + number * self.step for number in range(count + 1)]
        return [
            Mark(_text(LEFT - 8), _text(self.y(value) + 4), self.statistic.tick(value), "end")
            for value in values
        ]

    def _days(self) -> list[Mark]:
        """Label the first and last days, and those at which the baseline ends and the window begins."""
        wanted = [0, len(self.points) - 1]
        wanted += [self.n_before - 1] if self.n_before else []
        wanted += self.window[:1]
        named: list[int] = []
        for number in wanted:
            if all(abs(self.x(number) - self.x(other)) > 62 for other in named):
                named.append(number)
        return [
            Mark(_text(self.x(number)), _text(HEIGHT - BOTTOM + 18), _short(self.points[number][0]))
            for number in sorted(named)
        ]

    def _row(self, number: int) -> Row:
        since, value, events = self.points[number]
        sample = _("baseline") if number < self.n_before else _("window") if number in self.window else ""
        return Row(self.statistic.point(since), self._told_of(value), events, sample)

    def _told_of(self, value: float) -> str:
        return self.statistic.display(value)

    def _told(self) -> str:
        """Return the plot's contents as text."""
        since, until = day_display(self.points[0][0]), day_display(self.points[-1][0])
        told = self.statistic.plot_sentence()
        sentences = [told % {"since": since, "until": until}]
        if self.baseline is not None and self.floor is not None:
            sentences.append(
                _("The baseline is %(before)s; a fall to %(floor)s or below counts as a drop.")
                % {"before": self._told_of(self.baseline), "floor": self._told_of(self.floor)}
            )
        if self.current is not None and self.window:
            sentences.append(_("In the window it is %(now)s.") % {"now": self._told_of(self.current)})
        return " ".join(sentences)


def _text(place: float) -> str:
    return f"{place:.1f}"


def _short(on: str) -> str:
    return date_format(date.fromisoformat(on), "j N")


def _nice(low: float, high: float) -> tuple[float, float]:
    """Return the distance of an axis's ticks, about four of them, and the end of the axis."""
    span = (high - low) or 1.0
    size = 10 ** math.floor(math.log10(span / 4))
    step = next(size * part for part in (1, 2, 2.5, 5, 10) if size * part * 4.5 >= span)
    return step, low + step * math.ceil((high - low) / step - 1e-9 if high > low else 1)


def _apart(heights: Sequence[float]) -> list[float]:
    """Move labels apart so that all can be read, in the order of their heights."""
    moved = list(heights)
    order = sorted(range(len(moved)), key=lambda number: moved[number])
    for above, below in zip(order, order[1:], strict=False):
        moved[below] = max(moved[below], moved[above] + LABEL_GAP)
    return moved

"""The statistics that a tripwire can monitor: a class each, with its test and its display.

A new statistic is a member of Measure, a class and its line in STATISTICS, all in this file, and a migration
for the choices of `RegressionPolicy.measure`.
"""

from __future__ import annotations

import abc
import bisect
import enum
import itertools
import math
import random
from collections.abc import Iterator
from datetime import date, timedelta
from functools import cached_property
from typing import Any, ClassVar

from django.utils.formats import date_format, number_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from governance.core.numbers import percent
from governance.tripwire.chance import NORMAL, Spread, fisher_less, rate_dispersion, t_quantile, welch_less
from governance.tripwire.samples import (
    POWER,
    WINDOWS,
    Day,
    DaysTest,
    Limits,
    Sample,
    chance_of,
    least_drop,
)
from governance.tripwire.streams import CORRELATION, EVENTS_A_DAY, FIRST_DAY, Stream, good_of


class Measure(enum.StrEnum):
    """The statistic of a metric's events that is monitored."""

    SUCCESS_RATE = "SUCCESS_RATE"
    MEAN = "MEAN"
    VOLUME = "VOLUME"


class Statistic(abc.ABC):
    """A statistic of a metric's events: over days with events, or, if `is_weekly`, over full weeks.

    If `is_share`, values are between 0 and 1. `noise` describes the variation of its simulated streams.
    """

    measure: ClassVar[Measure]
    label: ClassVar[Any]
    watched: ClassVar[Any]
    noise: ClassVar[str]
    is_weekly: ClassVar[bool] = False
    is_share: ClassVar[bool] = False

    # --- counting

    @abc.abstractmethod
    def counted(self, day: Day) -> int:
        """Return how many of a day's events count."""

    @abc.abstractmethod
    def day_figure(self, day: Day) -> float | None:
        """Return the day's own value; None if nothing counts."""

    def events(self, sample: Sample) -> int:
        """Return how many events of a sample count."""
        return sum(self.counted(day) for day in sample.days)

    @abc.abstractmethod
    def figure(self, sample: Sample) -> float:
        """Return the value of days that are compared as a whole."""

    @abc.abstractmethod
    def test(self, baseline: Sample, recent: Sample) -> DaysTest:
        """Return the test of windows against the baseline; `recent` are the last days after it."""

    # --- showing

    def display(self, value: float) -> str:
        """Return a value with its unit."""
        return rounded(value)

    def display_with_unit(self, value: float) -> str:
        return self.display(value)

    def tick(self, value: float) -> str:
        """Return a value as an axis label."""
        return number_format(f"{value:.6f}".rstrip("0").rstrip("."), force_grouping=True)

    def axis_top(self, top: float, highest: float) -> float:
        """Return the end of an axis that would end at `top`, with `highest` as the highest value."""
        return min(top, 1.0) if self.is_share and highest <= 1.0 else top

    def stretch(self, sample: dict[str, Any]) -> str:
        """Return the days of a sample: how many, from when to when."""
        sentence = ngettext(
            "the day %(since)s", "the %(count)s days with events from %(since)s to %(until)s", sample["days"]
        )
        return sentence % {
            "count": sample["days"],
            "since": day_display(sample["since"]),
            "until": day_display(sample["until"]),
        }

    def comparison(self, *, fell: bool) -> str:
        """Return the sentence that compares the window with the baseline."""
        if fell:
            return _("%(now)s in %(window)s, %(drop)s less than %(before)s in %(baseline)s.")
        return _("%(now)s in %(window)s, against %(before)s in %(baseline)s.")

    def point(self, since: str) -> str:
        """Return the day, or week, of a point in the plot."""
        return day_display(since)

    def point_heading(self) -> str:
        return _("Day")

    def plot_sentence(self) -> str:
        """Return the plot's contents as a sentence."""
        return _("The value of each day with events from %(since)s to %(until)s.")

    # --- trying the rules

    @abc.abstractmethod
    def streams(self) -> Iterator[Stream]:
        """Yield the simulated streams on which the rules are tried."""

    @abc.abstractmethod
    def made_days(self, stream: Stream, chance: random.Random, drop: float) -> Iterator[Day]:
        """Yield the days of a simulated stream, endlessly."""


class SuccessRate(Statistic):
    """The share of events that succeeded."""

    measure = Measure.SUCCESS_RATE
    label = gettext_lazy("success rate")
    watched = gettext_lazy("It monitors the success rate of “%(what)s”.")
    noise = "correlation of a day's events"
    is_share = True

    def counted(self, day: Day) -> int:
        return day.good + day.bad

    def day_figure(self, day: Day) -> float | None:
        count = self.counted(day)
        return day.good / count if count else None

    def events(self, sample: Sample) -> int:
        return sample.good + sample.bad

    def figure(self, sample: Sample) -> float:
        return sample.good / (sample.good + sample.bad)

    def test(self, baseline: Sample, recent: Sample) -> DaysTest:
        return RateTest(baseline, recent)

    def display(self, value: float) -> str:
        return percent(value, 1)

    def tick(self, value: float) -> str:
        return percent(value)

    def streams(self) -> Iterator[Stream]:
        """Yield constant rates, independent and with good and bad days."""
        for noise, rate, events in itertools.product((0.0, CORRELATION), (0.3, 0.6, 0.9), EVENTS_A_DAY):
            yield Stream(self.measure, events, noise, rate)

    def made_days(self, stream: Stream, chance: random.Random, drop: float) -> Iterator[Day]:
        events = stream.events
        steps = good_of(events, stream.rate * (1 - drop), stream.noise)
        for on in _days_from(FIRST_DAY):
            good = bisect.bisect(steps, chance.random() * steps[-1])
            yield Day(on, events, good, events - good)


class Mean(Statistic):
    """The mean of the events' values, each day counting as one."""

    measure = Measure.MEAN
    label = gettext_lazy("mean value")
    watched = gettext_lazy("It monitors the mean value of “%(what)s”.")
    noise = "deviation of a day's mean"

    def counted(self, day: Day) -> int:
        return day.valued

    def day_figure(self, day: Day) -> float | None:
        return day.total / day.valued if day.valued else None

    def figure(self, sample: Sample) -> float:
        return sample.means.mean

    def test(self, baseline: Sample, recent: Sample) -> DaysTest:
        return MeanTest(baseline, recent)

    def streams(self) -> Iterator[Stream]:
        """Yield means whose days deviate by a fraction of the mean."""
        for noise in (0.3, 0.6):
            yield Stream(self.measure, 20, noise)

    def made_days(self, stream: Stream, chance: random.Random, drop: float) -> Iterator[Day]:
        for on in _days_from(FIRST_DAY):
            mean = chance.gauss(1 - drop, stream.noise)
            yield Day(on, stream.events, valued=stream.events, total=mean * stream.events)


class Volume(Statistic):
    """The number of events in a full week, per open day: judged by `rules.judge_weeks`."""

    measure = Measure.VOLUME
    label = gettext_lazy("number of events")
    watched = gettext_lazy("It monitors the number of “%(what)s” per open day.")
    noise = "variance of a day's number over its mean"
    is_weekly = True

    def counted(self, day: Day) -> int:
        return day.events

    def day_figure(self, day: Day) -> float | None:
        return float(day.events)

    def figure(self, sample: Sample) -> float:
        return self.events(sample) / len(sample.days)

    def test(self, baseline: Sample, recent: Sample) -> DaysTest:
        raise NotImplementedError("weeks are judged by rules.judge_weeks")

    def display_with_unit(self, value: float) -> str:
        return _("%(figure)s per open day") % {"figure": self.display(value)}

    def stretch(self, sample: dict[str, Any]) -> str:
        weeks = sample["days"] // 7
        sentence = ngettext(
            "the week from %(since)s", "the %(count)s weeks from %(since)s to %(until)s", weeks
        )
        return sentence % {
            "count": weeks,
            "since": day_display(sample["since"]),
            "until": day_display(sample["until"]),
        }

    def comparison(self, *, fell: bool) -> str:
        if fell:
            return _(
                "%(now)s events per open day in %(window)s, %(drop)s fewer than %(before)s in %(baseline)s."
            )
        return _("%(now)s events per open day in %(window)s, against %(before)s in %(baseline)s.")

    def point(self, since: str) -> str:
        return f"{day_display(since)} – {day_display(date.fromisoformat(since) + timedelta(days=6))}"

    def point_heading(self) -> str:
        return _("Week")

    def plot_sentence(self) -> str:
        return _("Events per open day of each full week from %(since)s to %(until)s.")

    def streams(self) -> Iterator[Stream]:
        """Yield counts with weekends, and with more variance than chance has."""
        for noise, events in itertools.product((1.0, 2.0, 4.0), EVENTS_A_DAY):
            yield Stream(self.measure, events, noise)

    def made_days(self, stream: Stream, chance: random.Random, drop: float) -> Iterator[Day]:
        raise NotImplementedError("weeks are made by simulation")


STATISTICS: dict[str, Statistic] = {
    statistic.measure: statistic for statistic in (SuccessRate(), Mean(), Volume())
}
MEASURES = [(statistic.measure.value, statistic.label) for statistic in STATISTICS.values()]


def _days_from(first: date) -> Iterator[date]:
    return (first + timedelta(days=number) for number in itertools.count())


def rounded(value: float) -> str:
    """Return a number with three significant digits."""
    places = 0 if not value else max(0, 2 - math.floor(math.log10(abs(value))))
    return number_format(round(value, min(places, 4)), min(places, 4), force_grouping=True)


def day_display(value: date | str) -> str:
    """Return a day for display: 3 December 2026."""
    on = date.fromisoformat(value) if isinstance(value, str) else value
    return date_format(on, "j F Y")


# --- the tests ----------------------------------------------------------------------------------------------


class RateTest:
    """Fisher's exact test on counts divided by the dispersion of days.

    A day's events share people, weather and lists, so they carry less information than independent ones. How
    much less is estimated from the baseline's days and the last 20 after it, each around their own rate: an
    estimate from the baseline alone is so poor that drops are missed and false alarms are twice as many.
    """

    def __init__(self, baseline: Sample, recent: Sample) -> None:
        self.baseline, self.recent = baseline, recent
        self.figure = baseline.good / (baseline.good + baseline.bad)

    @cached_property
    def dispersion(self) -> float:
        return rate_dispersion(self.baseline.rates, self.recent.rates)

    def p(self, window: Sample) -> float:
        numbers = (window.good, window.bad, self.baseline.good, self.baseline.bad)
        return fisher_less(*(round(number / self.dispersion) for number in numbers))

    def smallest(self, limits: Limits) -> float:
        before = self.baseline.good + self.baseline.bad
        rate = self.figure
        pace = self.recent if self.recent.days else self.baseline
        wanted = (pace.good + pace.bad) * WINDOWS[-1] / len(pace.days)
        after = max(wanted, limits.window_events)
        if not rate:
            return math.inf
        n, m = before / self.dispersion, after / self.dispersion
        z = -NORMAL.inv_cdf(limits.max_false_alarm)

        def seen(drop: float) -> float:
            lower = rate * (1 - drop)
            both = (before * rate + after * lower) / (before + after)
            # the last term is the continuity correction: an exact test of counts needs that much more
            needed = z * math.sqrt(both * (1 - both) * (1 / n + 1 / m)) + (1 / n + 1 / m) / 2
            error = math.sqrt(rate * (1 - rate) / n + lower * (1 - lower) / m)
            return chance_of(rate - lower - max(needed, limits.max_drop * rate), error)

        return least_drop(seen)


class MeanTest:
    """Welch's t on daily means; the window's variance is the last 20 days', since five are too few for it."""

    def __init__(self, baseline: Sample, recent: Sample) -> None:
        self.baseline = baseline.means
        self.figure = self.baseline.mean
        self.spread = recent.means if len(recent.days) > 1 else None
        self.dispersion = None

    def p(self, window: Sample) -> float:
        known = self.spread if self.spread and self.spread.n >= len(window.days) else window.means
        return welch_less(window.means, self.baseline, known).p

    def smallest(self, limits: Limits) -> float:
        known = self.spread if self.spread and self.spread.n >= WINDOWS[0] else self.baseline
        if not self.baseline.mean:
            return math.inf
        found = welch_less(Spread(WINDOWS[-1], known.mean, known.variance), self.baseline, known)
        error = found.error / abs(self.baseline.mean)
        needed = max(-t_quantile(limits.max_false_alarm, found.df) * error, limits.max_drop)
        return needed + NORMAL.inv_cdf(POWER) * error

"""The explanation of a tripwire's result, for its page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from governance.core.numbers import percent
from governance.tripwire.models import RegressionState
from governance.tripwire.plot import Plot, plot_of
from governance.tripwire.statistics import STATISTICS
from governance.tripwire.wording import chance, comparison, one_in, probability

Verdict = RegressionState.Verdict


@dataclass(frozen=True, slots=True)
class LabelledValue:
    """A value, its label and its explanation."""

    title: str
    figure: str
    told: str


@dataclass(frozen=True, slots=True)
class Why:
    """The two samples, their difference, its probability under chance, and the plot."""

    id: str
    measure: str
    before: LabelledValue | None
    now: LabelledValue | None
    change: LabelledValue | None
    chance: LabelledValue | None
    sentences: list[str]
    plot: Plot | None


def why(seen: dict[str, Any], name: str) -> Why:
    """Return the page's explanation of an evaluation; `name` makes its element ids unique."""
    measure, samples = seen["measure"], seen.get("samples", {})
    said = [comparison(measure, seen), chance(seen.get("p"))]
    return Why(
        id=name,
        measure=measure,
        before=_sample(_("Before"), measure, seen.get("baseline"), samples.get("baseline")),
        now=_sample(_("Now"), measure, seen.get("current"), samples.get("current")),
        change=_change(seen),
        chance=_chance(seen),
        sentences=[sentence for sentence in said if sentence],
        plot=plot_of(seen),
    )


def _sample(
    title: str, measure: str, value: float | None, sample: dict[str, Any] | None
) -> LabelledValue | None:
    if value is None or not sample:
        return None
    count = ngettext("%(count)s event", "%(count)s events", sample["events"])
    count %= {"count": number_format(sample["events"], force_grouping=True)}
    statistic = STATISTICS[measure]
    return LabelledValue(title, statistic.display_with_unit(value), f"{count}, {statistic.stretch(sample)}")


def _change(seen: dict[str, Any]) -> LabelledValue | None:
    drop = seen.get("drop")
    if drop is None:
        return None
    needed = _("a drop counts from %(drop)s on") % {"drop": percent(seen["max_drop"], 1)}
    return LabelledValue(_("Drop") if drop >= 0 else _("Rise"), percent(abs(drop), 1), needed)


def _chance(seen: dict[str, Any]) -> LabelledValue | None:
    p = seen.get("p")
    if p is None:
        return None
    told = _("p is %(p)s; it fires at %(limit)s or less") % {
        "p": probability(p),
        "limit": probability(seen["max_false_alarm"]),
    }
    return LabelledValue(_("Chance alone"), one_in(p), told)


@dataclass(frozen=True, slots=True)
class Light:
    """A tripwire's status light: `state` is good, watch, bad, off or blank, for the styles."""

    state: str
    says: str


def light(state: RegressionState) -> Light:
    """Return a tripwire's light: a firing counts until its alert is reset."""
    if state.triggered:
        return Light("bad", _("Fired"))
    if not state.policy.enabled:
        return Light("off", _("Off"))
    if state.verdict == Verdict.WARNING:
        return Light("watch", _("Warning"))
    return Light("good", _("Steady")) if state.verdict == Verdict.CLEAR else Light("", _("Learning"))

"""A tripwire's results as text for managers."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from governance.core.numbers import percent
from governance.kpi.names import metric_label
from governance.tripwire.models import RegressionFiring, RegressionPolicy, RegressionState
from governance.tripwire.querysets import LOCAL
from governance.tripwire.statistics import STATISTICS, day_display

Action = RegressionPolicy.Action
Verdict = RegressionState.Verdict

MILLION = 1_000_000


def label(policy: RegressionPolicy) -> str:
    """Return a metric's display name; its code if it has none."""
    return metric_label(policy.domain, policy.metric, unknown=policy.name)


def figure(measure: str, value: float | None) -> str:
    """Return a value in its measure's own terms: a percentage, a mean, or events per open day."""
    return "–" if value is None else STATISTICS[measure].display(value)


def limit(state: RegressionState) -> float | None:
    """Return the value at which a drop counts; None while there is no baseline."""
    if state.baseline is None:
        return None
    return state.baseline - abs(state.baseline) * float(state.policy.max_drop_fraction)


def day_of(at: datetime) -> str:
    return day_display(at.astimezone(LOCAL).date())


def odds(p: float) -> str:
    """Return the probability under chance for display."""
    if p * MILLION < 1:
        return _("less than once in a million checks")
    times = 1 / p
    if times < 20:
        return _("about once in %(times)s checks") % {"times": number_format(max(1, round(times)))}
    exact = float(f"{times:.2g}")
    return _("about once in %(times)s checks") % {"times": number_format(exact, 0, force_grouping=True)}


def policy_in_words(policy: RegressionPolicy) -> list[str]:
    """Return sentences on how a metric is monitored and what happens when it drops."""
    if not policy.enabled:
        return [_("Switched off: this metric is not monitored.")]
    told = {
        "what": label(policy),
        "drop": percent(float(policy.max_drop_fraction), 0),
        "alarm": one_in(float(policy.max_false_alarm)),
    }
    statistic = STATISTICS.get(policy.measure)  # in a form that is being filled in it may be anything
    acts: dict[str, str] = {
        Action.NOTIFY.value: _("the managers are notified and nothing is stopped."),
        Action.THROTTLE.value: _(
            "%(engine)s is held back until a manager resets the alert, and the managers are notified."
        ),
        Action.KILL_SWITCH.value: _("the kill switch is engaged: nothing runs until a manager releases it."),
    }
    fires = _(
        "If it falls by %(drop)s or more, and chance alone does that with a probability of at most %(alarm)s,"
    )
    return [
        str(statistic.watched) % told if statistic else "",
        f"{fires % told} {acts.get(policy.action, '') % {'engine': policy.engine or '–'}}",
        ngettext(
            "With fewer than %(count)s event in the window it only warns.",
            "With fewer than %(count)s events in the window it only warns.",
            policy.min_events_to_enforce,
        )
        % {"count": policy.min_events_to_enforce},
    ]


def headline(state: RegressionState) -> str:
    """Return the line that notifies managers of a firing."""
    told = {"what": label(state.policy), "drop": percent(state.drop_fraction or 0, 0)}
    return _("Tripwire: %(what)s fell by %(drop)s") % told


def comparison(measure: str, seen: dict[str, Any]) -> str:
    """Return the comparison as a sentence: `seen` as a firing stores it."""
    samples = seen.get("samples", {})
    if "current" not in samples or seen.get("drop") is None:
        return ""
    statistic = STATISTICS[measure]
    told = {
        "now": figure(measure, seen["current"]),
        "window": statistic.stretch(samples["current"]),
        "before": figure(measure, seen["baseline"]),
        "baseline": statistic.stretch(samples["baseline"]),
        "drop": percent(abs(seen["drop"]), 0),
    }
    return statistic.comparison(fell=seen["drop"] >= 0.005) % told


def one_in(p: float) -> str:
    """Return a probability as a percentage, or as one in so many."""
    if p >= 0.05:
        return percent(p, 0)
    if p * MILLION < 1:
        return _("below 1 in a million")
    return _("1 in %(times)s") % {"times": number_format(float(f"{1 / p:.2g}"), 0, force_grouping=True)}


def probability(p: float) -> str:
    """Return a p-value in digits."""
    if p < 1e-6:
        return _("below %(least)s") % {"least": number_format("0.000001")}
    places = max(2, 1 - math.floor(math.log10(p)))
    return number_format(f"{p:.{places}f}".rstrip("0"))


def chance(p: float | None) -> str:
    """Return what the p-value means."""
    if p is None:
        return ""
    return _("If nothing had changed, chance alone would make a drop this large %(odds)s.") % {
        "odds": odds(p)
    }


def done(firing: RegressionFiring) -> str:
    """Return what a firing did."""
    if firing.action == Action.THROTTLE:
        return _("Reservations of %(engine)s are denied until a manager resets the alert.") % {
            "engine": firing.engine
        }
    if firing.action == Action.KILL_SWITCH:
        return _(
            "The kill switch was engaged: nothing runs until a manager releases it. Resetting the "
            "alert does not release the kill switch."
        )
    return _("Nothing was stopped: this tripwire only notifies the managers.")


def sentences(firing: RegressionFiring) -> list[str]:
    """Return why a tripwire fired and what that means, sentence by sentence: the e-mail to the managers."""
    found = [comparison(firing.seen["measure"], firing.seen), chance(firing.seen["p"]), done(firing)]
    last = _("Find out what changed, then reset the alert in admin, under Tripwires, with a reason.")
    return [sentence for sentence in (*found, last) if sentence]


def note(state: RegressionState) -> str:
    """Return a tripwire's state in a sentence or two."""
    if not state.policy.enabled and not state.triggered:
        return _("Switched off: this metric is not monitored.")
    if state.triggered and state.last_triggered:
        return _("It fired on %(day)s; a manager must reset the alert.") % {
            "day": day_of(state.last_triggered)
        }
    if state.verdict == Verdict.LEARNING:
        return learning(state)
    told = {"drop": percent(abs(state.drop_fraction or 0), 0), "odds": odds(state.p_value or 1.0)}
    if state.verdict == Verdict.WARNING:
        return (
            _("It is %(drop)s below its baseline; chance alone does that %(odds)s, so it only warns.") % told
        )
    return power(state)


def learning(state: RegressionState) -> str:
    """Return since when it collects its baseline, and when monitoring begins."""
    since = {"since": day_of(state.starts_at)}
    if state.last_checked is None:
        return _("It recomputes its baseline from %(since)s on.") % since
    if state.arms_on is None:
        return _("No events since %(since)s: nothing to watch yet.") % since
    return _("It has been recomputing its baseline since %(since)s and starts watching about %(day)s.") % {
        **since,
        "day": day_display(state.arms_on),
    }


def power(state: RegressionState) -> str:
    """Return the smallest drop that can be detected."""
    if state.baseline is None:
        return ""
    if state.smallest_drop is None:
        return _("At this volume it cannot detect any drop: too few events come in.")
    return _("At this volume the smallest drop it can detect is %(drop)s.") % {
        "drop": percent(state.smallest_drop, 0)
    }

"""Serializers of the tripwires' endpoints."""

from __future__ import annotations

from rest_framework import serializers

from governance.core.rest.fields import FractionField, JSONObjectField, NumberField, WholeNumberField
from governance.core.rest.input import Input, Question
from governance.risk.rules import ENGINE_LENGTH
from governance.tripwire.models import EVENTS_MAX, REASON_LENGTH, RegressionPolicy, RegressionState
from governance.tripwire.names import DOMAIN_LENGTH, METRIC_LENGTH
from governance.tripwire.statistics import MEASURES
from governance.tripwire.wording import note, power

VERSION_MAX = 2**31 - 1


class OneTripwire(Input):
    """A metric, identified by its domain and name."""

    domain = serializers.CharField(max_length=DOMAIN_LENGTH)
    metric = serializers.CharField(max_length=METRIC_LENGTH)


class PoliciesQuestion(Question):
    """The parameters of GET /policies and /state: filters."""

    domain = serializers.CharField(required=False, max_length=DOMAIN_LENGTH)
    metric = serializers.CharField(required=False, max_length=METRIC_LENGTH)
    enabled = serializers.BooleanField(required=False)


class PolicyInput(OneTripwire):
    """The input of POST /policies/upsert; omitted values stay as they are."""

    engine = serializers.CharField(required=False, allow_blank=True, max_length=ENGINE_LENGTH)
    measure = serializers.ChoiceField(MEASURES, required=False)
    window_events = WholeNumberField(required=False, min_value=1, max_value=EVENTS_MAX)
    baseline_events = WholeNumberField(required=False, min_value=1, max_value=EVENTS_MAX)
    min_events_to_enforce = WholeNumberField(required=False, min_value=1, max_value=EVENTS_MAX)
    max_drop_fraction = FractionField(required=False)
    max_false_alarm = FractionField(required=False)
    action = serializers.ChoiceField(RegressionPolicy.Action.choices, required=False)
    enabled = serializers.BooleanField(required=False)
    reason = serializers.CharField(required=False, allow_blank=True, max_length=REASON_LENGTH)
    expected_version = WholeNumberField(required=False, min_value=0, max_value=VERSION_MAX)


class EvaluateInput(Input):
    """The input of POST /evaluate: nothing for all tripwires, or the domain and metric of one."""

    domain = serializers.CharField(required=False, max_length=DOMAIN_LENGTH)
    metric = serializers.CharField(required=False, max_length=METRIC_LENGTH)


class KpiInput(OneTripwire):
    """The input of POST /kpi; `value` is in the metric's own unit."""

    success = serializers.BooleanField(required=False, allow_null=True, default=None)
    value = NumberField(max_digits=14, decimal_places=4, required=False, allow_null=True, default=None)
    detail = JSONObjectField(required=False)


class ReleaseInput(OneTripwire):
    """The input of POST /release; the reason is required."""

    reason = serializers.CharField(required=False, allow_blank=True, max_length=REASON_LENGTH)


def as_policy(policy: RegressionPolicy) -> dict[str, object]:
    return {
        "id": policy.pk,
        "domain": policy.domain,
        "metric": policy.metric,
        "engine": policy.engine,
        "measure": policy.measure,
        "window_events": policy.window_events,
        "baseline_events": policy.baseline_events,
        "min_events_to_enforce": policy.min_events_to_enforce,
        "max_drop_fraction": policy.max_drop_fraction,
        "max_false_alarm": policy.max_false_alarm,
        "action": policy.action,
        "enabled": policy.enabled,
        "version": policy.version,
        "changed_by": policy.changed_by,
        "reason": policy.reason,
        "updated_at": policy.updated_at,
    }


def as_state(state: RegressionState) -> dict[str, object]:
    """Return the last evaluation's result; values that are not known yet are null."""
    return {
        "domain": state.policy.domain,
        "metric": state.policy.metric,
        "enabled": state.policy.enabled,
        "verdict": state.verdict,
        "triggered": state.triggered,
        "baseline": state.baseline,
        "current": state.current,
        "drop_fraction": state.drop_fraction,
        "p_value": state.p_value,
        "dispersion": state.dispersion,
        "smallest_drop": state.smallest_drop,
        "power": power(state),
        "samples": state.samples,
        "starts_at": state.starts_at,
        "arms_on": state.arms_on,
        "last_checked": state.last_checked,
        "last_triggered": state.last_triggered,
        "note": note(state),
    }

"""What the schema says about tripwires."""

from __future__ import annotations

from rest_framework import serializers

from governance.core.rest.describe import Answer, Doc, Tag, fraction, ok

TAG = Tag(
    "Tripwires",
    "Guards that compare a KPI's newest events with its baseline, and throttle an engine or engage the kill "
    "switch when it drops.",
    prefix="Tripwire",
)
REFUSALS = {"tripwire_disabled": (409, "The tripwire is off; a manager can enable it.")}


class Policy(Answer):
    """What a tripwire watches, and what it does."""

    id = serializers.IntegerField()
    domain = serializers.CharField()
    metric = serializers.CharField()
    engine = serializers.CharField(help_text="The engine of the risk guard that it throttles.")
    measure = serializers.CharField()
    window_events = serializers.IntegerField(help_text="How many of the newest events are compared.")
    baseline_events = serializers.IntegerField(help_text="With how many events before them.")
    min_events_to_enforce = serializers.IntegerField()
    max_drop_fraction = fraction()
    max_false_alarm = fraction()
    action = serializers.CharField()
    enabled = serializers.BooleanField()
    version = serializers.IntegerField()
    changed_by = serializers.CharField()
    reason = serializers.CharField()
    updated_at = serializers.DateTimeField()


class Policies(Answer):
    """Tripwires, by domain and metric."""

    ok = ok()
    policies = Policy(many=True)


class Upserted(Answer):
    """The policy after the change."""

    ok = ok()
    policy = Policy()


class State(Answer):
    """The last evaluation's result; what is not known yet is null."""

    domain = serializers.CharField()
    metric = serializers.CharField()
    enabled = serializers.BooleanField()
    verdict = serializers.CharField()
    triggered = serializers.BooleanField()
    baseline = serializers.FloatField(allow_null=True, help_text="In the measure's own unit.")
    current = serializers.FloatField(allow_null=True, help_text="In the measure's own unit.")
    drop_fraction = serializers.FloatField(allow_null=True)
    p_value = serializers.FloatField(allow_null=True)
    dispersion = serializers.FloatField(allow_null=True)
    smallest_drop = serializers.FloatField(allow_null=True, help_text="The smallest drop it can detect.")
    power = serializers.CharField()
    samples = serializers.DictField(help_text="What was compared: `baseline` and `current`, with their days.")
    starts_at = serializers.DateTimeField(allow_null=True)
    arms_on = serializers.DateField(allow_null=True)
    last_checked = serializers.DateTimeField(allow_null=True)
    last_triggered = serializers.DateTimeField(allow_null=True)
    note = serializers.CharField()


class States(Answer):
    """The states of tripwires."""

    ok = ok()
    states = State(many=True)


class Evaluated(Answer):
    """`state` of the tripwire that was named, else `states` of all."""

    ok = ok()
    state = State(required=False)
    states = State(many=True, required=False)


class OneState(Answer):
    """The state of a tripwire."""

    ok = ok()
    state = State()


class Event(Answer):
    """The id of the stored event."""

    ok = ok()
    event_id = serializers.IntegerField()


DOCS = {
    "RegressionViewSet.policies": Doc("List tripwires", answer=Policies),
    "RegressionViewSet.upsert": Doc(
        "Create or change a tripwire",
        "Omitted values stay as they are.",
        answer=Upserted,
        refusals=("stale_version",),
    ),
    "RegressionViewSet.state": Doc("Get the states of tripwires", answer=States),
    "RegressionViewSet.evaluate": Doc(
        "Evaluate tripwires",
        "Now, instead of waiting for the night: one, named by its domain and metric, or all.",
        answer=Evaluated,
        refusals=("not_found", "tripwire_disabled"),
    ),
    "RegressionViewSet.kpi": Doc(
        "Record a KPI event",
        "For figures that other programs measure.",
        answer=Event,
        status=201,
        fields={
            "success": "For a metric that counts successes.",
            "value": "In the metric's own unit.",
            "detail": "A JSON object; `corrects` names an event that this one replaces.",
        },
    ),
    "RegressionViewSet.release": Doc(
        "Reset an alert",
        "Releases what the tripwire throttled. The reason is required.",
        answer=OneState,
        refusals=("not_found",),
        fields={"reason": "Required."},
    ),
}

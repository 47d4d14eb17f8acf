"""What the schema says about the two switches."""

from __future__ import annotations

from rest_framework import serializers

from governance.core.rest.describe import Answer, Doc, Tag

TAG = Tag(
    "Go-live",
    "The two switches that stop everything with an effect on people or money: go-live and the kill switch.",
    prefix="GoLive",
)
REFUSALS = {
    "blocked": (412, "The runbook has blockers; `blockers` names them."),
}


class Switches(Answer):
    """Both switches."""

    go_live_enabled = serializers.BooleanField()
    kill_switch_engaged = serializers.BooleanField()
    enforced = serializers.BooleanField(help_text="Whether this installation obeys the switches.")
    changed_by = serializers.CharField()
    reason = serializers.CharField()
    updated_at = serializers.DateTimeField()


class Line(Answer):
    """A condition for go-live; `title` states it as it is when ok."""

    id = serializers.CharField()
    title = serializers.CharField()
    ok = serializers.BooleanField()
    message = serializers.CharField()
    detail = serializers.DictField()


class Checklist(Answer):
    """The conditions for go-live."""

    ok_to_enable_go_live = serializers.BooleanField()
    checklist = Line(many=True)


REASON = {"reason": "Why, for the switches' history."}
DOCS = {
    "GoLiveViewSet.state": Doc("Get the switches", answer=Switches),
    "GoLiveViewSet.checklist": Doc("Get the conditions for go-live", answer=Checklist),
    "GoLiveViewSet.enable": Doc(
        "Enable go-live",
        "Refused while the runbook has blockers.",
        answer=Switches,
        refusals=("blocked", "fresh_authentication_required"),
        fields=REASON,
    ),
    "GoLiveViewSet.disable": Doc(
        "Disable go-live", answer=Switches, refusals=("fresh_authentication_required",), fields=REASON
    ),
    "GoLiveViewSet.engage": Doc(
        "Engage the kill switch",
        "Stops everything with an effect on people or money at once. Engaging it twice changes nothing.",
        answer=Switches,
        fields=REASON,
    ),
    "GoLiveViewSet.release": Doc(
        "Release the kill switch",
        "Requires a reason.",
        answer=Switches,
        refusals=("fresh_authentication_required",),
        fields=REASON,
    ),
}

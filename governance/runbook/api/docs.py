"""What the schema says about the runbook."""

from __future__ import annotations

from rest_framework import serializers

from governance.core.rest.describe import Answer, Doc, Tag

TAG = Tag("Runbook", "What still blocks go-live, and what to watch.", prefix="Runbook")
REFUSALS: dict[str, tuple[int, str]] = {}


class Finding(Answer):
    """Something that a check found."""

    id = serializers.CharField(help_text="The check.")
    severity = serializers.CharField()
    message = serializers.CharField()
    detail = serializers.DictField()


class Status(Answer):
    """The findings of every check."""

    generated_at = serializers.DateTimeField()
    blockers = Finding(many=True)
    warnings = Finding(many=True)
    info = Finding(many=True)
    ok_to_enable_go_live = serializers.BooleanField()


DOCS = {
    "RunbookViewSet.status": Doc(
        "Run the runbook's checks", "Every check is run; one that fails is a blocker.", answer=Status
    ),
    "RunbookViewSet.markdown": Doc("Get the runbook as a page", media="text/markdown"),
}

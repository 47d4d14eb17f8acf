"""Serializers of the switches' endpoints."""

from __future__ import annotations

from collections.abc import Sequence

from rest_framework import serializers

from governance.core.hooks import ChecklistLine
from governance.core.rest.input import Input
from governance.golive.models import GoLiveState

REASON_LENGTH = 500


class SwitchInput(Input):
    """The input of every switch; releasing the kill switch requires a reason."""

    reason = serializers.CharField(required=False, allow_blank=True, max_length=REASON_LENGTH)


def as_state(state: GoLiveState, *, enforced: bool) -> dict[str, object]:
    """Return both switches; `enforced` says whether this installation enforces them."""
    return {
        "go_live_enabled": state.go_live_enabled,
        "kill_switch_engaged": state.kill_switch_engaged,
        "enforced": enforced,
        "changed_by": state.changed_by,
        "reason": state.reason,
        "updated_at": state.updated_at,
    }


def as_checklist(lines: Sequence[ChecklistLine]) -> dict[str, object]:
    """Return the conditions for go-live; `title` states the condition as it is when ok."""
    return {
        "ok_to_enable_go_live": all(line.ok for line in lines),
        "checklist": [
            {
                "id": line.id,
                "title": line.title,
                "ok": line.ok,
                "message": line.message,
                "detail": dict(line.detail),
            }
            for line in lines
        ],
    }

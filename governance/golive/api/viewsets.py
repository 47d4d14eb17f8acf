"""Endpoints for reading and changing the two switches: go-live and the kill switch."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from django.conf import settings
from django.utils import timezone
from rest_framework.response import Response

from governance.core.rest.viewsets import Inputs, ServiceViewSet
from governance.golive.api.serializers import SwitchInput, as_checklist, as_state
from governance.golive.models import GoLiveState
from governance.golive.services import ENGAGE, SWITCH, checklist, set_go_live, set_kill_switch, state


class GoLiveViewSet(ServiceViewSet):
    """The switches that stop actions with an effect on people or money."""

    rights: ClassVar[dict[str, str]] = {
        "state": "governance.view_operations",
        "checklist": "governance.view_runbook",
        "enable": set_go_live.right,
        "disable": set_go_live.right,
        "engage": ENGAGE,
        "release": SWITCH,
    }
    inputs: ClassVar[Inputs] = {
        "enable": SwitchInput,
        "disable": SwitchInput,
        "engage": SwitchInput,
        "release": SwitchInput,
    }

    def state(self, request: object) -> Response:
        self.by()
        return Response(as_state(state(), enforced=settings.GO_LIVE_ENFORCE))

    def checklist(self, request: object) -> Response:
        self.by()
        return Response(as_checklist(checklist(timezone.now())))

    def enable(self, request: object) -> Response:
        return self._turn(set_go_live, on=True)

    def disable(self, request: object) -> Response:
        return self._turn(set_go_live, on=False)

    def engage(self, request: object) -> Response:
        return self._turn(set_kill_switch, on=True)

    def release(self, request: object) -> Response:
        return self._turn(set_kill_switch, on=False)

    def _turn(self, switch: Callable[..., GoLiveState], *, on: bool) -> Response:
        given, by = self.read()
        turned = switch(on, by=by, at=timezone.now(), reason=given.get("reason", ""))
        return Response(as_state(turned, enforced=settings.GO_LIVE_ENFORCE))

"""The tripwires' endpoints: parse the input, call a service, serialize the result."""

from __future__ import annotations

from typing import Any, ClassVar

from django.utils import timezone
from rest_framework.response import Response

from governance.core.rest.viewsets import VIA_API, Inputs, ServiceViewSet
from governance.tripwire import services
from governance.tripwire.api.serializers import (
    EvaluateInput,
    KpiInput,
    PoliciesQuestion,
    PolicyInput,
    ReleaseInput,
    as_policy,
    as_state,
)
from governance.tripwire.querysets import POLICIES, listed_states, listed_tripwires


class RegressionViewSet(ServiceViewSet):
    """Tripwire policies, states, evaluation, events and alert resets."""

    rights: ClassVar[dict[str, str]] = {
        "policies": "governance.view_operations",
        "upsert": services.upsert_policy.right,
        "state": "governance.view_tripwires",
        "evaluate": services.evaluate_tripwires.right,
        "kpi": services.record_kpi.right,
        "release": services.release_tripwire.right,
    }
    inputs: ClassVar[Inputs] = {
        "policies": PoliciesQuestion,
        "state": PoliciesQuestion,
        "upsert": PolicyInput,
        "evaluate": EvaluateInput,
        "kpi": KpiInput,
        "release": ReleaseInput,
    }
    tagged: ClassVar[frozenset[str]] = frozenset({"policies"})

    repeatable = frozenset({"evaluate"})

    def policies(self, request: object) -> Response:
        found = listed_tripwires(**self._asked())[:POLICIES]
        return Response({"ok": True, "policies": [as_policy(policy) for policy in found]})

    def state(self, request: object) -> Response:
        found = listed_states(**self._asked())[:POLICIES]
        return Response({"ok": True, "states": [as_state(state) for state in found]})

    def _asked(self) -> dict[str, Any]:
        asked, _by = self.read()
        return {name: asked.get(name) for name in ("domain", "metric", "enabled")}

    def upsert(self, request: object) -> Response:
        given, by = self.read()
        policy = services.upsert_policy(
            given["domain"],
            given["metric"],
            {name: given[name] for name in services.POLICY_FIELDS if name in given},
            reason=given.get("reason") or VIA_API,
            expected_version=given.get("expected_version"),
            by=by,
            at=timezone.now(),
        )
        return Response({"ok": True, "policy": as_policy(policy)})

    def evaluate(self, request: object) -> Response:
        given, by = self.read()
        names = {name: given[name] for name in ("domain", "metric") if name in given}
        states = [as_state(state) for state in services.evaluate_tripwires(timezone.now(), by=by, **names)]
        return Response({"ok": True, "state": states[0]} if names else {"ok": True, "states": states})

    def kpi(self, request: object) -> Response:
        given, by = self.read()
        number = services.record_kpi(
            given["domain"],
            given["metric"],
            by=by,
            at=timezone.now(),
            success=given["success"],
            value=given["value"],
            detail=given.get("detail"),
        )
        return Response({"ok": True, "event_id": number}, status=201)

    def release(self, request: object) -> Response:
        given, by = self.read()
        state = services.release_tripwire(
            given["domain"], given["metric"], by=by, at=timezone.now(), reason=given.get("reason", "")
        )
        return Response({"ok": True, "state": as_state(state)})

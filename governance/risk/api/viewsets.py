"""The risk guard's endpoints: parse the input, call a service, serialize the result."""

from __future__ import annotations

from typing import ClassVar

from django.utils import timezone
from rest_framework.response import Response

from governance.core.rest.input import Question
from governance.core.rest.viewsets import VIA_API, CollectionViewSet, Inputs, ServiceViewSet
from governance.risk import services
from governance.risk.api.filters import RiskEventFilter
from governance.risk.api.serializers import (
    PoliciesQuestion,
    PolicyInput,
    ReleaseInput,
    ReserveInput,
    RiskEventSerializer,
    SettleInput,
    as_ended,
    as_ledger,
    as_policy,
    as_reserved,
    as_snapshot,
)
from governance.risk.models import RiskEvent
from governance.risk.querysets import listed_policies

POLICIES = 500


class RiskViewSet(ServiceViewSet):
    """Caps, their use, and reservations."""

    rights: ClassVar[dict[str, str]] = {
        "policies": "governance.view_operations",
        "upsert": services.upsert_policy.right,
        "ledger": "governance.view_risk",
        "snapshot": "governance.view_risk",
        "reserve": services.reserve_exposure.right,
        "settle": services.settle.right,
        "release": services.release.right,
    }
    inputs: ClassVar[Inputs] = {
        "policies": PoliciesQuestion,
        "upsert": PolicyInput,
        "ledger": Question,
        "snapshot": Question,
        "reserve": ReserveInput,
        "settle": SettleInput,
        "release": ReleaseInput,
    }
    tagged: ClassVar[frozenset[str]] = frozenset({"policies"})

    def policies(self, request: object) -> Response:
        asked, _by = self.read()
        found = listed_policies(asked.get("engine"), asked.get("enabled"), limit=POLICIES)
        return Response({"ok": True, "policies": [as_policy(policy) for policy in found]})

    def upsert(self, request: object) -> Response:
        given, by = self.read()
        policy = services.upsert_policy(
            given["engine"],
            {name: given[name] for name in services.POLICY_FIELDS if name in given},
            reason=given.get("reason") or VIA_API,
            expected_version=given.get("expected_version"),
            by=by,
            at=timezone.now(),
        )
        return Response({"ok": True, "policy": as_policy(policy)})

    def ledger(self, request: object) -> Response:
        self.read()
        return Response(as_ledger(services.snapshot(timezone.now())))

    def snapshot(self, request: object) -> Response:
        self.read()
        return Response(as_snapshot(services.snapshot(timezone.now())))

    def reserve(self, request: object) -> Response:
        given, by = self.read()
        answer = services.reserve_exposure(
            given["engine"], given["amount"], purpose=given["purpose"], by=by, at=timezone.now()
        )
        return Response(as_reserved(answer, given["warnings"]))

    def settle(self, request: object) -> Response:
        given, by = self.read()
        ended = services.settle(given["reservation_id"], given["realized_loss"], by=by, at=timezone.now())
        return Response(as_ended(ended))

    def release(self, request: object) -> Response:
        given, by = self.read()
        ended = services.release(given["reservation_id"], code=given["reason"], by=by, at=timezone.now())
        return Response(as_ended(ended))


class RiskEventViewSet(CollectionViewSet):
    """Risk events, newest first."""

    rights: ClassVar[dict[str, str]] = {"list": "governance.view_risk", "retrieve": "governance.view_risk"}
    queryset = RiskEvent.objects.order_by("-created_at", "-id")
    serializer_class = RiskEventSerializer
    filterset_class = RiskEventFilter
    ordering = ("-created_at", "-id")
    ordering_fields = ("id", "created_at")

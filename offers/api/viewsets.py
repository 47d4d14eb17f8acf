"""The offers' endpoints: parse the input, call a service, serialize the result."""

from __future__ import annotations

from typing import ClassVar

from django.utils import timezone
from rest_framework.response import Response

from governance.core.places import Place
from governance.core.rest.viewsets import CollectionViewSet, Inputs, ServiceViewSet
from offers.api.filters import EvidenceFilter
from offers.api.serializers import (
    ComputeInput,
    EvidenceSerializer,
    OutcomeInput,
    PoliciesQuestion,
    QuoteQuestion,
    UpsertInput,
    as_computed,
    as_policy,
    as_quote,
    as_recorded,
)
from offers.models import OfferEvidence
from offers.querysets import listed_policies
from offers.services import (
    POLICY_FIELDS,
    Figures,
    compute_offer,
    correct_outcome,
    record_outcome,
    upsert_policy,
)

VIA_API = "via API"


class OfferViewSet(ServiceViewSet):
    """Offer policies, computations and outcomes."""

    rights: ClassVar[dict[str, str]] = {
        "policies": "governance.view_operations",
        "upsert": upsert_policy.right,
        "compute": compute_offer.right,
        "quote": compute_offer.right,
        "outcome": record_outcome.right,
    }
    inputs: ClassVar[Inputs] = {
        "policies": PoliciesQuestion,
        "upsert": UpsertInput,
        "compute": ComputeInput,
        "quote": QuoteQuestion,
        "outcome": OutcomeInput,
    }
    tagged: ClassVar[frozenset[str]] = frozenset({"policies"})
    rehearses_itself: ClassVar[frozenset[str]] = frozenset({"compute"})

    def policies(self, request: object) -> Response:
        asked, _by = self.read()
        policies = listed_policies(
            province=asked.get("province"), market=asked.get("market"), enabled=asked.get("enabled")
        )
        return Response({"ok": True, "policies": [as_policy(policy) for policy in policies]})

    def upsert(self, request: object) -> Response:
        given, by = self.read()
        policy = upsert_policy(
            Place(given["province"], given["market"]),
            {name: given[name] for name in POLICY_FIELDS if name in given},
            reason=given.get("reason") or VIA_API,
            expected_version=given.get("expected_version"),
            by=by,
            at=timezone.now(),
        )
        return Response({"ok": True, "policy": as_policy(policy)})

    def compute(self, request: object) -> Response:
        given, by = self.read()
        computed = compute_offer(
            Place(given["province"], given["market"]),
            property_type=given["property_type"],
            arv=given["arv"],
            repairs=given["repairs"],
            comps=given.get("comps", ()),
            comp_details=given["comp_details"],
            assumptions=given.get("assumptions"),
            lead_id=given["lead_id"],
            recommendation_id=given["recommendation_id"],
            reserve=given["reserve"],
            dry_run=given["dry_run"],
            by=by,
            at=timezone.now(),
        )
        return Response(as_computed(computed, given["comp_details"]))

    def quote(self, request: object) -> Response:
        asked, by = self.read()
        computed = compute_offer(
            Place(asked["province"], asked["market"]),
            property_type=asked["property_type"],
            arv=asked["arv"],
            repairs=asked["repairs"],
            dry_run=True,
            by=by,
            at=timezone.now(),
        )
        return Response(as_quote(computed.calculation))

    def outcome(self, request: object, evidence_id: int) -> Response:
        given, by = self.read()
        figures = Figures(
            agreed_price=given.get("agreed_price"),
            buyer=given.get("buyer", ""),
            buyer_price=given.get("buyer_price"),
            fee_earned=given.get("fee_earned"),
        )
        at, reason = timezone.now(), given["reason"]
        if given["correct"]:
            recorded = correct_outcome(
                evidence_id,
                given["outcome"],
                figures=figures,
                void=given["void"],
                reason=reason,
                by=by,
                at=at,
            )
        else:
            recorded = record_outcome(
                evidence_id, given["outcome"], figures=figures, reason=reason, by=by, at=at
            )
        return Response(as_recorded(recorded))


class EvidenceViewSet(CollectionViewSet):
    """Stored computations, newest first."""

    rights: ClassVar[dict[str, str]] = {"list": "offers.view_evidence", "retrieve": "offers.view_evidence"}
    queryset = OfferEvidence.objects.with_whereabouts().order_by("-id")
    serializer_class = EvidenceSerializer
    filterset_class = EvidenceFilter
    ordering_fields = ("id", "created_at", "recommended_offer")

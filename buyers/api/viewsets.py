"""The buyers' endpoints: parse the input, call a service, serialize the result."""

from __future__ import annotations

from typing import Any, ClassVar

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from buyers.api.filters import BuyerFilter, FeedbackEventFilter
from buyers.api.serializers import (
    BulkFeedbackInput,
    BuyerSerializer,
    FeedbackEventSerializer,
    FeedbackInput,
    NodesQuestion,
    ScoreQuestion,
    as_node,
    as_score,
    node_figures,
)
from buyers.models import Buyer, BuyerFeedbackEvent
from buyers.services import hottest_nodes, liquidity_score, record_feedback
from governance.core.actors import Actor
from governance.core.places import Place
from governance.core.rest.bulk import Bulk, BulkViewSet
from governance.core.rest.viewsets import CollectionViewSet, Inputs


class LiquidityViewSet(BulkViewSet):
    """The liquidity of markets, and the feedback that it is computed from."""

    rights: ClassVar[dict[str, str]] = {
        "nodes": "governance.view_operations",
        "score": "governance.view_operations",
        "feedback": record_feedback.right,
        "feedback_many": record_feedback.right,
    }
    inputs: ClassVar[Inputs] = {
        "nodes": NodesQuestion,
        "score": ScoreQuestion,
        "feedback": FeedbackInput,
        "feedback_many": BulkFeedbackInput,
    }
    tagged: ClassVar[frozenset[str]] = frozenset({"nodes"})
    bulks: ClassVar[dict[str, Bulk]] = {"feedback_many": Bulk(FeedbackInput, "feedback_one")}
    repeatable: ClassVar[frozenset[str]] = frozenset(bulks)
    rehearses_itself: ClassVar[frozenset[str]] = frozenset(bulks)

    def nodes(self, request: object) -> Response:
        asked, _by = self.read()
        nodes = hottest_nodes(
            province=asked.get("province"),
            market=asked["market"],
            property_type=asked.get("property_type"),
            limit=asked["limit"],
        )
        return Response({"ok": True, "nodes": [node_figures(*node) for node in nodes]})

    def score(self, request: object) -> Response:
        asked, _by = self.read()
        place, property_type = Place(asked["province"], asked["market"]), asked["property_type"]
        node = liquidity_score(place, property_type)
        return Response({"ok": True, "score": as_score(node, place, property_type)})

    def feedback(self, request: object) -> Response:
        return self.feedback_one(*self.read())

    def feedback_many(self, request: Request) -> Response:
        return self.in_bulk(request)

    def feedback_one(self, given: dict[str, Any], by: Actor) -> Response:
        recorded = record_feedback(
            Place(given["province"], given["market"]),
            given["property_type"],
            given["event"],
            buyer_id=given.get("buyer_id", ""),
            deal_id=given.get("deal_id", ""),
            detail=given.get("detail"),
            by=by,
            at=timezone.now(),
        )
        return Response({"ok": True, "event_id": recorded.event_id, "node": as_node(recorded.node)})


class BuyerViewSet(CollectionViewSet):
    """Buyers with their buy boxes."""

    rights: ClassVar[dict[str, str]] = {"list": "buyers.view_buyers", "retrieve": "buyers.view_buyers"}
    queryset = Buyer.objects.order_by("-id")
    serializer_class = BuyerSerializer
    filterset_class = BuyerFilter
    ordering_fields = ("id", "external_id", "name", "updated_at")


class FeedbackEventViewSet(CollectionViewSet):
    """Feedback events, newest first."""

    rights: ClassVar[dict[str, str]] = {"list": "buyers.view_buyers", "retrieve": "buyers.view_buyers"}
    queryset = BuyerFeedbackEvent.objects.select_related("node", "buyer").order_by("-created_at", "-id")
    serializer_class = FeedbackEventSerializer
    filterset_class = FeedbackEventFilter
    ordering = ("-created_at", "-id")
    ordering_fields = ("id", "created_at")

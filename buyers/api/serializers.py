"""Serializers of the buyers' endpoints."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from operator import attrgetter
from typing import Any

from rest_framework import serializers

from buyers import rules
from buyers.models import Buyer, BuyerFeedbackEvent, BuyerLiquidityNode
from buyers.querysets import SHOWN
from governance.core.details import read_detail
from governance.core.places import Place
from governance.core.property_types import PropertyType
from governance.core.rest.bulk import BulkInput
from governance.core.rest.fields import JSONObjectField, MarketField, ProvinceField
from governance.core.rest.input import Input, Question

# Generous limits, so that the service refuses an invalid value with the field's own message.
CODE_LENGTH = 40
NODES = 500


class FeedbackInput(Input):
    """The input of POST /feedback."""

    province = ProvinceField()
    market = MarketField()
    property_type = serializers.CharField(max_length=CODE_LENGTH, default=PropertyType.SFR.value)
    event = serializers.CharField(max_length=CODE_LENGTH)
    buyer_id = serializers.CharField(required=False, allow_blank=True, allow_null=True)
    deal_id = serializers.CharField(required=False, allow_blank=True, allow_null=True)
    detail = JSONObjectField(required=False, allow_null=True)

    def validate_property_type(self, value: str) -> str:
        return rules.read_property_type(value)

    def validate_event(self, value: str) -> str:
        return rules.read_event(value)

    def validate_buyer_id(self, value: str | None) -> str:
        return rules.read_buyer_id(value)

    def validate_deal_id(self, value: str | None) -> str:
        return rules.read_deal_id(value)

    def validate_detail(self, value: object) -> dict[str, object]:
        return read_detail(value)


class BulkFeedbackInput(BulkInput):
    """The input of POST /feedback/bulk: up to 1,000 items like the input of POST /feedback."""


class ScoreQuestion(Question):
    """The parameters of GET /score."""

    province = ProvinceField()
    market = MarketField()
    property_type = serializers.CharField(max_length=CODE_LENGTH, default=PropertyType.SFR.value)

    def validate_property_type(self, value: str) -> str:
        return rules.read_property_type(value)


class NodesQuestion(Question):
    """The parameters of GET /nodes: filters, and a `limit` of at most 500."""

    province = ProvinceField(required=False)
    market = MarketField(default=None, allow_blank=False)
    property_type = serializers.CharField(max_length=CODE_LENGTH, required=False)
    limit = serializers.IntegerField(min_value=1, max_value=NODES, default=NODES)

    def validate_property_type(self, value: str) -> str:
        return rules.read_property_type(value)


def node_figures(
    node_id: int | None, province: str, market: str, property_type: str, buyers: int, active: int,
    score: Decimal, score_low: Decimal, updated_at: datetime, *events: int,
) -> dict[str, object]:  # fmt: skip
    """Return a node's figures as every endpoint shows them, by its columns as `SHOWN` lists them."""
    return {
        "id": node_id,
        "province": province,
        "market": market,
        "property_type": property_type,
        "buyer_count": buyers,
        "active_buyer_count": active,
        "avg_response_rate": rules.rate(*rules.hits_and_misses(rules.RESPONSE_RATE, events)),
        "avg_close_rate": rules.rate(*rules.hits_and_misses(rules.CLOSE_RATE, events)),
        "score": score,
        "score_low": score_low,
        "events": sum(events),
        "updated_at": updated_at,
    }


_shown = attrgetter(*SHOWN)


def as_node(node: BuyerLiquidityNode) -> dict[str, object]:
    return node_figures(*_shown(node))


def as_score(node: BuyerLiquidityNode | None, place: Place, property_type: str) -> dict[str, Any]:
    """Return the answer for a market; without feedback `found` is false and every figure 0."""
    shown = node or BuyerLiquidityNode(
        province=place.province, market=place.market, property_type=property_type
    )
    figures = as_node(shown)
    del figures["id"]
    return {"found": node is not None, **figures}


class BuyerSerializer(serializers.ModelSerializer[Buyer]):
    """A buyer; `external_id` is the buyer_id in feedback."""

    class Meta:
        model = Buyer
        fields = (
            "id",
            "external_id",
            "name",
            "phone",
            "email",
            "provinces",
            "markets",
            "property_types",
            "price_min",
            "price_max",
            "proof_of_funds",
            "proof_of_funds_on",
            "created_at",
            "updated_at",
        )


class FeedbackEventSerializer(serializers.ModelSerializer[BuyerFeedbackEvent]):
    """A feedback event with its place; `buyer_id` is the buyer's external id, null if none was given."""

    province = serializers.CharField(source="node.province")
    market = serializers.CharField(source="node.market")
    property_type = serializers.CharField(source="node.property_type")
    buyer_id = serializers.CharField(source="buyer.external_id", default=None)

    class Meta:
        model = BuyerFeedbackEvent
        fields = (
            "id",
            "event",
            "province",
            "market",
            "property_type",
            "buyer_id",
            "deal_id",
            "detail",
            "actor",
            "acting_for",
            "correlation_id",
            "token_id",
            "created_at",
        )

"""What the schema says about buyers."""

from __future__ import annotations

from rest_framework import serializers

from buyers.api.serializers import FeedbackInput
from governance.core.rest.describe import (
    BULK,
    BULK_FIELDS,
    SWITCHES,
    Answer,
    BulkAnswer,
    Doc,
    ItemOfBulk,
    Tag,
    codes,
    fraction,
    ok,
)

TAG = Tag(
    "Buyers", "Buyers, their feedback, and the liquidity of markets that follows from it.", prefix="Buyer"
)
REFUSALS = {
    "buyer_erased": (409, "The buyer's personal information was deleted; nothing more is stored about them.")
}


class Liquidity(Answer):
    """A market's liquidity for a property type."""

    province = serializers.CharField()
    market = serializers.CharField()
    property_type = serializers.CharField()
    buyer_count = serializers.IntegerField()
    active_buyer_count = serializers.IntegerField(help_text="Responded or bought in the last 90 days.")
    avg_response_rate = fraction()
    avg_close_rate = fraction()
    score = serializers.FloatField(
        help_text="Points: active buyers x 0.5 + response rate x 50 + close rate x 50."
    )
    score_low = serializers.FloatField(help_text="The same with cautious rates; policies compare this one.")
    events = serializers.IntegerField()
    updated_at = serializers.DateTimeField(allow_null=True)


class Node(Liquidity):
    """A market's liquidity with its id."""

    id = serializers.IntegerField()


class Nodes(Answer):
    """The liquidity of markets, the highest score first."""

    ok = ok()
    nodes = Node(many=True)


class FoundLiquidity(Liquidity):
    """A market's liquidity; without any feedback `found` is false and every figure 0."""

    found = serializers.BooleanField()


class Score(Answer):
    """The liquidity of one market."""

    ok = ok()
    score = FoundLiquidity()


class Recorded(Answer):
    """The stored event, and the market's liquidity with it."""

    ok = ok()
    event_id = serializers.IntegerField(allow_null=True)
    node = Node()


class FeedbackItem(ItemOfBulk, FeedbackInput):
    """An item of POST /feedback/bulk."""


SHAPES = {
    "BulkFeedbackInput.items": FeedbackItem(many=True),
    "FeedbackEventSerializer.buyer_id": serializers.CharField(
        allow_null=True, help_text="The buyer's id in your system."
    ),
    "BuyerSerializer.email": serializers.CharField(help_text="Blank if it is not known."),
    "BuyerSerializer.provinces": codes(),
    "BuyerSerializer.markets": codes(),
    "BuyerSerializer.property_types": codes(),
    "FeedbackEventSerializer.detail": serializers.DictField(),
}
TYPE = {"property_type": "SFR, CONDO, TOWNHOUSE, MF, LAND, MOBILE, COMMERCIAL or MIXED."}


DOCS = {
    "LiquidityViewSet.feedback_many": Doc(
        "Record feedback in bulk",
        f"Items as in the single call. {BULK}",
        answer=BulkAnswer,
        fields=BULK_FIELDS,
    ),
    "LiquidityViewSet.nodes": Doc(
        "List the liquidity of markets", answer=Nodes, fields={**TYPE, "limit": "At most 500."}
    ),
    "LiquidityViewSet.score": Doc("Get the liquidity of a market", answer=Score, fields=TYPE),
    "LiquidityViewSet.feedback": Doc(
        "Record a buyer's feedback",
        "RESPONDED and BOUGHT count once per buyer and deal. A buyer who is not known is created.",
        answer=Recorded,
        refusals=("buyer_erased", *SWITCHES),
        fields={
            **TYPE,
            "event": "RESPONDED, NO_RESPONSE, BOUGHT or PASSED.",
            "buyer_id": "The buyer's id in your system.",
            "deal_id": "The deal's id in your system.",
            "detail": "A JSON object, stored as it is.",
        },
    ),
    "BuyerViewSet.list": Doc("List buyers", "Newest first, with their buy boxes. Prices are CAD."),
    "BuyerViewSet.retrieve": Doc("Get a buyer"),
    "FeedbackEventViewSet.list": Doc("List buyers' feedback", "Newest first."),
    "FeedbackEventViewSet.retrieve": Doc("Get a feedback event"),
}

"""What buyers contribute to the operations board."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Max, Q, Sum

from buyers.models import BuyerFeedbackEvent, BuyerLiquidityNode
from buyers.rules import FeedbackKind

RATES_OVER = timedelta(days=30)


def board_figures(at: datetime) -> dict[str, Any]:
    """Return the response rate of 30 days, and per province its markets, answers and best cautious score."""
    answers = BuyerFeedbackEvent.objects.filter(created_at__gte=at - RATES_OVER).aggregate(
        good=Count("pk", filter=Q(event=FeedbackKind.RESPONDED)),
        counted=Count("pk", filter=Q(event__in=[FeedbackKind.RESPONDED, FeedbackKind.NO_RESPONSE])),
    )
    events = Sum("responded") + Sum("no_response") + Sum("bought") + Sum("passed")
    provinces = (
        BuyerLiquidityNode.objects.values("province")
        .annotate(markets=Count("pk"), answers=events, best=Max("score_low"))
        .order_by("province")
    )
    return {
        "buyer_response": {
            "value": answers["good"] / answers["counted"] if answers["counted"] else None,
            "counted": answers["counted"],
        },
        "liquidity": [{**row, "best": float(row["best"])} for row in provinces],
    }

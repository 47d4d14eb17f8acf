"""What buyers contribute to the operations board."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import Count, Max, Q, Sum

from buyers.models import BuyerFeedbackEvent, BuyerLiquidityNode
from buyers.rules import FeedbackKind
from governance.kpi.querysets import RATES_OVER, Rate


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
        "buyer_response": Rate(**answers).as_json(),
        "liquidity": [{**row, "best": float(row["best"])} for row in provinces],
    }

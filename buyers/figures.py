"""The buyers' metrics for the operations board."""

from __future__ import annotations

import functools
import operator
from datetime import datetime

from django.db.models import Count, F, Max, Q, Sum

from buyers.models import BuyerFeedbackEvent, BuyerLiquidityNode
from buyers.rules import EVENT_COLUMNS, RESPONSE_RATE, kinds_of
from governance.kpi.querysets import RATES_OVER, Rate


def board_figures(at: datetime) -> dict[str, object]:
    """Return the response rate of 30 days, and per province its markets, answers and best cautious score."""
    answers = BuyerFeedbackEvent.objects.answered_since(at - RATES_OVER).aggregate(
        good=Count("pk", filter=Q(event__in=kinds_of(RESPONSE_RATE, hits_only=True))), counted=Count("pk")
    )
    events = Sum(functools.reduce(operator.add, map(F, EVENT_COLUMNS)))
    provinces = (
        BuyerLiquidityNode.objects.values("province")
        .annotate(markets=Count("pk"), answers=events, best=Max("score_low"))
        .order_by("province")
    )
    return {
        "buyer_response": Rate(**answers).as_json(),
        "liquidity": [{**row, "best": float(row["best"])} for row in provinces],
    }

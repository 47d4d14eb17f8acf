"""What offers contribute to the operations board."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from governance.kpi.querysets import RATES_OVER, count_since, rate_since


def board_figures(at: datetime) -> dict[str, Any]:
    """Return how many offers were computed in 30 days, and how many were accepted and contracted."""
    since = at - RATES_OVER
    return {
        "offers_computed": count_since("WHOLESALE", "offer_generated", since),
        "offer_accept_rate": rate_since("WHOLESALE", "offer_accept_rate", since).as_json(),
        "contract_rate": rate_since("WHOLESALE", "contract_rate", since).as_json(),
    }

"""What offers contribute to the operations board and to a lead's card."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from governance import hooks
from governance.kpi.querysets import RATES_OVER, count_since, rate_since
from offers.models import Offer


def board_figures(at: datetime) -> dict[str, Any]:
    """Return how many offers were computed in 30 days, and how many were accepted and contracted."""
    since = at - RATES_OVER
    return {
        "offers_computed": count_since("WHOLESALE", "offer_generated", since),
        "offer_accept_rate": rate_since("WHOLESALE", "offer_accept_rate", since).as_json(),
        "contract_rate": rate_since("WHOLESALE", "contract_rate", since).as_json(),
    }


def standing_offer(lead_id: str) -> hooks.StandingOffer | None:
    """Return a lead's newest offer with where it stands; None where there is none."""
    offer = Offer.objects.filter(lead_id=lead_id).order_by("-evidence").select_related("evidence").first()
    if offer is None:
        return None
    return hooks.StandingOffer(offer.evidence.recommended_offer, str(offer.get_state_display()))

"""The offers' metrics for the operations board, and a lead's current offer."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Avg, Count, Q

from governance.core import hooks
from governance.core.places import Place
from governance.kpi.names import CONTRACT_RATE, OFFER_ACCEPT_RATE, OFFER_GENERATED
from governance.kpi.querysets import RATES_OVER, count_since, rate_since
from governance.market.names import spellings
from offers.models import Offer

MARKETS = 40  # with the most offers
State = Offer.State


def board_figures(at: datetime) -> dict[str, object]:
    """Return how many offers were computed in 30 days, and how many were accepted and contracted."""
    since = at - RATES_OVER
    return {
        "offers_computed": count_since(*OFFER_GENERATED.key, since),
        "offer_accept_rate": rate_since(*OFFER_ACCEPT_RATE.key, since).as_json(),
        "contract_rate": rate_since(*CONTRACT_RATE.key, since).as_json(),
        "offers_by_market": by_market(since),
    }


def by_market(since: datetime) -> list[dict[str, object]]:
    """Return the markets with the most offers computed from `since` on, and their outcomes.

    `multiplier` is the mean share of the ARV that they were computed with. An offer that fell through was
    accepted before.
    """
    taken = [State.ACCEPTED, State.CONTRACTED, State.ASSIGNED, State.FELL_THROUGH]
    rows = (
        Offer.objects.filter(evidence__created_at__gte=since)
        .order_by()
        .values_list("evidence__province", "evidence__market_key")
        .annotate(
            computed=Count("pk"),
            accepted=Count("pk", filter=Q(state__in=taken)),
            rejected=Count("pk", filter=Q(state=State.REJECTED)),
            multiplier=Avg("evidence__max_arv_multiplier"),
        )
        .order_by("-computed", "evidence__province", "evidence__market_key")
    )
    names = ("province", "market", "computed", "accepted", "rejected", "multiplier")
    found = [dict(zip(names, (*row[:5], float(row[5])), strict=True)) for row in rows[:MARKETS]]
    written = spellings([Place(row["province"], row["market"]) for row in found], keep=False)
    return [row | {"market": written.get((row["province"], row["market"]), row["market"])} for row in found]


def standing_offer(lead_id: str) -> hooks.StandingOffer | None:
    """Return a lead's newest offer with its state; None if there is none."""
    offer = Offer.objects.filter(lead_id=lead_id).order_by("-evidence").select_related("evidence").first()
    if offer is None:
        return None
    return hooks.StandingOffer(offer.evidence.recommended_offer, str(offer.get_state_display()))

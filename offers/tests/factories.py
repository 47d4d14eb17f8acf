"""Rows for tests of offers; offers themselves are always computed by the service."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from factory.django import DjangoModelFactory

from governance.core.actors import Actor
from governance.core.places import Place
from offers.models import OfferPolicy
from offers.services import Computed, Figures, Recorded, compute_offer, record_outcome, upsert_policy

AT = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)
ONTARIO = Place.read("ON")
TORONTO = Place.read("ON", "Toronto")
ANYBODY = Actor.system("test")


class OfferPolicyFactory(DjangoModelFactory[OfferPolicy]):
    """An enabled policy of Toronto with the defaults."""

    class Meta:
        model = OfferPolicy

    province = "ON"
    market = "TORONTO"
    enabled = True
    changed_by = "test"
    updated_at = AT


def switch_on(place: Place = ONTARIO, **changes: object) -> OfferPolicy:
    """Enable a place's policy, with these changes."""
    return upsert_policy(place, {"enabled": True, **changes}, by=ANYBODY, at=AT)


def compute(lead_id: str = "", **changes: object) -> Computed:
    """Compute SPEC's example in Ontario, by the system, unless told otherwise."""
    given: dict[str, Any] = {
        "place": ONTARIO,
        "arv": Decimal(450_000),
        "repairs": Decimal(50_000),
        "by": ANYBODY,
        "at": AT,
        "lead_id": lead_id,
        **changes,
    }
    return compute_offer(given.pop("place"), **given)


def kept(lead_id: str = "", **changes: Any) -> int:
    """Compute an offer and return the number of its evidence."""
    evidence = compute(lead_id, **changes).evidence
    assert evidence is not None
    return evidence.pk


def outcome(evidence_id: int, name: str, **changes: Any) -> Recorded:
    """Record an outcome by the system; figures are named as they are in Figures."""
    by, at, reason = changes.pop("by", ANYBODY), changes.pop("at", AT), changes.pop("reason", "")
    if name == "ASSIGNED" and not changes:
        changes = {"buyer": "B-1", "buyer_price": Decimal(255_000), "fee_earned": Decimal(9_000)}
    return record_outcome(evidence_id, name, figures=Figures(**changes), by=by, at=at, reason=reason)

"""Rows for tests of buyers; feedback itself is always recorded by the service."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from factory.declarations import LazyAttribute, LazyFunction, Sequence
from factory.django import DjangoModelFactory

from buyers.models import Buyer
from buyers.services import Recorded, record_feedback
from governance.core.actors import Actor
from governance.core.places import Place

AT = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)
TORONTO = Place.read("ON", "Toronto")
ANYBODY = Actor.system("test")


class BuyerFactory(DjangoModelFactory[Buyer]):
    """A buyer with all that a manager would type."""

    class Meta:
        model = Buyer

    external_id = Sequence(lambda n: f"B-{n}")
    name = Sequence(lambda n: f"Buyer {n}")
    phone = "+14165550123"
    email = LazyAttribute(lambda buyer: f"{buyer.external_id.lower()}@example.com")
    provinces = LazyFunction(lambda: ["ON"])
    created_at = AT
    updated_at = AT


def feedback(event: str, buyer: str = "", deal: str = "", **changes: object) -> Recorded:
    """Record feedback in Toronto, single-family, by the system, unless told otherwise."""
    given: dict[str, Any] = {"place": TORONTO, "property_type": "SFR", "by": ANYBODY, "at": AT, **changes}
    place, property_type = given.pop("place"), given.pop("property_type")
    return record_feedback(place, property_type, event, buyer_id=buyer, deal_id=deal, **given)

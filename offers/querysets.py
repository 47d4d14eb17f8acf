"""Queries on offers; locking a lead is the only place with database-specific SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from django.db import connections, models
from django.db.models.functions import Coalesce

from governance.core.append_only import AppendOnlyQuerySet
from governance.core.compiled import CompiledFilter, prepared_cursor
from governance.core.places import PlaceQuerySet, fold
from governance.market.querysets import name_of_market
from offers.rules import LIVE_STATES

if TYPE_CHECKING:
    from offers.models import OfferPolicy


class OfferPolicyQuerySet(PlaceQuerySet):
    """Queries on offer policies."""


def _by_place() -> models.QuerySet[OfferPolicy]:
    from offers.models import OfferPolicy  # the model itself needs the queryset above

    return OfferPolicy.objects.order_by("province", "market_key")


_listed = CompiledFilter(
    _by_place, province=models.CharField(), market_key=models.CharField(), enabled=models.BooleanField()
)


def listed_policies(*, province: str | None, market: str | None, enabled: bool | None) -> list[OfferPolicy]:
    """Return policies by province then market; None does not filter."""
    key = None if market is None else fold(market)
    return _listed(None, province=province, market_key=key, enabled=enabled)


class EvidenceQuerySet(AppendOnlyQuerySet):
    """Queries on stored computations."""

    def with_whereabouts(self) -> Self:
        """Return evidence with the state of its offer, when that last changed, and its outcomes."""
        whole = self.with_names().select_related("offer", "comp_details").prefetch_related("outcomes")
        return whole.annotate(updated_at=models.F("offer__updated_at"))

    def with_names(self) -> Self:
        """Add the spelling of each evidence's market, since evidence itself is append-only."""
        name = name_of_market(models.OuterRef("province"), models.OuterRef("market_key"))
        return self.annotate(market_name=Coalesce(name, models.F("market")))


class OutcomeQuerySet(AppendOnlyQuerySet):
    """Queries on recorded outcomes."""

    def of_lead(self, lead_id: str, evidence_id: int) -> Self:
        """Return the outcomes of all offers of a lead, oldest first; without a lead, of this one."""
        mine = models.Q(evidence__lead_id=lead_id) if lead_id else models.Q(evidence_id=evidence_id)
        return self.filter(mine).order_by("id")


class OfferQuerySet(models.QuerySet[Any]):
    """Queries on the state of offers."""

    def live(self) -> Self:
        """Return offers that have neither ended nor been superseded."""
        return self.filter(state__in=LIVE_STATES)

    def newer_than(self, lead_id: str, evidence_id: int) -> Self:
        """Return offers computed for a lead after this one."""
        return self.filter(lead_id=lead_id, evidence_id__gt=evidence_id)

    def hold_lead(self, lead_id: str) -> None:
        """Let one transaction at a time work on a lead's offers, until it ends.

        A lead's first computation has no row yet that could be locked. SQLite needs nothing: its writing
        transactions run one after the other anyway.
        """
        connection = connections[self.db]
        if lead_id and connection.vendor == "postgresql":
            with prepared_cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"offers:{lead_id}"])

"""Queries on buyers, nodes and feedback."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self

from django.db.models import Count, Max, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce

from buyers.rules import ACTIVE_KINDS, COUNTED_IN, EVENT_COLUMNS, RESPONSE_RATE, kinds_of
from governance.core.append_only import AppendOnlyQuerySet
from governance.core.compiled import Param
from governance.core.places import SomePlace

# the columns of a node that endpoints show; the counts of its feedback, by kind, come last
SHOWN = (
    "id", "province", "market", "property_type", "buyer_count", "active_buyer_count", "score", "score_low",
    "updated_at", *EVENT_COLUMNS,
)  # fmt: skip


class NodeQuerySet(QuerySet[Any]):
    """Queries on liquidity nodes."""

    def at(self, place: SomePlace, property_type: str | Param) -> Self:
        """Return the node of exactly this market: liquidity never falls back to ALL."""
        return self.filter(province=place.province, market_key=place.market_key, property_type=property_type)

    def hottest_first(self) -> Self:
        return self.order_by("-score", "id")

    def shown(self) -> QuerySet[Any, tuple[Any, ...]]:
        """Return the columns of SHOWN as tuples: 500 instances would take longer than all else."""
        return self.values_list(*SHOWN)

    def ranked(self) -> Self:
        """Add `rank` among all nodes, 1 for the highest score, regardless of later filters."""
        hotter = self.model._default_manager.filter(score__gt=OuterRef("score")).order_by()
        ahead = hotter.values(all=Value(1)).annotate(count=Count("pk")).values("count")
        return self.annotate(rank=Coalesce(Subquery(ahead), 0) + 1)

    def locked(self, node_id: int) -> Any:
        """Return the node, locked until this transaction ends."""
        return self.select_for_update(no_key=True).get(pk=node_id)


class ActivityQuerySet(QuerySet[Any]):
    """Queries on the buyers seen and active at a node."""

    def active(self, since: datetime) -> Self:
        return self.filter(last_active_at__gt=since)

    def of_or_between(self, buyer_id: int | Param, after: datetime | Param, until: datetime | Param) -> Self:
        """Return the buyer's own row and those of buyers last active after `after` and not after `until`."""
        return self.filter(Q(buyer_id=buyer_id) | Q(last_active_at__gt=after, last_active_at__lte=until))


class FeedbackQuerySet(AppendOnlyQuerySet):
    """Queries on feedback."""

    def first_of(self, buyer_id: str, deal_id: str, event: str) -> Any:
        """Return the feedback that counts for this buyer, deal and event, with its node, or None."""
        return (
            self.filter(buyer__external_id=buyer_id, deal_id=deal_id, event=event, event__in=ACTIVE_KINDS)
            .select_related("node")
            .first()
        )

    def answered_since(self, since: datetime) -> Self:
        """Return the answers and missing answers from `since` on, which make up the response rate."""
        return self.filter(created_at__gte=since, event__in=kinds_of(RESPONSE_RATE))

    def counted(self) -> dict[str, int]:
        """Return how many events there are of each kind, by the node's columns."""
        columns = {column: Count("id", filter=Q(event=kind)) for kind, column in COUNTED_IN.items()}
        return self.aggregate(**columns)

    def last_active_by_buyer(self) -> dict[int, datetime | None]:
        """Return every buyer seen and when each last responded or bought (None: never)."""
        rows = self.filter(buyer__isnull=False).order_by().values_list("buyer_id")
        return dict(rows.annotate(last=Max("created_at", filter=Q(event__in=ACTIVE_KINDS))))

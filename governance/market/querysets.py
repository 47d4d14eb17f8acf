"""Queries on market policies."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Self

from django.db.models import BooleanField, Case, CharField, Exists, OuterRef, Subquery, When

from governance.core.compiled import CompiledFilter, CompiledQuery, Listed
from governance.core.places import ALL, Place, PlaceQuerySet, fold

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from governance.market.models import MarketPolicy, ScheduledChange


MOST_LISTED = 1000


class MarketPolicyQuerySet(PlaceQuerySet):
    """A queryset with `candidates` and `effective`."""


class ScheduledChangeQuerySet(PlaceQuerySet):
    """Queries on scheduled changes."""

    def pending(self) -> Self:
        """Return those that are neither applied nor cancelled."""
        return self.filter(applied_at=None, cancelled_at=None)

    def due(self, at: datetime) -> Self:
        """Return those that are in effect and not yet a version, in the order in which they apply."""
        rows = self.pending().filter(effective_from__lte=at)
        # at one instant the change for all markets comes first, since a new market starts with it
        return rows.order_by("effective_from", Case(When(market_key=ALL, then=0), default=1), "id")


def name_of_market(province: object, market_key: object) -> Subquery:
    """Return an expression for a market's spelling; null if no name is stored."""
    from governance.market.models import MarketName  # the models themselves need the queryset above

    rows = MarketName.objects.filter(province=province, market_key=market_key).order_by()
    return Subquery(rows.values("market")[:1])


def _by_place() -> QuerySet[MarketPolicy]:
    from governance.market.models import MarketPolicy  # the model itself needs the queryset above

    return MarketPolicy.objects.order_by("province", "market")


_listed = CompiledFilter(_by_place, province=CharField(), market_key=CharField(), enabled=BooleanField())


def listed_policies(
    province: str | None, market: str | None, enabled: bool | None, *, limit: int = MOST_LISTED
) -> list[MarketPolicy]:
    """Return policies by province, then market; None does not filter."""
    key = None if market is None else fold(market)
    return _listed(limit, province=province, market_key=key, enabled=enabled)


@CompiledQuery
def _pending_in() -> object:
    from governance.market.models import MarketPolicy, ScheduledChange

    own = MarketPolicy.objects.filter(province=OuterRef("province"), market_key=OuterRef("market_key"))
    rows = ScheduledChange.objects.pending().filter(province__any_of=Listed("provinces"))
    return rows.annotate(has_own=Exists(own)).order_by("effective_from", "id")[:MOST_LISTED]


def scheduled_of(policies: Iterable[MarketPolicy]) -> dict[int, list[ScheduledChange]]:
    """Return the scheduled changes by policy, the next change first, in one query.

    A change that will give a market its own policy is listed with the ALL that applies there until then.
    """
    of_place = {(policy.province, policy.market_key): policy.pk for policy in policies}
    found: dict[int, list[ScheduledChange]] = {}
    for row in _pending_in(provinces={province for province, _key in of_place}):
        pk = of_place.get((row.province, row.market_key if row.has_own else ALL))
        if pk is not None:
            found.setdefault(pk, []).append(row)
    return found


def scheduled_for(place: Place) -> list[ScheduledChange]:
    """Return the scheduled changes of a place and of the ALL that may apply there, the next first."""
    from governance.market.models import ScheduledChange

    rows = ScheduledChange.objects.pending().filter(
        province=place.province, market_key__in={place.market_key, ALL}
    )
    return list(rows.order_by("effective_from", "id")[:MOST_LISTED])

"""Questions about market policies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from governance.places import PlaceQuerySet, fold

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from governance.market.models import MarketPolicy


class MarketPolicyQuerySet(PlaceQuerySet):
    """Adds nothing to `candidates` and `effective` yet but the name to chain on."""


def listed_policies(province: str | None, market: str | None, enabled: bool | None) -> QuerySet[MarketPolicy]:
    """Return policies by province, then market; what is None does not narrow."""
    from governance.market.models import MarketPolicy  # the model itself needs the queryset above

    rows = MarketPolicy.objects.order_by("province", "market")
    if province is not None:
        rows = rows.filter(province=province)
    if market is not None:
        rows = rows.filter(market_key=fold(market))
    return rows if enabled is None else rows.filter(enabled=enabled)

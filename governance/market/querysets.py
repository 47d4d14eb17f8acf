"""Questions about market policies."""

from __future__ import annotations

from governance.places import PlaceQuerySet


class MarketPolicyQuerySet(PlaceQuerySet):
    """Adds nothing to `candidates` and `effective` yet but the name to chain on."""

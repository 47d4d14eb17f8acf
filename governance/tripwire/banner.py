"""The tripwires' states, queried once per page."""

from __future__ import annotations

from django.http import HttpRequest

from governance.tripwire.models import RegressionState
from governance.tripwire.querysets import standing_tripwires

RIGHT = "governance.view_tripwires"
KEPT_AS = "_valhalla_tripwires"


def standing_of(request: HttpRequest) -> list[RegressionState]:
    """Return the tripwires that are armed or have fired, most serious first; none without the permission."""
    found: list[RegressionState] | None = getattr(request, KEPT_AS, None)
    if found is None:
        user = getattr(request, "user", None)
        may = user is not None and user.is_authenticated and user.has_perm(RIGHT)
        found = standing_tripwires() if may else []
        setattr(request, KEPT_AS, found)
    return found

"""Which tripwires stand how, asked once for a page and whatever is shown on it."""

from __future__ import annotations

from django.http import HttpRequest

from governance.tripwire.models import RegressionState
from governance.tripwire.querysets import standing_tripwires

RIGHT = "governance.view_tripwires"
KEPT_AS = "_valhalla_tripwires"


def standing_of(request: HttpRequest) -> list[RegressionState]:
    """Return the tripwires that watch or fired, the gravest first; none to who may not read of them."""
    found: list[RegressionState] | None = getattr(request, KEPT_AS, None)
    if found is None:
        user = getattr(request, "user", None)
        may = user is not None and user.is_authenticated and user.has_perm(RIGHT)
        found = standing_tripwires() if may else []
        setattr(request, KEPT_AS, found)
    return found

"""The buyers' readiness check for go-live."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Min
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from buyers.models import BuyerLiquidityNode
from buyers.rules import ACTIVE_FOR
from governance.runbook.registry import Finding, Severity, check

REFRESHED_WITHIN = timedelta(hours=48)  # a night may fail once


@check(
    "buyer_liquidity_ready",
    Severity.BLOCKER,
    gettext_lazy("Buyer metrics are up to date"),
    screen="schedules",
)
def buyer_liquidity_ready(at: datetime) -> Finding | None:
    """Check that every market's liquidity was recounted in the last two nights.

    A new operation without buyers is ready too: the first feedback creates a market's figures, and an offer
    policy that requires liquidity refuses until then.
    """
    oldest = BuyerLiquidityNode.objects.aggregate(oldest=Min("active_since"))["oldest"]
    if oldest is None:
        return Finding(
            _("No buyer has responded yet. Metrics start with the first response."), {}, Severity.INFO
        )
    counted = oldest + ACTIVE_FOR
    if at - counted <= REFRESHED_WITHIN:
        return None
    return Finding(
        _("Some markets were last recounted at %(when)s UTC: find out why the nightly job fails.")
        % {"when": f"{counted:%Y-%m-%d %H:%M}"},
        {"recounted_at": counted},
    )

"""The offers' readiness check for go-live."""

from __future__ import annotations

from datetime import datetime

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from governance.core.places import ALL, Province
from governance.runbook.registry import Finding, Severity, check
from offers.models import OfferPolicy


@check(
    "offer_policies_present",
    Severity.BLOCKER,
    gettext_lazy("Every province has its offer policy"),
    screen="admin:offers_offerpolicy_changelist",
)
def offer_policies_present(at: datetime) -> Finding | None:
    """Check that offer policies exist; one that is off counts, since it refuses every offer."""
    there = OfferPolicy.objects.filter(market_key=ALL).values_list("province", flat=True)
    missing = sorted(set(Province.values) - set(there))
    if not missing:
        return None
    return Finding(
        _("No offer policy for: %(provinces)s.") % {"provinces": ", ".join(missing)}, {"provinces": missing}
    )

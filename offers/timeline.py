"""The offers' entries in a lead's timeline."""

from __future__ import annotations

from decimal import Decimal

from django.utils.formats import number_format
from django.utils.translation import gettext as _

from governance.core.hooks import Happened
from offers.models import OfferEvidence, OfferOutcome

MOST = 300  # of each kind; nobody reads further back


def timeline(lead_id: str) -> list[Happened]:
    """Return a lead's offers and their outcomes, in two queries."""
    computed = OfferEvidence.objects.filter(lead_id=lead_id).order_by("-id")[:MOST]
    outcomes = OfferOutcome.objects.filter(evidence__lead_id=lead_id).order_by("-id")[:MOST]
    return [
        *(
            Happened(
                row.created_at, "offer", _("Offer computed"),
                _("%(offer)s of at most %(most)s CAD")
                % {"offer": _cad(row.recommended_offer), "most": _cad(row.mao)},
                row.actor, row.correlation_id, "offers.offerevidence", row.pk,
            )
            for row in computed
        ),
        *(
            Happened(
                row.created_at, "offer", _("Offer: %(outcome)s") % {"outcome": row.get_outcome_display()},
                "" if row.agreed_price is None else f"{_cad(row.agreed_price)} CAD",
                row.actor, row.correlation_id, "offers.offeroutcome", row.pk,
            )
            for row in outcomes
        ),
    ]  # fmt: skip


def _cad(amount: Decimal) -> str:
    return number_format(amount, 0, force_grouping=True)

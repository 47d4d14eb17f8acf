"""Retention periods of offers, and their data about a person."""

from __future__ import annotations

from collections.abc import Sequence

from django.utils.translation import gettext_lazy as _

from governance.retention.registry import BUYER, LEAD, Person, Retained, Rule, Trace
from governance.retention.rules import ERASED
from offers.models import CompDetails, OfferEvidence, OfferOutcome, OutcomeReason

YEARS_7 = 2557

RULES = (
    Rule(
        "offer_evidence", "offers.OfferEvidence", "created_at", YEARS_7, YEARS_7,
        _("Evidence of offers that came to nothing"),
        _(
            "the books are kept for six years after their tax year (Income Tax Act, s. 230); evidence"
            " with an outcome is kept indefinitely"
        ),
        only_if="NOT EXISTS (SELECT 1 FROM offers_offeroutcome AS o WHERE o.evidence_id = t.id)",
        part=("offers_offer", "evidence_id"),
    ),
    Rule(
        "comp_details", "offers.CompDetails", "created_at", YEARS_7, 30,
        _("Details of comparable sales"),
        _("to look a sale up again while its offer may be questioned; they can hold addresses"),
    ),
)  # fmt: skip


def traces_of(person: Person) -> Sequence[Trace]:
    """Return a person's traces: reasons of outcomes are free text and may name a seller or buyer."""
    reasons = OutcomeReason.objects.exclude(text=ERASED)
    if person.kind == LEAD:
        reasons = reasons.filter(outcome__evidence__lead_id=person.reference)
    else:
        reasons = reasons.filter(outcome__buyer=person.reference)
    traces = [Trace(_("reasons of outcomes"), reasons, blank={"text": ERASED})]
    if person.kind == LEAD:
        details = CompDetails.objects.filter(lead_id=person.reference)
        traces.append(Trace(_("details of comparable sales"), details))
    return traces


def stays_of(person: Person) -> Sequence[Retained]:
    if person.kind == BUYER:
        named = OfferOutcome.objects.filter(buyer=person.reference).count()
        return [Retained(_("outcomes of offers, by buyer id"), named)]
    kept = OfferEvidence.objects.filter(lead_id=person.reference).count()
    return [Retained(_("evidence of offers, by lead id"), kept)]

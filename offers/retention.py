"""How long offers keep what, and what of it is about a person."""

from __future__ import annotations

from collections.abc import Sequence

from django.utils.translation import gettext_lazy as _

from governance.retention.registry import BUYER, LEAD, Person, Rule, Stay, Trace
from governance.retention.rules import ERASED
from offers.models import OfferEvidence, OfferOutcome, OutcomeReason

YEARS_7 = 2557

RULES = (
    Rule(
        "offer_evidence", "offers.OfferEvidence", "created_at", YEARS_7, YEARS_7,
        _("Evidence of offers that came to nothing"),
        _(
            "the books are kept for six years after their tax year (Income Tax Act, s. 230); evidence with "
            "an outcome stays for ever"
        ),
        only_if="NOT EXISTS (SELECT 1 FROM offers_offeroutcome AS o WHERE o.evidence_id = t.id)",
        part=("offers_offer", "evidence_id"),
    ),
)  # fmt: skip


def traces_of(person: Person) -> Sequence[Trace]:
    """Reasons of outcomes are free text and may name whom an offer was for, or who bought."""
    reasons = OutcomeReason.objects.exclude(text=ERASED)
    if person.kind == LEAD:
        reasons = reasons.filter(outcome__evidence__lead_id=person.reference)
    else:
        reasons = reasons.filter(outcome__buyer=person.reference)
    return [Trace(_("reasons of outcomes"), reasons, blank={"text": ERASED})]


def stays_of(person: Person) -> Sequence[Stay]:
    if person.kind == BUYER:
        named = OfferOutcome.objects.filter(buyer=person.reference).count()
        return [Stay(_("outcomes of offers, by buyer id"), named)]
    kept = OfferEvidence.objects.filter(lead_id=person.reference).count()
    return [Stay(_("evidence of offers, by lead id"), kept)]

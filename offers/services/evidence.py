"""Stored computations: recomputing their figures, and verifying that nothing was altered."""

from __future__ import annotations

from datetime import UTC
from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError

from offers import rules
from offers.models import OfferEvidence


def replay(evidence: OfferEvidence) -> dict[str, object]:
    """Return every figure of an evidence recomputed from its inputs, by the name of its column."""
    values = evidence.policy_values
    calculation = rules.calculate(
        evidence.arv,
        evidence.repairs,
        rules.Terms(
            max_arv_multiplier=Decimal(values["max_arv_multiplier"]),
            assignment_fee=Decimal(values["default_assignment_fee"]),
            fees_buffer=Decimal(values["default_fees_buffer"]),
            net_of_assignment_fee=values["offer_net_of_assignment_fee"],
        ),
    )
    today = rules.day_of(evidence.created_at, evidence.province, evidence.rules_version)
    statistics = rules.comps_statistics(
        rules.read_comps(evidence.comps, today=today),
        arv=evidence.arv,
        assumptions=evidence.assumptions,
        today=today,
    )
    return {
        "max_arv_multiplier": calculation.max_arv_multiplier,
        "fees_buffer": calculation.fees_buffer,
        "assignment_fee": calculation.assignment_fee,
        "mao": calculation.mao,
        "recommended_offer": calculation.recommended_offer,
        "binding": calculation.binding,
        "floored": calculation.floored,
        "comps_statistics": statistics,
        "comps_grade": statistics["grade"],
    }


def details_of(evidence: OfferEvidence) -> dict[str, Any]:
    """Return the additional data on the comparable sales, by the sale's number."""
    return evidence.comp_details.details if hasattr(evidence, "comp_details") else {}


def content_of(evidence: OfferEvidence) -> dict[str, object]:
    """Return what the digest covers, as plain JSON: every column but the id, which is assigned later."""
    # older evidence, from before Heimdall was asked, has no verdict, and a digest without one; likewise the
    # token
    heimdall = {} if evidence.heimdall is None else {"heimdall": evidence.heimdall}
    token = {} if evidence.token_id is None else {"token_id": evidence.token_id}
    return {
        **heimdall,
        **token,
        "rules_version": evidence.rules_version,
        "province": evidence.province,
        "market": evidence.market,
        "property_type": evidence.property_type,
        "lead_id": evidence.lead_id,
        "recommendation_id": evidence.recommendation_id,
        "policy_id": evidence.policy_id,
        "policy_version": evidence.policy_version,
        "policy_values": evidence.policy_values,
        "liquidity": evidence.liquidity,
        "arv": rules.money_text(evidence.arv),
        "max_arv_multiplier": format(evidence.max_arv_multiplier, ".4f"),
        "repairs": rules.money_text(evidence.repairs),
        "fees_buffer": rules.money_text(evidence.fees_buffer),
        "assignment_fee": rules.money_text(evidence.assignment_fee),
        "mao": rules.money_text(evidence.mao),
        "recommended_offer": rules.money_text(evidence.recommended_offer),
        "binding": evidence.binding,
        "floored": evidence.floored,
        "comps": evidence.comps,
        "comps_statistics": evidence.comps_statistics,
        "comps_grade": evidence.comps_grade,
        "assumptions": evidence.assumptions,
        "actor": evidence.actor,
        "acting_for": evidence.acting_for,
        "correlation_id": evidence.correlation_id,
        "created_at": evidence.created_at.astimezone(UTC).isoformat(timespec="microseconds"),
    }


def differences(evidence: OfferEvidence) -> list[str]:
    """Return the columns that do not follow from the inputs, and `digest` if it is not the content's.

    Empty means that the evidence is as it was written. `unreadable` means that the content can no longer be
    computed with at all.
    """
    try:
        wrong = [name for name, value in replay(evidence).items() if getattr(evidence, name) != value]
        if rules.digest(content_of(evidence)) != evidence.digest:
            wrong.append("digest")
    except (ValidationError, ValueError, TypeError, ArithmeticError, LookupError, AttributeError):
        return ["unreadable"]
    return wrong

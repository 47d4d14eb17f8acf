"""Computing an offer and keeping the evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext as _

from governance import hooks
from governance.actors import By
from governance.errors import Forbidden, Invalid, Refused
from governance.golive.services import Execution, verb
from governance.heimdall.rules import WHOLESALE_OFFER
from governance.heimdall.services import may_drive, use_recommendation
from governance.kpi.services import emit_kpi
from governance.places import Place
from governance.property_types import PropertyType
from offers import rules
from offers.models import Offer, OfferEvidence, OfferPolicy
from offers.services.evidence import content_of, replay
from offers.services.policies import get_effective_policy
from offers.services.reserving import release_fee, reserve_fee

DOMAIN = "WHOLESALE"
COMPUTE = "offers.compute_offer"


@dataclass(frozen=True, slots=True)
class Computed:
    """What a computation answers; without evidence it was a dry run."""

    policy: OfferPolicy
    calculation: rules.Calculation
    evidence: OfferEvidence | None
    reservation_id: int | None


@verb(Execution.SANDBOX_EXEC)
def compute_offer(
    place: Place,
    *,
    arv: Decimal,
    repairs: Decimal,
    by: By,
    at: datetime,
    property_type: str = PropertyType.SFR,
    comps: Sequence[rules.Comp] = (),
    assumptions: Mapping[str, str | bool] | None = None,
    lead_id: str = "",
    recommendation_id: str = "",
    reserve: bool = False,
    dry_run: bool = False,
) -> Computed:
    """Compute an offer for a house worth `arv` CAD after `repairs` CAD, and keep the evidence.

    For a lead it supersedes the live offer and releases what that one reserved. `reserve` reserves the
    assignment fee: denied, no evidence is kept either. Where the policy requires Heimdall, it uses the
    recommendation up. A dry run answers the same figures and keeps, supersedes, reserves and uses up nothing.
    `comps` and `assumptions` are as rules.read_comps and rules.read_assumptions give them.
    Raises Forbidden without the right, Invalid for amounts that are none, and Refused
    `offer_policy_disabled`, `market_too_cold`, `heimdall_refused`, `no_offer`, `risk_denied`.
    """
    if not by.may(COMPUTE):
        raise Forbidden("not_allowed", _("Computing an offer needs a closer or a manager."))
    arv, repairs = _amount("arv", arv), _amount("repairs", repairs)
    policy = _policy_in_force(place)
    liquidity = _warm_enough(policy, place, property_type)
    heimdall = _let_in(policy, recommendation_id, lead_id, by=by, at=at, dry_run=dry_run)
    calculation = rules.calculate(arv, repairs, policy.terms)
    if dry_run:
        return Computed(policy, calculation, None, None)
    if reserve and calculation.recommended_offer <= 0:
        raise Refused("no_offer", _("These figures leave no offer, so there is nothing to reserve for."))
    Offer.objects.hold_lead(lead_id)
    superseded = _supersede(lead_id, at)
    evidence = _keep(
        OfferEvidence(
            province=place.province,
            market=place.market,
            property_type=property_type,
            lead_id=lead_id,
            recommendation_id=recommendation_id,
            policy=policy,
            policy_version=policy.version,
            policy_values=_values_of(policy),
            liquidity=liquidity,
            heimdall=heimdall,
            comps=[comp.as_json() for comp in comps],
            assumptions=dict(assumptions or {}),
            arv=arv,
            repairs=repairs,
            rules_version=rules.RULES_VERSION,
            created_at=at,
            **by.written(),
        )
    )
    emit_kpi(
        DOMAIN,
        "offer_generated",
        by=by,
        at=at,
        value=calculation.recommended_offer,
        detail={"evidence_id": evidence.pk, "province": place.province},
    )
    # risk comes last, for the rows of its engine are held from here to the end of the transaction
    for number in superseded:
        release_fee(number, rules.SUPERSEDED, by=by, at=at)
    reservation_id = reserve_fee(calculation.assignment_fee, by=by, at=at) if reserve else None
    Offer.objects.create(evidence=evidence, lead_id=lead_id, reservation_id=reservation_id, updated_at=at)
    return Computed(policy, calculation, evidence, reservation_id)


def _amount(name: str, amount: Decimal) -> Decimal:
    try:
        return rules.read_number(amount, low=Decimal(0), high=rules.MONEY_MAX, places=2).quantize(rules.CENT)
    except ValueError as wrong:
        raise Invalid({name: [str(wrong)]}) from wrong


def _policy_in_force(place: Place) -> OfferPolicy:
    policy = get_effective_policy(place)
    if policy is None or not policy.enabled:
        where = f"{policy.province}/{policy.market}" if policy is not None else place.province
        raise Refused(
            "offer_policy_disabled",
            _("No offers are made here: the offer policy of %(where)s is off. A manager can switch it on.")
            % {"where": where},
        )
    return policy


def _warm_enough(policy: OfferPolicy, place: Place, property_type: str) -> dict[str, Any] | None:
    """Return the market's liquidity where the policy asks for it, as evidence keeps it."""
    if policy.min_liquidity_score is None:
        return None
    liquidity = hooks.liquidity_of.first(place, property_type)
    if liquidity is None or liquidity.score_low < policy.min_liquidity_score:
        score = rules.number_text(liquidity.score_low) if liquidity is not None else None
        raise Refused(
            "market_too_cold",
            _("%(province)s/%(market)s is too cold for an offer: its buyers' cautious score is %(score)s.")
            % {"province": place.province, "market": place.market, "score": score or _("not known yet")}
            + " "
            + _("The policy asks for %(least)s.") % {"least": policy.min_liquidity_score},
        )
    return {
        "score": rules.number_text(liquidity.score),
        "score_low": rules.number_text(liquidity.score_low),
        "events": liquidity.events,
    }


def _let_in(
    policy: OfferPolicy, recommendation_id: str, lead_id: str, *, by: By, at: datetime, dry_run: bool
) -> dict[str, Any] | None:
    """Ask Heimdall where the policy does, and return its verdict as evidence keeps it.

    What is kept uses the recommendation up; a dry run only asks whether it would be let in.
    """
    if not policy.require_heimdall:
        return None
    if dry_run:
        return may_drive(recommendation_id, WHOLESALE_OFFER, at, subject=lead_id).as_json()
    return use_recommendation(recommendation_id, WHOLESALE_OFFER, by=by, at=at, subject=lead_id).as_json()


def _supersede(lead_id: str, at: datetime) -> list[int]:
    """Supersede a lead's live offer; returns what it reserved."""
    live = Offer.objects.live().filter(lead_id=lead_id)
    found = list(live.values_list("reservation_id", flat=True)) if lead_id else []
    if found:
        live.update(state=rules.SUPERSEDED, updated_at=at)
    return [number for number in found if number is not None]


def _values_of(policy: OfferPolicy) -> dict[str, Any]:
    least = policy.min_liquidity_score
    return {
        "province": policy.province,
        "market": policy.market,
        "enabled": policy.enabled,
        "max_arv_multiplier": format(policy.max_arv_multiplier, ".4f"),
        "default_assignment_fee": rules.money_text(policy.default_assignment_fee),
        "default_fees_buffer": rules.money_text(policy.default_fees_buffer),
        "offer_net_of_assignment_fee": policy.offer_net_of_assignment_fee,
        "min_liquidity_score": rules.number_text(least),
        "require_heimdall": policy.require_heimdall,
    }


def _keep(evidence: OfferEvidence) -> OfferEvidence:
    for name, value in replay(evidence).items():
        setattr(evidence, name, value)
    evidence.digest = rules.digest(content_of(evidence))
    evidence.save()
    return evidence

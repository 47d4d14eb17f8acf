"""Computing an offer and storing the evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from governance.core import hooks
from governance.core.actors import Actor
from governance.core.compiled import CompiledQuery, CompiledUpdate, Param, insert_rows
from governance.core.errors import Invalid, Refused
from governance.core.places import Place
from governance.core.property_types import PropertyType
from governance.core.verbs import Execution, verb
from governance.heimdall.rules import WHOLESALE_OFFER
from governance.heimdall.services import Judgement, judge_recommendation, mark_used
from governance.kpi.names import OFFER_GENERATED
from governance.kpi.services import emit_kpi
from governance.market.names import spelled
from offers import rules
from offers.models import CompDetails, Offer, OfferEvidence, OfferPolicy
from offers.services.evidence import content_of, replay
from offers.services.fees import release_fee, reserve_fee
from offers.services.policies import get_effective_policy

COMPUTE = "offers.compute_offer"


@dataclass(frozen=True, slots=True)
class Computed:
    """A computation's result; without evidence it was a dry run."""

    policy: OfferPolicy
    calculation: rules.Calculation
    evidence: OfferEvidence | None
    reservation_id: int | None


@verb(
    Execution.SANDBOX_EXEC,
    right=COMPUTE,
    refusal=gettext_lazy("Computing an offer needs a closer or a manager."),
)
def compute_offer(
    place: Place,
    *,
    arv: Decimal,
    repairs: Decimal,
    by: Actor,
    at: datetime,
    property_type: str = PropertyType.SFR,
    comps: Sequence[rules.Comp] = (),
    comp_details: Mapping[str, Mapping[str, object]] | None = None,
    assumptions: Mapping[str, str | bool] | None = None,
    lead_id: str = "",
    recommendation_id: str = "",
    reserve: bool = False,
    dry_run: bool = False,
) -> Computed:
    """Compute an offer for a house worth `arv` CAD after `repairs` CAD, and store the evidence.

    For a lead it supersedes the live offer and releases that offer's reservation. `reserve` reserves the
    assignment fee: if denied, no evidence is stored either. If the policy requires Heimdall, it uses the
    recommendation up. A dry run returns the same figures and stores, supersedes, reserves and uses up
    nothing. `comps` and `assumptions` are those of rules.read_comps and rules.read_assumptions,
    `comp_details` (by the comp's number, stored separately from the evidence) those of rules.split_comps.
    Raises Forbidden without the permission, Invalid for invalid amounts, and Refused `offer_policy_disabled`,
    `market_too_cold`, `heimdall_refused`, `no_offer`, `risk_denied`.
    """
    arv, repairs = _amount("arv", arv), _amount("repairs", repairs)
    place = spelled(place, keep=not dry_run)
    if not dry_run:
        Offer.objects.hold_lead(lead_id)
    loaded = _load(place, property_type, recommendation_id, lead_id, at, dry_run=dry_run)
    plan = rules.plan_offer(arv, repairs, loaded.known, reserve=reserve and not dry_run)
    if isinstance(plan, rules.NoOffer):
        raise _refusal(plan, place, loaded, by=by, at=at, dry_run=dry_run)
    policy = loaded.policy
    assert policy is not None  # without one there was no offer
    if dry_run:
        return Computed(policy, plan.calculation, None, None)
    evidence = OfferEvidence(
        province=place.province,
        market=place.market,
        property_type=property_type,
        lead_id=lead_id,
        recommendation_id=recommendation_id,
        policy=policy,
        policy_version=policy.version,
        policy_values=plan.policy_values,
        liquidity=plan.liquidity,
        heimdall=plan.heimdall,
        comps=[comp.as_json() for comp in comps],
        assumptions=dict(assumptions or {}),
        arv=arv,
        repairs=repairs,
        rules_version=rules.RULES_VERSION,
        created_at=at,
        **by.written(),
    )
    reservation_id = _write(plan, evidence, comp_details, loaded.judgement, by=by, at=at)
    return Computed(policy, plan.calculation, evidence, reservation_id)


_supersede = CompiledUpdate(lambda: Offer.objects.live().filter(lead_id=Param("lead_id")))


@CompiledQuery
def _reservations_of_live() -> QuerySet[Offer, int | None]:
    """Return the reservation, or None, of each live offer of a lead."""
    return Offer.objects.live().filter(lead_id=Param("lead_id")).values_list("reservation_id", flat=True)


def _write(
    plan: rules.OfferPlan,
    evidence: OfferEvidence,
    comp_details: Mapping[str, Mapping[str, object]] | None,
    judgement: Judgement | None,
    *,
    by: Actor,
    at: datetime,
) -> int | None:
    """Write the plan and return the reservation's id, if any.

    Risk comes last, since the rows of its engine stay locked from there to the end of the transaction.
    """
    lead_id = evidence.lead_id
    if plan.uses_recommendation and judgement:
        mark_used(judgement, by=by, at=at)
    if plan.supersedes:
        _supersede({"state": rules.SUPERSEDED, "updated_at": at}, lead_id=lead_id)
    _keep(evidence)
    if comp_details:
        CompDetails.objects.create(
            evidence=evidence, lead_id=lead_id, details=dict(comp_details), created_at=at
        )
    emit_kpi(
        *OFFER_GENERATED.key,
        by=by,
        at=at,
        value=plan.calculation.recommended_offer,
        detail={"evidence_id": evidence.pk, "province": evidence.province},
    )
    for number in plan.releases:
        release_fee(number, rules.SUPERSEDED, by=by, at=at)
    reservation_id = reserve_fee(plan.reserves, by=by, at=at) if plan.reserves is not None else None
    offer = Offer(evidence=evidence, lead_id=lead_id, reservation_id=reservation_id, updated_at=at)
    insert_rows([offer])
    return reservation_id


@dataclass(frozen=True, slots=True)
class _Loaded:
    """The facts that decide an offer, and the rows that they came from."""

    known: rules.Known
    policy: OfferPolicy | None
    judgement: Judgement | None = None


def _load(
    place: Place, property_type: str, recommendation_id: str, lead_id: str, at: datetime, *, dry_run: bool
) -> _Loaded:
    """Load the policy and what it requires, and the lead's live offers; if it is disabled, nothing more."""
    policy = get_effective_policy(place)
    values = _values_of(policy) if policy is not None else None
    if policy is None or values is None or not values.enabled:
        return _Loaded(rules.Known(values), policy)
    liquidity = (
        hooks.liquidity_of.first(place, property_type) if values.min_liquidity_score is not None else None
    )
    judgement = (
        judge_recommendation(recommendation_id, WHOLESALE_OFFER, at, subject=lead_id)
        if values.require_heimdall
        else None
    )
    live = _reservations_of_live(lead_id=lead_id) if lead_id and not dry_run else ()
    verdict = judgement.verdict if judgement else None
    known = rules.Known(
        policy=values,
        liquidity=rules.MarketScore(liquidity.score, liquidity.score_low, liquidity.events)
        if liquidity
        else None,
        heimdall=rules.HeimdallAnswer(judgement.ok, verdict.as_json() if verdict else None)
        if judgement
        else None,
        live=tuple(live),
    )
    return _Loaded(known, policy, judgement)


def _amount(name: str, amount: Decimal) -> Decimal:
    try:
        return rules.read_number(amount, low=Decimal(0), high=rules.MONEY_MAX, places=2).quantize(rules.CENT)
    except ValueError as wrong:
        raise Invalid({name: [str(wrong)]}) from wrong


def _refusal(
    no_offer: rules.NoOffer, place: Place, loaded: _Loaded, *, by: Actor, at: datetime, dry_run: bool
) -> Refused:
    """Return the refusal for a computation without an offer."""
    policy, code = loaded.policy, no_offer.code
    if code == rules.HEIMDALL_REFUSED and loaded.judgement:
        judgement = loaded.judgement
        return judgement.refusal() if dry_run else judgement.refusal_on_record(by=by, at=at)
    if code == rules.POLICY_DISABLED:
        where = f"{policy.province}/{policy.market}" if policy is not None else place.province
        message = _(
            "No offers are made here: the offer policy of %(where)s is off. A manager can switch it on."
        ) % {"where": where}
    elif code == rules.TOO_COLD:
        least = policy.min_liquidity_score if policy is not None else None
        score = rules.number_text(no_offer.score_low) or _("not known yet")
        message = (
            _("%(province)s/%(market)s is too cold for an offer: its buyers' cautious score is %(score)s.")
            % {"province": place.province, "market": place.market, "score": score}
            + " "
            + _("The policy asks for %(least)s.") % {"least": least}
        )
    else:
        message = _("These amounts leave no offer, so there is nothing to reserve.")
    return Refused(code, message)


def _values_of(policy: OfferPolicy) -> rules.PolicyValues:
    return rules.PolicyValues(
        province=policy.province,
        market=policy.market,
        enabled=policy.enabled,
        terms=policy.terms,
        min_liquidity_score=policy.min_liquidity_score,
        require_heimdall=policy.require_heimdall,
    )


def _keep(evidence: OfferEvidence) -> None:
    for name, value in replay(evidence).items():
        setattr(evidence, name, value)
    evidence.digest = rules.digest(content_of(evidence))
    evidence.save()

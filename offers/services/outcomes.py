"""Outcomes of an offer: recording one once, and correcting it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import models
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from governance.core.actors import Actor
from governance.core.errors import Invalid, NotFound, Refused
from governance.core.verbs import Execution, verb
from governance.kpi.names import WHOLESALE
from governance.kpi.services import Kpi, emit_kpis
from offers import rules
from offers.models import REASON_LENGTH, Offer, OfferEvidence, OfferOutcome, OutcomeReason
from offers.services.fees import release_fee, settle_fee

RECORD, CORRECT = "offers.record_outcome", "offers.correct_outcome"

_FIGURES = {
    rules.ACCEPTED: {"agreed_price"},
    rules.REJECTED: set[str](),
    rules.CONTRACTED: {"agreed_price"},
    rules.ASSIGNED: {"agreed_price", "buyer", "buyer_price", "fee_earned"},
    rules.FELL_THROUGH: set[str](),
}
_NEEDED = {rules.ASSIGNED: ("buyer", "buyer_price", "fee_earned")}


@dataclass(frozen=True, slots=True)
class Figures:
    """The data of an outcome: CAD, and the buyer's id."""

    agreed_price: Decimal | None = None
    buyer: str = ""
    buyer_price: Decimal | None = None
    fee_earned: Decimal | None = None

    def given(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value not in (None, "")}


NO_FIGURES = Figures()


@dataclass(frozen=True, slots=True)
class Recorded:
    """The result of recording: the current row, the offer's state, whether it was known already."""

    outcome: OfferOutcome
    state: str
    already_recorded: bool


@dataclass(slots=True)
class _Case:
    """An offer with its outcomes and those of its lead's other offers, locked until the transaction ends."""

    offer: Offer
    evidence: OfferEvidence
    of_lead: list[OfferOutcome]
    is_newest: bool
    mine: list[OfferOutcome] = field(init=False)

    def __post_init__(self) -> None:
        self.mine = [row for row in self.of_lead if row.evidence_id == self.evidence.pk]

    def counted(self, metric: str) -> OfferOutcome | None:
        """Return the row whose event counts the lead in a rate now."""
        rows = [
            row for row in self.of_lead if row.kpi_event_id and rules.METRIC_OF_STAGE[row.stage] == metric
        ]
        return rows[-1] if rows else None


@verb(
    Execution.OBSERVE_ONLY,
    right=RECORD,
    refusal=gettext_lazy("Recording an outcome needs a closer or a manager."),
)
def record_outcome(
    evidence_id: int,
    outcome: str,
    *,
    by: Actor,
    at: datetime,
    figures: Figures = NO_FIGURES,
    reason: str = "",
) -> Recorded:
    """Record an outcome of an offer; a repeat returns the first result and writes nothing.

    ACCEPTED or REJECTED, then CONTRACTED (which implies ACCEPTED), then ASSIGNED or FELL_THROUGH. Raises
    Forbidden without the permission, NotFound, Invalid for data that does not belong to the outcome or is
    missing, and Refused `outcome_differs` (recorded with other data), `superseded` (not the lead's newest
    offer), `outcome_out_of_order`, `price_above_mao` (allowed with a manager's reason).
    """
    _check_figures(outcome, figures)
    case = _hold(evidence_id)
    held = rules.standing(case.mine)
    stage = rules.STAGES[outcome]
    if held.get(stage) == outcome:
        return _already(case, rules.latest_by_stage(case.mine)[stage], figures)
    _refuse_superseded(case)
    if not rules.follows(outcome, held):
        raise _out_of_order(outcome, held)
    _check_price(case, figures, by=by, reason=reason)
    fresh = {outcome: figures}
    if outcome == rules.CONTRACTED and 1 not in held:
        fresh = {rules.ACCEPTED: Figures(agreed_price=figures.agreed_price), **fresh}
    # an outcome that was withdrawn and then happens is a correction of the withdrawal
    last = rules.latest_by_stage(case.mine)
    rows = [
        _row(case, name, values, corrects=last.get(rules.STAGES[name]), by=by, at=at)
        for name, values in fresh.items()
    ]
    state = _write(case, rows, by=by, at=at, reason=reason)
    return Recorded(rows[-1], state, already_recorded=False)


@verb(Execution.OBSERVE_ONLY, right=CORRECT, refusal=gettext_lazy("Only a manager corrects an outcome."))
def correct_outcome(
    evidence_id: int,
    outcome: str,
    *,
    by: Actor,
    at: datetime,
    reason: str,
    figures: Figures = NO_FIGURES,
    void: bool = False,
) -> Recorded:
    """Replace the recorded outcome of a stage, or with `void` say that it never happened.

    The first row stays; the rates are corrected by a further event that names the one it corrects. Raises
    Forbidden for anyone but a manager, NotFound, Invalid without a reason or with invalid data, and Refused
    `nothing_to_correct`, `outcome_out_of_order` (a later outcome depends on this one), `price_above_mao`.
    """
    if not reason:
        raise Invalid({"reason": [_("A correction needs a reason.")]})
    if not void:
        _check_figures(outcome, figures)
    elif figures.given():
        raise Invalid(
            {name: [_("An outcome that never happened has no amounts.")] for name in figures.given()}
        )
    case = _hold(evidence_id)
    stage = rules.STAGES[outcome]
    held = rules.standing(case.mine)
    last = rules.latest_by_stage(case.mine).get(stage)
    if last is not None and (last.outcome, last.voided, figures) == (outcome, void, _figures_of(last)):
        return Recorded(last, case.offer.state, already_recorded=True)
    if stage not in held or (void and held[stage] != outcome):
        raise Refused(
            "nothing_to_correct",
            _("There is no recorded outcome to correct. Record the outcome instead."),
        )
    after = {other: name for other, name in held.items() if other != stage} | (
        {} if void else {stage: outcome}
    )
    if not rules.is_coherent(after):
        raise _out_of_order(outcome, held)
    _check_price(case, figures, by=by, reason=reason)
    row = _row(case, outcome, figures, corrects=last, voided=void, by=by, at=at)
    return Recorded(row, _write(case, [row], by=by, at=at, reason=reason), already_recorded=False)


def _hold(evidence_id: int) -> _Case:
    """Return the case of an offer, with its lead and its row locked. Raises NotFound."""
    possible = 0 < evidence_id <= models.BigIntegerField.MAX_BIGINT  # SQLite does not support larger ids
    found = Offer.objects.filter(pk=evidence_id).first() if possible else None
    if found is None:
        raise NotFound(_("There is no offer with this number."))
    Offer.objects.hold_lead(found.lead_id)
    offer = Offer.objects.select_for_update(of=("self",)).select_related("evidence").get(pk=evidence_id)
    newer = bool(offer.lead_id) and Offer.objects.newer_than(offer.lead_id, offer.pk).exists()
    of_lead = list(OfferOutcome.objects.of_lead(offer.lead_id, offer.pk))
    return _Case(offer=offer, evidence=offer.evidence, of_lead=of_lead, is_newest=not newer)


def _check_figures(outcome: str, figures: Figures) -> None:
    given = figures.given()
    wrong = {
        name: [_("Not allowed with %(outcome)s.") % {"outcome": outcome}]
        for name in given
        if name not in _FIGURES[outcome]
    }
    wrong |= {
        name: [_("Required with %(outcome)s.") % {"outcome": outcome}]
        for name in _NEEDED.get(outcome, ())
        if name not in given
    }
    if wrong:
        raise Invalid(wrong)


def _figures_of(row: OfferOutcome) -> Figures:
    return Figures(row.agreed_price, row.buyer, row.buyer_price, row.fee_earned)


def _already(case: _Case, row: OfferOutcome, figures: Figures) -> Recorded:
    other = [name for name, value in figures.given().items() if getattr(row, name) != value]
    if other:
        raise Refused(
            "outcome_differs",
            _("%(outcome)s is recorded already, with other amounts. A manager can correct it.")
            % {"outcome": row.outcome},
            errors={name: [_("Recorded differently.")] for name in other},
        )
    return Recorded(row, case.offer.state, already_recorded=True)


def _refuse_superseded(case: _Case) -> None:
    if not case.is_newest:
        raise Refused(
            "superseded",
            _("A newer offer was computed for this lead. Record the outcome on that one."),
        )


def _out_of_order(outcome: str, held: Mapping[int, str]) -> Refused:
    recorded = ", ".join(held[stage] for stage in sorted(held)) or _("nothing")
    return Refused(
        "outcome_out_of_order",
        _("%(outcome)s does not fit what is recorded: %(recorded)s.")
        % {"outcome": outcome, "recorded": recorded}
        + " "
        + _("The order is ACCEPTED or REJECTED, then CONTRACTED, then ASSIGNED or FELL_THROUGH."),
    )


def _check_price(case: _Case, figures: Figures, *, by: Actor, reason: str) -> None:
    if figures.agreed_price is None or figures.agreed_price <= case.evidence.mao:
        return
    if not (by.may(CORRECT) and reason):
        raise Refused(
            "price_above_mao",
            _(
                "The price is above %(mao)s, the maximum allowable offer. A manager can record it "
                "with a reason."
            )
            % {"mao": case.evidence.mao},
            extra={"mao": float(case.evidence.mao)},
        )


def _row(
    case: _Case,
    outcome: str,
    figures: Figures,
    *,
    by: Actor,
    at: datetime,
    corrects: OfferOutcome | None,
    voided: bool = False,
) -> OfferOutcome:
    return OfferOutcome(
        evidence=case.evidence,
        outcome=outcome,
        stage=rules.STAGES[outcome],
        corrects=corrects,
        voided=voided,
        created_at=at,
        **figures.given(),
        **by.written(),
    )


def _write(case: _Case, rows: list[OfferOutcome], *, by: Actor, at: datetime, reason: str) -> str:
    """Write rows with the events of the rates that they change; return the offer's new state.

    An event names the one that counted the lead before, so that a rate counts a lead once: including
    recomputed, fallen-through and corrected offers. A correction of an older offer changes a rate only if no
    newer offer of the lead decides it.
    """
    before, held = rules.verdicts(rules.standing(case.mine)), rules.standing([*case.mine, *rows])
    row_of = {rules.METRIC_OF_STAGE[row.stage]: row for row in rows}
    events: dict[str, Kpi] = {}
    for metric, verdict in rules.verdicts(held).items():
        counts = rules.lead_verdict([*case.of_lead, *rows], metric)
        if verdict == before[metric] or not (
            case.is_newest or counts != rules.lead_verdict(case.of_lead, metric)
        ):
            continue
        detail = {"evidence_id": case.evidence.pk, "outcome": row_of[metric].outcome}
        counted = case.counted(metric)
        if counted is not None:
            detail["corrects"] = counted.kpi_event_id
        events[metric] = Kpi(WHOLESALE, metric, success=counts, detail=detail)
    if events:
        for metric, event_id in zip(events, emit_kpis(list(events.values()), by=by, at=at), strict=True):
            row_of[metric].kpi_event_id = event_id
    for row in rows:
        row.save()
    if reason:
        OutcomeReason.objects.create(outcome=rows[-1], text=reason[:REASON_LENGTH])
    state = rules.state_of(held)
    if not case.is_newest and state in rules.LIVE_STATES:
        state = rules.SUPERSEDED
    case.offer.state = state
    case.offer.updated_at = at
    case.offer.save(update_fields=["state", "updated_at"])
    _end_reservation(case, rows, by=by, at=at)
    return state


def _end_reservation(case: _Case, rows: list[OfferOutcome], *, by: Actor, at: datetime) -> None:
    """Settle an assigned offer's reservation, and release it if the offer ended otherwise."""
    state, reservation_id = case.offer.state, case.offer.reservation_id
    if state == rules.ASSIGNED:
        end = rules.latest_by_stage([*case.mine, *rows])[rules.STAGES[rules.ASSIGNED]]
        earned = end.fee_earned or Decimal(0)
        settle_fee(reservation_id, reserved=case.evidence.assignment_fee, earned=earned, by=by, at=at)
    elif state not in rules.LIVE_STATES:
        release_fee(reservation_id, state, by=by, at=at)

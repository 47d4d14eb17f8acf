"""Ending reservations: settled, released or expired, each once and by its id."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Value
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from governance.core.actors import ACTOR_LENGTH, Actor
from governance.core.errors import Invalid, NotFound, Refused
from governance.core.money import CentsField
from governance.core.verbs import Execution, verb
from governance.risk import rules
from governance.risk.models import RiskEngine, RiskEvent, RiskLedgerDay, RiskReservation
from governance.risk.rules import GLOBAL, ZERO, Ending, EndPlan, Held
from governance.risk.services.reservations import RESERVE

NOT_ENDING = gettext_lazy("Ending a reservation needs a closer, a manager or a service client.")
BATCH = 500  # about two seconds


@dataclass(frozen=True, slots=True)
class Ended:
    """A reservation as it ended, and whether it had ended already before this call."""

    reservation: RiskReservation
    already_ended: bool


@verb(Execution.OBSERVE_ONLY, right=RESERVE, refusal=NOT_ENDING)
def settle(reservation_id: int, realized_loss: Decimal, *, by: Actor, at: datetime) -> Ended:
    """End a reservation with its loss, CAD, counted in the ledger of the day on which it was created.

    A repeat with the same loss returns the first result. Raises Forbidden without the permission, NotFound,
    Invalid for a loss outside 0 to the reserved amount, Refused `reservation_closed` if it ended otherwise.
    """
    reservation = _find(reservation_id)
    try:
        loss = rules.read_amount(realized_loss, most=reservation.amount)
    except ValidationError as wrong:
        raise Invalid({"realized_loss": wrong.messages}) from wrong
    reservation = _lock(reservation)
    return _end(reservation, rules.plan_settlement(_held(reservation), loss), by=by, at=at)


@verb(Execution.OBSERVE_ONLY, right=RESERVE, refusal=NOT_ENDING)
def release(reservation_id: int, *, by: Actor, at: datetime, code: str = "") -> Ended:
    """Release a reservation that was not used; `code` says why.

    Open risk and the exposure of the day on which it was created become free again; the action stays counted.
    If it was released or has expired before, returns the first result. Raises Forbidden without the
    permission, NotFound, Invalid for a code that is a sentence, Refused `reservation_closed` if it was
    settled.
    """
    reservation = _find(reservation_id)
    try:
        code = rules.read_code(code)
    except ValidationError as wrong:
        raise Invalid({"reason": wrong.messages}) from wrong
    reservation = _lock(reservation)
    return _end(reservation, rules.plan_release(_held(reservation)), by=by, at=at, code=code)


@verb(Execution.OBSERVE_ONLY)
def expire(reservation_id: int, *, by: Actor, at: datetime) -> bool:
    """Release a reservation that is still open after 72 hours; return whether it was still open."""
    stale = RiskReservation.objects.stale(at).filter(pk=reservation_id).first()
    if stale is None:
        return False
    reservation = _lock(stale)
    plan = rules.plan_release(_held(reservation), rules.EXPIRED)
    if plan.ending is Ending.ENDS:
        _write(reservation, plan, by=by, at=at, code=rules.STALE)
    return plan.ending is Ending.ENDS


def release_stale(*, by: Actor, at: datetime, limit: int = BATCH) -> int:
    """Release reservations open for 72 hours, oldest first, each in its own transaction; return how many.

    Those above the limit wait for the next run.
    """
    stale = list(RiskReservation.objects.stale(at).values_list("pk", flat=True)[:limit])
    return sum(expire(number, by=by, at=at) for number in stale)


def _find(reservation_id: int) -> RiskReservation:
    possible = 0 < reservation_id <= models.BigIntegerField.MAX_BIGINT  # SQLite does not support larger ids
    if not possible:
        raise _unknown()
    return _read(reservation_id)


def _read(reservation_id: int) -> RiskReservation:
    found: RiskReservation | None = RiskReservation.objects.filter(pk=reservation_id).first()
    if found is None:
        raise _unknown()
    return found


def _unknown() -> NotFound:
    return NotFound(_("There is no reservation with this number."))


def _closed(reservation: RiskReservation) -> Refused:
    return Refused(
        "reservation_closed",
        _("Reservation %(number)s has already ended: %(state)s.")
        % {"number": reservation.pk, "state": reservation.get_state_display()},
        extra={"state": reservation.state, "realized_loss": reservation.realized_loss},
    )


def _lock(reservation: RiskReservation) -> RiskReservation:
    """Lock the rows of the reservation's engine and of GLOBAL, and then load the reservation again.

    Everyone who ends it locks them, so what is read now stays true.
    """
    RiskEngine.objects.hold(reservation.engine, GLOBAL)
    return _read(reservation.pk)


def _held(reservation: RiskReservation) -> Held:
    return Held(reservation.amount, reservation.state, reservation.realized_loss)


def _end(reservation: RiskReservation, plan: EndPlan, *, by: Actor, at: datetime, code: str = "") -> Ended:
    """Apply the plan and return the result; raise Refused `reservation_closed` if it ended otherwise."""
    if plan.ending is Ending.REFUSED:
        raise _closed(reservation)
    if plan.ending is Ending.ENDS:
        _write(reservation, plan, by=by, at=at, code=code)
    return Ended(reservation, already_ended=plan.ending is Ending.REPEATED)


def _write(reservation: RiskReservation, plan: EndPlan, *, by: Actor, at: datetime, code: str) -> None:
    scopes = (reservation.engine, GLOBAL)
    closing: dict[str, object] = {
        "state": plan.state,
        "realized_loss": plan.realized_loss,
        "closed_at": at,
        "closed_by": by.working_name[:ACTOR_LENGTH],
        "close_code": code,
    }
    if not RiskReservation.objects.pending().filter(pk=reservation.pk).update(**closing):
        raise RuntimeError(f"reservation {reservation.pk} ended while its engine was locked")
    for name, value in closing.items():
        setattr(reservation, name, value)
    RiskEngine.objects.filter(engine__in=scopes).update(open_risk=F("open_risk") - _cents(plan.open_risk))
    RiskLedgerDay.objects.filter(day=reservation.day, engine__in=scopes).update(
        exposure=F("exposure") - _cents(plan.exposure),
        realized_loss=F("realized_loss") + _cents(plan.realized_loss or ZERO),
    )
    RiskEvent.objects.create(
        kind=plan.state,
        engine=reservation.engine,
        amount=reservation.amount,
        realized_loss=plan.realized_loss,
        reservation=reservation,
        code=code,
        purpose=reservation.purpose,
        created_at=at,
        **by.written(),
    )


def _cents(amount: Decimal) -> Value:
    return Value(amount, CentsField())

"""Ending reservations: settled, released or expired, each once and by its id."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Value
from django.utils.translation import gettext as _

from governance.actors import ACTOR_LENGTH, By
from governance.errors import Forbidden, Invalid, NotFound, Refused
from governance.golive.services import Execution, verb
from governance.money import CentsField
from governance.risk import rules
from governance.risk.models import RiskEngine, RiskEvent, RiskLedgerDay, RiskReservation
from governance.risk.rules import GLOBAL
from governance.risk.services.reserving import RESERVE

State = RiskReservation.State
BATCH = 500  # about two seconds


@dataclass(frozen=True, slots=True)
class Ended:
    """A reservation as it ended, and whether it had ended already before this call."""

    reservation: RiskReservation
    already_ended: bool


@verb(Execution.OBSERVE_ONLY)
def settle(reservation_id: int, realized_loss: Decimal, *, by: By, at: datetime) -> Ended:
    """End a reservation with what of it was lost, CAD, counted in the ledger of the day it was made.

    Settled again with the same loss it answers the first time. Raises Forbidden without the right, NotFound,
    Invalid for a loss outside 0 to the reserved amount, Refused `reservation_closed` if it ended otherwise.
    """
    reservation = _mine(reservation_id, by)
    try:
        loss = rules.read_amount(realized_loss, most=reservation.amount)
    except ValidationError as wrong:
        raise Invalid({"realized_loss": wrong.messages}) from wrong
    if _end(reservation, State.SETTLED, by=by, at=at, loss=loss):
        return Ended(reservation, already_ended=False)
    if reservation.state != State.SETTLED or reservation.realized_loss != loss:
        raise _closed(reservation)
    return Ended(reservation, already_ended=True)


@verb(Execution.OBSERVE_ONLY)
def release(reservation_id: int, *, by: By, at: datetime, code: str = "") -> Ended:
    """Give back what was reserved and not used; `code` says why.

    Open risk and the exposure of the day it was made become free again; the action stays counted. Released
    again, or after it expired, it answers the first time. Raises Forbidden without the right, NotFound,
    Invalid for a code that is a sentence, Refused `reservation_closed` where it was settled.
    """
    reservation = _mine(reservation_id, by)
    try:
        code = rules.read_code(code)
    except ValidationError as wrong:
        raise Invalid({"reason": wrong.messages}) from wrong
    if _end(reservation, State.RELEASED, by=by, at=at, code=code):
        return Ended(reservation, already_ended=False)
    if reservation.state == State.SETTLED:
        raise _closed(reservation)
    return Ended(reservation, already_ended=True)


@verb(Execution.OBSERVE_ONLY)
def expire(reservation_id: int, *, by: By, at: datetime) -> bool:
    """Release a reservation that nobody ended in 72 hours; says whether it still was to be."""
    stale = RiskReservation.objects.stale(at).filter(pk=reservation_id).first()
    return stale is not None and _end(stale, State.EXPIRED, by=by, at=at, code=rules.STALE)


def release_stale(*, by: By, at: datetime, limit: int = BATCH) -> int:
    """Release what nobody ended in 72 hours, the oldest first, each in its own transaction; returns how many.

    What is left over the limit waits for the next run.
    """
    stale = list(RiskReservation.objects.stale(at).values_list("pk", flat=True)[:limit])
    return sum(expire(number, by=by, at=at) for number in stale)


def _mine(reservation_id: int, by: By) -> RiskReservation:
    if not by.may(RESERVE):
        raise Forbidden(
            "not_allowed", _("Ending a reservation needs a closer, a manager or a service client.")
        )
    possible = 0 < reservation_id <= models.BigIntegerField.MAX_BIGINT  # SQLite cannot even ask for more
    found: RiskReservation | None = (
        RiskReservation.objects.filter(pk=reservation_id).first() if possible else None
    )
    if found is None:
        raise NotFound(_("There is no reservation with this number."))
    return found


def _closed(reservation: RiskReservation) -> Refused:
    return Refused(
        "reservation_closed",
        _("Reservation %(number)s ended already: %(state)s. It ends once.")
        % {"number": reservation.pk, "state": reservation.get_state_display()},
        extra={"state": reservation.state, "realized_loss": reservation.realized_loss},
    )


def _end(
    reservation: RiskReservation,
    state: str,
    *,
    by: By,
    at: datetime,
    code: str = "",
    loss: Decimal | None = None,
) -> bool:
    """End a pending reservation and say so; one that has ended is only read again."""
    scopes = (reservation.engine, GLOBAL)
    RiskEngine.objects.hold(*scopes)
    mine = RiskReservation.objects.pending().filter(pk=reservation.pk).update(
        state=state,
        realized_loss=loss,
        closed_at=at,
        closed_by=by.working_name[:ACTOR_LENGTH],
        close_code=code,
    )  # fmt: skip
    reservation.refresh_from_db()
    if not mine:
        return False
    amount = Value(reservation.amount, CentsField())
    RiskEngine.objects.filter(engine__in=scopes).update(open_risk=F("open_risk") - amount)
    day = RiskLedgerDay.objects.filter(day=reservation.day, engine__in=scopes)
    if loss is None:
        day.update(exposure=F("exposure") - amount)
    else:
        day.update(realized_loss=F("realized_loss") + Value(loss, CentsField()))
    RiskEvent.objects.create(
        kind=state,
        engine=reservation.engine,
        amount=reservation.amount,
        realized_loss=loss,
        reservation=reservation,
        code=code,
        purpose=reservation.purpose,
        created_at=at,
        **by.written(),
    )
    return True

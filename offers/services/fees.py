"""An offer's reservation with the risk guard, and how it ends with the offer.

A reservation ends once: correcting an outcome later does not reopen a released or settled one.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal

from django.utils.translation import gettext as _

from governance.core.actors import Actor
from governance.core.errors import Refused
from governance.risk.services import record_answer, release, reserve_exposure, settle

ENGINE = "WHOLESALE"


def reserve_fee(fee: Decimal, *, by: Actor, at: datetime) -> int:
    """Reserve an offer's assignment fee, CAD, and return the reservation's id.

    Raises Refused `risk_denied`, which keeps the denial when the offer is rolled back.
    """
    # no offer number in the purpose: that of a rolled back offer is used again
    answer = reserve_exposure(ENGINE, fee, purpose="offer", by=by, at=at)
    if answer.reservation_id is None:
        raise Refused(
            "risk_denied",
            f"{answer.message} " + _("No offer was stored; it can be computed without reserving."),
            extra={"reason": answer.code},
            keep=lambda: record_answer(answer, by=by, at=at),
        )
    return answer.reservation_id


def release_fee(reservation_id: int | None, code: str, *, by: Actor, at: datetime) -> None:
    """Release an offer's reservation, if it is still open; `code` says why."""
    if reservation_id is not None:
        _unless_closed(lambda: release(reservation_id, code=code, by=by, at=at))


def settle_fee(
    reservation_id: int | None, *, reserved: Decimal, earned: Decimal, by: Actor, at: datetime
) -> None:
    """Settle an offer's reservation, if still open: the loss is the reserved minus the earned fee, CAD."""
    if reservation_id is not None:
        short = max(Decimal(0), reserved - earned)
        _unless_closed(lambda: settle(reservation_id, short, by=by, at=at))


def _unless_closed(end: Callable[[], object]) -> None:
    """End a reservation unless it ended before: the offer's outcome is recorded in any case."""
    try:
        end()
    except Refused as refusal:
        if refusal.code != "reservation_closed":
            raise

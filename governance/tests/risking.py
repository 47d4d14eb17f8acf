"""What tests of the risk guard do again and again, through its services."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from django.db import connection

from governance.core.actors import Actor
from governance.core.money import CENT
from governance.risk.models import RiskEngine, RiskLedgerDay, RiskPolicy
from governance.risk.services import Reserved, reserve_exposure, upsert_policy
from governance.tests.factories import NOW

ANYBODY = Actor.system("test")
NO_CAPS: dict[str, object] = {
    "max_daily_loss": 0,
    "max_daily_exposure": 0,
    "max_open_risk": 0,
    "max_actions_per_day": 0,
}


def cad(amount: Any) -> Decimal:
    return Decimal(amount).quantize(CENT)


def cap(engine: str, **caps: object) -> RiskPolicy:
    """Enable an engine with these caps and no others."""
    return upsert_policy(engine, {"enabled": True, **NO_CAPS, **caps}, by=ANYBODY, at=NOW)


def reserve(amount: Any = 100, engine: str = "WHOLESALE", **other: Any) -> Reserved:
    return reserve_exposure(engine, cad(amount), **{"by": ANYBODY, "at": NOW, **other})


def reserved(amount: Any = 100, engine: str = "WHOLESALE", **other: object) -> int:
    """Reserve what must fit, and return the reservation's number."""
    answer = reserve(amount, engine, **other)
    assert answer.reservation_id is not None, answer.message
    return answer.reservation_id


def open_risk(engine: str = "WHOLESALE") -> Any:
    return RiskEngine.objects.get(engine=engine).open_risk


def ledger(engine: str = "WHOLESALE", **day: Any) -> tuple[Any, object, int]:
    """Return realized loss, exposure and actions of an engine's only day, or of the one named."""
    row = RiskLedgerDay.objects.get(engine=engine, **day)
    return row.realized_loss, row.exposure, row.actions


class Broken(Exception):
    """The database failed."""


def break_at(statement: int, work: Callable[[], object]) -> bool:
    """Do the work with the database failing at its n-th statement (from 0); says whether it came so far."""
    count = -1

    def fail(execute: Any, sql: str, params: object, many: bool, context: object) -> object:
        nonlocal count
        if not sql.startswith(("SAVEPOINT", "RELEASE", "ROLLBACK")):
            count += 1
        if count == statement:
            count += 1  # what is undone afterwards may speak to the database again
            raise Broken
        return execute(sql, params, many, context)

    with connection.execute_wrapper(fail):
        try:
            work()
        except Broken:
            return True
    return False

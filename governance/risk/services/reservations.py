"""Reservations: if an amount fits under the caps of its engine and of GLOBAL, it is counted there."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Case, DateField, F, Field, IntegerField, Q, When
from django.db.models.functions import Cast
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from governance.core.actors import Actor
from governance.core.compiled import CompiledUpdate, Param, insert_rows
from governance.core.errors import Invalid
from governance.core.money import CentsField
from governance.core.verbs import Execution, verb
from governance.risk import rules
from governance.risk.models import RiskEngine, RiskEvent, RiskLedgerDay, RiskPolicy, RiskReservation
from governance.risk.querysets import days_of_engines, policies_with_throttle
from governance.risk.rules import GLOBAL, Count, ReservationPlan, Scope, Throttle, Use
from governance.risk.wording import denial_display, reserved_display

RESERVE = "governance.reserve_risk"


@dataclass(frozen=True, slots=True)
class Reserved:
    """A reservation's answer. CAD; if it was denied, `reserved` is 0 and `code` says why.

    The snapshots have each engine's caps and their use after this answer.
    """

    ok: bool
    engine: str
    asked: Decimal
    reserved: Decimal
    message: str
    code: str
    purpose: str
    tripwire: str
    reservation_id: int | None
    policy_snapshot: dict[str, Any]
    ledger_snapshot: dict[str, Any]


@verb(
    Execution.PROD_EXEC,
    right=RESERVE,
    refusal=gettext_lazy("Reserving risk needs a closer, a manager or a service client."),
)
def reserve_exposure(engine: str, amount: Decimal, *, by: Actor, at: datetime, purpose: str = "") -> Reserved:
    """Reserve what an engine may lose, CAD, until `settle` or `release` ends it; `purpose` is a code.

    It must fit under all caps of the engine and of GLOBAL on the UTC day of `at`. A denial is an answer, not
    an exception, and is stored as an event. Raises Forbidden without the permission, Invalid for an invalid
    engine, amount or purpose.
    """
    code, amount, purpose = _read(engine, amount, purpose)
    day = at.astimezone(UTC).date()
    known = _load((code, GLOBAL), day)
    plan = rules.plan_reservation(amount, known.scopes, known.throttle)
    number = None if plan.denial else _write(plan, known, code, purpose, day, by=by, at=at)
    answer = Reserved(
        ok=plan.denial is None,
        engine=code,
        asked=amount,
        reserved=plan.reserved,
        message=denial_display(plan.denial, amount) if plan.denial else reserved_display(code, amount),
        code=plan.code,
        purpose=purpose,
        tripwire=plan.tripwire,
        reservation_id=number,
        policy_snapshot=known.policy_snapshot,
        ledger_snapshot={"day": day} | {scope: as_use(use) for scope, use in plan.uses},
    )
    record_answer(answer, by=by, at=at)
    return answer


def record_answer(answer: Reserved, *, by: Actor, at: datetime) -> None:
    """Write the event of an answer; of a denial also again, after a refusal rolled the first one back."""
    detail = {"policies": answer.policy_snapshot, "ledger": answer.ledger_snapshot}
    RiskEvent.objects.create(
        kind=RiskEvent.Kind.RESERVED if answer.ok else RiskEvent.Kind.DENIED,
        engine=answer.engine,
        amount=answer.asked,
        reservation_id=answer.reservation_id,
        code="" if answer.ok else answer.code,
        purpose=answer.purpose,
        tripwire=answer.tripwire,
        detail=json.loads(json.dumps(detail, cls=DjangoJSONEncoder)),
        created_at=at,
        **by.written(),
    )


def _read(engine: str, amount: Decimal, purpose: str) -> tuple[str, Decimal, str]:
    wrong: dict[str, list[str]] = {}
    values: dict[str, Any] = {}
    readers: dict[str, Callable[[], object]] = {
        "engine": lambda: rules.read_engine(engine),
        "amount": lambda: rules.read_amount(amount),
        "purpose": lambda: rules.read_code(purpose),
    }
    for name, reader in readers.items():
        try:
            values[name] = reader()
        except ValidationError as problem:
            wrong[name] = problem.messages
    if values.get("engine") == GLOBAL:
        wrong["engine"] = [_("GLOBAL is the sum of all engines. Name the engine that takes the risk.")]
    if wrong:
        raise Invalid(wrong)
    return values["engine"], values["amount"], values["purpose"]


@dataclass(frozen=True, slots=True)
class _Known:
    """The facts that decide a reservation; `without_day` are the scopes without a ledger of the day."""

    scopes: tuple[Scope, ...]
    throttle: Throttle | None
    without_day: tuple[str, ...]
    policy_snapshot: dict[str, object]


def _load(engines: tuple[str, str], day: date) -> _Known:
    """Lock the rows of the engine and of GLOBAL, and then load what decides a reservation."""
    locked = RiskEngine.objects.hold(*engines)
    # read only now: a snapshot from before waiting for the rows would be out of date
    policies = {policy.engine: policy for policy in policies_with_throttle(engines=engines)}
    days = days_of(locked, day)
    uses = uses_of(locked, days)
    throttled = next((policy for policy in policies.values() if policy.throttled_by is not None), None)
    return _Known(
        scopes=tuple(
            Scope(
                engine,
                uses.get(engine, Use()),
                policies[engine].caps if engine in policies else None,
                engine in policies and policies[engine].enabled,
            )
            for engine in engines
        ),
        throttle=Throttle(throttled.throttled_engine, throttled.throttled_by) if throttled else None,
        without_day=tuple(engine for engine in engines if engine not in days),
        policy_snapshot={
            engine: as_caps(policies[engine]) if engine in policies else None for engine in engines
        },
    )


def days_of(engines: Collection[str], day: date) -> dict[str, RiskLedgerDay]:
    """Return the ledgers of a day, by the engine's code; none if nothing was counted yet."""
    return {row.engine: row for row in days_of_engines(day=day, engines=engines)}


def uses_of(locked: Mapping[str, RiskEngine], days: Mapping[str, RiskLedgerDay]) -> dict[str, Use]:
    """Return what engines use on a day, by their code; zeros if nothing was counted yet."""
    uses: dict[str, Use] = {}
    for engine, row in locked.items():
        ledger = days.get(engine)
        uses[engine] = (
            Use(open_risk=row.open_risk)
            if ledger is None
            else Use(ledger.realized_loss, ledger.exposure, row.open_risk, ledger.actions)
        )
    return uses


def _write(
    plan: ReservationPlan, known: _Known, engine: str, purpose: str, day: date, *, by: Actor, at: datetime
) -> int:
    """Count a reservation in the rows of its engine and of GLOBAL, and return its id.

    Each update checks again whether the amount fits, and writes the caps into the rows as well, so that the
    database refuses anything that would exceed them.
    """
    amounts: dict[str, Any] = {"amount": plan.amount, "day": day, **_values(plan.counts)}
    counted = _add_open_risk(_capped(plan.counts, OPEN_RISK))(**amounts)
    if known.without_day:  # the first of the day
        RiskLedgerDay.objects.bulk_create(
            [RiskLedgerDay(day=day, engine=scope) for scope in known.without_day], ignore_conflicts=True
        )
    counted += _add_to_day(_capped(plan.counts, OF_DAY))(**amounts)
    if counted != 2 * len(plan.counts):
        raise RuntimeError(f"the risk of {engine} or of {GLOBAL} changed while its row was locked")
    reservation = RiskReservation(
        engine=engine, amount=plan.amount, day=day, purpose=purpose, created_at=at, **by.written()
    )
    insert_rows([reservation])
    number: int = reservation.pk
    return number


# what bounds each column of an engine, and of its ledger of a day
OPEN_RISK = {"open_risk": "most_open_risk"}
OF_DAY = {"exposure": "most_exposure", "actions": "most_actions", "realized_loss": "most_realized_loss"}
CAPS = ("max_open_risk", "max_daily_exposure", "max_actions_per_day", "max_daily_loss")
Capped = tuple[tuple[str, ...], ...]  # of each counted scope, the columns that have a bound


def _capped(counts: Sequence[Count], bounds: Mapping[str, str]) -> Capped:
    return tuple(
        tuple(column for column, most in bounds.items() if getattr(count, most) is not None)
        for count in counts
    )


def _values(counts: Sequence[Count]) -> dict[str, object]:
    """Return the values of the two updates' parameters, numbered by scope."""
    found: dict[str, object] = {}
    for number, count in enumerate(counts):
        found[f"engine_{number}"] = count.engine
        found |= {f"{name}_{number}": getattr(count.caps, name) for name in CAPS}
        found |= {f"{column}_{number}": getattr(count, most) for column, most in (OPEN_RISK | OF_DAY).items()}
    return found


@functools.lru_cache(maxsize=64)
def _add_open_risk(capped: Capped) -> CompiledUpdate:
    return CompiledUpdate(
        lambda: RiskEngine.objects.filter(_fits(capped)),
        open_risk=F("open_risk") + Param("amount", CentsField()),
        open_cap=_cap("max_open_risk", len(capped), CentsField()),
    )


@functools.lru_cache(maxsize=64)
def _add_to_day(capped: Capped) -> CompiledUpdate:
    return CompiledUpdate(
        lambda: RiskLedgerDay.objects.filter(_fits(capped), day=Param("day", DateField())),
        exposure=F("exposure") + Param("amount", CentsField()),
        actions=F("actions") + 1,
        exposure_cap=_cap("max_daily_exposure", len(capped), CentsField()),
        actions_cap=_cap("max_actions_per_day", len(capped), IntegerField()),
        loss_cap=_cap("max_daily_loss", len(capped), CentsField()),
    )


def _fits(capped: Capped) -> Q:
    """Return the rows of the counted scopes where it fits, each by its own bounds."""
    found = Q()
    for number, columns in enumerate(capped):
        own = Q(engine=Param(f"engine_{number}"))
        for column in columns:
            field = IntegerField() if column == "actions" else CentsField()
            own &= Q(**{f"{column}__lte": Param(f"{column}_{number}", field)})
        found |= own
    return found


def _cap(name: str, scopes: int, field: Field[Any, Any]) -> Case:
    """Return each scope's own cap, for an update of all their rows in one statement."""
    caps = (
        When(engine=Param(f"engine_{number}"), then=Cast(Param(f"{name}_{number}", field), field))
        for number in range(scopes)
    )
    return Case(*caps, output_field=field)


def as_caps(policy: RiskPolicy) -> dict[str, object]:
    return {
        "enabled": policy.enabled,
        "max_daily_loss": policy.max_daily_loss,
        "max_daily_exposure": policy.max_daily_exposure,
        "max_open_risk": policy.max_open_risk,
        "max_actions_per_day": policy.max_actions_per_day,
        "version": policy.version,
    }


def as_use(use: Use) -> dict[str, object]:
    return {
        "realized_loss": use.realized_loss,
        "exposure": use.exposure,
        "open_risk": use.open_risk,
        "actions": use.actions,
    }

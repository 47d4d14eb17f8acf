"""Reservations: if an amount fits under the caps of its engine and of GLOBAL, it is counted there."""

from __future__ import annotations

import functools
import json
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Case, F, IntegerField, Q, Value, When
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from governance.core.actors import Actor
from governance.core.compiled import insert_rows
from governance.core.errors import Invalid
from governance.core.money import CentsField
from governance.core.verbs import Execution, verb
from governance.risk import rules
from governance.risk.models import RiskEngine, RiskEvent, RiskLedgerDay, RiskPolicy, RiskReservation
from governance.risk.querysets import policies_with_throttle
from governance.risk.rules import ACTIONS, GLOBAL, Count, ReservationPlan, Scope, Throttle, Use
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
    policies = {policy.engine: policy for policy in policies_with_throttle(engines)}
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


def days_of(engines: Iterable[str], day: date) -> dict[str, RiskLedgerDay]:
    """Return the ledgers of a day, by the engine's code; none if nothing was counted yet."""
    return {row.engine: row for row in RiskLedgerDay.objects.filter(day=day, engine__in=list(engines))}


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
    more = Value(plan.amount, CentsField())
    counted = RiskEngine.objects.filter(
        _any_of(plan.counts, lambda count: _at_most(open_risk=count.most_open_risk))
    ).update(open_risk=F("open_risk") + more, open_cap=_cap(plan.counts, "max_open_risk"))
    if known.without_day:  # the first of the day
        RiskLedgerDay.objects.bulk_create(
            [RiskLedgerDay(day=day, engine=scope) for scope in known.without_day], ignore_conflicts=True
        )
    counted += RiskLedgerDay.objects.filter(
        _any_of(
            plan.counts,
            lambda count: _at_most(
                exposure=count.most_exposure,
                actions=count.most_actions,
                realized_loss=count.most_realized_loss,
            ),
        ),
        day=day,
    ).update(
        exposure=F("exposure") + more,
        actions=F("actions") + 1,
        exposure_cap=_cap(plan.counts, "max_daily_exposure"),
        actions_cap=_cap(plan.counts, "max_actions_per_day"),
        loss_cap=_cap(plan.counts, "max_daily_loss"),
    )
    if counted != 2 * len(plan.counts):
        raise RuntimeError(f"the risk of {engine} or of {GLOBAL} changed while its row was locked")
    reservation = RiskReservation(
        engine=engine, amount=plan.amount, day=day, purpose=purpose, created_at=at, **by.written()
    )
    insert_rows([reservation])
    number: int = reservation.pk
    return number


def _any_of(counts: Sequence[Count], room: Callable[[Count], Q]) -> Q:
    """Return the rows of the counted scopes where it fits, each by its own cap."""
    return functools.reduce(operator.or_, [Q(engine=count.engine) & room(count) for count in counts])


def _at_most(**most: Decimal | int | None) -> Q:
    return Q(**{f"{column}__lte": value for column, value in most.items() if value is not None})


def _cap(counts: Sequence[Count], name: str) -> Case:
    """Return each scope's own cap, for an update of all their rows in one statement."""
    field = IntegerField() if name == ACTIONS else CentsField()
    return Case(
        *(When(engine=count.engine, then=Value(getattr(count.caps, name), field)) for count in counts),
        output_field=field,
    )


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

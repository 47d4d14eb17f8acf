"""Reserving: whether an amount fits under the caps of its engine and of GLOBAL, and counting it there."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import F, Value
from django.utils.formats import number_format
from django.utils.translation import gettext as _

from governance.actors import By
from governance.errors import Forbidden, Invalid
from governance.golive.services import Execution, verb
from governance.money import CentsField
from governance.risk import rules
from governance.risk.models import RiskEngine, RiskEvent, RiskLedgerDay, RiskPolicy, RiskReservation
from governance.risk.querysets import open_throttles
from governance.risk.rules import ACTIONS, EXPOSURE, GLOBAL, LOSS, OPEN, ZERO, Caps, Measure, Use

RESERVE = "governance.reserve_risk"


@dataclass(frozen=True, slots=True)
class Reserved:
    """What a reservation answers. CAD; `reserved` is 0 and `code` says why where it was denied.

    The snapshots say by engine what the caps were and what is used of them after this answer.
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


@dataclass(frozen=True, slots=True)
class _Denial:
    code: str
    message: str
    tripwire: str = ""


@verb(Execution.PROD_EXEC)
def reserve_exposure(engine: str, amount: Decimal, *, by: By, at: datetime, purpose: str = "") -> Reserved:
    """Reserve what an engine may lose, CAD, until `settle` or `release` ends it; `purpose` is a code.

    It must fit under all caps of the engine and of GLOBAL on the UTC day of `at`. A denial is an answer, not
    an exception, and is kept as an event. Raises Forbidden without the right, Invalid for an engine, amount
    or purpose that is none.
    """
    if not by.may(RESERVE):
        raise Forbidden("not_allowed", _("Reserving risk needs a closer, a manager or a service client."))
    code, amount, purpose = _read(engine, amount, purpose)
    held = RiskEngine.objects.hold(code, GLOBAL)
    # read only now: a snapshot from before the wait for the rows would be of the past
    policies = {policy.engine: policy for policy in RiskPolicy.objects.filter(engine__in=(code, GLOBAL))}
    day = at.astimezone(UTC).date()
    uses = {scope: Use() for scope in (code, GLOBAL)} | uses_of(held, day)
    denial = _denial(code, amount, policies, uses)
    reservation = None
    if denial is None:
        for scope in (code, GLOBAL):
            uses[scope] = _count(scope, amount, policies[scope].caps, uses[scope], day)
        reservation = RiskReservation.objects.create(
            engine=code, amount=amount, day=day, purpose=purpose, created_at=at, **by.written()
        )
    answer = Reserved(
        ok=denial is None,
        engine=code,
        asked=amount,
        reserved=amount if denial is None else ZERO,
        message=denial.message if denial is not None else _reserved_sentence(code, amount),
        code=denial.code if denial is not None else "reserved",
        purpose=purpose,
        tripwire=denial.tripwire if denial is not None else "",
        reservation_id=reservation.pk if reservation is not None else None,
        policy_snapshot={
            scope: as_caps(policies[scope]) if scope in policies else None for scope in (code, GLOBAL)
        },
        ledger_snapshot={"day": day} | {scope: as_use(uses[scope]) for scope in (code, GLOBAL)},
    )
    record_answer(answer, by=by, at=at)
    return answer


def record_answer(answer: Reserved, *, by: By, at: datetime) -> None:
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


def uses_of(held: Mapping[str, RiskEngine], day: date) -> dict[str, Use]:
    """Return what engines use on a day, by their code; zeros where nothing was counted yet."""
    days = {row.engine: row for row in RiskLedgerDay.objects.filter(day=day, engine__in=list(held))}
    uses: dict[str, Use] = {}
    for engine, row in held.items():
        ledger = days.get(engine)
        uses[engine] = (
            Use(open_risk=row.open_risk)
            if ledger is None
            else Use(ledger.realized_loss, ledger.exposure, row.open_risk, ledger.actions)
        )
    return uses


def _denial(
    engine: str, amount: Decimal, policies: Mapping[str, RiskPolicy], uses: Mapping[str, Use]
) -> _Denial | None:
    """Return why the amount does not fit, the engine's own reason before that of GLOBAL; None if it does."""
    for scope in (engine, GLOBAL):
        if scope not in policies:
            return _Denial(
                "policy_missing",
                _("Denied: there is no risk policy for %(engine)s. A manager can make one.")
                % {"engine": scope},
            )
        if not policies[scope].enabled:
            return _Denial(
                "policy_disabled",
                _("Denied: the risk policy of %(engine)s is off. A manager can switch it on.")
                % {"engine": scope},
            )
    throttle = open_throttles((engine, GLOBAL)).first()
    if throttle is not None:
        return _Denial(
            "throttled",
            _("Denied: the tripwire %(tripwire)s holds %(engine)s back until a manager releases it.")
            % {"tripwire": throttle.tripwire, "engine": throttle.engine},
            throttle.tripwire,
        )
    for scope in (engine, GLOBAL):
        measure = rules.exceeded(uses[scope], policies[scope].caps, amount)
        if measure is not None:
            return _Denial(measure.name, _cap_sentence(scope, measure, amount))
    return None


def _money(amount: Decimal) -> str:
    return number_format(amount, 2, use_l10n=True, force_grouping=True)


def _reserved_sentence(engine: str, amount: Decimal) -> str:
    return _("%(amount)s CAD are reserved for %(engine)s.") % {"amount": _money(amount), "engine": engine}


def _cap_sentence(engine: str, measure: Measure, amount: Decimal) -> str:
    sentences = {
        EXPOSURE: _(
            "Denied: %(engine)s may reserve %(cap)s CAD a day, %(used)s are reserved, and %(amount)s more do "
            "not fit."
        ),
        OPEN: _(
            "Denied: %(engine)s may have %(cap)s CAD open, %(used)s are open, and %(amount)s more do not fit."
        ),
        LOSS: _(
            "Denied: %(engine)s may lose %(cap)s CAD a day, %(used)s are lost or open, and %(amount)s more "
            "do not fit."
        ),
        ACTIONS: _("Denied: %(engine)s may make %(cap)s reservations a day, and %(used)s were made."),
    }
    told = str if measure.name == ACTIONS else _money
    return sentences[measure.name] % {
        "engine": engine,
        "cap": told(measure.cap),
        "used": told(measure.used),
        "amount": _money(amount),
    }


def _room(column: str, cap: Decimal, amount: Decimal) -> dict[str, Decimal]:
    """Return the condition that `amount` more in this column stays within its cap; none without a cap."""
    return {f"{column}__lte": cap - amount} if cap else {}


def _count(scope: str, amount: Decimal, caps: Caps, use: Use, day: date) -> Use:
    """Count one more reservation of an engine or of GLOBAL, if it fits, and return the use after it.

    The caps go into the rows as well, so that the database refuses whatever would exceed them.
    """
    more = Value(amount, CentsField())
    if not use.actions:  # the engine's first of the day
        RiskLedgerDay.objects.get_or_create(day=day, engine=scope)
    counted = RiskEngine.objects.filter(
        engine=scope, **_room("open_risk", caps.max_open_risk, amount)
    ).update(open_risk=F("open_risk") + more, open_cap=caps.max_open_risk)
    counted += RiskLedgerDay.objects.filter(
        day=day,
        engine=scope,
        **_room("exposure", caps.max_daily_exposure, amount),
        **_room("actions", Decimal(caps.max_actions_per_day), Decimal(1)),
        **_room("realized_loss", caps.max_daily_loss, use.open_risk + amount),
    ).update(
        exposure=F("exposure") + more,
        actions=F("actions") + 1,
        exposure_cap=caps.max_daily_exposure,
        actions_cap=caps.max_actions_per_day,
        loss_cap=caps.max_daily_loss,
    )
    if counted != 2:
        raise RuntimeError(f"the risk of {scope} changed while its row was held")
    return Use(use.realized_loss, use.exposure + amount, use.open_risk + amount, use.actions + 1)


def as_caps(policy: RiskPolicy) -> dict[str, Any]:
    return {
        "enabled": policy.enabled,
        "max_daily_loss": policy.max_daily_loss,
        "max_daily_exposure": policy.max_daily_exposure,
        "max_open_risk": policy.max_open_risk,
        "max_actions_per_day": policy.max_actions_per_day,
        "version": policy.version,
    }


def as_use(use: Use) -> dict[str, Any]:
    return {
        "realized_loss": use.realized_loss,
        "exposure": use.exposure,
        "open_risk": use.open_risk,
        "actions": use.actions,
    }

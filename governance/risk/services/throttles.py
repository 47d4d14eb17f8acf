"""Throttling an engine, and ending a throttle."""

from __future__ import annotations

from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import Value
from django.db.models.functions import Greatest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from governance.core.actors import ACTOR_LENGTH, Actor
from governance.core.errors import Invalid
from governance.core.verbs import Execution, verb
from governance.risk.models import REASON_LENGTH, RiskEvent, RiskThrottle

RELEASE_THROTTLE = "governance.release_throttle"


@verb(Execution.OBSERVE_ONLY)
def throttle(engine: str, tripwire: str, *, by: Actor, at: datetime) -> bool:
    """Deny the engine's reservations from now on because of `tripwire`, such as "WHOLESALE/followup_sla".

    Returns whether that is new: the same tripwire throttles an engine once. GLOBAL throttles every engine. It
    needs no permission, since it only slows down: anyone who may evaluate tripwires causes it.
    """
    if RiskThrottle.objects.open().filter(engine=engine, tripwire=tripwire).exists():
        return False
    try:
        with transaction.atomic():
            RiskThrottle.objects.create(engine=engine, tripwire=tripwire, since=at, **by.written())
    except IntegrityError:  # another evaluation was faster
        return False
    _note(RiskEvent.Kind.THROTTLED, [engine], tripwire, by=by, at=at)
    return True


@verb(
    Execution.OBSERVE_ONLY,
    right=RELEASE_THROTTLE,
    refusal=gettext_lazy("Only a manager releases a throttle."),
)
def release_throttle(tripwire: str, *, by: Actor, at: datetime, reason: str) -> int:
    """End every throttle of `tripwire`, and return how many; a repeat ends none.

    Raises Forbidden for anyone but a manager, Invalid without a reason.
    """
    if not reason.strip():
        raise Invalid({"reason": [_("Say why the throttle is released.")]})
    held = list(
        RiskThrottle.objects.open().filter(tripwire=tripwire).select_for_update().order_by("engine", "id")
    )
    for row in held:
        RiskThrottle.objects.open().filter(pk=row.pk).update(
            released_at=Greatest("since", Value(at)),
            released_by=by.working_name[:ACTOR_LENGTH],
            reason=reason[:REASON_LENGTH],
        )
    _note(RiskEvent.Kind.THROTTLE_RELEASED, [row.engine for row in held], tripwire, by=by, at=at)
    return len(held)


def _note(kind: str, engines: list[str], tripwire: str, *, by: Actor, at: datetime) -> None:
    RiskEvent.objects.bulk_create(
        RiskEvent(kind=kind, engine=engine, tripwire=tripwire, created_at=at, **by.written())
        for engine in engines
    )

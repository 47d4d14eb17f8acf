"""Celery tasks of follow-ups; valhalla/schedules.py says when."""

from __future__ import annotations

from datetime import datetime

from followups import services
from governance.core.actors import Actor
from governance.outbox.jobs import each, job
from governance.outbox.services import drain_outbox


@job("followups.dispatch_due", every="minute")
def dispatch_due(at: datetime) -> dict[str, int]:
    """Free expired claims, unblock tasks, reschedule, start nurture ladders, report handoffs, send mail."""
    return each(
        at,
        claims_freed=services.free_expired_claims,
        held_looked_at=services.bring_back_held,
        realigned=services.realign_due,
        nurture_started=services.start_nurture,
        unopened_reported=services.report_unopened_handovers,
        messages_sent=drain_outbox,
    )


@job("followups.escalate_overdue", every="5 minutes")
def escalate_overdue(at: datetime) -> int:
    """Count late tasks as missed, once, and notify the managers."""
    return services.escalate_overdue(at)


@job("followups.realign_due", every="day")
def realign_due(at: datetime) -> int:
    """Recompute every future due time."""
    services.request_realigning("", Actor.system("followups.realign_due"), at)
    return services.realign_due(at)


@job("followups.snapshot_sla", every="day")
def snapshot_sla(at: datetime) -> int:
    """Store yesterday's SLA."""
    return services.snapshot_sla(at)

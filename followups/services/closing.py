"""The consequences of a finished task: the next step, the end of a ladder, the lead's new status."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime

from django.db.models import F

from followups.models import ContactPoint, FollowUpTask, Lead
from followups.rules import HANDOVER
from followups.rules.outcomes import NO_CLAIM
from followups.services.locked_task import WRITTEN_FIELDS, LockedTask
from governance.core.actors import Actor
from governance.core.channels import CALL

OPEN = FollowUpTask.Status.OPEN
CLAIM_FIELDS = tuple(NO_CLAIM)


def end_claim(task: FollowUpTask) -> None:
    for name, value in NO_CLAIM.items():
        setattr(task, name, value)


def cancel_open(
    lead_ids: Sequence[int], *, by: Actor, reason: str, keep: int | None = None, kinds: Sequence[str] = ()
) -> int:
    """Cancel the open tasks of leads, with their claims; return how many."""
    open_tasks = FollowUpTask.objects.filter(lead_id__in=list(lead_ids), status=OPEN).exclude(pk=keep)
    if kinds:
        open_tasks = open_tasks.filter(kind__in=kinds)
    return open_tasks.update(
        status=FollowUpTask.Status.CANCELLED,
        is_current=False,
        closed_reason=reason[:200],
        **NO_CLAIM,
        **by.written(),
    )


def settle_lead(
    lead: Lead,
    status: str,
    *,
    by: Actor,
    at: datetime,
    follow_up_at: datetime | None = None,
    nurture: bool = False,
) -> None:
    """Set the lead's new values; with `nurture` a nurture ladder starts at `follow_up_at`."""
    lead.status = status
    lead.follow_up_at = follow_up_at
    lead.nurture_at = follow_up_at if nurture else None
    lead.updated_at = at
    for name, value in by.written().items():
        setattr(lead, name, value)
    lead.save(update_fields=["status", "follow_up_at", "nurture_at", "updated_at", *WRITTEN_FIELDS])


def due_of_promise(
    locked: LockedTask, kind: str, wanted: datetime, channel: str = CALL, point: ContactPoint | None = None
) -> datetime | None:
    """Return when a callback or handoff is due: at its permitted time, a handoff at once;

    None if never allowed.
    """
    start = locked.first_allowed(channel, wanted, kind, point)
    at_once = kind == HANDOVER and wanted <= locked.at
    return wanted if at_once and start is not None else start


def current_task(lead_id: int) -> FollowUpTask | None:
    """Return the lead's next task: the current open one that is due first."""
    rows = FollowUpTask.objects.filter(lead_id=lead_id, is_current=True, status=OPEN)
    found: FollowUpTask | None = rows.order_by(F("due_at").asc(nulls_last=True), "id").first()
    return found


def new_claim_token() -> str:
    return secrets.token_hex(16)

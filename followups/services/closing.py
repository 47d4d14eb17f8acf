"""What follows when a task is done with: the next step, the end of a ladder, what the lead becomes."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime

from django.db.models import F

from followups.models import FollowUpTask, Ladder, Lead
from followups.rules import HANDOVER, LEAD_STATUS_AFTER, NOT_NOW, gap_before
from followups.services.desk import DUE_FIELDS, WRITTEN_FIELDS, Desk, put_due, touched
from governance.actors import By

OPEN = FollowUpTask.Status.OPEN
NO_CLAIM = {"claimed_by": "", "claim_token": "", "claimed_at": None, "claim_until": None}
CLAIM_FIELDS = tuple(NO_CLAIM)


def end_claim(task: FollowUpTask) -> None:
    for name, value in NO_CLAIM.items():
        setattr(task, name, value)


def advance(desk: Desk, done: FollowUpTask, when: datetime) -> FollowUpTask | None:
    """Make the ladder's next open step current and push back what would come too soon after `when`.

    Returns the next step, or None after ending a ladder that has none.
    """
    ladder = done.ladder
    if ladder is None:
        return None
    remaining = [task for task in desk.siblings if task.status == OPEN and task.pk != done.pk]
    if not remaining:
        end_ladder(desk, ladder)
        return None
    steps = desk.steps
    changed = []
    earlier: datetime | None = when if remaining[0].step == (done.step or 0) + 1 else None
    for task in remaining:
        before = (task.due_at, task.is_current)
        task.is_current = task is remaining[0]
        if earlier is not None and task.due_at is not None and task.step:
            not_before = max(task.due_at, earlier + gap_before(steps, task.step))
            if not_before > task.due_at:
                _put_first_allowed(desk, task, not_before)
        earlier = task.due_at or earlier
        if (task.due_at, task.is_current) != before:
            touched(task, desk.by)
            changed.append(task)
    _save(changed, ("is_current", *DUE_FIELDS, *WRITTEN_FIELDS))
    return remaining[0]


def _put_first_allowed(desk: Desk, task: FollowUpTask, not_before: datetime) -> None:
    due = desk.first_allowed(task.channel, not_before)
    put_due(task, due, desk.gate(task.channel), "" if due else desk.holding_reason(task.channel, not_before))


def _save(tasks: Sequence[FollowUpTask], fields: Sequence[str]) -> None:
    if len(tasks) == 1:
        tasks[0].save(update_fields=fields)
    elif tasks:
        # the old current step is closed by now, so the order of the rows does not matter to the constraint
        FollowUpTask.objects.bulk_update(tasks, fields)


def end_ladder(desk: Desk, ladder: Ladder, *, reason: str = "", stopped: bool = False) -> None:
    """End a ladder: COMPLETED if any of its steps was completed and nobody stopped it, else STOPPED."""
    any_done = any(task.status == FollowUpTask.Status.COMPLETED for task in desk.siblings if task.ladder_id)
    ladder.status = Ladder.Status.COMPLETED if any_done and not stopped else Ladder.Status.STOPPED
    ladder.stop_reason = reason
    ladder.ended_at = desk.at
    ladder.save(update_fields=["status", "stop_reason", "ended_at"])


def cancel_open(
    lead_ids: Sequence[int], *, by: By, reason: str, keep: int | None = None, kinds: Sequence[str] = ()
) -> int:
    """Cancel the open tasks of leads, their claims with them; returns how many."""
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


def stop_remaining(desk: Desk, reason: str, *, stopped: bool = False) -> None:
    """Cancel the ladder's remaining steps and end it."""
    cancel_open(
        [desk.lead.pk], by=desk.by, reason=reason, keep=desk.task.pk, kinds=[FollowUpTask.Kind.LADDER]
    )
    ladder = desk.task.ladder or Ladder.objects.filter(lead=desk.lead, status=Ladder.Status.ACTIVE).first()
    if ladder is not None and ladder.status == Ladder.Status.ACTIVE:
        end_ladder(desk, ladder, reason=reason, stopped=stopped)


def settle_lead(
    lead: Lead, status: str, *, by: By, at: datetime, follow_up_at: datetime | None = None
) -> None:
    """Set what a lead has become."""
    lead.status = status
    lead.follow_up_at = follow_up_at
    lead.updated_at = at
    for name, value in by.written().items():
        setattr(lead, name, value)
    lead.save(update_fields=["status", "follow_up_at", "updated_at", *WRITTEN_FIELDS])


def what_is_next(desk: Desk, kind: str, next_at: datetime | None, owner: str) -> FollowUpTask | None:
    """Do what a reached lead asked for: make the callback or handover, set what the lead has become."""
    settle_lead(
        desk.lead,
        LEAD_STATUS_AFTER[kind],
        by=desk.by,
        at=desk.at,
        follow_up_at=next_at if kind == NOT_NOW else None,
    )
    if kind not in (FollowUpTask.Kind.CALLBACK, FollowUpTask.Kind.HANDOVER):
        return None
    gate = desk.gate("CALL")
    if kind == HANDOVER:
        wanted = desk.at
        start = desk.first_allowed("CALL", desk.at)
        due = gate.hours.after_open_minutes(start, 60) if start else None
        owner = ""
    else:
        wanted = next_at or desk.at
        due = desk.first_allowed("CALL", wanted)
    task = FollowUpTask(
        lead=desk.lead, kind=kind, channel="CALL", province=desk.lead.province, market_key=desk.lead.market_key,
        contact_point=desk.point_for("CALL"), scheduled_for=wanted, is_current=True, created_at=desk.at,
    )  # fmt: skip
    task.set_owner(owner)
    put_due(task, due, gate, "" if due else desk.holding_reason("CALL", wanted))
    touched(task, desk.by)
    task.save()
    return task


def current_task(lead_id: int) -> FollowUpTask | None:
    """Return the lead's next thing to do: the current open task that is due first."""
    rows = FollowUpTask.objects.filter(lead_id=lead_id, is_current=True, status=OPEN)
    found: FollowUpTask | None = rows.order_by(F("due_at").asc(nulls_last=True), "id").first()
    return found


def new_claim_token() -> str:
    return secrets.token_hex(16)

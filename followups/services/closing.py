"""What follows when a task is done with: the next step, the end of a ladder, what the lead becomes."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime

from django.db.models import F

from followups.models import FollowUpTask, Ladder, Lead
from followups.rules import CALLBACK, HANDOVER, LEAD_STATUS_AFTER, NOT_NOW, gap_before, read_steps
from followups.services.desk import DUE_FIELDS, WRITTEN_FIELDS, Desk, put_due, touched
from governance.actors import By

OPEN = FollowUpTask.Status.OPEN
NO_CLAIM = {"claimed_by": "", "claim_token": "", "claimed_at": None, "claim_until": None}
CLAIM_FIELDS = tuple(NO_CLAIM)
HANDOVER_MINUTES = 60


def end_claim(task: FollowUpTask) -> None:
    for name, value in NO_CLAIM.items():
        setattr(task, name, value)


def advance(desk: Desk, done: FollowUpTask | None = None, *, reason: str = "") -> FollowUpTask | None:
    """Make the running ladder's next open step current.

    What would come too soon after `done`, a step that was completed or skipped just now, is pushed back.
    Returns the next step, or None after ending (with `reason`) a ladder that has none.
    """
    ladder, tasks = desk.running()
    if ladder is None:
        return None
    remaining = [task for task in tasks if task.status == OPEN]
    if not remaining:
        end_ladder(desk, ladder, tasks, reason=reason)
        return None
    steps = read_steps(ladder.steps)
    changed = []
    earlier: datetime | None = None
    for task in remaining:
        before = (task.due_at, task.is_current)
        task.is_current = task is remaining[0]
        if done is not None and (task.step or 0) > (done.step or 0):
            earlier = max(earlier or desk.at, desk.at)
            done = None
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


def end_ladder(
    desk: Desk, ladder: Ladder, tasks: Sequence[FollowUpTask], *, reason: str = "", stopped: bool = False
) -> None:
    """End a ladder: COMPLETED if any of its steps was completed and nobody stopped it, else STOPPED."""
    any_done = any(task.status == FollowUpTask.Status.COMPLETED for task in tasks)
    ladder.status = Ladder.Status.COMPLETED if any_done and not stopped else Ladder.Status.STOPPED
    ladder.stop_reason = reason
    ladder.ended_at = desk.at
    touched(ladder, desk.by)
    ladder.save(update_fields=["status", "stop_reason", "ended_at", *WRITTEN_FIELDS])


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
    """Cancel the remaining steps of the lead's running ladder and end it."""
    ladder, tasks = desk.running()
    if ladder is None:
        return
    cancel_open(
        [desk.lead.pk], by=desk.by, reason=reason, keep=desk.task.pk, kinds=[FollowUpTask.Kind.LADDER]
    )
    end_ladder(desk, ladder, tasks, reason=reason, stopped=stopped)


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
    """Do what a reached lead asked for: make the callback or handover, set what the lead has become.

    Said again it makes no second one: a handover that waits stays, a callback is promised anew.
    """
    settle_lead(
        desk.lead,
        LEAD_STATUS_AFTER[kind],
        by=desk.by,
        at=desk.at,
        follow_up_at=next_at if kind == NOT_NOW else None,
    )
    if kind not in (CALLBACK, HANDOVER):
        return None
    gate = desk.gate("CALL")
    wanted = desk.at if kind == HANDOVER else next_at or desk.at
    same: list[FollowUpTask] = list(FollowUpTask.objects.filter(lead=desk.lead, kind=kind, status=OPEN))
    for waiting in same:
        if kind == HANDOVER or waiting.scheduled_for == wanted:
            return waiting
        cancel_open([desk.lead.pk], by=desk.by, reason="replaced", kinds=[CALLBACK])
    due = due_of_promise(desk, kind, wanted)
    task = FollowUpTask(
        lead=desk.lead,
        kind=kind,
        channel="CALL",
        province=desk.lead.province,
        market_key=desk.lead.market_key,
        contact_point=desk.point_for("CALL"),
        scheduled_for=wanted,
        is_current=True,
        created_at=desk.at,
        origin=desk.task if desk.task.pk else None,
    )
    task.set_owner("" if kind == HANDOVER else owner)
    put_due(task, due, gate, "" if due else desk.holding_reason("CALL", wanted))
    touched(task, desk.by)
    task.save()
    return task


def due_of_promise(desk: Desk, kind: str, wanted: datetime) -> datetime | None:
    """Return when a callback is due, at its lawful time, or a handover, an hour of allowed time later."""
    start = desk.first_allowed("CALL", wanted)
    if kind != HANDOVER or start is None:
        return start
    after = desk.gate("CALL").hours.after_open_minutes(start, HANDOVER_MINUTES)
    return desk.first_allowed("CALL", after) if after else None  # the hour can end where a window does


def current_task(lead_id: int) -> FollowUpTask | None:
    """Return the lead's next thing to do: the current open task that is due first."""
    rows = FollowUpTask.objects.filter(lead_id=lead_id, is_current=True, status=OPEN)
    found: FollowUpTask | None = rows.order_by(F("due_at").asc(nulls_last=True), "id").first()
    return found


def new_claim_token() -> str:
    return secrets.token_hex(16)

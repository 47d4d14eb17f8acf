"""Opt-outs recorded with one key, and their undo: for ten minutes, by the same person, for that one only."""

from __future__ import annotations

from datetime import datetime

from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from followups.models import FollowUpTask, Ladder, Lead, OptOutPress
from followups.rules.completion import Completion
from followups.rules.correction import CLOSED_BY, decide_wording
from followups.rules.lead_gate import DUE_FIELDS
from followups.services.cases import load_case
from followups.services.closing import due_of_promise, settle_lead
from followups.services.guards import name_key
from followups.services.locked_task import (
    WRITTEN_FIELDS,
    LockedTask,
    lock_task,
    put_due,
    task_for_lead,
    touched,
)
from followups.services.plans import write_plan
from followups.services.presses import UNDO_LASTS
from followups.services.reversal import resume_ladder
from followups.services.waiting import rejudge
from governance.contact.rules import suppressing
from governance.contact.services import NOT_TAKEN_BACK, UNDO, lift_press
from governance.core.actors import Actor
from governance.core.channels import CALL, CHANNELS
from governance.core.errors import NotFound, Refused
from governance.core.verbs import Execution, needs_right, verb

LEADS_AT_ONCE = 6  # restored in one transaction
MOST_SHOWN = 5
Outcome, Status = FollowUpTask.Outcome, FollowUpTask.Status
REASONS = CLOSED_BY[Outcome.OPTED_OUT]


def presses_to_undo(by: Actor, at: datetime) -> list[OptOutPress]:
    """Return the person's opt-outs that can be undone now, the newest first, in one query."""
    if not by.may(UNDO):
        return []
    mine = OptOutPress.objects.filter(
        pressed_by=name_key(by), undone_at=None, at__gt=at - UNDO_LASTS, at__lte=at
    )
    return list(mine.select_related("task__lead").order_by("-at", "-pk")[:MOST_SHOWN])


@needs_right(UNDO, refusal=NOT_TAKEN_BACK)
def undo_opt_out(press_id: int, *, by: Actor, at: datetime) -> OptOutPress:
    """Undo an opt-out that the same person recorded by key at most ten minutes ago.

    Ends only the suppression of that press: if another one exists (the person wrote STOP, a list, a manager,
    another press), nobody is contacted and nothing is reopened. Otherwise the ladders and scheduled tasks
    that it ended resume, on every lead that has the number, and the task gets its previous outcome; one that
    was open gets its channel's default outcome. A repeated undo returns the same and writes nothing.

    The first transaction ends the suppression; of many leads it restores six, and each further one six more.
    If it is interrupted, the undo is still offered and continues where it was.

    Raises Forbidden without the permission, NotFound for another's press, Refused `undo_over` after ten
    minutes.
    """
    while True:
        press = _undo_part(press_id, by=by, at=at)
        if press.undone_at is not None:
            return press


@verb(Execution.OBSERVE_ONLY, right=UNDO, refusal=NOT_TAKEN_BACK)
def _undo_part(press_id: int, *, by: Actor, at: datetime) -> OptOutPress:
    """Do the next part of an undo; its last one sets `undone_at`."""
    found = OptOutPress.objects.filter(pk=press_id, pressed_by=name_key(by)).first()
    if found is None:
        raise NotFound(_("You did not record this opt-out."), code="press_not_found")
    lead_ids = _left(found)
    locked = lock_task(found.task_id, by=by, at=at, also_lock=lead_ids[:LEADS_AT_ONCE], anybodys=True)
    press: OptOutPress = OptOutPress.objects.select_for_update(of=("self",)).get(pk=found.pk)
    if press.undone_at is not None or _left(press) != lead_ids:
        return press  # another click was faster
    if "left" not in press.stopped:
        if at >= press.at + UNDO_LASTS:
            raise Refused("undo_over", _("The ten minutes are over; a manager can undo the opt-out."))
        lift_press(press.stopped["points"], press.token, by=by, at=at)
        if not _take_back(locked, press):
            lead_ids = [pk for pk in lead_ids if pk != locked.lead.pk]
    part, left = lead_ids[:LEADS_AT_ONCE], lead_ids[LEADS_AT_ONCE:]
    press.stopped["left"] = left
    press.undone_at = None if left else at
    press.save(update_fields=["stopped", "undone_at"])
    for lead_id in part:
        _bring_back(lead_id, press, by=by, at=at)
    rejudge(part, by=by, at=at)
    return press


def _left(press: OptOutPress) -> list[int]:
    """Return the leads that are still to be restored, the task's own one before the others."""
    left = press.stopped.get("left")
    if left is None:
        left = sorted(map(int, press.stopped["leads"]), key=lambda pk: (pk != press.task.lead_id, pk))
    return [int(pk) for pk in left]


def _take_back(locked: LockedTask, press: OptOutPress) -> bool:
    """Restore the task's outcome; return False if it was changed by now, or another suppression applies."""
    task, lead = locked.task, locked.lead
    if task.standing_outcome != Outcome.OPTED_OUT or lead.erasure_id is not None or not _reachable(locked):
        return False
    outcome = CHANNELS[task.channel].default_outcome if press.was_open else press.previous
    if outcome == Outcome.OPTED_OUT:
        return False  # it was already recorded before the press
    kind, then = press.stopped["next"]
    before = Completion(outcome=outcome, next=kind, next_at=parse_datetime(then) if then else None)
    plan = decide_wording(load_case(locked), before, _("The opt-out was undone"), note=task.note)
    write_plan(locked, plan)
    return True


def _reachable(locked: LockedTask) -> set[str]:
    """Return the channels by which the lead could be contacted and that no suppression covers."""
    asked = {channel: locked.question(channel) for channel in CHANNELS}
    return {
        channel
        for channel, question in asked.items()
        if (question.has_points or not locked.points)
        and suppressing(channel, question.suppressions, question.consents) is None
    }


def _bring_back(lead_id: int, press: OptOutPress, *, by: Actor, at: datetime) -> None:
    """Restore a lead's state before the press, unless another suppression applies."""
    lead = Lead.objects.get(pk=lead_id)
    if lead.erasure_id is not None:
        return
    locked = task_for_lead(lead, CALL, by, at)
    reachable = _reachable(locked)
    if not reachable:
        return
    status, then, *rest = press.stopped["leads"][str(lead_id)]
    for ladder in Ladder.objects.filter(lead=lead, pk__in=press.stopped["ladders"]):
        steps = list(ladder.tasks.select_related("contact_point").order_by("step"))
        for step in steps:
            step.lead, step.ladder = lead, ladder
        closed = [step for step in steps if step.closed_reason in REASONS]
        if not closed or any(step.channel in reachable for step in closed):
            of_ladder = LockedTask(steps[0], steps, locked.points, by, at, locked.where, locked._book)
            resume_ladder(of_ladder)
    loose = FollowUpTask.objects.filter(
        lead=lead,
        pk__in=press.stopped["tasks"],
        status=Status.CANCELLED,
        closed_reason__in=REASONS,
        channel__in=reachable,
        corrected_to="",
    )
    for task in loose:
        _open_again(locked, task)
    lead.refresh_from_db(fields=["status"])
    nothing_since = lead.status == Lead.Status.DEAD or lead.status == Lead.Status.WORKING
    if nothing_since and lead.status != status:
        at_then = parse_datetime(then) if then else None
        settle_lead(lead, status, by=by, at=at, follow_up_at=at_then, nurture=bool(then) and rest == [then])


def _open_again(locked: LockedTask, task: FollowUpTask) -> None:
    task.lead = locked.lead
    task.status, task.closed_reason, task.is_current = Status.OPEN, "", True
    task.contact_point = locked.point_for(task.channel)
    wanted = max(task.due_at or task.scheduled_for, locked.at)
    point = task.contact_point
    due = due_of_promise(locked, task.kind, wanted, task.channel, point)
    held = "" if due else locked.holding_reason(task.channel, wanted, point)
    put_due(task, due, locked.gate(task.channel), held)
    touched(task, locked.by)
    task.save(
        update_fields=["status", "closed_reason", "is_current", "contact_point", *DUE_FIELDS, *WRITTEN_FIELDS]
    )

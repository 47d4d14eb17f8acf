"""Correcting a completed task: the first row stays, what followed from it is undone and done anew."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.utils.translation import gettext as _

from followups.models import ContactPoint, FollowUpTask, Ladder, Lead, TaskCorrection
from followups.points import lead_digest
from followups.rules import ADVANCING, STOPPING, gap_before
from followups.services.closing import advance, current_task, settle_lead
from followups.services.completing import (
    Completed,
    Completion,
    check_next,
    effects,
    leads_that_share,
    require_right,
)
from followups.services.desk import (
    DUE_FIELDS,
    WRITTEN_FIELDS,
    Desk,
    name_key,
    open_desk,
    put_due,
    require_not_erased,
    touched,
)
from governance.actors import By, owner_key
from governance.contact.services import lift_suppression
from governance.errors import Forbidden, Invalid, Refused
from governance.golive.services import Execution, verb
from governance.kpi.services import emit_kpi

Outcome, Status = FollowUpTask.Outcome, FollowUpTask.Status


@verb(Execution.OBSERVE_ONLY)
def correct_task(task_id: int, completion: Completion, *, by: By, at: datetime, reason: str) -> Completed:
    """Correct a completed task's outcome to `completion.outcome`, for a reason.

    One's own task until the end of the next day there, a manager's always. A ladder that the first outcome
    stopped goes on; a suppression is lifted only by a manager. The task keeps its first outcome and gains
    `corrected_to`; the KPI gets a correcting event.

    Raises Refused `not_completed`, `ladder_active` where another ladder runs by now; Forbidden
    `too_late_to_correct`, `not_your_task`, `needs_manager`; Invalid for an outcome or reason that cannot be.
    """
    require_right(by, "followups.correct_task")
    outcome = completion.outcome
    if outcome not in Outcome.values:
        raise Invalid({"outcome": [_("There is no such outcome.")]})
    if not reason.strip():
        raise Invalid({"reason": [_("Say why the outcome is corrected.")]})
    check_next(completion, at)
    also = leads_that_share(task_id) if outcome == Outcome.OPTED_OUT else []
    desk = open_desk(task_id, by=by, at=at, also_lock=also, anybodys=True)
    task = desk.task
    require_not_erased(desk.lead)
    if task.status != Status.COMPLETED:
        raise Refused("not_completed", _("Only a completed task can be corrected."))
    _require_mine(desk)
    standing = task.corrected_to or task.outcome
    if outcome == standing:
        return Completed(task, current_task(task.lead_id), already_completed=True)
    _undo(desk, standing, reason)
    TaskCorrection.objects.create(
        task=task, from_outcome=standing, to_outcome=outcome, reason=reason.strip()[:200], at=at,
        **by.written(),
    )  # fmt: skip
    task.corrected_to = outcome
    touched(task, by)
    task.save(update_fields=["corrected_to", *WRITTEN_FIELDS])
    emit_kpi(
        "WHOLESALE", "followup_corrected", by=by, at=at, success=None,
        detail={"task": task.pk, "from": standing, "to": outcome},
    )  # fmt: skip
    following = advance(desk) if outcome in ADVANCING else effects(desk, completion, None)
    return Completed(task, following or current_task(task.lead_id))


def _require_mine(desk: Desk) -> None:
    task, by = desk.task, desk.by
    if by.may("followups.correct_any_task"):
        return
    if task.completed_at is None or owner_key(task.completed_by) != name_key(by):
        raise Forbidden("not_your_task", _("You did not complete this task; a manager can correct it."))
    zone = ZoneInfo(task.zone)
    day = task.completed_at.astimezone(zone).date()
    if desk.at.astimezone(zone).date() > day + timedelta(days=1):
        raise Forbidden(
            "too_late_to_correct",
            _("You can correct a task until the end of the next day; ask a manager."),
        )


def _undo(desk: Desk, outcome: str, reason: str) -> None:
    """Take back what followed from an outcome."""
    task = desk.task
    if outcome in STOPPING:
        promised = FollowUpTask.objects.filter(origin=task, status=Status.OPEN)
        for made in promised:
            made.status, made.is_current, made.closed_reason = Status.CANCELLED, False, "corrected"
            touched(made, desk.by)
            made.save(update_fields=["status", "is_current", "closed_reason", *WRITTEN_FIELDS])
        _go_on(desk, {outcome})
    elif outcome == Outcome.WRONG_NUMBER:
        if task.contact_point is not None:
            ContactPoint.objects.filter(pk=task.contact_point.pk).update(status=ContactPoint.Status.USABLE)
            for point in (task.contact_point, *desk.points):
                if point.pk == task.contact_point.pk:
                    point.status = ContactPoint.Status.USABLE
            desk.forget_questions()
        _go_on(desk, {"no_contact_point"})
    elif outcome == Outcome.OPTED_OUT:
        if not desk.by.may("governance.lift_suppression"):
            raise Forbidden(
                "needs_manager",
                _("This outcome says that she opted out; only a manager can take an opt-out back."),
            )
        hers = [point.digest for point in desk.points]
        lift_suppression([*hers, lead_digest(desk.lead.external_id)], by=desk.by, at=desk.at, reason=reason)
        desk.forget_questions()
        _go_on(desk, {outcome, "suppressed"})


def _go_on(desk: Desk, reasons: set[str]) -> None:
    """Open again the ladder and the steps that were closed for one of these reasons."""
    ladder = desk.task.ladder
    if ladder is None:
        return
    ended = ladder.status != Ladder.Status.ACTIVE
    if ended and ladder.stop_reason not in reasons:
        return  # it ended for another reason since
    closed = (Status.CANCELLED, Status.SKIPPED)
    again = [t for t in desk.siblings if t.status in closed and t.closed_reason in reasons]
    if not again:
        return
    others = Ladder.objects.filter(lead=desk.lead, status=Ladder.Status.ACTIVE).exclude(pk=ladder.pk)
    if ended and (running := others.first()) is not None:
        raise Refused(
            "ladder_active",
            _("Lead %(lead)s has the active ladder %(ladder)s already.")
            % {"lead": desk.lead.external_id, "ladder": running.pk},
            extra={"ladder_id": running.pk},
        )
    if ended:
        ladder.status, ladder.stop_reason, ladder.ended_at = Ladder.Status.ACTIVE, "", None
        touched(ladder, desk.by)
        ladder.save(update_fields=["status", "stop_reason", "ended_at", *WRITTEN_FIELDS])
        settle_lead(desk.lead, Lead.Status.WORKING, by=desk.by, at=desk.at)
    steps = desk.steps
    first = again[0].step or 0
    done = [t.completed_at for t in desk.siblings if t.completed_at is not None and (t.step or 0) < first]
    earlier = max(done, default=None)
    for task in again:
        task.status, task.closed_reason = Status.OPEN, ""
        task.contact_point = desk.point_for(task.channel)
        wanted = max(task.due_at or task.scheduled_for, desk.at)
        if earlier is not None and task.step:
            wanted = max(wanted, earlier + gap_before(steps, task.step))
        due = desk.first_allowed(task.channel, wanted)
        held = "" if due else desk.holding_reason(task.channel, wanted)
        put_due(task, due, desk.gate(task.channel), held)
        earlier = due or earlier
        touched(task, desk.by)
    FollowUpTask.objects.bulk_update(
        again, ["status", "closed_reason", "contact_point", *DUE_FIELDS, *WRITTEN_FIELDS]
    )
    advance(desk)

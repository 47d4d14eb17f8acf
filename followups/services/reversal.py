"""One outcome in the place of another: the row that says so, and what the first had set in motion."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, assert_never

from django.utils.translation import gettext as _

from followups.models import ContactPoint, FollowUpTask, Ladder, Lead, TaskCorrection
from followups.rules import HANDOVER, STOPPING, gap_before
from followups.rules.lead_gate import DUE_FIELDS
from followups.services.closing import settle_lead
from followups.services.locked_task import WRITTEN_FIELDS, LockedTask, put_due, touched
from followups.services.locks import lock_numbers
from followups.services.plans import advance
from followups.services.waiting import digests_of, holders_of, place_in_queue
from governance.core.errors import Refused
from governance.kpi.services import emit_kpi

if TYPE_CHECKING:
    from followups.rules.completion import Completion

Outcome, Status = FollowUpTask.Outcome, FollowUpTask.Status


def write_correction(locked: LockedTask, completion: Completion, reason: str) -> None:
    """Let the task's outcome be `completion`'s from now on: the first one stays in its own column.

    A note is added to what was noted before; the KPI gets a correcting event.
    """
    task, standing = locked.task, locked.task.standing_outcome
    task.next = completion.next or (HANDOVER if completion.outcome in STOPPING else "")
    task.next_at = completion.next_at
    task.note = "\n".join(filter(None, [task.note, completion.note]))
    task.corrected_to = completion.outcome
    touched(task, locked.by)
    task.save(update_fields=["next", "next_at", "note", "corrected_to", *WRITTEN_FIELDS])
    if standing == completion.outcome:
        return  # she asked for something else; the outcome is the same
    TaskCorrection.objects.create(
        task=task, from_outcome=standing, to_outcome=completion.outcome, reason=reason.strip()[:200],
        at=locked.at, **locked.by.written(),
    )  # fmt: skip
    emit_kpi(
        "WHOLESALE", "followup_corrected", by=locked.by, at=locked.at, success=None,
        detail={"task": task.pk, "from": standing, "to": completion.outcome},
    )  # fmt: skip


def reverse_outcome(locked: LockedTask, outcome: str, *, refuses: bool = True) -> None:
    """Take back what followed from an outcome of the task; a stop that it recorded must be ended before.

    Raises Refused `ladder_active` where the lead has another ladder by now; without `refuses` that one runs
    on and nothing is opened again.
    """
    match Outcome(outcome):
        case Outcome.SENT | Outcome.NO_ANSWER | Outcome.LEFT_MESSAGE:
            pass  # the ladder went on
        case Outcome.REACHED | Outcome.REPLIED:
            _cancel_promised(locked)
            resume_ladder(locked, CLOSED_BY[Outcome(outcome)], refuses=refuses)
        case Outcome.WRONG_NUMBER:
            _use_again(locked)
            resume_ladder(locked, CLOSED_BY[Outcome.WRONG_NUMBER], refuses=refuses)
        case Outcome.OPTED_OUT:
            locked.forget_questions()
            resume_ladder(locked, CLOSED_BY[Outcome.OPTED_OUT], refuses=refuses)
        case unknown:
            assert_never(unknown)


def _cancel_promised(locked: LockedTask) -> None:
    promised = list(FollowUpTask.objects.filter(origin=locked.task, status=Status.OPEN))
    locked.others = [task for task in locked.others or () if task not in promised]
    for made in promised:
        made.status, made.is_current, made.closed_reason = Status.CANCELLED, False, "corrected"
        touched(made, locked.by)
        made.save(update_fields=["status", "is_current", "closed_reason", *WRITTEN_FIELDS])


def _use_again(locked: LockedTask) -> None:
    retired = locked.task.contact_point
    if retired is None:
        return
    ContactPoint.objects.filter(pk=retired.pk).update(status=ContactPoint.Status.USABLE)
    for point in (retired, *locked.points):
        if point.pk == retired.pk:
            point.status = ContactPoint.Status.USABLE
    locked.forget_questions()


def other_ladder(lead: Lead, ladder: Ladder | None) -> Ladder | None:
    """Return the lead's active ladder, if that is another one than `ladder`."""
    running = Ladder.objects.filter(lead=lead, status=Ladder.Status.ACTIVE)
    found: Ladder | None = (running.exclude(pk=ladder.pk) if ladder else running).first()
    return found


CLOSED_BY = {
    Outcome.REACHED: {"REACHED"}, Outcome.REPLIED: {"REPLIED"}, Outcome.WRONG_NUMBER: {"no_contact_point"},
    Outcome.OPTED_OUT: {"OPTED_OUT", "suppressed"},
}  # fmt: skip


def ladder_in_the_way(task: FollowUpTask, outcome: str) -> Ladder | None:
    """Return the ladder for which `reverse_outcome` would refuse to open the task's own again."""
    reasons = CLOSED_BY.get(Outcome(outcome), set())
    ladder = task.ladder
    if ladder is None or ladder.status == Ladder.Status.ACTIVE or ladder.stop_reason not in reasons:
        return None
    closed = ladder.tasks.filter(
        status__in=[Status.CANCELLED, Status.SKIPPED], closed_reason__in=sorted(reasons), corrected_to=""
    )
    return other_ladder(task.lead, ladder) if closed.exists() else None


def _leave_unanswered(locked: LockedTask, ladder: Ladder) -> None:
    """Let a ladder that ended with the task's outcome have ended by itself, as no step of it is left."""
    task, lead = locked.task, locked.lead
    worked = FollowUpTask.objects.filter(origin=task, status=Status.COMPLETED).exists()
    if worked or lead.status == Lead.Status.WON or other_ladder(lead, ladder) is not None:
        return
    any_done = any(step.status == Status.COMPLETED for step in locked.siblings)
    ladder.status = Ladder.Status.COMPLETED if any_done else Ladder.Status.STOPPED
    ladder.stop_reason = ""
    touched(ladder, locked.by)
    ladder.save(update_fields=["status", "stop_reason", *WRITTEN_FIELDS])
    settle_lead(lead, Lead.Status.WORKING, by=locked.by, at=locked.at)


def resume_ladder(
    locked: LockedTask, reasons: Collection[str], *, refuses: bool = True, keep_place: bool = False
) -> None:
    """Open again the task's ladder and the steps of it that were closed for one of these reasons.

    A step on which an outcome was recorded after it was closed stays closed: that contact took place.
    Among the ladders of its numbers it comes last, or with `keep_place` where it was.

    Raises Refused `ladder_active`, see `reverse_outcome`.
    """
    ladder = locked.task.ladder
    if ladder is None:
        return
    ended = ladder.status != Ladder.Status.ACTIVE
    if ended and ladder.stop_reason not in reasons:
        return  # it ended for another reason since
    closed = (Status.CANCELLED, Status.SKIPPED)
    again = [
        step for step in locked.siblings
        if step.status in closed and step.closed_reason in reasons and not step.standing_outcome
    ]  # fmt: skip
    if not again:
        if ended:
            _leave_unanswered(locked, ladder)
        return
    if ended and (running := other_ladder(locked.lead, ladder)) is not None:
        if not refuses:
            return
        raise Refused(
            "ladder_active",
            _("Lead %(lead)s has the active ladder %(ladder)s already.")
            % {"lead": locked.lead.external_id, "ladder": running.pk},
            extra={"ladder_id": running.pk},
        )
    if ended:
        numbers = digests_of(locked.points)
        lock_numbers(numbers)
        ladder.status, ladder.stop_reason, ladder.ended_at = Ladder.Status.ACTIVE, "", None
        if not keep_place:  # whoever went on when it ended comes first now
            ladder.queued_at = place_in_queue(locked.at, holders_of(numbers))
        touched(ladder, locked.by)
        ladder.save(update_fields=["status", "stop_reason", "ended_at", "queued_at", *WRITTEN_FIELDS])
        settle_lead(locked.lead, Lead.Status.WORKING, by=locked.by, at=locked.at)
    steps = locked.steps
    first = again[0].step or 0
    done = [t.completed_at for t in locked.siblings if t.completed_at is not None and (t.step or 0) < first]
    earlier = max(done, default=None)
    for task in again:
        task.status, task.closed_reason = Status.OPEN, ""
        task.contact_point = locked.point_for(task.channel)
        wanted = max(task.due_at or task.scheduled_for, locked.at)
        if earlier is not None and task.step:
            wanted = max(wanted, earlier + gap_before(steps, task.step))
        due = locked.first_allowed(task.channel, wanted, point=task.contact_point)
        held = "" if due else locked.holding_reason(task.channel, wanted, task.contact_point)
        put_due(task, due, locked.gate(task.channel), held)
        earlier = due or earlier
        touched(task, locked.by)
    FollowUpTask.objects.bulk_update(
        again, ["status", "closed_reason", "contact_point", *DUE_FIELDS, *WRITTEN_FIELDS]
    )
    advance(locked)

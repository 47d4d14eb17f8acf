"""Correcting a completed task: the first outcome stays, its consequences are undone and applied again."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.utils.translation import gettext as _

from followups.models import FollowUpTask, Ladder
from followups.rules.completion import Completion, check_next
from followups.rules.correction import CLOSED_BY, ladder_in_the_way
from followups.services.cases import load_case
from followups.services.closing import current_task
from followups.services.completing import Completed, leads_that_share
from followups.services.guards import name_key, require_not_erased
from followups.services.locked_task import LockedTask, lock_task
from followups.services.reversal import replace_outcome
from governance.contact.services import lift_suppression
from governance.core.actors import Actor, owner_key
from governance.core.errors import Forbidden, Invalid, Refused
from governance.core.verbs import Execution, verb

Outcome, Status = FollowUpTask.Outcome, FollowUpTask.Status


@verb(Execution.OBSERVE_ONLY, right="followups.correct_task")
def correct_task(task_id: int, completion: Completion, *, by: Actor, at: datetime, reason: str) -> Completed:
    """Correct a completed task's outcome to `completion.outcome`, with a reason.

    One's own task until the end of the next day there, a manager's always. A ladder that the first outcome
    stopped resumes; only a manager lifts a suppression. The task keeps its first outcome and gains
    `corrected_to`; the KPI gets a correcting event.

    Raises Refused `not_completed`, `ladder_active` if another ladder is running by now; Forbidden
    `too_late_to_correct`, `not_your_task`, `needs_manager`; Invalid for an impossible outcome or reason.
    """
    outcome = completion.outcome
    if outcome not in Outcome.values:
        raise Invalid({"outcome": [_("There is no such outcome.")]})
    if not reason.strip():
        raise Invalid({"reason": [_("Say why the outcome is corrected.")]})
    check_next(completion, at)
    also = leads_that_share(task_id) if outcome == Outcome.OPTED_OUT else []
    locked = lock_task(task_id, by=by, at=at, also_lock=also, anybodys=True)
    task = locked.task
    require_not_erased(locked.lead)
    if task.status != Status.COMPLETED:
        raise Refused("not_completed", _("Only a completed task can be corrected."))
    if (refusal := _not_theirs(task, by, at)) is not None:
        raise refusal
    standing = task.standing_outcome
    if outcome == standing:
        return Completed(task, current_task(task.lead_id), already_completed=True)
    if standing == Outcome.OPTED_OUT and not by.may(lift_suppression.right):
        raise Forbidden("needs_manager", _("This outcome is an opt-out; only a manager can undo it."))
    _require_no_other_ladder(locked, standing)
    following = replace_outcome(locked, completion, reason, undoes=standing)
    return Completed(task, following or current_task(task.lead_id))


def _require_no_other_ladder(locked: LockedTask, standing: str) -> None:
    """Refuse `ladder_active` if the ladder would resume next to another one of the lead."""
    running = ladder_in_the_way(load_case(locked), standing)
    if running is not None:
        raise Refused(
            "ladder_active",
            _("Lead %(lead)s has the active ladder %(ladder)s already.")
            % {"lead": locked.lead.external_id, "ladder": running},
            extra={"ladder_id": running},
        )


def may_be_corrected(task: FollowUpTask, by: Actor, at: datetime) -> bool:
    """Return whether `correct_task` would accept a correction of this task by this person now."""
    if task.status != Status.COMPLETED or not by.may(correct_task.right):
        return False
    if task.lead.erasure_id is not None or _not_theirs(task, by, at) is not None:
        return False
    standing = task.standing_outcome
    if standing == Outcome.OPTED_OUT and not by.may(lift_suppression.right):
        return False
    return not _is_in_the_way(task, standing)


def _is_in_the_way(task: FollowUpTask, standing: str) -> bool:
    """Return whether another ladder is running where a correction would reopen the task's own one."""
    ladder, reasons = task.ladder, CLOSED_BY.get(standing, frozenset())
    if ladder is None or ladder.status == Ladder.Status.ACTIVE or ladder.stop_reason not in reasons:
        return False
    closed = ladder.tasks.filter(
        status__in=[Status.CANCELLED, Status.SKIPPED], closed_reason__in=sorted(reasons), corrected_to=""
    )
    others = Ladder.objects.filter(lead=task.lead, status=Ladder.Status.ACTIVE).exclude(pk=ladder.pk)
    return closed.exists() and others.exists()


def _not_theirs(task: FollowUpTask, by: Actor, at: datetime) -> Forbidden | None:
    """Return why the person may not correct this task (any more), None if they may."""
    if by.may("followups.correct_any_task"):
        return None
    if task.completed_at is None or owner_key(task.completed_by) != name_key(by):
        return Forbidden("not_your_task", _("You did not complete this task; a manager can correct it."))
    zone = ZoneInfo(task.zone)
    day = task.completed_at.astimezone(zone).date()
    if at.astimezone(zone).date() > day + timedelta(days=1):
        return Forbidden(
            "too_late_to_correct",
            _("You can correct a task until the end of the next day; ask a manager."),
        )
    return None

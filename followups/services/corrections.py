"""Correcting a completed task: the first row stays, what followed from it is undone and done anew."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.utils.translation import gettext as _

from followups.models import FollowUpTask
from followups.points import lead_facts
from followups.rules import ADVANCING
from followups.rules.completion import Completion, check_next
from followups.services.closing import current_task
from followups.services.completing import Completed, leads_that_share
from followups.services.guards import name_key, require_not_erased
from followups.services.locked_task import LockedTask, lock_task
from followups.services.plans import advance, effects
from followups.services.reversal import ladder_in_the_way, reverse_outcome, write_correction
from followups.services.waiting import rejudge
from governance.contact.services import lift_suppression
from governance.core.actors import By, owner_key
from governance.core.errors import Forbidden, Invalid, Refused
from governance.core.verbs import Execution, verb

Outcome, Status = FollowUpTask.Outcome, FollowUpTask.Status


@verb(Execution.OBSERVE_ONLY, right="followups.correct_task")
def correct_task(task_id: int, completion: Completion, *, by: By, at: datetime, reason: str) -> Completed:
    """Correct a completed task's outcome to `completion.outcome`, for a reason.

    One's own task until the end of the next day there, a manager's always. A ladder that the first outcome
    stopped goes on; a suppression is lifted only by a manager. The task keeps its first outcome and gains
    `corrected_to`; the KPI gets a correcting event.

    Raises Refused `not_completed`, `ladder_active` where another ladder runs by now; Forbidden
    `too_late_to_correct`, `not_your_task`, `needs_manager`; Invalid for an outcome or reason that cannot be.
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
    if standing == Outcome.OPTED_OUT:
        _end_stop(locked, reason)
    reverse_outcome(locked, standing)
    write_correction(locked, completion, reason)
    following = advance(locked) if outcome in ADVANCING else effects(locked, completion)
    rejudge([task.lead_id], by=by, at=at)
    return Completed(task, following or current_task(task.lead_id))


def may_be_corrected(task: FollowUpTask, by: By, at: datetime) -> bool:
    """Say whether `correct_task` would take a correction of this task by this person now."""
    if task.status != Status.COMPLETED or not by.may(correct_task.right):
        return False
    if task.lead.erasure_id is not None or _not_theirs(task, by, at) is not None:
        return False
    standing = task.standing_outcome
    if standing == Outcome.OPTED_OUT and not by.may(lift_suppression.right):
        return False
    return ladder_in_the_way(task, standing) is None


def _not_theirs(task: FollowUpTask, by: By, at: datetime) -> Forbidden | None:
    """Return why the person may not correct this task (any more), None where they may."""
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


def _end_stop(locked: LockedTask, reason: str) -> None:
    if not locked.by.may(lift_suppression.right):
        raise Forbidden(
            "needs_manager",
            _("This outcome is an opt-out; only a manager can undo it."),
        )
    hers = [point.digest for point in locked.points]
    own = lead_facts(locked.lead.external_id)
    others = [*own.others, *(other for point in locked.points for other in point.other_digests)]
    lift_suppression([*hers, own.digest], by=locked.by, at=locked.at, reason=reason, others=others)

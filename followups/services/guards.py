"""Checks of every service on a task: permissions, ownership, claims, state."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from django.utils.translation import gettext as _

from followups.models import FollowUpTask, Lead
from followups.rules.outcomes import PERSON_ACTIVE, is_set_aside, waits
from governance.accounts.querysets import at_work
from governance.contact.reasons import sentence
from governance.core.actors import Actor, Role, owner_key
from governance.core.errors import Forbidden, NotFound, Refused

if TYPE_CHECKING:
    from followups.services.locked_task import LockedTask

OPEN = FollowUpTask.Status.OPEN


def name_key(by: Actor) -> str:
    """Return the key of who does the work: whom a service client acts for, else who is signed in."""
    return owner_key(by.working_name)


def holds(task: FollowUpTask, by: Actor, at: datetime) -> bool:
    """Return whether the actor has a live claim on the task."""
    live = task.claim_until is not None and task.claim_until > at
    return live and owner_key(task.claimed_by) == name_key(by)


def may_work(task: FollowUpTask, by: Actor, at: datetime) -> bool:
    """Return whether the actor may work the task: their own, unowned, claimed, or anybody's by permission."""
    if by.may("followups.work_any_task") or task.owner_key in ("", by.key) or holds(task, by, at):
        return True
    return not at_work(at).filter(key=task.owner_key).exists()


def require_object(task: FollowUpTask, by: Actor, at: datetime) -> None:
    """Refuse another's task: as not found to a VA, openly to those who may see it."""
    if may_work(task, by, at):
        return
    if by.may("followups.view_all"):
        raise Forbidden(
            "not_your_task",
            _("This task belongs to %(owner)s; a manager can reassign it.") % {"owner": task.owner},
        )
    raise NotFound(_("You have no such task."), code="task_not_found")


def require_claim(task: FollowUpTask, by: Actor, at: datetime, claim_token: str) -> None:
    """Refuse `claimed_by_other` while somebody else has claimed the task."""
    if not task.claim_token or task.claim_until is None or task.claim_until <= at:
        return
    # programs that share an account are distinguished by their tokens, people only by their names
    shared = by.role == Role.SERVICE and not by.acting_for and claim_token
    if not holds(task, by, at) or (shared and claim_token != task.claim_token):
        raise Refused(
            "claimed_by_other",
            _("%(name)s is working on this task until %(time)s UTC.")
            % {"name": task.claimed_by, "time": f"{task.claim_until:%H:%M}"},
            extra={"claimed_by": task.claimed_by, "claim_until": task.claim_until},
        )


def require_open(task: FollowUpTask) -> None:
    if task.status != OPEN:
        raise Refused(
            "task_closed",
            _("This task is closed (%(status)s).") % {"status": task.get_status_display()},
            extra={"task_status": task.status},
        )


def _require_sequence(locked: LockedTask) -> None:
    """Refuse `out_of_sequence` while an earlier step is open."""
    if locked.task.step is None:
        return
    for earlier in locked.siblings:
        if earlier.step is not None and earlier.step < locked.task.step and earlier.status == OPEN:
            if is_set_aside(earlier):
                continue  # a channel with its own point continues
            raise Refused(
                "out_of_sequence",
                _("Step %(earlier)s of this lead comes first; complete or skip it before step %(step)s.")
                % {"earlier": earlier.step, "step": locked.task.step},
                extra={"open_step": earlier.step, "open_task_id": earlier.pk},
            )


def require_workable(locked: LockedTask, claim_token: str) -> None:
    """Refuse to start or complete a task that is closed, claimed by another, out of sequence or waiting."""
    require_open(locked.task)
    require_claim(locked.task, locked.by, locked.at, claim_token)
    _require_sequence(locked)
    _require_not_waiting(locked.task)


def _require_not_waiting(task: FollowUpTask) -> None:
    """Refuse `person_active` for a step that waits: the person is being followed up under another lead."""
    if waits(task):
        raise Refused(PERSON_ACTIVE, sentence(PERSON_ACTIVE), extra={"reason": PERSON_ACTIVE})


def require_not_erased(lead: Lead) -> None:
    """Refuse to write about a lead who was erased, or to start a new ladder for them."""
    if lead.erasure_id is not None:
        raise Refused(
            "lead_erased",
            _("This lead’s personal information was deleted: nothing more is stored about them."),
        )

"""What happens next to a lead: the task or date, when, and why it is not now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from django.utils.translation import gettext as _

from followups.models import Lead
from followups.services.closing import current_task
from followups.services.guards import holds
from followups.services.reading import look_at
from governance.core.errors import NotFound

if TYPE_CHECKING:
    from followups.models import FollowUpTask
    from governance.contact.rules import Verdict
    from governance.core.actors import Actor

FOLLOW_UP, NURTURE = "FOLLOW_UP", "NURTURE"


@dataclass(frozen=True, slots=True)
class NextStep:
    """A lead's next step: `kind` is the task's, FOLLOW_UP or NURTURE for a date, blank for none.

    `reason` is why nothing is to be done now, blank if it is; `next_allowed_at` when contact is allowed again
    if the gate refuses it now.
    """

    lead: Lead
    kind: str = ""
    at: datetime | None = None
    reason: str = ""
    task: FollowUpTask | None = None
    verdict: Verdict | None = None
    next_allowed_at: datetime | None = None


def next_step_of(lead_id: int, *, by: Actor, at: datetime) -> NextStep:
    """Return what happens next to a lead. Raises NotFound `lead_not_found` also for another's lead."""
    lead = Lead.objects.visible_to(by, at).filter(pk=lead_id).first()
    if lead is None:
        raise NotFound(_("There is no such lead."), code="lead_not_found")
    task = current_task(lead.pk)
    if task is None:
        return _without_task(lead, at)
    try:
        view = look_at(task.pk, by=by, at=at)
    except NotFound:  # the lead is theirs by another task
        return NextStep(lead, task.kind, task.due_at, "not_your_task")
    task = view.task
    later = [one for one in (task.due_at, task.snoozed_until) if one is not None]
    reason = ""
    if task.due_at is None:
        reason = task.held_reason or "held"
    elif task.snoozed_until is not None and task.snoozed_until > at:
        reason = "snoozed"
    elif task.due_at > at:
        reason = "not_due"
    elif task.claim_until is not None and task.claim_until > at and not holds(task, by, at):
        reason = "claimed_by_other"
    elif not view.verdict.ok:
        reason = view.verdict.reason
    return NextStep(
        lead, task.kind, max(later, default=None) if task.due_at is not None else None, reason,
        task, view.verdict, view.next_allowed_at,
    )  # fmt: skip


def _without_task(lead: Lead, at: datetime) -> NextStep:
    if lead.follow_up_at is None:
        settled = lead.status in (Lead.Status.WON, Lead.Status.DEAD)
        return NextStep(lead, reason=lead.status.lower() if settled else "no_next_step")
    kind = NURTURE if lead.nurture_at is not None else FOLLOW_UP
    return NextStep(lead, kind, lead.follow_up_at, "not_due" if lead.follow_up_at > at else "")

"""Snoozing, skipping and reassigning tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from django.db.models import BigIntegerField
from django.utils.translation import gettext as _

from followups.models import FollowUpTask, Ladder
from followups.rules.outcomes import ADVANCE, NO_CLAIM, decide_skip, decide_snooze, next_open
from followups.services.cases import load_case, with_gate
from followups.services.closing import CLAIM_FIELDS, end_claim
from followups.services.guards import require_claim, require_open
from followups.services.locked_task import WRITTEN_FIELDS, lock_task, touched
from followups.services.locks import lock_leads
from followups.services.plans import write_plan
from governance.contact.reasons import sentence
from governance.core.actors import Actor, owner_key
from governance.core.errors import Invalid, NotFound, Refused
from governance.core.verbs import Execution, verb

LONGEST_SNOOZE = timedelta(days=14)
MOST_REASSIGNED = 500
COUNTED = 10_000


@verb(Execution.OBSERVE_ONLY, right="followups.plan_task")
def snooze_task(
    task_id: int, *, by: Actor, at: datetime, until: datetime, claim_token: str = ""
) -> FollowUpTask:
    """Snooze a task until the first allowed instant from `until` on, within 14 days; its SLA keeps running.

    Raises Invalid for a time that is past or too far, Refused `contact_denied` if none is allowed.
    """
    locked = lock_task(task_id, by=by, at=at)
    task = locked.task
    require_open(task)
    require_claim(task, by, at, claim_token)
    if not at < until <= at + LONGEST_SNOOZE:
        raise Invalid({"until": [_("A time within the next 14 days is needed.")]})
    case = replace(load_case(locked), gate=locked.lead_gate)
    snooze = decide_snooze(case, until, at + LONGEST_SNOOZE)
    if snooze.reason:
        raise Refused(
            "contact_denied",
            sentence(snooze.reason, zones=snooze.zones, then=snooze.until),
            extra={"reason": snooze.reason, "next_allowed_at": snooze.until},
        )
    task.snoozed_until = snooze.until
    end_claim(task)
    touched(task, by)
    task.save(update_fields=["snoozed_until", *CLAIM_FIELDS, *WRITTEN_FIELDS])
    return task


@verb(Execution.OBSERVE_ONLY, right="followups.plan_task")
def skip_task(
    task_id: int, *, by: Actor, at: datetime, reason: str, claim_token: str = ""
) -> tuple[FollowUpTask, FollowUpTask | None]:
    """Skip an open task with a reason; return it and the lead's next task."""
    if not reason.strip():
        raise Invalid({"reason": [_("Say why this task is skipped.")]})
    locked = lock_task(task_id, by=by, at=at)
    task = locked.task
    require_open(task)
    require_claim(task, by, at, claim_token)
    case = load_case(locked)
    case = with_gate(locked, case, ADVANCE, just_done=True) if task.ladder_id else case
    plan = decide_skip(case, reason.strip())
    following = write_plan(locked, plan)
    return task, following or locked.by_id(next_open(case, plan))


@verb(Execution.OBSERVE_ONLY, right="followups.reassign")
def reassign_tasks(task_ids: Sequence[int], owner: str, *, by: Actor, at: datetime, reason: str) -> int:
    """Give open tasks, and the rest of their ladders, to another owner; claims on them end.

    Of several ids those that are not open tasks are skipped. Returns how many tasks were reassigned. Raises
    Invalid without a reason or with more than 500 ids; NotFound `task_not_found` and Refused `task_closed`
    for a single id.
    """
    if not reason.strip():
        raise Invalid({"reason": [_("Say why the tasks are reassigned.")]})
    if not task_ids or len(task_ids) > MOST_REASSIGNED:
        raise Invalid({"ids": [_("Name 1 to %(most)s tasks.") % {"most": MOST_REASSIGNED}]})
    known = [pk for pk in task_ids if pk <= BigIntegerField.MAX_BIGINT]  # no database accepts larger ones
    named = FollowUpTask.objects.filter(pk__in=known, status=FollowUpTask.Status.OPEN)
    found = list(named.values_list("pk", "lead_id", "ladder_id"))
    if not found and len(task_ids) == 1:
        _say_why_not(task_ids[0])
    lock_leads(lead_id for _pk, lead_id, _ladder in found)
    ladders = sorted({ladder for _pk, _lead, ladder in found if ladder is not None})
    whole = FollowUpTask.objects.filter(status=FollowUpTask.Status.OPEN)
    changes = {"owner": owner.strip(), "owner_key": owner_key(owner), **NO_CLAIM, **by.written()}
    moved = whole.filter(ladder_id__in=ladders).update(**changes)
    moved += whole.filter(pk__in=[pk for pk, _lead, ladder in found if ladder is None]).update(**changes)
    Ladder.objects.filter(pk__in=ladders).update(owner=owner.strip(), **by.written())
    return moved


@verb(Execution.OBSERVE_ONLY, right="followups.reassign")
def reassign_found(
    filters: Mapping[str, object], owner: str, *, by: Actor, at: datetime, reason: str
) -> tuple[int, int]:
    """Reassign up to 500 open tasks that match a filter and do not belong to the new owner yet.

    Returns how many tasks were reassigned and how many matches remain for another call (counted up to
    10,000).
    """
    found = FollowUpTask.objects.filter(status=FollowUpTask.Status.OPEN, **filters)
    found = found.exclude(owner_key=owner_key(owner))
    ids = list(found.order_by("pk").values_list("pk", flat=True)[:MOST_REASSIGNED])
    if not ids:
        return 0, 0
    moved = reassign_tasks(ids, owner, by=by, at=at, reason=reason)
    return moved, found[:COUNTED].count()


def _say_why_not(task_id: int) -> None:
    task = FollowUpTask.objects.filter(pk=task_id).first()
    if task is None:
        raise NotFound(_("You have no such task."), code="task_not_found")
    require_open(task)

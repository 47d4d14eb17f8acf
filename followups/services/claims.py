"""Claims: a lease on due tasks under a token, so that two people never work the same one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from django.db import connection
from django.db.models import DateTimeField, Value
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as _

from followups.models import FollowUpTask
from followups.rules import Urgency
from followups.rules.outcomes import NO_CLAIM
from followups.services.closing import new_claim_token
from followups.services.due import due_tasks
from followups.services.guards import holds, name_key, require_object
from governance.core.actors import Actor, owner_key
from governance.core.errors import NotFound, Refused
from governance.core.verbs import Execution, verb

LEASE = timedelta(minutes=15)
LONGEST = timedelta(hours=2)
MOST = 10
MOST_HANDOVERS = 200


@verb(Execution.PROD_EXEC, right="followups.claim_task")
def claim_due(
    *, by: Actor, at: datetime, limit: int = MOST, filters: Mapping[str, object] | None = None
) -> tuple[str, Sequence[int], datetime]:
    """Claim up to `limit` (at most 10) due tasks for the actor for 15 minutes.

    Handoffs that may be called now come first, then the oldest.

    Returns the claim token, the ids in their order and the lease's end. Nobody else can claim them: on
    PostgreSQL rows that others are claiming are skipped, on SQLite there is one writer.
    """
    wanted = FollowUpTask.objects.due(at).free_for(by, at)
    if filters:
        wanted = wanted.filter(**filters)
    if connection.features.has_select_for_update_skip_locked:
        wanted = wanted.select_for_update(skip_locked=True, of=("self",))
    most = max(1, min(limit, MOST))
    first = handovers_now(by, at, filters or {})
    order = {pk: place for place, pk in enumerate(first)}
    ids = list(wanted.filter(pk__in=first[:most]).values_list("pk", flat=True)) if first else []
    ids.sort(key=order.__getitem__)
    if len(ids) < most:
        ids += list(wanted.exclude(pk__in=ids).values_list("pk", flat=True)[: most - len(ids)])
    return lease(ids, by, at), ids, at + LEASE


def handovers_now(by: Actor, at: datetime, filters: Mapping[str, object]) -> list[int]:
    """Return the unclaimed handoffs that may be called now, the earliest deadline first."""
    free = FollowUpTask.objects.due(at).free_for(by, at).filter(**filters)
    ids = list(free.of_urgency(Urgency.HANDOVER, at).values_list("pk", flat=True)[:MOST_HANDOVERS])
    if not ids:
        return []
    rows = due_tasks(
        by=by, at=at, limit=len(ids), filters={"pk__any_of": ids}, contactable=True, order="urgent"
    )
    return [row["id"] for row in rows]


def lease(ids: Sequence[int], by: Actor, at: datetime) -> str:
    """Claim these tasks for the actor for 15 minutes and return the token; the caller has locked them."""
    token = new_claim_token()
    if ids:
        FollowUpTask.objects.filter(pk__in=ids).update(
            claimed_by=by.working_name,
            claim_token=token,
            claimed_at=at,
            claim_until=at + LEASE,
            opened_at=Coalesce("opened_at", Value(at, DateTimeField())),
            **by.written(),
        )
    return token


def _task(task_id: int, by: Actor, at: datetime) -> FollowUpTask:
    rows = FollowUpTask.objects.filter(pk=task_id)
    if connection.features.has_select_for_update:
        rows = rows.select_for_update(of=("self",))
    task: FollowUpTask | None = rows.first()
    if task is None:
        raise NotFound(_("You have no such task."), code="task_not_found")
    require_object(task, by, at)
    return task


@verb(Execution.OBSERVE_ONLY, right="followups.claim_task")
def renew_claim(task_id: int, *, by: Actor, at: datetime, claim_token: str) -> datetime:
    """Renew a live claim to 15 minutes from now, up to 2 hours in all, and return its end.

    A start's 60 minutes are never shortened. Raises Refused `claim_lost` if it has ended or somebody else has
    claimed the task, NotFound and Forbidden for another's task.
    """
    task = _task(task_id, by, at)
    if not (holds(task, by, at) and task.claim_token == claim_token and task.claimed_at and task.claim_until):
        raise Refused("claim_lost", _("This claim has ended; claim the task again."))
    until = max(task.claim_until, min(at + LEASE, task.claimed_at + LONGEST))
    FollowUpTask.objects.filter(pk=task_id).update(claim_until=until, **by.written())
    return until


@verb(Execution.OBSERVE_ONLY, right="followups.claim_task")
def release_claim(task_id: int, *, by: Actor, at: datetime, claim_token: str = "") -> bool:
    """Release one's claim; return True if there was one. Releasing twice changes nothing.

    A manager may end anybody's. Raises NotFound and Forbidden for another's task.
    """
    task = _task(task_id, by, at)
    mine = owner_key(task.claimed_by) == name_key(by)
    if not task.claim_token or not (mine or by.may("followups.work_any_task")):
        return False
    if claim_token and claim_token != task.claim_token:
        return False
    return bool(FollowUpTask.objects.filter(pk=task_id).update(**NO_CLAIM, **by.written()))


@verb(Execution.OBSERVE_ONLY)
def free_expired_claims(at: datetime, limit: int = 1000) -> int:
    """Clear expired claims; return how many. They already count as free."""
    ended = FollowUpTask.objects.filter(claim_until__lte=at, claim_until__isnull=False).order_by(
        "claim_until"
    )
    if connection.features.has_select_for_update_skip_locked:
        ended = ended.select_for_update(skip_locked=True, of=("self",))
    ids = list(ended.values_list("pk", flat=True)[:limit])
    return FollowUpTask.objects.filter(pk__in=ids, claim_until__lte=at).update(**NO_CLAIM)

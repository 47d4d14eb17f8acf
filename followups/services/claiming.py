"""Claims: a lease on due tasks under a token, so that two people never hold the same one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.utils.translation import gettext as _

from followups.models import FollowUpTask
from followups.services.closing import NO_CLAIM, new_claim_token
from followups.services.completing import require_right
from followups.services.desk import name_key
from governance.actors import By
from governance.errors import NotFound, Refused
from governance.golive.services import Execution, verb

LEASE = timedelta(minutes=15)
LONGEST = timedelta(hours=2)
MOST = 10


@verb(Execution.PROD_EXEC)
def claim_due(
    *, by: By, at: datetime, limit: int = MOST, filters: Mapping[str, Any] | None = None
) -> tuple[str, Sequence[int], datetime]:
    """Lease up to `limit` (at most 10) due tasks to the actor for 15 minutes.

    Returns the claim token, the ids in their order and the lease's end. Nobody else holds them: on
    PostgreSQL rows that others are taking are passed over, on SQLite there is one writer.
    """
    require_right(by, "followups.claim_task")
    token = new_claim_token()
    until = at + LEASE
    wanted = FollowUpTask.objects.due(at).unclaimed(at).offered_to(by, at).fitting(by)
    if filters:
        wanted = wanted.filter(**filters)
    if connection.features.has_select_for_update_skip_locked:
        wanted = wanted.select_for_update(skip_locked=True, of=("self",))
    ids = list(wanted.values_list("pk", flat=True)[: max(1, min(limit, MOST))])
    if ids:
        FollowUpTask.objects.filter(pk__in=ids).update(
            claimed_by=by.working_name, claim_token=token, claimed_at=at, claim_until=until
        )
    return token, ids, until


@verb(Execution.OBSERVE_ONLY)
def renew_claim(task_id: int, *, by: By, at: datetime, claim_token: str) -> datetime:
    """Lengthen a live claim by 15 minutes, up to 2 hours in all, and return its end.

    Raises Refused `claim_lost` where it has ended or somebody else holds the task.
    """
    require_right(by, "followups.claim_task")
    mine = FollowUpTask.objects.filter(
        pk=task_id, claim_token=claim_token, claim_until__gt=at, status=FollowUpTask.Status.OPEN
    ).exclude(claim_token="")
    began = mine.values_list("claimed_at", flat=True).first()
    until = min(at + LEASE, began + LONGEST) if began else at
    if until <= at or not mine.update(claim_until=until):
        raise Refused("claim_lost", _("This claim has ended; claim the task again."))
    return until


@verb(Execution.OBSERVE_ONLY)
def release_claim(task_id: int, *, by: By, at: datetime, claim_token: str) -> bool:
    """Give a claim back; True if it was held. Releasing twice changes nothing."""
    rows = FollowUpTask.objects.filter(pk=task_id)
    if not rows.exists():
        raise NotFound(_("There is no such task among yours."), code="task_not_found")
    held = rows.filter(claim_token=claim_token).exclude(claim_token="")
    if not by.may("followups.work_any_task"):
        held = held.filter(claimed_by__iexact=name_key(by))
    return bool(held.update(**NO_CLAIM))


@verb(Execution.OBSERVE_ONLY)
def free_expired_claims(at: datetime, limit: int = 1000) -> int:
    """Clear leases that have ended; returns how many. They count as free before that already."""
    ended = FollowUpTask.objects.filter(claim_until__lte=at, claim_until__isnull=False)
    ids = list(ended.order_by("claim_until").values_list("pk", flat=True)[:limit])
    return FollowUpTask.objects.filter(pk__in=ids, claim_until__lte=at).update(**NO_CLAIM)

"""The same person under two lead ids: the later ladder waits for the one running for their number."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Count, FilteredRelation, Q, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from followups.models import ContactPoint, FollowUpTask, Ladder, Lead
from followups.rules.holders import Holder, Holders
from followups.rules.outcomes import PERSON_ACTIVE
from followups.services.locks import lock_leads, lock_numbers
from governance.core.actors import Actor
from governance.core.compiled import CompiledQuery, Listed
from governance.core.errors import Invalid, NotFound
from governance.core.verbs import Execution, verb

CHANGE_LEAD = "followups.change_lead"
AT_ONCE = 5  # leads rescheduled with the ladder they waited for; the job takes the rest
MOST_NUMBERS = 1000
OPEN = FollowUpTask.Status.OPEN


def digests_of(points: Iterable[ContactPoint]) -> list[str]:
    return sorted({point.digest for point in points})


@CompiledQuery
def _points_that_hold() -> QuerySet[ContactPoint, Any]:
    points = ContactPoint.objects.filter(digest__any_of=Listed("digests")).order_by()
    points = points.annotate(
        running=FilteredRelation("lead__ladders", condition=Q(lead__ladders__status=Ladder.Status.ACTIVE))
    ).filter(~Q(shared_as="") | Q(status=ContactPoint.Status.USABLE, running__isnull=False))
    return points.values_list(
        "digest", "status", "shared_as", "lead_id", "lead__name", "running__id", "running__queued_at"
    )


def holders_of(found: Iterable[str]) -> Holders:
    """Return the active ladders for these numbers (keyed hashes), in one query."""
    wanted = sorted(set(found))
    by_digest: dict[str, list[Holder]] = {}
    shared: set[str] = set()
    if not wanted:
        return Holders({}, frozenset())
    for digest, status, shared_as, lead_id, name, ladder_id, queued_at in _points_that_hold(digests=wanted):
        if shared_as:
            shared.add(digest)
        if ladder_id is not None and status == ContactPoint.Status.USABLE:
            by_digest.setdefault(digest, []).append(Holder(digest, lead_id, name, ladder_id, queued_at))
    return Holders(by_digest, frozenset(shared))


def taken_by_others(
    ladder: Ladder, name: str, points: Sequence[ContactPoint], holders: Holders
) -> frozenset[str]:
    """Return the numbers of a lead for which their ladder waits; none if it does not wait."""
    if ladder.status != Ladder.Status.ACTIVE or ladder.queued_at is None:
        return frozenset()
    mine = Holder("", ladder.lead_id, name, ladder.pk, ladder.queued_at)
    return frozenset(holder.digest for holder in holders.ahead(mine, points))


def release_after(
    lead_ids: Sequence[int], *, by: Actor, at: datetime, numbers: Sequence[str] | None = None
) -> None:
    """Start ladders that waited for ladders of locked leads that ended or changed, in their transaction.

    `numbers` are the leads' keyed hashes if the caller has loaded them already, under the lock.

    A lead whom somebody else has locked is left to the job, which checks all blocked tasks every minute:
    waiting for that lock could be a deadlock.
    """
    from followups.services.rescheduling import realign_locked

    found = numbers
    if found is None:
        own = ContactPoint.objects.filter(lead_id__in=list(lead_ids)).order_by()
        found = list(own.values_list("digest", flat=True))
    if not found:
        return
    lock_numbers(found)
    waiting = FollowUpTask.objects.filter(status=OPEN, held_reason=PERSON_ACTIVE)
    sharing = ContactPoint.objects.filter(digest__in=found).order_by().values("lead_id")
    others = Lead.objects.filter(pk__in=waiting.values("lead_id")).filter(pk__in=sharing)
    _judge_anew(others.exclude(pk__in=list(lead_ids)), realign_locked, by=by, at=at)


def _judge_anew(leads: Any, realign: Any, *, by: Actor, at: datetime) -> None:
    # the ladder that has waited longest starts next; a lead has one active ladder, so none comes twice
    rows = leads.filter(ladders__status=Ladder.Status.ACTIVE).order_by("ladders__queued_at", "pk")
    if connection.features.has_select_for_update_skip_locked:
        rows = rows.select_for_update(of=("self",), skip_locked=True)
    ids = list(rows.values_list("pk", flat=True)[:AT_ONCE])
    if ids:
        realign(ids, at=at, by=by)


def rejudge(lead_ids: Sequence[int], *, by: Actor, at: datetime) -> None:
    """Decide again who runs and who waits, after names or numbers of locked leads changed.

    It covers these leads and all that share a number with them. Leads that are locked elsewhere, and those
    beyond a batch, follow with the next rescheduling.
    """
    from followups.services.rescheduling import realign_locked

    ids = list(lead_ids)
    found = list(ContactPoint.objects.filter(lead_id__in=ids).order_by().values_list("digest", flat=True))
    if not found:
        return
    lock_numbers(found)
    held = holders_of(found).by_digest.values()
    waiting = FollowUpTask.objects.filter(lead_id__in=ids, status=OPEN, held_reason=PERSON_ACTIVE)
    alone = all(len(holders) == 1 and holders[0].lead_id in ids for holders in held)
    if alone and not waiting.exists():
        return
    realign_locked(ids, at=at, by=by)
    sharing = ContactPoint.objects.filter(digest__in=found).order_by().values("lead_id")
    others = Lead.objects.filter(pk__in=sharing)
    _judge_anew(others.exclude(pk__in=ids), realign_locked, by=by, at=at)


@verb(
    Execution.OBSERVE_ONLY,
    right=CHANGE_LEAD,
    refusal=gettext_lazy("Only a manager marks a number as shared."),
)
def mark_shared(point_id: int, shared_as: str, *, by: Actor, at: datetime) -> None:
    """Mark a number, on every lead that has it, as an agent's, a property manager's or an estate's.

    Then no lead waits for another because of it; with a blank `shared_as` they do again. Raises Forbidden
    without the permission to change leads, Invalid for an unknown mark.
    """
    if shared_as and shared_as not in ContactPoint.Shared.values:
        raise Invalid({"shared_as": [_("There is no such mark.")]})
    point = ContactPoint.objects.filter(pk=point_id).first()
    if point is None:
        raise NotFound(_("There is no such number."), code="point_not_found")
    lock_leads([point.lead_id])
    ContactPoint.objects.filter(digest=point.digest).update(shared_as=shared_as)
    rejudge([point.lead_id], by=by, at=at)


def doubled_ladders() -> list[int]:
    """Return active ladders that follow up the same person at the same time, neither of them waiting.

    They started before ladders waited. Looks at the first 1,000 numbers that several such leads have.
    """
    active = ContactPoint.objects.filter(
        status=ContactPoint.Status.USABLE, lead__ladders__status=Ladder.Status.ACTIVE
    )
    leads = active.order_by().values("digest").annotate(leads=Count("lead", distinct=True))
    found = holders_of(leads.filter(leads__gt=1).values_list("digest", flat=True)[:MOST_NUMBERS])
    everybody = {holder.ladder_id for holders in found.by_digest.values() for holder in holders}
    waiting = FollowUpTask.objects.filter(ladder__in=everybody, status=OPEN, held_reason=PERSON_ACTIVE)
    runs = everybody - set(waiting.values_list("ladder_id", flat=True))
    doubled: set[int] = set()
    for digest, holders in found.by_digest.items():
        if digest in found.shared:
            continue
        beside = [holder for holder in holders if holder.ladder_id in runs]
        doubled |= {
            one.ladder_id
            for one in beside
            if any(other.lead_id != one.lead_id and one.may_be(other) for other in beside)
        }
    return sorted(doubled)


def waiting_for(holder: Holder | None, *, by: Actor, at: datetime) -> dict[str, object] | None:
    """Return the ladder that a ladder waits for; identified only to people who may see that lead."""
    if holder is None:
        return None
    seen = Lead.objects.filter(pk=holder.lead_id).visible_to(by, at).values_list("external_id", flat=True)
    lead_id = seen.first()
    return {"lead_id": lead_id, "ladder_id": holder.ladder_id if lead_id is not None else None}

"""Recomputing due times after a change of policy, hours, closures or zones; unblocking tasks."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import overload

from django.db import connection
from django.db.models import Q

from followups.models import ContactPoint, FollowUpTask, RealignRequest
from followups.rules import gap_before
from followups.rules.holders import first_free
from followups.rules.lead_gate import DUE_FIELDS, LeadGate
from followups.rules.outcomes import PERSON_ACTIVE, current_of, is_set_aside
from followups.services.closing import due_of_promise
from followups.services.locked_task import (
    WRITTEN_FIELDS,
    LockedTask,
    facts_of_points,
    put_due,
    touched,
)
from followups.services.locks import lock_leads
from followups.services.waiting import digests_of, holders_of, taken_by_others
from governance.contact.clock import add_local_days
from governance.contact.do_not_call import any_list_is_stale
from governance.contact.national_list import STALE
from governance.contact.services import GateContext, Where, questions_of_people
from governance.core.actors import Actor
from governance.core.channels import CALL, CHANNELS
from governance.core.compiled import insert_rows, update_rows
from governance.core.hooks import Moves, PolicyDraft
from governance.core.places import ALL
from governance.core.verbs import Execution, verb
from governance.market.timeline import PolicyRow

log = logging.getLogger(__name__)

LEADS_A_BATCH = 7  # 0.2 s at most, during which SQLite's write lock is held
LEADS_A_LOOK = 50  # if nothing is written
SECONDS = 5.0
OPEN = FollowUpTask.Status.OPEN
PLACE_FIELDS = ("province", "market_key")
QUEUE_FIELDS = ("scheduled_for", "contact_point", "is_current")


def request_realigning(province: str, by: Actor, at: datetime) -> None:
    """Request, in the transaction of the change, that due times of a province (blank: all) be recomputed."""
    request = RealignRequest(
        province=province, asked_by=by.username, asked_at=at, correlation_id=by.correlation_id
    )
    insert_rows([request])


def realign_due(at: datetime, *, seconds: float = SECONDS) -> int:
    """Work through the waiting requests for a few seconds; return how many tasks moved.

    Each batch of leads is a separate transaction that also moves the request's cursor, so a run that is
    killed continues where it was. A request that fails does not block later ones; its failure is raised in
    the end.
    """
    until = time.monotonic() + seconds
    moved = 0
    failure: Exception | None = None
    for request_id in (
        RealignRequest.objects.filter(done_at=None).order_by("id").values_list("id", flat=True)[:100]
    ):
        try:
            while time.monotonic() < until:
                found = _batch(request_id, at)
                if found is None:
                    break
                moved += found
            else:
                break
        except Exception as problem:
            log.exception("request %s to realign failed", request_id)
            failure = failure or problem
    if failure:
        raise failure
    return moved


@verb(Execution.OBSERVE_ONLY)
def _batch(request_id: int, at: datetime) -> int | None:
    """Reschedule the next leads of a request; None when it is done."""
    request = RealignRequest.objects.select_for_update().get(pk=request_id)
    if request.done_at is not None:
        return None
    movable = FollowUpTask.objects.filter(status=OPEN, lead_id__gt=request.cursor)
    # a handoff is due at once; its limits move until its deadline is over
    which = Q(due_at__gt=at) | Q(due_at=None) | Q(deadline_at__gt=at)
    if any_list_is_stale(at):
        which |= Q(channel=CALL)  # late calls are blocked too
    movable = movable.filter(which)
    if request.province:
        movable = movable.filter(province=request.province)
    lead_ids = list(movable.order_by("lead_id").values_list("lead_id", flat=True).distinct()[:LEADS_A_BATCH])
    moved = realign_leads(lead_ids, at=at, by=Actor.system("followups.realign_due", request.correlation_id))
    request.moved += moved
    if len(lead_ids) < LEADS_A_BATCH:
        request.done_at = at
    else:
        request.cursor = lead_ids[-1]
    request.save(update_fields=["moved", "cursor", "done_at"])
    return moved if lead_ids else None


def realign_leads(lead_ids: Sequence[int], *, at: datetime, by: Actor) -> int:
    """Move the open, unclaimed tasks of leads that are due in the future or blocked; return how many moved.

    Their order stays, nothing is set before `at`, an overdue task keeps its own time.
    """
    if not lead_ids:
        return 0
    lock_leads(lead_ids)
    return realign_locked(lead_ids, at=at, by=by)


def realign_locked(lead_ids: Sequence[int], *, at: datetime, by: Actor) -> int:
    """Do what `realign_leads` does for leads that are locked already."""
    changed = _judged_anew(lead_ids, at=at, by=by, to_keep=True)
    if changed:
        # two rows of one ladder are never current, not even between two rows of the update below
        FollowUpTask.objects.filter(
            pk__in=[task.pk for task in changed if not task.is_current], is_current=True
        ).update(is_current=False)
        for task in changed:
            task.updated_at = at
        fields = [*DUE_FIELDS, *PLACE_FIELDS, *QUEUE_FIELDS, "updated_at", *WRITTEN_FIELDS]
        update_rows(changed, fields)
    return len(changed)


def _judged_anew(
    lead_ids: Sequence[int], *, at: datetime, by: Actor, to_keep: bool, draft: PolicyRow | None = None
) -> list[FollowUpTask]:
    """Return the tasks whose due time changes, with the new one; a draft replaces its policy."""
    found = FollowUpTask.objects.filter(lead_id__in=list(lead_ids)).with_clocks()
    found = found.select_related("lead", "ladder", "contact_point")
    if to_keep and connection.features.has_select_for_update:
        found = found.select_for_update(of=("self",))  # claims lock only tasks
    tasks = list(found.order_by("lead_id", "ladder_id", "step", "id"))
    points: dict[int, list[ContactPoint]] = {}
    for point in ContactPoint.objects.filter(lead_id__in=list(lead_ids)).order_by("order", "id"):
        points.setdefault(point.lead_id, []).append(point)
    book = GateContext.load({task.lead.place for task in tasks}, at)
    if draft is not None:
        book.put(draft)
    groups: dict[tuple[int, int | None], list[FollowUpTask]] = {}
    for task in tasks:
        groups.setdefault((task.lead_id, task.ladder_id or -task.pk), []).append(task)
    leads = {task.lead_id: task.lead for task in tasks}
    questions = questions_of_people(
        CHANNELS,
        {pk: (facts_of_points(lead, points.get(pk, [])), lead.score) for pk, lead in leads.items()},
        at=at,
    )
    numbers = (
        point
        for pk in {
            task.lead_id for task in tasks if task.ladder and task.ladder.queued_at and task.status == OPEN
        }
        for point in points.get(pk, ())
    )
    holders = holders_of(digests_of(numbers))
    changed: list[FollowUpTask] = []
    for (lead_id, _ladder), steps in groups.items():
        first = steps[0]
        where = Where(first.lead.place, first.lead.zone, first.city_zone, first.market_zone)
        own = points.get(lead_id, [])
        gate = LeadGate(at, where, book, tuple(point.state for point in own), questions[lead_id])
        locked = LockedTask(first, steps, own, by, at, where, book, gate)
        taken: frozenset[str] = frozenset()
        if first.ladder is not None:
            taken = taken_by_others(first.ladder, first.lead.name, locked.points, holders)
        changed += _realign(locked, taken)
    return changed


def would_move(draft: PolicyDraft, at: datetime, *, seconds: float = SECONDS / 2) -> Moves:
    """Return what saving a market policy would do to open tasks, as rescheduling would, storing nothing.

    Judges for some seconds at most; if there is more, `complete` is false and the counts are of the part.
    """
    until = time.monotonic() + seconds
    movable = FollowUpTask.objects.filter(status=OPEN, province=draft.place.province)
    movable = movable.filter(Q(due_at__gt=at) | Q(due_at=None)).order_by("lead_id")
    if draft.place.market_key != ALL:
        movable = movable.filter(market_key=draft.place.market_key)
    policy = PolicyRow(
        0, draft.place.province, draft.place.market, draft.place.market_key, draft.enabled,
        dict(draft.rules), draft.timezone, 0, draft.since,
    )  # fmt: skip
    by = Actor.system("simulate")
    total, cursor = Moves(), 0
    while True:
        lead_ids = list(
            movable.filter(lead_id__gt=cursor).values_list("lead_id", flat=True).distinct()[:LEADS_A_LOOK]
        )
        if not lead_ids:
            return total
        if time.monotonic() > until:
            return replace(total, complete=False)
        of_batch = movable.filter(lead_id__in=lead_ids)
        before = dict(of_batch.values_list("pk", "due_at"))
        after = {
            task.pk: task.due_at
            for task in _judged_anew(lead_ids, at=at, by=by, to_keep=False, draft=policy)
            if task.pk in before
        }
        total = _added(total, before, after)
        cursor = lead_ids[-1]


def _added(total: Moves, before: dict[int, datetime | None], after: dict[int, datetime | None]) -> Moves:
    """Return the sum so far with one batch's tasks, by id: all of them `before`, the changed ones `after`."""
    changed = [(before[pk], due) for pk, due in after.items() if before[pk] != due]
    times = [at for pair in changed for at in pair if at is not None]
    return Moves(
        looked_at=total.looked_at + len(before),
        moved=total.moved + sum(old is not None and new is not None for old, new in changed),
        held=total.held + sum(new is None for _old, new in changed),
        returned=total.returned + sum(old is None for old, _new in changed),
        first_at=min([*times, *([total.first_at] if total.first_at else [])], default=None),
    )


def _realign(locked: LockedTask, taken: frozenset[str]) -> list[FollowUpTask]:
    """Return the tasks of one ladder that change; one whose number is `taken` waits, even if late."""
    changed: dict[int, FollowUpTask] = {}
    earlier: datetime | None = None  # when the step before was done, or is due
    skipped = False
    waited = any(is_set_aside(task) for task in locked.siblings)
    returned: FollowUpTask | None = None  # the first step that waited and no longer does
    for task in locked.siblings:
        if task.status != OPEN:
            skipped = task.status == FollowUpTask.Status.SKIPPED and task.closed_reason != "no_contact_point"
            earlier = _later(earlier, task.completed_at)
            continue
        before = _times(task)
        task.province, task.market_key = locked.lead.province, locked.lead.market_key
        claimed = task.claim_until is not None and task.claim_until > locked.at
        overdue = task.due_at is not None and task.due_at <= locked.at
        awaits_closer = task.kind == FollowUpTask.Kind.HANDOVER and _before(locked.at, task.deadline_at)
        point, must_wait = first_free(locked.points, task.channel, taken)
        must_wait = must_wait and task.kind == FollowUpTask.Kind.LADDER
        if must_wait and not claimed:
            put_due(task, None, locked.gate(task.channel), PERSON_ACTIVE)
        elif not claimed and locked.list_is_stale(task.channel, _number_of(task, point)):
            put_due(task, None, locked.gate(task.channel), STALE)
        elif awaits_closer and overdue and not claimed and task.due_at is not None:
            # due already, but its limits follow the hours in which a call is allowed
            put_due(task, task.due_at, locked.gate(task.channel), "")
        elif not claimed and not overdue:
            if is_set_aside(task):
                task.scheduled_for = _after_waiting(locked, task, returned)
                task.contact_point = point
                returned = returned or task
            elif taken and task.contact_point is not None and task.contact_point.digest in taken:
                task.contact_point = point
            # the time of skipping the step before is not stored, but the due time was set after it
            not_before = _later(_wanted(locked, task, earlier), task.due_at if skipped else None)
            number = _number_of(task, point)
            due = due_of_promise(locked, task.kind, not_before, task.channel, number)
            held = "" if due else locked.holding_reason(task.channel, not_before, number)
            put_due(task, due, locked.gate(task.channel), held)
        if _times(task) != before:
            touched(task, locked.by)
            changed[task.pk] = task
        if task.due_at is not None and task.kind == FollowUpTask.Kind.LADDER:
            locked.count_contact(task, max(task.due_at, locked.at))
        earlier = _later(earlier, task.due_at)
        skipped = False
    if waited or any(is_set_aside(task) for task in locked.siblings):
        current = current_of(locked.siblings)
        for task in locked.siblings:
            if task.is_current != (task is current):
                task.is_current = task is current
                touched(task, locked.by)
                changed[task.pk] = task
    return list(changed.values())


def _number_of(task: FollowUpTask, first: ContactPoint | None) -> ContactPoint | None:
    """Return the point that a task would use: its own, unless it was retired, else the first free one."""
    own = task.contact_point
    return own if own is not None and own.status == ContactPoint.Status.USABLE else first


def _after_waiting(locked: LockedTask, task: FollowUpTask, returned: FollowUpTask | None) -> datetime:
    """Return the cadence's time for a step that waits no longer: at its distance from the first such step.

    Otherwise the steps of a ladder that waited for a week would come all at once.
    """
    if returned is None or not task.step or not returned.step:
        return max(task.scheduled_for, locked.at)
    step, first = locked.steps[task.step - 1], locked.steps[returned.step - 1]
    anchor = returned.due_at or returned.scheduled_for
    after = add_local_days(anchor, step.days - first.days, locked.gate(task.channel).zone)
    return max(task.scheduled_for, after + timedelta(minutes=step.minutes - first.minutes))


def _wanted(locked: LockedTask, task: FollowUpTask, earlier: datetime | None) -> datetime:
    """Return the instant from which a task's due time is searched."""
    if task.kind == FollowUpTask.Kind.HANDOVER:
        return max(task.scheduled_for, locked.at)  # blocked until now, so due as of now
    wanted = max(task.scheduled_for, locked.at)
    if earlier is not None and task.step:
        wanted = max(wanted, earlier + gap_before(locked.steps, task.step))
    return wanted


def _before(at: datetime, limit: datetime | None) -> bool:
    return limit is None or at < limit


@overload
def _later(one: datetime, other: datetime | None) -> datetime: ...
@overload
def _later(one: datetime | None, other: datetime | None) -> datetime | None: ...
def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return max((at for at in (one, other) if at is not None), default=None)


def _times(task: FollowUpTask) -> tuple[object, ...]:
    return tuple(
        getattr(task, name) for name in (*DUE_FIELDS, *PLACE_FIELDS, "scheduled_for", "contact_point_id")
    )


def bring_back_held(at: datetime, *, limit: int = 200) -> int:
    """Give blocked tasks a due time again if the reason is gone; return how many leads were checked.

    If more are blocked than one run checks, each minute takes the next ones.
    """
    held = FollowUpTask.objects.filter(status=OPEN, due_at=None).order_by("id")
    runs = -(-held.count() // limit)
    start = limit * (int(at.timestamp()) // 60 % runs) if runs > 1 else 0
    # first only their ids, from the index: the skipped tasks are not read
    ids = list(held.values_list("pk", flat=True)[start : start + limit])
    leads = FollowUpTask.objects.filter(pk__in=ids).order_by("pk").values_list("lead_id", flat=True)
    lead_ids = list(dict.fromkeys(leads))
    for first in range(0, len(lead_ids), LEADS_A_BATCH):
        _bring_back(lead_ids[first : first + LEADS_A_BATCH], at)
    return len(lead_ids)


@verb(Execution.OBSERVE_ONLY)
def _bring_back(lead_ids: Sequence[int], at: datetime) -> int:
    return realign_leads(lead_ids, at=at, by=Actor.system("followups.dispatch_due"))

"""Due times judged anew after a change of policy, hours, closures, zones; held tasks brought back."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import overload

from django.db import connection
from django.db.models import Q

from followups.models import ContactPoint, FollowUpTask, RealignRequest
from followups.rules import gap_before
from followups.services.closing import due_of_promise
from followups.services.desk import (
    DUE_FIELDS,
    WRITTEN_FIELDS,
    Desk,
    facts_of_points,
    lock_leads,
    put_due,
    touched,
)
from governance.actors import By
from governance.contact.querysets import PolicyRow
from governance.contact.services import GateBook, Where, questions_of_people
from governance.golive.services import Execution, verb
from governance.hooks import Moves, PolicyDraft
from governance.hours import CHANNELS
from governance.places import ALL

log = logging.getLogger(__name__)

LEADS_A_BATCH = 50
SECONDS = 5.0
OPEN = FollowUpTask.Status.OPEN
PLACE_FIELDS = ("province", "market_key")


def request_realigning(province: str, by: By, at: datetime) -> None:
    """Ask, in the transaction of the change, that due times of a province (blank: all) be judged anew."""
    RealignRequest.objects.create(
        province=province, asked_by=by.username, asked_at=at, correlation_id=by.correlation_id
    )


def realign_due(at: datetime, *, seconds: float = SECONDS) -> int:
    """Work through the waiting requests for a few seconds; returns how many tasks moved.

    Each batch of leads is a transaction of its own that also moves the request's cursor, so a run that is
    killed goes on where it was. A request that fails keeps no later one waiting; its failure is raised in the
    end.
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
    """Realign the next leads of a request; None when it is done."""
    request = RealignRequest.objects.select_for_update().get(pk=request_id)
    if request.done_at is not None:
        return None
    movable = FollowUpTask.objects.filter(status=OPEN, lead_id__gt=request.cursor)
    movable = movable.filter(Q(due_at__gt=at) | Q(due_at=None))
    if request.province:
        movable = movable.filter(province=request.province)
    lead_ids = list(movable.order_by("lead_id").values_list("lead_id", flat=True).distinct()[:LEADS_A_BATCH])
    moved = realign_leads(lead_ids, at=at, by=By.system("followups.realign_due", request.correlation_id))
    request.moved += moved
    if len(lead_ids) < LEADS_A_BATCH:
        request.done_at = at
    else:
        request.cursor = lead_ids[-1]
    request.save(update_fields=["moved", "cursor", "done_at"])
    return moved if lead_ids else None


def realign_leads(lead_ids: Sequence[int], *, at: datetime, by: By) -> int:
    """Move the open, unclaimed tasks of leads that are due in the future or held; returns how many moved.

    Their order stays, nothing is set before `at`, an overdue task keeps its own time.
    """
    if not lead_ids:
        return 0
    lock_leads(lead_ids)
    changed = _judged_anew(lead_ids, at=at, by=by, to_keep=True)
    if changed:
        fields = [*DUE_FIELDS, *PLACE_FIELDS, *WRITTEN_FIELDS]
        FollowUpTask.objects.bulk_update(changed, fields, batch_size=200)
    return len(changed)


def _judged_anew(
    lead_ids: Sequence[int], *, at: datetime, by: By, to_keep: bool, draft: PolicyRow | None = None
) -> list[FollowUpTask]:
    """Return the tasks whose due time changes, with the new one; a draft takes its policy's place."""
    found = (
        FollowUpTask.objects.filter(lead_id__in=list(lead_ids)).with_clocks().select_related("lead", "ladder")
    )
    if to_keep and connection.features.has_select_for_update:
        found = found.select_for_update(of=("self",))  # claims lock tasks alone
    tasks = list(found.order_by("lead_id", "ladder_id", "step", "id"))
    points: dict[int, list[ContactPoint]] = {}
    for point in ContactPoint.objects.filter(lead_id__in=list(lead_ids)).order_by("order", "id"):
        points.setdefault(point.lead_id, []).append(point)
    book = GateBook.load({task.lead.place for task in tasks}, at)
    if draft is not None:
        book.policies[(draft.province, draft.market_key)] = draft
    groups: dict[tuple[int, int | None], list[FollowUpTask]] = {}
    for task in tasks:
        groups.setdefault((task.lead_id, task.ladder_id or -task.pk), []).append(task)
    leads = {task.lead_id: task.lead for task in tasks}
    questions = questions_of_people(
        CHANNELS,
        {pk: (facts_of_points(lead, points.get(pk, [])), lead.score) for pk, lead in leads.items()},
    )
    changed: list[FollowUpTask] = []
    for (lead_id, _ladder), steps in groups.items():
        first = steps[0]
        where = Where(first.lead.place, first.lead.zone, first.city_zone, first.market_zone)
        desk = Desk(first, steps, points.get(lead_id, []), by, at, where, book, questions[lead_id])
        changed += _realign(desk)
    return changed


def would_move(draft: PolicyDraft, at: datetime, *, seconds: float = SECONDS / 2) -> Moves:
    """Return what saving a market policy would do to open tasks: the realigning's own steps, kept nowhere.

    Judges for some seconds at most; where there is more, `complete` is false and the counts are of the part.
    """
    until = time.monotonic() + seconds
    movable = FollowUpTask.objects.filter(status=OPEN, province=draft.place.province)
    movable = movable.filter(Q(due_at__gt=at) | Q(due_at=None)).order_by("lead_id")
    if draft.place.market_key != ALL:
        movable = movable.filter(market_key=draft.place.market_key)
    policy = PolicyRow(
        0, draft.place.province, draft.place.market, draft.place.market_key, draft.enabled,
        dict(draft.rules), draft.timezone, 0,
    )  # fmt: skip
    by = By.system("simulate")
    total, cursor = Moves(), 0
    while True:
        lead_ids = list(
            movable.filter(lead_id__gt=cursor).values_list("lead_id", flat=True).distinct()[:LEADS_A_BATCH]
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


def _realign(desk: Desk) -> list[FollowUpTask]:
    changed = []
    earlier: datetime | None = None  # when the step before was done, or is due
    skipped = False
    for task in desk.siblings:
        if task.status != OPEN:
            skipped = task.status == FollowUpTask.Status.SKIPPED and task.closed_reason != "no_contact_point"
            earlier = _later(earlier, task.completed_at)
            continue
        before = _times(task)
        task.province, task.market_key = desk.lead.province, desk.lead.market_key
        claimed = task.claim_until is not None and task.claim_until > desk.at
        overdue = task.due_at is not None and task.due_at <= desk.at
        if not claimed and not overdue:
            # when somebody skipped the step before is not kept, but the due time was put after it
            not_before = _later(_wanted(desk, task, earlier), task.due_at if skipped else None)
            due = desk.first_allowed(task.channel, not_before)
            held = "" if due else desk.holding_reason(task.channel, not_before)
            put_due(task, due, desk.gate(task.channel), held)
        if _times(task) != before:
            touched(task, desk.by)
            changed.append(task)
        earlier = _later(earlier, task.due_at)
        skipped = False
    return changed


def _wanted(desk: Desk, task: FollowUpTask, earlier: datetime | None) -> datetime:
    """Return the instant from which a task's due time is looked for."""
    if task.kind == FollowUpTask.Kind.HANDOVER:
        return max(due_of_promise(desk, task.kind, task.scheduled_for) or desk.at, desk.at)
    wanted = max(task.scheduled_for, desk.at)
    if earlier is not None and task.step:
        wanted = max(wanted, earlier + gap_before(desk.steps, task.step))
    return wanted


@overload
def _later(one: datetime, other: datetime | None) -> datetime: ...
@overload
def _later(one: datetime | None, other: datetime | None) -> datetime | None: ...
def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return max((at for at in (one, other) if at is not None), default=None)


def _times(task: FollowUpTask) -> tuple[object, ...]:
    return tuple(getattr(task, name) for name in (*DUE_FIELDS, *PLACE_FIELDS))


def bring_back_held(at: datetime, *, limit: int = 200) -> int:
    """Give held tasks a due time again where the reason fell away; returns how many leads were looked at.

    Where more are held than one run looks at, each minute takes the next ones.
    """
    held = FollowUpTask.objects.filter(status=OPEN, due_at=None).order_by("id")
    runs = -(-held.count() // limit)
    start = limit * (int(at.timestamp()) // 60 % runs) if runs > 1 else 0
    # first their ids alone, from the index: the tasks that are passed over are not read
    ids = list(held.values_list("pk", flat=True)[start : start + limit])
    leads = FollowUpTask.objects.filter(pk__in=ids).order_by("pk").values_list("lead_id", flat=True)
    lead_ids = list(dict.fromkeys(leads))
    for first in range(0, len(lead_ids), LEADS_A_BATCH):
        _bring_back(lead_ids[first : first + LEADS_A_BATCH], at)
    return len(lead_ids)


@verb(Execution.OBSERVE_ONLY)
def _bring_back(lead_ids: Sequence[int], at: datetime) -> int:
    return realign_leads(lead_ids, at=at, by=By.system("followups.dispatch_due"))

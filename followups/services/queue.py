"""The next task: the most urgent one that may be contacted now, claimed for the person who asks."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Case, IntegerField, Value, When
from django.db.models.functions import Upper

from followups.models import FollowUpTask
from followups.querysets import CompiledIds
from followups.rules import Urgency
from followups.services.claims import MOST_HANDOVERS, lease
from followups.services.due import VIEW_ALL, due_tasks
from governance.accounts.querysets import active
from governance.core.actors import Actor
from governance.core.compiled import Instant, Param
from governance.core.places import Province
from governance.core.verbs import Execution, verb

OF_EACH_KIND = 15  # candidates of each kind of urgency
OF_EACH_PROVINCE = 6
ROUNDS = 4
WORK_ANY = "followups.work_any_task"


@verb(Execution.PROD_EXEC, right="followups.claim_task")
def next_task(*, by: Actor, at: datetime, filters: Mapping[str, Any] | None = None) -> int | None:
    """Claim the most urgent due task that may be contacted now for 15 minutes and return its id.

    What the person has already claimed comes first, so that a repeat returns the same task. Their work
    profile and `filters` restrict the choice, claimed tasks included. None if no due task may be contacted
    now and is free.
    """
    _one_at_a_time(by)
    for again in range(ROUNDS):
        found = most_urgent(by, at, filters or {})
        held = [row["id"] for row in found if row["claimed_by"]]
        if held:
            return int(held[0])
        ids = [row["id"] for row in found]
        if not ids:
            return None
        # others may be claiming the same ones at this moment: skip those, and finally wait for them
        if taken := _take(ids, by, at, wait=again == ROUNDS - 1):
            return taken
    return None


def _one_at_a_time(by: Actor) -> None:
    """Let two clicks of one person wait for each other. SQLite's one writer needs no lock."""
    if connection.features.has_select_for_update and by.user_id is not None:
        list(active().filter(pk=by.user_id).select_for_update(of=("self",)).values_list("pk"))


def most_urgent(by: Actor, at: datetime, filters: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the candidates for Next: the person's claims, else what may be contacted now, by urgency."""
    asker = _Asker(
        by.role,
        by.may(VIEW_ALL),
        by.may(WORK_ANY),
        tuple(by.provinces),
        tuple(by.channels),
        tuple(by.languages),
    )
    ids = _compiled(asker, tuple(sorted(filters)))(at=at, key=by.key, working_name=by.working_name, **filters)
    rows = due_tasks(
        by=by, at=at, limit=len(ids), filters={"pk__any_of": ids}, contactable=True, order="urgent"
    )
    if ids and not rows:
        # every candidate waits for its window: look through the oldest of all, once
        found = due_tasks(by=by, at=at, filters=dict(filters), contactable=True, order="urgent")
        mine_to_do = FollowUpTask.objects.due(at).free_for(by, at).filter(pk__in=[row["id"] for row in found])
        ids_to_do = set(mine_to_do.values_list("pk", flat=True))
        rows = [row for row in found if row["id"] in ids_to_do]
    mine = by.working_name.lower()
    held = [row for row in rows if (row["claimed_by"] or "").lower() == mine]
    return held or [row for row in rows if not row["claimed_by"]]


@dataclass(frozen=True, slots=True)
class _Asker:
    """The actor as a query knows them: what they may see, and their work profile; the names come later."""

    role: str
    sees_all: bool
    works_any: bool
    provinces: tuple[str, ...]
    channels: tuple[str, ...]
    languages: tuple[str, ...]
    key: Param = Param("key")
    working_name: Param = Param("working_name")

    def may(self, right: str) -> bool:
        return {VIEW_ALL: self.sees_all, WORK_ANY: self.works_any}[right]


@functools.lru_cache(maxsize=200)
def _compiled(asker: _Asker, filters: tuple[str, ...]) -> CompiledIds:
    """Return the query for one kind of actor and some filters: working its SQL out takes long."""
    return CompiledIds(lambda: _candidates(asker, Instant("at"), {name: Param(name) for name in filters}))


def _candidates(by: Any, at: Any, filters: Mapping[str, Any]) -> Iterator[tuple[Any, Sequence[Any]]]:
    """Yield queries for a few tasks of each kind of urgency, with the provinces to run each for.

    The oldest of all may wait for their window while a younger one elsewhere is urgent, so each kind and each
    province has its own query.
    """
    claimed = FollowUpTask.objects.due(at).alias(claimant=Upper("claimed_by"))
    held = claimed.filter(claimant=Upper(by.working_name), claim_until__gt=at, **filters)
    yield held.order_by("claimed_at", "pk")[:OF_EACH_KIND], ()
    free = FollowUpTask.objects.due(at).free_for(by, at).filter(**filters)
    yield free.of_urgency(Urgency.HANDOVER, at)[:MOST_HANDOVERS], ()
    yield free.of_urgency(Urgency.CALLBACK, at)[:OF_EACH_KIND], ()
    yield free.of_urgency(Urgency.INBOUND, at)[:OF_EACH_KIND], ()
    yield free.of_urgency(Urgency.YOUNG, at).order_by("-created_at", "-pk")[:OF_EACH_KIND], ()
    if "province" in filters:
        yield free[:OF_EACH_PROVINCE], ()
    else:
        yield free.filter(province=PLACE)[:OF_EACH_PROVINCE], by.provinces or Province.values
    if by.provinces and "province" not in filters:  # the person's own come from everywhere
        yield free.filter(owner_key=by.key)[:OF_EACH_PROVINCE], ()


PLACE = "??"  # stands for the province in queries that are run for each


def _take(ids: Sequence[int], by: Actor, at: datetime, *, wait: bool) -> int | None:
    """Claim the first of these that nobody has claimed or is claiming; None if others were faster."""
    order = Case(*(When(pk=pk, then=Value(n)) for n, pk in enumerate(ids)), output_field=IntegerField())
    free = FollowUpTask.objects.filter(pk__in=ids, is_current=True).unclaimed(at).order_by(order)
    if connection.features.has_select_for_update_skip_locked:
        free = free.select_for_update(skip_locked=not wait, of=("self",))
    pk: int | None = free.values_list("pk", flat=True).first()
    if pk is not None:
        lease([pk], by, at)
    return pk

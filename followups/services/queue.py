"""The next task: the most urgent one that may be contacted now, claimed for the person who asks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Case, IntegerField, Value, When

from followups.models import FollowUpTask
from followups.querysets import ids_of_all
from followups.rules import Urgency
from followups.services.claims import MOST_HANDOVERS, lease
from followups.services.due import due_tasks
from governance.accounts.querysets import active
from governance.core.actors import Actor
from governance.core.places import Province
from governance.core.verbs import Execution, verb

OF_EACH_KIND = 15  # candidates of each kind of urgency
OF_EACH_PROVINCE = 6
ROUNDS = 4


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
    ids = ids_of_all(list(_candidates(by, at, filters)))
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


def _candidates(by: Actor, at: datetime, filters: Mapping[str, Any]) -> Iterator[tuple[Any, Sequence[Any]]]:
    """Yield queries for a few tasks of each kind of urgency, with the values to run each with.

    The oldest of all may wait for their window while a younger one elsewhere is urgent, so each kind and each
    province has its own query.
    """
    held = FollowUpTask.objects.due(at).filter(
        claimed_by__iexact=by.working_name, claim_until__gt=at, **filters
    )
    yield held.order_by("claimed_at", "pk")[:OF_EACH_KIND], ()
    free = FollowUpTask.objects.due(at).free_for(by, at).filter(**filters)
    yield free.of_urgency(Urgency.HANDOVER, at)[:MOST_HANDOVERS], ()
    yield free.of_urgency(Urgency.CALLBACK, at)[:OF_EACH_KIND], ()
    yield free.of_urgency(Urgency.INBOUND, at)[:OF_EACH_KIND], ()
    yield free.of_urgency(Urgency.YOUNG, at).order_by("-created_at", "-pk")[:OF_EACH_KIND], ()
    places = [filters["province"]] if "province" in filters else list(by.provinces) or Province.values
    yield free.filter(province=PLACE)[:OF_EACH_PROVINCE], places
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

"""Urgency: one ranking, and the list, Next and claims in the same order of random queues."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction

from followups.models import ContactPoint, FollowUpTask, Lead
from followups.points import read_point
from followups.rules import Urgency, urgency
from followups.services import claim_due, due_tasks, next_task
from followups.services.queue import most_urgent
from followups.tests.factories import DAY, HOUR, MINUTE, NOW, at
from governance.core.actors import Actor

pytestmark = pytest.mark.both

People = Callable[..., Actor]
EVENING = at(
    25, "19:20"
)  # half past eight in St. John's, where the day is over; 40 minutes are left in Toronto
PLAIN: dict[str, Any] = {
    "id": 1, "kind": "LADDER", "step": 3, "due_at": NOW - HOUR, "deadline_at": None,
    "closes_at": NOW + 3 * HOUR, "score": None, "lead_since": NOW - DAY, "unanswered_since": None,
}  # fmt: skip


@pytest.mark.once
@pytest.mark.parametrize(
    ("changes", "rank"),
    [
        ({}, Urgency.REST),
        ({"kind": "HANDOVER"}, Urgency.HANDOVER),
        ({"kind": "HANDOVER", "unanswered_since": NOW}, Urgency.HANDOVER),
        ({"kind": "CALLBACK"}, Urgency.CALLBACK),
        ({"kind": "CALLBACK", "due_at": NOW + 10 * MINUTE}, Urgency.CALLBACK),
        ({"kind": "CALLBACK", "due_at": NOW + 11 * MINUTE}, Urgency.REST),
        ({"unanswered_since": NOW - MINUTE, "step": 1, "lead_since": NOW}, Urgency.INBOUND),
        ({"step": 1, "lead_since": NOW - 2 * HOUR + MINUTE}, Urgency.YOUNG),
        ({"step": 2, "lead_since": NOW}, Urgency.YOUNG),
        ({"step": 3, "lead_since": NOW}, Urgency.REST),
        ({"step": None, "lead_since": NOW}, Urgency.REST),
        ({"step": 1, "lead_since": NOW - 2 * HOUR}, Urgency.REST),
        ({"step": 1, "lead_since": NOW, "closes_at": NOW + MINUTE}, Urgency.YOUNG),
        ({"closes_at": NOW + HOUR}, Urgency.CLOSING),
        ({"closes_at": NOW + HOUR + MINUTE}, Urgency.REST),
        ({"closes_at": None}, Urgency.REST),
    ],
)
def test_what_makes_a_task_urgent(changes: dict[str, object], rank: Urgency) -> None:
    assert urgency(NOW, **PLAIN | changes)[0] is rank


@pytest.mark.once
def test_within_a_kind_the_oldest_comes_first_then_the_higher_score_then_the_first_made() -> None:
    older = urgency(NOW, **PLAIN | {"due_at": NOW - 2 * HOUR, "id": 9})
    good = urgency(NOW, **PLAIN | {"score": Decimal("0.9"), "id": 8})
    unknown, zero = urgency(NOW, **PLAIN), urgency(NOW, **PLAIN | {"score": Decimal(0), "id": 2})
    assert sorted([zero, unknown, good, older]) == [older, good, unknown, zero]
    soon = urgency(NOW, **PLAIN | {"kind": "HANDOVER", "due_at": NOW, "deadline_at": NOW + MINUTE, "id": 3})
    late = urgency(NOW, **PLAIN | {"kind": "HANDOVER", "deadline_at": NOW + HOUR, "id": 2})
    assert soon < late < older


# --- random queues ----------------------------------------------------------------------------------------


def random_queues(rnd: random.Random, names: Sequence[str], now: datetime) -> None:
    """Store a queue of up to 8 due tasks under each name, in three statements."""
    leads, points, tasks = [], [], []
    for name in names:
        for number in range(rnd.randint(2, 8)):
            age = rnd.choice([MINUTE, HOUR, 2 * HOUR, DAY])
            lead = Lead(
                external_id=f"{name}-{number}",
                province=rnd.choice(["ON", "ON", "NL"]),
                score=rnd.choice([None, Decimal("0.8"), Decimal("0.9")]),
                created_at=now - age,
                updated_at=now,
                unanswered_since=rnd.choice([None, None, None, now - HOUR]),
            )
            lead.fold_keys()
            value, digest = read_point("PHONE", "+1416555" + f"{rnd.randint(0, 9999):04d}")
            point = ContactPoint(lead=lead, kind="PHONE", value=value, digest=digest)
            kind = rnd.choice(["LADDER", "LADDER", "LADDER", "CALLBACK", "HANDOVER"])
            due = now - rnd.choice([timedelta(), MINUTE, HOUR, HOUR, 5 * HOUR])
            held = rnd.random() < 0.1
            task = FollowUpTask(
                lead=lead, kind=kind, step=rnd.randint(1, 4) if kind == "LADDER" else None, is_current=True,
                channel="CALL" if kind != "LADDER" else rnd.choice(["SMS", "CALL"]), province=lead.province,
                market_key=name, contact_point=point, scheduled_for=due, due_at=due, zone="America/Toronto",
                deadline_at=due + rnd.choice([HOUR, 2 * HOUR]) if kind == "HANDOVER" else None,
                snoozed_until=rnd.choice([None] * 9 + [now + HOUR]), created_at=now - rnd.random() * age,
                claimed_by="otto" if held else "", claim_token="x" if held else "",
                claim_until=now + MINUTE if held else None,
            )  # fmt: skip
            leads.append(lead)
            points.append(point)
            tasks.append(task)
    Lead.objects.bulk_create(leads)
    ContactPoint.objects.bulk_create(points)
    FollowUpTask.objects.bulk_create(rnd.sample(tasks, len(tasks)))


def check_queue(name: str, by: Actor, now: datetime) -> tuple[int, int]:
    """Compare what the list, Next and claims make of one queue; return how many tasks each has."""
    ours = {"market_key": name}
    listed = due_tasks(by=by, at=now, filters=ours, contactable=True, order="urgent")
    free = [row["id"] for row in listed if not row["claimed_by"]]
    assert [row["id"] for row in most_urgent(by, now, ours)] == free
    handovers = [row["id"] for row in listed if row["kind"] == "HANDOVER" and row["id"] in free]
    oldest = [row["id"] for row in due_tasks(by=by, at=now, filters=ours) if not row["claimed_by"]]
    with transaction.atomic():
        _token, claimed, _until = claim_due(by=by, at=now, filters=ours)
        assert list(claimed) == [*handovers, *(pk for pk in oldest if pk not in handovers)]
        transaction.set_rollback(True)
    assert next_task(by=by, at=now, filters=ours) == next(iter(free), None)
    if free:  # held by this person now, and so in front of everything
        assert [row["id"] for row in most_urgent(by, now, ours)] == free[:1]
    return len(free), len(handovers)


def walk(seed: int, by: Actor, count: int) -> None:
    rnd = random.Random(seed)
    seen = most = 0
    for first in range(0, count, 100):
        names = [f"Q{number}" for number in range(first, min(count, first + 100))]
        now = rnd.choice([NOW, EVENING])
        with transaction.atomic():
            random_queues(rnd, names, now)
            for name in names:
                tasks, _handovers = check_queue(name, by, now)
                seen, most = seen + tasks, max(most, tasks)
            transaction.set_rollback(True)
    # they were queues; of few ones all may be short
    assert seen > count // 2
    assert most > (2 if count >= 100 else 1)


@pytest.mark.django_db
@pytest.mark.parametrize("role", ["VA", "CLOSER", "MANAGER"])
def test_list_next_and_claims_order_random_queues_alike(by: People, role: str, seed: int) -> None:
    walk(seed, by(role), 12)


@pytest.mark.long
@pytest.mark.django_db
@pytest.mark.parametrize("role", ["VA", "CLOSER", "MANAGER"])
@pytest.mark.parametrize("part", range(1, 5))
def test_list_next_and_claims_order_many_random_queues_alike(
    by: People, role: str, part: int, seed: int
) -> None:
    walk(seed + part, by(role), 840)  # 10,080 in all

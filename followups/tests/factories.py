"""Leads with their points, and ladders begun through the service."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import factory
from factory.django import DjangoModelFactory

from followups.models import ContactPoint, FollowUpTask, Lead
from followups.points import read_point
from followups.services import Completed, Completion, LeadDetails, NewLadder, complete_task, create_ladder
from governance.core.actors import Actor
from governance.core.places import Place
from governance.market.services import upsert_policy
from governance.models import KpiEvent

TORONTO = ZoneInfo("America/Toronto")
PHONE, EMAIL = "+14165550199", "seller@example.ca"


def at(day: int, clock: str, *, month: int = 11, zone: str = "America/Toronto") -> datetime:
    """Return an instant of 2026 by the wall clock there; 25 November is a Wednesday."""
    hour, minute = map(int, clock.split(":"))
    return datetime(2026, month, day, hour, minute, tzinfo=ZoneInfo(zone)).astimezone(UTC)


NOW = at(25, "14:30")
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


class LeadFactory(DjangoModelFactory[Lead]):
    """A seller in Toronto."""

    external_id = factory.Sequence(lambda n: f"L-{n}")
    name = "Anne Tremblay"
    province = "ON"
    city = "Toronto"
    score = Decimal("0.8")
    created_at = NOW
    updated_at = NOW

    class Meta:
        model = Lead


class PointFactory(DjangoModelFactory[ContactPoint]):
    """The seller's phone."""

    lead = factory.SubFactory(LeadFactory)
    kind = "PHONE"
    value = PHONE
    digest = factory.LazyAttribute(lambda point: read_point(point.kind, point.value)[1])

    class Meta:
        model = ContactPoint


def ladder(by: Actor, lead_id: str = "L-1", start: datetime = NOW, **other: Any) -> NewLadder:
    """Begin the ladder of a lead in Toronto who has a phone; `other` goes to the service or their details."""
    names = set(LeadDetails.__dataclass_fields__)
    details = {
        "name": f"Seller {lead_id}",
        "city": "Toronto",
        "phone": PHONE,
        **{key: other.pop(key) for key in names & set(other)},
    }
    return create_ladder(
        lead_id, by=by, at=start, **{"province": "ON", "details": LeadDetails(**details), **other}
    )


def finish(task: FollowUpTask, by: Actor, when: datetime = NOW, outcome: str = "", **said: Any) -> Completed:
    """Complete a task, with its channel's usual outcome unless another is said."""
    return complete_task(task.pk, Completion(outcome=outcome, **said), by=by, at=when)


def fresh(task: FollowUpTask) -> FollowUpTask:
    """Return the task as the database has it now."""
    found: FollowUpTask = FollowUpTask.objects.select_related("lead", "ladder").get(pk=task.pk)
    return found


def steps_of(made: NewLadder) -> list[FollowUpTask]:
    """Return the ladder's tasks as the database has them now, in order."""
    return list(FollowUpTask.objects.filter(ladder=made.ladder).order_by("step"))


def local_times(tasks: list[FollowUpTask], zone: ZoneInfo = TORONTO) -> list[str]:
    """Return the due times by the wall clock; a held task has none."""
    return [f"{task.due_at.astimezone(zone):%a %d %H:%M}" if task.due_at else "held" for task in tasks]


def kpis(**which: object) -> list[tuple[str, bool | None]]:
    """Return metric and success of the events so far, in order."""
    events = KpiEvent.objects.filter(**which).order_by("id")
    return list(events.values_list("metric", "success"))


def set_policy(by: Actor, when: datetime = NOW, province: str = "ON", **changes: Any) -> None:
    """Change a province's market policy through its service."""
    upsert_policy(Place(province), by=by, at=when, reason="for a test", **changes)

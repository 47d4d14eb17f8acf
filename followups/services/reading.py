"""Data for the pages: the due list with its counts, and one task with all data on its lead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, OuterRef, Subquery
from django.utils.translation import gettext as _

from followups.models import ContactPoint, FollowUpTask, Lead, Property
from followups.rules import Step
from followups.rules.outcomes import is_set_aside, waits
from followups.services.guards import may_work
from followups.services.locked_task import LockedTask
from governance.contact.rules import Verdict
from governance.contact.services import Where
from governance.core.actors import Actor
from governance.core.errors import NotFound

MOST_HISTORY = 200
MOST_HELD = 100


def add_facts(rows: list[dict[str, object]]) -> None:
    """Add to rows of `due_tasks` the ladder's steps, the city, the claim's end, and the start."""
    of_ladder = FollowUpTask.objects.filter(ladder=OuterRef("ladder")).order_by().values("ladder")
    found = FollowUpTask.objects.filter(pk__in=[row["id"] for row in rows]).annotate(
        steps=Subquery(of_ladder.annotate(steps=Count("pk")).values("steps"))
    )
    facts = {
        pk: {"steps": steps, "city": city, "claim_until": until, "started_at": started, "started_by": who}
        for pk, steps, city, until, started, who in found.values_list(
            "pk", "steps", "lead__city", "claim_until", "started_at", "started_by"
        )
    }
    none = {"steps": None, "city": "", "claim_until": None, "started_at": None, "started_by": ""}
    for row in rows:
        row.update(facts.get(row["id"], none))


@dataclass(frozen=True, slots=True)
class TaskView:
    """A task on a page: the gate's answer now, the lead's tasks oldest first, and an earlier open step.

    `may_work` says whether the user may work on the task, `first` is the open step before it.
    """

    desk: LockedTask
    verdict: Verdict
    next_allowed_at: datetime | None
    history: list[FollowUpTask]
    properties: list[Property]
    may_work: bool
    first: FollowUpTask | None

    @property
    def task(self) -> FollowUpTask:
        return self.desk.task

    @property
    def workable(self) -> bool:
        return self.may_work and self.task.status == FollowUpTask.Status.OPEN and not waits(self.task)

    @property
    def zone(self) -> str:
        """Return the lead's time zone."""
        return self.desk.gate(self.task.channel).zone

    @property
    def step(self) -> Step | None:
        number = self.task.step
        steps = self.desk.steps
        return steps[number - 1] if number is not None and 0 < number <= len(steps) else None


def look_at(task_id: int, *, by: Actor, at: datetime) -> TaskView:
    """Return a task for reading, without locks. Raises NotFound `task_not_found` also for another's task."""
    tasks = FollowUpTask.objects.filter(pk=task_id).with_clocks()
    tasks = tasks.select_related("lead", "ladder", "contact_point")
    task = tasks.visible_to(by, at).first()
    if task is None:  # the task may be somebody else's by now, and still theirs to correct
        task = tasks.filter(
            status=FollowUpTask.Status.COMPLETED, completed_by__iexact=by.working_name
        ).first()
    if task is None:
        raise NotFound(_("You have no such task."), code="task_not_found")
    newest = FollowUpTask.objects.filter(lead=task.lead_id).order_by(
        "-created_at", "-ladder_id", "-step", "-pk"
    )
    history = list(newest[:MOST_HISTORY])[::-1]
    points = list(ContactPoint.objects.filter(lead=task.lead_id).order_by("order", "id"))
    where = Where(task.lead.place, task.lead.zone, task.city_zone, task.market_zone)
    desk = LockedTask(task, history, points, by, at, where)
    gate, question = desk.gate(task.channel), desk.question(task.channel)
    verdict = gate.judge(question, at)
    before = (
        other
        for other in history
        if other.ladder_id == task.ladder_id
        and other.step is not None
        and other.step < (task.step or 0)
        and other.status == FollowUpTask.Status.OPEN
        and not is_set_aside(other)
    )
    return TaskView(
        desk=desk,
        verdict=verdict,
        next_allowed_at=gate.next_allowed(question, at, verdict),
        history=history,
        properties=list(Property.objects.filter(lead=task.lead_id).order_by("pk")[:20]),
        may_work=may_work(task, by, at),
        first=next(before, None),
    )


@dataclass(frozen=True, slots=True)
class LeadBackground:
    """A lead for the person who answers a call: houses and latest contacts, newest first."""

    lead: Lead
    properties: list[Property]
    done: list[FollowUpTask]


def told_of(lead_ids: Sequence[int]) -> list[LeadBackground]:
    """Return leads (a few, found by a look-up that was logged) with their houses and last ten contacts."""
    leads = {lead.pk: lead for lead in Lead.objects.filter(pk__in=lead_ids)}
    houses: dict[int, list[Property]] = {}
    for house in Property.objects.filter(lead__in=lead_ids).order_by("pk")[:60]:
        houses.setdefault(house.lead_id, []).append(house)
    return [
        LeadBackground(
            leads[pk],
            houses.get(pk, []),
            list(
                FollowUpTask.objects.filter(lead=pk, status="COMPLETED").order_by("-completed_at", "-pk")[:10]
            ),
        )
        for pk in lead_ids
        if pk in leads
    ]


def held_claims(by: Actor, at: datetime) -> list[tuple[int, str]]:
    """Return the tasks that the person has claimed, each with its claim token."""
    mine = FollowUpTask.objects.filter(claimed_by__iexact=by.working_name, claim_until__gt=at)
    return list(mine.order_by("due_at", "pk").values_list("pk", "claim_token")[:MOST_HELD])

"""A task that is locked with its lead, the ladder's other steps, the lead's points and the gate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import BigIntegerField, F, Model, Q, QuerySet, Subquery
from django.utils.translation import gettext as _

from followups.models import ContactPoint, FollowUpTask, Ladder, Lead
from followups.points import lead_facts
from followups.rules import Step, read_steps
from followups.rules.lead_gate import LeadGate, PointState, due_values, first_usable, question_for
from followups.services.guards import require_object
from governance.contact.rules import Question
from governance.contact.services import Gate, GateContext, Where, open_book, questions_about
from governance.core.actors import Actor, Written
from governance.core.channels import CHANNELS
from governance.core.compiled import CompiledQuery, Param
from governance.core.errors import NotFound
from governance.core.hooks import PointFacts


def facts_of_points(lead: Lead, points: Sequence[ContactPoint]) -> list[PointFacts]:
    """Return the usable points as the gate sees them, including the lead as such."""
    usable = [point.facts for point in points if point.usable]
    return [*usable, lead_facts(lead.external_id)]


@dataclass(slots=True)
class LockedTask:
    """What a service on a task works with; everything was read after the lead was locked."""

    task: FollowUpTask
    siblings: list[FollowUpTask]
    points: list[ContactPoint]
    by: Actor
    at: datetime
    where: Where
    _book: GateContext | None = None
    _lead_gate: LeadGate | None = None
    others: list[FollowUpTask] | None = None  # other open or running tasks; None: not read yet
    newer_ladder: bool = False
    _questions: Mapping[str, Question] | None = None
    lead: Lead = field(init=False)

    def __post_init__(self) -> None:
        self.lead = self.task.lead

    @property
    def steps(self) -> tuple[Step, ...]:
        return read_steps(self.task.ladder.steps) if self.task.ladder else ()

    @property
    def open_beside(self) -> list[FollowUpTask]:
        """Return the lead's open or running tasks outside of the task's own ladder."""
        if self.others is None:
            rows = FollowUpTask.objects.filter(lead=self.lead)
            rows = rows.filter(Q(status="OPEN") | Q(ladder__status="ACTIVE"))
            rows = rows.exclude(pk__in=[task.pk for task in (self.task, *self.siblings) if task.pk])
            rows = rows.select_related("ladder", "contact_point")
            self.others = list(rows.order_by(F("step").asc(nulls_last=True), "id"))
            for row in self.others:
                row.lead = self.lead
        return self.others

    def running(self) -> Ladder | None:
        """Return the lead's active ladder.

        Usually the task's own; a reply to an old ladder's message finds the one that is running now.
        """
        own = self.task.ladder
        if own is not None and own.status == Ladder.Status.ACTIVE:
            return own
        ladders = (task.ladder for task in self.open_beside)
        return next((one for one in ladders if one and one.status == Ladder.Status.ACTIVE), None)

    @property
    def book(self) -> GateContext:
        if self._book is None:
            self._book = GateContext.load([self.where.place], self.at)
        return self._book

    @property
    def lead_gate(self) -> LeadGate:
        """Return the gate for this lead; loaded on first use, in three queries."""
        if self._lead_gate is None:
            points = tuple(point.state for point in self.points)
            self._lead_gate = LeadGate(self.at, self.where, self.book, points, self._read_questions())
        return self._lead_gate

    @lead_gate.setter
    def lead_gate(self, gate: LeadGate | None) -> None:
        self._lead_gate = gate
        self._questions = None

    def by_id(self, task_id: int | None) -> FollowUpTask | None:
        """Return one of the lead's loaded tasks."""
        known = (*self.siblings, *(self.others or ()))
        return next((task for task in known if task.pk == task_id), None)

    def gate_without(self, point_id: int) -> LeadGate:
        """Return the gate once one of the points is retired."""
        points = [point for point in self.points if point.pk != point_id]
        questions = questions_about(CHANNELS, facts_of_points(self.lead, points), self.lead.score, at=self.at)
        return LeadGate(self.at, self.where, self.book, tuple(point.state for point in points), questions)

    def _read_questions(self) -> Mapping[str, Question]:
        if self._questions is None:
            facts = facts_of_points(self.lead, self.points)
            self._questions = questions_about(CHANNELS, facts, self.lead.score, at=self.at)
        return self._questions

    def gate(self, channel: str) -> Gate:
        return self.book.gate(self.where, channel)

    def _used(self, channel: str, point: ContactPoint | None) -> PointState | None:
        """Return the number that a contact would use, if it is not simply the lead's first."""
        used = point or (self.task.contact_point if channel == self.task.channel else None)
        return used.state if used is not None else None

    def question(self, channel: str, kind: str = "", point: ContactPoint | None = None) -> Question:
        """Return the gate's question for a contact of this kind; blank: of the task's.

        `point` is the number that would be called, else the task's own or the lead's first usable one.
        """
        questions = self._lead_gate.questions if self._lead_gate is not None else self._read_questions()
        points = [point.state for point in self.points]
        return question_for(questions, points, channel, kind or self.task.kind, self._used(channel, point))

    def count_contact(self, task: FollowUpTask, at: datetime) -> None:
        """Count a task's contact, made or planned, in the questions that were loaded already."""
        if self._lead_gate is not None:
            point = task.contact_point.state if task.contact_point is not None else None
            self._lead_gate = self._lead_gate.counting(task.channel, point, at)

    def use_again(self) -> None:
        """Count the retired number of the task as usable again from here on; the plan stores it."""
        own = self.task.contact_point
        for point in (own, *self.points):
            if point is not None and own is not None and point.pk == own.pk:
                point.status = ContactPoint.Status.USABLE

    def first_allowed(
        self, channel: str, at: datetime, kind: str = "", point: ContactPoint | None = None
    ) -> datetime | None:
        """Return the first instant at or after `at` that the gate allows for this lead, or None."""
        used = self._used(channel, point)
        return self.lead_gate.first_allowed(channel, at, kind or self.task.kind, used)

    def is_too_soon(self, channel: str, at: datetime) -> bool:
        """Return whether a step at an instant reaches the frequency cap."""
        return self.lead_gate.is_too_soon(channel, at, self._used(channel, None))

    def list_is_stale(self, channel: str, point: ContactPoint | None) -> bool:
        """Return whether the national list of a number is too old for a call now, without an exemption."""
        return self.lead_gate.list_is_stale(channel, self.task.kind, self._used(channel, point))

    def holding_reason(self, channel: str, at: datetime, point: ContactPoint | None = None) -> str:
        """Return why no instant is allowed, for a blocked task."""
        return self.lead_gate.holding_reason(channel, at, self.task.kind, self._used(channel, point))

    def point_for(self, channel: str) -> ContactPoint | None:
        """Return the lead's first usable point for a channel."""
        return first_usable(self.points, channel)


def put_due(task: FollowUpTask, due_at: datetime | None, gate: Gate, held_reason: str) -> None:
    """Set a task's due time and the values derived from it, see `due_values`."""
    for name, value in due_values(task.kind, due_at, gate, held_reason).items():
        setattr(task, name, value)


@CompiledQuery
def _lock_lead_of() -> QuerySet[Model, Model]:
    """Lock the lead of the task `task_id`, in a statement of its own, on PostgreSQL."""
    of_task = FollowUpTask.objects.filter(pk=Param("task_id", BigIntegerField())).values("lead_id")[:1]
    return Lead.objects.select_for_update(of=("self",)).filter(pk=Subquery(of_task)).values_list("pk")


@CompiledQuery
def _lock_tasks_of_lead_of() -> QuerySet[FollowUpTask]:
    tasks = FollowUpTask.objects.of_lead_of(Param("task_id", BigIntegerField())).with_clocks()
    if connection.features.has_select_for_update:
        tasks = tasks.select_for_update(of=("self",))
    return tasks.select_related("lead", "ladder", "contact_point")


@CompiledQuery
def _points_of() -> QuerySet[ContactPoint]:
    return ContactPoint.objects.filter(lead_id=Param("lead_id", BigIntegerField())).order_by("order", "id")


def lock_task(
    task_id: int, *, by: Actor, at: datetime, also_lock: Iterable[int] = (), anybodys: bool = False
) -> LockedTask:
    """Lock the task's lead (and others, in order) and its ladder's tasks, and check that it is the actor's.

    Claims lock only tasks, so the tasks are locked too. `anybodys` skips the check of the owner. Raises
    NotFound `task_not_found`, Forbidden `not_your_task`.
    """
    if connection.features.has_select_for_update:
        if more := sorted(also_lock):
            of_task = Q(pk=Subquery(FollowUpTask.objects.filter(pk=task_id).values("lead_id")[:1]))
            leads = Lead.objects.select_for_update(of=("self",)).filter(of_task | Q(pk__in=more))
            list(leads.order_by("pk").values_list("pk"))
        else:
            _lock_lead_of(task_id=task_id)
    rows = _lock_tasks_of_lead_of(task_id=task_id)
    task = next((row for row in rows if row.pk == task_id), None)
    if task is None:
        raise NotFound(_("You have no such task."), code="task_not_found")
    if not anybodys:
        require_object(task, by, at)
    ladders = {row.ladder_id: row.ladder for row in rows}
    for row in rows:
        row.lead, row.ladder = task.lead, ladders[row.ladder_id]
    own = [row for row in rows if row.pk == task_id or (row.ladder_id and row.ladder_id == task.ladder_id)]
    others = [row for row in rows if row not in own]
    points = _points_of(lead_id=task.lead_id)
    where = Where(task.lead.place, task.lead.zone, task.city_zone, task.market_zone)
    return LockedTask(task, own, points, by, at, where, others=others, newer_ladder=bool(task.newer_ladder))


def task_for_lead(lead: Lead, channel: str, by: Actor, at: datetime) -> LockedTask:
    """Return a LockedTask for a lead without a stored task."""
    book, where = open_book(lead.place, at, city=lead.city, zone=lead.zone)
    points = _points_of(lead_id=lead.pk)
    task = FollowUpTask(lead=lead, channel=channel, kind=FollowUpTask.Kind.CALLBACK)
    return LockedTask(task, [], points, by, at, where, book)


def touched(row: Written, by: Actor) -> None:
    """Record on the row which call wrote it last."""
    for name, value in by.written().items():
        setattr(row, name, value)


WRITTEN_FIELDS = ("actor", "acting_for", "correlation_id")


def as_answer(task: FollowUpTask) -> dict[str, Any]:
    """Return a task as create and complete answer it."""
    return {
        "id": task.pk,
        "due_at": task.due_at,
        "scheduled_for": task.scheduled_for,
        "channel": task.channel,
        "step": task.step,
    }

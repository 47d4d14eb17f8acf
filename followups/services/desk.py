"""A task on the desk: locked with its lead, the ladder's other steps, her points and the gate."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Q, Subquery
from django.utils.translation import gettext as _

from followups.models import ContactPoint, FollowUpTask, Ladder, Lead
from followups.points import lead_digest
from followups.rules import Step, read_steps
from governance.actors import By, Written, owner_key
from governance.contact import digests
from governance.contact.rules import Question
from governance.contact.services import Gate, GateBook, Where, questions_about
from governance.errors import Forbidden, NotFound, Refused
from governance.hooks import PointFacts
from governance.hours import CHANNELS
from governance.people.querysets import at_work

LATE_AFTER = {"sla_5m_at": 5, "sla_30m_at": 30, "sla_2h_at": 120}


def lock_leads(lead_ids: Iterable[int]) -> None:
    """Lock leads in one fixed order. SQLite's one writer needs no lock."""
    ids = sorted(set(lead_ids))
    if ids and connection.features.has_select_for_update:
        list(Lead.objects.select_for_update(of=("self",)).filter(pk__in=ids).order_by("pk").values_list("pk"))


def facts_of_points(lead: Lead, points: Sequence[ContactPoint]) -> list[PointFacts]:
    """Return the usable points as the gate sees them, the lead herself included."""
    usable = [PointFacts(p.kind, p.digest) for p in points if p.status == ContactPoint.Status.USABLE]
    return [*usable, PointFacts(digests.LEAD, lead_digest(lead.external_id))]


@dataclass(slots=True)
class Desk:
    """What a verb on a task works with; everything was read after the lead was locked."""

    task: FollowUpTask
    siblings: list[FollowUpTask]
    points: list[ContactPoint]
    by: By
    at: datetime
    where: Where
    _book: GateBook | None = None
    _questions: dict[str, Question] = field(default_factory=dict)

    @property
    def lead(self) -> Lead:
        return self.task.lead

    @property
    def steps(self) -> tuple[Step, ...]:
        return read_steps(self.task.ladder.steps) if self.task.ladder else ()

    def running(self) -> tuple[Ladder | None, list[FollowUpTask]]:
        """Return the lead's active ladder and its tasks in order.

        Mostly the task's own; a reply to an old ladder's message finds the one that runs now.
        """
        own = self.task.ladder
        if own is not None and own.status == Ladder.Status.ACTIVE:
            return own, self.siblings
        ladder = Ladder.objects.filter(lead=self.lead, status=Ladder.Status.ACTIVE).first()
        if ladder is None:
            return None, []
        tasks = list(ladder.tasks.select_related("contact_point").order_by("step"))
        for task in tasks:
            task.lead, task.ladder = self.lead, ladder
        return ladder, tasks

    def gate(self, channel: str) -> Gate:
        if self._book is None:
            self._book = GateBook.load([self.where.place], self.at)
        return self._book.gate(self.where, channel)

    def question(self, channel: str) -> Question:
        if not self._questions:
            facts = facts_of_points(self.lead, self.points)
            self._questions = questions_about(CHANNELS, facts, self.lead.score)
        return self._questions[channel]

    def forget_questions(self) -> None:
        """Ask the suppressions again: a point was retired or suppressed."""
        self._questions = {}

    def first_allowed(self, channel: str, at: datetime) -> datetime | None:
        """Return the first instant at or after `at` that the gate allows for this lead, or None."""
        return self.gate(channel).next_allowed(self.question(channel), at)

    def holding_reason(self, channel: str, at: datetime) -> str:
        """Return why no instant is allowed, for a task that is held."""
        verdict = self.gate(channel).judge(self.question(channel), at)
        return verdict.refused_before_time() or verdict.reason

    def point_for(self, channel: str) -> ContactPoint | None:
        """Return the lead's first usable point for a channel."""
        kind = digests.KIND_OF_CHANNEL[channel]
        return next(
            (p for p in self.points if p.kind == kind and p.status == ContactPoint.Status.USABLE), None
        )


def put_due(task: FollowUpTask, due_at: datetime | None, gate: Gate, held_reason: str) -> None:
    """Set a task's due time and the instants at which its allowed clock reaches 5, 30 and 120 minutes."""
    task.due_at = due_at
    task.zone = gate.zone
    task.held_reason = "" if due_at is not None else held_reason
    for name, minutes in LATE_AFTER.items():
        setattr(task, name, None if due_at is None else gate.hours.after_open_minutes(due_at, minutes))


DUE_FIELDS = ("due_at", "zone", "held_reason", *LATE_AFTER)


def holds(task: FollowUpTask, by: By, at: datetime) -> bool:
    """Say whether the actor has a live claim on the task."""
    live = task.claim_until is not None and task.claim_until > at
    return live and owner_key(task.claimed_by) == name_key(by)


def may_work(task: FollowUpTask, by: By, at: datetime) -> bool:
    """Say whether the task is the actor's to work on: her own, unowned, held, or anybody's by right."""
    if by.may("followups.work_any_task") or task.owner_key in ("", by.key) or holds(task, by, at):
        return True
    return not at_work(at).filter(key=task.owner_key).exists()


def require_object(task: FollowUpTask, by: By, at: datetime) -> None:
    """Refuse another's task: as if it did not exist to a VA, openly to those who may see it."""
    if may_work(task, by, at):
        return
    if by.may("followups.view_all"):
        raise Forbidden(
            "not_your_task",
            _("This task belongs to %(owner)s; a manager can reassign it.") % {"owner": task.owner},
        )
    raise NotFound(_("There is no such task among yours."), code="task_not_found")


def open_desk(
    task_id: int, *, by: By, at: datetime, also_lock: Iterable[int] = (), anybodys: bool = False
) -> Desk:
    """Lock the task's lead (and others, in order) and its ladder's tasks, and judge that it is the actor's.

    Claims lock tasks alone, so the tasks are locked too. `anybodys` asks for no owner. Raises NotFound
    `task_not_found`, Forbidden `not_your_task`.
    """
    tasks = FollowUpTask.objects.of_ladder_of(task_id).with_clocks()
    if connection.features.has_select_for_update:
        mine = Q(pk=Subquery(FollowUpTask.objects.filter(pk=task_id).values("lead_id")[:1]))
        leads = Lead.objects.select_for_update(of=("self",)).order_by("pk")
        list(leads.filter(mine | Q(pk__in=list(also_lock))).values_list("pk"))
        tasks = tasks.select_for_update(of=("self",))
    rows = list(tasks.select_related("lead", "ladder", "contact_point"))
    task = next((row for row in rows if row.pk == task_id), None)
    if task is None:
        raise NotFound(_("There is no such task among yours."), code="task_not_found")
    if not anybodys:
        require_object(task, by, at)
    for row in rows:
        row.lead, row.ladder = task.lead, task.ladder if row.ladder_id else None
    points = list(ContactPoint.objects.filter(lead_id=task.lead_id).order_by("order", "id"))
    where = Where(task.lead.place, task.lead.zone, task.city_zone, task.market_zone)
    return Desk(task, rows, points, by, at, where)


def require_not_erased(lead: Lead) -> None:
    """Refuse whatever would write about a lead who was erased, or begin with her anew."""
    if lead.erasure_id is not None:
        raise Refused("lead_erased", _("This lead was erased: nothing more is written about her."))


def name_key(by: By) -> str:
    """Return the key of who does the work: for whom a service client acts, else who is signed in."""
    return owner_key(by.working_name)


def touched(row: Written, by: By) -> None:
    """Note on the row which call wrote it last."""
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

"""The consequences of an outcome: decided on loaded data, returned as a plan, written elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from followups.rules import (
    ADVANCING,
    CALLBACK,
    HANDOVER,
    LEAD_STATUS_AFTER,
    NOT_NOW,
    STOPPING,
    Step,
    gap_before,
    wants_to_sell,
)
from followups.rules.lead_gate import LADDER, LeadGate, PointState, due_values, first_usable
from governance.contact.national_list import STALE
from governance.contact.rules import ConsentRow
from governance.core.channels import CALL

if TYPE_CHECKING:
    from followups.rules.new_ladder import NewSteps
    from governance.contact.services import Gate

OPEN, COMPLETED, SKIPPED, CANCELLED = "OPEN", "COMPLETED", "SKIPPED", "CANCELLED"
ACTIVE, STOPPED = "ACTIVE", "STOPPED"
WORKING, DEAD, WON, LEAD_NOT_NOW = "WORKING", "DEAD", "WON", "NOT_NOW"
REPLIED, WRONG_NUMBER, OPTED_OUT = "REPLIED", "WRONG_NUMBER", "OPTED_OUT"
NO_POINT = "no_contact_point"
PERSON_ACTIVE = "person_active"
SET_ASIDE = frozenset({PERSON_ACTIVE, STALE})  # blocked steps that the others of the ladder do not wait for
NO_CLAIM: dict[str, object] = {"claimed_by": "", "claim_token": "", "claimed_at": None, "claim_until": None}
SKIPPED_VALUES: dict[str, object] = {"status": SKIPPED, "is_current": False, "held_reason": "", **NO_CLAIM}


class Held(Protocol):
    """A task, stored or as the rules see it."""

    @property
    def status(self) -> str: ...
    @property
    def held_reason(self) -> str: ...


Task = TypeVar("Task", bound=Held)


def waits(task: Held) -> bool:
    return task.status == OPEN and task.held_reason == PERSON_ACTIVE


def is_set_aside(task: Held) -> bool:
    """Return whether a step is blocked by another lead's ladder or an old list while the ladder continues."""
    return task.status == OPEN and task.held_reason in SET_ASIDE


def current_of(tasks: Iterable[Task]) -> Task | None:
    """Return the current step: the first open one that is not set aside."""
    remaining = [task for task in tasks if task.status == OPEN]
    free = (task for task in remaining if not is_set_aside(task))
    return next(free, remaining[0] if remaining else None)


@dataclass(frozen=True, slots=True)
class TaskState:
    """A task as the rules see it; `point` is its number or address, `outcome` the one that counts.

    `origin_id` is the task in which a callback or handoff was agreed.
    """

    id: int
    kind: str
    channel: str
    status: str
    scheduled_for: datetime
    step: int | None = None
    ladder_id: int | None = None
    is_current: bool = False
    due_at: datetime | None = None
    held_reason: str = ""
    point: PointState | None = None
    outcome: str = ""
    closed_reason: str = ""
    completed_at: datetime | None = None
    origin_id: int | None = None

    def with_values(self, values: Mapping[str, Any], points: Iterable[PointState]) -> TaskState:
        """Return the task with a plan's new values, as far as the rules see them."""
        seen = {name: value for name, value in values.items() if name in self.__slots__}
        if "contact_point_id" in values:
            seen["point"] = next((p for p in points if p.id == values["contact_point_id"]), None)
        return replace(self, **seen)


@dataclass(frozen=True, slots=True)
class LadderState:
    """A ladder with the steps that it started with."""

    id: int
    status: str
    steps: tuple[Step, ...]
    stop_reason: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """A task and its lead as a service has loaded them.

    `tasks` are the task itself, its ladder's, those of the running ladder and everything else that is open,
    in order of their steps; `ladder` is the running one, `own_ladder` the task's. `gate` is None if it will
    not be asked; `gate_without` is the gate once the task's number is retired, `hours` the task's channel by
    itself, for counting allowed minutes. `rest_days` is how long a lead rests who answered none of the
    ladder's steps, None if that cannot happen. `queue_end` is the queue position of a ladder that resumes,
    after all active ones for its numbers; `is_promise_kept` is whether the callback or handoff of the task
    was done.
    """

    at: datetime
    task: TaskState
    tasks: tuple[TaskState, ...]
    lead_status: str
    points: tuple[PointState, ...] = ()
    ladder: LadderState | None = None
    own_ladder: LadderState | None = None
    gate: LeadGate | None = None
    gate_without: LeadGate | None = None
    hours: Gate | None = None
    rest_days: int | None = None
    queue_end: datetime | None = None
    is_promise_kept: bool = False

    @property
    def asked(self) -> LeadGate:
        """Return the gate, if the service has loaded it."""
        assert self.gate is not None
        return self.gate

    @property
    def running(self) -> list[TaskState]:
        """Return the tasks of the running ladder, in order."""
        ladder = self.ladder
        return [] if ladder is None else [task for task in self.tasks if task.ladder_id == ladder.id]

    def having(self, *changed: TaskState) -> Case:
        """Return the case with these tasks replacing their earlier states."""
        new = {task.id: task for task in changed}
        tasks = tuple(new.get(task.id, task) for task in self.tasks)
        return replace(self, task=new.get(self.task.id, self.task), tasks=tasks)

    @property
    def own_steps(self) -> list[TaskState]:
        """Return the tasks of the task's own ladder, in order."""
        own = self.own_ladder
        return [] if own is None else [task for task in self.tasks if task.ladder_id == own.id]

    def after(self, plan: Plan) -> Case:
        """Return the case with a plan's new values of tasks, of the task's own ladder and of the lead."""
        changed = (
            task.with_values(plan.changes[task.id], self.points)
            for task in self.tasks
            if task.id in plan.changes
        )
        own, running = self.own_ladder, self.ladder
        if own is not None and plan.own_ladder:
            status, reason = plan.own_ladder["status"], plan.own_ladder["stop_reason"]
            own = replace(own, status=status, stop_reason=reason)
            running = own if status == ACTIVE else running
        return replace(
            self.having(*changed),
            own_ladder=own,
            ladder=running,
            gate=plan.gate,
            lead_status=plan.lead.get("status", self.lead_status),
        )

    def without(self, point: PointState) -> tuple[PointState, ...]:
        """Return the points once this one is retired."""
        return tuple(replace(p, usable=False) if p.id == point.id else p for p in self.points)


@dataclass(frozen=True, slots=True)
class Wanted:
    """The input with an outcome; `owner` gets the callback, a time counts only with a `next`.

    `inquiry` is the consent implied by the contact, see `is_inquiry`; recorded with the outcome, it counts
    for the planned call.
    """

    outcome: str
    next: str = ""
    next_at: datetime | None = None
    owner: str = ""
    inquiry: ConsentRow | None = None


ADVANCE = Wanted("NO_ANSWER")  # outcomes with no other consequence than the next step


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Open tasks of the lead that are cancelled: those of some kinds, or all."""

    reason: str
    kinds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ended:
    """The running ladder's end; `stopped` if the caller stops everything else."""

    status: str
    reason: str
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """A KPI event; `value` in minutes."""

    metric: str
    success: bool | None
    value: Decimal | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Correction:
    """The replacement of a task's outcome, with the reason."""

    before: str
    after: str
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What a service changes on a lead and its tasks.

    `changes` are new values by task id (moved, made current, skipped), `own_ladder` those of the task's
    ladder if it resumes, `begun` the steps of a new one. `retired` is a number that turned out wrong,
    `restored` one that was right after all; `repointed` are scheduled callbacks and handoffs that get another
    number. `lead` are new values of the lead, `created` those of a callback or handoff. `lifts` is the reason
    why a suppression of the lead ends. `next_id` is the next task, if it exists already. `gate` includes the
    planned contacts.
    """

    changes: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    own_ladder: Mapping[str, Any] = field(default_factory=dict)
    begun: NewSteps | None = None
    correction: Correction | None = None
    events: Sequence[Event] = ()
    restored: int | None = None
    retired: int | None = None
    repointed: tuple[int, ...] = ()
    repointed_to: int | None = None
    cancelled: tuple[Cancelled, ...] = ()
    ended: Ended | None = None
    lead: Mapping[str, Any] = field(default_factory=dict)
    created: Mapping[str, object] | None = None
    next_id: int | None = None
    inquiry: bool = False
    lifts: str | None = None
    suppresses: bool = False
    rejudges: bool = False
    gate: LeadGate | None = None

    def then(self, following: Plan) -> Plan:
        """Return both plans merged; if both change a value, the second one counts."""
        changes = {**self.changes, **following.changes}
        for task_id in self.changes.keys() & following.changes.keys():
            changes[task_id] = {**self.changes[task_id], **following.changes[task_id]}
        return replace(
            following,
            changes=changes,
            own_ladder={**self.own_ladder, **following.own_ladder},
            correction=following.correction or self.correction,
            events=(*self.events, *following.events),
            restored=following.restored or self.restored,
            lifts=following.lifts or self.lifts,
            cancelled=(*self.cancelled, *following.cancelled),
            ended=following.ended or self.ended,
            lead={**self.lead, **following.lead},
            rejudges=self.rejudges or following.rejudges,
        )


def is_inquiry(next: str, note: str) -> bool:
    """Return whether an inbound contact is an inquiry: they ask for a closer's call, or want to sell.

    Asking who we are is not an inquiry. `next` is the chosen next step, blank if none was.
    """
    return next == HANDOVER or wants_to_sell(note)


def needs_gate(case: Case, wanted: Wanted, *, just_done: bool) -> bool:
    """Return whether `decide_outcome` will ask the gate."""
    if wanted.outcome in STOPPING:
        return (wanted.next or HANDOVER) in (CALLBACK, HANDOVER)
    if wanted.outcome == OPTED_OUT:
        return False
    wrong = case.task.point if wanted.outcome == WRONG_NUMBER else None
    points = case.without(wrong) if wrong is not None else ()
    remaining = [
        task
        for task in case.running
        if task.status == OPEN
        and task.id != case.task.id
        and (
            wrong is None
            or task.point is None
            or task.point.id != wrong.id
            or first_usable(points, task.channel) is not None
        )
    ]
    return _is_pushed(remaining, case.task if just_done else None)


def _is_pushed(remaining: Sequence[TaskState], done: TaskState | None) -> bool:
    """Return whether any of these open steps could be too soon after the one before."""
    follows = False
    for task in remaining:
        if done is not None and (task.step or 0) > (done.step or 0):
            follows, done = True, None
        if follows and task.due_at is not None and task.step:
            return True
        follows = follows or task.due_at is not None
    return False


def may_rest(case: Case, wanted: Wanted, *, newer_ladder: bool) -> bool:
    """Return whether `decide_outcome` could let the lead rest: this was the last step and nothing is open."""
    left = any(task.status == OPEN and task.id != case.task.id for task in case.tasks)
    if wanted.outcome not in ADVANCING or case.lead_status != WORKING or left or newer_ladder:
        return False
    ladder = case.own_ladder
    return ladder is not None and (ladder.status == ACTIVE or _ended_by_itself(ladder))


def decide_outcome(case: Case, wanted: Wanted, *, just_done: bool) -> Plan:
    """Decide the consequences of the outcome of the case's task.

    `just_done` is whether this very call closed the task: a step too soon after it is moved later.
    """
    done = case.task if just_done else None
    if wanted.outcome in ADVANCING:
        return decide_advance(case, done) if case.task.ladder_id is not None else Plan(gate=case.gate)
    if wanted.outcome in STOPPING:
        return _decide_stop(case, wanted)
    if wanted.outcome == WRONG_NUMBER:
        return _decide_wrong_number(case, done)
    if wanted.outcome != OPTED_OUT:
        raise ValueError(f"no rule names the outcome {wanted.outcome}")
    everything = Cancelled(OPTED_OUT)
    lead = lead_values(DEAD, case.at)
    ended = _ended(case, OPTED_OUT, stopped=True)
    return Plan(cancelled=(everything,), ended=ended, lead=lead, suppresses=True, gate=case.gate)


def decide_advance(case: Case, done: TaskState | None, *, reason: str = "") -> Plan:
    """Make the running ladder's next open step current, or end (with `reason`) a ladder that has none.

    A step too soon after `done`, which was completed or skipped just now, is moved later.
    """
    if case.ladder is None:  # the last step of the task's own ladder was corrected to unanswered
        return Plan(lead=rest_values(case, case.own_ladder), gate=case.gate)
    remaining = [task for task in case.running if task.status == OPEN]
    if not remaining:
        ended = _ended(case, reason)
        assert ended is not None
        over = replace(case.ladder, status=ended.status, stop_reason=reason)
        return Plan(ended=ended, lead=rest_values(case, over), gate=case.gate)
    gate, steps = case.gate, case.ladder.steps
    current = current_of(remaining)
    changes: dict[int, Mapping[str, Any]] = {}
    earlier: datetime | None = None
    for task in remaining:
        values: dict[str, Any] = {}
        if done is not None and (task.step or 0) > (done.step or 0):
            earlier = max(earlier or case.at, case.at)
            done = None
        due_at = task.due_at
        if earlier is not None and due_at is not None and task.step:
            assert gate is not None  # see `needs_gate`
            not_before = max(due_at, earlier + gap_before(steps, task.step))
            if not_before > due_at or gate.is_too_soon(task.channel, not_before):
                values = _first_allowed(case, gate, task, not_before)
                due_at = values["due_at"]
        if due_at is not None and gate is not None:
            gate = gate.counting(task.channel, task.point, max(due_at, case.at))
        earlier = due_at or earlier
        if due_at != task.due_at or (task is current) != task.is_current:
            changes[task.id] = {**values, "is_current": task is current}
    return Plan(changes=changes, next_id=current.id if current else None, gate=gate)


def decide_skip(case: Case, reason: str) -> Plan:
    """Skip the case's task and make the next step current."""
    own = case.task
    values = {"closed_reason": reason[:200], **SKIPPED_VALUES}
    skipped = replace(own, status=SKIPPED, is_current=False, held_reason="")
    plan = Plan(gate=case.gate)
    if own.ladder_id is not None:
        plan = decide_advance(case.having(skipped), skipped)
    return replace(plan, changes={own.id: values, **plan.changes})


@dataclass(frozen=True, slots=True)
class Snooze:
    """Until when a task is snoozed, or why it cannot be: no instant in the days ahead is allowed."""

    until: datetime | None
    reason: str = ""
    zones: tuple[str, ...] = ()


def decide_snooze(case: Case, until: datetime, latest: datetime) -> Snooze:
    """Return the first allowed instant at or after `until`, refused if it is after `latest`."""
    task, gate = case.task, case.asked
    lawful = gate.first_allowed(task.channel, until, task.kind, task.point)
    if lawful is not None and lawful <= latest:
        return Snooze(lawful)
    reason = gate.holding_reason(task.channel, until, task.kind, task.point)
    return Snooze(lawful, reason, gate.of(task.channel).zones)


def _first_allowed(case: Case, gate: LeadGate, task: TaskState, not_before: datetime) -> dict[str, Any]:
    own = case.task
    point = task.point or (own.point if task.channel == own.channel else None)
    due = gate.first_allowed(task.channel, not_before, task.kind, point)
    held = "" if due else gate.holding_reason(task.channel, not_before, own.kind, point)
    return due_values(task.kind, due, gate.of(task.channel), held)


def _ended(case: Case, reason: str, *, stopped: bool = False) -> Ended | None:
    """Return the running ladder's end: COMPLETED if any step was completed and nobody stopped it."""
    if case.ladder is None:
        return None
    any_done = any(task.status == COMPLETED for task in case.running)
    return Ended(COMPLETED if any_done and not stopped else STOPPED, reason, stopped)


def lead_values(
    status: str, at: datetime, *, follow_up_at: datetime | None = None, nurture: bool = False
) -> dict[str, object]:
    """Return the lead's new values; with `nurture` a nurture ladder starts at `follow_up_at`."""
    return {
        "status": status,
        "follow_up_at": follow_up_at,
        "nurture_at": follow_up_at if nurture else None,
        "updated_at": at,
    }


def _ended_by_itself(ladder: LadderState) -> bool:
    return ladder.status == COMPLETED and not ladder.stop_reason


def rest_values(case: Case, ladder: LadderState | None) -> Mapping[str, object]:
    """Let a lead who answered none of the steps of their last ladder rest, until a nurture ladder starts."""
    if ladder is None or not _ended_by_itself(ladder) or not case.rest_days or case.lead_status != WORKING:
        return {}
    if any(task.status == OPEN for task in case.tasks):
        return {}
    until = case.at + timedelta(days=case.rest_days)
    return lead_values(LEAD_NOT_NOW, case.at, follow_up_at=until, nurture=True)


def _decide_stop(case: Case, wanted: Wanted) -> Plan:
    """End the ladder of a lead who was reached, and create the callback or handoff that they asked for.

    A handoff is due at once, or at `next_at` if a time was agreed. A repeated request creates no second one:
    one waiting for that time stays, else it is moved to the new one.
    """
    kind = wanted.next or HANDOVER
    next_at = wanted.next_at if wanted.next else None  # a time belongs to the chosen next step
    ended = _ended(case, wanted.outcome)
    lead = lead_values(LEAD_STATUS_AFTER[kind], case.at, follow_up_at=next_at if kind == NOT_NOW else None)
    inquiry = wanted.inquiry is not None
    cancelled = (Cancelled(wanted.outcome, (LADDER,)),) if ended else ()
    plan = Plan(cancelled=cancelled, ended=ended, lead=lead, inquiry=inquiry, gate=case.gate)
    if kind not in (CALLBACK, HANDOVER):
        return plan
    return with_promise(plan, case, kind, next_at, wanted)


def with_promise(plan: Plan, case: Case, kind: str, next_at: datetime | None, asked_for: Wanted) -> Plan:
    """Add a callback or handoff to a plan, or refer to the one that waits for the same time already."""
    wanted = max(next_at or case.at, case.at) if kind == HANDOVER else next_at or case.at
    at_once = kind == HANDOVER and wanted == case.at
    same = [task for task in case.tasks if task.kind == kind and task.status == OPEN]
    waiting = next((task for task in same if at_once or task.scheduled_for == wanted), None)
    if waiting is not None:
        return replace(plan, next_id=waiting.id)
    gate = case.asked if asked_for.inquiry is None else case.asked.with_consent(asked_for.inquiry)
    point = case.task.point if case.task.channel == CALL else None
    start = gate.first_allowed(CALL, wanted, kind, point)
    due = wanted if kind == HANDOVER and wanted <= case.at and start is not None else start
    held = "" if due else gate.holding_reason(CALL, wanted, case.task.kind, point)
    first = first_usable(case.points, CALL)
    created = {
        "kind": kind,
        "scheduled_for": wanted,
        "contact_point_id": first.id if first else None,
        "owner": "" if kind == HANDOVER else asked_for.owner,
        **due_values(kind, due, gate.of(CALL), held),
    }
    replaced = (Cancelled("replaced", (kind,)),) if same else ()
    return replace(plan, cancelled=(*plan.cancelled, *replaced), created=created)


def _decide_wrong_number(case: Case, done: TaskState | None) -> Plan:
    """Retire the number and continue with the next one; skip steps whose channel has none left."""
    wrong = case.task.point
    if wrong is None:
        return decide_advance(case, done, reason=NO_POINT)
    points = case.without(wrong)
    on_it = [t for t in case.tasks if t.status == OPEN and t.point is not None and t.point.id == wrong.id]
    promised = tuple(task.id for task in on_it if task.ladder_id is None)
    steps = [task for task in on_it if case.ladder is not None and task.ladder_id == case.ladder.id]
    changes: dict[int, Mapping[str, object]] = {}
    moved = [replace(case.task, point=replace(wrong, usable=False))]
    for task in steps:
        point = first_usable(points, task.channel)
        if point is not None:
            changes[task.id] = {"contact_point_id": point.id}
            moved.append(replace(task, point=point))
            continue
        changes[task.id] = {"contact_point_id": None, "closed_reason": NO_POINT, **SKIPPED_VALUES}
        moved.append(replace(task, point=None, status=SKIPPED, is_current=False, held_reason=""))
    after = replace(case.having(*moved), points=points, gate=case.gate_without)
    plan = decide_advance(after, after.task if done is not None else None, reason=NO_POINT)
    for task_id, values in plan.changes.items():
        changes[task_id] = {**changes.get(task_id, {}), **values}
    other = first_usable(points, CALL)
    return replace(
        plan,
        changes=changes,
        retired=wrong.id,
        repointed=promised,
        rejudges=True,
        repointed_to=other.id if other is not None else None,
    )


def decide_date_only(case: Case, wanted: Wanted) -> Plan:
    """End the ladder of a lead whose callback or handoff was scheduled under another lead of theirs."""
    kind = wanted.next or HANDOVER
    ended = _ended(case, wanted.outcome)
    lead = lead_values(LEAD_STATUS_AFTER[kind], case.at, follow_up_at=wanted.next_at)
    return Plan(cancelled=(Cancelled(wanted.outcome, (LADDER,)),) if ended else (), ended=ended, lead=lead)


def decide_waiting(case: Case, wanted: Wanted) -> Plan:
    """Plan the callback of a lead who called or wrote and waits for an answer."""
    inquiry = wanted.inquiry is not None
    plan = Plan(lead=lead_values(WORKING, case.at), inquiry=inquiry, gate=case.gate)
    return with_promise(plan, case, CALLBACK, case.at, wanted)


def next_open(case: Case, plan: Plan) -> int | None:
    """Return the lead's next task once the plan is written: the current one due first."""
    if plan.next_id is not None:
        return plan.next_id
    left = [
        task
        for task in case.tasks
        if task.status == OPEN
        and task.is_current
        and task.id not in plan.changes
        and not any(task.kind in gone.kinds or not gone.kinds for gone in plan.cancelled)
    ]
    first = min(left, key=lambda task: (task.due_at is None, task.due_at or case.at, task.id), default=None)
    return first.id if first is not None else None

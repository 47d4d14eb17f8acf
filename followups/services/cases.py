"""The case that a service decides on: what was read under the lock, as plain values for the rules."""

from __future__ import annotations

from dataclasses import replace

from followups.models import FollowUpTask, Ladder, LadderTemplate
from followups.rules import read_steps
from followups.rules.completion import Asked, Completion, Record, Recorder, check_completion, is_overdue
from followups.rules.outcomes import (
    REPLIED,
    WRONG_NUMBER,
    Case,
    LadderState,
    TaskState,
    Wanted,
    is_inquiry,
    may_rest,
    needs_gate,
)
from followups.services.consents import inquiry_of
from followups.services.locked_task import LockedTask
from governance.core.actors import Actor, Role, owner_key


def task_state(task: FollowUpTask) -> TaskState:
    """Return a task as the rules see it."""
    return TaskState(
        id=task.pk,
        kind=task.kind,
        channel=task.channel,
        status=task.status,
        scheduled_for=task.scheduled_for,
        step=task.step,
        ladder_id=task.ladder_id,
        is_current=task.is_current,
        due_at=task.due_at,
        held_reason=task.held_reason,
        point=task.contact_point.state if task.contact_point is not None else None,
        outcome=task.standing_outcome,
        closed_reason=task.closed_reason,
        completed_at=task.completed_at,
        origin_id=task.origin_id,
    )


def _ladder_state(ladder: Ladder | None) -> LadderState | None:
    if ladder is None:
        return None
    return LadderState(ladder.pk, ladder.status, read_steps(ladder.steps), ladder.stop_reason)


def wanted_of(locked: LockedTask, completion: Completion) -> Wanted:
    """Return the input with an outcome; the task's owner calls back, else whoever reached the lead."""
    by = locked.by
    is_program = by.role == Role.SERVICE and not by.acting_for  # it cannot call
    owner = locked.task.owner or ("" if is_program else by.working_name)
    inquires = (
        completion.outcome == REPLIED and locked.task.pk and is_inquiry(completion.next, completion.note)
    )
    inquiry = inquiry_of(locked) if inquires else None
    return Wanted(completion.outcome, completion.next, completion.next_at, owner, inquiry)


def load_case(locked: LockedTask) -> Case:
    """Return what was read under the lock, as the rules see it; `with_gate` adds the rest."""
    own = task_state(locked.task)
    active = locked.running()
    rows = {task.pk: task for task in (*locked.siblings, *locked.open_beside)}
    tasks = [task_state(task) for task in rows.values() if task.pk != own.id]
    tasks = sorted([*tasks, *([own] if own.id else [])], key=lambda task: (task.step is None, task.step or 0))
    ladder = _ladder_state(active)
    return Case(
        at=locked.at,
        task=own,
        tasks=tuple(tasks),
        lead_status=locked.lead.status,
        points=tuple(point.state for point in locked.points),
        ladder=ladder,
        own_ladder=ladder if active == locked.task.ladder else _ladder_state(locked.task.ladder),
    )


def with_gate(
    locked: LockedTask, case: Case, wanted: Wanted, *, just_done: bool, asked: bool = False
) -> Case:
    """Load what else deciding needs: the gate (also if it is `asked` about the contact), the days of rest."""
    needed = needs_gate(case, wanted, just_done=just_done)
    point = case.task.point if wanted.outcome == WRONG_NUMBER else None
    if needed and point is not None:
        case = replace(case, gate_without=locked.gate_without(point.id))
    if case.gate is None and (asked or (needed and point is None)):
        case = replace(case, gate=locked.lead_gate)
    if may_rest(case, wanted, newer_ladder=locked.newer_ladder):
        template = LadderTemplate.objects.effective(locked.lead.place)
        case = replace(case, rest_days=template.rests if template is not None else None)
    return case


def with_hours(locked: LockedTask, case: Case) -> Case:
    """Load the hours by which an overdue task's allowed minutes are counted."""
    return replace(case, hours=locked.gate(locked.task.channel)) if is_overdue(case) else case


def record_of(locked: LockedTask) -> Record:
    """Return the task's stored start and deadlines."""
    task = locked.task
    earlier = (
        other.contacted_at
        for other in locked.siblings
        if other.pk != task.pk and other.contacted_at and other.step and task.step and other.step < task.step
    )
    return Record(
        province=task.province,
        started_at=task.started_at,
        started_by=owner_key(task.started_by),
        is_decided=bool(task.start_decision_id),
        source=task.contact_source,
        late_from=task.sla_2h_at,
        is_counted=task.sla_counted,
        earlier=tuple(earlier),
    )


def actor_of(by: Actor) -> Recorder:
    """Return the actor who completes, as the rules see them."""
    is_program, may_override = by.role == Role.SERVICE, by.may("governance.override_gate")
    name = by.working_name
    return Recorder(name, owner_key(name), is_program=is_program, may_override=may_override)


def load_completion(locked: LockedTask, completion: Completion) -> tuple[Case, Asked]:
    """Load all that deciding a completion needs. Raises Invalid for an impossible next step or time."""
    wanted = wanted_of(locked, completion)
    case, asked = check_completion(
        load_case(locked), record_of(locked), completion, actor_of(locked.by), wanted
    )
    case = with_gate(locked, case, wanted, just_done=True, asked=asked.needs_gate)
    return with_hours(locked, case), asked

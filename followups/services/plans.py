"""Writing the rules' plans: one statement per table where the constraints allow it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from followups.models import ContactPoint, FollowUpTask, Ladder, TaskCorrection
from followups.points import lead_facts
from followups.rules.completion import Completion
from followups.rules.outcomes import Event, Plan, decide_outcome
from followups.services.cases import load_case, wanted_of, with_gate
from followups.services.closing import cancel_open
from followups.services.consents import record_inquiry
from followups.services.locked_task import WRITTEN_FIELDS, LockedTask, touched
from followups.services.presses import Before, note_press, points_of_person
from followups.services.waiting import rejudge, release_after
from governance.contact.services import lift_suppression, suppress
from governance.core.actors import Actor
from governance.core.channels import CALL
from governance.core.compiled import update_rows
from governance.kpi.services import Kpi, emit_kpis


def write_plan(
    locked: LockedTask,
    plan: Plan,
    *,
    before: Before | None = None,
    lead: Mapping[str, object] | None = None,
    evidence: str = "",
) -> FollowUpTask | None:
    """Write a plan, one statement per table where the constraints allow it; return the next task.

    `before` is the task's state before an opt-out that can be undone; `lead` are values of the lead in
    addition to the plan's, `evidence` names the source of an inquiry, if not the task.
    """
    by, at = locked.by, locked.at
    persons_points = points_of_person(locked) if plan.suppresses else []
    press = note_press(locked, persons_points, before) if plan.suppresses and before else ""
    known = {task.pk: task for task in (*locked.siblings, *(locked.others or ()))}
    if plan.lifts is not None:
        _end_stop(locked, plan.lifts)
    if plan.restored is not None:
        ContactPoint.objects.filter(pk=plan.restored).update(status=ContactPoint.Status.USABLE)
    if plan.retired is not None:
        _retire(locked, plan, known.values())
    _write_tasks(locked, plan, known)
    for gone in plan.cancelled:
        cancel_open([locked.lead.pk], by=by, reason=gone.reason, keep=locked.task.pk, kinds=gone.kinds)
    _write_ladder(locked, plan)
    if plan.inquiry:
        record_inquiry(locked, evidence=evidence or f"task {locked.task.pk}")
    values = {**(lead or {}), **plan.lead}
    if plan.retired is not None or plan.restored is not None:
        values.setdefault("updated_at", at)  # a lead's answer shows its numbers
    _write_lead(locked, values, settled=bool(plan.lead))
    created = _create(locked, plan.created) if plan.created is not None else None
    if plan.correction is not None:
        was, now = plan.correction.before, plan.correction.after
        TaskCorrection.objects.create(
            task=locked.task,
            from_outcome=was,
            to_outcome=now,
            reason=plan.correction.reason,
            at=at,
            **by.written(),
        )
    if plan.events:
        emit_events(plan.events, by=by, at=at)
    if plan.suppresses:
        suppress(persons_points, by=by, at=at, press=press)
    if plan.retired is not None or plan.gate is not None:
        locked.lead_gate = plan.gate
    if plan.ended is not None and not plan.ended.stopped:
        release_after([locked.lead.pk], by=by, at=at, numbers=[point.digest for point in locked.points])
    if plan.rejudges:
        rejudge([locked.lead.pk], by=by, at=at)
    return created or (known.get(plan.next_id) if plan.next_id is not None else None)


def _end_stop(locked: LockedTask, reason: str) -> None:
    """End all suppressions of the lead and of their numbers, including those under other keys."""
    own = lead_facts(locked.lead.external_id)
    others = [*own.others, *(other for point in locked.points for other in point.other_digests)]
    numbers = [*(point.digest for point in locked.points), own.digest]
    lift_suppression(numbers, by=locked.by, at=locked.at, reason=reason, others=others)


def _retire(locked: LockedTask, plan: Plan, tasks: Iterable[FollowUpTask]) -> None:
    """Mark the task's number as wrong; the lead's scheduled callbacks and handoffs get another one."""
    ContactPoint.objects.filter(pk=plan.retired or 0).update(status=ContactPoint.Status.WRONG)
    held = [task.contact_point for task in tasks]
    for point in (*locked.points, locked.task.contact_point, *held):
        if point is not None and point.pk == plan.retired:
            point.status = ContactPoint.Status.WRONG
    if plan.repointed:
        rows = FollowUpTask.objects.filter(pk__in=plan.repointed)
        rows.update(contact_point=plan.repointed_to, **locked.by.written())


def _write_tasks(locked: LockedTask, plan: Plan, known: Mapping[int, FollowUpTask]) -> None:
    points = {point.pk: point for point in locked.points}
    gains: list[FollowUpTask] = []
    others: list[FollowUpTask] = []
    loses = False
    for pk, values in plan.changes.items():
        task = known[pk]
        was_current = task.is_current
        for name, value in values.items():
            setattr(task, name, value)
        if "contact_point_id" in values:
            task.contact_point = points.get(values["contact_point_id"])
        touched(task, locked.by)
        task.updated_at = locked.at
        loses = loses or (was_current and not task.is_current)
        (gains if task.is_current and not was_current else others).append(task)
    fields = {name.removesuffix("_id") for values in plan.changes.values() for name in values}
    columns = [*sorted(fields), "updated_at", *WRITTEN_FIELDS]
    # two rows of one ladder are never current, not even between two rows of one statement
    for rows in [others, gains] if loses else [[*others, *gains]]:
        update_rows(rows, columns)


def _write_ladder(locked: LockedTask, plan: Plan) -> None:
    """Write the task's ladder if it resumes, and the end of the one that is running then."""
    own, values = locked.task.ladder, dict(plan.own_ladder)
    ladder = own if values else None
    if plan.ended is not None:
        ladder = own if values.get("status") == Ladder.Status.ACTIVE else locked.running()
        values |= {"status": plan.ended.status, "stop_reason": plan.ended.reason, "ended_at": locked.at}
    if ladder is None:
        return
    for name, value in values.items():
        setattr(ladder, name, value)
    touched(ladder, locked.by)
    update_rows([ladder], [*values, *WRITTEN_FIELDS])


def _write_lead(locked: LockedTask, values: Mapping[str, object], *, settled: bool) -> None:
    lead = locked.lead
    for name, value in values.items():
        setattr(lead, name, value)
    if settled:
        touched(lead, locked.by)
    if values:
        update_rows([lead], [*values, *(WRITTEN_FIELDS if settled else ())])


def _create(locked: LockedTask, values: Mapping[str, Any]) -> FollowUpTask:
    """Store a callback or handoff that was agreed in the task."""
    lead, owner = locked.lead, values["owner"]
    task = FollowUpTask(
        lead=lead,
        channel=CALL,
        province=lead.province,
        market_key=lead.market_key,
        is_current=True,
        created_at=locked.at,
        origin=locked.task if locked.task.pk else None,
        **{name: value for name, value in values.items() if name != "owner"},
    )
    task.set_owner(owner)
    touched(task, locked.by)
    task.save()
    return task


def emit_events(events: Iterable[Event], *, by: Actor, at: datetime) -> None:
    """Write the KPI events of a plan in one statement."""
    emit_kpis([Kpi("WHOLESALE", e.metric, e.success, e.value, dict(e.detail)) for e in events], by=by, at=at)


def effects(
    locked: LockedTask, completion: Completion, *, just_done: bool = False, before: Before | None = None
) -> FollowUpTask | None:
    """Apply the consequences of the outcome and return the lead's next task, if it created one.

    `just_done` if the task was completed by this very call, `before` is its previous state.
    """
    wanted = wanted_of(locked, completion)
    case = with_gate(locked, load_case(locked), wanted, just_done=just_done)
    plan = decide_outcome(case, wanted, just_done=just_done)
    return write_plan(locked, plan, before=before if completion.by_key else None)

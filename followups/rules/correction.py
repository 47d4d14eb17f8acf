"""Replacing an outcome by another: undo the first one's consequences, then apply the new ones."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from followups.rules import ADVANCING, HANDOVER, STOPPING, gap_before
from followups.rules.completion import Completion
from followups.rules.lead_gate import due_values, first_usable
from followups.rules.outcomes import (
    ACTIVE,
    CANCELLED,
    COMPLETED,
    NO_POINT,
    OPEN,
    OPTED_OUT,
    SKIPPED,
    STOPPED,
    WON,
    WORKING,
    WRONG_NUMBER,
    Case,
    Correction,
    Event,
    Plan,
    TaskState,
    Wanted,
    decide_advance,
    decide_outcome,
    lead_values,
    rest_values,
)

# The reasons for which each outcome closes a ladder and its steps.
CLOSED_BY: Mapping[str, frozenset[str]] = {
    "REACHED": frozenset({"REACHED"}),
    "REPLIED": frozenset({"REPLIED"}),
    WRONG_NUMBER: frozenset({NO_POINT}),
    OPTED_OUT: frozenset({OPTED_OUT, "suppressed"}),
}
TAKEN_BACK: Mapping[str, object] = {"status": CANCELLED, "is_current": False, "closed_reason": "corrected"}


def has_ended(case: Case) -> bool:
    """Return whether the task's ladder has ended."""
    return case.own_ladder is not None and case.own_ladder.status != ACTIVE


def to_reopen(case: Case, reasons: Collection[str]) -> list[TaskState]:
    """Return the steps of the task's ladder that were closed for one of these reasons, in order.

    A step on which an outcome was recorded after it was closed stays closed: that contact took place. None if
    the ladder has ended for another reason since.
    """
    own = case.own_ladder
    if own is None or (has_ended(case) and own.stop_reason not in reasons):
        return []
    return [
        step
        for step in case.own_steps
        if step.status in (CANCELLED, SKIPPED) and step.closed_reason in reasons and not step.outcome
    ]


def ladder_in_the_way(case: Case, outcome: str) -> int | None:
    """Return the lead's other active ladder if undoing an outcome would reopen the task's own ladder."""
    again = to_reopen(case, CLOSED_BY.get(outcome, frozenset()))
    return case.ladder.id if again and has_ended(case) and case.ladder is not None else None


def decide_resume(case: Case, reasons: Collection[str], *, keep_place: bool = False) -> Plan:
    """Reopen the task's ladder, with its steps that were closed for one of these reasons.

    Among the ladders of its numbers it comes last, or with `keep_place` at its earlier place. If another
    ladder of the lead is running by now, that one continues and nothing is reopened. A ladder without any
    step left counts as ended by itself.
    """
    again = to_reopen(case, reasons)
    if not again:
        return _left_unanswered(case, reasons)
    ended = has_ended(case)
    if ended and case.ladder is not None:
        return Plan(gate=case.gate)
    plan = Plan(changes=_reopened(case, again), gate=case.gate)
    if ended:
        place = {} if keep_place else {"queued_at": case.queue_end}  # ladders started since come first
        values = {"status": ACTIVE, "stop_reason": "", "ended_at": None, **place}
        plan = replace(plan, own_ladder=values, lead=lead_values(WORKING, case.at))
    return plan.then(decide_advance(case.after(plan), None))


def _reopened(case: Case, again: list[TaskState]) -> dict[int, Mapping[str, object]]:
    """Return the new values of reopened steps: due now at the earliest, with their gaps."""
    assert case.own_ladder is not None
    gate, own, steps = case.asked, case.task, case.own_ladder.steps
    first = again[0].step or 0
    done = [t.completed_at for t in case.own_steps if t.completed_at is not None and (t.step or 0) < first]
    earlier = max(done, default=None)
    changes: dict[int, Mapping[str, object]] = {}
    for step in again:
        point = first_usable(case.points, step.channel)
        used = point or (own.point if step.channel == own.channel else None)
        wanted = max(step.due_at or step.scheduled_for, case.at)
        if earlier is not None and step.step:
            wanted = max(wanted, earlier + gap_before(steps, step.step))
        due = gate.first_allowed(step.channel, wanted, own.kind, used)
        held = "" if due else gate.holding_reason(step.channel, wanted, own.kind, used)
        changes[step.id] = {
            "status": OPEN,
            "closed_reason": "",
            "contact_point_id": point.id if point is not None else None,
            **due_values(step.kind, due, gate.of(step.channel), held),
        }
        earlier = due or earlier
    return changes


def may_be_left_unanswered(case: Case, reasons: Collection[str]) -> bool:
    """Return whether the task's ladder, ended for one of these reasons, has no step left to reopen."""
    own = case.own_ladder
    ended = own is not None and has_ended(case) and own.stop_reason in reasons
    return ended and not to_reopen(case, reasons)


def _left_unanswered(case: Case, reasons: Collection[str]) -> Plan:
    """Set the end of a ladder that ended with the task's outcome to unanswered, as no step of it is left."""
    is_busy = case.is_promise_kept or case.lead_status == WON or case.ladder is not None
    if not may_be_left_unanswered(case, reasons) or is_busy:
        return Plan(gate=case.gate)
    any_done = any(step.status == COMPLETED for step in case.own_steps)
    values = {"status": COMPLETED if any_done else STOPPED, "stop_reason": ""}
    return Plan(own_ladder=values, lead=lead_values(WORKING, case.at), gate=case.gate)


def decide_reversal(case: Case, outcome: str, reason: str = "") -> Plan:
    """Undo the consequences of a task's outcome; a suppression that it recorded ends with the reason."""
    plan = Plan(gate=case.gate)
    if outcome in ADVANCING:
        return plan  # the ladder continued
    if outcome not in CLOSED_BY:
        raise ValueError(f"no rule names the outcome {outcome}")
    if outcome in STOPPING:
        promised = [task.id for task in case.tasks if task.origin_id == case.task.id and task.status == OPEN]
        plan = replace(plan, changes=dict.fromkeys(promised, TAKEN_BACK))
    elif outcome == WRONG_NUMBER and case.task.point is not None:
        plan = replace(plan, restored=case.task.point.id)
    elif outcome == OPTED_OUT:
        plan = replace(plan, lifts=reason)
    return plan.then(decide_resume(case.after(plan), CLOSED_BY[outcome]))


def decide_resumption(case: Case) -> Plan:
    """Resume a ladder that an opt-out stopped, at its place; if no step is left, the lead may rest."""
    plan = decide_resume(case, CLOSED_BY[OPTED_OUT], keep_place=True)
    after = case.after(plan)
    return replace(plan, lead={**plan.lead, **rest_values(after, after.own_ladder)})


def decide_wording(case: Case, completion: Completion, reason: str, *, note: str) -> Plan:
    """Set the task's outcome from now on; the first one stays in its own column.

    The note is appended to the earlier `note`. If only the request differs, the outcome is the same and
    nothing is corrected.
    """
    task = case.task
    values = {
        "next": completion.next or (HANDOVER if completion.outcome in STOPPING else ""),
        "next_at": completion.next_at,
        "note": "\n".join(filter(None, [note, completion.note])),
        "corrected_to": completion.outcome,
    }
    plan = Plan(changes={task.id: values}, gate=case.gate)
    if task.outcome == completion.outcome:
        return plan
    detail = {"task": task.id, "from": task.outcome, "to": completion.outcome}
    return replace(
        plan,
        correction=Correction(task.outcome, completion.outcome, reason.strip()[:200]),
        events=(Event("followup_corrected", None, None, detail),),
    )


def decide_correction(
    case: Case, wanted: Wanted, completion: Completion, reason: str, *, note: str, undoes: str
) -> Plan:
    """Decide the replacement of one outcome by another; `undoes` is the one that is undone."""
    plan = decide_reversal(case, undoes, reason) if undoes else Plan(gate=case.gate)
    after = case.after(plan)
    plan = plan.then(decide_wording(case, completion, reason, note=note))
    if wanted.outcome in ADVANCING:
        following = decide_advance(after, None)
    else:
        following = decide_outcome(after, wanted, just_done=False)
    return replace(plan.then(following), rejudges=True)

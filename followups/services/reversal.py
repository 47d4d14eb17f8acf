"""Replacing an outcome by another, and resuming ladders: load, decide, write."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from followups.models import FollowUpTask, Ladder, LadderTemplate
from followups.rules import ADVANCING
from followups.rules.correction import (
    CLOSED_BY,
    decide_correction,
    decide_resume,
    decide_resumption,
    decide_reversal,
    has_ended,
    may_be_left_unanswered,
    to_reopen,
)
from followups.rules.lead_gate import LADDER, LeadGate
from followups.rules.outcomes import ADVANCE, OPTED_OUT, WRONG_NUMBER, Case, Wanted, may_rest
from followups.services.cases import load_case, wanted_of, with_gate
from followups.services.locked_task import LockedTask
from followups.services.locks import lock_numbers
from followups.services.plans import write_plan
from followups.services.waiting import digests_of, holders_of
from governance.contact.frequency import answers

if TYPE_CHECKING:
    from followups.rules.completion import Completion
    from followups.services.presses import Before

Status = FollowUpTask.Status


def replace_outcome(
    locked: LockedTask,
    completion: Completion,
    reason: str,
    *,
    undoes: str,
    before: Before | None = None,
    lead: Mapping[str, Any] | None = None,
) -> FollowUpTask | None:
    """Replace the task's outcome by `completion`'s, and return the next task, if there is one.

    Undoes the consequences of the outcome `undoes`; if it is blank, nothing is undone. `before` and `lead` as
    in `write_plan`.
    """
    if undoes == WRONG_NUMBER:
        locked.use_again()
    wanted = wanted_of(locked, completion)
    case = _load(locked, wanted, undoes)
    plan = decide_correction(case, wanted, completion, reason, note=locked.task.note, undoes=undoes)
    return write_plan(locked, plan, before=before, lead=lead)


def _load(locked: LockedTask, wanted: Wanted, undoes: str) -> Case:
    """Load what undoing the first outcome needs, then what the second one needs besides."""
    case = load_case(locked)
    if not undoes:
        return with_gate(locked, case, wanted, just_done=False)
    case = _with_reopening(locked, case, CLOSED_BY.get(undoes, frozenset()))
    if undoes == OPTED_OUT and case.gate is not None:
        case = replace(case, gate=case.gate.lifted(locked.at))
    needed = with_gate(locked, case.after(decide_reversal(case, undoes)), wanted, just_done=False)
    gate, gate_without = needed.gate, needed.gate_without
    if undoes == OPTED_OUT:
        gate, gate_without = gate and gate.lifted(locked.at), gate_without and gate_without.lifted(locked.at)
    if undoes == WRONG_NUMBER and wanted.outcome in ADVANCING and gate is not None:
        gate = _counting_contact(locked, gate)
    return replace(case, gate=case.gate or gate, gate_without=gate_without, rest_days=needed.rest_days)


def _counting_contact(locked: LockedTask, gate: LeadGate) -> LeadGate:
    """Count the task's contact for the cap, which it did not as a wrong number."""
    task, point = locked.task, locked.task.contact_point
    is_contact = task.kind == LADDER and (task.gate_allowed is not None or task.outcome == WRONG_NUMBER)
    if point is None or task.contacted_at is None or not is_contact or task.status != Status.COMPLETED:
        return gate
    if answers(task.contacted_at, gate.questions[task.channel].inbound, point.digest):
        return gate
    return gate.counting(task.channel, point.state, task.contacted_at)


def _with_reopening(
    locked: LockedTask, case: Case, reasons: Collection[str], *, keep_place: bool = False
) -> Case:
    """Lock and load what reopening the task's ladder needs."""
    if not to_reopen(case, reasons):
        if may_be_left_unanswered(case, reasons):
            kept = FollowUpTask.objects.filter(origin=locked.task, status=Status.COMPLETED)
            case = replace(case, is_promise_kept=kept.exists())
        return case
    if has_ended(case) and case.ladder is not None:
        return case
    if has_ended(case):
        numbers = digests_of(locked.points)
        lock_numbers(numbers)
        if not keep_place:
            case = replace(case, queue_end=holders_of(numbers).queue_end(locked.at, numbers))
    return replace(case, gate=locked.lead_gate)


def resume_ladder(locked: LockedTask) -> None:
    """Resume the ladder that an opt-out stopped, at its place; without a step left the lead may rest."""
    reasons = CLOSED_BY[OPTED_OUT]
    case = _with_reopening(locked, load_case(locked), reasons, keep_place=True)
    after = case.after(decide_resume(case, reasons, keep_place=True))
    if may_rest(after, ADVANCE, newer_ladder=False):
        later = Ladder.objects.filter(lead=locked.lead, pk__gt=locked.task.ladder_id)
        template = None if later.exists() else LadderTemplate.objects.effective(locked.lead.place)
        case = replace(case, rest_days=template.rests if template is not None else None)
    write_plan(locked, decide_resumption(case))

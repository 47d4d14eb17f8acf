"""Starting and completing a task, and recording what happened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from django.db.models import BigIntegerField
from django.utils.translation import gettext as _

from followups.models import ContactPoint, FollowUpTask
from followups.points import lead_facts
from followups.rules import (
    HAPPENED,
)
from followups.rules.completion import (
    START_LASTS,
    Claim,
    Completion,
    CompletionPlan,
    Contact,
    StartPlan,
    check_next,
    completed_row,
    decide_completion,
    decide_start,
)
from followups.rules.outcomes import Case, next_open
from followups.services.cases import actor_of, load_case, load_completion, record_of, with_hours
from followups.services.closing import (
    CLAIM_FIELDS,
    current_task,
    new_claim_token,
)
from followups.services.guards import (
    holds,
    name_key,
    require_not_erased,
    require_object,
    require_open,
    require_workable,
)
from followups.services.locked_task import WRITTEN_FIELDS, LockedTask, as_answer, lock_task, touched
from followups.services.plans import emit_events, write_plan
from followups.services.presses import Before, points_of_person, presses_of_others
from followups.services.reversal import replace_outcome
from governance.accounts.querysets import managers
from governance.contact import digests
from governance.contact.querysets import personal_rows
from governance.contact.reasons import sentence
from governance.contact.rules import Verdict, suppressing
from governance.contact.services import Door, decision, suppress
from governance.core.actors import Actor, owner_key
from governance.core.channels import CHANNELS
from governance.core.compiled import CompiledUpdate, Param
from governance.core.errors import Forbidden, Invalid, Refused, not_allowed
from governance.core.verbs import Execution, needs_right, verb
from governance.outbox.services import post_message
from governance.retention.erasing import erased_points

if TYPE_CHECKING:
    from governance.contact.models import ContactDecision

COMPLETED, OPEN = FollowUpTask.Status.COMPLETED, FollowUpTask.Status.OPEN
Outcome = FollowUpTask.Outcome


@dataclass(frozen=True, slots=True)
class Completed:
    """The stored task, the next one, and whether it had been completed before."""

    task: FollowUpTask
    next_task: FollowUpTask | None
    already_completed: bool = False

    def as_answer(self) -> dict[str, Any]:
        task = self.task
        return {
            "ok": True,
            "task": {
                "id": task.pk,
                "completed_at": task.completed_at,
                "step": task.step,
                "channel": task.channel,
                "outcome": task.standing_outcome or None,
            },
            "next_task": as_answer(self.next_task) if self.next_task else None,
            "already_completed": self.already_completed,
        }


def _decision(locked: LockedTask, door: str, verdict: Verdict, at: datetime, **more: Any) -> ContactDecision:
    task = locked.task
    point = task.contact_point
    if point is not None:
        more["phone_digest" if point.kind == digests.PHONE else "email_digest"] = point.digest
    return decision(
        door, verdict, locked.gate(task.channel), locked.question(task.channel), by=locked.by, at=at,
        now=locked.at, lead_id=locked.lead.external_id, task_id=task.pk, **more,
    )  # fmt: skip


def _denied(locked: LockedTask, door: str, verdict: Verdict, at: datetime) -> Refused:
    """Return the refusal; its decision is kept although the action is rolled back."""
    gate = locked.gate(locked.task.channel)
    then = gate.next_allowed(locked.question(locked.task.channel), max(at, locked.at))
    kept = _decision(locked, door, verdict, at)
    timed = not verdict.refused_before_time()
    return Refused(
        "contact_denied",
        sentence(verdict.reason, zones=verdict.zones, at=at if timed else None, then=then if timed else None),
        extra={
            "reason": verdict.reason,
            "next_allowed_at": then,
            "checks": [check.as_json() for check in verdict.checks],
            "citation": verdict.citation,
        },
        keep=kept.save,
    )


def _refusal(locked: LockedTask, contact: Contact) -> Refused | Forbidden:
    assert contact.verdict is not None
    refusal = _denied(locked, Door.COMPLETE, contact.verdict, contact.at)
    if contact.may_not_override:
        return not_allowed(_("Your role does not override the gate."), keep=refusal.keep)
    return refusal


@verb(Execution.PROD_EXEC, right="followups.start_task")
def start_task(
    task_id: int,
    *,
    by: Actor,
    at: datetime,
    claim_token: str = "",
    source: str = FollowUpTask.Source.PAGE_BUTTON,
) -> dict[str, Any]:
    """Ask the gate for a contact that begins now and store its decision; five minutes remain to begin.

    Extends the actor's claim to 60 minutes. Repeated within these 5 minutes it returns the same and writes
    nothing. Raises Refused `contact_denied`, `out_of_sequence`, `task_closed`, `claimed_by_other`.
    """
    locked = lock_task(task_id, by=by, at=at)
    task = locked.task
    require_workable(locked, claim_token)
    case = replace(load_case(locked), gate=locked.lead_gate)
    claim = Claim(task.started_by, task.claimed_by, task.claim_until, holds(task, by, at), task.opened_at)
    plan = decide_start(
        case, record_of(locked), claim, actor_of(by), source=source, new_token=new_claim_token()
    )
    if not plan.verdict.ok:
        raise _denied(locked, Door.START, plan.verdict, at)
    if plan.values:
        _write_start(locked, plan)
    return _started(task)


def _write_start(locked: LockedTask, plan: StartPlan) -> None:
    task, by = locked.task, locked.by
    kept = _decision(locked, Door.START, plan.verdict, locked.at)
    kept.save()
    task.start_decision_id = kept.pk
    _use_point(locked, plan.values["contact_point_id"])
    for name, value in plan.values.items():
        setattr(task, name, value)
    touched(task, by)
    task.save(
        update_fields=[
            "started_at",
            "started_by",
            "start_decision_id",
            "contact_source",
            "contact_point",
            "opened_at",
            *CLAIM_FIELDS,
            *WRITTEN_FIELDS,
        ]
    )


def _started(task: FollowUpTask) -> dict[str, object]:
    assert task.started_at is not None
    point = task.contact_point
    return {
        "ok": True,
        "decision_id": task.start_decision_id,
        "valid_until": task.started_at + START_LASTS,
        "claim_token": task.claim_token,
        "claim_until": task.claim_until,
        "contact_point": point.value if point else None,
    }


class AlsoOn(Protocol):
    """Other leads for which an outcome is recorded too, in the same transaction."""

    def lock(self) -> None: ...

    def record(self, done: Completed, completion: Completion) -> None: ...


@needs_right("followups.complete_task")
def complete_task(
    task_id: int, completion: Completion, *, by: Actor, at: datetime, also_on: AlsoOn | None = None
) -> Completed:
    """Complete a task with its outcome and apply the consequences.

    What has already happened (a reply, a wrong number, an opt-out, `happened`) is recorded regardless of
    gate, go-live and sequence. Repeating a completion returns the first result and writes nothing.

    On a closed task a reply, a wrong number and an opt-out replace the recorded outcome, as a correction
    does, except that a suppression stays; any other second outcome is refused.

    Raises Refused `contact_denied`, `out_of_sequence`, `claimed_by_other`, `outcome_differs`, `task_closed`;
    Invalid for an impossible outcome, time or next step; NotFound and Forbidden for another's task, except
    that everybody may record an opt-out, and whoever started or completed it the result.
    """
    if completion.outcome and completion.outcome not in FollowUpTask.Outcome.values:
        raise Invalid({"outcome": [_("There is no such outcome.")]})
    if completion.outcome in HAPPENED or completion.happened:
        return _record(task_id, completion, by=by, at=at, also_on=also_on)
    return _complete(task_id, completion, by=by, at=at, also_on=also_on)


@verb(Execution.OBSERVE_ONLY)
def _record(
    task_id: int, completion: Completion, *, by: Actor, at: datetime, also_on: AlsoOn | None = None
) -> Completed:
    if also_on is not None:
        also_on.lock()
    opted_out = completion.outcome == Outcome.OPTED_OUT
    also = leads_that_share(task_id) if opted_out else []
    locked = lock_task(task_id, by=by, at=at, also_lock=also, anybodys=completion.outcome in HAPPENED)
    # whoever was working on it records the reply, even if the task was given to somebody else meanwhile
    was_on_it = name_key(by) in (owner_key(locked.task.started_by), owner_key(locked.task.completed_by))
    if not opted_out and not was_on_it:
        require_object(locked.task, by, at)
    return _with_others(_complete_on(locked, completion), completion, also_on)


def _with_others(done: Completed, completion: Completion, also_on: AlsoOn | None) -> Completed:
    if also_on is not None and not done.already_completed:
        also_on.record(done, completion)
    return done


def leads_that_share(task_id: int) -> list[int]:
    """Return the leads that have a point of the task's lead: an opt-out stops them all."""
    own = ContactPoint.objects.filter(lead__tasks__pk=task_id).values("digest")
    return list(ContactPoint.objects.filter(digest__in=own).values_list("lead_id", flat=True).distinct())


@verb(Execution.PROD_EXEC)
def _complete(
    task_id: int, completion: Completion, *, by: Actor, at: datetime, also_on: AlsoOn | None = None
) -> Completed:
    if also_on is not None:
        also_on.lock()
    return _with_others(_complete_on(lock_task(task_id, by=by, at=at), completion), completion, also_on)


def _complete_on(locked: LockedTask, completion: Completion) -> Completed:
    completion = replace(
        completion, outcome=completion.outcome or CHANNELS[locked.task.channel].default_outcome
    )
    answered = _answered(locked, completion)
    if answered is not None:
        return answered
    if completion.outcome in HAPPENED or completion.happened:
        require_open(locked.task)
    else:
        require_workable(locked, completion.claim_token)
    case, asked = load_completion(locked, completion)
    plan = decide_completion(case, asked)
    if plan.contact.is_refused:
        raise _refusal(locked, plan.contact)
    return _write(locked, completion, case, plan)


def _answered(locked: LockedTask, completion: Completion) -> Completed | None:
    """Answer a completion of a closed task, or of an erased lead's; None for an open one.

    Raises Refused `outcome_differs` for another outcome than the first one.
    """
    task, outcome = locked.task, completion.outcome
    if locked.lead.erasure_id is not None:
        return _after_erasure(locked, outcome)
    if task.status != OPEN and outcome in HAPPENED:
        return _happened_to_closed(locked, completion)
    if task.status == COMPLETED and outcome in (task.outcome, task.standing_outcome):
        return Completed(task, _next_open(locked), already_completed=True)
    if task.status == COMPLETED:
        raise Refused(
            "outcome_differs",
            _("This task was completed by %(name)s with the outcome %(outcome)s; correct it instead.")
            % {"name": task.completed_by, "outcome": task.standing_outcome},
            extra={"outcome": task.standing_outcome, "completed_at": task.completed_at},
        )
    return None


def _write(locked: LockedTask, completion: Completion, case: Case, plan: CompletionPlan) -> Completed:
    """Write a completion: its decision, the row if it is still open, the events, and the consequences."""
    task, lead = locked.task, locked.lead
    before = Before.of(task) if completion.by_key else None
    _keep_decision(locked, plan.contact)
    if not _write_row(locked, plan.values):
        task.refresh_from_db()  # somebody else was faster despite the lock: answer what is stored
        locked.others = None
        return _complete_on(locked, completion)
    answered = {"unanswered_since": None} if lead.unanswered_since is not None else {}
    following = write_plan(locked, plan.outcome, before=before, lead=answered)
    if following is None and plan.outcome.rejudges:
        following = current_task(lead.pk)
    elif following is None:
        done = replace(case.task, status=COMPLETED, is_current=False)
        following = locked.by_id(next_open(case.having(done), plan.outcome))
    return Completed(task, following)


def _keep_decision(locked: LockedTask, contact: Contact) -> None:
    verdict = contact.verdict
    if verdict is None:
        return
    happened = not verdict.ok and not contact.is_overridden
    _decision(
        locked, Door.COMPLETE, verdict, contact.at, happened=happened, overridden=contact.is_overridden
    ).save()
    if happened:
        _tell_managers(locked, verdict, contact.at)


def _write_row(locked: LockedTask, completed: Mapping[str, Any]) -> bool:
    """Complete the row if it is still open; return False if it was not."""
    task = locked.task
    values = {**completed, "updated_at": locked.at, **locked.by.written()}
    if not _close(values, task_id=task.pk):
        return False
    _use_point(locked, completed["contact_point_id"])
    for name, value in values.items():
        setattr(task, name, value)
    return True


_close = CompiledUpdate(
    lambda: FollowUpTask.objects.filter(pk=Param("task_id", BigIntegerField()), status=OPEN)
)


def _use_point(locked: LockedTask, point_id: int | None) -> None:
    if point_id != locked.task.contact_point_id:
        locked.task.contact_point = next((p for p in locked.points if p.pk == point_id), None)


def record_task(locked: LockedTask, completion: Completion, contacted_at: datetime) -> None:
    """Complete a task with the outcome of another lead's, for which the gate was asked."""
    case, contact = with_hours(locked, load_case(locked)), Contact(contacted_at, False)
    values, events = completed_row(case, record_of(locked), completion, actor_of(locked.by), contact)
    if _write_row(locked, values):
        emit_events(events, by=locked.by, at=locked.at)


def _happened_to_closed(locked: LockedTask, completion: Completion) -> Completed:
    """Record a reply, a wrong number or an opt-out on a closed task, with all consequences."""
    task, standing = locked.task, locked.task.standing_outcome
    if standing == completion.outcome and not _asks_for_more(completion, locked):
        return Completed(task, _next_open(locked), already_completed=True)
    check_next(completion, locked.at)
    again, before = standing == completion.outcome, Before.of(task) if completion.by_key else None
    answered = {"unanswered_since": None} if locked.lead.unanswered_since is not None else {}
    keeps_stop = Outcome.OPTED_OUT in (standing, completion.outcome)
    following = replace_outcome(
        locked,
        completion,
        _("It happened after the task was closed"),
        undoes="" if keeps_stop else standing,
        before=before,
        lead=answered,
    )
    return Completed(task, following or current_task(locked.lead.pk), already_completed=again)


def _asks_for_more(completion: Completion, locked: LockedTask) -> bool:
    """Return whether a repeated outcome adds something: another next step, or an ended suppression."""
    if completion.outcome == Outcome.OPTED_OUT:
        return not _is_stopped(locked)
    asked = (completion.next, completion.next_at)
    return bool(completion.next) and asked != (locked.task.next, locked.task.next_at)


def _after_erasure(locked: LockedTask, outcome: str) -> Completed:
    """Record an opt-out after its lead was erased; refuse everything else."""
    if outcome != FollowUpTask.Outcome.OPTED_OUT or locked.lead.erasure_id is None:
        require_not_erased(locked.lead)
    points = erased_points(locked.lead.erasure_id or 0)
    newest = max(map(digests.key_number, points), default=1)
    suppress([one for one in points if digests.key_number(one) == newest], by=locked.by, at=locked.at)
    return Completed(locked.task, None, already_completed=locked.task.status == COMPLETED)


def _next_open(locked: LockedTask) -> FollowUpTask | None:
    following = [task for task in locked.siblings if task.status == OPEN]
    return following[0] if following else current_task(locked.lead.pk)


def _tell_managers(locked: LockedTask, verdict: Verdict, contacted_at: datetime) -> None:
    for manager in managers():
        if manager.email:
            post_message(
                "contact_against_gate", manager.email, _("A contact took place against the gate"),
                _(
                    "Task %(task)s of lead %(lead)s: %(who)s recorded a contact at %(when)s. "
                    "The gate says: %(reason)s"
                )
                % {
                    "task": locked.task.pk, "lead": locked.lead.external_id, "who": locked.by.working_name,
                    "when": f"{contacted_at:%Y-%m-%d %H:%M} UTC", "reason": sentence(verdict.reason),
                },
                once=f"contact-against-gate:{locked.task.pk}:{manager.pk}", at=locked.at,
                correlation_id=locked.by.correlation_id,
            )  # fmt: skip


def _is_stopped(locked: LockedTask) -> bool:
    """Return whether the lead's earlier opt-out still applies; a manager or a newer consent may end it."""
    theirs = points_of_person(locked)
    points = [point.facts for point in (*locked.points, locked.task.contact_point) if point is not None]
    known = [*points, lead_facts(locked.lead.external_id)]
    on_record = personal_rows(
        theirs, None, others={other: one.digest for one in known for other in one.others}
    )
    stops = on_record.suppressions
    fleeting = presses_of_others(locked.by, locked.at) if any(stop.press for stop in stops) else set()
    stops = [stop for stop in stops if stop.press not in fleeting]  # its undo must not end this one too
    return all(
        suppressing(
            channel,
            [stop for stop in stops if stop.digest == digest],
            [consent for consent in on_record.consents if consent.digest == digest],
        )
        for digest in theirs
        for channel in CHANNELS
    )

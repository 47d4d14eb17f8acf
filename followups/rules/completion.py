"""Starting and completing a task: the time of the contact, the gate's answer, and the row's new values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext as _

from followups.rules import CALLBACK, HANDOVER, HAPPENED, NEXT, NOT_NOW, STOPPING
from followups.rules.lead_gate import LADDER, first_usable
from followups.rules.outcomes import (
    COMPLETED,
    NO_CLAIM,
    Case,
    Event,
    Plan,
    Wanted,
    decide_outcome,
    needs_gate,
)
from governance.contact.frequency import answers
from governance.contact.rules import Verdict
from governance.core.errors import Invalid

START_LASTS = timedelta(minutes=5)
STARTED_CLAIM = timedelta(minutes=60)
MOST_BACK = timedelta(hours=24)
NOTE_FROM = timedelta(minutes=15)
LONGEST_PROMISE, LONGEST_HANDOVER = timedelta(days=730), timedelta(days=14)
CLOCK_SKEW = timedelta(seconds=5)
PAGE_BUTTON, TYPED, DIALER = "PAGE_BUTTON", "TYPED", "DIALER"


@dataclass(frozen=True, slots=True)
class Completion:
    """The input for a finished task; `contacted_at` None means when it was started, else now."""

    outcome: str = ""
    next: str = ""
    next_at: datetime | None = None
    note: str = ""
    contacted_at: datetime | None = None
    override_reason: str = ""
    happened: bool = False
    claim_token: str = ""
    source: str = PAGE_BUTTON
    by_key: bool = False  # an opt-out that the person who records it may undo for ten minutes


@dataclass(frozen=True, slots=True)
class Recorder:
    """The actor who completes: the key of their name, whether it is a program, and other permissions."""

    name: str
    key: str
    is_program: bool = False
    may_override: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """The task's stored start and deadlines; `earlier` are contacts of previous steps."""

    province: str = ""
    started_at: datetime | None = None
    started_by: str = ""  # the key
    is_decided: bool = False  # the gate was asked when it was started
    source: str = ""
    late_from: datetime | None = None
    is_counted: bool = False  # the SLA event was written when it became late
    earlier: tuple[datetime, ...] = ()


@dataclass(frozen=True, slots=True)
class Contact:
    """A contact and the gate's answer; `allowed` is None if we did not contact anybody.

    `verdict` is stored as a decision, None if the gate was not asked; `is_refused` if it refuses a contact
    that has not happened yet.
    """

    at: datetime
    is_late: bool
    allowed: bool | None = None
    verdict: Verdict | None = None
    is_overridden: bool = False
    is_refused: bool = False
    may_not_override: bool = False


@dataclass(frozen=True, slots=True)
class CompletionPlan:
    """What completing a task writes: its row, the gate's decision, KPI events and the consequences."""

    contact: Contact
    values: Mapping[str, Any] = field(default_factory=dict)
    outcome: Plan = Plan()


@dataclass(frozen=True, slots=True)
class Claim:
    """Who has claimed a task and who started it, by name; `is_held` if the actor has a live claim."""

    started_by: str = ""
    claimed_by: str = ""
    until: datetime | None = None
    is_held: bool = False
    opened_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class StartPlan:
    """The gate's answer to a contact that begins now, and the task's new values.

    Without `values` the same person has started it already: the first start's decision and claim apply.
    """

    verdict: Verdict
    values: Mapping[str, Any] = field(default_factory=dict)


def decide_start(
    case: Case, record: Record, claim: Claim, actor: Recorder, *, source: str, new_token: str
) -> StartPlan:
    """Ask the gate for a contact that begins now; if allowed, extend the actor's claim to 60 minutes."""
    task, at = case.task, case.at
    verdict = case.asked.judge(task.channel, at, task.kind, task.point)
    if not verdict.ok or _is_repeated(record, claim, actor, at):
        return StartPlan(verdict)
    point = task.point or first_usable(case.points, task.channel)
    values: dict[str, object] = {
        "started_at": at,
        "started_by": actor.name,
        "contact_source": source,
        "contact_point_id": point.id if point is not None else None,
        "opened_at": claim.opened_at or at,
        "claim_until": max(claim.until or at, at + STARTED_CLAIM),
    }
    if not claim.is_held:
        values |= {"claimed_by": actor.name, "claim_token": new_token, "claimed_at": at}
    return StartPlan(verdict, values)


def _is_repeated(record: Record, claim: Claim, actor: Recorder, at: datetime) -> bool:
    """Return whether the same person started this contact less than 5 minutes ago and still has the claim."""
    if record.started_at is None or not record.is_decided or claim.until is None:
        return False
    is_theirs = claim.started_by == actor.name == claim.claimed_by
    return is_theirs and claim.until > at and timedelta() <= at - record.started_at < START_LASTS


def check_next(completion: Completion, at: datetime) -> None:
    """Refuse a next step that does not match the outcome, or lacks a required time."""
    if not completion.next:
        return
    if completion.next not in NEXT:
        raise Invalid(
            {"next": [_("There is no such next step; use %(known)s.") % {"known": ", ".join(NEXT)}]}
        )
    if completion.outcome not in STOPPING:
        raise Invalid({"next": [_("Only a lead you spoke with, or who replied, can have a next step.")]})
    if completion.next in (CALLBACK, NOT_NOW):
        if completion.next_at is None:
            raise Invalid({"next_at": [_("Enter a time.")]})
        if completion.next_at < at or completion.next_at > at + LONGEST_PROMISE:
            raise Invalid({"next_at": [_("A time in the next two years is needed.")]})
    if completion.next == HANDOVER and completion.next_at and completion.next_at > at + LONGEST_HANDOVER:
        raise Invalid({"next_at": [_("A closer calls within 14 days; for later, plan a callback.")]})


def contact_time(
    case: Case, record: Record, completion: Completion, actor: Recorder
) -> tuple[datetime, bool]:
    """Return when the contact was and whether it is entered late. Raises Invalid for an impossible time."""
    at = case.at
    if completion.contacted_at is None:
        return (record.started_at or at) if _is_of_the_start(record, actor, at) else at, False
    contacted_at = completion.contacted_at
    if contacted_at > at + CLOCK_SKEW:
        raise Invalid({"contacted_at": [_("The contact cannot be in the future.")]})
    if at - contacted_at > MOST_BACK:
        raise Invalid(
            {"contacted_at": [_("The contact is more than 24 hours ago; ask a manager to correct it.")]}
        )
    if record.earlier and contacted_at < max(record.earlier):
        raise Invalid({"contacted_at": [_("The previous step’s contact took place after that time.")]})
    is_late = at - contacted_at > NOTE_FROM and contacted_at != record.started_at
    if is_late and not completion.note.strip():
        raise Invalid({"note": [_("A contact more than 15 minutes ago needs a note.")]})
    return min(contacted_at, at), is_late


def _is_of_the_start(record: Record, actor: Recorder, at: datetime) -> bool:
    """Return whether a completion without a time belongs to the task's start.

    A program starts for the person who logs the call, and logs what a person started; another person's
    unfinished start has nothing to do with this contact.
    """
    if record.started_at is None or at - record.started_at > MOST_BACK:
        return False
    return record.source == DIALER or actor.is_program or record.started_by == actor.key


def asks_gate(record: Record, completion: Completion, contacted_at: datetime) -> bool:
    """Return whether to ask the gate now: not if it was asked at the start, nor for what the person did."""
    if record.is_decided and contacted_at == record.started_at:
        return False
    return completion.outcome not in HAPPENED or completion.happened


def with_number(case: Case, record: Record, completion: Completion, contacted_at: datetime) -> Case:
    """Return the case with the number that was used: the first one, if we contacted them and none is set."""
    task = case.task
    is_started = record.is_decided and contacted_at == record.started_at
    if task.point is not None or not (is_started or asks_gate(record, completion, contacted_at)):
        return case
    return case.having(replace(task, point=first_usable(case.points, task.channel)))


def completion_needs_gate(
    case: Case, record: Record, completion: Completion, wanted: Wanted, contacted_at: datetime
) -> bool:
    """Return whether `decide_completion` will ask the gate."""
    task = case.task
    if asks_gate(record, completion, contacted_at):
        return True
    # the task's number is retired first: then another gate is asked
    is_retired = wanted.outcome == "WRONG_NUMBER" and task.point is not None
    return not is_retired and needs_gate(case, wanted, just_done=True)


@dataclass(frozen=True, slots=True)
class Asked:
    """The facts that decide a completion, besides the case: the input and the task's stored values.

    With `needs_gate` the case must be loaded with the gate.
    """

    record: Record
    completion: Completion
    actor: Recorder
    wanted: Wanted
    contacted_at: datetime
    is_late: bool = False
    needs_gate: bool = False


def check_completion(
    case: Case, record: Record, completion: Completion, actor: Recorder, wanted: Wanted
) -> tuple[Case, Asked]:
    """Return the case with the number that was used, and the facts that decide the completion.

    Raises Invalid for an impossible next step or time.
    """
    check_next(completion, case.at)
    contacted_at, is_late = contact_time(case, record, completion, actor)
    case = with_number(case, record, completion, contacted_at)
    needs_gate = completion_needs_gate(case, record, completion, wanted, contacted_at)
    return case, Asked(record, completion, actor, wanted, contacted_at, is_late, needs_gate)


def is_overdue(case: Case) -> bool:
    """Return whether the allowed minutes since the task was due will be counted."""
    return case.task.due_at is not None and case.at > case.task.due_at


def decide_contact(
    case: Case, record: Record, completion: Completion, actor: Recorder, contacted_at: datetime, is_late: bool
) -> Contact:
    """Judge the contact: by the decision at its start, else by the gate now, with or without an override."""
    contact = Contact(contacted_at, is_late)
    if record.is_decided and contacted_at == record.started_at:
        return replace(contact, allowed=True)  # the gate was asked when it was started, and allowed it
    if not asks_gate(record, completion, contacted_at):
        return contact
    task = case.task
    verdict = case.asked.judge(task.channel, contacted_at, task.kind, task.point)
    contact = replace(contact, verdict=verdict, allowed=verdict.ok)
    if verdict.ok or completion.happened:
        return contact
    wants_override = bool(completion.override_reason.strip())
    if wants_override and actor.may_override and verdict.overridable:
        return replace(contact, is_overridden=True)
    return replace(contact, is_refused=True, may_not_override=wants_override and not actor.may_override)


def response_minutes(case: Case) -> tuple[Decimal | None, Decimal | None]:
    """Return how late the task is completed: in allowed minutes, and by the wall clock."""
    task, at = case.task, case.at
    if task.due_at is None:
        return None, None
    if at <= task.due_at:
        return Decimal(0), Decimal(0)
    wall = Decimal(int((at - task.due_at).total_seconds() * 100 / 60)) / 100
    assert case.hours is not None  # see `is_overdue`
    return case.hours.hours.open_minutes(task.due_at, at), wall


def completed_row(
    case: Case, record: Record, completion: Completion, actor: Recorder, contact: Contact
) -> tuple[dict[str, object], list[Event]]:
    """Return the completed task's values, and the KPI events of its completion."""
    task, at = case.task, case.at
    minutes, wall = response_minutes(case)
    inside = record.late_from is None or at <= record.late_from
    is_typed = completion.contacted_at is not None and completion.contacted_at != record.started_at
    of_start = record.source if contact.at == record.started_at else completion.source
    values: dict[str, object] = {
        "status": COMPLETED,
        "is_current": False,
        "outcome": completion.outcome,
        "next": completion.next or (HANDOVER if completion.outcome in STOPPING else ""),
        "next_at": completion.next_at,
        "note": completion.note,
        "contacted_at": contact.at,
        "contact_source": TYPED if is_typed else of_start,
        "entered_late": contact.is_late,
        "override_reason": completion.override_reason[:500],
        "gate_allowed": contact.allowed,
        "contact_point_id": task.point.id if task.point is not None else None,
        "completed_at": at,
        "completed_by": actor.name,
        "response_minutes": minutes,
        "response_wall_minutes": wall,
        "sla_counted": True,
        "held_reason": "",
        "snoozed_until": None,
        **NO_CLAIM,
    }
    detail = {"task": task.id, "channel": task.channel, "step": task.step, "province": record.province}
    events = [Event("followup_completed", True, minutes, {**detail, "outcome": completion.outcome})]
    if not record.is_counted and task.due_at is not None:
        events.append(Event("followup_sla", inside, minutes, detail))
    if contact.allowed is not None:
        events.append(Event("contact_compliance", contact.allowed, None, detail))
    return values, events


def decide_completion(case: Case, asked: Asked) -> CompletionPlan:
    """Decide a completion of an open task; if the contact is refused, the plan has only the refusal."""
    record, completion, actor = asked.record, asked.completion, asked.actor
    contact = decide_contact(case, record, completion, actor, asked.contacted_at, asked.is_late)
    if contact.is_refused:
        return CompletionPlan(contact)
    task, gate = case.task, case.gate
    values, events = completed_row(case, record, completion, actor, contact)
    if contact.allowed is not None and task.kind == LADDER and gate is not None and _counts(case, contact):
        gate = gate.counting(task.channel, task.point, contact.at)
    done = replace(task, status=COMPLETED, is_current=False, held_reason="")
    following = decide_outcome(replace(case.having(done), gate=gate), asked.wanted, just_done=True)
    return CompletionPlan(contact, values, replace(following, events=events))


def _counts(case: Case, contact: Contact) -> bool:
    """Return whether a contact counts for the cap: one judged now, or an earlier start that was no answer."""
    if contact.verdict is not None:
        return True
    task = case.task
    point = task.point or first_usable(case.points, task.channel)
    inbound = case.asked.questions[task.channel].inbound
    return point is None or not answers(contact.at, inbound, point.digest)

"""Starting and completing a task, and recording what happened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _

from followups.models import ContactPoint, FollowUpTask, Lead
from followups.points import lead_digest
from followups.rules import (
    ADVANCING,
    CALLBACK,
    DEFAULT_OUTCOME,
    HANDOVER,
    HAPPENED,
    NEXT,
    NOT_NOW,
    STOPPING,
)
from followups.services.closing import (
    CLAIM_FIELDS,
    NO_CLAIM,
    advance,
    cancel_open,
    current_task,
    end_claim,
    new_claim_token,
    settle_lead,
    stop_remaining,
    what_is_next,
)
from followups.services.desk import (
    WRITTEN_FIELDS,
    Desk,
    as_answer,
    holds,
    name_key,
    open_desk,
    require_not_erased,
    touched,
)
from governance.actors import By, Role, owner_key
from governance.contact import digests
from governance.contact.querysets import personal_rows
from governance.contact.reasons import sentence
from governance.contact.rules import Verdict, suppressing
from governance.contact.services import Door, decision, suppress
from governance.errors import Forbidden, Invalid, Refused
from governance.golive.services import Execution, verb
from governance.hours import CHANNELS
from governance.kpi.services import Kpi, emit_kpis
from governance.outbox.services import post_message
from governance.people.querysets import managers
from governance.retention.erasing import erased_points

if TYPE_CHECKING:
    from governance.contact.models import ContactDecision

START_LASTS = timedelta(minutes=5)
STARTED_CLAIM = timedelta(minutes=60)
MOST_BACK = timedelta(hours=24)
NOTE_FROM = timedelta(minutes=15)
CLOCK_SKEW = timedelta(seconds=5)
COMPLETED, OPEN = FollowUpTask.Status.COMPLETED, FollowUpTask.Status.OPEN


@dataclass(frozen=True, slots=True)
class Completion:
    """What is said of a finished task; `contacted_at` None means when it was started, else now."""

    outcome: str = ""
    next: str = ""
    next_at: datetime | None = None
    note: str = ""
    contacted_at: datetime | None = None
    override_reason: str = ""
    happened: bool = False
    claim_token: str = ""
    source: str = FollowUpTask.Source.PAGE_BUTTON


@dataclass(frozen=True, slots=True)
class Completed:
    """The task as it stands, what comes next, and whether it had been completed before."""

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
                "outcome": task.outcome or None,
            },
            "next_task": as_answer(self.next_task) if self.next_task else None,
            "already_completed": self.already_completed,
        }


def require_right(by: By, right: str) -> None:
    if not by.may(right):
        raise Forbidden("not_allowed", _("Your role does not allow this."))


def require_claim(task: FollowUpTask, by: By, at: datetime, claim_token: str) -> None:
    """Refuse `claimed_by_other` while somebody else holds the task."""
    if not task.claim_token or task.claim_until is None or task.claim_until <= at:
        return
    # programs that share an account are told apart by their tokens, a person by her name alone
    shared = by.role == Role.SERVICE and not by.acting_for and claim_token
    if not holds(task, by, at) or (shared and claim_token != task.claim_token):
        raise Refused(
            "claimed_by_other",
            _("%(name)s is working on this task until %(time)s UTC.")
            % {"name": task.claimed_by, "time": f"{task.claim_until:%H:%M}"},
            extra={"claimed_by": task.claimed_by, "claim_until": task.claim_until},
        )


def require_open(task: FollowUpTask) -> None:
    if task.status != OPEN:
        raise Refused(
            "task_closed",
            _("This task is closed (%(status)s).") % {"status": task.get_status_display()},
            extra={"task_status": task.status},
        )


def require_sequence(desk: Desk) -> None:
    """Refuse `out_of_sequence` while an earlier step is open."""
    if desk.task.step is None:
        return
    for earlier in desk.siblings:
        if earlier.step is not None and earlier.step < desk.task.step and earlier.status == OPEN:
            raise Refused(
                "out_of_sequence",
                _("Step %(earlier)s of this lead comes first; complete or skip it before step %(step)s.")
                % {"earlier": earlier.step, "step": desk.task.step},
                extra={"open_step": earlier.step, "open_task_id": earlier.pk},
            )


def _decision(desk: Desk, door: str, verdict: Verdict, at: datetime, **more: Any) -> ContactDecision:
    task = desk.task
    point = task.contact_point
    if point is not None:
        more["phone_digest" if point.kind == digests.PHONE else "email_digest"] = point.digest
    return decision(
        door, verdict, desk.gate(task.channel), desk.question(task.channel), by=desk.by, at=at, now=desk.at,
        lead_id=desk.lead.external_id, task_id=task.pk, **more,
    )  # fmt: skip


def _denied(desk: Desk, door: str, verdict: Verdict, at: datetime) -> Refused:
    """Return the refusal; the decision behind it is kept although the action is rolled back."""
    gate = desk.gate(desk.task.channel)
    then = gate.next_allowed(desk.question(desk.task.channel), max(at, desk.at))
    kept = _decision(desk, door, verdict, at)
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


@verb(Execution.PROD_EXEC)
def start_task(
    task_id: int,
    *,
    by: By,
    at: datetime,
    claim_token: str = "",
    source: str = FollowUpTask.Source.PAGE_BUTTON,
) -> dict[str, Any]:
    """Ask the gate for a contact that begins now and keep its decision; five minutes remain to begin.

    Extends the actor's claim to 60 minutes. Started again within these 5 minutes it answers the same and
    writes nothing. Raises Refused `contact_denied`, `out_of_sequence`, `task_closed`, `claimed_by_other`.
    """
    require_right(by, "followups.start_task")
    desk = open_desk(task_id, by=by, at=at)
    task = desk.task
    require_open(task)
    require_claim(task, by, at, claim_token)
    require_sequence(desk)
    verdict = desk.gate(task.channel).judge(desk.question(task.channel), at)
    if not verdict.ok:
        raise _denied(desk, Door.START, verdict, at)
    if _started_again(task, by, at):
        return _started(task)  # a second click: the first one's decision and claim stand
    kept = _decision(desk, Door.START, verdict, at)
    kept.save()
    task.started_at, task.started_by, task.start_decision_id = at, by.working_name, kept.pk
    task.contact_source = source
    if not holds(task, by, at):
        task.claimed_by, task.claim_token, task.claimed_at = by.working_name, new_claim_token(), at
    task.claim_until = max(task.claim_until or at, at + STARTED_CLAIM)
    task.contact_point = task.contact_point or desk.point_for(task.channel)
    touched(task, by)
    task.save(
        update_fields=[
            "started_at",
            "started_by",
            "start_decision_id",
            "contact_source",
            "contact_point",
            *CLAIM_FIELDS,
            *WRITTEN_FIELDS,
        ]
    )
    return _started(task)


def _started_again(task: FollowUpTask, by: By, at: datetime) -> bool:
    """Say whether the same person started this contact less than 5 minutes ago and still holds the task."""
    if task.started_at is None or task.start_decision_id is None or task.claim_until is None:
        return False
    hers = task.started_by == by.working_name == task.claimed_by
    return hers and task.claim_until > at and timedelta() <= at - task.started_at < START_LASTS


def _started(task: FollowUpTask) -> dict[str, Any]:
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


def complete_task(task_id: int, completion: Completion, *, by: By, at: datetime) -> Completed:
    """Complete a task with its outcome and do what follows from it.

    What has already happened (a reply, a wrong number, an opt-out, `happened`) is recorded whatever gate,
    go-live and sequence say. The same completion again answers the first one and writes nothing.

    Raises Refused `contact_denied`, `out_of_sequence`, `claimed_by_other`, `outcome_differs`, `task_closed`;
    Invalid for an outcome, time or next that cannot be; NotFound and Forbidden for another's task,
    except that everybody may record an opt-out.
    """
    require_right(by, "followups.complete_task")
    if completion.outcome and completion.outcome not in FollowUpTask.Outcome.values:
        raise Invalid({"outcome": [_("There is no such outcome.")]})
    if completion.outcome in HAPPENED or completion.happened:
        return _record(task_id, completion, by=by, at=at)
    return _complete(task_id, completion, by=by, at=at)


@verb(Execution.OBSERVE_ONLY)
def _record(task_id: int, completion: Completion, *, by: By, at: datetime) -> Completed:
    opted_out = completion.outcome == FollowUpTask.Outcome.OPTED_OUT
    also = leads_that_share(task_id) if opted_out else []
    return _complete_on(open_desk(task_id, by=by, at=at, also_lock=also, anybodys=opted_out), completion)


def leads_that_share(task_id: int) -> list[int]:
    """Return the leads that hold a point of the task's lead: an opt-out stops them all."""
    own = ContactPoint.objects.filter(lead__tasks__pk=task_id).values("digest")
    return list(ContactPoint.objects.filter(digest__in=own).values_list("lead_id", flat=True).distinct())


@verb(Execution.PROD_EXEC)
def _complete(task_id: int, completion: Completion, *, by: By, at: datetime) -> Completed:
    return _complete_on(open_desk(task_id, by=by, at=at), completion)


def _complete_on(desk: Desk, completion: Completion) -> Completed:
    task = desk.task
    outcome = completion.outcome or DEFAULT_OUTCOME[task.channel]
    completion = replace(completion, outcome=outcome)
    if desk.lead.erasure_id is not None:
        return _after_erasure(desk, outcome)
    happened = outcome in HAPPENED or completion.happened
    again = task.status == COMPLETED and task.outcome == outcome
    if again and not (outcome == FollowUpTask.Outcome.OPTED_OUT and not _is_stopped(desk)):
        return Completed(task, _next_open(desk), already_completed=True)
    if outcome in HAPPENED and task.status != OPEN:
        # the task's own row stays; what the person did takes effect all the same
        check_next(completion, desk.at)
        following = effects(desk, completion, None) or current_task(desk.lead.pk)
        return Completed(task, following, already_completed=task.status == COMPLETED)
    if task.status == COMPLETED:
        raise Refused(
            "outcome_differs",
            _("This task was completed by %(name)s with the outcome %(outcome)s; correct it instead.")
            % {"name": task.completed_by, "outcome": task.outcome},
            extra={"outcome": task.outcome, "completed_at": task.completed_at},
        )
    require_open(task)
    if not happened:
        require_claim(task, desk.by, desk.at, completion.claim_token)
        require_sequence(desk)
    check_next(completion, desk.at)
    contacted_at, late = _contact_time(desk, completion)
    allowed = _ask_gate(desk, completion, contacted_at)
    if not _write(desk, completion, contacted_at, late, allowed):
        task.refresh_from_db()  # somebody else was faster in spite of the lock: answer what is stored
        return _complete_on(desk, completion)
    if desk.lead.unanswered_since is not None:
        desk.lead.unanswered_since = None
        desk.lead.save(update_fields=["unanswered_since"])
    return Completed(task, effects(desk, completion, task) or current_task(desk.lead.pk))


def _after_erasure(desk: Desk, outcome: str) -> Completed:
    """Record an opt-out that comes after its lead was erased; everything else is refused."""
    if outcome != FollowUpTask.Outcome.OPTED_OUT or desk.lead.erasure_id is None:
        require_not_erased(desk.lead)
    suppress(erased_points(desk.lead.erasure_id or 0), by=desk.by, at=desk.at)
    return Completed(desk.task, None, already_completed=desk.task.status == COMPLETED)


def _next_open(desk: Desk) -> FollowUpTask | None:
    following = [task for task in desk.siblings if task.status == OPEN]
    return following[0] if following else current_task(desk.lead.pk)


def check_next(completion: Completion, at: datetime) -> None:
    """Refuse a next step that does not go with the outcome, or has no time where it needs one."""
    if not completion.next:
        return
    if completion.next not in NEXT:
        raise Invalid(
            {"next": [_("There is no such next step; use %(known)s.") % {"known": ", ".join(NEXT)}]}
        )
    if completion.outcome not in STOPPING:
        raise Invalid({"next": [_("A next step goes only with a lead who was reached or who replied.")]})
    if completion.next in (CALLBACK, NOT_NOW):
        if completion.next_at is None:
            raise Invalid({"next_at": [_("Say when.")]})
        if completion.next_at < at or completion.next_at > at + timedelta(days=730):
            raise Invalid({"next_at": [_("A time in the next two years is needed.")]})


def _contact_time(desk: Desk, completion: Completion) -> tuple[datetime, bool]:
    """Return when the contact was and whether it is entered late. Raises Invalid for an impossible time."""
    task, at = desk.task, desk.at
    if completion.contacted_at is None:
        return (task.started_at or at) if _is_of_the_start(desk) else at, False
    contacted_at = completion.contacted_at
    if contacted_at > at + CLOCK_SKEW:
        raise Invalid({"contacted_at": [_("The contact cannot be in the future.")]})
    if at - contacted_at > MOST_BACK:
        raise Invalid(
            {"contacted_at": [_("The contact is more than 24 hours back; ask a manager to correct it.")]}
        )
    earlier = [
        other.contacted_at for other in desk.siblings
        if other.pk != task.pk and other.contacted_at and other.step and task.step and other.step < task.step
    ]  # fmt: skip
    if earlier and contacted_at < max(earlier):
        raise Invalid({"contacted_at": [_("The step before was contacted later than that.")]})
    late = at - contacted_at > NOTE_FROM and contacted_at != task.started_at
    if late and not completion.note.strip():
        raise Invalid({"note": [_("A contact more than 15 minutes back needs a note.")]})
    return min(contacted_at, at), late


def _is_of_the_start(desk: Desk) -> bool:
    """Say whether a completion without a time belongs to the task's start.

    A program starts for whoever logs the call, and logs what a person started; another person's start that
    came to nothing says nothing of this contact.
    """
    task, by = desk.task, desk.by
    if task.started_at is None or desk.at - task.started_at > MOST_BACK:
        return False
    by_program = task.contact_source == FollowUpTask.Source.DIALER or by.role == Role.SERVICE
    return by_program or owner_key(task.started_by) == name_key(by)


def _ask_gate(desk: Desk, completion: Completion, contacted_at: datetime) -> bool | None:
    """Return whether the gate allowed the contact, None where we made none. Keeps the decision.

    Raises Refused `contact_denied` for a contact that did not happen yet.
    """
    task = desk.task
    if task.start_decision_id and contacted_at == task.started_at:
        return True  # the gate was asked when the contact was started, and said yes
    if completion.outcome in HAPPENED and not completion.happened:
        return None
    verdict = desk.gate(task.channel).judge(desk.question(task.channel), contacted_at)
    door = Door.COMPLETE
    if verdict.ok:
        _decision(desk, door, verdict, contacted_at).save()
        return True
    if completion.happened:
        _decision(desk, door, verdict, contacted_at, happened=True).save()
        _tell_managers(desk, verdict, contacted_at)
        return False
    refusal = _denied(desk, door, verdict, contacted_at)
    if completion.override_reason.strip():
        if not desk.by.may("governance.override_gate"):
            raise Forbidden("not_allowed", _("Your role does not override the gate."), keep=refusal.keep)
        if verdict.overridable:
            _decision(desk, door, verdict, contacted_at, overridden=True).save()
            return False
    raise refusal


def _tell_managers(desk: Desk, verdict: Verdict, contacted_at: datetime) -> None:
    for manager in managers():
        if manager.email:
            post_message(
                "contact_against_gate", manager.email, _("A contact took place against the gate"),
                _(
                    "Task %(task)s of lead %(lead)s: %(who)s recorded a contact at %(when)s. "
                    "The gate says: %(reason)s"
                )
                % {
                    "task": desk.task.pk, "lead": desk.lead.external_id, "who": desk.by.working_name,
                    "when": f"{contacted_at:%Y-%m-%d %H:%M} UTC", "reason": sentence(verdict.reason),
                },
                once=f"contact-against-gate:{desk.task.pk}:{manager.pk}", at=desk.at,
                correlation_id=desk.by.correlation_id,
            )  # fmt: skip


def _write(
    desk: Desk, completion: Completion, contacted_at: datetime, late: bool, allowed: bool | None
) -> bool:
    """Complete the row if it is still open, and write its KPI events; False if it was not."""
    task, at, by = desk.task, desk.at, desk.by
    minutes, wall = _response(desk)
    inside = task.sla_2h_at is None or at <= task.sla_2h_at
    counted = task.sla_counted
    typed = completion.contacted_at is not None and completion.contacted_at != task.started_at
    started = contacted_at == task.started_at
    values: dict[str, Any] = {
        "status": COMPLETED,
        "is_current": False,
        "outcome": completion.outcome,
        "next": completion.next or (HANDOVER if completion.outcome in STOPPING else ""),
        "next_at": completion.next_at,
        "note": completion.note,
        "contacted_at": contacted_at,
        "contact_source": FollowUpTask.Source.TYPED
        if typed
        else task.contact_source
        if started
        else completion.source,
        "entered_late": late,
        "override_reason": completion.override_reason[:500],
        "gate_allowed": allowed,
        "completed_at": at,
        "completed_by": by.working_name,
        "response_minutes": minutes,
        "response_wall_minutes": wall,
        "sla_counted": True,
        "held_reason": "",
        "snoozed_until": None,
        **NO_CLAIM,
        **by.written(),
    }
    rows = FollowUpTask.objects.filter(pk=task.pk, status=OPEN)
    if not rows.update(**values):
        return False
    for name, value in values.items():
        setattr(task, name, value)
    detail = {"task": task.pk, "channel": task.channel, "step": task.step, "province": task.province}
    events = [
        Kpi("WHOLESALE", "followup_completed", True, minutes, {**detail, "outcome": completion.outcome})
    ]
    if not counted and task.due_at is not None:
        events.append(Kpi("WHOLESALE", "followup_sla", inside, minutes, detail))
    if allowed is not None:
        events.append(Kpi("WHOLESALE", "contact_compliance", allowed, None, detail))
    emit_kpis(events, by=by, at=at)
    return True


def _response(desk: Desk) -> tuple[Decimal | None, Decimal | None]:
    """Return how long after its due time the task is completed: in allowed minutes, and by the wall clock."""
    task, at = desk.task, desk.at
    if task.due_at is None:
        return None, None
    if at <= task.due_at:
        return Decimal(0), Decimal(0)
    wall = Decimal(int((at - task.due_at).total_seconds() * 100 / 60)) / 100
    return desk.gate(task.channel).hours.open_minutes(task.due_at, at), wall


def effects(desk: Desk, completion: Completion, just_done: FollowUpTask | None) -> FollowUpTask | None:
    """Do what follows from the outcome and return what comes next for the lead, if it made that.

    `just_done` is the task where it was completed by this very call.
    """
    outcome = completion.outcome
    if outcome in ADVANCING:
        return advance(desk, just_done) if desk.task.ladder_id else None
    if outcome in STOPPING:
        stop_remaining(desk, outcome)
        return what_is_next(desk, completion.next or HANDOVER, completion.next_at, _whose_callback(desk))
    if outcome == FollowUpTask.Outcome.WRONG_NUMBER:
        return _wrong_number(desk, just_done)
    _opt_out(desk)
    return None


def _whose_callback(desk: Desk) -> str:
    """Return who calls back: the task's owner, else the person who reached the lead; a program cannot."""
    by = desk.by
    program = by.role == Role.SERVICE and not by.acting_for
    return desk.task.owner or ("" if program else by.working_name)


def _her_points(desk: Desk) -> list[str]:
    """Return the digests of all points of the person who was contacted, and of the lead herself."""
    contacted = desk.task.contact_point
    whose = contacted.whose if contacted else ""
    hers = {p.digest for p in desk.points if p.whose == whose and p.status == ContactPoint.Status.USABLE}
    if contacted is not None:  # also a number that turned out to be somebody else's: she said stop
        hers.add(contacted.digest)
    return [*hers, lead_digest(desk.lead.external_id)]


def _is_stopped(desk: Desk) -> bool:
    """Say whether her opt-out of before stands; a manager or a newer consent may have ended it."""
    hers = _her_points(desk)
    stops, consents = personal_rows(hers)
    return all(
        suppressing(
            channel, [s for s in stops if s.digest == digest], [c for c in consents if c.digest == digest]
        )
        for digest in hers
        for channel in CHANNELS
    )


def _opt_out(desk: Desk) -> None:
    """Suppress every point of that person, which stops the ladders of every lead that holds one."""
    stop_remaining(desk, FollowUpTask.Outcome.OPTED_OUT, stopped=True)
    cancel_open([desk.lead.pk], by=desk.by, reason=FollowUpTask.Outcome.OPTED_OUT)
    suppress(_her_points(desk), by=desk.by, at=desk.at)
    settle_lead(desk.lead, Lead.Status.DEAD, by=desk.by, at=desk.at)


def _wrong_number(desk: Desk, just_done: FollowUpTask | None) -> FollowUpTask | None:
    """Retire the point and go on with the next one; steps whose channel has none left are skipped."""
    wrong = desk.task.contact_point
    _ladder, steps = desk.running()
    if wrong is not None:
        ContactPoint.objects.filter(pk=wrong.pk).update(status=ContactPoint.Status.WRONG)
        for point in (wrong, *desk.points):
            if point.pk == wrong.pk:
                point.status = ContactPoint.Status.WRONG
        desk.forget_questions()
        promised = FollowUpTask.objects.filter(lead=desk.lead, ladder=None, status=OPEN, contact_point=wrong)
        promised.update(contact_point=desk.point_for("CALL"), **desk.by.written())
        _use_other_points(desk, [task for task in steps if task.contact_point_id == wrong.pk])
    return advance(desk, just_done, reason="no_contact_point")


def _use_other_points(desk: Desk, steps: Sequence[FollowUpTask]) -> None:
    changed = [task for task in steps if task.status == OPEN]
    for task in changed:
        task.contact_point = desk.point_for(task.channel)
        touched(task, desk.by)
        if task.contact_point is None:
            task.status, task.is_current = FollowUpTask.Status.SKIPPED, False
            task.closed_reason, task.held_reason = "no_contact_point", ""
            end_claim(task)
    fields = ["contact_point", "status", "is_current", "closed_reason", "held_reason"]
    if changed:
        FollowUpTask.objects.bulk_update(changed, [*fields, *CLAIM_FIELDS, *WRITTEN_FIELDS])

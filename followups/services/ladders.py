"""Ladders: begun with lawful due times, stopped with a reason."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from followups.models import ContactPoint, FollowUpTask, Ladder, LadderTemplate, Lead
from followups.rules import Planned, Step, due_times, read_steps
from followups.rules.lead_gate import with_contact
from followups.rules.outcomes import PERSON_ACTIVE, current_of
from followups.services.closing import cancel_open
from followups.services.guards import require_not_erased
from followups.services.leads import LeadDetails, fill_in, find_or_create, give_points, not_stored
from followups.services.locked_task import as_answer, facts_of_points, put_due
from followups.services.locks import lock_leads, lock_numbers
from followups.services.rescheduling import realign_leads
from followups.services.waiting import (
    NUMBER_SHARED,
    Holder,
    Holders,
    digests_of,
    first_free,
    holders_of,
    place_in_queue,
    rejudge,
    release_after,
    taken_by_others,
    waiting_for,
)
from governance.contact.reasons import sentence
from governance.contact.rules import Question
from governance.contact.services import Gate, GateBook, Where, open_book, questions_about
from governance.core.actors import By, Role, owner_key
from governance.core.channels import CHANNELS
from governance.core.errors import Forbidden, Invalid, NotFound, Refused
from governance.core.verbs import Execution, verb
from governance.kpi.services import emit_kpi

CREATE_LADDER = "followups.create_ladder"


@dataclass(frozen=True, slots=True)
class NewLadder:
    """A ladder with its tasks in order; `behind` is the one that it waits for, if it does."""

    ladder: Ladder
    tasks: Sequence[FollowUpTask]
    behind: Holder | None = None
    waiting_for: Mapping[str, Any] | None = None
    warnings: Sequence[str] = ()

    def as_answer(self) -> dict[str, Any]:
        return {
            "ok": True,
            "ladder_id": self.ladder.pk,
            "tasks": [as_answer(task) for task in self.tasks],
            "waiting_for": self.waiting_for,
            "warnings": list(self.warnings),
        }


def require_owner(owner: str, by: By) -> None:
    """Refuse `owner_mismatch` where a person names another owner; only managers and programs do."""
    if (
        owner
        and owner_key(owner) != by.key
        and by.role not in (Role.MANAGER, Role.SERVICE)
        and not by.is_system
    ):
        raise Forbidden("owner_mismatch", _("Only a manager assigns a ladder to somebody else."))


# Refusals after which a call's word about a known lead is kept all the same.
KEPT_AFTER = frozenset({"ladder_active", "kill_switch_engaged", "go_live_disabled"})


def create_ladder(
    lead_id: str,
    *,
    by: By,
    at: datetime,
    province: str = "",
    market: str = "",
    owner: str = "",
    details: LeadDetails | None = None,
) -> NewLadder:
    """Begin a ladder for a lead, created if not known, and return it with its tasks.

    While a ladder of another lead runs for the same number or address and the same name, or none, it waits:
    its steps are held `person_active` until that one ends, except where a channel has a point of its own.
    With another name it begins, and `warnings` has `number_shared`.

    Raises Refused `ladder_active` naming the one that runs, `contact_denied` with the reason where the gate's
    checks 1 to 5 refuse, `template_disabled`; Invalid for a missing or another province. What the call says
    of a known lead is kept also where a ladder runs or the switches are off; `kept` of the refusal names it.
    """
    details = details or LeadDetails()
    try:
        return _create(lead_id, province, market, details, owner=owner, by=by, at=at)
    except Refused as refusal:
        if refusal.code in KEPT_AFTER:
            with suppress(Refused):  # of the two refusals the first one answers
                kept, lost = keep_details(lead_id, province, market, details, by=by, at=at)
                refusal.extra |= {"kept": kept, "warnings": warnings_about(details, lost)}
        raise


@verb(Execution.PROD_EXEC, right=CREATE_LADDER)
def _create(
    lead_id: str, province: str, market: str, details: LeadDetails, *, owner: str, by: By, at: datetime
) -> NewLadder:
    require_owner(owner, by)
    lead, points, _new = find_or_create(lead_id, province, market, details, by=by, at=at)
    made = begin(lead, points, by=by, at=at, owner=owner)
    warnings = [*made.warnings, *warnings_about(details, not_stored(lead, details))]
    return replace(made, warnings=warnings, waiting_for=waiting_for(made.behind, by=by, at=at))


@verb(Execution.OBSERVE_ONLY, right=CREATE_LADDER)
def keep_details(
    lead_id: str, province: str, market: str, details: LeadDetails, *, by: By, at: datetime
) -> tuple[list[str], list[str]]:
    """Keep what is said of a known lead without beginning a ladder; return the names of what was new, and
    of what was too much to store.

    Open tasks take a number that they lacked, and are judged by a city, market or score that was not known.
    Raises Forbidden without the right, Invalid for another province, Refused `lead_erased`.
    """
    lead = Lead.objects.select_for_update().filter(external_id=lead_id).first()
    if lead is None:
        return [], list(details.extra)
    require_not_erased(lead)
    _points, names = fill_in(lead, province, market, details, by=by, at=at)
    if names:
        give_points(lead.pk, by=by)
        realign_leads([lead.pk], at=at, by=by)
        rejudge([lead.pk], by=by, at=at)
    return names, not_stored(lead, details)


def warnings_about(details: LeadDetails, lost: Collection[str]) -> list[str]:
    """Return a warning for each parameter that nobody knows: its value is in the lead's `extra`, or not."""
    return [f"{'not_stored' if name in lost else 'unknown_field'}:{name}" for name in details.extra]


def begin(
    lead: Lead,
    points: Sequence[ContactPoint],
    *,
    by: By,
    at: datetime,
    owner: str = "",
    book: tuple[GateBook, Where] | None = None,
    questions: Mapping[str, Question] | None = None,
    nurture: bool = False,
) -> NewLadder:
    """Begin the ladder of a locked lead, with `nurture` the short one, inside the caller's transaction."""
    require_not_erased(lead)
    running = (
        Ladder.objects.filter(lead=lead, status=Ladder.Status.ACTIVE).values_list("pk", flat=True).first()
    )
    if running is not None:
        raise Refused(
            "ladder_active",
            _("Lead %(lead)s has the active ladder %(ladder)s already.")
            % {"lead": lead.external_id, "ladder": running},
            extra={"ladder_id": running},
        )
    template = template_of(lead)
    steps = template.nurture if nurture else read_steps(template.steps)
    gates, asked = require_gate(lead, points, steps, at, book, questions)
    numbers = digests_of(points)
    lock_numbers(numbers)
    holders = holders_of(numbers)
    ladder = Ladder.objects.create(
        lead=lead, template=template, template_version=template.version, nurture=nurture,
        steps=[step.as_json() for step in steps] if nurture else template.steps,
        owner=owner.strip(), started_at=at, queued_at=place_in_queue(at, holders), **by.written(),
    )  # fmt: skip
    tasks = _tasks(ladder, points, steps, gates, asked, holders, by=by, at=at)
    behind = _behind(ladder, points, tasks, holders)
    lead.status = Lead.Status.WORKING
    lead.follow_up_at = lead.nurture_at = None
    lead.updated_at = at
    lead.save(update_fields=["status", "follow_up_at", "nurture_at", "updated_at"])
    emit_kpi(
        "WHOLESALE", "ladder_created", by=by, at=at, success=True,
        detail={"ladder": ladder.pk, "province": lead.province, "steps": len(tasks), "nurture": nurture},
    )  # fmt: skip
    warnings = (NUMBER_SHARED,) if behind is None and holders.others(lead.pk, points) else ()
    return NewLadder(ladder, tasks, behind, warnings=warnings)


def _behind(
    ladder: Ladder, points: Sequence[ContactPoint], tasks: Sequence[FollowUpTask], holders: Holders
) -> Holder | None:
    """Return the ladder that the first waiting step waits for, if one does."""
    waiting = next((task for task in tasks if task.held_reason == PERSON_ACTIVE), None)
    if waiting is None:
        return None
    kind = CHANNELS[waiting.channel].kind
    ahead = holders.ahead(ladder, ladder.lead.name, [point for point in points if point.kind == kind])
    return ahead[0] if ahead else None


def template_of(lead: Lead) -> LadderTemplate:
    template: LadderTemplate | None = LadderTemplate.objects.effective(lead.place)
    if template is None:
        raise Refused(
            "template_missing", _("There is no ladder template for this place; a manager must add one.")
        )
    if not template.enabled:
        raise Refused("template_disabled", _("The ladder template of this market is switched off."))
    return template


def _usable(points: Sequence[ContactPoint], channel: str) -> ContactPoint | None:
    kind = CHANNELS[channel].kind
    return next((p for p in points if p.kind == kind and p.status == ContactPoint.Status.USABLE), None)


def require_gate(
    lead: Lead, points: Sequence[ContactPoint], steps: Sequence[Step], at: datetime,
    book: tuple[GateBook, Where] | None, questions: Mapping[str, Question] | None,
) -> tuple[dict[str, Gate], Mapping[str, Question]]:  # fmt: skip
    """Return the gate and question of each channel, or refuse what no other hour changes.

    A national list that is too old refuses no ladder: its calls are held.
    """
    read, where = book or open_book(lead.place, at, city=lead.city, zone=lead.zone)
    channels = list(dict.fromkeys(step.channel for step in steps))
    reachable = [channel for channel in channels if not points or _usable(points, channel)]
    if not reachable:
        raise _denied("no_contact_point")
    asked = questions or questions_about(channels, facts_of_points(lead, points), lead.score, at=at)
    gates = {channel: read.gate(where, channel) for channel in channels}
    for channel in reachable:
        reason = gates[channel].judge(asked[channel], at).refused_for_good()
        if reason:
            raise _denied(reason)
    return gates, asked


def _denied(reason: str) -> Refused:
    return Refused("contact_denied", sentence(reason), extra={"reason": reason, "next_allowed_at": None})


def _tasks(
    ladder: Ladder, points: Sequence[ContactPoint], steps: Sequence[Step], gates: Mapping[str, Gate],
    asked: Mapping[str, Question], holders: Holders, *, by: By, at: datetime,
) -> list[FollowUpTask]:  # fmt: skip
    taken = taken_by_others(ladder, ladder.lead.name, points, holders)
    asked = {channel: _to_plan(question, points, taken, at) for channel, question in asked.items()}

    def first_allowed(channel: str, wanted: datetime) -> datetime | None:
        return gates[channel].next_allowed(asked[channel], wanted)

    def planned(channel: str, wanted: datetime) -> datetime | None:
        """Find a step's time, and let the step count for those after it."""
        nonlocal asked
        due = first_allowed(channel, wanted)
        point, must_wait = first_free(points, channel, taken)
        if due is not None and point is not None and not must_wait:
            asked = with_contact(asked, channel, point.digest, due)
        return due

    zone = gates[steps[0].channel].zone
    tasks = [
        _task(ladder, points, plan, gates, asked, taken, by=by, at=at)
        for plan in due_times(steps, at, zone, planned)
    ]
    current = current_of(tasks)
    if current is not None:
        current.is_current = True
    return FollowUpTask.objects.bulk_create(tasks)


def _to_plan(
    question: Question, points: Sequence[ContactPoint], taken: frozenset[str], at: datetime
) -> Question:
    """Return a question for calls that are planned now, to the number that would be called."""
    if not question.numbers:
        return question
    point, _must_wait = first_free(points, question.channel, taken)
    return replace(question, planned_at=at, called=point.digest if point is not None else "")


def _task(
    ladder: Ladder, points: Sequence[ContactPoint], plan: Planned, gates: Mapping[str, Gate],
    asked: Mapping[str, Question], taken: frozenset[str], *, by: By, at: datetime,
) -> FollowUpTask:  # fmt: skip
    channel = plan.step.channel
    point, must_wait = first_free(points, channel, taken)
    lead = ladder.lead
    task = FollowUpTask(
        lead=lead, ladder=ladder, step=plan.number, channel=channel, province=lead.province,
        market_key=lead.market_key, contact_point=point, scheduled_for=plan.scheduled_for,
        created_at=at, **by.written(),
    )  # fmt: skip
    task.set_owner(ladder.owner)
    verdict = gates[channel].judge(asked[channel], max(at, plan.scheduled_for))
    held = "" if plan.due_at else verdict.refused_before_time() or verdict.reason
    if must_wait:
        put_due(task, None, gates[channel], PERSON_ACTIVE)
    else:
        put_due(task, plan.due_at, gates[channel], held)
    if points and task.contact_point is None:
        task.status, task.closed_reason = FollowUpTask.Status.SKIPPED, "no_contact_point"
    return task


@verb(Execution.OBSERVE_ONLY, right="followups.stop_ladder")
def stop_ladder(ladder_id: int, *, by: By, at: datetime, reason: str) -> Ladder:
    """Stop a ladder for a reason; its open steps are cancelled and their claims end.

    Raises Refused `ladder_ended` for one that has ended.
    """
    if not reason.strip():
        raise Invalid({"reason": [_("Say why the ladder stops.")]})
    ladder = Ladder.objects.filter(pk=ladder_id).first()
    if ladder is None:
        raise NotFound(_("There is no such ladder."), code="ladder_not_found")
    lock_leads([ladder.lead_id])
    ladder.refresh_from_db()
    if ladder.status != Ladder.Status.ACTIVE:
        raise Refused(
            "ladder_ended", _("This ladder has ended already."), extra={"ladder_status": ladder.status}
        )
    _stop([ladder.lead_id], reason=reason.strip(), by=by, at=at)
    cancel_open([ladder.lead_id], by=by, reason=reason.strip(), kinds=[FollowUpTask.Kind.LADDER])
    release_after([ladder.lead_id], by=by, at=at)
    ladder.refresh_from_db()
    return ladder


def _stop(lead_ids: Sequence[int], *, reason: str, by: By, at: datetime) -> None:
    Ladder.objects.filter(lead_id__in=list(lead_ids), status=Ladder.Status.ACTIVE).update(
        status=Ladder.Status.STOPPED, stop_reason=reason[:200], ended_at=at, **by.written()
    )


def stop_ladders_of(lead_ids: Sequence[int], *, reason: str, by: By, at: datetime) -> None:
    """Stop the active ladders of locked leads and everything else that is open for them."""
    _stop(lead_ids, reason=reason, by=by, at=at)
    cancel_open(lead_ids, by=by, reason=reason)
    done = Lead.objects.filter(pk__in=list(lead_ids)).exclude(status__in=[Lead.Status.WON, Lead.Status.DEAD])
    done.update(status=Lead.Status.DEAD, follow_up_at=None, nurture_at=None, updated_at=at, **by.written())
    release_after(lead_ids, by=by, at=at)

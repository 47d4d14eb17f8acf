"""Ladders: begun with lawful due times, stopped with a reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from followups.models import ContactPoint, FollowUpTask, Ladder, LadderTemplate, Lead
from followups.rules import Planned, Step, due_times, read_steps
from followups.services.closing import cancel_open
from followups.services.completing import require_right
from followups.services.desk import as_answer, facts_of_points, lock_leads, put_due, require_not_erased
from followups.services.leads import LeadDetails, find_or_create
from governance.actors import By, Role, owner_key
from governance.contact import digests
from governance.contact.reasons import sentence
from governance.contact.rules import Question
from governance.contact.services import Gate, GateBook, Where, open_book, questions_about
from governance.errors import Forbidden, Invalid, NotFound, Refused
from governance.golive.services import Execution, verb
from governance.kpi.services import emit_kpi


@dataclass(frozen=True, slots=True)
class NewLadder:
    """A ladder with its tasks in order."""

    ladder: Ladder
    tasks: Sequence[FollowUpTask]

    def as_answer(self) -> dict[str, Any]:
        return {"ok": True, "ladder_id": self.ladder.pk, "tasks": [as_answer(task) for task in self.tasks]}


def require_owner(owner: str, by: By) -> None:
    """Refuse `owner_mismatch` where a person names another owner; only managers and programs do."""
    if (
        owner
        and owner_key(owner) != by.key
        and by.role not in (Role.MANAGER, Role.SERVICE)
        and not by.is_system
    ):
        raise Forbidden("owner_mismatch", _("Only a manager gives a ladder to somebody else."))


@verb(Execution.PROD_EXEC)
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
    """Begin a ladder for a lead, created if she is not known, and return it with its tasks.

    Raises Refused `ladder_active` naming the one that runs, `contact_denied` with the reason where the gate's
    checks 1 to 5 refuse, `template_disabled`; Invalid for a missing or another province.
    """
    require_right(by, "followups.create_ladder")
    require_owner(owner, by)
    lead, points, _new = find_or_create(lead_id, province, market, details or LeadDetails(), by=by, at=at)
    return begin(lead, points, by=by, at=at, owner=owner)


def begin(
    lead: Lead,
    points: Sequence[ContactPoint],
    *,
    by: By,
    at: datetime,
    owner: str = "",
    book: tuple[GateBook, Where] | None = None,
    questions: Mapping[str, Question] | None = None,
) -> NewLadder:
    """Begin the ladder of a locked lead, inside the caller's transaction."""
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
    steps = read_steps(template.steps)
    gates, asked = require_gate(lead, points, steps, at, book, questions)
    ladder = Ladder.objects.create(
        lead=lead, template=template, template_version=template.version, steps=template.steps,
        owner=owner.strip(), started_at=at, **by.written(),
    )  # fmt: skip
    tasks = _tasks(ladder, points, steps, gates, asked, by=by, at=at)
    lead.status = Lead.Status.WORKING
    lead.follow_up_at = None
    lead.updated_at = at
    lead.save(update_fields=["status", "follow_up_at", "updated_at"])
    emit_kpi(
        "WHOLESALE", "ladder_created", by=by, at=at, success=True,
        detail={"ladder": ladder.pk, "province": lead.province, "steps": len(tasks)},
    )  # fmt: skip
    return NewLadder(ladder, tasks)


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
    kind = digests.KIND_OF_CHANNEL[channel]
    return next((p for p in points if p.kind == kind and p.status == ContactPoint.Status.USABLE), None)


def require_gate(
    lead: Lead, points: Sequence[ContactPoint], steps: Sequence[Step], at: datetime,
    book: tuple[GateBook, Where] | None, questions: Mapping[str, Question] | None,
) -> tuple[dict[str, Gate], Mapping[str, Question]]:  # fmt: skip
    """Return the gate and question of each channel, or refuse what checks 1 to 5 refuse."""
    read, where = book or open_book(lead.place, at, city=lead.city, zone=lead.zone)
    channels = list(dict.fromkeys(step.channel for step in steps))
    reachable = [channel for channel in channels if not points or _usable(points, channel)]
    if not reachable:
        raise _denied("no_contact_point")
    asked = questions or questions_about(channels, facts_of_points(lead, points), lead.score)
    gates = {channel: read.gate(where, channel) for channel in channels}
    for channel in reachable:
        reason = gates[channel].judge(asked[channel], at).refused_before_time()
        if reason:
            raise _denied(reason)
    return gates, asked


def _denied(reason: str) -> Refused:
    return Refused("contact_denied", sentence(reason), extra={"reason": reason, "next_allowed_at": None})


def _tasks(
    ladder: Ladder, points: Sequence[ContactPoint], steps: Sequence[Step], gates: Mapping[str, Gate],
    asked: Mapping[str, Question], *, by: By, at: datetime,
) -> list[FollowUpTask]:  # fmt: skip
    def first_allowed(channel: str, wanted: datetime) -> datetime | None:
        return gates[channel].next_allowed(asked[channel], wanted)

    zone = gates[steps[0].channel].zone
    tasks = [
        _task(ladder, points, plan, gates, asked, by=by, at=at)
        for plan in due_times(steps, at, zone, first_allowed)
    ]
    current = next((task for task in tasks if task.status == FollowUpTask.Status.OPEN), None)
    if current is not None:
        current.is_current = True
    return FollowUpTask.objects.bulk_create(tasks)


def _task(
    ladder: Ladder, points: Sequence[ContactPoint], plan: Planned, gates: Mapping[str, Gate],
    asked: Mapping[str, Question], *, by: By, at: datetime,
) -> FollowUpTask:  # fmt: skip
    channel = plan.step.channel
    lead = ladder.lead
    task = FollowUpTask(
        lead=lead, ladder=ladder, step=plan.number, channel=channel, province=lead.province,
        market_key=lead.market_key, contact_point=_usable(points, channel), scheduled_for=plan.scheduled_for,
        created_at=at, **by.written(),
    )  # fmt: skip
    task.set_owner(ladder.owner)
    held = "" if plan.due_at else gates[channel].judge(asked[channel], max(at, plan.scheduled_for)).reason
    put_due(task, plan.due_at, gates[channel], held)
    if points and task.contact_point is None:
        task.status, task.closed_reason = FollowUpTask.Status.SKIPPED, "no_contact_point"
    return task


@verb(Execution.OBSERVE_ONLY)
def stop_ladder(ladder_id: int, *, by: By, at: datetime, reason: str) -> Ladder:
    """Stop a ladder for a reason; its open steps are cancelled and their claims end.

    Raises Refused `ladder_ended` for one that has ended.
    """
    require_right(by, "followups.stop_ladder")
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
    done.update(status=Lead.Status.DEAD, follow_up_at=None, updated_at=at, **by.written())

"""The follow-ups' entries in a lead's timeline."""

from __future__ import annotations

from django.utils.translation import gettext as _

from followups.models import FollowUpTask, InboundContact, Ladder, Lead, TaskCorrection
from followups.wording import OUTCOMES, gate_sentence, task_name, why_ended
from governance.core.channels import CHANNELS
from governance.core.hooks import Happened

MOST = 300  # of each kind; nobody reads further back


def timeline(lead_id: str) -> list[Happened]:
    """Return how a lead came in, their ladders, tasks, inbound contacts and corrections, in five queries."""
    lead = Lead.objects.filter(external_id=lead_id).first()
    if lead is None:
        return []
    came = Happened(
        lead.created_at, "lead", _("Lead came in"), lead.source, lead.actor, lead.correlation_id,
        "followups.lead", lead.pk,
    )  # fmt: skip
    told = [came]
    ladders = list(Ladder.objects.filter(lead=lead).order_by("-pk")[:MOST])
    for ladder in ladders:
        told += _ladder(ladder)
    lengths = {ladder.pk: len(ladder.steps) for ladder in ladders}
    for task in FollowUpTask.objects.filter(lead=lead).order_by("-pk")[:MOST]:
        told += _task(task, lengths.get(task.ladder_id or 0))
    for contact in InboundContact.objects.filter(lead=lead).order_by("-pk")[:MOST]:
        told.append(_inbound(contact))
    corrections = TaskCorrection.objects.filter(task__lead=lead).order_by("-pk")
    return told + [_correction(correction) for correction in corrections[:MOST]]


def _ladder(ladder: Ladder) -> list[Happened]:
    where = ("followups.ladder", ladder.pk)
    steps = _("%(count)s steps") % {"count": len(ladder.steps)}
    told = [
        Happened(
            ladder.started_at,
            "ladder",
            _("Ladder started"),
            steps,
            ladder.actor,
            ladder.correlation_id,
            *where,
        )
    ]
    if ladder.ended_at:
        why = why_ended(ladder.stop_reason)
        told.append(Happened(ladder.ended_at, "ladder", _("Ladder ended"), why, "", "", *where))
    return told


def _task(task: FollowUpTask, steps: int | None) -> list[Happened]:
    title = f"{task_name(task.kind, task.step, steps)} · {CHANNELS[task.channel].name}"
    where = (task.correlation_id, "followups.followuptask", task.pk)
    told = []
    if task.started_at and task.status != FollowUpTask.Status.COMPLETED:
        told.append(Happened(task.started_at, "contact", title, _("Started"), task.started_by, *where))
    if task.status == FollowUpTask.Status.COMPLETED and task.completed_at:
        done = " · ".join(filter(None, [str(OUTCOMES[task.standing_outcome]), task.note]))
        told.append(Happened(task.completed_at, "contact", title, done, task.completed_by, *where))
    elif task.status != FollowUpTask.Status.OPEN:
        text = " · ".join(filter(None, [str(task.get_status_display()), why_ended(task.closed_reason)]))
        told.append(Happened(task.due_at or task.scheduled_for, "dropped", title, text, "", *where))
    elif task.due_at is None:
        why = gate_sentence(task.held_reason, task.zone, None)
        told.append(Happened(task.scheduled_for, "held", title, why, task.owner, *where))
    else:
        told.append(Happened(task.due_at, "due", title, _("Due"), task.owner, *where))
    return told


def _inbound(contact: InboundContact) -> Happened:
    title = _("They contacted us · %(channel)s") % {"channel": CHANNELS[contact.channel].name}
    outcome = str(OUTCOMES[contact.outcome]) if contact.outcome else ""
    return Happened(
        contact.at, "contact", title, " · ".join(filter(None, [outcome, contact.note])), contact.actor,
        contact.correlation_id, "followups.inboundcontact", contact.pk,
    )  # fmt: skip


def _correction(row: TaskCorrection) -> Happened:
    before, after = (OUTCOMES.get(name, "–") for name in (row.from_outcome, row.to_outcome))
    text = f"{before} → {after} · {row.reason}"
    return Happened(
        row.at, "contact", _("Outcome corrected"), text, row.actor, row.correlation_id,
        "followups.taskcorrection", row.pk,
    )  # fmt: skip

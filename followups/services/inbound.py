"""Inbound contacts: the person who answers looks up the lead and records the contact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from followups.models import ContactPoint, FollowUpTask, InboundContact, Ladder, Lead, LookupEvent
from followups.points import lead_digest, stored_digests
from followups.rules.completion import Completion, check_next
from followups.rules.outcomes import Plan, decide_outcome, decide_waiting, is_inquiry
from followups.services.cases import load_case, wanted_of, with_gate
from followups.services.closing import current_task
from followups.services.consents import inquiry_of
from followups.services.guards import require_not_erased
from followups.services.locked_task import LockedTask, as_answer, facts_of_points, task_for_lead
from followups.services.locks import lock_leads
from followups.services.lookup_limits import check_lookups
from followups.services.plans import write_plan
from governance.contact import digests
from governance.contact.services import open_book, questions_about
from governance.core.actors import Actor
from governance.core.channels import CALL, CHANNELS
from governance.core.errors import Invalid, NotFound
from governance.core.moments import local
from governance.core.verbs import Execution, verb
from governance.kpi.services import emit_kpi

MOST_FOUND = 10
Outcome = FollowUpTask.Outcome
INBOUND_OUTCOMES = (Outcome.REACHED, Outcome.REPLIED, Outcome.OPTED_OUT)


@verb(Execution.OBSERVE_ONLY, right="followups.record_inbound")
def record_inbound(
    lead_id: str,
    *,
    by: Actor,
    at: datetime,
    channel: str,
    outcome: str = "",
    next: str = "",
    next_at: datetime | None = None,
    note: str = "",
) -> tuple[InboundContact, FollowUpTask | None]:
    """Record that a lead called or wrote, at any hour and regardless of gate and go-live.

    Without an outcome the lead waits for an answer: a callback is due at the next allowed instant, ahead of
    the rest. REACHED and REPLIED take `next` as a completion does, OPTED_OUT suppresses the lead. A lead who
    wants to sell makes an inquiry: that is recorded as a consent for six months. Returns the row and the next
    task. Raises NotFound `lead_not_found`, Invalid for an impossible outcome or next step.
    """
    if channel not in CHANNELS:
        raise Invalid({"channel": [_("There is no such channel.")]})
    if outcome and outcome not in INBOUND_OUTCOMES:
        known = ", ".join(INBOUND_OUTCOMES)
        raise Invalid(
            {"outcome": [_("An inbound contact has one of the outcomes %(known)s.") % {"known": known}]}
        )
    said = Completion(outcome=outcome, next=next, next_at=next_at, note=note)
    check_next(said, at)
    lead = Lead.objects.filter(external_id=lead_id).first()
    if lead is None:
        raise NotFound(_("There is no lead %(lead)s.") % {"lead": lead_id}, code="lead_not_found")
    shared = [lead.pk]
    if outcome == Outcome.OPTED_OUT:
        own = ContactPoint.objects.filter(lead=lead).values("digest")
        shared += ContactPoint.objects.filter(digest__in=own).values_list("lead_id", flat=True)
    lock_leads(shared)
    lead.refresh_from_db()
    require_not_erased(lead)
    locked = task_for_lead(lead, channel, by, at)
    plan = _decide(locked, said)
    row = InboundContact.objects.create(
        lead=lead, channel=channel, outcome=outcome, next=next, next_at=next_at, note=note, at=at,
        **by.written(),
    )  # fmt: skip
    waits_since = None if outcome else lead.unanswered_since or at
    answered = {"unanswered_since": waits_since}
    following = write_plan(locked, plan, lead=answered, evidence=f"inbound {row.pk}")
    emit_kpi(
        "FOLLOWUPS",
        "inbound_recorded",
        by=by,
        at=at,
        success=True,
        detail={"inbound": row.pk, "channel": channel, "province": lead.province, "outcome": outcome},
    )
    return row, following or current_task(lead.pk)


def _decide(locked: LockedTask, said: Completion) -> Plan:
    """Load what else is open for the lead and decide the consequences of the contact."""
    case, wanted = load_case(locked), wanted_of(locked, said)
    if said.outcome != Outcome.OPTED_OUT and is_inquiry(said.next, said.note):
        wanted = replace(wanted, inquiry=inquiry_of(locked))
    if said.outcome:
        return decide_outcome(with_gate(locked, case, wanted, just_done=False), wanted, just_done=False)
    ladder = locked.running()
    wanted = replace(wanted, owner=ladder.owner if ladder is not None else "")
    return decide_waiting(replace(case, gate=locked.lead_gate), wanted)


@verb(Execution.OBSERVE_ONLY, right="followups.lookup")
def look_up(
    *, by: Actor, at: datetime, phone: str = "", email: str = "", lead_id: str = "", office: bool = False
) -> list[dict[str, Any]]:
    """Return the leads (at most 10, newest first) that have a number, address or id. Logged.

    Raises Invalid unless exactly one of the three is given, TooManyLookups for somebody who looks up many
    people; an `office` address may look up ten times as many.
    """
    given = [
        (kind, text)
        for kind, text in ((digests.PHONE, phone), (digests.EMAIL, email), (digests.LEAD, lead_id))
        if text
    ]
    if len(given) != 1:
        raise Invalid({"phone": [_("Name a phone, an e-mail address or a lead id, one of them.")]})
    check_lookups(by=by, at=at, office=office)
    kind, text = given[0]
    if kind == digests.LEAD:
        digest = lead_digest(text)
        leads = Lead.objects.filter(external_id=text)
    else:
        hashes = stored_digests(kind, text)
        digest = hashes[0]
        leads = Lead.objects.filter(points__digest__in=hashes).distinct()
    found = list(leads.order_by("-created_at", "-pk").prefetch_related("points")[:MOST_FOUND])
    LookupEvent(kind=kind, digest=digest, found=len(found), at=at, **by.written()).save()
    return [_found(lead, list(lead.points.all()), at) for lead in found]


def zone_of(lead: Lead, at: datetime) -> str:
    """Return the lead's time zone."""
    book, where = open_book(lead.place, at, city=lead.city, zone=lead.zone)
    return book.gate(where, CALL).zone


def found_lead(lead: Lead, at: datetime) -> dict[str, object]:
    """Return a lead as a look-up shows them, for somebody who has looked them up already."""
    return _found(lead, list(lead.points.all()), at)


def _found(lead: Lead, points: Sequence[ContactPoint], at: datetime) -> dict[str, object]:
    book, where = open_book(lead.place, at, city=lead.city, zone=lead.zone)
    asked = questions_about(CHANNELS, facts_of_points(lead, points), lead.score, at=at)
    verdicts = {channel: book.gate(where, channel).judge(asked[channel], at) for channel in CHANNELS}
    zone = book.gate(where, CALL).zone
    ladder = Ladder.objects.filter(lead=lead).order_by("-started_at", "-pk").first()
    task = current_task(lead.pk)
    contacted = FollowUpTask.objects.filter(lead=lead, contacted_at__isnull=False)
    last = contacted.order_by("-contacted_at").first()
    return {
        "id": lead.pk,
        "lead_id": lead.external_id,
        "name": lead.name,
        "province": lead.province,
        "market": lead.market,
        "language": lead.language or None,
        "status": lead.status,
        "zone": zone,
        "local_time": f"{local(at, zone):%Y-%m-%dT%H:%M}",
        "points": [{"kind": p.kind, "value": p.value, "whose": p.whose, "status": p.status} for p in points],
        "contact": {channel: {"ok": v.ok, "reason": v.reason} for channel, v in verdicts.items()},
        "ladder": {"id": ladder.pk, "status": ladder.status, "owner": ladder.owner} if ladder else None,
        "current_task": as_answer(task) if task else None,
        "last_contact": {
            "contacted_at": last.contacted_at,
            "channel": last.channel,
            "outcome": last.standing_outcome,
            "completed_by": last.completed_by,
        }
        if last
        else None,
    }

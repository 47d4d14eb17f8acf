"""Inbound contacts: the person who answers finds the lead, sees the history, and records the contact."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _

from followups import services, wording
from followups.forms import InboundForm
from followups.models import Lead
from followups.pages import card as cards
from followups.pages.acts import read_said
from followups.pages.entry import is_part, needs, part, queue_of, task_named, to_list, to_task, who
from followups.services.closers import closers_for
from followups.services.reading import LeadBackground, told_of
from governance.core.actors import Actor
from governance.core.channels import CHANNELS
from governance.core.errors import Invalid, Refused
from governance.core.rest.input import from_office
from governance.outbox.services import answer_once

ONCE = re.compile(r"[0-9a-f]{32}")
SHOWN = 3  # leads that are shown in full; of more only the number is shown


def read_sought(text: str) -> dict[str, str]:
    """Return what a search term is: an e-mail address, a phone number, or else a lead's id."""
    text = text.strip()[:254]
    if "@" in text:
        return {"email": text}
    digits = re.sub(r"[\s().+\-]", "", text)
    if digits.isascii() and digits.isdigit() and 10 <= len(digits) <= 15:
        return {"phone": text}
    return {"lead_id": text}


@needs(services.look_up.right)
def find(request: HttpRequest) -> HttpResponseBase:
    """Find leads by phone, e-mail or id, whoever owns them; by POST, so that numbers stay out of URLs."""
    if request.method != "POST":
        return to_list(request)
    by, at = who(request), timezone.now()
    sought = request.POST.get("q", "").replace("\0", "")
    wrong, status = "", 200
    found: list[dict[str, Any]] = []
    try:
        office = from_office(request)
        found = services.look_up(by=by, at=at, office=office, **read_sought(sought))
        if not found and "phone" in read_sought(sought):
            found = services.look_up(by=by, at=at, office=office, lead_id=sought.strip()[:64])
    except (Invalid, ValidationError):
        wrong, status = _("This is not a phone number, e-mail address or lead id."), 400
    except services.TooManyLookups as refusal:
        wrong, status = str(refusal), refusal.status
    told = {one.lead.pk: one for one in told_of([row["id"] for row in found[:SHOWN]])}
    context = {
        "sought": sought.strip()[:254],
        "found": [_found(row, told[row["id"]], by) for row in found[:SHOWN] if row["id"] in told],
        "more": max(0, len(found) - SHOWN),
        "wrong": wrong,
        "back": task_named(request.POST.get("task", "")),
        "may": cards.may(by),
        "queue": queue_of(request),
    }
    if is_part(request):
        return part(request, "followups/found.html", context, status=status)
    return render(request, "followups/find.html", context, status=status)


def _found(
    row: dict[str, Any], told: LeadBackground, by: Actor, form: InboundForm | None = None
) -> dict[str, object]:
    """Return a lead for display, with everything that the person who answers must know."""
    lead, zone = told.lead, row["zone"]
    at = timezone.now()
    last = row["last_contact"]
    task = row["current_task"]
    closers = closers_for(lead, by=by, at=at)
    return {
        "lead": lead,
        "name": cards.name_of(lead),
        "where": cards.where(lead.province, lead.market, lead.city),
        "speaks": cards.language(lead.language),
        "clock": wording.moment(at, zone),
        "zone": wording.zone_name(zone),
        "owner": row["ladder"]["owner"] if row["ladder"] else "",
        "points": [
            {"text": wording.point_text(point["value"]), "whose": point["whose"], "status": point["status"]}
            for point in row["points"]
        ],
        "last": _("%(when)s, %(channel)s: %(outcome)s, by %(who)s")
        % {
            "when": wording.moment(last["contacted_at"], zone),
            "channel": CHANNELS[last["channel"]].name,
            "outcome": wording.OUTCOMES.get(last["outcome"], ""),
            "who": last["completed_by"],
        }
        if last
        else "",
        "task": task["id"] if task else None,
        "due": wording.moment(task["due_at"], zone) if task and task["due_at"] else "",
        "properties": told.properties,
        "history": [
            {
                "when": wording.moment(when, zone),
                "channel": CHANNELS[done.channel].name,
                "outcome": done.standing_outcome_display,
                "who": done.completed_by,
                "notes": wording.note_parts(done.note),
            }
            for done in told.done
            if (when := done.contacted_at or done.completed_at)
        ],
        "form": form or InboundForm(zone=zone, at=at, auto_id=f"inbound_{lead.pk}_%s"),
        "plain": cards.plain_next(closers.on_shift),
        "no_closer": not closers.on_shift,
        "closers": cards.offered_times(closers, zone, at),
        "once": uuid.uuid4().hex,
    }


@needs(services.record_inbound.right)
def inbound(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Record that a lead called or wrote; submitting the same form again records nothing more."""
    if request.method != "POST":
        return to_list(request)
    by, at = who(request), timezone.now()
    lead = Lead.objects.filter(pk=pk).first()
    if lead is None:
        raise Http404
    said = read_said(request.POST)
    form = InboundForm(said, zone=services.zone_of(lead, at), at=at, auto_id=f"inbound_{pk}_%s")
    if not form.is_valid():
        return _again(request, lead, by, form, 400)
    values = form.values()

    def handle() -> tuple[int, str, bool]:
        _row, following = services.record_inbound(lead.external_id, by=by, at=at, **values)
        return 200, json.dumps({"next": wording.next_sentence(following)}), True

    once = request.POST.get("once", "")
    try:
        if ONCE.fullmatch(once):
            _status, body, _again_ = answer_once(
                user_id=by.user_id or 0, key=f"page-inbound:{once}", request=[pk, once], at=at, handle=handle
            )
        else:
            _status, body, _stored = handle()
    except Refused as refusal:
        form.refuse(refusal)
        return _again(request, lead, by, form, refusal.status)
    what = wording.OUTCOMES[values["outcome"]] if values["outcome"] else _("waits for an answer")
    text = _("%(lead)s: inbound contact recorded (%(what)s).") % {"lead": cards.name_of(lead), "what": what}
    messages.success(request, f"{text} {json.loads(body)['next']}")
    back = task_named(request.POST.get("task", ""))
    return to_task(request, back) if back else to_list(request)


def _again(request: HttpRequest, lead: Lead, by: Actor, form: InboundForm, status: int) -> HttpResponse:
    """Show the lead again with the errors, without another look-up."""
    at = timezone.now()
    row = services.found_lead(lead, at)
    told = told_of([lead.pk])[0]
    context = {
        "sought": "",
        "found": [_found(row, told, by, form)],
        "more": 0,
        "back": task_named(request.POST.get("task", "")),
        "may": cards.may(by),
        "queue": queue_of(request),
    }
    if is_part(request):
        return part(request, "followups/found.html", context, status=status)
    return render(request, "followups/find.html", context, status=status)

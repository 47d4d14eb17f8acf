"""The desk: one task in front and the list next to it, both kept up to date."""

from __future__ import annotations

import contextlib
import hashlib
import uuid
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from followups import services, wording
from followups.forms import QueueForm
from followups.models import FollowUpTask, OptOutPress
from followups.pages import card as cards
from followups.pages.entry import (
    SEE,
    chosen_of,
    is_part,
    needs,
    page_of,
    part,
    posted,
    queue_of,
    stopped,
    task_named,
    to_list,
    to_task,
    who,
)
from followups.services.corrections import may_be_corrected
from followups.services.due import LOOKED_THROUGH
from followups.services.presses import UNDO_LASTS
from followups.services.reading import TaskView, held_claims, look_at
from followups.services.task_list import Group, TaskPage, beside, fresh_until, mark
from governance.core.actors import Actor, Role, owner_key
from governance.core.channels import CHANNELS
from governance.core.errors import NotFound, Refused
from governance.core.moments import local

PAGE_SIZE = 50


def find(pk: int, by: Actor, at: datetime) -> TaskView:
    """Return the task for a page. Raises Http404 if there is none for this person."""
    try:
        return look_at(pk, by=by, at=at)
    except NotFound as none:
        raise Http404(str(none)) from none


# --- the whole page, or the part in front -------------------------------------------------------------------


@needs(SEE)
def due(request: HttpRequest) -> HttpResponse:
    """Show the desk without a task in front."""
    return desk(request, who(request), timezone.now(), done=_just_done(request.GET.get("done", "")))


@needs(SEE)
def task(request: HttpRequest, pk: int) -> HttpResponse:
    """Show the desk with this task in front, with all data on its lead."""
    by, at = who(request), timezone.now()
    correcting = request.GET.get("correct") == "1"
    return desk(request, by, at, look=find(pk, by, at), correcting=correcting)


def desk(
    request: HttpRequest,
    by: Actor,
    at: datetime,
    *,
    look: TaskView | None = None,
    done: FollowUpTask | None = None,
    refusal: Refused | None = None,
    go_on: bool = False,
    nothing: bool = False,
    pressed: bool = False,
    opening: str = "",
    status: int | None = None,
    **more: Any,
) -> HttpResponse:
    """Return the page, or for its script the front part, with a task's card or the button for the next.

    `done` is the task that was just recorded, `pressed` says that it was an opt-out by key, `nothing` that no
    task may be worked now and `opening` when the next one may; `more` is passed to the card.
    """
    answer = status or (refusal.status if refusal else 200)
    # what can be undone stays on the page; it is loaded again if it may have changed
    presses = services.presses_to_undo(by, at) if pressed or not is_part(request) else None
    pressed_now = next((press for press in presses or () if done and press.task_id == done.pk), None)
    context: dict[str, Any] = {
        "queue": queue_of(request),
        "may": cards.may(by),
        "refusal": refusal,
        "now": int(at.timestamp()),
        "htmx_here": True,
        "nothing": nothing,
        "opens": opening,
        "undo": _undo(done, by, at) if done and pressed_now is None else None,
        "press": _press(pressed_now) if pressed_now else None,
        "presses": None if presses is None else [_press(press) for press in presses],
    }
    here = reverse("followups:due")
    if look is not None:
        context |= {
            "card": True,
            **cards.card(look, by, at, stopped=stopped(request), refusal=refusal, **more),
        }
        here = reverse("followups:task", args=[look.task.pk])
    if is_part(request):
        context |= {"part": True, "go_on": go_on}
        return part(
            request,
            "followups/front.html",
            context,
            status=answer,
            url="" if go_on else here + context["queue"],
        )
    context |= _list(request, by, at, look.task.pk if look else None)
    return render(request, "followups/desk.html", context, status=answer)


def _opening(found: TaskPage, at: datetime) -> str:
    """Return when and where work opens and how many tasks wait; blank if some may be contacted now."""
    opening = found.opening
    if opening is None:
        return ""
    zone = opening.zones[0]
    then = ngettext(
        "Work resumes %(when)s (%(where)s) with %(count)s task.",
        "Work resumes %(when)s (%(where)s) with %(count)s tasks.",
        opening.count,
    ) % {
        "when": wording.soon(opening.at, zone, local(at, zone).date()),
        "where": ", ".join(wording.zone_name(name) for name in opening.zones[:4]),
        "count": opening.count,
    }
    if not found.due:
        return then
    waiting = ngettext("%(count)s due task is waiting.", "%(count)s due tasks are waiting.", found.due)
    return f"{then} {waiting % {'count': found.due}}"


def _just_done(text: str) -> FollowUpTask | None:
    pk = task_named(text)
    return (
        FollowUpTask.objects.filter(pk=pk).select_related("lead", "ladder").first()
        if pk is not None
        else None
    )


def _undo(found: FollowUpTask, by: Actor, at: datetime) -> dict[str, object] | None:
    """Return what the person may correct the just recorded task to now."""
    if not may_be_corrected(found, by, at):
        return None
    return {
        "task": found,
        "name": cards.name_of(found.lead),
        "instead": cards.instead(found),
        "outcome": wording.OUTCOMES[found.standing_outcome],
    }


def _press(press: OptOutPress) -> dict[str, object]:
    """Return an opt-out that can be undone, and until when by the server's clock."""
    until = press.at + UNDO_LASTS
    return {
        "pk": press.pk,
        "name": cards.name_of(press.task.lead),
        "at": wording.clock(press.at, press.task.zone),
        "until": wording.clock(until, press.task.zone),
        "ends": int(until.timestamp()),
    }


def presses(by: Actor, at: datetime) -> list[dict[str, object]]:
    """Return the person's opt-outs by key that can be undone, for the page."""
    return [_press(press) for press in services.presses_to_undo(by, at)]


# --- the list -----------------------------------------------------------------------------------------------


def filters_of(chosen: dict[str, str]) -> dict[str, object]:
    return {name: chosen[name] for name in ("province", "channel") if name in chosen}


def _list(request: HttpRequest, by: Actor, at: datetime, in_front: int | None) -> dict[str, object]:
    chosen = chosen_of(request)
    filters = filters_of(chosen)
    found = beside(
        by=by,
        at=at,
        size=PAGE_SIZE,
        number=page_of(request),
        filters=filters,
        contactable={"yes": True, "no": False}.get(chosen.get("contactable", "")),
        whose=chosen.get("whose", ""),
        order=chosen.get("order", "urgent"),
    )
    return {
        "found": found,
        "stopped": stopped(request),
        "opening": _opening(found, at),
        "most": LOOKED_THROUGH,
        "handovers": [_row(row, by, at) for row in found.handovers],
        "rings": by.role == Role.CLOSER,
        "ringing": [] if stopped(request) else [row["id"] for row in found.handovers if _rings(row)],
        "allowed_groups": [_group(group, by, at) for group in found.allowed],
        "waiting_groups": [_group(group, by, at) for group in found.waiting],
        "apart": [_row(row, by, at) for row in found.apart],
        "soon": [_soon(task, at) for task in found.soon],
        "form": QueueForm(request.GET),
        "chosen": chosen,
        "queue": queue_of(request),
        "links": _page_links(found, chosen),
        "in_front": in_front,
        "once": uuid.uuid4().hex,
        "version": _version(by, at, filters, in_front, fresh_until(found, at)),
        "now": int(at.timestamp()),
    }


def _rings(row: dict[str, Any]) -> bool:
    """Return whether to announce a handoff: the lead may be called now and nobody has claimed it."""
    return bool(row["contact"]["ok"]) and not row["claimed_by"]


def _version(
    by: Actor, at: datetime, filters: dict[str, object], in_front: int | None, until: datetime
) -> str:
    """Return the version that the page sends to ask for news: a digest of its contents, and its expiry."""
    return f"{_digest(mark(by=by, at=at, filters=filters, task_id=in_front))}.{int(until.timestamp())}"


def _digest(text: str) -> str:
    return hashlib.blake2s(text.encode(), digest_size=9).hexdigest()


@needs(SEE)
def news(request: HttpRequest) -> HttpResponse:
    """Return the changes since the page was shown, 204 if there are none."""
    by, at = who(request), timezone.now()
    known, _dot, until = request.GET.get("v", "")[:60].partition(".")
    in_front = task_named(request.GET.get("task", ""))
    if until.isascii() and until.isdigit() and at.timestamp() < int(until):
        filters = filters_of(chosen_of(request))
        if known == _digest(mark(by=by, at=at, filters=filters, task_id=in_front)):
            return HttpResponse(status=204)
    context = _list(request, by, at, in_front) | {"may": cards.may(by)}
    if in_front is not None:
        try:
            context |= {
                "contact": True,
                **cards.contact(look_at(in_front, by=by, at=at), by, at, stopped(request)),
            }
        except NotFound:
            context["gone"] = True
    return part(request, "followups/news.html", context)


def _page_links(found: TaskPage, chosen: dict[str, str]) -> dict[str, str]:
    def to(number: int) -> str:
        return f"?{urlencode({**chosen, 'page': number})}" if 1 <= number <= found.pages else ""

    return {"previous": to(found.number - 1), "next": to(found.number + 1)}


def _group(group: Group, by: Actor, at: datetime) -> dict[str, object]:
    minutes = int((group.closes_at - at).total_seconds() // 60) if group.closes_at else None
    first = group.rows[0]
    return {
        "clock": wording.clock(at, group.zone),
        "where": ", ".join(wording.zone_name(zone) for zone in group.zones[:4]),
        "closes": wording.clock(group.closes_at, group.zone) if group.closes_at else "",
        "closes_in": wording.duration(minutes) if minutes is not None else "",
        "closes_soon": minutes is not None and minutes <= 60,
        "sentence": ""
        if group.closes_at
        else wording.gate_sentence(first["contact"]["reason"], group.zone, group.opens_at),
        "rows": [_row(row, by, at) for row in group.rows],
    }


def _row(row: dict[str, Any], by: Actor, at: datetime) -> dict[str, object]:
    """Return a due task for the list."""
    held = bool(row["claimed_by"]) and owner_key(row["claimed_by"]) == by.key
    left = row["claim_until"] - at if held and row["claim_until"] else None
    return {
        "id": row["id"],
        "name": row["lead"]["name"] or row["lead_id"],
        "where": cards.where(row["province"], row["market"], row["city"]),
        "channel": CHANNELS[row["channel"]].name,
        "task": wording.task_name(row["kind"], row["step"], row["steps"]),
        "due": wording.moment(row["due_at"], row["zone"]),
        "overdue": wording.overdue(row["overdue_minutes"]),
        "very_late": row["late"],
        "call_by": wording.clock(row["deadline_at"], row["zone"]) if row["deadline_at"] else "",
        "missed": row["deadline_at"] is not None and row["deadline_at"] <= at,
        "callable": row["contact"]["ok"],
        "opens": ""
        if row["contact"]["ok"]
        else wording.gate_sentence(row["contact"]["reason"], row["zone"], row["contact"]["next_allowed_at"]),
        "promised": row["kind"] == FollowUpTask.Kind.CALLBACK,
        "owner": row["owner"] if row["owner"] and row["owner"].lower() != by.key else "",
        "claimed_by": row["claimed_by"],
        "held": held,
        "minutes_left": max(0, int(left.total_seconds() // 60)) if left else 0,
    }


def _soon(task: FollowUpTask, at: datetime) -> dict[str, object]:
    assert task.due_at is not None
    minutes = -int((at - task.due_at).total_seconds() // 60)
    return {
        "id": task.pk,
        "name": cards.name_of(task.lead),
        "channel": CHANNELS[task.channel].name,
        "promised": task.kind == FollowUpTask.Kind.CALLBACK,
        "in": wording.duration(minutes),
        "when": f"{local(task.due_at, task.zone):%H:%M}",
        "zone": wording.zone_name(task.zone),
    }


# --- claims -------------------------------------------------------------------------------------------------


@needs(services.next_task.right)
def next_one(request: HttpRequest) -> HttpResponseBase:
    """Put the most urgent task that may be contacted now in front; repeated, it returns the same one."""
    if request.method != "POST":
        return to_list(request)
    by, at = who(request), timezone.now()
    try:
        pk = services.next_task(by=by, at=at, filters=filters_of(chosen_of(request)))
    except Refused as refusal:
        return desk(request, by, at, refusal=refusal)
    if pk is not None:
        return to_task(request, pk)
    # in front: the task just recorded stays shown, and can be corrected
    return desk(request, by, at, nothing=True, opening=_opens(request, by, at))


def _opens(request: HttpRequest, by: Actor, at: datetime) -> str:
    """Return when work opens if the person got no task; blank while nobody may be contacted."""
    if stopped(request):
        return ""
    return _opening(beside(by=by, at=at, size=1, filters=filters_of(chosen_of(request))), at)


@needs(services.release_claim.right)
def release_all(request: HttpRequest) -> HttpResponseBase:
    """Release everything that the person has claimed."""
    if request.method != "POST":
        return to_list(request)
    by, at = who(request), timezone.now()
    given = 0
    for pk, token in held_claims(by, at):
        with contextlib.suppress(Refused):  # reassigned meanwhile: no longer claimed
            given += services.release_claim(pk, by=by, at=at, claim_token=token)
    messages.success(
        request,
        ngettext("%(count)s task was released.", "%(count)s tasks were released.", given) % {"count": given},
    )
    return to_list(request)


@needs(services.release_claim.right)
@posted
def release(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Release one task."""
    by, at = who(request), timezone.now()
    look = find(pk, by, at)
    try:
        given = services.release_claim(pk, by=by, at=at, claim_token=look.task.claim_token)
    except Refused as refusal:
        return desk(request, by, at, look=look, refusal=refusal)
    messages.success(
        request, _("The task was released.") if given else _("You no longer had this task claimed.")
    )
    return to_list(request)


@needs(services.renew_claim.right)
@posted
def renew(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Renew the claim while the page stays open; `news` reports a claim that has ended."""
    by, at = who(request), timezone.now()
    look = find(pk, by, at)
    with contextlib.suppress(Refused):
        services.renew_claim(pk, by=by, at=at, claim_token=look.task.claim_token)
    return HttpResponse(status=204)

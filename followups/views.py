"""The pages on which due tasks are worked: permission, call, answer."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import Any, Concatenate, ParamSpec
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache

from followups import services, wording
from followups.forms import CompleteForm, OfALead, QueueForm, SkipForm, SnoozeForm
from followups.models import FollowUpTask, Lead
from followups.services.completing import START_LASTS, Completed
from followups.services.due import LOOKED_THROUGH
from followups.services.reading import DuePage, Look, due_page, held_claims, look_at
from governance.actors import By
from governance.contact.rules import OVERRIDABLE
from governance.errors import NotFound, Refused
from governance.outbox.services import answer_once
from governance.people.rules import by_user
from governance.places import ALL, Province

PAGE_SIZE = 50
CLAIMED_AT_ONCE = 10
P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponseBase]
SEE = "followups.view_followuptask"


def needs(right: str) -> Callable[[View[P]], View[P]]:
    """Let in who is signed in and has the right: others log in, or are told that they may not."""

    def decorate(view: View[P]) -> View[P]:
        guarded: View[P] = login_required(permission_required(right, raise_exception=True)(never_cache(view)))
        return guarded

    return decorate


def posted(view: View[[int]]) -> View[[int]]:
    """Answer anything but a POST with the task's page: who logs in again comes back by GET."""

    @wraps(view)
    def answer(request: HttpRequest, pk: int) -> HttpResponseBase:
        return view(request, pk) if request.method == "POST" else _to_task(request, pk)

    return answer


def _who(request: HttpRequest) -> By:
    return by_user(request.user, correlation_id=str(getattr(request, "correlation_id", "")))


def _queue(request: HttpRequest) -> str:
    """Return what the list is narrowed to, as the query string that every link and form carries on."""
    chosen = QueueForm(request.GET).chosen()
    return f"?{urlencode(chosen)}" if chosen else ""


def _to_list(request: HttpRequest) -> HttpResponseRedirect:
    return HttpResponseRedirect(reverse("followups:due") + _queue(request))


def _to_task(request: HttpRequest, pk: int) -> HttpResponseRedirect:
    return HttpResponseRedirect(reverse("followups:task", args=[pk]) + _queue(request))


def _look(pk: int, by: By, at: datetime) -> Look:
    try:
        return look_at(pk, by=by, at=at)
    except NotFound as none:
        raise Http404(str(none)) from none


# --- the list -----------------------------------------------------------------------------------------------


@needs(SEE)
def due(request: HttpRequest) -> HttpResponse:
    """Show what is due, the oldest first."""
    return _list_page(request, _who(request), timezone.now())


def _filters(chosen: dict[str, str], by: By, at: datetime) -> dict[str, Any]:
    wanted: dict[str, Any] = {name: chosen[name] for name in ("province", "channel") if name in chosen}
    if chosen.get("whose") == "mine":
        wanted["owner_key"] = by.key
    elif chosen.get("whose") == "held":
        wanted |= {"claimed_by__iexact": by.username, "claim_until__gt": at}
    return wanted


def _list_page(request: HttpRequest, by: By, at: datetime, refusal: Refused | None = None) -> HttpResponse:
    form = QueueForm(request.GET)
    chosen = form.chosen()
    number = request.GET.get("page", "")
    page = due_page(
        by=by,
        at=at,
        size=PAGE_SIZE,
        number=max(1, int(number)) if re.fullmatch(r"[0-9]{1,4}", number, re.ASCII) else 1,
        filters=_filters(chosen, by, at),
        contactable={"yes": True, "no": False}.get(chosen.get("contactable", "")),
        order=chosen.get("order", "due"),
    )
    rows = [_row(row, by, at) for row in page.rows]
    context = {
        "page": page,
        "most": LOOKED_THROUGH,
        "groups": [
            [row for row in rows if row["point"]],
            [row for row in rows if not row["point"]],
        ],
        "form": form,
        "chosen": chosen,
        "queue": _queue(request),
        "links": _page_links(page, chosen),
        "may": _may(by),
        "once": uuid.uuid4().hex,
        "refusal": refusal,
    }
    return render(request, "followups/due.html", context, status=refusal.status if refusal else 200)


def _page_links(page: DuePage, chosen: dict[str, str]) -> dict[str, str]:
    def to(number: int) -> str:
        return f"?{urlencode({**chosen, 'page': number})}" if 1 <= number <= page.pages else ""

    return {"previous": to(page.number - 1), "next": to(page.number + 1)}


def _may(by: By) -> dict[str, bool]:
    rights = ("claim_task", "start_task", "complete_task", "plan_task", "work_any_task", "view_all")
    return {right: by.may(f"followups.{right}") for right in rights}


def _row(row: dict[str, Any], by: By, at: datetime) -> dict[str, Any]:
    """Return a due task in words."""
    zone, channel = row["zone"], row["channel"]
    point = row["lead"]["phone"] or row["lead"]["email"] or ""
    held = bool(row["claimed_by"]) and row["claimed_by"].lower() == by.key
    others = bool(row["claimed_by"]) and not held
    free = not row["owner"] or row["owner"].lower() == by.key or not by.may("followups.view_all")
    contact = row["contact"]
    return {
        "id": row["id"],
        "name": row["lead"]["name"] or row["lead_id"],
        "lead_id": row["lead_id"],
        "language": _language(row["lead"]["language"]),
        "where": _where(row["province"], row["market"], row["city"]),
        "point": wording.point_text(point),
        "link": wording.point_link(channel, point) if point and contact["ok"] else "",
        "channel": wording.CHANNELS[channel],
        "task": wording.task_name(row["kind"], row["step"], row["steps"]),
        "due": wording.moment(row["due_at"], zone),
        "overdue": wording.overdue(row["overdue_minutes"]),
        "very_late": row["overdue_minutes"] >= 120,
        "clock": wording.clock(at, zone),
        "zone": wording.zone_name(zone),
        "zone_id": zone,
        "allowed": contact["ok"],
        "sentence": wording.gate_sentence(contact["reason"], zone, contact["next_allowed_at"]),
        "owner": row["owner"],
        "claimed_by": row["claimed_by"],
        "held": held,
        "minutes_left": int((row["claim_until"] - at).total_seconds() // 60)
        if held and row["claim_until"]
        else 0,
        "startable": contact["ok"] and not others and (free or by.may("followups.work_any_task")),
    }


def _language(code: str | None) -> str:
    return str(Lead.Language(code).label) if code in Lead.Language.values else _("language unknown")


def _where(province: str, market: str, city: str) -> str:
    """Return where the lead lives: city and market if they are known, and the province."""
    parts = [city, market.title() if market != ALL and market.casefold() != city.casefold() else ""]
    return ", ".join([part for part in parts if part] + [str(Province(province).label)])


@needs("followups.claim_task")
def claim(request: HttpRequest) -> HttpResponseBase:
    """Claim the next tasks; the same form sent twice claims once."""
    if request.method != "POST":
        return _to_list(request)
    by, at = _who(request), timezone.now()
    chosen = QueueForm(request.GET).chosen()
    filters = _filters({**chosen, "whose": ""}, by, at)

    def handle() -> tuple[int, str, bool]:
        _token, ids, _until = services.claim_due(by=by, at=at, limit=CLAIMED_AT_ONCE, filters=filters)
        return 200, str(len(ids)), bool(ids)

    once = request.POST.get("once", "")
    try:
        if re.fullmatch(r"[0-9a-f]{32}", once):
            _status, body, _again = answer_once(
                user_id=by.user_id or 0,
                key=f"page-claim:{once}",
                request=["claim", once],
                at=at,
                handle=handle,
            )
        else:
            _status, body, _stored = handle()
    except Refused as refusal:
        return _list_page(request, by, at, refusal)
    claimed = int(body)
    if not claimed:
        messages.info(
            request,
            _("Nothing that is due is free to claim: others hold it, or it does not suit your profile."),
        )
        return _to_list(request)
    messages.success(
        request,
        ngettext(
            "You hold %(count)s task for the next 15 minutes.",
            "You hold %(count)s tasks for the next 15 minutes.",
            claimed,
        )
        % {"count": claimed},
    )
    return HttpResponseRedirect(f"{reverse('followups:due')}?{urlencode({**chosen, 'whose': 'held'})}")


@needs("followups.claim_task")
def release_all(request: HttpRequest) -> HttpResponseBase:
    """Give back everything that the person holds."""
    if request.method != "POST":
        return _to_list(request)
    by, at = _who(request), timezone.now()
    given = sum(
        services.release_claim(pk, by=by, at=at, claim_token=token) for pk, token in held_claims(by, at)
    )
    messages.success(
        request,
        ngettext("%(count)s task was given back.", "%(count)s tasks were given back.", given)
        % {"count": given},
    )
    return redirect("followups:due")


@needs("followups.claim_task")
@posted
def release(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Give one task back."""
    by, at = _who(request), timezone.now()
    look = _look(pk, by, at)
    given = services.release_claim(pk, by=by, at=at, claim_token=look.task.claim_token)
    messages.success(
        request, _("The task was given back.") if given else _("The task was not held by you any more.")
    )
    return _to_list(request)


# --- one task -----------------------------------------------------------------------------------------------


@needs(SEE)
def task(request: HttpRequest, pk: int) -> HttpResponse:
    """Show a task with all there is of its lead."""
    by, at = _who(request), timezone.now()
    return _task_page(request, _look(pk, by, at), by, at)


def _task_page(
    request: HttpRequest,
    look: Look,
    by: By,
    at: datetime,
    *,
    refusal: Refused | None = None,
    status: int | None = None,
    **forms: OfALead,
) -> HttpResponse:
    task, lead, zone = look.task, look.task.lead, look.zone
    claimed = bool(task.claimed_by) and task.claim_until is not None and task.claim_until > at
    held = claimed and task.claimed_by.lower() == by.key
    workable = look.workable and look.first is None and (held or not claimed)
    started = task.started_at if look.workable and task.started_by.lower() == by.key else None
    begin_by = started + START_LASTS if started else None
    point = task.contact_point
    context: dict[str, Any] = {
        "look": look,
        "task": task,
        "lead": lead,
        "zone": zone,
        "zone_name": wording.zone_name(zone),
        "name": lead.name or lead.external_id,
        "what": wording.task_name(task.kind, task.step, len(look.desk.steps)),
        "channel": wording.CHANNELS[task.channel],
        "start_label": wording.START[task.channel],
        "speaks": _language(lead.language),
        "where": _where(lead.province, lead.market, lead.city),
        "clock": wording.moment(at, zone),
        "due": wording.moment(task.due_at, zone) if task.due_at else "",
        "late": wording.overdue(int((at - task.due_at).total_seconds() // 60))
        if task.due_at and task.due_at <= at
        else "",
        "snoozed": wording.moment(task.snoozed_until, zone)
        if task.snoozed_until and task.snoozed_until > at
        else "",
        "allowed": look.verdict.ok,
        "sentence": wording.gate_sentence(look.verdict.reason, zone, look.next_allowed_at),
        "held_why": wording.gate_sentence(task.held_reason, zone, None) if task.held_reason else "",
        "claimed_by": task.claimed_by if claimed else "",
        "claim_until": wording.clock(task.claim_until, zone) if claimed and task.claim_until else "",
        "held": held,
        "releasable": held or (claimed and by.may("followups.work_any_task")),
        "workable": workable,
        "planable": look.workable and (held or not claimed),
        "started": wording.clock(started, zone) if started else "",
        "begin_by": wording.clock(begin_by, zone) if begin_by else "",
        "may_begin": begin_by is not None and at < begin_by,
        "point": wording.point_text(point.value) if point else "",
        "script": _script(look),
        "history": [_past(other, look) for other in look.history],
        "points": [(wording.point_text(other.value), other) for other in look.desk.points],
        "may": _may(by),
        "queue": _queue(request),
        "may_opt_out": by.may("governance.suppress") and look.hers and lead.status != Lead.Status.DEAD,
        "refusal": refusal,
        "complete": forms.get("complete") or _complete_form(None, look, by, at),
        "snooze": forms.get("snooze") or SnoozeForm(zone=zone, at=at, auto_id="snooze_%s"),
        "skip": forms.get("skip") or SkipForm(zone=zone, at=at, auto_id="skip_%s"),
    }
    open_link = look.verdict.ok or context["may_begin"]
    context["link"] = (
        wording.point_link(task.channel, point.value, context["script"]["text"])
        if point and open_link
        else ""
    )
    context["all_the_same"] = refusal is not None and refusal.code == "contact_denied"
    reason = refusal.extra.get("reason") if refusal else ""
    context["overridable"] = context["all_the_same"] and reason in OVERRIDABLE | {"holiday"}
    answer = status or (refusal.status if refusal else 200)
    return render(request, "followups/task.html", context, status=answer)


def _script(look: Look) -> dict[str, str]:
    """Return the step's script in the lead's language, in the other where that one is missing."""
    step = look.step
    wanted = look.task.lead.language or (get_language() or "en")[:2]
    by_language = {"en": step.script_en, "fr": step.script_fr} if step else {}
    for language in (wanted, *by_language):
        if by_language.get(language):
            return {"text": by_language[language], "language": language, "wanted": wanted}
    return {"text": "", "language": wanted, "wanted": wanted}


def _past(other: FollowUpTask, look: Look) -> dict[str, Any]:
    """Return a task of the lead's history in words."""
    when = ""
    if done := other.contacted_at or other.completed_at:
        when = wording.moment(done, look.zone)
    elif other.status == FollowUpTask.Status.OPEN and other.due_at:
        when = _("due %(when)s") % {"when": wording.moment(other.due_at, look.zone)}
    same = other.ladder_id is not None and other.ladder_id == look.task.ladder_id
    held = wording.gate_sentence(other.held_reason, look.zone, None) if other.held_reason else ""
    return {
        "task": other,
        "here": other.pk == look.task.pk,
        "what": wording.task_name(other.kind, other.step, len(look.desk.steps) if same else None),
        "channel": wording.CHANNELS[other.channel],
        "when": when,
        "status": other.get_status_display(),
        "outcome": other.get_outcome_display() if other.outcome else "",
        "why": held or _closed(other.closed_reason),
    }


def _closed(reason: str) -> str:
    """Return why a task was closed; what programs wrote in codes is put into words."""
    known = {
        **{name: str(label) for name, label in FollowUpTask.Outcome.choices},
        "suppressed": _("opted out"),
        "no_contact_point": _("no number or address for this channel"),
    }
    return known.get(reason, reason)


def _complete_form(data: Any, look: Look, by: By, at: datetime) -> CompleteForm:
    return CompleteForm(
        data,
        zone=look.zone,
        at=at,
        channel=look.task.channel,
        may_override=by.may("governance.override_gate"),
        auto_id="complete_%s",
    )


@needs("followups.start_task")
@posted
def start(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Ask the gate and begin; five minutes remain."""
    by, at = _who(request), timezone.now()
    try:
        services.start_task(pk, by=by, at=at)
    except NotFound as none:
        raise Http404(str(none)) from none
    except Refused as refusal:
        return _task_page(request, _look(pk, by, at), by, at, refusal=refusal)
    return _to_task(request, pk)


@needs("followups.complete_task")
@posted
def complete(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Record how a contact went and show what comes next."""
    by, at = _who(request), timezone.now()
    look = _look(pk, by, at)
    form = _complete_form(request.POST, look, by, at)
    if not form.is_valid():
        return _task_page(request, look, by, at, status=400, complete=form)
    try:
        done = services.complete_task(pk, form.completion(), by=by, at=at)
    except NotFound as none:
        raise Http404(str(none)) from none
    except Refused as refusal:
        form.refuse(refusal)
        return _task_page(request, look, by, at, refusal=refusal, complete=form)
    _say(request, look, done)
    return _to_list(request)


def _say(request: HttpRequest, look: Look, done: Completed) -> None:
    said = {
        "lead": look.task.lead.name or look.task.lead.external_id,
        "outcome": done.task.get_outcome_display(),
    }
    if done.already_completed:
        text = _("%(lead)s: this was recorded already (%(outcome)s).") % said
    else:
        text = _("%(lead)s: recorded (%(outcome)s).") % said
    messages.success(request, f"{text} {wording.next_sentence(done.next_task)}")


@needs("followups.complete_task")
@posted
def opt_out(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Record, on a task in any state, that the person does not want to hear from us."""
    by, at = _who(request), timezone.now()
    look = _look(pk, by, at)
    try:
        services.complete_task(pk, services.Completion(outcome=FollowUpTask.Outcome.OPTED_OUT), by=by, at=at)
    except Refused as refusal:
        return _task_page(request, look, by, at, refusal=refusal)
    messages.success(
        request,
        _("%(lead)s opted out and is not contacted any more.")
        % {"lead": look.task.lead.name or look.task.lead.external_id},
    )
    return _to_list(request)


@needs("followups.plan_task")
@posted
def snooze(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Put a task aside."""
    by, at = _who(request), timezone.now()
    look = _look(pk, by, at)
    form = SnoozeForm(request.POST, zone=look.zone, at=at, auto_id="snooze_%s")
    if not form.is_valid():
        return _task_page(request, look, by, at, status=400, snooze=form)
    try:
        put = services.snooze_task(pk, by=by, at=at, until=form.cleaned_data["until"])
    except Refused as refusal:
        form.refuse(refusal)
        return _task_page(request, look, by, at, refusal=refusal, snooze=form)
    assert put.snoozed_until is not None
    messages.success(
        request,
        _("Put aside until %(when)s (%(zone)s).")
        % {"when": wording.moment(put.snoozed_until, look.zone), "zone": wording.zone_name(look.zone)},
    )
    return _to_list(request)


@needs("followups.plan_task")
@posted
def skip(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Leave a task out for a reason."""
    by, at = _who(request), timezone.now()
    look = _look(pk, by, at)
    form = SkipForm(request.POST, zone=look.zone, at=at, auto_id="skip_%s")
    if not form.is_valid():
        return _task_page(request, look, by, at, status=400, skip=form)
    try:
        _task, following = services.skip_task(pk, by=by, at=at, reason=form.cleaned_data["reason"])
    except Refused as refusal:
        if refusal.extra.get("task_status") == FollowUpTask.Status.SKIPPED:
            messages.success(request, _("This task was skipped already."))
            return _to_list(request)
        form.refuse(refusal)
        return _task_page(request, look, by, at, refusal=refusal, skip=form)
    done = _("Skipped.")
    messages.success(request, f"{done} {wording.next_sentence(following)}")
    return _to_list(request)

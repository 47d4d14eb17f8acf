"""What is done with the task in front: start, record, put aside, skip, correct."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.utils import timezone
from django.utils.translation import gettext as _

from followups import services, wording
from followups.forms import SkipForm, SnoozeForm
from followups.models import FollowUpTask
from followups.pages import card as cards
from followups.pages.desk import desk, find
from followups.pages.doors import is_part, needs, part, posted, to_list, to_task, who
from followups.services.completing import Completed
from followups.services.reading import Look
from governance.actors import By
from governance.errors import NotFound, Refused

Outcome = FollowUpTask.Outcome


def read_said(data: QueryDict) -> QueryDict:
    """Put what one button says, such as `REACHED:CALLBACK:2026-11-26T14:30`, into the form's fields."""
    said = data.get("said", "")
    if not said:
        return data
    outcome, _colon, rest = said[:60].partition(":")
    kind, _colon, when = rest.partition(":")
    read = data.copy()
    read["outcome"] = outcome
    if kind:
        read["next"] = kind
    if when:
        read["next_at"] = when
    return read


@needs("followups.start_task")
@posted
def start(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Ask the gate and begin; five minutes remain."""
    by, at = who(request), timezone.now()
    try:
        services.start_task(pk, by=by, at=at)
    except NotFound as none:
        raise Http404(str(none)) from none
    except Refused as refusal:
        return desk(request, by, at, look=find(pk, by, at), refusal=refusal)
    return to_task(request, pk)


@needs("followups.complete_task")
@posted
def complete(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Record how a contact went; the next task follows."""
    by, at = who(request), timezone.now()
    said = read_said(request.POST)
    # recorded all day, so in few queries: the card is read only to show what was wrong with it
    look = find(pk, by, at) if _needs_card(said) else None
    form = cards.complete_form(said, look, by, at)
    if not form.is_valid():
        return _refused(request, by, at, look or find(pk, by, at), said)
    try:
        done = services.complete_task(pk, form.completion(), by=by, at=at)
    except NotFound as none:
        raise Http404(str(none)) from none
    except Refused as refusal:
        return _refused(request, by, at, look or find(pk, by, at), said, refusal)
    _say(request, cards.name_of(done.task.lead), done)
    return _go_on(request, done.task)


def _needs_card(said: QueryDict) -> bool:
    """Say whether times were typed, on her clock, or whether an opt-out comes in for a task never seen."""
    times = said.get("next_at") or said.get("contacted_at")
    return bool(times) or said.get("outcome") == Outcome.OPTED_OUT


def _refused(
    request: HttpRequest, by: By, at: datetime, look: Look, said: QueryDict, refusal: Refused | None = None
) -> HttpResponse:
    form = cards.complete_form(said, look, by, at)
    form.is_valid()
    if refusal is None:
        return desk(request, by, at, look=look, status=400, complete=form)
    form.refuse(refusal)
    return desk(request, by, at, look=look, refusal=refusal, complete=form)


def _go_on(request: HttpRequest, done: FollowUpTask | None = None) -> HttpResponseBase:
    """Go on with the next task: the page's script asks for it at once, else the list offers it."""
    if is_part(request):
        return desk(request, who(request), timezone.now(), done=done, go_on=True)
    return to_list(request, **({"done": done.pk} if done else {}))


def _say(request: HttpRequest, name: str, done: Completed) -> None:
    said = {"lead": name, "outcome": done.task.get_outcome_display()}
    if done.already_completed:
        text = _("%(lead)s: this was recorded already (%(outcome)s).") % said
    else:
        text = _("%(lead)s: recorded (%(outcome)s).") % said
    messages.success(request, f"{text} {wording.next_sentence(done.next_task)}")


@needs("followups.complete_task")
@posted
def opt_out(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Record, on a task in any state, that the person does not want to hear from us."""
    by, at = who(request), timezone.now()
    look = find(pk, by, at)
    try:
        services.complete_task(pk, services.Completion(outcome=Outcome.OPTED_OUT), by=by, at=at)
    except Refused as refusal:
        return desk(request, by, at, look=look, refusal=refusal)
    messages.success(
        request,
        _("%(lead)s opted out and is not contacted any more.") % {"lead": cards.name_of(look.task.lead)},
    )
    return _go_on(request, look.task)


@needs("followups.plan_task")
@posted
def snooze(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Put a task aside."""
    by, at = who(request), timezone.now()
    look = find(pk, by, at)
    quick = request.POST.get("quick", "")
    form = SnoozeForm({"until": quick} if quick else request.POST, zone=look.zone, at=at, auto_id="snooze_%s")
    if not form.is_valid():
        return desk(request, by, at, look=look, status=400, snooze=form)
    try:
        put = services.snooze_task(pk, by=by, at=at, until=form.cleaned_data["until"])
    except Refused as refusal:
        form.refuse(refusal)
        return desk(request, by, at, look=look, refusal=refusal, snooze=form)
    assert put.snoozed_until is not None
    messages.success(
        request,
        _("%(lead)s: put aside until %(when)s (%(zone)s).")
        % {
            "lead": cards.name_of(look.task.lead),
            "when": wording.moment(put.snoozed_until, look.zone), "zone": wording.zone_name(look.zone),
        },
    )  # fmt: skip
    return _go_on(request)


@needs("followups.plan_task")
@posted
def skip(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Leave a task out for a reason."""
    by, at = who(request), timezone.now()
    look = find(pk, by, at)
    form = SkipForm(request.POST, zone=look.zone, at=at, auto_id="skip_%s")
    if not form.is_valid():
        return desk(request, by, at, look=look, status=400, skip=form)
    try:
        _task, following = services.skip_task(pk, by=by, at=at, reason=form.cleaned_data["reason"])
    except Refused as refusal:
        if refusal.extra.get("task_status") == FollowUpTask.Status.SKIPPED:
            messages.success(request, _("This task was skipped already."))
            return _go_on(request)
        form.refuse(refusal)
        return desk(request, by, at, look=look, refusal=refusal, skip=form)
    done = _("%(lead)s: skipped.") % {"lead": cards.name_of(look.task.lead)}
    messages.success(request, f"{done} {wording.next_sentence(following)}")
    return _go_on(request)


@needs("followups.correct_task")
@posted
def correct(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Correct a completed task's outcome; the task in front stays where it is."""
    by, at = who(request), timezone.now()
    said: dict[str, Any] = read_said(request.POST).dict()
    reason = str(said.get("reason", "")).strip() or _("Corrected on the due-task page")
    completion = services.Completion(
        outcome=said.get("outcome", "")[:20], next=said.get("next", "")[:20], note=""
    )
    try:
        done = services.correct_task(pk, completion, by=by, at=at, reason=reason[:200])
    except NotFound as none:
        raise Http404(str(none)) from none
    except Refused as refusal:
        if is_part(request):
            messages.error(request, str(refusal))
            return part(request, "followups/said.html", {"part": False}, status=refusal.status)
        return desk(request, by, at, look=find(pk, by, at), refusal=refusal)
    outcome = wording.OUTCOMES[completion.outcome]
    text = _("Corrected to “%(outcome)s”.") % {"outcome": outcome}
    messages.success(request, f"{text} {wording.next_sentence(done.next_task)}")
    if is_part(request):
        return part(request, "followups/said.html", {})
    return to_list(request)

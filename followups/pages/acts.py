"""Actions on the task in front: start, record, snooze, skip, correct."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.utils import timezone
from django.utils.translation import gettext as _

from followups import services, wording
from followups.forms import ConsentForm, SkipForm, SnoozeForm
from followups.models import FollowUpTask, OptOutPress
from followups.pages import card as cards
from followups.pages.desk import desk, find, presses
from followups.pages.entry import is_part, needs, part, posted, to_list, to_task, who
from followups.rules import HANDOVER, HAPPENED
from followups.services.closing import current_task
from followups.services.completing import Completed
from followups.services.reading import TaskView
from governance.core.actors import Actor
from governance.core.channels import CHANNELS
from governance.core.errors import NotFound, Refused

Outcome = FollowUpTask.Outcome
STOPPED = ("kill_switch_engaged", "go_live_disabled")


def read_said(data: QueryDict) -> QueryDict:
    """Put a button's value, such as `REACHED:CALLBACK:2026-11-26T14:30`, into the form's fields."""
    said = data.get("said", "")
    if not said:
        return data
    outcome, _colon, rest = said[:60].partition(":")
    kind, _colon, when = rest.partition(":")
    read = data.copy()
    read["outcome"] = outcome
    if kind:
        read["next"] = kind
    if when or kind == HANDOVER:  # a button without a time means at once, whatever time is typed in the form
        read["next_at"] = when
    return read


def ticked_of(data: QueryDict) -> list[int]:
    """Return the other leads with the number for which the outcome is recorded too."""
    ticked = (text for text in data.getlist("also")[:100] if text.isascii() and text.isdigit())
    return [int(text) for text in ticked if len(text) <= 18]


@needs(services.start_task.right)
@posted
def start(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Ask the gate and start the contact; five minutes remain to begin."""
    by, at = who(request), timezone.now()
    try:
        services.start_task(pk, by=by, at=at)
    except NotFound as none:
        raise Http404(str(none)) from none
    except Refused as refusal:
        return desk(request, by, at, look=find(pk, by, at), refusal=refusal)
    return to_task(request, pk)


@needs(services.complete_task.right)
@posted
def complete(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Record how a contact went; the next task follows."""
    by, at = who(request), timezone.now()
    said = read_said(request.POST)
    # recorded all day, so with few queries: the card is loaded only to show errors
    look, zone, theirs = None, "UTC", True
    if said.get("outcome") in HAPPENED:
        look, zone = _seen_or_closed(pk, by, at)
        theirs = look is not None
    elif _has_times(said):
        look = find(pk, by, at)
    form = cards.complete_form(said, look, by, at, zone=zone)
    if not form.is_valid():
        return _refused(request, by, at, look or find(pk, by, at), said)
    completion = replace(form.completion(), by_key=True)
    try:
        done = services.complete_for(pk, completion, by=by, at=at, also=ticked_of(said))
    except NotFound as none:
        raise Http404(str(none)) from none
    except Refused as refusal:
        return _refused(request, by, at, look or find(pk, by, at), said, refusal)
    _say(request, cards.name_of(done.task.lead) if theirs else _("Task %(task)s") % {"task": pk}, done)
    return _go_on(request, done.task, pressed=completion.outcome == Outcome.OPTED_OUT)


def _has_times(said: QueryDict) -> bool:
    """Return whether times were typed, in the lead's local time."""
    return bool(said.get("next_at") or said.get("contacted_at"))


def _seen_or_closed(pk: int, by: Actor, at: datetime) -> tuple[TaskView | None, str]:
    """Return the card and time zone of a task; only the zone if it was given to somebody else meanwhile.

    What the person did is still recorded, and nothing is shown of a lead who is another's. Raises Http404 if
    there is no such task.
    """
    try:
        look = find(pk, by, at)
    except Http404:
        zone = FollowUpTask.objects.filter(pk=pk).values_list("zone", flat=True).first()
        if zone is None:
            raise
        return None, zone
    return look, look.zone


def _refused(
    request: HttpRequest,
    by: Actor,
    at: datetime,
    look: TaskView,
    said: QueryDict,
    refusal: Refused | None = None,
) -> HttpResponse:
    if refusal is not None and refusal.code in STOPPED:  # engaged while the card was open
        said = said.copy()
        said["happened"] = "on"
    form = cards.complete_form(said, look, by, at)
    form.is_valid()
    ticked = ticked_of(said)
    if refusal is None:
        return desk(request, by, at, look=look, status=400, complete=form, ticked=ticked)
    form.refuse(refusal)
    return desk(request, by, at, look=look, refusal=refusal, complete=form, ticked=ticked)


def _go_on(
    request: HttpRequest, done: FollowUpTask | None = None, *, pressed: bool = False
) -> HttpResponseBase:
    """Continue with the next task: the page's script requests it at once, else the list offers it."""
    if is_part(request):
        return desk(request, who(request), timezone.now(), done=done, go_on=True, pressed=pressed)
    return to_list(request, **({"done": done.pk} if done else {}))


def _say(request: HttpRequest, name: str, done: Completed) -> None:
    said = {"lead": name, "outcome": done.task.standing_outcome_display}
    if done.already_completed:
        text = _("%(lead)s: this was recorded already (%(outcome)s).") % said
    else:
        text = _("%(lead)s: recorded (%(outcome)s).") % said
    messages.success(request, f"{text} {wording.next_sentence(done.next_task)}")


@needs(services.complete_task.right)
@posted
def opt_out(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Record, on a task in any state, that the person does not want to hear from us."""
    by, at = who(request), timezone.now()
    look = find(pk, by, at)
    try:
        said = services.Completion(outcome=Outcome.OPTED_OUT, by_key=True)
        services.complete_task(pk, said, by=by, at=at)
    except Refused as refusal:
        return desk(request, by, at, look=look, refusal=refusal)
    messages.success(
        request,
        _("%(lead)s opted out and will not be contacted again.") % {"lead": cards.name_of(look.task.lead)},
    )
    return _go_on(request, look.task, pressed=True)


@needs(services.undo_opt_out.right)
def undo_opt_out(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Undo an opt-out that the same person recorded by key; the task in front stays."""
    if request.method != "POST":
        return to_list(request)
    by, at = who(request), timezone.now()
    status = 200
    try:
        press = services.undo_opt_out(pk, by=by, at=at)
    except NotFound as none:
        raise Http404(str(none)) from none
    except Refused as refusal:
        messages.error(request, str(refusal))
        status = refusal.status
    else:
        messages.success(request, _taken_back(press))
    if not is_part(request):
        return to_list(request)
    return part(request, "followups/presses_part.html", {"presses": presses(by, at)}, status=status)


def _taken_back(press: OptOutPress) -> str:
    task = FollowUpTask.objects.select_related("lead").get(pk=press.task_id)
    name = {"lead": cards.name_of(task.lead)}
    if task.standing_outcome == Outcome.OPTED_OUT:
        return (
            _("%(lead)s: your opt-out was undone, but another one still applies: they must not be contacted.")
            % name
        )
    text = _("%(lead)s: the opt-out was undone; the follow-up continues.") % name
    return f"{text} {wording.next_sentence(current_task(task.lead_id))}"


@needs(services.snooze_task.right)
@posted
def snooze(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Snooze a task."""
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
            "when": wording.moment(put.snoozed_until, look.zone),
            "zone": wording.zone_name(look.zone),
        },
    )
    return _go_on(request)


@needs(services.skip_task.right)
@posted
def skip(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Skip a task with a reason."""
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


@needs(services.record_heard_consent.right)
@posted
def consent(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Record that the person agreed to be contacted on a channel; the task in front stays."""
    by, at = who(request), timezone.now()
    look = find(pk, by, at)
    form = ConsentForm(request.POST, auto_id="consent_%s")
    if not form.is_valid():
        return desk(request, by, at, look=look, status=400, consent=form)
    try:
        services.record_heard_consent(pk, by=by, at=at, **form.cleaned_data)
    except Refused as refusal:
        form.refuse(refusal)
        return desk(request, by, at, look=look, refusal=refusal, consent=form)
    messages.success(
        request,
        _("%(lead)s: consent recorded (%(channel)s).")
        % {
            "lead": cards.name_of(look.task.lead),
            "channel": CHANNELS[form.cleaned_data["channel"]].name,
        },
    )
    return to_task(request, pk)


@needs(services.correct_task.right)
@posted
def correct(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Correct a completed task's outcome; the task in front stays."""
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

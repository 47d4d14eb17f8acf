"""The jobs page: when each job last ran, its result, and its next run; run now, pause with a reason, resume.

Three queries whatever the number of runs: the rows with their newest run, those runs, who paused what.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from celery import current_app
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.timesince import timesince
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST
from django_celery_beat.models import PeriodicTask
from kombu.exceptions import OperationalError

from governance.core.actors import Actor
from governance.core.admin.base import by_of
from governance.core.errors import Refused
from governance.kpi.figures import keep_figures
from governance.outbox.jobs import SLOTS, TAKE_OVER_AFTER, is_running, run_by_hand
from governance.outbox.models import JobSlot, JobSwitch
from governance.outbox.services import BEAT_WITHIN, last_beat
from governance.outbox.switching import paused_jobs, switch_job
from governance.outbox.wording import schedule_in_words, told_result
from valhalla.pages.entry import for_managers
from valhalla.schedules import LOCAL, SCHEDULES

log = logging.getLogger(__name__)

MOST_JOBS = 100
KNOWN = {schedule.name: schedule for schedule in SCHEDULES}


@dataclass(frozen=True, slots=True)
class Line:
    """A job as displayed; `state` is good, watch or bad, `stops` what does not happen while it is paused."""

    pk: int
    name: str
    task: str
    why: str
    stops: str
    when: str
    last: str
    result: str
    next: str
    state: str
    is_paused: bool
    paused: str
    history: int | None


@for_managers
def schedules(request: HttpRequest) -> HttpResponse:
    """Show every job."""
    at = timezone.now()
    lines = lines_at(at)
    context = {
        **admin.site.each_context(request),
        "title": _("Schedules"),
        "lines": lines,
        "silent": _silent(lines, at),
        "paused": [line for line in lines if line.is_paused],
        "may": request.user.has_perm(switch_job.right),
    }
    return TemplateResponse(request, "admin/schedules.html", context)


@login_required
def act_on_schedule(request: HttpRequest, pk: int) -> HttpResponse:
    """Run a job now, pause it or resume it."""
    if not by_of(request).may(switch_job.right):
        raise PermissionDenied
    return require_POST(_act)(request, pk)


def _act(request: HttpRequest, pk: int) -> HttpResponse:
    row = PeriodicTask.objects.filter(pk=pk).first()
    act, at, by = request.POST.get("act", ""), timezone.now(), by_of(request)
    if row is None:
        messages.error(request, _("There is no job of that name."))
    elif act == "run":
        message = _run_now(request, row.task, by, at)
        if message:
            admin.site.get_model_admin(PeriodicTask).log_change(request, row, message)
    elif act in ("pause", "go_on"):
        reason = request.POST.get("reason", "").replace("\0", "")
        try:
            changed = switch_job(row.task, paused=act == "pause", by=by, at=at, reason=reason)
        except Refused as refusal:
            messages.error(request, " ".join(refusal.sentences))
        else:
            keep_figures({"paused_jobs": paused_jobs()}, at)
            if changed:
                said = _("%(job)s is paused.") if act == "pause" else _("%(job)s is resumed.")
                messages.success(request, said % {"job": row.name})
    return redirect("schedules")


def _run_now(request: HttpRequest, task: str, by: Actor, at: datetime) -> str:
    """Run a job once: on a worker if there is a broker, else in this request.

    Returns what the admin log records of it; nothing if nothing was started.
    """
    current_app.loader.import_default_modules()
    if task not in SLOTS:
        messages.error(request, _("%(job)s cannot be run by hand.") % {"job": task})
        return ""
    if is_running(task, at):
        messages.warning(request, _("%(job)s is running right now; nothing was started.") % {"job": task})
        return ""
    if settings.BROKER_CONFIGURED:
        try:
            current_app.tasks[task].apply_async(kwargs={"by_hand": by.username}, retry=False)
        except OperationalError:
            messages.error(request, _("The broker does not answer; nothing was started."))
            return ""
        messages.success(request, _("%(job)s was handed to a worker.") % {"job": task})
        return _("Run by hand: handed to a worker.")
    try:
        begun, result = run_by_hand(task, at, by.username)
    except Exception as problem:
        log.exception("%s failed when run by hand", task)
        said = _("%(job)s failed (%(error)s); the log says more.")
        messages.error(request, said % {"job": task, "error": type(problem).__name__})
        return _("Run by hand: failed (%(error)s).") % {"error": type(problem).__name__}
    if not begun:
        messages.warning(
            request, _("%(job)s was run by hand within the last minute; nothing was started.") % {"job": task}
        )
        return ""
    told = told_result(task, result)
    messages.success(request, _("%(job)s ran: %(result)s.") % {"job": task, "result": told})
    return _("Run by hand: %(result)s.") % {"result": told}


# --- display ------------------------------------------------------------------------------------------------


def _silent(lines: Sequence[Line], at: datetime) -> str:
    """Return a warning that no job runs automatically; blank if the jobs run or it cannot be known."""
    last = last_beat()
    if any(line.is_paused and line.task == "governance.heartbeat" for line in lines):
        return ""
    if last is None:
        return _("No job starts by itself: the scheduler has never run. Start the job process.")
    if at - last < BEAT_WITHIN:
        return ""
    return _(
        "No job starts by itself: the scheduler has not run since %(when)s. Start the job process again."
    ) % {"when": _moment(last)}


def lines_at(at: datetime) -> list[Line]:
    """Return every job for display as of `at`, paused ones first."""
    newest = JobSlot.objects.filter(job=OuterRef("task")).order_by("-slot").values("pk")[:1]
    rows = list(
        PeriodicTask.objects.select_related("interval", "crontab")
        .annotate(newest=Subquery(newest))
        .order_by("enabled", "name")[:MOST_JOBS]
    )
    runs = JobSlot.objects.in_bulk([row.newest for row in rows if row.newest])
    switches = {row.task: row for row in JobSwitch.objects.order_by("pk")[:MOST_JOBS]}
    return [_line(row, runs.get(row.newest), switches.get(row.task), at) for row in rows]


def _line(row: Any, run: JobSlot | None, switch: JobSwitch | None, at: datetime) -> Line:
    known = KNOWN.get(row.task)
    last, result, state = _last(row, run, at)
    if run is not None and run.by_hand:
        last = _("%(ran)s, by %(who)s, by hand") % {"ran": last, "who": run.by_hand}
    paused = ""
    if not row.enabled and switch is not None and switch.paused:
        paused = _("Paused by %(who)s %(when)s: %(why)s") % {
            "who": switch.changed_by,
            "when": _moment(switch.updated_at),
            "why": switch.reason,
        }
    elif not row.enabled:
        paused = _("Switched off; nobody noted why.")
    return Line(
        row.pk, row.name, row.task, str(known.why) if known else row.description,
        str(known.stops) if known else "",
        schedule_in_words(row.interval, row.crontab), last, result,
        _("not while it is paused") if paused else _next(row, run, at),
        "watch" if paused else state, bool(paused), paused, switch.pk if switch else None,
    )  # fmt: skip


def _last(row: Any, run: JobSlot | None, at: datetime) -> tuple[str, str, str]:
    """Return when a job last ran and its result, for display, and its status light."""
    if run is None:
        due = _due(row, run, at)
        is_late = row.last_run_at is not None or due is None or due <= at
        return _("has not run yet"), "", "watch" if is_late else "good"
    if run.finished_at is not None:
        took = number_format(max(0.0, (run.finished_at - run.started_at).total_seconds()), 1)
        said = _("ran %(ago)s, took %(seconds)s s") % {"ago": _ago(run.finished_at, at), "seconds": took}
        return said, told_result(run.job, run.result), "good"
    if run.error:
        begun = run.started_at + TAKE_OVER_AFTER + timedelta(seconds=1)
        if run.started_at <= at - TAKE_OVER_AFTER:
            return _("failed %(ago)s (%(error)s)") % {"ago": _ago(begun, at), "error": run.error}, "", "bad"
    if run.started_at > at - TAKE_OVER_AFTER:
        return _("started %(ago)s, still running") % {"ago": _moment(run.started_at)}, "", "good"
    return _("started %(ago)s and never finished") % {"ago": _ago(run.started_at, at)}, "", "bad"


def _ago(then: datetime, at: datetime) -> str:
    seconds = max(0, int((at - then).total_seconds()))
    if seconds < 60:
        return ngettext("%(count)s second ago", "%(count)s seconds ago", seconds) % {"count": seconds}
    return _("%(time)s ago") % {"time": timesince(then, at, depth=1)}


def _moment(then: datetime) -> str:
    return date_format(then.astimezone(LOCAL), _("j N, H:i"))


def _next(row: object, run: JobSlot | None, at: datetime) -> str:
    """Return when a job runs next, for display."""
    due = _due(row, run, at)
    if due is None:
        return "–"
    if due <= at + timedelta(seconds=5):
        return _("at the next tick")
    if due - at < timedelta(hours=1):
        minutes = max(1, round((due - at).total_seconds() / 60))
        return ngettext("in %(count)s minute", "in %(count)s minutes", minutes) % {"count": minutes}
    return _("%(when)s, Toronto time") % {"when": _moment(due)}


def _due(row: Any, run: JobSlot | None, at: datetime) -> datetime | None:
    """Return when a job is or was next due: a daily one that is done, not before tomorrow.

    One that never ran was first due at its first scheduled time after its last change.
    """
    if row.interval is not None:
        begun: datetime = row.last_run_at or row.start_time or at
        return begun + row.interval.schedule.run_every if row.last_run_at else begun
    if row.crontab is not None:
        since = row.last_run_at or row.date_changed
        today = at.astimezone(LOCAL).date()
        done = run is not None and run.finished_at is not None and run.slot[:10] == today.isoformat()
        if done and SLOTS.get(row.task) == "day":
            midnight = datetime.combine(today + timedelta(days=1), datetime.min.time(), LOCAL)
            since = max(since, midnight)
        start, delta, _now = row.crontab.schedule.remaining_delta(since)
        due: datetime = start + delta
        return due
    return None

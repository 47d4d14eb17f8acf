"""The jobs, in one table: name, when, and why. `manage.py sync_schedules` creates their rows once.

After that the rows belong to the managers: a row that was changed or disabled is never touched again. A
deleted row comes back, since nobody notices a missing job until it is too late; to stop a job, disable its
row.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import Q
from django.utils import translation
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from governance.outbox.models import JobSwitch

LOCAL = ZoneInfo("America/Toronto")


@dataclass(frozen=True, slots=True)
class Every:
    """A job that runs a number of minutes after its previous run."""

    minutes: int


@dataclass(frozen=True, slots=True)
class Nightly:
    """A job that runs at this minute of each of these hours, Toronto time.

    A daily job is done once; the later hours only retry a failed run. Between 01:00 and 03:00 an hour can be
    missing or occur twice, so no job starts there.
    """

    minute: int
    hours: str


@dataclass(frozen=True, slots=True)
class Schedule:
    """A job's row: `name` is also the Celery task's, `stops` what does not happen while it is paused."""

    name: str
    when: Every | Nightly
    why: str | Promise
    stops: str | Promise


SCHEDULES = (
    Schedule(
        "governance.heartbeat",
        Every(minutes=1),
        _("Shows that jobs are running, and deletes stored answers after a day."),
        _("While it is paused, the runbook says that no jobs run, and stored answers are not deleted."),
    ),
    Schedule(
        "governance.release_stale_reservations",
        Every(minutes=15),
        _("Releases risk reserved 72 hours ago that was neither settled nor released."),
        _("While it is paused, unreleased risk stays reserved and uses up the caps."),
    ),
    Schedule(
        "governance.apply_scheduled",
        Every(minutes=1),
        _("Applies scheduled market policy changes that are due as new versions."),
        _(
            "While it is paused, the contact gate still follows scheduled changes, but lists of "
            "policies and their history do not show them."
        ),
    ),
    Schedule(
        "followups.dispatch_due",
        Every(minutes=1),
        _("Frees expired claims, unblocks tasks, reschedules after a change and sends queued messages."),
        _(
            "While it is paused, no e-mail is sent, blocked tasks stay blocked, expired claims "
            "are not freed and changed hours reschedule nothing."
        ),
    ),
    Schedule(
        "followups.escalate_overdue",
        Every(minutes=5),
        _("Counts each task that is past its two hours once, and notifies managers once an hour."),
        _("While it is paused, late tasks are not counted as missed and managers are not notified."),
    ),
    Schedule(
        "valhalla.take_figures",
        Every(minutes=5),
        _("Counts the metrics of the operations board, so that it opens at once even with large tables."),
        _("While it is paused, the operations board and the counts in the side bar go out of date."),
    ),
    Schedule(
        "followups.snapshot_sla",
        Nightly(minute=5, hours="3-6"),
        _("Stores the previous day’s SLA metrics."),
        _("While it is paused, the SLA of those days is not stored."),
    ),
    Schedule(
        "followups.realign_due",
        Nightly(minute=15, hours="3-6"),
        _("Reschedules tasks due on a new holiday or outside new hours."),
        _(
            "While it is paused, tasks that fall on new holidays or outside new hours keep their "
            "times until the gate refuses them."
        ),
    ),
    Schedule(
        "buyers.refresh_activity",
        Nightly(minute=25, hours="3-6"),
        _("Stops counting buyers who were not active in the last 90 days, and recounts every market."),
        _("While it is paused, buyers last active more than 90 days ago still count in liquidity."),
    ),
    Schedule(
        "governance.remove_expired",
        Nightly(minute=45, hours="3-6"),
        _("Removes what is past its retention period, and records each removal."),
        _("While it is paused, nothing past its retention period is removed."),
    ),
    Schedule(
        "governance.evaluate_tripwires",
        Nightly(minute=0, hours="6-9"),
        _("Checks whether a monitored metric dropped, and throttles or stops what depends on it."),
        _("While it is paused, no drop of a monitored metric is detected, and nothing is throttled."),
    ),
)


@transaction.atomic
def make_missing(at: datetime) -> list[str]:
    """Create the rows of the jobs that have none, and return their names.

    A renamed row still counts as its job's. A job that runs every few minutes first runs as soon as a
    scheduler sees it, a nightly one in the coming night.
    """
    made = []
    for schedule in SCHEDULES:
        if PeriodicTask.objects.filter(Q(name=schedule.name) | Q(task=schedule.name)).exists():
            continue
        # The model's own save, since beat notices a change only through its signal.
        with translation.override("en"):
            why = str(schedule.why)
        paused = JobSwitch.objects.filter(task=schedule.name, paused=True).exists()
        columns = {
            "enabled": not paused,
            "task": schedule.name,
            "description": why,
            **_timing(schedule.when, at),
        }
        PeriodicTask.objects.get_or_create(name=schedule.name, defaults=columns)
        made.append(schedule.name)
    return made


def _timing(when: Every | Nightly, at: datetime) -> dict[str, object]:
    """Return the columns of a row that say when it runs."""
    if isinstance(when, Every):
        rows = IntervalSchedule.objects.filter(every=when.minutes, period=IntervalSchedule.MINUTES)
        interval = rows.first() or IntervalSchedule.objects.create(
            every=when.minutes, period=IntervalSchedule.MINUTES
        )
        # Without a start time the first run is one interval away: too long for the heartbeat.
        return {"interval": interval, "start_time": at}
    times = {"minute": str(when.minute), "hour": when.hours, "timezone": LOCAL}
    crontab = CrontabSchedule.objects.filter(
        **times, day_of_week="*", day_of_month="*", month_of_year="*"
    ).first() or CrontabSchedule.objects.create(**times)
    return {"crontab": crontab}

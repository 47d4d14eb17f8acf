"""The rows of the jobs: made once, the managers' own from then on, and read by whoever fires them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.core.management import call_command
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask, PeriodicTasks

from governance.outbox.jobs import SLOTS, slot_of
from valhalla.celery import app
from valhalla.schedules import SCHEDULES, Every, Nightly, Schedule

pytestmark = pytest.mark.both

PACKAGES = ("governance.", "followups.", "buyers.", "offers.", "valhalla.")


def sync() -> str:
    printed = StringIO()
    call_command("sync_schedules", stdout=printed)
    return printed.getvalue()


def rows() -> list[dict[str, Any]]:
    return list(PeriodicTask.objects.order_by("name").values())


def when(row: PeriodicTask) -> str:
    if row.interval:
        return f"every {row.interval.every} {row.interval.period}"
    at = row.crontab
    return f"{at.minute} {at.hour} {at.day_of_month} {at.month_of_year} {at.day_of_week} {at.timezone}"


def project_tasks() -> dict[str, object]:
    """The tasks that a worker or beat of this project knows, by name."""
    app.loader.import_default_modules()
    return {name: task for name, task in app.tasks.items() if name.startswith(PACKAGES)}


@pytest.mark.django_db
def test_each_job_gets_its_row() -> None:
    sync()

    told = {row.name: (row.task, row.enabled, when(row)) for row in PeriodicTask.objects.all()}
    assert told == {
        "governance.heartbeat": ("governance.heartbeat", True, "every 1 minutes"),
        "governance.release_stale_reservations": (
            "governance.release_stale_reservations",
            True,
            "every 15 minutes",
        ),
        "governance.apply_scheduled": ("governance.apply_scheduled", True, "every 1 minutes"),
        "governance.evaluate_tripwires": (
            "governance.evaluate_tripwires",
            True,
            "0 6-9 * * * America/Toronto",
        ),
        "followups.dispatch_due": ("followups.dispatch_due", True, "every 1 minutes"),
        "valhalla.take_figures": ("valhalla.take_figures", True, "every 5 minutes"),
        "followups.escalate_overdue": ("followups.escalate_overdue", True, "every 5 minutes"),
        "followups.snapshot_sla": ("followups.snapshot_sla", True, "5 3-6 * * * America/Toronto"),
        "followups.realign_due": ("followups.realign_due", True, "15 3-6 * * * America/Toronto"),
        "buyers.refresh_activity": ("buyers.refresh_activity", True, "25 3-6 * * * America/Toronto"),
        "governance.remove_expired": ("governance.remove_expired", True, "45 3-6 * * * America/Toronto"),
    }
    assert all(row.description for row in PeriodicTask.objects.all())


@pytest.mark.django_db
def test_a_second_run_changes_nothing() -> None:
    sync()
    before, changed = rows(), PeriodicTasks.last_change()

    assert sync() == "Every job has its row already.\n"
    assert (rows(), PeriodicTasks.last_change()) == (before, changed)
    assert IntervalSchedule.objects.count() == 3


@pytest.mark.django_db
def test_what_a_manager_changed_stays() -> None:
    sync()
    row = PeriodicTask.objects.get(name="buyers.refresh_activity")
    late = {"minute": "0", "hour": "23", "timezone": ZoneInfo("America/Vancouver")}
    row.crontab = CrontabSchedule.objects.create(**late)
    row.enabled = False
    row.description = "not before the fair"
    row.save()
    renamed = PeriodicTask.objects.get(name="governance.heartbeat")
    renamed.name = "the pulse"
    renamed.save()
    before = rows()

    sync()

    assert rows() == before


@pytest.mark.django_db
def test_a_deleted_row_comes_back_and_the_others_stay() -> None:
    sync()
    PeriodicTask.objects.get(name="governance.heartbeat").delete()

    assert sync() == "governance.heartbeat: created\n"
    assert PeriodicTask.objects.count() == len(SCHEDULES)


@pytest.mark.django_db
def test_beat_is_told_of_a_new_row() -> None:
    before = datetime.now(UTC)

    sync()

    told = PeriodicTasks.last_change()
    assert told is not None
    assert told >= before


@pytest.mark.once
def test_every_scheduled_task_is_registered() -> None:
    assert sorted({schedule.name for schedule in SCHEDULES} - set(project_tasks())) == []


@pytest.mark.once
def test_every_registered_task_is_scheduled() -> None:
    assert sorted(set(project_tasks()) - {schedule.name for schedule in SCHEDULES}) == []


@pytest.mark.once
@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: str(schedule.name))
def test_a_job_is_done_once_between_two_times_of_its_schedule(schedule: Schedule) -> None:
    """A longer slot would leave runs out; a shorter one would do a night's work four times."""
    project_tasks()
    slot = SLOTS[schedule.name]
    at = datetime(2026, 11, 24, 12, tzinfo=UTC)
    if isinstance(schedule.when, Every):
        assert slot_of(slot, at) != slot_of(slot, at + timedelta(minutes=schedule.when.minutes))
    else:
        assert slot == "day"


@pytest.mark.once
@pytest.mark.parametrize("schedule", [one for one in SCHEDULES if isinstance(one.when, Nightly)], ids=str)
def test_no_nightly_job_starts_in_the_hours_that_clock_changes_touch(schedule: Schedule) -> None:
    assert isinstance(schedule.when, Nightly)
    assert int(schedule.when.hours.split("-")[0]) >= 3

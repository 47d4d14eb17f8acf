"""Jobs fire once per slot, whoever fires them, and go on after a failure, a kill or a lost database."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.conf import settings
from django.db import connection, connections
from django.utils import timezone
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from conftest import manage
from governance.models import Heartbeat, JobSlot, SchedulerLease
from governance.outbox.jobs import TAKE_OVER_AFTER, is_running, run_once, slot_of
from governance.outbox.lease import hold, release
from valhalla.celery import app
from valhalla.scheduler import LEASE, LeasedScheduler
from valhalla.schedules import make_missing
from valhalla.tests.processes import ask

pytestmark = pytest.mark.both

AT = datetime(2026, 11, 24, 15, 7, 41, tzinfo=UTC)

# --- slots ------------------------------------------------------------------------------------------------


@pytest.mark.once
@pytest.mark.parametrize(
    ("every", "at", "slot"),
    [
        ("minute", "2026-11-24T15:07:41+00:00", "2026-11-24T15:07"),
        ("5 minutes", "2026-11-24T15:07:41+00:00", "2026-11-24T15:05"),
        ("15 minutes", "2026-11-24T15:07:41+00:00", "2026-11-24T15:00"),
        ("day", "2026-11-24T15:07:41+00:00", "2026-11-24"),
        ("day", "2026-11-25T04:59:59+00:00", "2026-11-24"),  # still the 24th in Toronto
        ("day", "2026-11-25T05:00:00+00:00", "2026-11-25"),
    ],
)
def test_the_slot_of_an_instant(every: str, at: str, slot: str) -> None:
    assert slot_of(every, datetime.fromisoformat(at)) == slot


def together(count: int, work: Callable[[], Any]) -> list[Any]:
    """Run `work` in so many threads at once and return what each got, in no order."""
    gate, results = threading.Barrier(count), []

    def run() -> None:
        gate.wait()
        try:
            results.append(work())
        except Exception as problem:
            results.append(problem)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.django_db(transaction=True)
def test_of_two_schedulers_at_once_one_fires() -> None:
    fired = []

    def work(at: datetime) -> int:
        fired.append(at)
        return 7

    for minute in range(10):
        at = AT + timedelta(minutes=minute)
        results = together(2, partial(run_once, "test.count", "minute", work, at))
        assert sorted(map(str, results)) == ["7", "None"]

    assert len(fired) == 10
    assert set(JobSlot.objects.values_list("result", "error")) == {(7, "")}
    assert not JobSlot.objects.filter(finished_at=None).exists()


@pytest.mark.django_db
def test_a_slot_that_was_done_is_not_done_again() -> None:
    fired: list[datetime] = []

    for seconds in (0, 5, 18):
        run_once("test.count", "minute", fired.append, AT + timedelta(seconds=seconds))
    run_once("test.other", "minute", fired.append, AT)
    run_once("test.count", "minute", fired.append, AT + timedelta(seconds=19))  # the next minute

    assert len(fired) == 3


@pytest.mark.django_db
def test_a_run_that_failed_frees_its_slot_for_the_next_try() -> None:
    def fail(at: datetime) -> None:
        raise LookupError("+1 416 555 0199 is nowhere")

    with pytest.raises(LookupError):
        run_once("test.night", "day", fail, AT)

    failed = JobSlot.objects.get()
    assert (failed.error, failed.finished_at) == ("LookupError", None)  # no data of a lead in it
    assert run_once("test.night", "day", lambda at: "done", AT + timedelta(minutes=1)) == "done"
    assert run_once("test.night", "day", lambda at: "twice", AT + timedelta(minutes=2)) is None
    assert JobSlot.objects.get().error == ""


@pytest.mark.django_db
def test_a_run_that_never_ended_is_taken_over_later() -> None:
    JobSlot.objects.create(job="test.night", slot=slot_of("day", AT), started_at=AT)

    early, late = AT + TAKE_OVER_AFTER - timedelta(seconds=1), AT + TAKE_OVER_AFTER
    assert run_once("test.night", "day", lambda at: "done", early) is None
    assert run_once("test.night", "day", lambda at: "done", late) == "done"


@pytest.mark.django_db(transaction=True)
def test_a_run_that_never_ended_is_taken_over_by_one_alone() -> None:
    JobSlot.objects.create(job="test.night", slot=slot_of("day", AT), started_at=AT)
    later = AT + timedelta(hours=1)

    results = together(2, lambda: run_once("test.night", "day", lambda at: "done", later))

    assert sorted(map(str, results)) == ["None", "done"]


@pytest.mark.django_db
def test_a_run_dated_ahead_by_a_wrong_clock_keeps_no_slot() -> None:
    tomorrow = AT + timedelta(days=1)
    assert run_once("test.night", "day", lambda at: "too early", tomorrow) == "too early"
    JobSlot.objects.update(started_at=tomorrow + timedelta(days=1))  # the clock ran two days ahead

    assert run_once("test.night", "day", lambda at: "done", tomorrow) == "done"
    assert run_once("test.night", "day", lambda at: "done", tomorrow) is None
    assert not is_running("test.night", tomorrow)


# --- the lease --------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_lease_dated_ahead_is_taken_over_by_one() -> None:
    assert hold("scheduler", "a", AT + timedelta(days=1), LEASE)  # its clock runs a day ahead

    assert hold("scheduler", "b", AT, LEASE)
    assert not hold("scheduler", "c", AT, LEASE)
    assert not hold("scheduler", "c", AT - LEASE, LEASE)  # half a minute apart is no wrong clock


@pytest.mark.django_db
def test_a_lease_is_renewed_by_its_holder_and_taken_over_once_it_ended() -> None:
    half = timedelta(seconds=15)

    assert hold("scheduler", "a", AT, LEASE)
    assert not hold("scheduler", "b", AT + half, LEASE)
    assert hold("scheduler", "a", AT + half, LEASE)
    assert not hold("scheduler", "b", AT + LEASE, LEASE)
    assert hold("scheduler", "b", AT + half + LEASE, LEASE)
    assert not hold("scheduler", "a", AT + half + LEASE, LEASE)
    release("scheduler", "a")
    assert not hold("scheduler", "a", AT + half + LEASE, LEASE)


@pytest.mark.django_db(transaction=True)
def test_of_many_who_want_the_lease_one_gets_it() -> None:
    names = iter("abcdefgh")

    assert sum(together(8, lambda: hold("scheduler", next(names), AT, LEASE))) == 1


@pytest.fixture
def fires_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a scheduler run its tasks in this process, as the embedded one does."""
    app.loader.import_default_modules()  # a task that beat does not know goes to the broker
    monkeypatch.setitem(app.conf, "task_always_eager", True)


def beat_once(scheduler: LeasedScheduler) -> None:
    """Tick until nothing more is due."""
    until = time.monotonic() + 20
    while scheduler.tick() == 0:
        assert time.monotonic() < until, "it fires without end"


def pulse(**more: object) -> PeriodicTask:
    """Schedule the heartbeat every second, due at once."""
    second, _made = IntervalSchedule.objects.get_or_create(every=1, period=IntervalSchedule.SECONDS)
    return PeriodicTask.objects.create(
        name="pulse", task="governance.heartbeat", interval=second, start_time=timezone.now(), **more
    )


@pytest.fixture
def two(fires_here: None) -> Iterator[tuple[LeasedScheduler, LeasedScheduler]]:
    pulse()
    first, second = LeasedScheduler(app=app), LeasedScheduler(app=app)
    yield first, second
    for scheduler in (first, second):
        scheduler.close()


@pytest.mark.django_db(transaction=True)
def test_one_scheduler_fires_and_another_takes_over_when_its_lease_has_ended(
    two: tuple[LeasedScheduler, LeasedScheduler],
) -> None:
    first, second = two
    beat_once(first)
    assert JobSlot.objects.get().job == "governance.heartbeat"
    JobSlot.objects.all().delete()

    PeriodicTask.objects.update(last_run_at=timezone.now() - timedelta(minutes=5))  # due again
    beat_once(second)
    assert not JobSlot.objects.exists()

    SchedulerLease.objects.update(expires_at=timezone.now())  # the first was killed
    PeriodicTask.objects.update(last_run_at=timezone.now() - timedelta(minutes=5))
    beat_once(second)
    assert JobSlot.objects.count() == 1
    JobSlot.objects.all().delete()
    PeriodicTask.objects.update(last_run_at=timezone.now() - timedelta(minutes=5))
    beat_once(first)
    assert not JobSlot.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_scheduler_that_ends_in_order_hands_over_at_once(
    two: tuple[LeasedScheduler, LeasedScheduler],
) -> None:
    first, second = two
    beat_once(first)
    JobSlot.objects.all().delete()
    first.close()
    PeriodicTask.objects.update(last_run_at=timezone.now() - timedelta(minutes=5))

    beat_once(second)

    assert JobSlot.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_whoever_takes_over_goes_by_what_the_other_did(fires_here: None) -> None:
    row = pulse()
    row.interval = IntervalSchedule.objects.create(every=1, period=IntervalSchedule.HOURS)
    row.save()
    firing, waiting = LeasedScheduler(app=app), LeasedScheduler(app=app)  # both read a row that never ran
    beat_once(firing)
    assert JobSlot.objects.count() == 1
    JobSlot.objects.all().delete()
    firing.close()

    beat_once(waiting)

    assert not JobSlot.objects.exists()
    waiting.close()


@pytest.mark.django_db(transaction=True)
def test_a_scheduler_waits_for_a_database_that_is_away(two: tuple[LeasedScheduler, LeasedScheduler]) -> None:
    scheduler, _other = two
    beat_once(scheduler)
    connection.ensure_connection()
    connection.connection.close()  # as when its server was stopped
    assert scheduler.tick() > 0

    JobSlot.objects.all().delete()
    PeriodicTask.objects.update(last_run_at=timezone.now() - timedelta(minutes=5))
    scheduler._initial_read, scheduler._heap = True, None
    beat_once(scheduler)
    assert JobSlot.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_nightly_job_that_was_missed_runs_when_a_scheduler_is_back(fires_here: None) -> None:
    now = timezone.now()
    far = (now.hour + 12) % 24  # 12 hours from now, and so 12 hours ago
    PeriodicTask.objects.create(
        name="night",
        task="governance.heartbeat",
        crontab=CrontabSchedule.objects.create(minute="0", hour=str(far), timezone=ZoneInfo("UTC")),
        last_run_at=now - timedelta(hours=20),
    )
    scheduler = LeasedScheduler(app=app)

    beat_once(scheduler)
    scheduler.close()

    assert JobSlot.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_disabled_job_does_not_run(fires_here: None) -> None:
    pulse(enabled=False)
    scheduler = LeasedScheduler(app=app)

    beat_once(scheduler)
    scheduler.close()

    assert not JobSlot.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_scheduler_writes_no_row_of_its_own(fires_here: None) -> None:
    LeasedScheduler(app=app).close()

    assert not PeriodicTask.objects.exists()


# --- the processes themselves -------------------------------------------------------------------------------


def last_beat(url: str) -> str:
    return " ".join(str(at) for (at,) in ask(url, "SELECT at FROM governance_heartbeat"))


@contextlib.contextmanager
def running(environment: dict[str, str], log: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run celery until the block ends, and check that it then ends in order."""
    with log.open("wb") as output:
        program = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "valhalla", *arguments],
            cwd=settings.BASE_DIR,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            process_group=0,
        )
    try:
        yield program
        program.send_signal(signal.SIGTERM)
        program.wait(20)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)
        program.wait()


def wait_for_beat(url: str, program: subprocess.Popen[bytes], log: Path) -> str:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if found := last_beat(url):
            return found
        assert program.poll() is None, log.read_text()
        time.sleep(0.1)
    raise AssertionError(f"no heartbeat within a minute:\n{log.read_text()}")


@pytest.fixture
def environment(migrated_url: str, tmp_path: Path) -> dict[str, str]:
    """The environment of a migrated installation of its own, with its schedules."""
    return {**os.environ, "DATABASE_URL": migrated_url, "VALHALLA_VAR": str(tmp_path / "var")}


def test_without_a_broker_one_beat_process_runs_the_jobs(
    environment: dict[str, str], migrated_url: str, tmp_path: Path
) -> None:
    environment["VALHALLA_EMBEDDED_JOBS"] = "1"
    log = tmp_path / "beat.log"

    with running(environment, log, "beat", "--loglevel", "WARNING") as beat:
        found = wait_for_beat(migrated_url, beat, log)

    assert _in_utc(found) > timezone.now() - timedelta(minutes=2)
    assert beat.returncode == 0
    assert "Traceback" not in log.read_text()
    assert ask(migrated_url, "SELECT * FROM governance_schedulerlease") == []


def _in_utc(at: str) -> datetime:
    """Read an instant as either database gives it; SQLite leaves out that it is UTC."""
    read = datetime.fromisoformat(at)
    return read if read.tzinfo else read.replace(tzinfo=UTC)


RUN_BY_HAND = """
from django.conf import settings
from django.test import Client
from django_celery_beat.models import PeriodicTask
from governance.models import User
settings.ALLOWED_HOSTS = ["testserver"]
client = Client()
client.force_login(User.objects.create(username="mona", role="MANAGER"))
row = PeriodicTask.objects.get(task="buyers.refresh_activity")
print(client.post(f"/admin/schedules/{row.pk}/", {"act": "run"}).status_code)
"""
RAN_BY_HAND = """
SELECT by_hand, result FROM governance_jobslot
WHERE job = 'buyers.refresh_activity' AND finished_at IS NOT NULL
"""


@pytest.mark.broker
def test_with_a_broker_a_worker_runs_them(
    environment: dict[str, str], migrated_url: str, broker_url: str, tmp_path: Path
) -> None:
    environment["CELERY_BROKER_URL"] = broker_url
    beat_log, worker_log = tmp_path / "beat.log", tmp_path / "worker.log"

    with (
        running(environment, worker_log, "worker", "--loglevel", "WARNING", "--concurrency", "1") as worker,
        running(environment, beat_log, "beat", "--loglevel", "WARNING") as beat,
    ):
        wait_for_beat(migrated_url, worker, worker_log)
        asked = manage(
            migrated_url, "shell", "--no-imports", "--command", RUN_BY_HAND, CELERY_BROKER_URL=broker_url
        )
        assert asked.strip() == "302"
        until = time.monotonic() + 30
        while not (ran := ask(migrated_url, RAN_BY_HAND)):
            assert time.monotonic() < until, worker_log.read_text()
            time.sleep(0.1)
        ((by_hand, result),) = ran
        assert by_hand == "mona"
        assert result

    assert (beat.returncode, worker.returncode) == (0, 0)
    assert "Traceback" not in beat_log.read_text() + worker_log.read_text()


@pytest.mark.broker
def test_with_a_broker_beat_alone_does_nothing_itself(
    environment: dict[str, str], migrated_url: str, broker_url: str, tmp_path: Path
) -> None:
    """Else the worker of the test before would prove nothing."""
    environment["CELERY_BROKER_URL"] = broker_url.removesuffix("/0") + "/1"
    log = tmp_path / "beat.log"
    count = "SELECT total_run_count FROM django_celery_beat_periodictask WHERE name = 'governance.heartbeat'"

    with running(environment, log, "beat", "--loglevel", "WARNING"):
        until = time.monotonic() + 60
        while ask(migrated_url, count) == [(0,)]:
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.1)

    assert last_beat(migrated_url) == ""


@pytest.mark.django_db
def test_the_rows_let_the_first_beat_come_at_once(fires_here: None) -> None:
    make_missing(timezone.now())
    entry = LeasedScheduler.Entry(PeriodicTask.objects.get(name="governance.heartbeat"), app=app)

    assert entry.is_due().is_due
    assert not Heartbeat.objects.exists()

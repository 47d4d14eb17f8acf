"""Two schedulers at once, the firing one killed again and again: each slot is fired once."""

from __future__ import annotations

import random
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from valhalla.tests.processes import (
    Broker,
    Program,
    ask,
    celery,
    environment,
    every_second,
    running,
    wait_until,
    what_ran,
)

pytestmark = [pytest.mark.both, pytest.mark.xdist_group("processes")]


class Schedulers:
    """Two schedulers and, with a broker, a worker, on a database whose one enabled job runs every second."""

    def __init__(
        self, url: str, folder: Path, task: str, *options: str, broker: Broker | None = None
    ) -> None:
        self.url, self.folder = url, folder
        own = environment(url, folder, broker)
        names = ("first scheduler", "second scheduler")
        self.both = [celery(name, "beat", own, folder, *options) for name in names]
        worker = celery("worker", "worker", own, folder, "--concurrency", "1")
        self.programs = [broker, *self.both, worker] if broker else self.both
        every_second(url, "governance.heartbeat", task)

    @property
    def fired(self) -> Counter[str]:
        """How often each second was fired."""
        return Counter(what_ran(self.folder))

    def wait_for_runs(self, more: int = 2) -> None:
        wanted = self.fired.total() + more
        wait_until(lambda: self.fired.total() >= wanted, "the job runs", *self.programs)

    def firing(self) -> Program | None:
        """The scheduler that holds the lease."""
        holders = [row[0] for row in ask(self.url, "SELECT holder FROM governance_schedulerlease")]
        return next((one for one in self.both for holder in holders if f"-{one.pid}-" in holder), None)

    def kill_the_firing_one(self, chance: random.Random) -> None:
        killed = self.firing()
        assert killed is not None
        time.sleep(chance.uniform(0, 1))
        killed.kill()
        wait_until(lambda: self.firing() not in (None, killed), "the other takes over", *self.programs)
        self.wait_for_runs()
        killed.start()


@pytest.fixture
def broker(tmp_path: Path) -> Broker:
    return Broker(tmp_path)


def check(schedulers: Schedulers, kills: int, chance: random.Random) -> None:
    with running(*schedulers.programs):
        schedulers.wait_for_runs()
        for _number in range(kills):
            schedulers.kill_the_firing_one(chance)
    fired = schedulers.fired
    assert set(fired.values()) == {1}
    assert len(fired) >= 2 + 2 * kills
    slots = ask(schedulers.url, "SELECT slot FROM governance_jobslot WHERE job = 'test.pulse'")
    assert set(fired) <= {slot for (slot,) in slots}


def test_of_two_schedulers_that_run_jobs_themselves_one_fires(
    migrated_url: str, tmp_path: Path, chance: random.Random
) -> None:
    check(Schedulers(migrated_url, tmp_path, "test.pulse"), 1, chance)


@pytest.mark.long
@pytest.mark.slice
@pytest.mark.broker
def test_of_two_schedulers_with_a_broker_one_fires(
    migrated_url: str, tmp_path: Path, broker: Broker, chance: random.Random
) -> None:
    check(Schedulers(migrated_url, tmp_path, "test.pulse", broker=broker), 2, chance)


@pytest.mark.long
def test_of_two_schedulers_that_run_jobs_themselves_one_fires_through_twenty_kills(
    migrated_url: str, tmp_path: Path, chance: random.Random
) -> None:
    check(Schedulers(migrated_url, tmp_path, "test.pulse"), 20, chance)


@pytest.mark.long
@pytest.mark.broker
def test_of_two_schedulers_with_a_broker_one_fires_through_twenty_kills(
    migrated_url: str, tmp_path: Path, broker: Broker, chance: random.Random
) -> None:
    check(Schedulers(migrated_url, tmp_path, "test.pulse", broker=broker), 20, chance)


def test_a_scheduler_takes_over_what_a_clock_that_ran_a_day_ahead_has_dated(
    migrated_url: str, tmp_path: Path
) -> None:
    schedulers = Schedulers(migrated_url, tmp_path, "test.pulse")
    ahead = f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%d %H:%M:%S}"
    lease = (
        "INSERT INTO governance_schedulerlease (name, holder, expires_at) VALUES ('scheduler', 'gone', %s)"
    )
    ask(migrated_url, lease, ahead)
    ask(migrated_url, "UPDATE django_celery_beat_periodictask SET last_run_at = %s", ahead)

    with running(schedulers.both[0]):
        schedulers.wait_for_runs()


@pytest.mark.long
def test_without_lease_and_slot_both_fire(migrated_url: str, tmp_path: Path) -> None:
    """What must not be: the variant against which the tests above have been seen to fail."""
    plain = "django_celery_beat.schedulers:DatabaseScheduler"
    schedulers = Schedulers(migrated_url, tmp_path, "test.careless_pulse", "--scheduler", plain)
    with running(*schedulers.programs):
        wait_until(lambda: 2 in schedulers.fired.values(), "both fire in a second", *schedulers.programs)

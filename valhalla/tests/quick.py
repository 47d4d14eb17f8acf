"""Valhalla's Celery app with seconds for minutes, for programs of tests that cannot wait for minutes.

`celery -A valhalla.tests.quick` runs the same jobs, slots, lease and schedulers; a slot of a minute is one of
a second, the lease and the waits shrink likewise. Tasks are added that write down when they ran, some as they
must not be written, and tasks that hang.
"""

from __future__ import annotations

import os
import time
from datetime import datetime, timedelta
from pathlib import Path

import django
from celery.exceptions import SoftTimeLimitExceeded

django.setup()

from django.utils import timezone  # noqa: E402  # what follows needs Django's start

from governance.outbox import jobs, services  # noqa: E402  # as above
from valhalla import scheduler  # noqa: E402  # as above
from valhalla.celery import app  # noqa: E402  # as above

__all__ = ["app"]


def slot_of(every: str, at: datetime) -> str:
    """The second instead of the minute; the day stays."""
    return _slot_of(every, at) if every == "day" else f"{at:%Y-%m-%dT%H:%M:%S}"


_slot_of, jobs.slot_of = jobs.slot_of, slot_of
services.RETRY_AFTER, services.SECONDS = timedelta(seconds=5), 1.0
scheduler.LEASE = timedelta(seconds=2)
scheduler.AGAIN_IN = 0.3
app.conf.beat_max_loop_interval = 0.3
app.conf.task_soft_time_limit, app.conf.task_time_limit = 2, 4


def write_down(line: str) -> None:
    """Append a line to the file of what ran, in one write."""
    with Path(os.environ["VALHALLA_TEST_RAN"]).open("a") as file:
        file.write(f"{line}\n")


@jobs.job("test.pulse", every="minute")
def pulse(at: datetime) -> None:
    write_down(slot_of("minute", at))


@app.task(name="test.careless_pulse")
def careless_pulse() -> None:
    """What must not be: a job that asks for no slot."""
    write_down(slot_of("minute", timezone.now()))


@app.task(name="test.careless_message")
def careless_message(number: int) -> None:
    """What must not be: work that lies in a message alone."""
    write_down(str(number))


@jobs.job("test.hang", every="minute")
def hang(at: datetime) -> None:
    time.sleep(600)


@app.task(name="test.hang_on")
def hang_on() -> object:
    """Hang, and go on doing so when asked to stop."""
    while True:
        try:
            time.sleep(600)
        except SoftTimeLimitExceeded:
            write_down("asked to stop")

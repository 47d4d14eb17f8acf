"""A job: a celery task that fires once per slot, however many schedulers and workers run."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from celery import Task, shared_task
from django.db import transaction
from django.utils import timezone

from governance.outbox.models import JobSlot

log = logging.getLogger(__name__)

LOCAL = ZoneInfo("America/Toronto")  # daily jobs have the local date as their slot
TAKE_OVER_AFTER = timedelta(minutes=10)
Work = Callable[[datetime], Any]
SLOTS: dict[str, str] = {}  # of each job, how long its slot is


def slot_of(every: str, at: datetime) -> str:
    """Return the slot that `at` falls into: ``minute``, ``5 minutes``, ``15 minutes`` or ``day``."""
    if every == "day":
        return at.astimezone(LOCAL).date().isoformat()
    minutes = 1 if every == "minute" else int(every.split()[0])
    return at.replace(minute=at.minute - at.minute % minutes).strftime("%Y-%m-%dT%H:%M")


def claim_slot(job: str, slot: str, at: datetime) -> JobSlot | None:
    """Take a slot, or take over one whose run failed or never ended; None when it is taken."""
    with transaction.atomic():
        row, made = JobSlot.objects.select_for_update().get_or_create(
            job=job, slot=slot, defaults={"started_at": at}
        )
        if made:
            return row
        if row.finished_at is not None or row.started_at > at - TAKE_OVER_AFTER:
            return None
        row.started_at = at
        row.save(update_fields=["started_at"])
        return row


def run_once(job: str, every: str, work: Work, at: datetime) -> Any:
    """Do `work` unless this slot was done; returns its result, or None when there was nothing to do."""
    row = claim_slot(job, slot_of(every, at), at)
    if row is None:
        return None
    try:
        result = work(at)
    except Exception as problem:
        # free the slot: the next tick tries again instead of waiting for tomorrow
        JobSlot.objects.filter(pk=row.pk).update(
            error=type(problem).__name__, started_at=at - TAKE_OVER_AFTER - timedelta(seconds=1)
        )
        raise
    JobSlot.objects.filter(pk=row.pk).update(finished_at=timezone.now(), result=result, error="")
    return result


def each(at: datetime, **steps: Callable[[datetime], int]) -> dict[str, int]:
    """Do every step and return what each counted; the first failure is raised once all were tried.

    So what fails again and again stops nothing else of its job.
    """
    counts: dict[str, int] = {}
    failure: Exception | None = None
    for name, step in steps.items():
        try:
            counts[name] = step(at)
        except Exception as problem:
            log.exception("%s failed", name)
            failure = failure or problem
    if failure:
        raise failure
    return counts


def job(name: str, *, every: str) -> Callable[[Work], Task[Any, Any]]:
    """Register a function of the present instant as the celery task `name`, done once per slot."""

    SLOTS[name] = every

    def decorate(work: Work) -> Task[Any, Any]:
        @shared_task(name=name)
        @functools.wraps(work)
        def run() -> Any:
            return run_once(name, every, work, timezone.now())

        return run

    return decorate

"""Jobs: celery tasks that fire once per slot, however many schedulers and workers run."""

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
Work = Callable[[datetime], object]
SLOTS: dict[str, str] = {}  # of each job, how long its slot is
WORK: dict[str, Work] = {}  # of each job, its function


def slot_of(every: str, at: datetime) -> str:
    """Return the slot of `at`: ``minute``, ``5 minutes``, ``15 minutes`` or ``day``."""
    if every == "day":
        return at.astimezone(LOCAL).date().isoformat()
    minutes = 1 if every == "minute" else int(every.split()[0])
    return at.replace(minute=at.minute - at.minute % minutes).strftime("%Y-%m-%dT%H:%M")


def claim_slot(job: str, slot: str, at: datetime, by_hand: str = "") -> JobSlot | None:
    """Claim a slot, or take over one whose run failed or never ended; return None if it is taken.

    A run that began later than now is dated by a clock that was ahead, and does not count. `by_hand` names
    the person who runs it, and is blank for the scheduler.
    """
    with transaction.atomic():
        row, made = JobSlot.objects.select_for_update().get_or_create(
            job=job, slot=slot, defaults={"started_at": at, "by_hand": by_hand}
        )
        if made:
            return row
        is_ahead = row.started_at > at + TAKE_OVER_AFTER
        if not is_ahead and (row.finished_at is not None or row.started_at > at - TAKE_OVER_AFTER):
            return None
        row.started_at, row.finished_at, row.by_hand = at, None, by_hand
        row.save(update_fields=["started_at", "finished_at", "by_hand"])
        return row


def run_once(job: str, every: str, work: Work, at: datetime) -> object:
    """Do `work` unless this slot was done; return its result, or None if there was nothing to do."""
    row = claim_slot(job, slot_of(every, at), at)
    return None if row is None else _run(row, work, at)


def is_running(job: str, at: datetime) -> bool:
    """Return whether a run of this job has begun and not ended."""
    around = (at - TAKE_OVER_AFTER, at + TAKE_OVER_AFTER)
    return JobSlot.objects.filter(job=job, finished_at=None, started_at__range=around).exists()


def run_by_hand(job: str, at: datetime, who: str) -> tuple[bool, object]:
    """Run a job now, and return whether it was started and its result; the run records `who` requested it.

    It takes the slot that is due, so that the scheduler does not run it again; if that slot is done, it takes
    one for this minute. Nothing is started while a run of the job is in progress. Raises KeyError for an
    unknown job, and what the work raises.
    """
    slot = slot_of(SLOTS[job], at)
    with transaction.atomic():
        if is_running(job, at):
            return False, None
        row = claim_slot(job, slot, at, who)
        if row is None and not is_running(job, at):
            # sorts after the slot that it follows
            row = claim_slot(job, f"{slot[:10]}T{at.strftime('%H:%M')} by hand", at, who)
    return (False, None) if row is None else (True, _run(row, WORK[job], at))


def _run(row: JobSlot, work: Work, at: datetime) -> object:
    try:
        result = work(at)
    except Exception as problem:
        # free the slot: the next tick retries instead of waiting for tomorrow
        JobSlot.objects.filter(pk=row.pk).update(
            error=type(problem).__name__, started_at=at - TAKE_OVER_AFTER - timedelta(seconds=1)
        )
        raise
    JobSlot.objects.filter(pk=row.pk).update(finished_at=timezone.now(), result=result, error="")
    return result


def each(at: datetime, **steps: Callable[[datetime], int]) -> dict[str, int]:
    """Do every step and return their counts; raise the first failure once all were tried.

    So a step that fails repeatedly does not stop the rest of its job.
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


def job(name: str, *, every: str) -> Callable[[Work], Task[..., Any]]:
    """Register a function of the present instant as the celery task `name`, done once per slot."""

    SLOTS[name] = every

    def decorate(work: Work) -> Task[..., Any]:
        WORK[name] = work

        @shared_task(name=name)
        @functools.wraps(work)
        def run(by_hand: str = "") -> object:
            if by_hand:
                return run_by_hand(name, timezone.now(), str(by_hand))[1]
            return run_once(name, every, work, timezone.now())

        return run

    return decorate

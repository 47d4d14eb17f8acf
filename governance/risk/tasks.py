"""Celery tasks of the risk guard."""

from __future__ import annotations

from datetime import datetime

from governance.core.actors import Actor
from governance.outbox.jobs import job
from governance.risk.services import release_stale

RELEASE_STALE = "governance.release_stale_reservations"


@job(RELEASE_STALE, every="15 minutes")
def release_stale_reservations(at: datetime) -> int:
    """Release reservations that are still open after 72 hours, a batch per run."""
    return release_stale(by=Actor.system(RELEASE_STALE), at=at)

"""The room's job."""

from __future__ import annotations

from datetime import datetime

from governance.core.actors import By
from governance.outbox.jobs import job
from governance.risk.services import release_stale

RELEASE_STALE = "governance.release_stale_reservations"


@job(RELEASE_STALE, every="15 minutes")
def release_stale_reservations(at: datetime) -> int:
    """Release what was reserved 72 hours ago and nobody ended, a batch a run."""
    return release_stale(by=By.system(RELEASE_STALE), at=at)

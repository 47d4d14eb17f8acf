"""Celery tasks of retention."""

from __future__ import annotations

from datetime import datetime

from governance.core.actors import Actor
from governance.outbox.jobs import job
from governance.retention.services import remove_expired

NAME = "governance.remove_expired"


@job(NAME, every="day")
def remove_expired_rows(at: datetime) -> dict[str, int]:
    """Remove expired rows."""
    return remove_expired(at, by=Actor.system(NAME))

"""Celery tasks of market policies."""

from __future__ import annotations

from datetime import datetime

from governance.market.services import apply_scheduled
from governance.outbox.jobs import job

APPLY = "governance.apply_scheduled"


@job(APPLY, every="minute")
def apply_scheduled_changes(at: datetime) -> int:
    """Apply scheduled changes that are in effect as new versions of their policies."""
    return apply_scheduled(at)

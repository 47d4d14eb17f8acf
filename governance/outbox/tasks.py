"""Celery tasks of the outbox."""

from __future__ import annotations

from datetime import datetime

from governance.outbox.jobs import job
from governance.outbox.services import beat


@job("governance.heartbeat", every="minute")
def heartbeat(at: datetime) -> dict[str, int]:
    """Record that jobs run, and delete stored answers after their day, a batch per minute."""
    return beat(at)

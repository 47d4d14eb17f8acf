"""The room's job."""

from __future__ import annotations

from datetime import datetime

from governance.outbox.jobs import job
from governance.outbox.services import beat


@job("governance.heartbeat", every="minute")
def heartbeat(at: datetime) -> dict[str, int]:
    """Show that jobs are being run, and forget stored answers past their day, a batch a minute."""
    return beat(at)

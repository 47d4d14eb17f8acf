"""Imports the jobs of each package."""

from governance.market.tasks import apply_scheduled_changes
from governance.outbox.tasks import heartbeat
from governance.retention.tasks import remove_expired_rows
from governance.risk.tasks import release_stale_reservations
from governance.tripwire.tasks import evaluate

__all__ = [
    "apply_scheduled_changes",
    "evaluate",
    "heartbeat",
    "release_stale_reservations",
    "remove_expired_rows",
]

"""The hallway: the jobs of each room."""

from governance.outbox.tasks import heartbeat
from governance.risk.tasks import release_stale_reservations

__all__ = ["heartbeat", "release_stale_reservations"]

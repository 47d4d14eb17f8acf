"""The hallway: the jobs of each room."""

from governance.outbox.tasks import heartbeat

__all__ = ["heartbeat"]

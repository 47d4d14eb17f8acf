"""Celery tasks of buyers."""

from __future__ import annotations

from datetime import datetime

from buyers.services import refresh_activity
from governance.core.actors import Actor
from governance.outbox.jobs import job


@job("buyers.refresh_activity", every="day")
def refresh_buyer_activity(at: datetime) -> dict[str, int]:
    """Drop buyers whose 90 days are over from the active ones, and recount every node."""
    done = refresh_activity(by=Actor.system("buyers.refresh_activity"), at=at)
    return {"nodes": done.nodes, "fell_out": done.fell_out, "repaired": len(done.differences)}

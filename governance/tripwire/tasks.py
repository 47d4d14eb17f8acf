"""Celery tasks of tripwires."""

from __future__ import annotations

from datetime import datetime

from governance.core.actors import Actor
from governance.outbox.jobs import job
from governance.tripwire.services import evaluate_tripwires


@job("governance.evaluate_tripwires", every="day")
def evaluate(at: datetime) -> dict[str, int]:
    """Evaluate every monitored metric, and act once on drops."""
    states = evaluate_tripwires(at, by=Actor.system("governance.evaluate_tripwires"))
    return {"evaluated": len(states), "triggered": sum(state.triggered for state in states)}

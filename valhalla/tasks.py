"""Celery tasks that span packs."""

from __future__ import annotations

from datetime import datetime

from governance.kpi import figures
from governance.outbox.jobs import job


@job("valhalla.take_figures", every="5 minutes")
def take_figures(at: datetime) -> int:
    """Recompute the metrics of the operations board."""
    return figures.take_figures(at)

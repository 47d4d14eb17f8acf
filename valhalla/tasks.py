"""The job of what spans the packs."""

from __future__ import annotations

from datetime import datetime

from governance.kpi import figures
from governance.outbox.jobs import job


@job("valhalla.take_figures", every="5 minutes")
def take_figures(at: datetime) -> int:
    """Count the figures of the operations board anew."""
    return figures.take_figures(at)

"""Queries on the switches: what they are now, and when they stopped work."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from governance.core.compiled import CompiledQuery
from governance.golive.models import GoLiveState

Span = tuple[datetime, datetime | None]


@CompiledQuery
def switches() -> Any:
    """Return the row of the two switches, if there is one; every verb reads it."""
    return GoLiveState.objects.filter(pk=1).order_by()


def stopped_spans(since: datetime, until: datetime) -> list[Span]:
    """Return the times between two instants in which production actions were stopped, the oldest first.

    By either switch: whether this installation enforces them is a setting. An open end is None.
    """
    spans: list[Span] = []
    stopped_at: datetime | None = None
    turns = GoLiveState.history.filter(history_date__lt=until).order_by("history_date", "history_id")
    for at, live, killed in turns.values_list("history_date", "go_live_enabled", "kill_switch_engaged"):
        runs = live and not killed
        if runs and stopped_at is not None:
            spans.append((stopped_at, at))
            stopped_at = None
        elif not runs and stopped_at is None:
            stopped_at = at
    if stopped_at is not None:
        spans.append((stopped_at, None))
    return [(begun, end) for begun, end in spans if end is None or end > since]

"""Emitting KPI events. Each is written in the transaction of the action that it counts."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from governance.core.actors import Actor
from governance.kpi.models import KpiEvent


@dataclass(frozen=True, slots=True)
class Kpi:
    """An event about to be written; `value` in the metric's own unit."""

    domain: str
    metric: str
    success: bool | None = None
    value: Decimal | None = None
    detail: dict[str, Any] = field(default_factory=dict)


def emit_kpis(events: Sequence[Kpi], *, by: Actor, at: datetime) -> list[int]:
    """Write several events in one statement and return their ids, by which a later event can correct them."""
    rows = KpiEvent.objects.bulk_create(
        KpiEvent(
            domain=event.domain,
            metric=event.metric,
            success=event.success,
            value=event.value,
            detail=event.detail,
            created_at=at,
            **by.written(),
        )
        for event in events
    )
    return [row.pk for row in rows]


def emit_kpi(
    domain: str,
    metric: str,
    *,
    by: Actor,
    at: datetime,
    success: bool | None = None,
    value: Decimal | None = None,
    detail: dict[str, object] | None = None,
) -> int:
    """Write one event and return its id."""
    return emit_kpis([Kpi(domain, metric, success, value, detail or {})], by=by, at=at)[0]


def kpi_success(domain: str, metric: str, *, by: Actor, at: datetime, **detail: object) -> None:
    """Write an event that succeeded."""
    emit_kpi(domain, metric, by=by, at=at, success=True, detail=detail)


def kpi_fail(domain: str, metric: str, *, by: Actor, at: datetime, **detail: object) -> None:
    """Write an event that failed."""
    emit_kpi(domain, metric, by=by, at=at, success=False, detail=detail)


def kpi_value(domain: str, metric: str, value: Decimal, *, by: Actor, at: datetime, **detail: object) -> None:
    """Write an event with a value."""
    emit_kpi(domain, metric, by=by, at=at, value=value, detail=detail)


@contextmanager
def kpi_timed_step(domain: str, metric: str, *, by: Actor, at: datetime, **detail: object) -> Iterator[None]:
    """Write, when the block ends, whether it succeeded and how many seconds it took.

    The event of a failed block is written outside the block's own transaction and the exception propagates.
    """
    began = time.perf_counter()

    def seconds() -> Decimal:
        return Decimal(str(round(time.perf_counter() - began, 4)))

    try:
        yield
    except Exception:
        emit_kpi(domain, metric, by=by, at=at, success=False, value=seconds(), detail=detail)
        raise
    emit_kpi(domain, metric, by=by, at=at, success=True, value=seconds(), detail=detail)

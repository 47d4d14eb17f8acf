"""Queries on events, targets and metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

from django.db.models import Count, DateTimeField, Q, QuerySet, Sum
from django.db.models.functions import TruncHour

from governance.core.compiled import CompiledQuery, Param
from governance.kpi.models import Figure, KpiEvent, Target

RATES_OVER = timedelta(days=30)  # the period of the board's rates


@dataclass(frozen=True, slots=True)
class Rate:
    """A success rate: `value` is a fraction, None without events."""

    good: int
    counted: int

    @property
    def value(self) -> float | None:
        return self.good / self.counted if self.counted else None

    def as_json(self) -> dict[str, Any]:
        return {"value": self.value, "counted": self.counted}


def count_since(domain: str, metric: str, since: datetime) -> int:
    """Return how many events of a metric there were from `since` on."""
    return KpiEvent.objects.filter(domain=domain, metric=metric, created_at__gte=since).count()


def newest_since(domain: str, metric: str, since: datetime, most: int) -> list[KpiEvent]:
    """Return at most the given number of a metric's events from `since` on, newest first."""
    rows = KpiEvent.objects.filter(domain=domain, metric=metric, created_at__gte=since)
    return list(rows.only("actor", "created_at", "detail").order_by("-created_at")[:most])


def rate_since(domain: str, metric: str, since: datetime) -> Rate:
    """Return how often a metric succeeded from `since` on, without the events that later ones correct."""
    rated = rated_since(KpiEvent.objects.order_by(), domain, metric, since)
    return Rate(**rated.aggregate(good=Count("pk", filter=Q(success=True)), counted=Count("pk")))


def rated_since(rows: QuerySet[KpiEvent], domain: str, metric: str, since: datetime) -> QuerySet[KpiEvent]:
    """Return the events in a metric's rate from `since` on, without those that a later one corrects."""
    rated = rows.filter(domain=domain, metric=metric, created_at__gte=since, success__isnull=False)
    corrected = _corrected(domain, metric, since)
    return rated.exclude(pk__in=corrected) if corrected else rated


@dataclass(slots=True)
class Hour:
    """The events of a UTC hour: all, those that succeeded or failed, and those with a value and their sum."""

    events: int = 0
    good: int = 0
    bad: int = 0
    valued: int = 0
    total: Decimal = Decimal(0)


AT_ONCE = 1000  # ids in one statement


def by_hour(domain: str, metric: str, since: datetime, until: datetime) -> dict[datetime, Hour]:
    """Return a metric's events from `since` until before `until`, by UTC hour.

    An event that a later one of the same metric corrects, at any time, is left out: the later one counts
    instead, on its own day. By hour, because the database's zone data may be wrong: callers add up local
    days.
    """
    if since >= until:
        return {}
    rows = _counted_by_hour(domain=domain, metric=metric, since=since, until=until)
    hours = {
        hour: Hour(number, good, bad, valued, summed or Decimal(0))
        for hour, number, good, bad, valued, summed in rows
    }
    series = KpiEvent.objects.filter(domain=domain, metric=metric)
    within = series.filter(created_at__gte=since, created_at__lt=until)
    for ids in _in_parts(_corrected(domain, metric, since)):
        gone = within.filter(pk__in=ids).order_by().values_list("created_at", "success", "value")
        for at, success, value in gone:
            hour = hours.get(at.astimezone(UTC).replace(minute=0, second=0, microsecond=0))
            if hour is None:  # written since
                continue
            hour.events -= 1
            hour.good -= success is True
            hour.bad -= success is False
            hour.valued -= value is not None
            hour.total -= value or 0
    return hours


@CompiledQuery
def _counted_by_hour() -> Any:
    since, until = Param("since", DateTimeField()), Param("until", DateTimeField())
    within = KpiEvent.objects.filter(
        domain=Param("domain"), metric=Param("metric"), created_at__gte=since, created_at__lt=until
    )
    return (
        within.order_by()
        .values_list(TruncHour("created_at", tzinfo=UTC))
        .annotate(
            number=Count("*"),
            good=Count("success", filter=Q(success=True)),
            bad=Count("success", filter=Q(success=False)),
            valued=Count("value"),
            summed=Sum("value"),
        )
    )


def _corrected(domain: str, metric: str, since: datetime) -> list[int]:
    """Return the ids of the earlier events that events from `since` on correct."""
    named = _corrections(domain=domain, metric=metric, since=since)
    return sorted({earlier for pk, earlier in named if type(earlier) is int and 0 < earlier < pk})


@partial(CompiledQuery, literals=True)
def _corrections() -> Any:
    since = Param("since", DateTimeField())
    series = KpiEvent.objects.filter(domain=Param("domain"), metric=Param("metric"))
    corrections = series.filter(created_at__gte=since, detail__has_key="corrects")
    return corrections.values_list("pk", "detail__corrects")


def is_event_of(number: object, domain: str, metric: str) -> bool:
    """Return whether `number` is the id of an event of this metric."""
    return type(number) is int and KpiEvent.objects.filter(pk=number, domain=domain, metric=metric).exists()


def _in_parts(ids: Sequence[int]) -> list[Sequence[int]]:
    return [ids[start : start + AT_ONCE] for start in range(0, len(ids), AT_ONCE)]


def figures() -> dict[str, Figure]:
    """Return the metrics by name, as last computed."""
    return {figure.name: figure for figure in Figure.objects.all()}


def targets() -> dict[str, Target]:
    """Return the targets by metric."""
    return {target.metric: target for target in Target.objects.all()}

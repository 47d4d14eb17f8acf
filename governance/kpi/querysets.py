"""Questions about events, targets and figures."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Q

from governance.kpi.models import Figure, KpiEvent, Target

RATES_OVER = timedelta(days=30)  # what the board's rates look back on


@dataclass(frozen=True, slots=True)
class Rate:
    """How often something went well: `value` is a fraction, None where nothing was counted."""

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


def rate_since(domain: str, metric: str, since: datetime) -> Rate:
    """Return how often a metric succeeded from `since` on, without the events that later ones correct."""
    series = KpiEvent.objects.filter(domain=domain, metric=metric, created_at__gte=since)
    counts = series.filter(success__isnull=False).aggregate(
        good=Count("pk", filter=Q(success=True)), counted=Count("pk")
    )
    named = series.filter(detail__has_key="corrects").values_list("detail__corrects", flat=True)
    corrected = series.filter(pk__in=[pk for pk in named if isinstance(pk, int)])
    gone = corrected.filter(success__isnull=False).aggregate(
        good=Count("pk", filter=Q(success=True)), counted=Count("pk")
    )
    return Rate(counts["good"] - gone["good"], counts["counted"] - gone["counted"])


def figures() -> dict[str, Figure]:
    """Return the figures by name, as last counted."""
    return {figure.name: figure for figure in Figure.objects.all()}


def targets() -> dict[str, Target]:
    """Return the targets by the figure they are for."""
    return {target.metric: target for target in Target.objects.all()}

"""Filters of the KPI events."""

from __future__ import annotations

from django_filters import rest_framework as filters

from governance.core.rest.filters import EventFilter, YesNoFilter
from governance.kpi.models import KpiEvent


class KpiEventFilter(EventFilter):
    """Events by series, success, actor, call and time."""

    domain = filters.CharFilter()
    metric = filters.CharFilter()
    success = YesNoFilter(nullable=True)

    class Meta:
        model = KpiEvent
        fields: tuple[str, ...] = ()

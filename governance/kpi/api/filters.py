"""Filters of the KPI events."""

from __future__ import annotations

from django_filters import rest_framework as filters

from governance.core.rest.filters import InstantFilter, YesNoFilter
from governance.kpi.models import KpiEvent


class KpiEventFilter(filters.FilterSet):  # type: ignore[misc]  # django-filter has no types
    """Events by series, success, actor, call and time."""

    domain = filters.CharFilter()
    metric = filters.CharFilter()
    success = YesNoFilter(nullable=True)
    actor = filters.CharFilter()
    correlation_id = filters.CharFilter()
    since = InstantFilter(field_name="created_at", lookup_expr="gte")
    until = InstantFilter(field_name="created_at", lookup_expr="lt")

    class Meta:
        model = KpiEvent
        fields: tuple[str, ...] = ()

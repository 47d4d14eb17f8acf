"""Filters of the risk events."""

from __future__ import annotations

from django_filters import rest_framework as filters

from governance.core.rest.filters import InstantFilter
from governance.risk.models import RiskEvent


class RiskEventFilter(filters.FilterSet):  # type: ignore[misc]  # django-filter has no types
    """Events by kind, engine, reason, reservation, actor, call and time."""

    kind = filters.ChoiceFilter(choices=RiskEvent.Kind.choices)
    engine = filters.CharFilter()
    code = filters.CharFilter()
    tripwire = filters.CharFilter()
    reservation_id = filters.NumberFilter(min_value=0, max_value=2**63 - 1)
    actor = filters.CharFilter()
    correlation_id = filters.CharFilter()
    since = InstantFilter(field_name="created_at", lookup_expr="gte")
    until = InstantFilter(field_name="created_at", lookup_expr="lt")

    class Meta:
        model = RiskEvent
        fields: tuple[str, ...] = ()

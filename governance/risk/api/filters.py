"""Filters of the risk events."""

from __future__ import annotations

from django_filters import rest_framework as filters

from governance.core.rest.filters import EventFilter
from governance.risk.models import RiskEvent


class RiskEventFilter(EventFilter):
    """Events by kind, engine, reason, reservation, actor, call and time."""

    kind = filters.ChoiceFilter(choices=RiskEvent.Kind.choices)
    engine = filters.CharFilter()
    code = filters.CharFilter()
    tripwire = filters.CharFilter()
    reservation_id = filters.NumberFilter(min_value=0, max_value=2**63 - 1)

    class Meta:
        model = RiskEvent
        fields: tuple[str, ...] = ()

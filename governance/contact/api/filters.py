"""Filters of the kept decisions."""

from __future__ import annotations

from django_filters import rest_framework as filters

from governance.contact.models import ContactDecision
from governance.core.channels import CHANNEL_CHOICES
from governance.core.places import Province
from governance.core.rest.filters import InstantFilter, YesNoFilter


class DecisionFilter(filters.FilterSet):  # type: ignore[misc]  # django-filter has no types
    """Decisions by lead, place, channel, answer, where it was asked, who asked and when."""

    lead_id = filters.CharFilter()
    province = filters.ChoiceFilter(choices=Province.choices)
    channel = filters.ChoiceFilter(choices=CHANNEL_CHOICES)
    ok = YesNoFilter()
    reason = filters.CharFilter()
    door = filters.ChoiceFilter(choices=ContactDecision.Door.choices)
    overridden = YesNoFilter()
    happened = YesNoFilter()
    actor = filters.CharFilter()
    correlation_id = filters.CharFilter()
    since = InstantFilter(field_name="created_at", lookup_expr="gte")
    until = InstantFilter(field_name="created_at", lookup_expr="lt")

    class Meta:
        model = ContactDecision
        fields: tuple[str, ...] = ()

"""Filters of stored decisions."""

from __future__ import annotations

from django_filters import rest_framework as filters

from governance.contact.models import ContactDecision
from governance.core.channels import CHANNEL_CHOICES
from governance.core.places import Province
from governance.core.rest.filters import EventFilter, YesNoFilter


class DecisionFilter(EventFilter):
    """Decisions by lead, place, channel, answer, entry point, actor and time."""

    lead_id = filters.CharFilter()
    province = filters.ChoiceFilter(choices=Province.choices)
    channel = filters.ChoiceFilter(choices=CHANNEL_CHOICES)
    ok = YesNoFilter()
    reason = filters.CharFilter()
    door = filters.ChoiceFilter(choices=ContactDecision.Door.choices)
    overridden = YesNoFilter()
    happened = YesNoFilter()

    class Meta:
        model = ContactDecision
        fields: tuple[str, ...] = ()

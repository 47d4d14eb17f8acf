"""Filters of the collections of leads and tasks."""

from __future__ import annotations

from django.db.models import QuerySet
from django_filters import rest_framework as filters

from followups.models import FollowUpTask, Lead
from governance.core.actors import owner_key
from governance.core.channels import CHANNELS
from governance.core.places import Province
from governance.core.rest.filters import CollectionFilter, InstantFilter, MarketFilter


class LeadFilter(CollectionFilter):
    updated = "updated_at"

    lead_id = filters.CharFilter(field_name="external_id")
    province = filters.ChoiceFilter(choices=Province.choices)
    market = MarketFilter(field_name="market_key")
    status = filters.ChoiceFilter(choices=Lead.Status.choices)
    language = filters.ChoiceFilter(choices=Lead.Language.choices)
    source = filters.CharFilter(field_name="source")
    name = filters.CharFilter(lookup_expr="icontains")
    score__gte = filters.NumberFilter(field_name="score", lookup_expr="gte", min_value=0, max_value=1)
    score__lte = filters.NumberFilter(field_name="score", lookup_expr="lte", min_value=0, max_value=1)
    follow_up_after = InstantFilter(field_name="follow_up_at", lookup_expr="gte")
    follow_up_before = InstantFilter(field_name="follow_up_at", lookup_expr="lt")

    class Meta:
        model = Lead
        fields: list[str] = []


class TaskFilter(CollectionFilter):
    updated = "updated_at"

    lead_id = filters.CharFilter(field_name="lead__external_id")
    province = filters.ChoiceFilter(choices=Province.choices)
    channel = filters.ChoiceFilter(choices=[(channel, channel) for channel in CHANNELS])
    status = filters.ChoiceFilter(choices=FollowUpTask.Status.choices)
    kind = filters.ChoiceFilter(choices=FollowUpTask.Kind.choices)
    outcome = filters.ChoiceFilter(choices=FollowUpTask.Outcome.choices)
    owner = filters.CharFilter(method="of_owner")
    due_after = InstantFilter(field_name="due_at", lookup_expr="gte")
    due_before = InstantFilter(field_name="due_at", lookup_expr="lt")
    completed_after = InstantFilter(field_name="completed_at", lookup_expr="gte")
    completed_before = InstantFilter(field_name="completed_at", lookup_expr="lt")

    class Meta:
        model = FollowUpTask
        fields: list[str] = []

    def of_owner(self, queryset: QuerySet[FollowUpTask], name: str, value: str) -> QuerySet[FollowUpTask]:
        return queryset.filter(owner_key=owner_key(value))

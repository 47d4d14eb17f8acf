"""Filters of the buyers' collections."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django_filters import rest_framework as filters

from buyers.models import Buyer, BuyerFeedbackEvent
from buyers.rules import FeedbackKind
from governance.core.places import Province, fold, read_label
from governance.core.property_types import PropertyType
from governance.core.rest.filters import InstantFilter


class BuyerFilter(filters.FilterSet):  # type: ignore[misc]  # django-filter has no types
    """Buyers by their id, contact or when they changed."""

    external_id = filters.CharFilter()
    phone = filters.CharFilter()
    email = filters.CharFilter(lookup_expr="iexact")
    name = filters.CharFilter(lookup_expr="icontains")
    updated_since = InstantFilter(field_name="updated_at", lookup_expr="gte")

    class Meta:
        model = Buyer
        fields: tuple[str, ...] = ()


class FeedbackEventFilter(filters.FilterSet):  # type: ignore[misc]  # django-filter has no types
    """Feedback by place, kind, buyer, deal, who recorded it and when."""

    province = filters.ChoiceFilter(field_name="node__province", choices=Province.choices)
    market = filters.CharFilter(method="in_market")
    property_type = filters.ChoiceFilter(field_name="node__property_type", choices=PropertyType.choices)
    event = filters.ChoiceFilter(choices=FeedbackKind.choices)
    buyer_id = filters.CharFilter(field_name="buyer__external_id")
    deal_id = filters.CharFilter()
    actor = filters.CharFilter()
    correlation_id = filters.CharFilter()
    since = InstantFilter(field_name="created_at", lookup_expr="gte")
    until = InstantFilter(field_name="created_at", lookup_expr="lt")

    class Meta:
        model = BuyerFeedbackEvent
        fields: tuple[str, ...] = ()

    def in_market(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        """Compare without accents, as everywhere; what is no label is no market's name."""
        try:
            return queryset.filter(node__market_key=fold(read_label(value)))
        except ValidationError:
            return queryset.none()

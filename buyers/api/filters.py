"""Filters of the buyers' collections."""

from __future__ import annotations

from django_filters import rest_framework as filters

from buyers.models import Buyer, BuyerFeedbackEvent
from buyers.rules import FeedbackKind
from governance.core.places import Province
from governance.core.property_types import PropertyType
from governance.core.rest.filters import CollectionFilter, EventFilter, InstantFilter, MarketFilter


class BuyerFilter(CollectionFilter):
    """Filters buyers by id, contact and time of change."""

    updated = "updated_at"

    external_id = filters.CharFilter()
    phone = filters.CharFilter()
    email = filters.CharFilter(lookup_expr="iexact")
    name = filters.CharFilter(lookup_expr="icontains")
    updated_since = InstantFilter(field_name="updated_at", lookup_expr="gte")

    class Meta:
        model = Buyer
        fields: tuple[str, ...] = ()


class FeedbackEventFilter(EventFilter):
    """Filters feedback by place, kind, buyer, deal, actor and time."""

    province = filters.ChoiceFilter(field_name="node__province", choices=Province.choices)
    market = MarketFilter(field_name="node__market_key")
    property_type = filters.ChoiceFilter(field_name="node__property_type", choices=PropertyType.choices)
    event = filters.ChoiceFilter(choices=FeedbackKind.choices)
    buyer_id = filters.CharFilter(field_name="buyer__external_id")
    deal_id = filters.CharFilter()

    class Meta:
        model = BuyerFeedbackEvent
        fields: tuple[str, ...] = ()

"""Filters of the evidence collection."""

from __future__ import annotations

from typing import Any

from django_filters import rest_framework as filters

from governance.core.places import Province
from governance.core.property_types import PropertyType
from governance.core.rest.filters import EventFilter, MarketFilter, YesNoFilter
from offers.models import Offer, OfferEvidence

AMOUNT: dict[str, Any] = {"min_value": 0, "max_value": 10**9}


class EvidenceFilter(EventFilter):
    """Evidence by place, lead, state, grade, amounts, actor and time; its offer's state changes later."""

    updated = "updated_at"

    province = filters.ChoiceFilter(choices=Province.choices)
    market = MarketFilter(field_name="market_key")
    property_type = filters.ChoiceFilter(choices=PropertyType.choices)
    lead_id = filters.CharFilter()
    state = filters.ChoiceFilter(field_name="offer__state", choices=Offer.State.choices)
    comps_grade = filters.ChoiceFilter(choices=OfferEvidence.Grade.choices)
    floored = YesNoFilter()
    arv__gte = filters.NumberFilter(field_name="arv", lookup_expr="gte", **AMOUNT)
    arv__lte = filters.NumberFilter(field_name="arv", lookup_expr="lte", **AMOUNT)
    recommended_offer__gte = filters.NumberFilter(field_name="recommended_offer", lookup_expr="gte", **AMOUNT)
    recommended_offer__lte = filters.NumberFilter(field_name="recommended_offer", lookup_expr="lte", **AMOUNT)

    class Meta:
        model = OfferEvidence
        fields: tuple[str, ...] = ()

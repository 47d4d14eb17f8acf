"""Filters of the evidence collection."""

from __future__ import annotations

from django_filters import rest_framework as filters

from governance.core.places import Province
from governance.core.property_types import PropertyType
from governance.core.rest.filters import EventFilter, MarketFilter, YesNoFilter
from offers.models import Offer, OfferEvidence


class EvidenceFilter(EventFilter):
    """Evidence by place, lead, state, grade, actor and time."""

    province = filters.ChoiceFilter(choices=Province.choices)
    market = MarketFilter(field_name="market_key")
    property_type = filters.ChoiceFilter(choices=PropertyType.choices)
    lead_id = filters.CharFilter()
    state = filters.ChoiceFilter(field_name="offer__state", choices=Offer.State.choices)
    comps_grade = filters.ChoiceFilter(choices=OfferEvidence.Grade.choices)
    floored = YesNoFilter()

    class Meta:
        model = OfferEvidence
        fields: tuple[str, ...] = ()

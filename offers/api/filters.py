"""Filters of the evidence collection."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django_filters import rest_framework as filters

from governance.core.places import Province, fold, read_label
from governance.core.property_types import PropertyType
from governance.core.rest.filters import InstantFilter, YesNoFilter
from offers.models import Offer, OfferEvidence


class EvidenceFilter(filters.FilterSet):  # type: ignore[misc]  # django-filter has no types
    """Evidence by place, lead, state, grade, who computed it and when."""

    province = filters.ChoiceFilter(choices=Province.choices)
    market = filters.CharFilter(method="in_market")
    property_type = filters.ChoiceFilter(choices=PropertyType.choices)
    lead_id = filters.CharFilter()
    state = filters.ChoiceFilter(field_name="offer__state", choices=Offer.State.choices)
    comps_grade = filters.ChoiceFilter(choices=OfferEvidence.Grade.choices)
    floored = YesNoFilter()
    actor = filters.CharFilter()
    correlation_id = filters.CharFilter()
    since = InstantFilter(field_name="created_at", lookup_expr="gte")
    until = InstantFilter(field_name="created_at", lookup_expr="lt")

    class Meta:
        model = OfferEvidence
        fields: tuple[str, ...] = ()

    def in_market(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        """Compare without accents, as everywhere; what is no label is no market's name."""
        try:
            return queryset.filter(market_key=fold(read_label(value)))
        except ValidationError:
            return queryset.none()

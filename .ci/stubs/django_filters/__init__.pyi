from django_filters.rest_framework import (
    CharFilter as CharFilter,
    ChoiceFilter as ChoiceFilter,
    DateFilter as DateFilter,
    Filter as Filter,
    FilterSet as FilterSet,
    NumberFilter as NumberFilter,
    TypedChoiceFilter as TypedChoiceFilter,
)

from django_filters.rest_framework import CharFilter, ChoiceFilter, FilterSet

__all__ = ["CharFilter", "ChoiceFilter", "FilterSet"]

"""Filters and orderings of collections: unknown ones are refused, since a typo must not widen an answer."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db.models import Model, QuerySet
from django.utils.translation import gettext as _
from django_filters import rest_framework as django_filters
from rest_framework import filters
from rest_framework.request import Request
from rest_framework.views import APIView

from governance.core.errors import Invalid
from governance.core.places import fold, read_label
from governance.core.rest.fields import INSTANT_SENTENCE, read_instant


class _InstantFormField(forms.Field):
    def to_python(self, value: object) -> datetime | None:
        if value in (None, ""):
            return None
        try:
            return read_instant(value)
        except ValueError:
            raise DjangoValidationError(INSTANT_SENTENCE) from None


class InstantFilter(django_filters.Filter):
    """Filters by an instant with an offset."""

    field_class = _InstantFormField


class YesNoFilter(django_filters.TypedChoiceFilter):
    """Filters by true, false or (`nullable`) null, and refuses any other word instead of ignoring it."""

    def __init__(self, field_name: str | None = None, *, nullable: bool = False) -> None:
        words = ["true", "false", *(["null"] if nullable else [])]
        super().__init__(field_name, choices=[(word, word) for word in words], empty_value="")

    def filter(self, qs: QuerySet[Any], value: str | None) -> QuerySet[Any]:
        if not value:
            return qs
        if value == "null":
            return qs.filter(**{f"{self.field_name}__isnull": True})
        return qs.filter(**{self.field_name: value == "true"})


class EventFilter(django_filters.FilterSet):
    """Narrows a collection of append-only rows by actor, correlation id and time."""

    actor = django_filters.CharFilter()
    correlation_id = django_filters.CharFilter()
    since = InstantFilter(field_name="created_at", lookup_expr="gte")
    until = InstantFilter(field_name="created_at", lookup_expr="lt")


class MarketFilter(django_filters.CharFilter):
    """Narrows by a market's name, without accents; an invalid name matches nothing."""

    def filter(self, qs: QuerySet[Any], value: str | None) -> QuerySet[Any]:
        if not value:
            return qs
        try:
            return super().filter(qs, fold(read_label(value)))
        except DjangoValidationError:
            return qs.none()


class StrictFilters(django_filters.DjangoFilterBackend):
    """django-filter, refusing a parameter that no filter knows: a typo must not widen an answer."""

    _OTHERS = frozenset({"cursor", "page_size", "ordering", "correlation_id", "format"})

    def filter_queryset(self, request: Request, queryset: QuerySet[Model], view: APIView) -> QuerySet[Model]:
        known = set(getattr(getattr(view, "filterset_class", None), "base_filters", {})) | self._OTHERS
        unknown = sorted(set(request.query_params) - known)
        if unknown:
            raise Invalid(
                {key[:60]: [_("There is no such filter.")] for key in unknown}, code="unknown_field"
            )
        for key, value in request.query_params.items():
            if "\0" in value or len(value) > 400:
                raise Invalid({key: [_("This value is not valid.")]})
        return super().filter_queryset(request, queryset, view)


class Ordering(filters.OrderingFilter):
    """DRF's ordering, refusing a field that cannot be ordered by instead of ignoring it."""

    def remove_invalid_fields(self, queryset: Any, fields: Any, view: Any, request: Request) -> list[str]:
        kept = super().remove_invalid_fields(queryset, fields, view, request)
        if len(kept) != len(list(fields)):
            allowed = ", ".join(
                name for name, _label in self.get_valid_fields(queryset, view, {"request": request})
            )
            raise Invalid({"ordering": [_("Order by one of: %(fields)s.") % {"fields": allowed}]})
        return list(kept)

"""Filters and orderings of collections: unknown ones are refused, since a typo must not widen an answer."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, ClassVar

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

MOST_IDS = 100
LONGEST, LONGEST_LIST = 400, 2000  # characters of a value
ID = re.compile("[0-9]{1,18}", re.ASCII)


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


class _IdsFormField(forms.Field):
    def to_python(self, value: object) -> list[int] | None:
        if value in (None, ""):
            return None
        parts = [part.strip() for part in str(value).split(",")]
        if len(parts) > MOST_IDS or not all(ID.fullmatch(part) for part in parts):
            raise DjangoValidationError(_("Up to %(most)d ids, separated by commas.") % {"most": MOST_IDS})
        return [int(part) for part in parts]


class IdsFilter(django_filters.Filter):
    """Filters by up to 100 ids, separated by commas."""

    field_class = _IdsFormField

    def __init__(self) -> None:
        super().__init__(field_name="id", lookup_expr="in")


class CollectionFilter(django_filters.FilterSet):
    """What each collection can be narrowed by: its rows' ids and times.

    `updated` names the column with the time of a row's last change; append-only rows have that of their
    creation.
    """

    updated: ClassVar[str] = "created_at"

    id__in = IdsFilter()
    created_after = InstantFilter(field_name="created_at", lookup_expr="gte")
    created_before = InstantFilter(field_name="created_at", lookup_expr="lt")
    updated_after = InstantFilter(method="changed_since")
    updated_before = InstantFilter(method="changed_until")

    def changed_since(self, rows: QuerySet[Any], name: str, value: datetime) -> QuerySet[Any]:
        return rows.filter(**{f"{self.updated}__gte": value})

    def changed_until(self, rows: QuerySet[Any], name: str, value: datetime) -> QuerySet[Any]:
        return rows.filter(**{f"{self.updated}__lt": value})


class EventFilter(CollectionFilter):
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

    _OTHERS = frozenset({"cursor", "page_size", "ordering", "correlation_id", "format", "fields"})

    def filter_queryset(self, request: Request, queryset: QuerySet[Model], view: APIView) -> QuerySet[Model]:
        known = set(getattr(getattr(view, "filterset_class", None), "base_filters", {})) | self._OTHERS
        unknown = sorted(set(request.query_params) - known)
        if unknown:
            raise Invalid(
                {key[:60]: [_("There is no such filter.")] for key in unknown}, code="unknown_field"
            )
        for key, value in request.query_params.items():
            if "\0" in value or len(value) > (LONGEST_LIST if key in ("id__in", "fields") else LONGEST):
                raise Invalid({key: [_("This value is not valid.")]})
        return super().filter_queryset(request, queryset, view)


class Ordering(filters.OrderingFilter):
    """DRF's ordering, refusing a field that cannot be ordered by instead of ignoring it.

    `updated_at` orders every collection by the time of its rows' last change. What was asked for by that time
    is in its order, oldest first, so that a client can continue at the last row that it has.
    """

    def get_ordering(self, request: Request, queryset: Any, view: Any) -> Any:
        ordering = super().get_ordering(request, queryset, view)
        if "updated_after" in request.query_params and "ordering" not in request.query_params:
            ordering = ["updated_at"]
        column = view.filterset_class.updated
        return [re.sub("^(-?)updated_at$", rf"\1{column}", name) for name in ordering or ()]

    def get_valid_fields(self, queryset: Any, view: Any, context: Any = None) -> list[tuple[str, str]]:
        valid = super().get_valid_fields(queryset, view, context or {})
        return list((dict(valid) | {"updated_at": "updated_at"}).items())

    def remove_invalid_fields(self, queryset: Any, fields: Any, view: Any, request: Request) -> list[str]:
        kept = super().remove_invalid_fields(queryset, fields, view, request)
        if len(kept) != len(list(fields)):
            allowed = ", ".join(
                name for name, _label in self.get_valid_fields(queryset, view, {"request": request})
            )
            raise Invalid({"ordering": [_("Order by one of: %(fields)s.") % {"fields": allowed}]})
        return list(kept)

from typing import Any

from django import forms
from django.db.models import QuerySet
from rest_framework.request import Request
from rest_framework.views import APIView

class Filter:
    field_class: type[forms.Field]
    field_name: str
    lookup_expr: str
    def __init__(
        self,
        field_name: str | None = None,
        lookup_expr: str | None = None,
        *,
        label: Any = None,
        method: Any = None,
        distinct: bool = False,
        exclude: bool = False,
        **kwargs: Any,
    ) -> None: ...
    def filter(self, qs: QuerySet[Any], value: Any) -> QuerySet[Any]: ...

class CharFilter(Filter): ...
class NumberFilter(Filter): ...
class DateFilter(Filter): ...
class ChoiceFilter(Filter): ...
class TypedChoiceFilter(Filter): ...

class FilterSet:
    base_filters: dict[str, Filter]
    request: Request

class DjangoFilterBackend:
    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: APIView) -> QuerySet[Any]: ...

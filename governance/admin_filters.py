"""Filters of long lists, which never read a whole table to say what can be chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from governance.distinct import values_by_index

Choices = Iterable[tuple[str, Any]]


class ValueFilter(admin.SimpleListFilter):
    """Rows with one value of a column."""

    column: str

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        return queryset if value is None else queryset.filter(**{self.column: value})


def one_of(column: str, title: Any, choices: Callable[[], Choices]) -> type[ValueFilter]:
    """Return a filter of a column whose values are known."""

    class Known(ValueFilter):
        def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
            return list(choices())

    return _named(Known, column, title)


def by_index(column: str, title: Any, within: str = "") -> type[ValueFilter]:
    """Return a filter of a column whose values an index knows; with `within`, once that column is chosen."""

    class Indexed(ValueFilter):
        def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
            rows = model_admin.model._default_manager.order_by()
            if within:
                chosen = request.GET.get(f"{within}__exact", "")
                if not chosen or "\0" in chosen:
                    return []
                rows = rows.filter(**{within: chosen})
            return [(value, value) for value in values_by_index(rows, column)]

    return _named(Indexed, column, title)


def _named(made: type[ValueFilter], column: str, title: Any) -> type[ValueFilter]:
    made.column, made.title, made.parameter_name = column, title, f"{column}__exact"
    return made

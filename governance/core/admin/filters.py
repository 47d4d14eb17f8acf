"""Filters of long lists, which never read a whole table for their choices."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from governance.core.distinct import values_by_index

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

    Choices = Iterable[tuple[str, StrOrPromise]]
else:
    Choices = Iterable


class ValueFilter(admin.SimpleListFilter):
    """Filters rows by one value of a column."""

    column: str

    def queryset(self, request: HttpRequest, queryset: QuerySet[Model]) -> QuerySet[Model]:
        value = self.value()
        return queryset if value is None else queryset.filter(**{self.column: value})


def one_of(column: str, title: object, choices: Callable[[], Choices]) -> type[ValueFilter]:
    """Return a filter of a column whose values are known."""

    class Known(ValueFilter):
        def lookups(self, request: HttpRequest, model_admin: object) -> Choices:
            return list(choices())

    return _named(Known, column, title)


def by_index(column: str, title: object, within: str = "") -> type[ValueFilter]:
    """Return a filter with a column's values from its index; with `within`, once that column is chosen."""

    class Indexed(ValueFilter):
        def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
            rows = model_admin.model._default_manager.order_by()
            if within:
                chosen = request.GET.get(f"{within}__exact", "")
                if not chosen or "\0" in chosen:
                    # a value without the column above it still filters, and is visible
                    alone = self.value()
                    return [(alone, alone)] if alone else []
                rows = rows.filter(**{within: chosen})
            return [(value, value) for value in values_by_index(rows, column)]

        def queryset(self, request: HttpRequest, queryset: QuerySet[Model]) -> QuerySet[Model]:
            found = super().queryset(request, queryset)
            if not within or not self.value() or request.GET.get(f"{within}__exact"):
                return found
            # listed one by one, so that the index that begins with them is used
            above = values_by_index(queryset.model._default_manager.order_by(), within)
            return found.filter(**{f"{within}__in": above})

    return _named(Indexed, column, title)


Counted = tuple[str, Any, Callable[[Any, datetime], QuerySet[Any]]]  # the rows are of the model's own class


def on_board(*figures: Counted) -> type[admin.SimpleListFilter]:
    """Return a filter for the rows that the operations board counts, with the same query.

    Each entry has a name for the URL, a title, and the query, which takes all rows and the instant.
    """

    class OnBoard(admin.SimpleListFilter):
        title, parameter_name = _("counted on the board"), "board"

        def lookups(self, request: HttpRequest, model_admin: object) -> Choices:
            return [(name, title) for name, title, _question in figures]

        def queryset(self, request: HttpRequest, queryset: QuerySet[Model]) -> QuerySet[Model]:
            for name, _title, question in figures:
                if self.value() == name:
                    return question(queryset, timezone.now())
            return queryset

    return OnBoard


def _named(made: type[ValueFilter], column: str, title: Any) -> type[ValueFilter]:
    made.column, made.title, made.parameter_name = column, title, f"{column}__exact"
    return made

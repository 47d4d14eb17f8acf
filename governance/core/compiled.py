"""Queries whose SQL is compiled once and not at every call, which is half the cost of a small read.

Such a query is an ordinary queryset with a `Slot` wherever a value comes later:

    @Prepared
    def of_province() -> QuerySet[MarketPolicy]:
        return MarketPolicy.objects.filter(province=Slot("province"))

    rows = of_province(province="ON")
"""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Callable
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import CharField, Field, Lookup, Value


class Slot(Value):
    """A value that is passed when the query runs; `field` determines its type."""

    def __init__(self, name: str, field: Field[Any, Any] | None = None) -> None:
        super().__init__(None, output_field=field or CharField())
        self.name = name

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        return "%s", [self]

    def __str__(self) -> str:
        # a lookup that changes its text, such as iexact, would put the placeholder itself into the SQL
        raise TypeError("this lookup cannot be prepared")

    def bind(self, value: Any, connection: Any) -> Any:
        return self.output_field.get_db_prep_value(value, connection)


class Listed(Slot):
    """A list of texts or numbers that is passed when the query runs; for use with `any_of`."""

    def bind(self, value: Any, connection: Any) -> Any:
        values = list(value)
        return values if connection.vendor == "postgresql" else json.dumps(values)


@Field.register_lookup
class AnyOf(Lookup):
    """`name__any_of=Listed("names")`: one parameter, however long the list is."""

    lookup_name = "any_of"
    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        left, left_values = self.process_lhs(compiler, connection)
        right, right_values = self.process_rhs(compiler, connection)
        listed = (
            f"= ANY({right})"
            if connection.vendor == "postgresql"
            else f"IN (SELECT value FROM json_each({right}))"
        )
        return f"{left} {listed}", [*left_values, *right_values]


class Prepared:
    """A query that can run many times; `build` makes its queryset when it first runs."""

    def __init__(self, build: Callable[[], Any]) -> None:
        functools.update_wrapper(self, build)
        self._build = build
        self._worked_out: tuple[Any, Any, str, tuple[Any, ...]] | None = None

    def __call__(self, **values: Any) -> list[Any]:
        """Return the rows, as the queryset itself would: instances, tuples or single values."""
        connection = connections[DEFAULT_DB_ALIAS]
        if self._worked_out is None:
            self._worked_out = self._work_out(connection)
        queryset, compiler, sql, slots = self._worked_out
        bound = tuple(
            slot.bind(values[slot.name], connection) if isinstance(slot, Slot) else slot for slot in slots
        )
        mine = copy.copy(compiler)  # other threads have their own connections
        mine.connection = connection
        mine.as_sql = lambda *args, **kwargs: (sql, bound)
        return list(queryset._iterable_class(_Asked(queryset, mine)))

    def _work_out(self, connection: Any) -> tuple[Any, Any, str, tuple[Any, ...]]:
        queryset: Any = self._build()
        compiler = queryset.query.get_compiler(connection=connection)
        sql, slots = compiler.as_sql()
        return queryset, compiler, sql, tuple(slots)


class _Asked:
    """The interface that Django's iterables expect of a queryset, with an already compiled query."""

    def __init__(self, queryset: Any, compiler: Any) -> None:
        self.db = DEFAULT_DB_ALIAS
        self.model = queryset.model
        self.query = _Query(queryset.query, compiler)
        self._fields = queryset._fields
        self._known_related_objects: dict[Any, Any] = {}


class _Query:
    def __init__(self, query: Any, compiler: Any) -> None:
        self._query = query
        self._compiler = compiler

    def get_compiler(self, *args: Any, **kwargs: Any) -> Any:
        return self._compiler

    def __getattr__(self, name: str) -> Any:
        return getattr(self._query, name)

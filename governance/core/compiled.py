"""Queries whose SQL is compiled once and not at every call, which is half the cost of a small read.

PostgreSQL prepares them as well: each connection parses and plans them once.

Such a query is an ordinary queryset with a `Param` wherever a value comes later:

    @CompiledQuery
    def of_province() -> QuerySet[MarketPolicy]:
        return MarketPolicy.objects.filter(province=Param("province"))

    rows = of_province(province="ON")
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from operator import attrgetter, itemgetter
from typing import Any, ClassVar

from django.core.exceptions import EmptyResultSet
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import (
    BigIntegerField,
    BooleanField,
    CharField,
    Field,
    ForeignKey,
    IntegerField,
    Lookup,
    Model,
    TextField,
    Value,
)
from django.db.models.query import (
    FlatValuesListIterable,
    ModelIterable,
    ValuesListIterable,
    get_related_populators,
)
from django.db.models.sql.compiler import SQLCompiler
from django.db.models.sql.subqueries import UpdateQuery

MOST_PARAMETERS = 30_000  # of one statement; PostgreSQL takes 65,535
MOST_PREPARED = 12  # rows; statements for more of them come too seldom


class Param(Value):
    """A value that is passed when the query runs; `field` determines its type."""

    def __init__(self, name: str, field: Field[Any, Any] | None = None) -> None:
        super().__init__(name, output_field=field or CharField())  # a JSON field would write None as it is
        self.name = name

    def as_sql(self, compiler: SQLCompiler, connection: Any) -> tuple[str, Any]:
        return "%s", [self]

    def __str__(self) -> str:
        # a lookup that changes its text, such as iexact, would put the placeholder itself into the SQL
        raise TypeError("this lookup cannot be prepared")

    def bind(self, value: object, connection: Any) -> Any:
        """Return the value for the database. Raises EmptyResultSet for a number too large for its column."""
        if isinstance(value, int) and isinstance(self.output_field, IntegerField):
            low, high = connection.ops.integer_field_range(self.output_field.get_internal_type())
            if low is not None and not low <= value <= high:
                raise EmptyResultSet
        if self.for_save:
            return self.output_field.get_db_prep_save(value, connection)
        return self.output_field.get_db_prep_value(value, connection)


class Listed(Param):
    """A list of texts or numbers that is passed when the query runs; for use with `any_of`."""

    def bind(self, value: Any, connection: Any) -> Any:
        values = list(value)
        return values if connection.vendor == "postgresql" else json.dumps(values)


@Field.register_lookup
class AnyOf(Lookup):
    """`name__any_of=Listed("names")`: one parameter, however long the list is."""

    lookup_name = "any_of"
    prepare_rhs = False

    def as_sql(self, compiler: SQLCompiler, connection: Any) -> tuple[str, Any]:
        left, left_values = self.process_lhs(compiler, connection)
        right, right_values = self.process_rhs(compiler, connection)
        listed = (
            f"= ANY({right})"
            if connection.vendor == "postgresql"
            else f"IN (SELECT value FROM json_each({right}))"
        )
        return f"{left} {listed}", [*left_values, *right_values]


class CompiledQuery:
    """A query that can run many times; `build` makes its queryset when it first runs."""

    def __init__(self, build: Callable[[], object]) -> None:
        functools.update_wrapper(self, build)
        self._build = build
        self._compiled: tuple[str, tuple[Any, ...], _Reader] | None = None

    def __call__(self, **values: Any) -> list[Any]:
        """Return the rows, as the queryset itself would: instances, tuples or single values."""
        connection = connections[DEFAULT_DB_ALIAS]
        if self._compiled is None:
            self._compiled = self._compile(connection)
        sql, slots, read = self._compiled
        try:
            bound = tuple(
                slot.bind(values[slot.name], connection) if isinstance(slot, Param) else slot
                for slot in slots
            )
        except EmptyResultSet:
            return []
        # only PostgreSQL's connections have cursors that prepare
        with getattr(connection, "prepared_cursor", connection.cursor)() as cursor:
            cursor.execute(sql, bound)
            rows = cursor.fetchall()
        return read(rows, connection)

    def _compile(self, connection: Any) -> tuple[str, tuple[Any, ...], _Reader]:
        queryset: Any = self._build()
        compiler = queryset.query.get_compiler(connection=connection)
        sql, slots = compiler.as_sql()
        return sql, tuple(slots), _Reader(queryset, compiler)


class CompiledFilter:
    """A query with optional filters; compiled once for each set of them that is given, and each limit."""

    def __init__(self, build: Callable[[], Any], **fields: Field[Any, Any]) -> None:
        self._build, self._fields = build, fields
        self._query = functools.lru_cache(maxsize=64)(self._with)

    def __call__(self, limit: int, **values: object) -> list[Any]:
        """Return up to `limit` rows; None does not filter."""
        given = {name: value for name, value in values.items() if value is not None}
        return self._query(limit, *given)(**given)

    def _with(self, limit: int, *names: str) -> CompiledQuery:
        filters = {name: Param(name, self._fields[name]) for name in names}
        return CompiledQuery(lambda: self._build().filter(**filters)[:limit])


class _Reader:
    """Makes of rows what a queryset's own iterable makes of them, by what is worked out once here."""

    def __init__(self, queryset: Any, compiler: SQLCompiler) -> None:
        shapes: dict[Any, Callable[[Any], object]] = {
            ModelIterable: self._instance,
            ValuesListIterable: tuple,
            FlatValuesListIterable: itemgetter(0),
        }
        self._shape = shapes[queryset._iterable_class]
        self._columns = compiler.col_count
        columns = [column[0] for column in compiler.select[: compiler.col_count]]
        self._converters = [
            (position, convert, expression)
            for position, (converters, expression) in compiler.get_converters(columns).items()
            for convert in converters
        ]
        if queryset._iterable_class is ModelIterable:
            selected, self._model = compiler.klass_info["select_fields"], queryset.model
            self._own = slice(selected[0], selected[-1] + 1)
            self._names = [column[0].target.attname for column in compiler.select[self._own]]
            self._annotations = compiler.annotation_col_map or {}
            self._related = get_related_populators(  # type: ignore[call-arg]  # the stubs are the next Django's
                compiler.klass_info, compiler.select, DEFAULT_DB_ALIAS
            )

    def __call__(self, rows: list[Any], connection: Any) -> list[object]:
        if not self._converters:
            return [self._shape(row[: self._columns]) for row in rows]
        found = []
        for row in rows:
            values = list(row[: self._columns])
            for position, convert, expression in self._converters:
                values[position] = convert(values[position], expression, connection)
            found.append(self._shape(values))
        return found

    def _instance(self, row: Any) -> object:
        made = self._model.from_db(DEFAULT_DB_ALIAS, self._names, row[self._own])
        for relation in self._related:
            relation.populate(row, made)
        for name, position in self._annotations.items():
            setattr(made, name, row[position])
        return made


class CompiledUpdate:
    """An update that can run many times; `build` makes the queryset of its rows when it first runs.

    `expressions` are new values by the names of fields, such as `F("uses") + Param("more")`; plain values are
    given to each call.
    """

    def __init__(self, build: Callable[[], Any], **expressions: Any) -> None:
        self._build, self._expressions = build, expressions
        self._compiled = functools.lru_cache(maxsize=64)(self._compile)

    def __call__(self, new: Mapping[str, object] | None = None, **values: Any) -> int:
        """Write `new`, plain values by the names of fields, and return how many rows were changed."""
        new = new or {}
        connection = connections[DEFAULT_DB_ALIAS]
        sql, slots = self._compiled(*new)
        bound = []
        for slot in slots:
            if isinstance(slot, Param):
                bound.append(
                    slot.bind((new if slot.for_save and slot.name in new else values)[slot.name], connection)
                )
            else:
                bound.append(slot)
        with _writing_cursor(connection) as cursor:
            cursor.execute(sql, bound)
            return int(cursor.rowcount)

    def _compile(self, *names: str) -> tuple[str, tuple[Any, ...]]:
        rows = self._build()
        query = rows.query.chain(UpdateQuery)
        query.add_update_values(
            {name: Param(name, rows.model._meta.get_field(name)) for name in names} | self._expressions
        )
        sql, slots = query.get_compiler(connection=connections[DEFAULT_DB_ALIAS]).as_sql()
        return sql, tuple(slots)


def _writing_cursor(connection: Any) -> Any:
    """Return a cursor for a statement that stays the same, whichever of its values are None."""
    return getattr(connection, "writing_cursor", connection.cursor)()


def insert_rows(rows: Sequence[Model]) -> None:
    """Insert new rows of one model, 30,000 values a statement, and set their ids.

    It writes what `bulk_create` writes: all fields, no signals, no `save` of the model's own.
    """
    if not rows:
        return
    connection = connections[DEFAULT_DB_ALIAS]
    model = type(rows[0])
    columns, key = _inserted(model, has_key=rows[0].pk is not None)
    with (_writing_cursor if len(rows) <= MOST_PREPARED else _cursor)(connection) as cursor:
        for start in range(0, len(rows), most := MOST_PARAMETERS // len(columns.fields)):
            part = rows[start : start + most]
            values = list(chain.from_iterable(columns.values(row, connection, add=True) for row in part))
            cursor.execute(_insert(model, columns.names, len(part)), values)
            for row, (number,) in zip(part, cursor.fetchall(), strict=True):
                setattr(row, key.attname, number)
                row._state.adding, row._state.db = False, DEFAULT_DB_ALIAS


def _cursor(connection: Any) -> Any:
    return connection.cursor()


class _Columns:
    """Some fields of a model, and how to read from a row the values that the database takes."""

    # values of these types go to the database as they are
    _AS_IS: ClassVar[dict[type[Any], type]] = {
        CharField: str,
        TextField: str,
        BooleanField: bool,
        BigIntegerField: int,
        IntegerField: int,
        ForeignKey: int,
    }

    def __init__(self, fields: Sequence[Any]) -> None:
        self.fields = fields
        self.names = tuple(field.name for field in fields)
        # with a field more, else a single value would come without a tuple
        self._read = attrgetter(*(field.attname for field in fields), "_state")
        self._kinds = [self._AS_IS.get(type(field)) for field in fields]
        self._own = [
            (place, field) for place, field in enumerate(fields) if type(field).pre_save is not Field.pre_save
        ]

    def values(self, row: Model, connection: Any, *, add: bool) -> list[Any]:
        found = list(self._read(row))
        if add:
            for place, field in self._own:
                found[place] = field.pre_save(row, True)
        return [
            value if value is None or type(value) is kind else field.get_db_prep_save(value, connection)
            for field, kind, value in zip(self.fields, self._kinds, found, strict=False)
        ]


@functools.lru_cache(maxsize=256)
def _inserted(model: type[Model], *, has_key: bool) -> tuple[_Columns, Any]:
    """Return the columns that an insert writes, and the key, which the database sets if no row has one."""
    key = model._meta.pk
    return _Columns([one for one in model._meta.concrete_fields if has_key or one is not key]), key


@functools.lru_cache(maxsize=256)
def _insert(model: type[Model], names: tuple[str, ...], count: int) -> str:
    table, key, columns = _quoted(model, names)
    row = "({})".format(", ".join(["%s"] * len(columns)))
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join([row] * count)} "
        f"RETURNING {table}.{key}"
    )


def update_rows(rows: Sequence[Model], names: Sequence[str]) -> int:
    """Write these fields of saved rows of one model, 30,000 values a statement; return how many rows.

    It writes what `bulk_update` writes, whose CASE for each row and field takes milliseconds to work out.
    """
    if not rows:
        return 0
    connection = connections[DEFAULT_DB_ALIAS]
    model, fields = type(rows[0]), tuple(dict.fromkeys(names))
    columns = _updated(model, fields)
    values = [columns.values(row, connection, add=False) for row in rows]
    if connection.vendor != "postgresql":
        with connection.cursor() as cursor:
            cursor.executemany(_update_one(model, fields), values)
        return len(rows)
    if len(rows) == 1:
        with _writing_cursor(connection) as cursor:
            cursor.execute(_update_one(model, fields), values[0])
            return int(cursor.rowcount)
    with (_writing_cursor if len(rows) <= MOST_PREPARED else _cursor)(connection) as cursor:
        for start in range(0, len(values), most := MOST_PARAMETERS // (len(fields) + 1)):
            part = values[start : start + most]
            cursor.execute(_update_many(model, fields, len(part)), list(chain.from_iterable(part)))
    return len(rows)


@functools.lru_cache(maxsize=256)
def _updated(model: type[Model], names: tuple[str, ...]) -> _Columns:
    """Return the columns that an update writes, and last the key."""
    return _Columns([*_columns(model, names), model._meta.pk])


@functools.lru_cache(maxsize=256)
def _update_one(model: type[Model], names: tuple[str, ...]) -> str:
    table, key, columns = _quoted(model, names)
    return f"UPDATE {table} SET {', '.join(f'{one} = %s' for one in columns)} WHERE {key} = %s"


@functools.lru_cache(maxsize=256)
def _update_many(model: type[Model], names: tuple[str, ...], count: int) -> str:
    connection = connections[DEFAULT_DB_ALIAS]
    table, key, columns = _quoted(model, names)
    fields = [*_columns(model, names), model._meta.pk]
    row = "({})".format(", ".join(f"%s::{field.cast_db_type(connection)}" for field in fields))
    listed = ", ".join([row] * count)
    written = ", ".join(f"{one} = new.{one}" for one in columns)
    return (
        f"UPDATE {table} SET {written} FROM (VALUES {listed}) AS new ({', '.join(columns)}, {key}) "
        f"WHERE {table}.{key} = new.{key}"
    )


def _columns(model: type[Model], names: Sequence[str]) -> list[Any]:
    return [model._meta.get_field(name) for name in names]


def _quoted(model: type[Model], names: Sequence[str]) -> tuple[str, str, list[str]]:
    table, key, *columns = (
        connections[DEFAULT_DB_ALIAS].ops.quote_name(name)
        for name in (
            model._meta.db_table,
            str(model._meta.pk.column),
            *(field.column for field in _columns(model, names)),
        )
    )
    return table, key, columns

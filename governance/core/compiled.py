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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import chain
from operator import attrgetter, itemgetter
from typing import Any, TypeVar

from django.core.exceptions import EmptyResultSet
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import (
    CharField,
    DateField,
    DateTimeField,
    Field,
    ForeignKey,
    IntegerField,
    Lookup,
    Model,
    Value,
)
from django.db.models.base import ModelState
from django.db.models.query import (
    FlatValuesListIterable,
    ModelIterable,
    ValuesListIterable,
    get_related_populators,
)
from django.db.models.signals import post_init, pre_init
from django.db.models.sql.compiler import SQLCompiler
from django.db.models.sql.subqueries import UpdateQuery

M = TypeVar("M", bound=Model)

MOST_PARAMETERS = 30_000  # of one statement; PostgreSQL takes 65,535
COPIED_FROM = 16  # rows; for fewer, a COPY and drawing their ids take longer than an INSERT


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


class Instant(Param):
    """An instant that is passed when the query runs, also as it was some time before."""

    def __init__(self, name: str, before: timedelta = timedelta()) -> None:
        super().__init__(name, DateTimeField())
        self.before = before

    def __sub__(self, other: Any) -> Any:
        return Instant(self.name, self.before + other)

    def bind(self, value: Any, connection: Any) -> Any:
        return super().bind(value - self.before, connection)


class Listed(Param):
    """A list of texts or numbers that is passed when the query runs; for use with `any_of`."""

    def bind(self, value: Any, connection: Any) -> Any:
        values = list(value)
        if connection.vendor != "postgresql":
            return json.dumps(values)
        # psycopg would write an array value by value, in ten times as long
        return "{" + ",".join(map(_array_element, values)) + "}"


def _array_element(value: str | int) -> str:
    if isinstance(value, int):
        return str(value)
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


@Field.register_lookup
@ForeignKey.register_lookup
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
    """A query that can run many times; `build` makes its queryset when it first runs.

    With `literals` its constant texts are written into the statement: PostgreSQL, which plans it for any
    values, uses a partial index only where it sees the constant of the index's condition.
    """

    def __init__(self, build: Callable[[], object], *, literals: bool = False) -> None:
        functools.update_wrapper(self, build)
        self._build, self._literals = build, literals
        self._compiled: tuple[str, tuple[Any, ...], _Reader] | None = None

    def __call__(self, **values: Any) -> list[Any]:
        """Return the rows, as the queryset itself would: instances, tuples or single values."""
        connection = connections[DEFAULT_DB_ALIAS]
        if self._compiled is None:
            self._compiled = self._compile(connection)
        sql, slots, read = self._compiled
        try:
            bound = bind_all(slots, values, connection)
        except EmptyResultSet:
            return []
        with prepared_cursor() as cursor:
            cursor.execute(sql, bound)
            rows = cursor.fetchall()
        return read(rows, connection)

    def _compile(self, connection: Any) -> tuple[str, tuple[Any, ...], _Reader]:
        queryset: Any = self._build()
        compiler = queryset.query.get_compiler(connection=connection)
        sql, slots = compiler.as_sql()
        if self._literals and connection.vendor == "postgresql":
            sql, slots = _with_literals(sql, slots, connection.literal)
        return sql, tuple(slots), _Reader(queryset, compiler)


def _with_literals(sql: str, slots: Iterable[Any], literal: Callable[[str], str]) -> tuple[str, list[Any]]:
    """Return a statement with its constant texts in it, and the parameters that remain."""
    first, *others = sql.split("%s")
    written, remaining = [first], []
    for slot, text in zip(slots, others, strict=True):
        if isinstance(slot, str):
            written.append(literal(slot).replace("%", "%%"))
        else:
            written.append("%s")
            remaining.append(slot)
        written.append(text)
    return "".join(written), remaining


def bind_all(slots: Iterable[Any], values: Mapping[str, Any], connection: Any) -> tuple[Any, ...]:
    """Return a statement's values: those of its parameters by name, the others as they are."""
    return tuple(
        slot.bind(values[slot.name], connection) if isinstance(slot, Param) else slot for slot in slots
    )


def prepared_cursor() -> Any:
    """Return a cursor for a statement that stays the same; PostgreSQL prepares it, SQLite cannot."""
    connection: Any = connections[DEFAULT_DB_ALIAS]
    return getattr(connection, "prepared_cursor", connection.cursor)()


class CompiledFilter:
    """A query with optional filters; compiled once for each set of them that is given, and each limit."""

    def __init__(self, build: Callable[[], Any], **fields: Field[Any, Any]) -> None:
        self._build, self._fields = build, fields
        self._query = functools.lru_cache(maxsize=64)(self._with)

    def __call__(self, limit: int | None, **values: object) -> list[Any]:
        """Return up to `limit` rows, None for all; a value of None does not filter."""
        given = {name: value for name, value in values.items() if value is not None}
        return self._query(limit, *given)(**given)

    def _with(self, limit: int | None, *names: str) -> CompiledQuery:
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
            selected = compiler.klass_info["select_fields"]
            self._own = slice(selected[0], selected[-1] + 1)
            names = [column[0].target.attname for column in compiler.select[self._own]]
            self._make = _maker(queryset.model, names)
            self._annotations = compiler.annotation_col_map or {}
            self._related = [
                _populator(one)
                for one in get_related_populators(  # type: ignore[call-arg]  # the stubs are the next Django's
                    compiler.klass_info, compiler.select, DEFAULT_DB_ALIAS
                )
            ]

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
        made = self._make(row[self._own])
        for populate in self._related:
            populate(row, made)
        for name, position in self._annotations.items():
            setattr(made, name, row[position])
        return made


def _maker(model: type[Model], names: Sequence[str]) -> Callable[[Any], Any]:
    """Return how to make an instance of stored values: without `__init__` where nothing else happens there.

    It takes ten times as long, mostly for signals that nobody receives and for arguments that nobody gives.
    """
    own_init = model.__init__ is not Model.__init__ or model.from_db.__func__ is not Model.from_db.__func__  # type: ignore[attr-defined]  # a class method has it
    if own_init or pre_init.has_listeners(model) or post_init.has_listeners(model):
        return functools.partial(model.from_db, DEFAULT_DB_ALIAS, names)

    def make(values: Any) -> Any:
        made = model.__new__(model)
        made.__dict__.update(zip(names, values, strict=True))
        made._state = state = ModelState()
        state.adding, state.db = False, DEFAULT_DB_ALIAS
        return made

    return make


def _populator(relation: Any) -> Callable[[Any, Any], None]:
    """Return how to set a related instance of a row, as Django's own populator does."""
    if relation.reorder_for_init:
        populate: Callable[[Any, Any], None] = relation.populate
        return populate
    make, key = _maker(relation.model_cls, relation.init_list), relation.cols_start + relation.pk_idx
    columns = slice(relation.cols_start, relation.cols_end)
    deeper = [_populator(one) for one in relation.related_populators]
    set_related, set_back = relation.local_setter, relation.remote_setter

    def populate_quickly(row: Any, made: Any) -> None:
        related = None if row[key] is None else make(row[columns])
        for populate in deeper if related is not None else ():
            populate(row, related)
        set_related(made, related)
        if related is not None:
            set_back(related, made)

    return populate_quickly


class CompiledUpdate:
    """An update that can run many times; `build` makes the queryset of its rows when it first runs.

    `expressions` are new values by the names of fields, such as `F("uses") + Param("more")`; plain values are
    given to each call.
    """

    def __init__(self, build: Callable[[], Any], **expressions: Any) -> None:
        self._build, self._expressions = build, expressions
        self._compiled = functools.lru_cache(maxsize=64)(self._compile)

    def __call__(self, new: Mapping[str, object] | None = None, /, **values: Any) -> int:
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


def forget_plans() -> None:
    """Let PostgreSQL plan prepared statements and foreign key checks again, for tables that have grown.

    It keeps their plans for as long as a connection lasts, or until a table is analyzed: a plan for a table
    that was nearly empty reads all of it, for each row of a long import.
    """
    connection = connections[DEFAULT_DB_ALIAS]
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("DISCARD PLANS")


def row_like(row: M, **values: object) -> M:
    """Return a new row with another's values, except for these columns; a tenth of the cost of a model."""
    made = type(row).__new__(type(row))
    made.__dict__.update(row.__dict__, **values)
    made._state = ModelState()
    return made


def insert_rows(rows: Sequence[Model]) -> None:
    """Insert new rows of one model and set their ids: 30,000 values a statement, many rows by COPY.

    It writes what `bulk_create` writes: all fields, no signals, no `save` of the model's own.
    """
    if not rows:
        return
    connection = connections[DEFAULT_DB_ALIAS]
    model = type(rows[0])
    columns, key = _inserted(model, has_key=rows[0].pk is not None)
    if len(rows) >= COPIED_FROM and connection.vendor == "postgresql":
        _copy(rows, columns, key, connection)
        return
    with _writing_cursor(connection) as cursor:
        for start in range(0, len(rows), most := MOST_PARAMETERS // len(columns)):
            part = rows[start : start + most]
            if len(part) < COPIED_FROM:
                read = _values_of(columns)
                values = list(chain.from_iterable(read(row, connection, add=True) for row in part))
            else:
                prepared = [_prepared(column, _values(column, part), connection) for column in columns]
                values = list(chain.from_iterable(zip(*prepared, strict=True)))
            cursor.execute(_insert(model, tuple(column.name for column in columns), len(part)), values)
            _saved(part, key, (number for (number,) in cursor.fetchall()))


def insert_if_new(row: Model) -> bool:
    """Insert a row; return False, and write nothing, if another one has its unique values.

    It waits for a transaction that is inserting that one, and needs no savepoint.
    """
    connection = connections[DEFAULT_DB_ALIAS]
    columns, key = _inserted(type(row), has_key=row.pk is not None)
    sql = _insert(type(row), tuple(column.name for column in columns), 1, or_nothing=True)
    with _writing_cursor(connection) as cursor:
        cursor.execute(sql, _values_of(columns)(row, connection, add=True))
        numbers = [number for (number,) in cursor.fetchall()]
    if numbers:
        _saved([row], key, numbers)
    return bool(numbers)


def _saved(rows: Sequence[Model], key: Any, numbers: Iterable[object]) -> None:
    for row, number in zip(rows, numbers, strict=True):
        setattr(row, key.attname, number)
        row._state.adding, row._state.db = False, DEFAULT_DB_ALIAS


@functools.lru_cache(maxsize=256)
def _inserted(model: type[Model], *, has_key: bool) -> tuple[tuple[Any, ...], Any]:
    """Return the fields that an insert writes, and the key, which the database sets if no row has one."""
    key = model._meta.pk
    return tuple(one for one in model._meta.concrete_fields if has_key or one is not key), key


@functools.lru_cache(maxsize=256)
def _insert(model: type[Model], names: tuple[str, ...], count: int, *, or_nothing: bool = False) -> str:
    table, key, columns = _quoted(model, names)
    row = "({})".format(", ".join(["%s"] * len(columns)))
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join([row] * count)} "
        f"{'ON CONFLICT DO NOTHING ' if or_nothing else ''}RETURNING {table}.{key}"
    )


_NEW_IDS = """
    SELECT nextval(name) FROM (SELECT pg_get_serial_sequence(%s, %s)::regclass AS name OFFSET 0) AS sequence,
    generate_series(1, %s)
"""


def _copy(rows: Sequence[Model], columns: Sequence[Any], key: Any, connection: Any) -> None:
    """Insert rows by COPY, in a fifth of the time of an INSERT with all their values as parameters."""
    table, quoted_key, names = _quoted(type(rows[0]), [column.name for column in columns])
    numbers = [row.pk for row in rows]
    with connection.cursor() as cursor:
        texts = [_texts(column, _values(column, rows), connection) for column in columns]
        if key not in columns:
            cursor.execute(_NEW_IDS, [table, key.column, len(rows)])
            numbers = [number for (number,) in cursor.fetchall()]
            names, texts = [quoted_key, *names], [list(map(str, numbers)), *texts]
        with (
            connection.wrap_database_errors,
            cursor.copy(f"COPY {table} ({', '.join(names)}) FROM STDIN") as written,
        ):
            written.write("".join(_lines(texts, len(rows))))
    _saved(rows, key, numbers)


def _has_own_value(column: Any) -> bool:
    """Return whether a field itself sets its value when a row is inserted."""
    has_clock = isinstance(column, DateField) and (column.auto_now or column.auto_now_add)
    return has_clock or type(column).pre_save not in (Field.pre_save, DateTimeField.pre_save)


def _values(column: Any, rows: Sequence[Model]) -> list[Any]:
    if _has_own_value(column):
        return [column.pre_save(row, True) for row in rows]
    name = column.attname
    return [row.__dict__[name] for row in rows]


class _Values:
    """Reads a row's values of some fields, as parameters of a statement."""

    def __init__(self, fields: Sequence[Any]) -> None:
        # with one attribute more, since a single one would come without a tuple
        self._read = attrgetter(*(field.attname for field in fields), "_state")
        kinds = [_plain(field)[0] for field in fields]
        if connections[DEFAULT_DB_ALIAS].vendor == "sqlite":  # where an instant becomes a text
            kinds = [None if kind is datetime else kind for kind in kinds]
        self._fields = list(zip(kinds, fields, strict=True))
        self._own = [(place, field) for place, field in enumerate(fields) if _has_own_value(field)]

    def __call__(self, row: Model, connection: Any, *, add: bool) -> list[Any]:
        found = list(self._read(row))
        for place, field in self._own if add else ():
            found[place] = field.pre_save(row, True)
        return [
            value if value is None or type(value) is kind else field.get_db_prep_save(value, connection)
            for (kind, field), value in zip(self._fields, found, strict=False)
        ]


@functools.lru_cache(maxsize=256)
def _values_of(fields: tuple[Any, ...]) -> _Values:
    return _Values(fields)


def _prepared(column: Any, values: Sequence[Any], connection: Any) -> Sequence[Any]:
    """Return a column's values as parameters of a statement."""
    kind, _write = _plain(column)
    if kind is not datetime and set(map(type, values)) == {kind}:
        return values
    return _once_each(values, lambda value: column.get_db_prep_save(value, connection))


def _once_each(values: Sequence[Any], prepare: Callable[[Any], Any]) -> list[Any]:
    """Prepare each value once: one that is no plain text or number is often the same in many rows."""
    known: dict[int, Any] = {}
    for value in values:
        if id(value) not in known:
            known[id(value)] = prepare(value)
    return [known[id(value)] for value in values]


def _lines(texts: Sequence[str | list[str]], count: int) -> Iterator[str]:
    """Yield the lines of COPY; a column that is the same in every row is one text."""
    line = "\t".join(text.replace("%", "%%") if isinstance(text, str) else "%s" for text in texts) + "\n"
    others = [text for text in texts if not isinstance(text, str)]
    for values in zip(*others, strict=True) if others else [()] * count:
        yield line % values


def _texts(column: Any, values: Sequence[Any], connection: Any) -> str | list[str]:
    """Return a column's values as COPY reads them; one text if they are the same."""
    kind, write = _plain(column)

    def dump(value: object) -> str:
        if type(value) is kind:
            return write(value)
        dumped = connection.dumped(column.get_db_prep_save(value, connection))
        return _NULL if dumped is None else _escaped(dumped)

    first = values[0]
    # a JSON value that is equal may be another one: True is 1
    if values.count(first) == len(values) if kind else all(value is first for value in values):
        return dump(first)
    found = set(map(type, values))
    if found == {kind}:
        return list(map(write, values))
    if found == {kind, type(None)}:
        return [_NULL if value is None else write(value) for value in values]
    return _once_each(values, dump)


_NULL = "\\N"
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def _escaped(text: str) -> str:
    return text if text.isprintable() and "\\" not in text else text.translate(_ESCAPES)


def _instant(at: datetime) -> str:
    if at.tzinfo is None:
        raise ValueError(f"{at} has no time zone")
    return at.isoformat()


# The types of most columns; the others are written by psycopg, which takes a microsecond for each value.
_INTEGERS = (
    "BigAutoField",
    "BigIntegerField",
    "ForeignKey",
    "PositiveIntegerField",
    "PositiveSmallIntegerField",
)
_PLAIN: dict[str, tuple[type, Callable[[Any], str]]] = {
    **dict.fromkeys(("CharField", "TextField"), (str, _escaped)),
    **dict.fromkeys(_INTEGERS, (int, str)),
    "BooleanField": (bool, {True: "t", False: "f"}.__getitem__),
    "DateTimeField": (datetime, _instant),
}


def _plain(field: Any) -> tuple[type | None, Callable[[Any], str]]:
    """Return the type whose values a field passes on as they are, None for a field with a form of its own."""
    is_django = type(field).__module__.startswith("django.db.models")  # CentsField is a BigIntegerField too
    return _PLAIN.get(field.get_internal_type(), (None, str)) if is_django else (None, str)


def update_rows(rows: Sequence[Model], names: Sequence[str]) -> int:
    """Write these fields of saved rows of one model, 30,000 values a statement; return how many rows.

    It writes what `bulk_update` writes, whose CASE for each row and field takes milliseconds to work out.
    """
    if not rows:
        return 0
    connection = connections[DEFAULT_DB_ALIAS]
    model, fields = type(rows[0]), tuple(dict.fromkeys(names))
    read = _values_of(_updated(model, fields))
    values = [read(row, connection, add=False) for row in rows]
    if connection.vendor != "postgresql":
        with connection.cursor() as cursor:
            cursor.executemany(_update_one(model, fields), values)
        return len(rows)
    with _writing_cursor(connection) if len(rows) < COPIED_FROM else connection.cursor() as cursor:
        if len(rows) == 1:
            cursor.execute(_update_one(model, fields), values[0])
            return int(cursor.rowcount)
        for start in range(0, len(values), most := MOST_PARAMETERS // (len(fields) + 1)):
            part = values[start : start + most]
            cursor.execute(_update_many(model, fields, len(part)), list(chain.from_iterable(part)))
    return len(rows)


@functools.lru_cache(maxsize=256)
def _updated(model: type[Model], names: tuple[str, ...]) -> tuple[Any, ...]:
    """Return the fields that an update writes, and last the key."""
    return (*_columns(model, names), model._meta.pk)


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

"""Append-only tables: the model, the database triggers behind it, and the checks on them.

The migration of each table creates the triggers, every migrate creates them again (SQLite silently drops them
when it rebuilds a table), and a system check lists them. The histories of policies and settings are
append-only as well; only migrate creates their triggers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, NoReturn

from django.apps import apps
from django.db import DEFAULT_DB_ALIAS, connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation
from django.db.migrations.operations.special import RunPython
from simple_history.models import HistoricalChanges

from governance.core.compiled import insert_rows

MESSAGE = "rows of this table are written once and never changed"
POINT = "point_digest"  # the column with the person that a row with `words` is about
FUNCTION = "valhalla_written_once"
# Only the retention package's functions delete a row or blank its words: they work inside a trigger, in the
# transaction of the row that records it. Nothing that a session can set bypasses this.
BODY = """
BEGIN
  IF pg_trigger_depth() > 1 AND TG_OP = 'DELETE' THEN
    IF EXISTS (
      SELECT 1 FROM governance_removal WHERE at = now() AND table_name = TG_TABLE_NAME
        AND (to_jsonb(OLD) ->> age)::timestamptz <= until)
    THEN
      RETURN OLD;
    END IF;
  ELSIF pg_trigger_depth() > 1 AND TG_OP = 'UPDATE' AND TG_NARGS > 0 THEN
    IF to_jsonb(NEW) - TG_ARGV = to_jsonb(OLD) - TG_ARGV
      AND NOT EXISTS (SELECT 1 FROM unnest(TG_ARGV) AS word WHERE to_jsonb(NEW) ->> word <> '')
      AND EXISTS (
        SELECT 1 FROM governance_erasure WHERE at = now() AND points ? (to_jsonb(OLD) ->> '{POINT}'))
    THEN
      RETURN NEW;
    END IF;
  END IF;
  RAISE EXCEPTION '% on %: {MESSAGE}', TG_OP, TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END
""".replace("{POINT}", POINT).replace("{MESSAGE}", MESSAGE)


class Unchangeable(Exception):
    """Somebody tried to change or delete an append-only row."""


class AppendOnlyQuerySet(models.QuerySet[Any]):
    """Refuses in Python what the triggers refuse in the database."""

    def update(self, **kwargs: Any) -> NoReturn:
        raise Unchangeable(MESSAGE)

    def delete(self) -> NoReturn:
        raise Unchangeable(MESSAGE)

    def bulk_update(self, *args: object, **kwargs: object) -> NoReturn:
        raise Unchangeable(MESSAGE)

    def bulk_create(self, objs: Iterable[Any], *args: Any, **kwargs: Any) -> list[Any]:
        if args or kwargs:
            return super().bulk_create(objs, *args, **kwargs)
        rows = list(objs)
        insert_rows(rows)
        return rows


class AppendOnly(models.Model):
    """A row that is inserted and after that only read.

    `words` are columns of free text about the person of the row's point: erasing the person blanks them.
    Other append-only rows hold no free text.
    """

    words: ClassVar[tuple[str, ...]] = ()

    objects = AppendOnlyQuerySet.as_manager()

    class Meta:
        abstract = True

    def save(self, *args: object, **kwargs: object) -> None:
        if not self._state.adding:
            raise Unchangeable(MESSAGE)
        insert_rows([self])

    def delete(self, *args: object, **kwargs: object) -> NoReturn:
        raise Unchangeable(MESSAGE)


def append_only_models() -> list[type[AppendOnly]]:
    """Return every append-only model."""
    return [model for model in apps.get_models() if issubclass(model, AppendOnly)]


def history_models() -> list[type[models.Model]]:
    """Return every model that keeps the versions of another one."""
    return [model for model in apps.get_models() if issubclass(model, HistoricalChanges)]


def guarded_tables() -> dict[str, str]:
    """Return the tables that the triggers guard, and the primary key column of each."""
    found = [*append_only_models(), *history_models()]
    return {model._meta.db_table: str(model._meta.pk.attname) for model in found}


def words_in_tables() -> dict[str, tuple[str, ...]]:
    """Return the tables with free text about a person, and the columns with it."""
    return {model._meta.db_table: model.words for model in append_only_models() if model.words}


def _names(table: str) -> dict[str, str]:
    return {what: f"{table}_no_{what}" for what in ("update", "delete", "truncate", "replace")}


def expected(vendor: str, table: str) -> set[str]:
    """Return the names of the triggers that a table must have."""
    names = _names(table)
    kinds = ("update", "delete", "truncate") if vendor == "postgresql" else ("update", "delete", "replace")
    return {names[kind] for kind in kinds}


def _arguments(table: str, event: str) -> tuple[str, ...]:
    """Return a PostgreSQL trigger's arguments: the columns that erasing a person may blank."""
    return words_in_tables().get(table, ()) if event == "update" else ()


def install(connection: BaseDatabaseWrapper, table: str) -> None:
    """Create the triggers of one table, replacing those of the same name."""
    remove(connection, table)
    names = _names(table)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                f"CREATE OR REPLACE FUNCTION {FUNCTION}() RETURNS trigger LANGUAGE plpgsql AS "
                f"$valhalla${BODY}$valhalla$"
            )
            for event in ("update", "delete", "truncate"):
                each = "STATEMENT" if event == "truncate" else "ROW"
                given = ", ".join(f"'{name}'" for name in _arguments(table, event))
                cursor.execute(
                    f'CREATE TRIGGER "{names[event]}" BEFORE {event.upper()} ON "{table}" '
                    f"FOR EACH {each} EXECUTE FUNCTION {FUNCTION}({given})"
                )
                cursor.execute(f'ALTER TABLE "{table}" ENABLE ALWAYS TRIGGER "{names[event]}"')
            return
        for event in ("update", "delete"):
            cursor.execute(
                f'CREATE TRIGGER "{names[event]}" BEFORE {event.upper()} ON "{table}" '
                f"BEGIN SELECT RAISE(ABORT, '{MESSAGE}'); END"
            )
        # INSERT OR REPLACE deletes the old row without firing the trigger on DELETE
        key = guarded_tables().get(table, "id")
        cursor.execute(
            f'CREATE TRIGGER "{names["replace"]}" BEFORE INSERT ON "{table}" '
            f'WHEN EXISTS (SELECT 1 FROM "{table}" WHERE {key} = NEW.{key}) '
            f"BEGIN SELECT RAISE(ABORT, '{MESSAGE}'); END"
        )


def remove(connection: BaseDatabaseWrapper, table: str) -> None:
    """Drop the triggers of one table."""
    with connection.cursor() as cursor:
        for name in _names(table).values():
            if connection.vendor == "postgresql":
                cursor.execute(f'DROP TRIGGER IF EXISTS "{name}" ON "{table}"')
            else:
                cursor.execute(f'DROP TRIGGER IF EXISTS "{name}"')


def present(connection: BaseDatabaseWrapper) -> set[str]:
    """Return the names of all existing triggers."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgenabled = 'A'")
        else:
            cursor.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        return {str(row[0]) for row in cursor.fetchall()}


def bodies_of_functions(connection: BaseDatabaseWrapper) -> dict[str, str]:
    """Return the bodies of the PostgreSQL functions that begin with ``valhalla_``, by name."""
    if connection.vendor != "postgresql":
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT proname, prosrc FROM pg_proc WHERE starts_with(proname, 'valhalla_') "
            "AND pronamespace = current_schema()::regnamespace"
        )
        return dict(cursor.fetchall())


def _with_arguments(connection: BaseDatabaseWrapper) -> dict[str, tuple[str, ...]]:
    """Return the arguments of the PostgreSQL triggers that have any."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT tgname, tgargs FROM pg_trigger WHERE NOT tgisinternal AND tgnargs > 0")
        return {
            name: tuple(bytes(told).decode().rstrip("\0").split("\0")) for name, told in cursor.fetchall()
        }


def missing(connection: BaseDatabaseWrapper) -> list[str]:
    """Return the triggers that are missing or wrong, for tables that exist."""
    tables = set(connection.introspection.table_names())
    guarded = [table for table in guarded_tables() if table in tables]
    if not guarded:
        return []
    wanted = {name for table in guarded for name in expected(connection.vendor, table)}
    wrong = wanted - present(connection)
    if connection.vendor == "postgresql":
        told = _with_arguments(connection)
        updates = {_names(table)["update"]: _arguments(table, "update") for table in guarded}
        wrong |= {name for name, columns in updates.items() if told.get(name, ()) != columns}
        if bodies_of_functions(connection).get(FUNCTION) != BODY:
            wrong.add(FUNCTION)
    return sorted(wrong)


def install_missing(sender: Any, using: str = DEFAULT_DB_ALIAS, **kwargs: object) -> None:
    """After a migrate, create the missing triggers of the app that was migrated."""
    connection = connections[using]
    tables = set(connection.introspection.table_names())
    wrong = set(missing(connection))
    for model in (*append_only_models(), *history_models()):
        table = model._meta.db_table
        of_app = model._meta.app_label == sender.label and table in tables
        if of_app and (FUNCTION in wrong or expected(connection.vendor, table) & wrong):
            install(connection, table)


@contextmanager
def unguarded(connection: BaseDatabaseWrapper, table: str) -> Iterator[None]:
    """Lift a table's guard within the block; a failed transaction leaves it in place.

    Only the owner of the table can do this: on PostgreSQL that means migrations.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("only inside a transaction")
    guarded = table in guarded_tables()
    if guarded:
        if connection.vendor == "postgresql":
            connection.check_constraints()  # deferred checks would keep the table from being altered
        remove(connection, table)
    yield
    if guarded:
        if connection.vendor == "postgresql":
            connection.check_constraints()
        install(connection, table)


def guard_tables(app_label: str, *model_names: str) -> Operation:
    """Return the migration operation that creates these models' triggers, and drops them in reverse."""

    def forwards(state: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
        for name in model_names:
            install(schema_editor.connection, state.get_model(app_label, name)._meta.db_table)

    def backwards(state: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
        for name in model_names:
            remove(schema_editor.connection, state.get_model(app_label, name)._meta.db_table)

    return RunPython(forwards, backwards, elidable=False)

"""Tables whose rows are written once: the model, the database triggers behind it, and who watches them.

The triggers are made in the migration of each table, made again after every migrate (SQLite silently drops
them when it rebuilds a table) and listed by a system check. The histories of policies and settings are
written once as well; their triggers are made after a migrate alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, NoReturn

from django.apps import apps
from django.db import DEFAULT_DB_ALIAS, connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.operations.base import Operation
from django.db.migrations.operations.special import RunPython
from simple_history.models import HistoricalChanges

MESSAGE = "rows of this table are written once and never changed"
POINT = "point_digest"  # the column that says whom a row with `words` is about
FUNCTION = "valhalla_written_once"
# A row goes, or loses its words, only at the hands of the retention room's functions: they work from inside a
# trigger, in the transaction of the row that tells of it. Nothing that a session can set opens this.
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
    """Somebody tried to change or delete a row that is written once."""


class AppendOnlyQuerySet(models.QuerySet[Any]):
    """Refuses in Python what the triggers refuse in the database."""

    def update(self, **kwargs: Any) -> NoReturn:
        raise Unchangeable(MESSAGE)

    def delete(self) -> NoReturn:
        raise Unchangeable(MESSAGE)

    def bulk_update(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise Unchangeable(MESSAGE)


class AppendOnly(models.Model):
    """A row that is inserted and from then on only read.

    `words` are columns of free text about the person of the row's point: erasing her blanks them. Other rows
    that are written once hold no free text.
    """

    words: ClassVar[tuple[str, ...]] = ()

    objects = AppendOnlyQuerySet.as_manager()

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise Unchangeable(MESSAGE)
        kwargs["force_insert"] = True
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise Unchangeable(MESSAGE)


def append_only_models() -> list[type[AppendOnly]]:
    """Return every model whose rows are written once."""
    return [model for model in apps.get_models() if issubclass(model, AppendOnly)]


def history_models() -> list[type[models.Model]]:
    """Return every model that keeps the versions of another one."""
    return [model for model in apps.get_models() if issubclass(model, HistoricalChanges)]


def guarded_tables() -> dict[str, str]:
    """Return the tables that the triggers guard, and the column that names a row of each."""
    found = [*append_only_models(), *history_models()]
    return {model._meta.db_table: str(model._meta.pk.attname) for model in found}


def words_in_tables() -> dict[str, tuple[str, ...]]:
    """Return the tables whose rows hold free text about a person, and the columns with it."""
    return {model._meta.db_table: model.words for model in append_only_models() if model.words}


def _names(table: str) -> dict[str, str]:
    return {what: f"{table}_no_{what}" for what in ("update", "delete", "truncate", "replace")}


def expected(vendor: str, table: str) -> set[str]:
    """Return the names of the triggers that a table must have."""
    names = _names(table)
    kinds = ("update", "delete", "truncate") if vendor == "postgresql" else ("update", "delete", "replace")
    return {names[kind] for kind in kinds}


def _arguments(table: str, event: str) -> tuple[str, ...]:
    """Return what the trigger of an event on PostgreSQL is told: which columns erasing a person may blank."""
    return words_in_tables().get(table, ()) if event == "update" else ()


def install(connection: BaseDatabaseWrapper, table: str) -> None:
    """Make the triggers of one table, replacing any of their names."""
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
    """Return the names of all triggers that are in force."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgenabled = 'A'")
        else:
            cursor.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        return {str(row[0]) for row in cursor.fetchall()}


def bodies_of_functions(connection: BaseDatabaseWrapper) -> dict[str, str]:
    """Return what the functions of PostgreSQL that begin with ``valhalla_`` do, by their names."""
    if connection.vendor != "postgresql":
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT proname, prosrc FROM pg_proc WHERE starts_with(proname, 'valhalla_') "
            "AND pronamespace = current_schema()::regnamespace"
        )
        return dict(cursor.fetchall())


def _with_arguments(connection: BaseDatabaseWrapper) -> dict[str, tuple[str, ...]]:
    """Return the triggers of PostgreSQL that are told something, and what."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT tgname, tgargs FROM pg_trigger WHERE NOT tgisinternal AND tgnargs > 0")
        return {
            name: tuple(bytes(told).decode().rstrip("\0").split("\0")) for name, told in cursor.fetchall()
        }


def missing(connection: BaseDatabaseWrapper) -> list[str]:
    """Return the triggers that ought to be there, for tables that exist, and are not or are others."""
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


def install_missing(sender: Any, using: str = DEFAULT_DB_ALIAS, **kwargs: Any) -> None:
    """Make again, after a migrate, whatever triggers are missing for the app that was migrated."""
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
    """Lift a table's guard for the length of the block; a transaction that fails has never lifted it.

    Whoever does not own the table cannot: on PostgreSQL that leaves migrations.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("only inside a transaction")
    guarded = table in guarded_tables()
    if guarded:
        if connection.vendor == "postgresql":
            connection.check_constraints()  # what waits for the end would keep the table from being changed
        remove(connection, table)
    yield
    if guarded:
        if connection.vendor == "postgresql":
            connection.check_constraints()
        install(connection, table)


def guard_tables(app_label: str, *model_names: str) -> Operation:
    """Return the migration operation that makes these models' triggers, and drops them on the way back."""

    def forwards(state: Any, schema_editor: Any) -> None:
        for name in model_names:
            install(schema_editor.connection, state.get_model(app_label, name)._meta.db_table)

    def backwards(state: Any, schema_editor: Any) -> None:
        for name in model_names:
            remove(schema_editor.connection, state.get_model(app_label, name)._meta.db_table)

    return RunPython(forwards, backwards, elidable=False)

"""Tables whose rows are written once: the model, the database triggers behind it, and who watches them.

The triggers are made in the migration of each table, made again after every migrate (SQLite silently drops
them when it rebuilds a table) and listed by a system check.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from django.apps import apps
from django.db import DEFAULT_DB_ALIAS, connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.operations.base import Operation
from django.db.migrations.operations.special import RunPython

MESSAGE = "rows of this table are written once and never changed"


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
    """A row that is inserted and from then on only read."""

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


def append_only_models() -> list[type[models.Model]]:
    """Return every model whose rows are written once."""
    return [model for model in apps.get_models() if issubclass(model, AppendOnly)]


def _names(table: str) -> dict[str, str]:
    return {what: f"{table}_no_{what}" for what in ("update", "delete", "truncate", "replace")}


def expected(vendor: str, table: str) -> set[str]:
    """Return the names of the triggers that a table must have."""
    names = _names(table)
    kinds = ("update", "delete", "truncate") if vendor == "postgresql" else ("update", "delete", "replace")
    return {names[kind] for kind in kinds}


def install(connection: BaseDatabaseWrapper, table: str) -> None:
    """Make the triggers of one table, replacing any of their names."""
    remove(connection, table)
    names = _names(table)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "CREATE OR REPLACE FUNCTION valhalla_written_once() RETURNS trigger LANGUAGE plpgsql AS $$ "
                "BEGIN RAISE EXCEPTION '% on %: " + MESSAGE.replace("%", "%%") + "', TG_OP, TG_TABLE_NAME "
                "USING ERRCODE = 'integrity_constraint_violation'; END $$"
            )
            for event in ("update", "delete", "truncate"):
                each = "STATEMENT" if event == "truncate" else "ROW"
                cursor.execute(
                    f'CREATE TRIGGER "{names[event]}" BEFORE {event.upper()} ON "{table}" '
                    f"FOR EACH {each} EXECUTE FUNCTION valhalla_written_once()"
                )
                cursor.execute(f'ALTER TABLE "{table}" ENABLE ALWAYS TRIGGER "{names[event]}"')
            return
        for event in ("update", "delete"):
            cursor.execute(
                f'CREATE TRIGGER "{names[event]}" BEFORE {event.upper()} ON "{table}" '
                f"BEGIN SELECT RAISE(ABORT, '{MESSAGE}'); END"
            )
        # INSERT OR REPLACE deletes the old row without firing the trigger on DELETE
        cursor.execute(
            f'CREATE TRIGGER "{names["replace"]}" BEFORE INSERT ON "{table}" '
            f'WHEN EXISTS (SELECT 1 FROM "{table}" WHERE id = NEW.id) '
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


def missing(connection: BaseDatabaseWrapper) -> list[str]:
    """Return the triggers that ought to be there and are not, for tables that exist."""
    tables = set(connection.introspection.table_names())
    wanted: set[str] = set()
    for model in append_only_models():
        if model._meta.db_table in tables:
            wanted |= expected(connection.vendor, model._meta.db_table)
    return sorted(wanted - present(connection)) if wanted else []


def install_missing(sender: Any, using: str = DEFAULT_DB_ALIAS, **kwargs: Any) -> None:
    """Make again, after a migrate, whatever triggers are missing for the app that was migrated."""
    connection = connections[using]
    tables = set(connection.introspection.table_names())
    there = present(connection)
    for model in append_only_models():
        table = model._meta.db_table
        of_app = model._meta.app_label == sender.label and table in tables
        if of_app and expected(connection.vendor, table) - there:
            install(connection, table)


@contextmanager
def lifted_for_tests(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Drop every trigger for the length of the block: for emptying a test database, and nothing else."""
    tables = set(connection.introspection.table_names())
    guarded = [m._meta.db_table for m in append_only_models() if m._meta.db_table in tables]
    for table in guarded:
        remove(connection, table)
    try:
        yield
    finally:
        for table in guarded:
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

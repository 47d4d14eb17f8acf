"""One migrate at a time, each migration atomic.

Two processes that migrate at once both plan from what they see, and the slower one creates tables that exist
by then. So a migrate waits until the previous one has ended, and plans after that.
"""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Callable, Iterator
from typing import Any

from django.core.management.base import CommandError
from django.core.management.commands import migrate as stock
from django.db import DEFAULT_DB_ALIAS, Error
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.migration import Migration

from governance.runbook import schema

LOCK = 0x56414C48  # the advisory lock's number in the database, "VALH"
ASK_EVERY = 0.2  # seconds
_held: set[str] = set()


@contextlib.contextmanager
def one_at_a_time(connection: BaseDatabaseWrapper, waiting: Callable[[], None]) -> Iterator[None]:
    """Keep other migrates of this database out; call `waiting` once if one of them is running.

    The lock ends with the process that holds it, however that ends: on PostgreSQL it belongs to the session
    that migrates, so a statement that outlives its killed client keeps the next one out until it is done; on
    SQLite it is a lock on a file next to the database.
    """
    if connection.alias in _held:
        yield
        return
    take = _advisory_lock if connection.vendor == "postgresql" else _file_lock
    with take(connection, waiting):
        _held.add(connection.alias)
        try:
            yield
        finally:
            _held.discard(connection.alias)


@contextlib.contextmanager
def _advisory_lock(connection: BaseDatabaseWrapper, waiting: Callable[[], None]) -> Iterator[None]:
    # Polled, because a session waiting in a statement would block CREATE INDEX CONCURRENTLY.
    def taken() -> bool:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", [LOCK])
            return bool(cursor.fetchone()[0])

    _wait(taken, waiting)
    try:
        yield
    finally:
        with contextlib.suppress(Error), connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [LOCK])


@contextlib.contextmanager
def _file_lock(connection: BaseDatabaseWrapper, waiting: Callable[[], None]) -> Iterator[None]:
    if connection.is_in_memory_db():  # type: ignore[attr-defined]  # SQLite's
        yield
        return
    with open(f"{connection.settings_dict['NAME']}.migrate", "w") as file:

        def taken() -> bool:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

        _wait(taken, waiting)
        yield  # closing the file releases the lock


def _wait(taken: Callable[[], bool], waiting: Callable[[], None]) -> None:
    if taken():
        return
    waiting()
    while not taken():
        time.sleep(ASK_EVERY)


class WholeSteps(MigrationExecutor):
    """Records a migration in the transaction that applies or reverses it.

    Django itself records it afterwards if foreign keys and indexes are created last: if killed in between, it
    leaves tables behind that the next migrate creates again, and fails.
    """

    def apply_migration(self, state: Any, migration: Migration, *args: Any, **options: Any) -> Any:
        apply = migration.apply

        def apply_whole(state: Any, editor: BaseDatabaseSchemaEditor) -> object:
            state = apply(state, editor)
            _finish(editor)
            _note_what_old_code_can_ignore(editor, migration)
            return state

        with _method(migration, "apply", apply_whole):
            return super().apply_migration(state, migration, *args, **options)

    def unapply_migration(self, state: Any, migration: Migration, *args: Any, **options: Any) -> Any:
        unapply = migration.unapply

        def unapply_whole(state: Any, editor: BaseDatabaseSchemaEditor) -> object:
            state = unapply(state, editor)
            _finish(editor)
            for app, name in (*migration.replaces, (migration.app_label, migration.name)):
                self.recorder.record_unapplied(app, name)
            return state

        with _method(migration, "unapply", unapply_whole):
            return super().unapply_migration(state, migration, *args, **options)


def _finish(editor: BaseDatabaseSchemaEditor) -> None:
    """Run the schema editor's deferred statements; with none left, Django records the migration at once."""
    for statement in editor.deferred_sql:
        editor.execute(statement, None)
    editor.deferred_sql.clear()


def _note_what_old_code_can_ignore(editor: BaseDatabaseSchemaEditor, migration: Migration) -> None:
    """Remember a migration that declares `expands = True`: the previous release may start on its tables."""
    table = "governance_compatiblemigration"
    if getattr(migration, "expands", False) and table in editor.connection.introspection.table_names():
        with editor.connection.cursor() as cursor:
            cursor.execute(
                f"INSERT INTO {table} (app, name) VALUES (%s, %s) ON CONFLICT DO NOTHING",
                [migration.app_label, migration.name],
            )


@contextlib.contextmanager
def _method(migration: Migration, name: str, method: Callable[..., object]) -> Iterator[None]:
    setattr(migration, name, method)
    try:
        yield
    finally:
        delattr(migration, name)


class NewerDatabase(CommandError):
    """A newer release has changed the database; the message is one sentence that says what to do."""


def refuse_a_newer_database(using: str = DEFAULT_DB_ALIAS) -> None:
    """Keep this program from a database whose tables it does not know. Raises NewerDatabase."""
    if newer := schema.of_a_newer_release(using):
        raise NewerDatabase(
            f"a newer release has changed the database ({', '.join(newer[-3:])}): start that release, or "
            "restore the backup from before it."
        )


setattr(stock, "MigrationExecutor", WholeSteps)  # noqa: B010  # the command has no other place for it

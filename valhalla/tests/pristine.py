"""The test database as migrate left it: kept once, and put back after every test that committed.

A flush makes 0.5 s of work for it: every trigger is dropped and made again, and every seed planted anew.
"""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

from django.db import connection

LARGE = 1_000_000  # bytes of a table that PostgreSQL empties faster as a whole
PATIENCE = 30  # seconds that a connection which a test forgot may hold SQLite's file


class Pristine:
    """What the database held after migrate. Raises RuntimeError where SQLite's file cannot be written."""

    def __init__(self) -> None:
        connection.ensure_connection()
        if connection.vendor == "sqlite":
            self._file = f"{connection.settings_dict['NAME']}.pristine"
            Path(self._file).unlink(missing_ok=True)
            _copy(connection.connection, self._file)
        else:
            self._keep_rows()

    def put_back(self) -> None:
        connection.ensure_connection()
        if connection.vendor == "sqlite":
            _put_back(self._file, connection.connection)
        else:
            self._put_rows_back()

    # SQLite's file has few pages; PostgreSQL's tables are many files, so only those with rows are touched.

    def _keep_rows(self) -> None:
        with connection.cursor() as cursor:
            self._tables = sorted(set(connection.introspection.table_names()) - {"django_migrations"})
            self._rows: dict[str, bytes] = {}
            for table in self._written(cursor):
                with cursor.copy(f'COPY "{table}" TO STDOUT') as rows:
                    self._rows[table] = b"".join(bytes(part) for part in rows)
            self._numbers = self._last_numbers(cursor)
            cursor.execute(
                "SELECT relname, tgname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid"
                " WHERE tgenabled = 'A'"
            )
            self._guards = cursor.fetchall()  # which keep tables append-only

    def _last_numbers(self, cursor: Any) -> dict[str, int | None]:
        cursor.execute("SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = 'public'")
        return dict(cursor.fetchall())

    def _written(self, cursor: Any) -> list[str]:
        parts = (f"SELECT '{table}' WHERE EXISTS (SELECT FROM \"{table}\")" for table in self._tables)
        cursor.execute(" UNION ALL ".join(parts))
        return [table for (table,) in cursor.fetchall()]

    def _large(self, cursor: Any) -> list[str]:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relname = ANY(%s) AND pg_relation_size(oid) > %s",
            [self._tables, LARGE],
        )
        return [table for (table,) in cursor.fetchall()]

    def _put_rows_back(self) -> None:
        with connection.cursor() as cursor:
            emptied = sorted({*self._written(cursor), *self._rows})
            large = self._large(cursor)
            guarded = [(table, name) for table, name in self._guards if large or table in emptied]
            cursor.execute("SET session_replication_role = replica")  # without the triggers of foreign keys
            _execute(cursor, *(f'ALTER TABLE "{table}" DISABLE TRIGGER "{name}"' for table, name in guarded))
            try:
                if large:  # else their dead rows would lead the planner of the next tests astray
                    cursor.execute("TRUNCATE {} CASCADE".format(", ".join(f'"{table}"' for table in large)))
                _execute(cursor, *(f'DELETE FROM "{table}"' for table in emptied))
                for table, rows in self._rows.items():
                    with cursor.copy(f'COPY "{table}" FROM STDIN') as target:
                        target.write(rows)
                before = self._numbers
                for name in (one for one, last in self._last_numbers(cursor).items() if last != before[one]):
                    last = before[name]
                    cursor.execute("SELECT setval(%s, %s, %s)", [name, last or 1, last is not None])
            finally:
                always = (f'ALTER TABLE "{table}" ENABLE ALWAYS TRIGGER "{name}"' for table, name in guarded)
                _execute(cursor, *always, "SET session_replication_role = DEFAULT")


def _execute(cursor: Any, *statements: str) -> None:
    """Execute them in one exchange."""
    cursor.execute("; ".join(statements) or "SELECT 1")


def _copy(source: sqlite3.Connection, path: str) -> None:
    target = sqlite3.connect(path)
    try:
        source.backup(target)
    finally:
        target.close()


def _put_back(path: str, target: sqlite3.Connection) -> None:
    until = time.monotonic() + PATIENCE

    def seen(status: int, remaining: int, total: int) -> None:
        if time.monotonic() > until:
            raise RuntimeError("a test left a connection that holds the database's file")

    source = sqlite3.connect(path)
    try:
        source.backup(target, progress=seen, sleep=0.05)
    finally:
        source.close()

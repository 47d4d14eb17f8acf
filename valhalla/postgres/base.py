"""The database backend; settings name this folder as the engine."""

from __future__ import annotations

import functools
import json
import select
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, ClassVar

from django.db.backends.postgresql import base, operations
from psycopg import RawCursor
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import FeatureNotSupported
from psycopg.pq import TransactionStatus
from psycopg.sql import Literal
from psycopg.types.datetime import TimestamptzLoader
from psycopg.types.json import Jsonb
from psycopg.types.numeric import Int2, Int4, Int8


class UtcLoader(TimestamptzLoader):
    """Parses timestamps with Python's own parser, in a tenth of psycopg's time."""

    timezone = UTC  # the method that Django expects of a loader; for another zone it uses its own

    def load(self, data: Any) -> datetime:
        try:
            at = datetime.fromisoformat(str(data, "ascii"))
        except ValueError:  # infinity, or a year that Python does not support
            return super().load(data)
        return at if at.tzinfo is UTC else at.astimezone(UTC)


@functools.lru_cache(maxsize=1024)
def numbered(sql: str) -> str:
    """Return a statement with $1, $2, … for its placeholders; psycopg parses a long one at each call."""
    first, *others = sql.split("%s")
    return "".join([first, *(f"${n}{text}" for n, text in enumerate(others, 1))]).replace("%%", "%")


class PreparedCursor(RawCursor[Any]):
    """Runs prepared statements: the server parses and plans each once per connection."""

    def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        connection = self.connection
        query = numbered(query)
        connection.prepare_threshold = 0  # for this cursor alone: Django's put values into the SQL
        try:
            return super().execute(query, params, **options)
        except FeatureNotSupported:  # a migration changed a column of the answer since it was prepared
            if connection.info.transaction_status is not TransactionStatus.IDLE:
                raise  # rolling back forgets what was prepared
            connection.execute("DEALLOCATE ALL")
            return super().execute(query, params, **options)
        finally:
            connection.prepare_threshold = None


class WritingCursor(PreparedCursor):
    """Prepares a statement once, whatever its values are: PostgreSQL takes their types from its columns.

    psycopg names a type by the value, such as smallint for 7 and none for None, and each combination of such
    types would be another prepared statement. A text has no type.
    """

    _texts: ClassVar[dict[type, Callable[[Any], str]]] = {
        bool: str,
        int: str,
        Int2: str,
        Int4: str,
        Int8: str,
        float: str,
        Decimal: str,
        date: str,
        datetime: str,
        Jsonb: lambda value: (value.dumps or json.dumps)(value.obj),
    }

    def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        texts = self._texts
        values = [texts[kind](value) if (kind := type(value)) in texts else value for value in params or ()]
        return super().execute(query, values, **options)


class DatabaseOperations(operations.DatabaseOperations):
    """Shows what a prepared statement was, with its values, to whoever captures queries."""

    def last_executed_query(self, cursor: Any, sql: Any, params: Any) -> Any:
        if isinstance(cursor, PreparedCursor):
            return self.compose_sql(sql, params)
        return super().last_executed_query(cursor, sql, params)


class DatabaseWrapper(base.DatabaseWrapper):
    """Checks an open connection before reusing it, without a query; has cursors for prepared statements."""

    ops_class = DatabaseOperations

    def get_new_connection(self, conn_params: dict[str, object]) -> object:
        connection = super().get_new_connection(conn_params)
        connection.adapters.register_loader("timestamptz", UtcLoader)
        connection.prepared_max = 300
        return connection

    def init_connection_state(self) -> None:
        """Have prepared statements planned once: PostgreSQL plans some for each call, longer than they run.

        valhalla/tests/plans.py checks these plans, which hold for any values, on a million rows. No statement
        takes several processes of the server, where another call waits for a core: PostgreSQL would rather
        walk through a table with two of them than use its index.
        """
        super().init_connection_state()
        self.connection.execute(
            "SET plan_cache_mode = force_generic_plan; SET max_parallel_workers_per_gather = 0"
        )
        if not self.get_autocommit():
            self.connection.commit()

    def prepared_cursor(self, kind: type[PreparedCursor] = PreparedCursor) -> Any:
        """Return a cursor for statements that stay the same: planning them takes longer than most run."""
        self.close_if_health_check_failed()
        self.ensure_connection()
        with self.wrap_database_errors:
            return self._prepare_cursor(kind(self.connection))  # type: ignore[attr-defined]  # not in the stubs

    def writing_cursor(self) -> Any:
        """Return a cursor for inserts and updates that stay the same."""
        return self.prepared_cursor(WritingCursor)

    def literal(self, text: str) -> str:
        """Return a text as SQL has it in quotes."""
        return Literal(text).as_string(self.connection)

    def dumped(self, value: object) -> str | None:
        """Return a value as it is sent to the server, for COPY; None is NULL."""
        (dumped,) = Transformer.from_context(self.connection).dump_sequence([value], [PyFormat.TEXT])
        return None if dumped is None else str(dumped, "utf-8")

    def is_usable(self) -> bool:
        """Return whether the connection works; a server that closed it leaves a message to be read."""
        if self.connection is None or self.connection.closed:
            return False
        waiting = select.poll()
        waiting.register(self.connection.fileno(), select.POLLIN)
        return super().is_usable() if waiting.poll(0) else True

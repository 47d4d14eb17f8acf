"""What PostgreSQL does for the statements of a call: which rows it reads, and by which index."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from valhalla.postgres.base import PreparedCursor, numbered

READS_OR_WRITES = re.compile(r"[\s(]*(SELECT|INSERT|UPDATE|DELETE|WITH)\b")


@dataclass
class Plan:
    """One statement: how many rows it answered or changed, and how many it read of each table for that."""

    sql: str
    answered: int = 0
    read: Counter[str] = field(default_factory=Counter)
    walked: set[str] = field(default_factory=set)  # tables that were read from end to end
    indexes: set[str] = field(default_factory=set)
    only_indexes: bool = True

    @classmethod
    def of(cls, sql: str, tree: dict[str, Any]) -> Plan:
        plan = cls(sql)
        changes = tree["Node Type"] == "ModifyTable"
        top = tree["Plans"][0] if changes and "Plans" in tree else tree
        plan.answered = round(top["Actual Rows"])
        plan._read(tree)
        return plan

    def _read(self, node: dict[str, Any]) -> None:
        kind, table = node["Node Type"], node.get("Relation Name")
        if table and kind != "ModifyTable":
            passed_over = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
            self.read[table] += round((node["Actual Rows"] + passed_over) * node["Actual Loops"])
            self.only_indexes &= kind == "Index Only Scan"
            if kind == "Seq Scan":
                self.walked.add(table)
        if "Index Name" in node:
            self.indexes.add(node["Index Name"])
        for child in node.get("Plans", ()):
            self._read(child)

    def __str__(self) -> str:
        read = ", ".join(f"{number} of {table}" for table, number in self.read.items())
        sql = re.sub(r"('[0-9a-f]{64}', |\d{6,}, )+", "…, ", self.sql)
        return f"{self.answered} rows answered, {read} read by {sorted(self.indexes)}: {sql[:1500]}"


@contextmanager
def undone() -> Iterator[None]:
    """Take back what is done in the block."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def plans_of(work: Callable[[], object]) -> list[Plan]:
    """Do the work to learn its statements, take it back, and have each of them explained as it runs again.

    A prepared statement is explained twice: with its values, and as it is planned for whatever values come,
    except for an INSERT, which would meet its own rows.
    """
    prepared: list[tuple[str, list[object]]] = []

    def note(execute: Callable[..., object], sql: str, params: object, many: bool, context: Any) -> object:
        if isinstance(context["cursor"].cursor, PreparedCursor) and not sql.startswith("INSERT"):
            prepared.append((sql, list(params)))  # type: ignore[call-overload]  # a tuple, as it is executed
        return execute(sql, params, many, context)

    with CaptureQueriesContext(connection) as told, connection.execute_wrapper(note), undone():
        work()
    found = []
    with undone(), connection.cursor() as cursor:
        for query in told.captured_queries:
            if READS_OR_WRITES.match(query["sql"]):
                found.append(_explained(cursor, query["sql"], query["sql"]))
        cursor.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        for sql, values in prepared:
            cursor.execute(f"PREPARE explained AS {numbered(sql)}")
            literals = cursor.cursor.mogrify(", ".join(["%s"] * len(values)), values)
            found.append(
                _explained(cursor, f"EXECUTE explained ({literals})" if values else "EXECUTE explained", sql)
            )
            cursor.execute("DEALLOCATE explained")
    return found


def _explained(cursor: Any, statement: str, sql: str) -> Plan:
    cursor.execute(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {statement}")
    ((explained,),) = cursor.fetchall()
    tree = json.loads(explained) if isinstance(explained, str) else explained
    return Plan.of(sql, tree[0]["Plan"])


def rows_by_table() -> dict[str, int]:
    """Return about how many rows each table has."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname, reltuples FROM pg_class WHERE relkind = 'r' AND reltuples > 0")
        return {str(name): int(rows) for name, rows in cursor.fetchall()}

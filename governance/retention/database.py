"""The database functions that remove expired rows and blank texts about an erased person.

On PostgreSQL inserting the row that records it triggers the function, and the guard of every append-only
table allows nothing else. On SQLite, where anyone who can open the file can do anything, the code lifts a
table's guard and restores it inside the transaction that writes that row.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from django.db import DEFAULT_DB_ALIAS, IntegrityError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from governance.core import append_only
from governance.retention import registry
from governance.retention.registry import Rule

REMOVALS, ERASURES = "governance_removal", "governance_erasure"
# Both functions are called before their row is written, to check and complete it, and after it, to act.
TRIGGERS = {
    "valhalla_remove_expired_before": (REMOVALS, "BEFORE", "valhalla_remove_expired"),
    "valhalla_remove_expired_after": (REMOVALS, "AFTER", "valhalla_remove_expired"),
    "valhalla_erase_words_before": (ERASURES, "BEFORE", "valhalla_erase_words"),
    "valhalla_erase_words_after": (ERASURES, "AFTER", "valhalla_erase_words"),
}

_REMOVE = """
DECLARE
  rule record;
  kept integer;
  latest timestamptz;
  removed bigint;
BEGIN
  SELECT * INTO rule FROM (VALUES
    {rules}
  ) AS known(subject, table_name, age, least_days, only_if, part, part_key) WHERE known.subject = NEW.subject;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'nothing may be removed as "%"', NEW.subject
      USING ERRCODE = 'integrity_constraint_violation';
  END IF;
  IF TG_WHEN = 'BEFORE' THEN
    -- one at a time, each with its own rows
    PERFORM pg_advisory_xact_lock(hashtext('valhalla_remove_expired'));
    SELECT days INTO kept FROM governance_retentionperiod AS period WHERE period.subject = NEW.subject;
    IF kept IS NULL OR kept < rule.least_days THEN
      RAISE EXCEPTION '% may not be removed by a period of % days', NEW.subject, kept
        USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    latest := now() - make_interval(days => kept);
    IF NEW.before > latest + interval '10 minutes' THEN
      RAISE EXCEPTION '% younger than % days may not be removed', NEW.subject, kept
        USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    NEW.before := least(NEW.before, latest);
    NEW.at := now();
    NEW.table_name := rule.table_name;
    NEW.age := rule.age;
    EXECUTE format($sql$
      SELECT max(age) FROM (
        SELECT t.%1$I AS age FROM %2$I AS t WHERE t.%1$I < $1 AND (%3$s) ORDER BY t.%1$I LIMIT $2) AS oldest
      $sql$, rule.age, rule.table_name, rule.only_if)
      INTO NEW.until USING NEW.before, least(NEW.count, 5000);
    EXECUTE format($sql$
      SELECT count(*), encode(sha256(convert_to(
        coalesce(string_agg(line, chr(10) ORDER BY age, line), ''), 'UTF8')), 'hex')
      FROM (
        SELECT t.%1$I AS age, to_jsonb(t)::text AS line FROM %2$I AS t
        WHERE t.%1$I <= $1 AND (%3$s)) AS removed
      $sql$, rule.age, rule.table_name, rule.only_if)
      INTO NEW.count, NEW.digest USING NEW.until;
    RETURN NEW;
  END IF;
  IF rule.part <> '' THEN
    EXECUTE format($sql$
      DELETE FROM %1$I WHERE %2$I IN (SELECT t.id FROM %4$I AS t WHERE t.%3$I <= $1 AND (%5$s))
      $sql$, rule.part, rule.part_key, rule.age, rule.table_name, rule.only_if) USING NEW.until;
  END IF;
  EXECUTE format('DELETE FROM %2$I AS t WHERE t.%1$I <= $1 AND (%3$s)',
    rule.age, rule.table_name, rule.only_if) USING NEW.until;
  GET DIAGNOSTICS removed = ROW_COUNT;
  IF removed <> NEW.count THEN
    RAISE EXCEPTION '% of % rows would have been removed', removed, NEW.count
      USING ERRCODE = 'serialization_failure';
  END IF;
  RETURN NULL;
END
"""

_ERASE = """
BEGIN
  IF TG_WHEN = 'BEFORE' THEN
    NEW.at := now();
    RETURN NEW;
  END IF;
  {updates}
  RETURN NULL;
END
"""


def _literal(value: object) -> str:
    return str(value) if isinstance(value, int) else "'" + str(value).replace("'", "''") + "'"


def _set(columns: Sequence[str]) -> str:
    return ", ".join(f"{name} = ''" for name in columns)


def _some(columns: Sequence[str]) -> str:
    return " OR ".join(f"{name} <> ''" for name in columns)


def _bodies() -> dict[str, str]:
    """Return the bodies of the two functions, by name."""
    rows = []
    for rule in sorted(registry.rules(), key=lambda rule: rule.subject):
        part, part_key = rule.part or ("", "")
        values = (rule.subject, rule.table, rule.age, rule.least_days, rule.only_if, part, part_key)
        rows.append("(" + ", ".join(map(_literal, values)) + ")")
    updates = [
        f"UPDATE {table} SET {_set(columns)} WHERE ({_some(columns)}) "
        f"AND {append_only.POINT} IN (SELECT jsonb_array_elements_text(NEW.points));"
        for table, columns in sorted(append_only.words_in_tables().items())
    ]
    return {
        "valhalla_remove_expired": _REMOVE.replace("{rules}", ",\n    ".join(rows)),
        "valhalla_erase_words": _ERASE.replace("{updates}", "\n  ".join(updates)),
    }


def install(connection: BaseDatabaseWrapper) -> None:
    """Create the functions and their triggers, replacing earlier ones. SQLite needs none."""
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT quote_ident(current_schema())")
        schema = cursor.fetchone()[0]
        for name, body in _bodies().items():
            cursor.execute(
                f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER "
                f"SET search_path = {schema}, pg_temp AS $valhalla${body}$valhalla$"
            )
        for trigger, (table, moment, function) in TRIGGERS.items():
            cursor.execute(f'DROP TRIGGER IF EXISTS "{trigger}" ON "{table}"')
            cursor.execute(
                f'CREATE TRIGGER "{trigger}" {moment} INSERT ON "{table}" '
                f"FOR EACH ROW EXECUTE FUNCTION {function}()"
            )
            cursor.execute(f'ALTER TABLE "{table}" ENABLE ALWAYS TRIGGER "{trigger}"')


def uninstall(connection: BaseDatabaseWrapper) -> None:
    """Drop the functions with their triggers."""
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        for function in ("valhalla_remove_expired", "valhalla_erase_words"):
            cursor.execute(f"DROP FUNCTION IF EXISTS {function}() CASCADE")


def missing(connection: BaseDatabaseWrapper) -> list[str]:
    """Return the triggers that are missing and the functions that are wrong."""
    if connection.vendor != "postgresql" or REMOVALS not in connection.introspection.table_names():
        return []
    there = append_only.present(connection)
    bodies = append_only.bodies_of_functions(connection)
    wrong = [trigger for trigger in TRIGGERS if trigger not in there]
    return wrong + [name for name, body in _bodies().items() if bodies.get(name) != body]


def install_missing(sender: Any, using: str = DEFAULT_DB_ALIAS, **kwargs: object) -> None:
    """Create them again after a migrate; packs may have registered more since."""
    connection = connections[using]
    if sender.label == "governance" and missing(connection):
        install(connection)


# --- used by the services -----------------------------------------------------------------------------------


def expired(rule: Rule, before: datetime) -> tuple[str, list[Any]]:
    """Return the condition, and its values, for the rows of a rule that are older than `before`."""
    return f"t.{rule.age} < %s AND ({rule.only_if})", [_as_stored(before)]


def any_expired(connection: BaseDatabaseWrapper, rule: Rule, before: datetime) -> bool:
    """Return whether there is anything to remove, through the index on the table's age."""
    condition, values = expired(rule, before)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT 1 FROM {rule.table} AS t WHERE {condition} ORDER BY t.{rule.age} LIMIT 1", values
        )
        return cursor.fetchone() is not None


def remove_by_hand(
    connection: BaseDatabaseWrapper, rule: Rule, before: datetime, most: int
) -> dict[str, Any]:
    """Do on SQLite what PostgreSQL's function does, inside the caller's transaction.

    Returns the columns of the row that records it. Raises IntegrityError for rows that are too young.
    """
    condition, values = expired(rule, before)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT days, strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now', '-' || days || ' days', '+10 minutes') "
            "FROM governance_retentionperiod WHERE subject = %s",
            [rule.subject],
        )
        kept, latest = cursor.fetchone() or (None, None)
        if kept is None or kept < rule.least_days or _as_stored(before) > latest:
            raise IntegrityError(f"{rule.subject} younger than {kept} days may not be removed")
        cursor.execute(
            f"SELECT max(age) FROM (SELECT t.{rule.age} AS age FROM {rule.table} AS t WHERE {condition} "
            f"ORDER BY t.{rule.age} LIMIT %s)",
            [*values, most],
        )
        until = cursor.fetchone()[0]
        oldest = f"FROM {rule.table} AS t WHERE t.{rule.age} <= %s AND ({rule.only_if})"
        cursor.execute(f"SELECT t.* {oldest} ORDER BY t.{rule.age}, t.rowid", [until])
        rows = [json.dumps(row, ensure_ascii=False, default=str) for row in cursor.fetchall()]
        if rule.part is not None:
            table, key = rule.part
            cursor.execute(f"DELETE FROM {table} WHERE {key} IN (SELECT t.id {oldest})", [until])
        with append_only.unguarded(connection, rule.table):
            cursor.execute(f"DELETE FROM {rule.table} WHERE rowid IN (SELECT t.rowid {oldest})", [until])
    return {
        "count": len(rows),
        "until": datetime.fromisoformat(until).replace(tzinfo=UTC) if until else None,
        "digest": hashlib.sha256("\n".join(rows).encode()).hexdigest(),
    }


def overwrite_what_goes(connection: BaseDatabaseWrapper) -> None:
    """Let SQLite overwrite deleted data in its file, for this connection."""
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA secure_delete = ON")


def erase_words_by_hand(connection: BaseDatabaseWrapper, points: Sequence[str]) -> None:
    """Do on SQLite what PostgreSQL's function does: blank the texts about these points."""
    for table, columns in append_only.words_in_tables().items():
        with connection.cursor() as cursor, append_only.unguarded(connection, table):
            cursor.execute(
                f"UPDATE {table} SET {_set(columns)} WHERE ({_some(columns)}) "
                f"AND {append_only.POINT} IN (SELECT value FROM json_each(%s))",
                [json.dumps(list(points))],
            )


def _as_stored(at: datetime) -> Any:
    """Return an instant as SQLite stores it; PostgreSQL takes it as it is."""
    if connections[DEFAULT_DB_ALIAS].vendor == "postgresql":
        return at
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(" ")

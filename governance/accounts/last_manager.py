"""A database guard for the last active manager: without one nobody could manage anything.

A migration creates the triggers, every migrate creates them again (SQLite drops them when it rebuilds the
table), and a system check lists them. A database without any manager, such as a new installation, is left
alone: only the step from one to none is refused.
"""

from __future__ import annotations

from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation
from django.db.migrations.operations.special import RunPython

from governance.core import append_only

TABLE = "governance_user"
MESSAGE = "the last active manager keeps that role and stays active"
FUNCTION = "valhalla_keep_a_manager"
ACTIVE_MANAGER = "{row}role = 'MANAGER' AND {row}is_active"
OLD, NEW = ACTIVE_MANAGER.format(row="OLD."), ACTIVE_MANAGER.format(row="NEW.")
ANY = f"SELECT 1 FROM {TABLE} WHERE {ACTIVE_MANAGER.format(row='')}"
# The lock is a separate statement: only the next statement sees what was committed while waiting for it.
BODY = f"""
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('{FUNCTION}'));
  IF (TG_OP = 'TRUNCATE') = EXISTS ({ANY}) THEN
    RAISE EXCEPTION '{MESSAGE}' USING ERRCODE = 'integrity_constraint_violation';
  END IF;
  RETURN NULL;
END
"""
_POSTGRES = {
    "update": f"AFTER UPDATE ON {TABLE} FOR EACH ROW WHEN ({OLD} AND NOT ({NEW}))",
    "delete": f"AFTER DELETE ON {TABLE} FOR EACH ROW WHEN ({OLD})",
    "truncate": f"BEFORE TRUNCATE ON {TABLE} FOR EACH STATEMENT",
}
# INSERT OR REPLACE deletes rows of the same id or name without firing the trigger on DELETE
_REPLACED = f"(id = NEW.id OR lower(username) = lower(NEW.username)) AND {ACTIVE_MANAGER.format(row='')}"
_SQLITE = {
    "update": f"AFTER UPDATE ON {TABLE} WHEN {OLD} AND NOT ({NEW}) AND NOT EXISTS ({ANY})",
    "delete": f"AFTER DELETE ON {TABLE} WHEN {OLD} AND NOT EXISTS ({ANY})",
    "replace": (
        f"BEFORE INSERT ON {TABLE} WHEN NOT ({NEW}) AND EXISTS (SELECT 1 FROM {TABLE} WHERE {_REPLACED}) "
        f"AND NOT EXISTS ({ANY} AND NOT ({_REPLACED}))"
    ),
}


def _triggers(connection: BaseDatabaseWrapper) -> dict[str, str]:
    """Return the event that fires each trigger, by trigger name."""
    kinds = _POSTGRES if connection.vendor == "postgresql" else _SQLITE
    return {f"{TABLE}_last_manager_{kind}": fires for kind, fires in kinds.items()}


def install(connection: BaseDatabaseWrapper) -> None:
    """Create the triggers, replacing those of the same name."""
    remove(connection)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                f"CREATE OR REPLACE FUNCTION {FUNCTION}() RETURNS trigger LANGUAGE plpgsql AS "
                f"$valhalla${BODY}$valhalla$"
            )
        for name, fires in _triggers(connection).items():
            if connection.vendor == "postgresql":
                cursor.execute(f'CREATE TRIGGER "{name}" {fires} EXECUTE FUNCTION {FUNCTION}()')
                cursor.execute(f'ALTER TABLE {TABLE} ENABLE ALWAYS TRIGGER "{name}"')
            else:
                cursor.execute(
                    f"CREATE TRIGGER \"{name}\" {fires} BEGIN SELECT RAISE(ABORT, '{MESSAGE}'); END"
                )


def remove(connection: BaseDatabaseWrapper) -> None:
    """Drop the triggers."""
    with connection.cursor() as cursor:
        for name in _triggers(connection):
            on = f" ON {TABLE}" if connection.vendor == "postgresql" else ""
            cursor.execute(f'DROP TRIGGER IF EXISTS "{name}"{on}')


def missing(connection: BaseDatabaseWrapper) -> list[str]:
    """Return the triggers that are missing, and the function if it differs."""
    wrong = set(_triggers(connection)) - append_only.present(connection)
    if wrong and TABLE not in connection.introspection.table_names():
        return []  # before the first migrate
    if (
        connection.vendor == "postgresql"
        and append_only.bodies_of_functions(connection).get(FUNCTION) != BODY
    ):
        wrong.add(FUNCTION)
    return sorted(wrong)


def install_missing(sender: Any, using: str = DEFAULT_DB_ALIAS, **kwargs: object) -> None:
    """Create them again after a migrate."""
    connection = connections[using]
    if sender.label == "governance" and missing(connection):
        install(connection)


def guard_last_manager() -> Operation:
    """Return the migration operation that creates the triggers, and drops them in reverse."""

    def forwards(state: object, schema_editor: BaseDatabaseSchemaEditor) -> None:
        install(schema_editor.connection)

    def backwards(state: object, schema_editor: BaseDatabaseSchemaEditor) -> None:
        remove(schema_editor.connection)

    return RunPython(forwards, backwards, elidable=False)

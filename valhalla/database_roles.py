"""Two database roles on PostgreSQL: the owner changes the schema, the application only uses it.

The owner of a table can switch off its triggers. So if MIGRATE_DATABASE_URL names the owner, only migrate
works as the owner, and everything else as the role of DATABASE_URL, which cannot change a table or function
and may only read and insert append-only rows. Without that setting one role does everything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from django.apps import apps
from django.conf import settings
from django.core.management.base import CommandError
from django.db import DEFAULT_DB_ALIAS
from django.db.backends.base.base import BaseDatabaseWrapper

from governance.accounts import last_manager
from governance.core import append_only
from governance.retention import database as retention_database
from governance.runbook import schema

CONNECTION = ("USER", "PASSWORD", "HOST", "PORT", "OPTIONS")
READ, INSERT, WORK = "SELECT", "SELECT, INSERT", "SELECT, INSERT, UPDATE, DELETE"
ONLY_READ = ("django_migrations", "governance_compatiblemigration")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.@-]{0,62}")
_applications: dict[str, str] = {}  # the application's role, by the connection alias that works as owner


class NotTheOwner(CommandError):
    """There are migrations to apply and this role may not; the message says in a sentence what to do."""


def rights_of(table: str) -> str:
    """Return the rights that the application needs on the rows of a table."""
    if table in ONLY_READ:
        return READ
    return INSERT if table in append_only.guarded_tables() else WORK


# --- working as the owner -----------------------------------------------------------------------------------


@contextmanager
def as_owner(connection: BaseDatabaseWrapper) -> Iterator[str]:
    """Work as the role of MIGRATE_DATABASE_URL within the block, and yield the application's role.

    Yields "" if one role does everything.
    """
    owner: dict[str, object] | None = settings.MIGRATE_DATABASE
    if owner is None or connection.alias != DEFAULT_DB_ALIAS or connection.alias in _applications:
        yield _applications.get(connection.alias, "")
        return
    application, known = _current(connection), dict(connection.settings_dict)
    connection.close()
    connection.settings_dict.update({name: owner.get(name) or known[name].__class__() for name in CONNECTION})
    try:
        _applications[connection.alias] = "" if _current(connection) == application else application
        yield _applications[connection.alias]
    finally:
        _applications.pop(connection.alias, None)
        connection.close()
        connection.settings_dict.update(known)


def _current(connection: BaseDatabaseWrapper) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        (name,) = cursor.fetchone()
    return str(name)


def require_owner(connection: BaseDatabaseWrapper, *, whatever: bool = False) -> None:
    """Refuse to migrate as a role that may not, if there is anything to migrate (or always, with `whatever`).

    Raises NotTheOwner.
    """
    if connection.vendor != "postgresql":
        return
    rights = read_rights(connection)
    if rights.tables.keys() & _known_tables() <= rights.owns:
        return
    if lacking := rights.lacking():
        raise NotTheOwner(
            f"the database role {rights.role} lacks rights ({', '.join(lacking[:3])}): name the owner of the "
            "tables in MIGRATE_DATABASE_URL and run manage.py migrate, which grants them."
        )
    missing = (
        *append_only.missing(connection),
        *retention_database.missing(connection),
        *last_manager.missing(connection),
    )
    if whatever or schema.waiting() or missing:
        raise NotTheOwner(
            f"the database must be migrated, and its role {rights.role} does not own the tables: name their "
            "owner in MIGRATE_DATABASE_URL and run manage.py migrate."
        )


def _known_tables() -> set[str]:
    """Return the tables of this release; other tables in the same schema are not Valhalla's."""
    return {model._meta.db_table for model in apps.get_models(include_auto_created=True)} | set(ONLY_READ)


# --- what a role may do -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rights:
    """The rights of the current role on each table and on the guards of append-only rows."""

    role: str
    tables: dict[str, frozenset[str]]
    owns: set[str]
    powers: frozenset[str]

    def lacking(self) -> list[str]:
        """Return the rights that the application needs and this role lacks, such as "UPDATE on a table"."""
        known = _known_tables()
        return [
            f"{right} on {table}"
            for table, has in sorted(self.tables.items())
            if table in known
            for right in rights_of(table).split(", ")
            if right not in has
        ]

    def too_much(self) -> list[str]:
        """Return the rights with which this role could bypass the guards."""
        found = sorted(self.powers)
        if self.owns:
            found.append(f"owner of {len(self.owns)} tables")
        guarded = append_only.guarded_tables()
        return found + [
            f"{right} on {table}"
            for table, has in sorted(self.tables.items())
            if table in guarded and table not in self.owns
            for right in sorted(has - {"SELECT", "INSERT"})
        ]


_RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "TRIGGER")
_POWERS = {
    "superuser": "rolsuper",
    "may make roles": "rolcreaterole",
    "may replicate": "rolreplication",
    "may make functions": "has_schema_privilege(current_schema(), 'CREATE')",
    "may make schemas": "has_database_privilege(current_database(), 'CREATE')",
    "may make temporary tables": "has_database_privilege(current_database(), 'TEMPORARY')",
}


def read_rights(connection: BaseDatabaseWrapper) -> Rights:
    """Read from PostgreSQL what the role of this connection may do, in one query."""
    powers = ", ".join(_POWERS.values())
    may = ", ".join(f"has_table_privilege(c.oid, '{right}')" for right in _RIGHTS)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT rolname, ARRAY[{powers}], relname, pg_has_role(relowner, 'USAGE'), ARRAY[{may}] "
            "FROM pg_roles LEFT JOIN pg_class AS c "
            "ON relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') "
            "WHERE rolname = current_user"
        )
        rows = cursor.fetchall()
    role, has = rows[0][:2]
    tables = [(name, owns, may) for _role, _has, name, owns, may in rows if name is not None]
    return Rights(
        role=str(role),
        tables={name: _those(_RIGHTS, may) for name, _owns, may in tables},
        owns={name for name, owns, _may in tables if owns},
        powers=_those(tuple(_POWERS), has),
    )


def _those(names: Sequence[str], there: Sequence[bool]) -> frozenset[str]:
    return frozenset(name for name, is_there in zip(names, there, strict=True) if is_there)


# --- the SQL ------------------------------------------------------------------------------------------------


def give_rights(connection: BaseDatabaseWrapper, application: str) -> None:
    """Grant the application its rights on every table of the owner, and no others."""
    with connection.cursor() as cursor:
        cursor.execute(_rights_sql(_checked(application)))


def grants(owner: str, application: str) -> str:
    """Return the SQL with which a PostgreSQL superuser creates the two roles and grants each its rights.

    It also converts a database whose tables one role has owned until then. Raises CommandError for a name
    that cannot be a role, or for one role in both places.
    """
    owner, application = _checked(owner), _checked(application)
    if owner == application:
        raise CommandError("the owner and the application are two roles: name another owner (--owner).")
    parts = (_INTRODUCTION, _ROLES, _OWNERSHIP)
    texts = [part.replace("{owner}", owner).replace("{application}", application) for part in parts]
    return "\n".join([*texts, _rights_sql(application)])


def _checked(name: str) -> str:
    if not NAME.fullmatch(name):
        raise CommandError(f"{name!r} cannot be a role here: use letters, digits and _ . @ - alone.")
    return name


def _array(tables: Iterable[str]) -> str:
    return "ARRAY[\n    " + ",\n    ".join(f"'{table}'" for table in sorted(tables)) + "]"


def _rights_sql(application: str) -> str:
    texts = {
        "{application}": application,
        "{read}": _array(ONLY_READ),
        "{written once}": _array(append_only.guarded_tables()),
        "{READ}": READ,
        "{INSERT}": INSERT,
        "{WORK}": WORK,
    }
    sql = _RIGHTS_SQL
    for mark, text in texts.items():
        sql = sql.replace(mark, text)
    return sql


_INTRODUCTION = """\
-- {owner} owns the tables and migrates; {application} is who Valhalla works as.
-- Stop Valhalla, then run this in its database as a superuser:
--   psql --set ON_ERROR_STOP=1 --single-transaction --dbname …
-- A role that signs in by password gets one with \\password. It can be run again.
"""

_ROLES = """\
DO $valhalla$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['{owner}', '{application}'] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
      EXECUTE format('CREATE ROLE %I LOGIN', name);
    END IF;
    EXECUTE format('ALTER ROLE %I NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS', name);
  END LOOP;
  EXECUTE format('REVOKE %I FROM %I', '{owner}', '{application}');
END
$valhalla$;
"""

_OWNERSHIP = """\
DO $valhalla$
DECLARE
  it record;
  owner CONSTANT text := '{owner}';
  application CONSTANT text := '{application}';
BEGIN
  EXECUTE format('ALTER DATABASE %I OWNER TO %I', current_database(), owner);
  EXECUTE format('REVOKE CREATE, TEMPORARY ON DATABASE %I FROM PUBLIC, %I', current_database(), application);
  EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), application);
  EXECUTE format('REVOKE CREATE ON SCHEMA %I FROM PUBLIC, %I', current_schema(), application);
  EXECUTE format('GRANT USAGE, CREATE ON SCHEMA %I TO %I', current_schema(), owner);
  EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), application);
  FOR it IN
    SELECT c.oid::regclass AS name FROM pg_class AS c
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
      AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = c.oid AND d.deptype IN ('a', 'i', 'e'))
  LOOP
    EXECUTE format('ALTER TABLE %s OWNER TO %I', it.name, owner);
  END LOOP;
  FOR it IN
    SELECT oid::regprocedure AS name FROM pg_proc
    WHERE pronamespace = current_schema()::regnamespace AND starts_with(proname, 'valhalla_')
  LOOP
    EXECUTE format('ALTER FUNCTION %s OWNER TO %I', it.name, owner);
  END LOOP;
END
$valhalla$;
"""

_RIGHTS_SQL = """\
DO $valhalla$
DECLARE
  it record;
  application CONSTANT text := '{application}';
  only_read CONSTANT text[] := {read};
  written_once CONSTANT text[] := {written once};
BEGIN
  FOR it IN
    SELECT oid::regclass AS name, relname, relkind FROM pg_class
    WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'S')
      AND pg_has_role(relowner, 'USAGE')
      AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_class.oid AND deptype = 'e')
  LOOP
    IF it.relkind = 'S' THEN
      EXECUTE format('REVOKE ALL ON SEQUENCE %s FROM PUBLIC, %I', it.name, application);
      EXECUTE format('GRANT USAGE, SELECT ON SEQUENCE %s TO %I', it.name, application);
      CONTINUE;
    END IF;
    EXECUTE format('REVOKE ALL ON TABLE %s FROM PUBLIC, %I', it.name, application);
    EXECUTE format('GRANT %s ON TABLE %s TO %I',
      CASE
        WHEN it.relname = ANY (only_read) THEN '{READ}'
        WHEN it.relname = ANY (written_once) THEN '{INSERT}'
        ELSE '{WORK}'
      END, it.name, application);
  END LOOP;
  FOR it IN
    SELECT oid::regprocedure AS name FROM pg_proc
    WHERE pronamespace = current_schema()::regnamespace AND starts_with(proname, 'valhalla_')
      AND pg_has_role(proowner, 'USAGE')
  LOOP
    EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC, %I', it.name, application);
  END LOOP;
END
$valhalla$;
"""

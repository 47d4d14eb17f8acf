"""Whether the database matches the program: unapplied migrations, and those of a newer release.

A release may run on the tables of the next one, so that machines can be updated one by one. The migrations
that allow it declare `expands = True` (they only add), and the database remembers those.
"""

from __future__ import annotations

import functools

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from governance.runbook.models import CompatibleMigration

Name = tuple[str, str]  # app and migration
OWN = frozenset({"governance", "followups", "buyers", "offers"})


@functools.cache
def of_the_program() -> frozenset[Name]:
    return frozenset(MigrationLoader(None).disk_migrations)


def applied(using: str = DEFAULT_DB_ALIAS) -> set[Name]:
    return set(MigrationRecorder(connections[using]).applied_migrations())


def waiting() -> list[str]:
    """Return the migrations of this program that the database lacks."""
    return sorted(".".join(name) for name in of_the_program() - applied())


def of_a_newer_release(using: str = DEFAULT_DB_ALIAS) -> list[str]:
    """Return Valhalla's migrations in the database that this program lacks and old code cannot ignore."""
    newer = {name for name in applied(using) - of_the_program() if name[0] in OWN}
    if newer and CompatibleMigration._meta.db_table in connections[using].introspection.table_names():
        newer -= set(CompatibleMigration.objects.using(using).values_list("app", "name"))
    return sorted(".".join(name) for name in newer)

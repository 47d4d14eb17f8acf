"""System checks: what must be true before Valhalla starts."""

from __future__ import annotations

from collections.abc import Sequence

from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import connections
from django.db.utils import DatabaseError

from governance.accounts import last_manager
from governance.contact.clock import zone_data_is_current
from governance.contact.services import hash_key_problem
from governance.core import append_only
from governance.models import SecondFactorKey
from governance.retention import database as retention_database
from valhalla import database_roles


@register()
def zone_data(app_configs: object, **kwargs: object) -> Sequence[CheckMessage]:
    """Check the zone data:

    Vancouver must be at -07:00 on 2026-12-15, since British Columbia stopped changing clocks.
    """
    if zone_data_is_current():
        return []
    return [
        Error(
            "The time zone data is too old: it gives Vancouver another offset than -07:00 on 2026-12-15.",
            hint="Install the tzdata package, 2026.6 or newer.",
            id="valhalla.E001",
        )
    ]


@register(Tags.database)
def triggers_are_in_force(
    app_configs: object, databases: Sequence[str] | None = None, **kwargs: object
) -> list[CheckMessage]:
    """Check that every append-only table and the user table have their triggers."""
    found: list[CheckMessage] = []
    for alias in databases or []:
        connection = connections[alias]
        names = [*append_only.missing(connection), *retention_database.missing(connection)]
        unguarded = last_manager.missing(connection)
        if names:
            found.append(
                Error(
                    f"Triggers that keep rows from being changed are missing: {', '.join(names)}.",
                    hint="Run manage.py migrate, which makes them again.",
                    id="valhalla.E002",
                )
            )
        if unguarded:
            found.append(
                Error(
                    f"Triggers that keep the last manager are missing: {', '.join(unguarded)}.",
                    hint="Run manage.py migrate, which makes them again.",
                    id="valhalla.E004",
                )
            )
    return found


@register(Tags.database)
def the_role_may_work(
    app_configs: object, databases: Sequence[str] | None = None, **kwargs: object
) -> list[CheckMessage]:
    """Check that the database role has the rights that the application needs."""
    found: list[CheckMessage] = []
    for alias in databases or []:
        if connections[alias].vendor != "postgresql":
            continue
        rights = database_roles.read_rights(connections[alias])
        if lacking := rights.lacking():
            found.append(
                Error(
                    f"The database role {rights.role} lacks rights: {', '.join(lacking[:20])}.",
                    hint="Run manage.py migrate with the tables' owner in MIGRATE_DATABASE_URL.",
                    id="valhalla.E005",
                )
            )
    return found


@register(Tags.database)
def contact_hash_key_is_the_same(
    app_configs: object, databases: Sequence[str] | None = None, **kwargs: object
) -> list[CheckMessage]:
    """Check that the contact key is the one that the suppressions were written with."""
    if not databases:
        return []
    try:
        problem = hash_key_problem()
    except DatabaseError:  # before the first migrate
        return []
    if not problem:
        return []
    return [Error(problem, hint="Set CONTACT_HASH_KEY to the key of before.", id="valhalla.E003")]


@register(Tags.database)
def second_factor_key_is_the_same(
    app_configs: object, databases: Sequence[str] | None = None, **kwargs: object
) -> list[CheckMessage]:
    """Check that the second factor key is the one that the seeds were encrypted with."""
    try:
        problem = SecondFactorKey.problem() if databases else ""
    except DatabaseError:  # before the first migrate
        problem = ""
    return [Warning(problem, id="valhalla.W001")] if problem else []

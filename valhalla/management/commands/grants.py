"""``manage.py grants``: the SQL that separates the database's owner from the role Valhalla works as."""

from __future__ import annotations

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection

from valhalla import database_roles


class Command(BaseCommand):
    help = (
        "Print the SQL, for a superuser of PostgreSQL, that creates two database roles: one that owns the "
        "tables and migrates, and one for Valhalla itself, which cannot change any table, trigger or "
        "append-only row. Does not query the database."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--owner", help="default: as in MIGRATE_DATABASE_URL, else APPLICATION_owner")
        parser.add_argument("--application", help="default: as in DATABASE_URL, else valhalla")

    def handle(self, *args: object, owner: str | None, application: str | None, **options: object) -> None:
        if connection.vendor != "postgresql":
            raise CommandError("SQLite has no roles: set DATABASE_URL to PostgreSQL.")
        application = application or connection.settings_dict["USER"] or "valhalla"
        named = (settings.MIGRATE_DATABASE or {}).get("USER", "")
        owner = owner or named or f"{application}_owner"
        self.stdout.write(database_roles.grants(owner, application))

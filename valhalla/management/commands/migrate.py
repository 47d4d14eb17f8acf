"""``manage.py migrate``: Django's own, one at a time, each migration atomic."""

from __future__ import annotations

from typing import Any

from django.core.management.commands import migrate
from django.db import connections

from valhalla import contact_key, database_roles, migrating, second_factor_key


class Command(migrate.Command):
    """Works as the owner of the tables, and waits for another migrate; see valhalla/migrating.py."""

    def handle(self, *args: object, **options: Any) -> Any:
        if options["plan"] or options["check_unapplied"]:  # read-only
            return super().handle(*args, **options)
        connection = connections[options["database"]]
        with (
            database_roles.as_owner(connection) as application,
            migrating.one_at_a_time(connection, self._say_that_it_waits),
        ):
            database_roles.require_owner(connection, whatever=bool(options["app_label"]))
            migrating.refuse_a_newer_database(connection.alias)
            contact_key.make_key(connection)
            second_factor_key.make_key(connection)
            said = super().handle(*args, **options)
            if application:
                database_roles.give_rights(connection, application)
            return said

    def check(self, *args: Any, **kwargs: Any) -> None:
        """Run all checks except the database's, which would report triggers that migrate creates."""
        super().check(*args, **{**kwargs, "databases": None})

    def _say_that_it_waits(self) -> None:
        self.stderr.write("Another migrate of this database is running; waiting until it has ended.")

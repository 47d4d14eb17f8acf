"""``manage.py migrate``: Django's own, one at a time and each migration whole."""

from __future__ import annotations

from typing import Any

from django.core.management.commands import migrate
from django.db import connections

from valhalla import migrating


class Command(migrate.Command):
    """Waits for a migrate that runs already; see valhalla/migrating.py."""

    def handle(self, *args: Any, **options: Any) -> Any:
        if options["plan"] or options["check_unapplied"]:  # they only read
            return super().handle(*args, **options)
        with migrating.one_at_a_time(connections[options["database"]], self._say_that_it_waits):
            return super().handle(*args, **options)

    def check(self, *args: Any, **kwargs: Any) -> None:
        """Check all but the database: the triggers whose lack would be complained of are made here."""
        super().check(*args, **{**kwargs, "databases": None})

    def _say_that_it_waits(self) -> None:
        self.stderr.write("Another migrate of this database is running; waiting until it has ended.")

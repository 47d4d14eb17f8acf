"""``manage.py verify_risk``: checks that the risk ledger matches a recount of its reservations."""

from __future__ import annotations

from django.core.management.base import BaseCommand, CommandError

from governance.risk.services import recount


class Command(BaseCommand):
    """Exits with 1 if a figure differs."""

    help = "Recount risk from its reservations and print the differences. Reserving waits meanwhile."

    def handle(self, *args: object, **options: object) -> None:
        differences = recount()
        for found in differences:
            where = f"{found.engine} {found.day or 'all days'}"
            self.stdout.write(f"{where}: {found.figure} is {found.kept}, counted {found.counted}")
        if differences:
            raise CommandError("The risk ledger does not match its reservations.")
        self.stdout.write("The ledger equals its reservations.")

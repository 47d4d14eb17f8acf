"""``manage.py sync_schedules``: a row in admin for each job that has none."""

from __future__ import annotations

from django.core.management.base import BaseCommand
from django.utils import timezone

from valhalla.schedules import make_missing


class Command(BaseCommand):
    help = "Create the missing schedule rows of jobs. Existing rows are never changed."

    def handle(self, *args: object, verbosity: int, **options: object) -> None:
        made = make_missing(timezone.now())
        if verbosity > 0:
            self.stdout.write(
                "\n".join(f"{name}: created" for name in made) or "Every job has its row already."
            )

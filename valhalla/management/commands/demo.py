"""``manage.py demo``: demo data for an empty database."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.core.management.base import CommandError
from django.utils import timezone

from governance.management.guarded import GuardedCommand
from valhalla import demo


class Command(GuardedCommand):
    help = (
        "Fill an empty database with demo data: people, leads, ladders in all stages, buyers and offers. "
        "Running it again changes nothing. Passwords and a token are stored in VALHALLA_VAR."
    )

    def handle(self, *args: object, **options: object) -> None:
        if settings.PRODUCTION:
            raise CommandError(
                "ENV=production: no demo data is filled in, since its people's passwords are shown."
            )
        people = Path(settings.VAR) / "demo-people.json"
        try:
            told = demo.fill(timezone.now(), people_file=people)
        except demo.AlreadyThere:
            self.stdout.write("There is demo data already; nothing was changed.")
            return
        except demo.NotEmpty:
            raise CommandError(
                "This database holds leads of its own; demo data is filled into an empty one only."
            ) from None
        self.stdout.write(
            f"Demo data: {told.leads:,} leads, {told.ladders} ladders with {told.tasks_done} tasks done, "
            f"{told.feedback} answers of buyers, {told.offers} offers. Passwords and a token: {people}"
        )

"""``manage.py rebuild_liquidity``: compares every liquidity node with a recount, and can repair it."""

from __future__ import annotations

from argparse import ArgumentParser

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from buyers.services import rebuild_liquidity
from governance.core.actors import Actor


class Command(BaseCommand):
    """Exits with 1 if a node differs and was not repaired."""

    help = (
        "Recount every liquidity node from its feedback and print differences. Feedback may arrive meanwhile."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--repair", action="store_true", help="correct each node to match its feedback")

    def handle(self, *args: object, repair: bool, **options: object) -> None:
        done = rebuild_liquidity(repair=repair, by=Actor.system("rebuild_liquidity"), at=timezone.now())
        for difference in done.differences:
            self.stdout.write(str(difference))
        found = len(done.differences)
        repaired = " repaired" if found and repair else ""
        self.stdout.write(f"{done.nodes} nodes recounted, {found} differences{repaired}.")
        if found and not repair:
            raise CommandError("The nodes do not match their feedback; correct them with --repair.")

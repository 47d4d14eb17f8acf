"""``manage.py rotate_contact_key``: add a contact key, or drop one that nothing needs."""

from __future__ import annotations

from django.core.management.base import CommandParser

from governance.management.guarded import VerbCommand
from valhalla import contact_key


class Command(VerbCommand):
    help = (
        "Add a contact key, hash new opt-outs with it, and rehash the contact points. If interrupted, run "
        "it again. Former keys are kept: earlier opt-outs can only be found with them."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--drop",
            type=int,
            metavar="NUMBER",
            help="drop this key instead; refused if an opt-out or consent was written with it",
        )

    def handle(self, *args: object, drop: int | None, **options: object) -> None:
        if drop is None:
            current, moved = contact_key.rotate()
            self.stdout.write(f"Key {current} is the current one; {moved:,} contact points were moved to it.")
        else:
            contact_key.drop(drop)
            self.stdout.write(f"Key {drop} was dropped.")

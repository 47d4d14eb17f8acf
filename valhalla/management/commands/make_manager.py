"""``manage.py make_manager USERNAME --reason TEXT``: a new manager when none is left."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from governance.accounts.services import make_manager
from governance.core.actors import Actor
from governance.management.guarded import VerbCommand


class Command(VerbCommand):
    help = "Give a person the role manager and switch them on, whatever they were before."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username", help="who; make a person with createsuperuser where there is none")
        parser.add_argument(
            "--reason", required=True, help="why, in at least 10 characters; kept with the change"
        )

    def handle(self, *args: object, **options: Any) -> None:
        name = options["username"]
        changed = make_manager(
            name, by=Actor.system("make_manager"), at=timezone.now(), reason=options["reason"]
        )
        self.stdout.write(f"{name} is a manager now." if changed else f"{name} is an active manager already.")

"""``manage.py make_manager USERNAME --reason TEXT``: a new manager when none is left."""

from __future__ import annotations

from django.core.management.base import CommandParser
from django.utils import timezone

from governance.accounts.services import make_manager
from governance.core.actors import Actor
from governance.management.guarded import VerbCommand


class Command(VerbCommand):
    help = "Give a user the role manager and activate them, whatever they were before."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username", help="an existing user; if there is none, run createsuperuser")
        parser.add_argument("--reason", required=True, help="at least 10 characters; stored with the change")

    def handle(self, *args: object, username: str, reason: str, **options: object) -> None:
        changed = make_manager(username, by=Actor.system("make_manager"), at=timezone.now(), reason=reason)
        self.stdout.write(
            f"{username} is a manager now." if changed else f"{username} is an active manager already."
        )

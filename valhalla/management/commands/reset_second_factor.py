"""``manage.py reset_second_factor USERNAME --reason TEXT``: lets somebody set up a new second factor."""

from __future__ import annotations

from django.core.management.base import CommandParser
from django.utils import timezone

from governance.accounts.second_factor import reset_second_factor
from governance.core.actors import Actor
from governance.management.guarded import VerbCommand


class Command(VerbCommand):
    help = "Remove a person's authenticator application, passkeys and backup codes."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username", help="whose second factor")
        parser.add_argument("--reason", required=True, help="the reason, which is logged")

    def handle(self, *args: object, username: str, reason: str, **options: object) -> None:
        had_one = reset_second_factor(
            username, by=Actor.system("reset_second_factor"), at=timezone.now(), reason=reason
        )
        done = (
            f"The second factor of {username} is reset." if had_one else f"{username} had no second factor."
        )
        self.stdout.write(done)

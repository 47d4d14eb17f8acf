"""``manage.py rotate_second_factor_key``: add a key that encrypts second factors, or drop one."""

from __future__ import annotations

from django.core.management.base import CommandError, CommandParser

from governance.accounts.second_factor_keys import unreadable_sentence
from governance.management.guarded import VerbCommand
from valhalla import second_factor_key


class Command(VerbCommand):
    help = (
        "Add a key and encrypt the seeds of all authenticator applications with it. If interrupted, "
        "run it again. The former key is kept until you drop it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--drop",
            type=int,
            metavar="NUMBER",
            help="drop this key instead; refused while a seed is encrypted with it",
        )

    def handle(self, *args: object, drop: int | None, **options: object) -> None:
        if drop is not None:
            second_factor_key.drop(drop)
            self.stdout.write(f"Key {drop} was dropped.")
            return
        current, sealed = second_factor_key.rotate()
        self.stdout.write(
            f"Key {current} is the current one; {sealed.count:,} second factors were encrypted with it."
        )
        if sealed.unreadable:
            raise CommandError(unreadable_sentence(sealed.unreadable))

"""``manage.py password_link USERNAME``: a one-time link for setting a password."""

from __future__ import annotations

from django.conf import settings
from django.core.management.base import CommandParser
from django.utils import timezone

from governance.accounts.passwords import create_link
from governance.core.actors import Actor
from governance.management.guarded import VerbCommand
from valhalla.pages.password import link_path


class Command(VerbCommand):
    help = "Print a link with which a person sets their password. It works once, for 24 hours."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username", help="whose password")
        parser.add_argument(
            "--host", default="", help="host name of Valhalla (default: the first of ALLOWED_HOSTS)"
        )

    def handle(self, *args: object, username: str, host: str, **options: object) -> None:
        link = create_link(username, by=Actor.system("password_link"), at=timezone.now())
        host = host or settings.ALLOWED_HOSTS[0].lstrip(".")
        scheme = "https" if settings.SECURE_SSL_REDIRECT else "http"
        self.stdout.write(f"{scheme}://{host}{link_path(link)}")

"""``manage.py serve``: migrate, then serve until Ctrl-C."""

from __future__ import annotations

import sys

from django.core.management.base import BaseCommand, CommandParser

from valhalla import running
from valhalla.supervision import CannotStart


class Command(BaseCommand):
    help = "Prepare the database and serve: the web server and the job processes, until Ctrl-C."
    requires_system_checks = []  # running.prepare() runs them in the right order
    demo = False

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--only",
            choices=["web", "worker", "scheduler"],
            default="",
            help="start only this part, for an installation on several machines",
        )

    def say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()

    def handle(self, *args: object, only: str, **options: object) -> None:
        try:
            running.serve(self.say, demo=self.demo, only=only)
        except CannotStart as problem:
            self.stderr.write(f"valhalla: {problem}")
            sys.exit(problem.code)

"""``manage.py serve``: migrate, then serve until Ctrl-C."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand

from valhalla import running


class Command(BaseCommand):
    help = "Prepare the database and serve: the web server and the job process, until Ctrl-C."
    requires_system_checks = []  # running.prepare() runs them in its order
    demo = False

    def say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            running.serve(self.say, demo=self.demo)
        except running.CannotStart as problem:
            self.stderr.write(f"valhalla: {problem}")
            sys.exit(problem.code)

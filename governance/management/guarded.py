"""Base classes of commands that call verbs, and of those that write about people."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS

from governance.core.errors import Refused


class VerbCommand(BaseCommand):
    """A command that prints a verb's refusal as a sentence instead of a traceback."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except Refused as refusal:
            raise CommandError(" ".join(refusal.sentences)) from None


class GuardedCommand(VerbCommand):
    """A command that first checks the database: its triggers, and that the contact key belongs to it."""

    def get_check_kwargs(self, options: object) -> Any:
        return {**super().get_check_kwargs(options), "databases": [DEFAULT_DB_ALIAS]}

"""The base of commands that write about people."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand
from django.db import DEFAULT_DB_ALIAS


class GuardedCommand(BaseCommand):
    """A command that first checks the database: its triggers, and that the contact key belongs to it."""

    def get_check_kwargs(self, options: Any) -> Any:
        return {**super().get_check_kwargs(options), "databases": [DEFAULT_DB_ALIAS]}

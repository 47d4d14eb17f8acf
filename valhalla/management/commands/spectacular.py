"""drf-spectacular's command, without its app: that one would import all of it into every process."""

from __future__ import annotations

from drf_spectacular.management.commands.spectacular import Command

__all__ = ["Command"]

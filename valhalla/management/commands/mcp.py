"""``manage.py mcp``: serves an AI assistant over standard input and output, with a token's permissions."""

from __future__ import annotations

import os
from importlib.util import find_spec

from django.core.management.base import BaseCommand, CommandError

TOKEN = "VALHALLA_TOKEN"  # the name of a variable


class Command(BaseCommand):
    help = f"Serve an AI assistant (MCP over stdio) with the permissions of the token in {TOKEN}."
    requires_system_checks = ()  # the assistant starts it, often

    def handle(self, *args: object, **options: object) -> None:
        if find_spec("mcp") is None:
            raise CommandError("The MCP server needs its packages: pip install -r requirements-mcp.txt.")
        token = os.environ.pop(TOKEN, "").strip()
        if not token:
            raise CommandError(f"Put a token into {TOKEN}: issue one on the page Your tokens.")
        # the packages are optional, and take time that no other command should spend
        from valhalla.mcp.calls import Api
        from valhalla.mcp.server import Tools, make_server

        make_server(Tools(Api(token))).run("stdio")

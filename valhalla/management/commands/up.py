"""``manage.py up``: serve, with demo data on the first run."""

from __future__ import annotations

from valhalla.management.commands import serve


class Command(serve.Command):
    help = "As serve, and fill an empty database with demo data; prints the demo people and a line to try."
    demo = True

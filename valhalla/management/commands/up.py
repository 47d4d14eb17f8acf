"""``manage.py up``: serve, with demo data on the first run."""

from __future__ import annotations

from valhalla.management.commands import serve


class Command(serve.Command):
    help = "Like serve, with demo data in an empty database; prints the demo users and a call to try."
    demo = True

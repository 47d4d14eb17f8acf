"""``manage.py backup``: the whole database in one file, read back and recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from governance.core.actors import Actor
from governance.management.guarded import VerbCommand
from governance.runbook.backups import back_up


class Command(VerbCommand):
    help = (
        "Write the whole database into a new file while Valhalla runs, read the file back and record it, so "
        "that the runbook knows how old the newest backup is."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--to", type=Path, metavar="DIR", help="folder for the file; by default backups/ in VALHALLA_VAR"
        )

    def handle(self, *args: object, **options: Any) -> None:
        folder: Path = options["to"] or Path(settings.VAR) / "backups"
        try:
            made = back_up(folder, by=Actor.system("backup"), at=timezone.now())
        except OSError as wrong:
            raise CommandError(f"{wrong.filename or folder}: {wrong.strerror}.") from None
        self.stdout.write(f"{made.file}: {made.size:,} bytes, {made.rows:,} rows read back.")

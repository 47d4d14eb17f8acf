"""``manage.py import_do_not_call FILE --date DAY``: imports the national do-not-call list of a day."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from governance.contact.do_not_call import import_do_not_call
from governance.core.actors import Actor
from governance.management.guarded import GuardedCommand


class Command(GuardedCommand):
    help = (
        "Suppress calls to every number of the national do-not-call list, one number per line, and record "
        "the list's date. Suppressions are added, never ended; importing the same file again changes nothing."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="the list as downloaded, one number per line")
        parser.add_argument(
            "--date",
            type=date.fromisoformat,
            required=True,
            metavar="YYYY-MM-DD",
            help="the date of the list",
        )
        parser.add_argument(
            "--area-codes",
            nargs="+",
            default=[],
            metavar="CODE",
            help="the area codes that the list covers; by default those of its numbers",
        )

    def handle(self, *args: object, **options: Any) -> None:
        by, path = Actor.system("import_do_not_call"), options["file"]
        try:
            done = import_do_not_call(
                path, list_date=options["date"], by=by, at=timezone.now(), area_codes=options["area_codes"]
            )
        except OSError as wrong:
            raise CommandError(f"{wrong.filename or path}: {wrong.strerror}.") from None
        self.stdout.write(
            f"{done.numbers:,} numbers, {done.added:,} of them new, "
            f"{done.unreadable:,} lines without a number. Area codes: {', '.join(done.area_codes or [])}."
        )

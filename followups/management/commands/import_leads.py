"""``manage.py import_leads FILE.csv``: creates and updates leads from a spreadsheet by their external id."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import CommandError, CommandParser
from django.db import DatabaseError
from django.utils import timezone
from django.utils.translation import gettext as _
from tqdm import tqdm

from followups.intake.reader import UnreadableFile
from followups.intake.report import Report
from followups.intake.services import Bar, import_leads
from governance.accounts.rules import by_user
from governance.core.actors import ACTOR_LENGTH, Actor
from governance.management.guarded import GuardedCommand


class Command(GuardedCommand):
    help = (
        "Import leads from a CSV file: create new ones, update known ones by their id, and list in a report "
        "what could not be read. Importing the same file again changes nothing."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="the spreadsheet, saved as CSV (UTF-8 or Windows-1252)")
        parser.add_argument(
            "--ladder",
            action="store_true",
            help="start a ladder for each lead that the contact gate permits",
        )
        parser.add_argument("--owner", default="", help="who gets the ladders; by default nobody")
        parser.add_argument(
            "--report",
            type=Path,
            metavar="DIR",
            help="where to write FILE-report.csv; by default imports/ in VALHALLA_VAR",
        )
        parser.add_argument(
            "--by", default="", metavar="USERNAME", help="the user who imports; needs the permission"
        )
        parser.add_argument("--dry-run", action="store_true", help="read and compare; store nothing")

    def handle(self, *args: object, **options: Any) -> None:
        path: Path = options["file"]
        if options["dry_run"] and options["ladder"]:
            raise CommandError(_("--dry-run stores no leads, so there is none to start a ladder for."))
        owner = options["owner"].strip()
        if len(owner) > ACTOR_LENGTH or not owner.isprintable():
            raise CommandError(_("--owner: this is not a name."))
        folder = options["report"] or settings.VAR / "imports"
        report = Report(folder / f"{path.stem}-report.csv")
        try:
            counts = import_leads(
                path,
                by=self.actor(options["by"]),
                at=timezone.now(),
                report=report,
                ladders=options["ladder"],
                owner=owner,
                dry_run=options["dry_run"],
                progress=bar,
                say=self.say,
            )
        except UnreadableFile as wrong:
            raise CommandError(str(wrong)) from None
        except OSError as wrong:
            raise CommandError(
                _("%(path)s: %(reason)s.") % {"path": wrong.filename or path, "reason": wrong.strerror}
            ) from None
        except DatabaseError as problem:
            said = " ".join(str(problem).split())
            raise CommandError(_("The leads could not be stored: %(said)s") % {"said": said}) from None
        if options["ladder"]:
            self.say([_("%(count)s ladders started.") % {"count": f"{counts.ladders:,}"}])
            if counts.waiting:
                self.say([counts.waiting_line()])
        self.say([_("Report of refused rows, emptied cells and remarks: %(path)s") % {"path": report.path}])
        if options["dry_run"]:
            self.say([_("This was a dry run: nothing was stored.")])

    def say(self, lines: Sequence[str]) -> None:
        self.stdout.write("\n".join(lines))

    def actor(self, username: str) -> Actor:
        """Return the actor: the command itself, or the named person with their own permissions."""
        correlation_id = f"import-{uuid.uuid4().hex}"
        if not username:
            return Actor.system("import_leads", correlation_id)
        users = get_user_model()._default_manager.filter(username__iexact=username, is_active=True)
        user = users.first()
        if user is None:
            raise CommandError(_("--by: there is no active person %(name)s.") % {"name": username})
        return by_user(user, correlation_id=correlation_id)


def bar(what: str, total: int) -> AbstractContextManager[Bar]:
    """Return a progress bar on the terminal, or none if the output goes elsewhere."""
    return tqdm(desc=what, total=total, file=sys.stderr, disable=None, leave=False, unit="")

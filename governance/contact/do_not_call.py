"""Reading in the national do-not-call list (LNNTE-DNCL), and when that was last done.

Who telephones must check against a version of the list that is at most 31 days old (CRTC Unsolicited
Telecommunications Rules, Part II). The list covers calls; texts and e-mail fall under the anti-spam law.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime
from itertools import islice
from pathlib import Path
from zoneinfo import ZoneInfo

from django.utils.translation import gettext as _

from governance import hooks
from governance.actors import By
from governance.contact.digests import PHONE, digest
from governance.contact.models import DoNotCallImport, Suppression
from governance.errors import Forbidden, Invalid
from governance.golive.services import Execution, verb

IMPORT = "governance.import_do_not_call"
BATCH = 1000
CHANNEL = "CALL"
LONGEST_LINE = 200
LOCAL = ZoneInfo("America/Toronto")
_NUMBER = re.compile(r"1?([2-9][0-9]{2}[2-9][0-9]{6})", re.ASCII)
_NO_DIGIT = re.compile(r"[^0-9]", re.ASCII)


def newest_list() -> date | None:
    """Return as of which day the newest list is that was read in; None where none was."""
    found: date | None = (
        DoNotCallImport.objects.order_by("-list_date").values_list("list_date", flat=True).first()
    )
    return found


class UnreadableList(Invalid):
    """The file is no list of telephone numbers."""


def import_do_not_call(
    path: Path, *, list_date: date, by: By, at: datetime, say: Callable[[int], None] = lambda count: None
) -> DoNotCallImport:
    """Suppress calls to every number of the list as of `list_date`, one a line, and record that it was read.

    Numbers that the list suppressed before are passed over, also where a manager or a newer consent ended
    that stop; nothing is ever lifted. Each batch is a transaction of its own, so that a run that was cut
    short is simply run again; the same file again writes nothing. Raises Forbidden without the right, Invalid
    for a date in the future, UnreadableList for a file without numbers, OSError.
    """
    if not by.may(IMPORT):
        raise Forbidden("not_allowed", _("Only a manager imports the do-not-call list."))
    if list_date > at.astimezone(LOCAL).date():
        raise Invalid({"list_date": [_("The list cannot be of a day to come.")]})
    whole = _checksum(path)
    before: DoNotCallImport | None = DoNotCallImport.objects.filter(
        file_digest=whole, list_date=list_date
    ).first()
    if before is not None:
        return before
    numbers = unreadable = 0
    for number in _read(path):
        numbers, unreadable = numbers + bool(number), unreadable + (not number)
    if not numbers or unreadable > 1 + numbers // 100:  # a line of headings, and a few that are broken
        raise UnreadableList({"file": [_("This is no list of telephone numbers, one a line.")]})
    added = done = 0
    readable = filter(None, _read(path))
    while batch := list(islice(readable, BATCH)):
        added += _suppress(batch, by=by, at=at)
        done += len(batch)
        say(done)
    return _keep(
        DoNotCallImport(
            list_date=list_date, file_digest=whole, numbers=numbers, added=added, unreadable=unreadable,
            at=at, **by.written(),
        )
    )  # fmt: skip


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(path: Path) -> Iterator[str]:
    """Yield the number of each line in E.164, blank for a line without one; empty lines are left out."""
    with path.open(encoding="ascii", errors="replace") as lines:
        for line in lines:
            if line.strip():
                found = _NUMBER.fullmatch(_NO_DIGIT.sub("", line[:LONGEST_LINE]))
                yield f"+1{found[1]}" if found else ""


@verb(Execution.OBSERVE_ONLY)
def _suppress(numbers: Iterable[str], *, by: By, at: datetime) -> int:
    digests = {digest(PHONE, number) for number in numbers}
    listed = Suppression.objects.filter(
        point_digest__in=digests, source=Suppression.Source.NATIONAL_LIST
    ).values_list("point_digest", flat=True)
    fresh = sorted(digests - set(listed))
    Suppression.objects.bulk_create(
        Suppression(
            point_digest=point,
            channel=CHANNEL,
            source=Suppression.Source.NATIONAL_LIST,
            at=at,
            **by.written(),
        )
        for point in fresh
    )
    if fresh:
        hooks.on_suppressed.ask(fresh, CHANNEL, by, at)
    return len(fresh)


@verb(Execution.OBSERVE_ONLY)
def _keep(row: DoNotCallImport) -> DoNotCallImport:
    row.save()
    return row

"""Importing the national do-not-call list (LNNTE-DNCL), and the date of the last import.

Callers must use a version of the list that is at most 31 days old (CRTC Unsolicited Telecommunications Rules,
Part II). The list covers calls; texts and e-mail fall under the anti-spam law.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, timedelta
from itertools import chain, islice
from pathlib import Path

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from governance.contact.digests import PHONE, area_code, every_digest
from governance.contact.models import (
    AreaCodeList,
    AreaCodeStatement,
    DoNotCallImport,
    Suppression,
    validate_area_code,
)
from governance.contact.national_list import LASTS_DAYS, LOCAL, WARN_DAYS
from governance.core import hooks
from governance.core.actors import Actor
from governance.core.channels import CALL
from governance.core.errors import Invalid
from governance.core.verbs import Execution, needs_right, verb

IMPORT = "governance.import_do_not_call"
BATCH = 1000
LONGEST_LINE = 200
_NUMBER = re.compile(r"1?([2-9][0-9]{2}[2-9][0-9]{6})", re.ASCII)
_NO_DIGIT = re.compile(r"[^0-9]", re.ASCII)


def newest_list() -> date | None:
    """Return the date of the newest imported list; None if there is none."""
    found: date | None = (
        DoNotCallImport.objects.order_by("-list_date").values_list("list_date", flat=True).first()
    )
    return found


class UnreadableList(Invalid):
    """The file is not a list of telephone numbers."""


@needs_right(IMPORT, refusal=gettext_lazy("Only a manager imports the do-not-call list."))
def import_do_not_call(
    path: Path,
    *,
    list_date: date,
    by: Actor,
    at: datetime,
    area_codes: Iterable[str] = (),
    say: Callable[[int], None] = lambda count: None,
) -> DoNotCallImport:
    """Suppress calls to every number of the list as of `list_date`, one per line, and record the import.

    `area_codes` are those that the list covers, with or without numbers; by default those of its numbers.
    Calls there are blocked once their newest list is older than 31 days.

    Numbers that an earlier list suppressed are skipped, even if a manager or a newer consent ended that
    suppression; nothing is ever lifted. Each batch is a separate transaction, so that an interrupted run can
    be repeated; importing the same file again writes nothing. Raises Forbidden without the permission,
    Invalid for a date after tomorrow or an invalid area code, UnreadableList for a file without numbers,
    OSError.
    """
    # a day of slack: the list may be dated in UTC, whose day begins up to 5 hours before Toronto's
    if list_date > at.astimezone(LOCAL).date() + timedelta(days=1):
        raise Invalid({"list_date": [_("The list cannot be dated in the future.")]})
    covered = _area_codes(area_codes)
    whole = _checksum(path)
    same: QuerySet[DoNotCallImport] = DoNotCallImport.objects.filter(file_digest=whole, list_date=list_date)
    for before in same:
        if before.area_codes is not None and covered <= set(before.area_codes):
            return before
    numbers = unreadable = 0
    of_numbers: set[str] = set()
    for number in _read(path):
        numbers, unreadable = numbers + bool(number), unreadable + (not number)
        if number:
            of_numbers.add(area_code(number))
    if not numbers or unreadable > 1 + numbers // 100:  # a line of headings, and a few invalid ones
        raise UnreadableList({"file": [_("This is not a list of telephone numbers, one per line.")]})
    added = done = 0
    readable = filter(None, _read(path))
    while batch := list(islice(readable, BATCH)):
        added += _suppress(batch, by=by, at=at)
        done += len(batch)
        say(done)
    return _keep(
        DoNotCallImport(
            list_date=list_date, file_digest=whole, numbers=numbers, added=added, unreadable=unreadable,
            area_codes=sorted(covered or of_numbers), at=at, **by.written(),
        ),
        by,
    )  # fmt: skip


def _area_codes(given: Iterable[str]) -> set[str]:
    found = {code.strip() for code in given}
    for code in found:
        try:
            validate_area_code(code)
        except ValidationError as wrong:
            raise Invalid({"area_codes": wrong.messages}) from wrong
    return found


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
def _suppress(numbers: Iterable[str], *, by: Actor, at: datetime) -> int:
    every = {hashes[0]: hashes for hashes in (every_digest(PHONE, number) for number in numbers)}
    listed = set(
        Suppression.objects.filter(
            point_digest__in=list(chain.from_iterable(every.values())),
            source=Suppression.Source.NATIONAL_LIST,
        ).values_list("point_digest", flat=True)
    )
    fresh = sorted(current for current, hashes in every.items() if listed.isdisjoint(hashes))
    Suppression.objects.bulk_create(
        Suppression(
            point_digest=point,
            channel=CALL,
            source=Suppression.Source.NATIONAL_LIST,
            at=at,
            **by.written(),
        )
        for point in fresh
    )
    if fresh:
        hooks.on_suppressed.ask(list(chain.from_iterable(every[one] for one in fresh)), CALL, by, at)
    return len(fresh)


@verb(Execution.OBSERVE_ONLY)
def _keep(row: DoNotCallImport, by: Actor) -> DoNotCallImport:
    """Record the import, and this list for each area code without a newer one; unblock blocked calls."""
    row.save()
    for code in row.area_codes or ():
        first = {"list_date": row.list_date, "since": row.at, "source": row}
        kept, created = AreaCodeList.objects.select_for_update().get_or_create(area_code=code, defaults=first)
        if not created and kept.list_date < row.list_date:
            kept.previous_date, kept.list_date = kept.list_date, row.list_date
            kept.since, kept.source = row.at, row
            kept.save()
    hooks.on_gate_changed.ask("", by, row.at)
    return row


def ending_lists(at: datetime) -> QuerySet[AreaCodeList]:
    """Return the lists that expire within a week or have expired, the oldest first.

    Area codes where a manager stated that only exempt numbers are called are left out.
    """
    oldest = at.astimezone(LOCAL).date() - timedelta(days=LASTS_DAYS - WARN_DAYS)
    return AreaCodeList.objects.filter(list_date__lte=oldest).exclude(
        area_code__in=AreaCodeStatement.objects.filter(only_exempt=True).values("area_code")
    )


def any_list_is_stale(at: datetime) -> bool:
    """Return whether the newest list of any area code is older than 31 days."""
    oldest = at.astimezone(LOCAL).date() - timedelta(days=LASTS_DAYS)
    return AreaCodeList.objects.filter(list_date__lt=oldest).exists()


def uncovered_area_codes() -> list[str]:
    """Return the area codes that open tasks would call, with neither a list nor a manager's statement."""
    listed = AreaCodeList.objects.order_by().values_list("area_code", flat=True)
    stated = AreaCodeStatement.objects.filter(only_exempt=True).order_by().values_list("area_code", flat=True)
    covered = sorted(listed.union(stated))
    return sorted({code for codes in hooks.called_area_codes.ask(covered) for code in codes})

"""The report of an import: its counts, and a CSV of every cell and row that was not stored as written."""

from __future__ import annotations

import csv
import logging
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from followups.intake.gathering import Given
from followups.intake.reader import IgnoredRow, RefusedRow
from followups.intake.rules import Problem, printable
from governance.core.spreadsheets import safe
from governance.retention.rules import Words

Difference = tuple[str, str, str]  # field, before, after

log = logging.getLogger(__name__)

ALREADY_ACTIVE, HAD_LADDER = "already_active", "followed_up_before"


@dataclass(slots=True)
class Counts:
    """Counts of the file's rows, and the results for its leads.

    rows = leads + repeated + refused + ignored, and leads = created + updated + unchanged. `left_empty` and
    `kept` count cells, `repeated_changed` the repeated rows with something new, `waiting` those of the
    `ladders` that wait for another lead with the same number.
    """

    rows: int = 0
    refused: int = 0
    ignored: int = 0
    repeated: int = 0
    repeated_changed: int = 0
    left_empty: int = 0
    kept: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    moved: int = 0
    ladders: int = 0
    waiting: int = 0
    no_ladder: Counter[str] = field(default_factory=Counter)

    @property
    def leads(self) -> int:
        return self.rows - self.repeated - self.refused - self.ignored

    def lines(self) -> list[str]:
        """Return the counts as lines for a terminal."""
        told = [
            (self.rows, _("rows read")),
            (self.created, _("leads created")),
            (self.updated, _("leads updated")),
            (self.unchanged, _("leads unchanged")),
            (self.repeated, self._repeated()),
            (self.refused, _("rows refused")),
            (self.ignored, _("rows skipped (blank lines and totals)")),
            (self.left_empty, _("cells left empty, because they could not be read")),
            (self.kept, _("cells kept with a remark")),
        ]
        if self.moved:
            told.append((self.moved, _("of the leads moved to another province")))
        return [f"{count:>8,}  {what}" for count, what in told]

    def _repeated(self) -> str:
        if not self.repeated:
            return _("rows repeat an id")
        return _("rows repeat an id; the last one counts (%(new)s had new data)") % {
            "new": self.repeated_changed
        }

    def waiting_line(self) -> str:
        """Return how many of the ladders wait for another lead with the same number."""
        return ngettext(
            "%(count)s of them waits: another lead with the same number is being followed up.",
            "%(count)s of them wait: another lead with the same number is being followed up.",
            self.waiting,
        ) % {"count": f"{self.waiting:,}"}

    def ladder_lines(self) -> list[str]:
        """Return, per reason, how many leads start no ladder."""
        head = ngettext(
            "%(count)s lead starts no ladder.", "%(count)s leads start no ladder.", self.no_ladder.total()
        ) % {"count": f"{self.no_ladder.total():,}"}
        return [head, *(f"{n:>8,}  {reason}" for reason, n in sorted(self.no_ladder.items()))]


def safe_cell(cell: object) -> str:
    """Return a cell that no spreadsheet reads as a formula, without unprintable characters."""
    return printable(safe(str(cell)))


class Report:
    """The CSV report: UTF-8 with a byte-order mark for Excel, readable only by its owner.

    Use as a context manager. It gets its name only when it is complete; an interrupted import leaves the
    previous report.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._part = path.with_name(f".{path.name}.part")

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._part.unlink(missing_ok=True)
        # created from scratch, so that neither a link nor another mode can be there already
        handle = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._file = os.fdopen(handle, "w", encoding="utf-8-sig", newline="")
        self._rows = csv.writer(self._file)
        self._rows.writerow(
            [_("line"), _("lead id"), _("field"), _("value"), _("effect"), _("reason"), _("row")]
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if kind is None:
            self._part.replace(self.path)
        else:
            self._part.unlink(missing_ok=True)

    def add(
        self, line: int, lead_id: str, field: str, value: object, effect: str, reason: str, row: str = ""
    ) -> None:
        self._rows.writerow([line, *map(safe_cell, (lead_id, field, value, effect, reason, row))])

    def created(self, line: int, given: Given) -> None:
        """Report a lead that is or would be created; the CSV lists only values not stored as written."""

    def changed(self, line: int, lead_id: str, differences: Sequence[Difference]) -> None:
        """Report a lead that is or would be changed."""

    def problem(self, line: int, lead_id: str, found: Problem) -> None:
        self.add(line, lead_id, found.field, found.value, found.effect, found.message)

    def unused(self, row: RefusedRow | IgnoredRow) -> None:
        """Report a row that created no lead, with its contents."""
        found = row.problem
        written = " | ".join(row.cells.values())
        self.add(row.line, "", found.field, found.value, found.effect, found.message, written)


class NoReport(Report):
    """For an import whose report nobody reads."""

    def __init__(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def add(
        self, line: int, lead_id: str, field: str, value: object, effect: str, reason: str, row: str = ""
    ) -> None: ...


def strike_from_reports(lead_id: str, words: Words) -> int:
    """Remove a person's rows from the reports of earlier imports; return how many there were.

    Reports that were written elsewhere with ``--report`` are not known here.
    """
    struck = 0
    for path in sorted((settings.VAR / "imports").glob("*-report.csv")):
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                head, *rows = list(csv.reader(file)) or [[]]
            kept = [row for row in rows if row[1:2] != [safe_cell(lead_id)] and not words.occur_in(*row)]
            if len(kept) == len(rows):
                continue
            part = path.with_name(f".{path.name}.part")
            part.unlink(missing_ok=True)
            handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8-sig", newline="") as file:
                csv.writer(file).writerows([head, *kept])
            part.replace(path)
            struck += len(rows) - len(kept)
        except (OSError, ValueError, csv.Error) as problem:  # another account's file; the database is done
            log.error("a person could not be struck from %s: %s", path.name, type(problem).__name__)
    return struck

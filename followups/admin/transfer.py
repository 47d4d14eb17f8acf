"""Import and export of leads: the page previews what the importer would do.

The sheet is in the page, signed and compressed; nothing of it is stored on the server.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextInputWidget, UnfoldBooleanWidget

from followups.fields import FIELD_OF_KIND, FILE, LeadField, label_of
from followups.intake.gathering import Given
from followups.intake.reader import (
    Headings,
    IgnoredRow,
    RefusedRow,
    Sheet,
    SheetRow,
    UnreadableFile,
    read_headings,
    read_sheet,
)
from followups.intake.report import Counts, Difference, NoReport
from followups.intake.rules import Problem
from followups.intake.services import import_leads
from followups.models import ContactPoint, Lead
from followups.points import lead_facts
from followups.services.candidates import Points
from governance.contact.rules import suppressing
from governance.contact.services import questions_of_people
from governance.core.actors import ACTOR_LENGTH, Actor
from governance.core.admin.base import by_of
from governance.core.admin.display import number
from governance.core.admin.transfer import (
    SHOWN,
    Cell,
    Preview,
    Row,
    TakesFiles,
    told,
)
from governance.core.channels import CHANNELS
from governance.core.errors import Refused
from governance.core.spreadsheets import DOMAIN
from governance.core.verbs import Execution
from governance.golive.services import require
from governance.kpi.services import emit_kpi

MOST_LEADS = 5_000
MOST_FILE_BYTES = 3_000_000
MOST_COLUMNS = 200
MOST_FIELDS = 600  # inputs on a page; a form of more than 1,000 is refused
SHOWN_LETTERS = 200
EXPORTED_AT_ONCE = 500


class LaddersForm(forms.Form):
    """The choice to start ladders for a file's leads, and their owner."""

    ladders = forms.BooleanField(
        label=_("Start ladders"),
        required=False,
        widget=UnfoldBooleanWidget,
        help_text=_("For each lead in the file that the contact gate allows."),
    )
    owner = forms.CharField(
        label=_("Owner of the ladders"),
        max_length=ACTOR_LENGTH,
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text=_("A username. Leave empty to unassign: the tasks are then offered to everybody."),
    )

    def clean_owner(self) -> str:
        owner: str = self.cleaned_data["owner"].strip()
        if not owner.isprintable():
            raise ValidationError(gettext("This is not a name."))
        return owner


# --- the sheet between two pages ----------------------------------------------------------------------------


def too_large() -> str:
    return gettext(
        "The file is too large for this page, which takes %(most)s rows. Import it in parts, or on the "
        "command line: manage.py import_leads FILE.csv."
    ) % {"most": number(MOST_LEADS)}


def sheet_of_file(file: UploadedFile[Any]) -> Sheet:
    """Return an uploaded file's rows. Raises ValidationError with what is wrong with the file."""
    if (file.size or 0) > MOST_FILE_BYTES:
        raise ValidationError(too_large())
    with tempfile.NamedTemporaryFile(prefix="leads-", suffix=".csv") as kept:  # readable only by its owner
        for chunk in file.chunks():
            kept.write(chunk)
        kept.flush()
        try:
            found = read_sheet(Path(kept.name), most=MOST_LEADS + 1)
        except UnreadableFile as wrong:
            raise ValidationError(str(wrong)) from None
    if len(found) > MOST_LEADS:
        raise ValidationError(too_large())
    if len(found.headings) > MOST_COLUMNS:
        most = {"most": MOST_COLUMNS}
        raise ValidationError(gettext("The file has more than %(most)s columns.") % most)
    if not found.rows:
        raise ValidationError(gettext("The file has no rows below its headings."))
    return found


def mended(sheet: Sheet, typed: Mapping[str, object]) -> Sheet:
    """Return the sheet with the corrections typed on the page, without the rows ticked “leave out”."""
    found: dict[int, dict[int, str]] = {}
    for name, text in typed.items():
        mark, _dash, rest = name.partition("-")
        line, _dash, place = rest.partition("-")
        if mark == "cell" and (line + place).isdecimal() and place and len(line + place) < 12:
            found.setdefault(int(line), {})[int(place)] = str(text)
    rows = []
    for row in sheet.rows:
        if typed.get(f"drop-{row.line}"):
            continue
        cells = {
            place: text
            for place, text in found.get(row.line, {}).items()
            # browsers send line breaks in their own way
            if place >= len(row.cells) or text.splitlines() != row.cells[place].splitlines()
        }
        rows.append(sheet.mended(row, cells) if cells else row)
    return Sheet(sheet.headings, rows, sheet.separator)


# --- previewing the import ----------------------------------------------------------------------------------


@dataclass(slots=True)
class LeadsPreview(Preview):
    """A preview with the importer's remarks; `emptied` holds rows with cells that it cannot read."""

    repeated: int = 0
    ignored: int = 0
    emptied: list[tuple[str, Row, list[str], list[Cell]]] = field(default_factory=list)
    emptied_more: bool = False
    remarks: list[tuple[int, str, str]] = field(default_factory=list)
    remarks_more: bool = False
    notes_more: bool = False


class Listening(NoReport):
    """Receives the importer's reports on a sheet, and keeps what a page shows."""

    def __init__(self, sheet: Sheet) -> None:
        self.seen = LeadsPreview()
        self._lines = {row.line: row for row in sheet.rows}
        self._headings: Headings = read_headings(sheet.headings)
        self._emptied: dict[int, tuple[str, list[Problem]]] = {}

    def created(self, line: int, given: Given) -> None:
        self.seen.new.append({"row": str(line), "name": given.external_id})

    def changed(self, line: int, lead_id: str, differences: Sequence[Difference]) -> None:
        shown = [
            (label_of(name), old[:SHOWN_LETTERS], new[:SHOWN_LETTERS])
            for name, old, new in differences
            if name != "market"  # the city implies it
        ]
        self.seen.changed.append((lead_id, shown))

    def unused(self, row: RefusedRow | IgnoredRow) -> None:
        if isinstance(row, IgnoredRow):
            self.seen.ignored += 1
            return
        broken = self._lines[row.line].code
        name = "" if broken else self._cell(row.line, "external_id")
        cells = self._cells(row.line, [row.problem])
        said = [] if any(cell.errors for cell in cells) else [row.problem.message]
        self.seen.wrong.append((name, {"row": str(row.line)}, said, cells))

    def problem(self, line: int, lead_id: str, found: Problem) -> None:
        if found.effect == "left_empty" and self._place(found.field) is not None:
            self._emptied.setdefault(line, (lead_id, []))[1].append(found)
        else:
            self.add(line, lead_id, found.field, found.value, found.effect, found.message)

    def add(
        self, line: int, lead_id: str, field: str, value: object, effect: str, reason: str, row: str = ""
    ) -> None:
        if effect == "no_ladder":
            self.seen.notes_more = len(self.seen.notes) == SHOWN
            if not self.seen.notes_more:
                self.seen.notes.append((line, lead_id, reason))
            return
        self.seen.remarks_more = len(self.seen.remarks) == SHOWN
        if not self.seen.remarks_more:
            self.seen.remarks.append((line, lead_id, reason))

    def preview(self, counts: Counts) -> LeadsPreview:
        seen = self.seen
        seen.same, seen.repeated = counts.unchanged, counts.repeated
        fields = 0
        for line, (lead_id, problems) in self._emptied.items():
            cells = [cell for cell in self._cells(line, problems) if cell.errors]
            fields += len(cells)
            seen.emptied_more = fields > MOST_FIELDS // 2 or len(seen.emptied) == SHOWN
            if seen.emptied_more:
                break
            seen.emptied.append((lead_id, {"row": str(line)}, [], cells))
        return seen

    def _place(self, field: str) -> int | None:
        columns = self._headings.columns
        if field == "name" and "name" not in columns:
            field = "last_name" if "last_name" in columns else "first_name"
        if field in columns:
            return columns[field]
        return self._headings.names.index(field) if field in self._headings.names else None

    def _cell(self, line: int, field: str) -> str:
        place, cells = self._place(field), self._lines[line].cells
        return cells[place] if place is not None and place < len(cells) else ""

    def _cells(self, line: int, problems: Sequence[Problem]) -> list[Cell]:
        row = self._lines[line]
        if row.code == "line_too_large":
            return []
        if row.code:
            return [Cell("0", gettext("The whole line"), row.cells[0].rstrip("\r\n"), [problems[0].message])]
        said: dict[int, list[str]] = {}
        for found in problems:
            place = self._place(found.field)
            if place is not None:
                said.setdefault(place, []).append(found.message)
        names = self._headings.names
        beyond = [gettext("column %(number)s") % {"number": n + 1} for n in range(len(names), MOST_COLUMNS)]
        cells = [*row.cells, *[""] * (len(names) - len(row.cells))]
        return [
            Cell(str(n), label, cell, said.get(n, []))
            for n, (label, cell) in enumerate(zip([*names, *beyond], cells, strict=False))
        ]


# --- admin classes ------------------------------------------------------------------------------------------


class TransfersLeads(TakesFiles):
    """Import and export for the leads' admin class."""

    import_template = "admin/followups/lead/import.html"
    options_form = LaddersForm
    too_large = staticmethod(too_large)
    export_note = _(
        "For leads who must not be contacted, the blocked numbers and addresses and the notes "
        "are left out. If a lead has several numbers, the first is exported."
    )

    def has_import_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return bool(request.user.has_perm(import_leads.right))

    def read_file(self, request: HttpRequest, file: UploadedFile[Any]) -> Sheet:
        return sheet_of_file(file)

    def mended(self, values: Any, typed: Mapping[str, object]) -> Sheet:
        headings, rows, separator = values
        return mended(Sheet(headings, [SheetRow(*row) for row in rows], separator), typed)

    def look(self, request: HttpRequest, file: Sheet) -> LeadsPreview:
        listening, at = Listening(file), timezone.now()
        counts = import_leads(file, by=by_of(request), at=at, report=listening, dry_run=True)
        return listening.preview(counts)

    def page_of(self, request: HttpRequest, file: Sheet | None, seen: Preview | None) -> dict[str, Any]:
        columns = len(file.headings) if file else 1
        return {
            "most": number(MOST_LEADS),
            "key": gettext("lead id"),
            "writable": seen and (seen.good or seen.same),
            "shown_wrong": max(1, min(SHOWN, MOST_FIELDS // (columns + 1))),
        }

    def write(
        self, request: HttpRequest, file: Sheet, options: Mapping[str, Any]
    ) -> tuple[Sheet, LeadsPreview]:
        """Let the importer store the sheet, report what it did, and return the rows to be corrected."""
        by, at, ladders = by_of(request), timezone.now(), options["ladders"]
        if ladders:
            require(Execution.PROD_EXEC)  # the user may clear the box; nothing was stored yet
        listening = Listening(file)
        counts = Counts()
        try:
            counts = import_leads(
                file, by=by, at=at, report=listening, ladders=ladders, owner=options["owner"], counts=counts
            )
        except Refused as refusal:  # production actions were switched off meanwhile: the leads stay
            messages.warning(request, str(refusal))
        detail = {
            "table": self.opts.label_lower,
            "created": counts.created,
            "updated": counts.updated,
            "unchanged": counts.unchanged,
            "refused": counts.refused,
        }
        emit_kpi(DOMAIN, "rows_imported", by=by, at=at, success=not counts.refused, detail=detail)
        if counts.leads or not counts.refused:
            messages.success(request, told(counts.created, counts.updated, counts.unchanged))
        if ladders and counts.leads:
            begun = ngettext("%(count)s ladder started.", "%(count)s ladders started.", counts.ladders) % {
                "count": number(counts.ladders)
            }
            waiting = [counts.waiting_line()] if counts.waiting else []
            messages.info(request, " ".join([begun, *waiting, counts.ladder_lines()[0]]))
        done = listening.preview(counts)
        refused = {row["row"] for _name, row, _said, _cells in done.wrong}
        rest = [row for row in file.rows if str(row.line) in refused]
        return Sheet(file.headings, rest, file.separator), done

    def sheet(self, request: HttpRequest, *, by: Actor, at: datetime) -> Iterator[list[str]]:
        yield [gettext("Lead ID"), *(str(column.label) for column in FILE[1:])]
        leads = self.exported(request).filter(erasure=None).iterator(EXPORTED_AT_ONCE)
        while batch := list(islice(leads, EXPORTED_AT_ONCE)):
            yield from _lines(batch)


def _lines(leads: Sequence[Lead]) -> Iterator[list[str]]:
    points: dict[int, list[ContactPoint]] = {lead.pk: [] for lead in leads}
    for point in ContactPoint.objects.filter(lead_id__in=points).order_by("order", "id"):
        points[point.lead_id].append(point)
    stopped = _stopped(leads, points)
    for lead in leads:
        reached = {
            kind: next((point.value for point in points[lead.pk] if point.kind == kind), "")
            for kind in FIELD_OF_KIND
            if kind not in stopped[lead.pk]
        }
        yield [_cell(lead, column, reached, stopped=bool(stopped[lead.pk])) for column in FILE]


def _cell(lead: Lead, column: LeadField, reached: Mapping[str, str], *, stopped: bool) -> str:
    if column.point:
        return reached.get(column.point, "")
    if column.name == "notes" and stopped:
        return ""
    value = getattr(lead, column.name) if column.group else lead.extra.get(column.name)
    return "" if value is None else str(value)


def _stopped(leads: Sequence[Lead], points: Points) -> dict[int, set[str]]:
    """Return the kinds of each lead's points that are suppressed for any channel, in one query."""
    people = {
        lead.pk: (
            [
                *(point.facts for point in points[lead.pk]),
                lead_facts(lead.external_id),
            ],
            None,
        )
        for lead in leads
    }
    return {
        pk: {
            CHANNELS[channel].kind
            for channel, asked in questions.items()
            if suppressing(channel, asked.suppressions, asked.consents)
        }
        for pk, questions in questions_of_people(CHANNELS, people, at=None).items()
    }

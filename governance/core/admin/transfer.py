"""Import and export of spreadsheets, for admin classes of any table.

A file is read, compared and shown before anything is written; invalid rows are corrected on the
page and tried again. The data is in the page, signed: nothing of it is stored on the server.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from tempfile import SpooledTemporaryFile
from typing import Any

from django import forms
from django.contrib import messages
from django.core import signing
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.db import models, transaction
from django.db.models import Model
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.formats import number_format
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from import_export.resources import ModelResource
from import_export.results import RowResult
from import_export.widgets import Widget
from tablib import Dataset
from unfold.admin import ModelAdmin
from unfold.decorators import action
from unfold.widgets import UnfoldAdminFileFieldWidget

from governance.core import hooks
from governance.core.actors import Actor
from governance.core.admin.base import CONFIRMED, Warned, by_of, reason_field, stamp
from governance.core.errors import Invalid, Refused
from governance.core.spreadsheets import DOMAIN, FORMULA_SIGNS, log_export, safe
from governance.core.transactions import in_turn

MOST_ROWS = 2_000
ROWS_AT_ONCE = 25  # of one transaction: a quarter of a second
MOST_BYTES = 700_000  # of a file
MOST_PACKED = 900_000  # characters of data in the page; a request is limited to 1 MB
MOST_IN_MEMORY = 1_000_000  # bytes of an export; larger ones are in an unnamed file
SHOWN = 50  # rows shown of each kind

Row = dict[str, str]


# --- cells --------------------------------------------------------------------------------------------------


def plain(text: str) -> str:
    """Return a cell without the quote that `safe` added, trimmed."""
    text = text.strip()
    return text[1:] if text.startswith("'") and text[1:].startswith(FORMULA_SIGNS) else text


class Labels(Widget):
    """Several words in a cell, with commas or semicolons between them."""

    def clean(self, value: Any, row: object = None, **kwargs: object) -> list[str]:
        return [part.strip() for part in re.split(r"[,;|]", value) if part.strip()]

    def render(self, value: Any, obj: object = None, **kwargs: object) -> str:
        return ", ".join(value or [])


class Amount(Widget):
    """Dollars, as spreadsheets write them: $1,250,000.00, 1 250 000,00 or 1250000."""

    def clean(self, value: Any, row: object = None, **kwargs: object) -> Decimal:
        text = re.sub(r"[\s\u00a0\u202f$]|CAD", "", value)
        if re.fullmatch(r"\d{1,3}(,\d{3})+(\.\d+)?", text):
            text = text.replace(",", "")
        elif re.fullmatch(r"\d+,\d{1,2}", text):
            text = text.replace(",", ".")
        try:
            found = Decimal(text)
        except InvalidOperation:
            found = Decimal("NaN")
        if not found.is_finite():
            raise ValueError(gettext("This is not an amount; write it as 250000 or 250,000.00."))
        return found

    def render(self, value: object, obj: object = None, **kwargs: object) -> str:
        return "" if value is None else f"{value:f}"


class Day(Widget):
    """A day, as 2026-11-24."""

    def clean(self, value: Any, row: object = None, **kwargs: object) -> date:
        try:
            return date.fromisoformat(value)
        except ValueError:
            raise ValueError(gettext("This is not a date; write it as 2026-11-24.")) from None

    def render(self, value: Any, obj: object = None, **kwargs: object) -> str:
        return "" if value is None else value.isoformat()


def choice_of(text: str, choices: type[models.TextChoices]) -> object:
    """Return a cell's choice by its value or by its label, in English or the page's language."""
    wanted = _folded(text)
    for language in ("en", translation.get_language() or "en"):
        with translation.override(language):
            for value, label in choices.choices:
                if wanted in (_folded(value), _folded(str(label))):
                    return choices(value)
    return None


# --- rows and the service that writes them ------------------------------------------------------------------


class ServiceResource(ModelResource):
    """The columns of a table's spreadsheet. Each row is written by the table's own service.

    A blank cell leaves the stored value unchanged. Subclasses implement `serve`.
    """

    class Meta:
        store_instance = True
        skip_unchanged = True
        report_skipped = True
        skip_html_diff = True
        use_transactions = True

    def __init__(self, *, by: Actor, at: datetime) -> None:
        super().__init__()
        self.by, self.at = by, at
        self.named: dict[str, str] = {}  # id -> its row

    def serve(self, row: Any) -> None:
        """Write the row. Raises Refused."""
        raise NotImplementedError

    def columns(self) -> list[tuple[str, Any]]:
        """Return the columns by name, each with its label."""
        labels = {field.name: field.verbose_name for field in self._meta.model._meta.fields}
        return [(name, labels[name]) for name in self._meta.fields]

    def before_import_row(self, row: Any, **kwargs: object) -> None:
        (key,) = self._meta.import_id_fields
        first = self.named.setdefault(row[key], row["row"])
        if first != row["row"]:
            said = gettext("The file has this one twice, first in row %(row)s.")
            raise ValidationError({key: [said % {"row": first}]})

    def import_field(
        self, field: Any, instance: Any, row: Any, is_m2m: bool = False, **kwargs: object
    ) -> None:
        if row.get(field.column_name, "") != "":
            super().import_field(field, instance, row, is_m2m, **kwargs)

    def import_instance(self, instance: Any, row: object, **kwargs: object) -> None:
        wrong: dict[str, Any] = {}
        try:
            super().import_instance(instance, row, **kwargs)
        except ValidationError as problem:
            wrong = problem.error_dict
        try:
            instance.clean_fields(exclude=set(wrong))  # as it would be stored, so that it can be compared
        except ValidationError as problem:
            wrong = {**problem.error_dict, **wrong}
        if wrong:
            raise ValidationError(wrong)

    def save_instance(self, instance: Any, is_create: bool, row: Any, **kwargs: Any) -> None:
        try:
            self.serve(instance)
        except Invalid as wrong:
            raise ValidationError(
                {name: [str(said) for said in sentences] for name, sentences in wrong.errors.items()}
            ) from wrong
        except Refused as refusal:
            raise ValidationError(str(refusal.message)) from refusal


# --- reading a file -----------------------------------------------------------------------------------------


def read_rows(content: bytes, columns: Sequence[tuple[str, object]], key: str) -> Rows:
    """Return the rows of a CSV file by column, and the unknown headings.

    Headings are accepted in English, in the language of the page or as the column's name. Each row has its
    number in the file. Raises ValidationError with what is wrong with the file.
    """
    if len(content) > MOST_BYTES:
        raise ValidationError(too_large())
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252", errors="replace")
    no_csv = gettext("This is not a CSV file; save the spreadsheet as CSV and choose that file.")
    if "\0" in text:
        raise ValidationError(no_csv)
    first = text.partition("\n")[0]
    separator = max(",;\t", key=first.count)
    try:
        lines = list(csv.reader(io.StringIO(text), delimiter=separator))
    except csv.Error:
        raise ValidationError(no_csv) from None
    names = _names(columns)
    headings = [names.get(_folded(cell), "") for cell in lines[0]] if lines else []
    if key not in headings:
        said = gettext("The first row must name the columns, “%(key)s” among them.")
        raise ValidationError(said % {"key": dict(columns)[key]})
    twice = next((name for name in headings if name and headings.count(name) > 1), "")
    if twice:
        raise ValidationError(gettext("Two columns are called “%(name)s”.") % {"name": dict(columns)[twice]})
    unknown = [cell for cell, name in zip(lines[0], headings, strict=True) if not name and cell.strip()]
    rows = []
    for number, cells in enumerate(lines[1:], 2):
        if any(cell.strip() for cell in cells):
            found = {name: "" for name, _label in columns} | {"row": str(number)}
            found |= {name: plain(cell) for name, cell in zip(headings, cells, strict=False) if name}
            rows.append(found)
    if len(rows) > MOST_ROWS:
        said = gettext("The file has more than %(most)s rows; import it in parts.")
        raise ValidationError(said % {"most": number_format(MOST_ROWS, force_grouping=True)})
    if not rows:
        raise ValidationError(gettext("The file has no rows below its headings."))
    return Rows(rows, unknown)


def too_large() -> str:
    return gettext("The file is larger than %(size)s kB; import it in parts.") % {"size": MOST_BYTES // 1000}


def _names(columns: Sequence[tuple[str, object]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for language in ("en", translation.get_language() or "en"):
        with translation.override(language):
            found |= {_folded(str(label)): name for name, label in columns}
    return found | {_folded(name): name for name, _label in columns}


def _folded(text: str) -> str:
    return re.sub(r"[\W_]+", " ", text.casefold()).strip()


# --- the page's data ----------------------------------------------------------------------------------------


@dataclass(slots=True)
class Cell:
    """A cell of a row to be corrected."""

    name: str
    label: Any
    value: str
    errors: list[str]

    @property
    def has_lines(self) -> bool:
        """Return whether the cell has several lines, which a one-line input would lose."""
        return "\n" in self.value


@dataclass(slots=True)
class Preview:
    """The effects of an import: new rows, changed ones with their differences, unchanged and invalid ones."""

    new: list[Row] = field(default_factory=list)
    changed: list[tuple[str, list[tuple[Any, str, str]]]] = field(default_factory=list)
    same: int = 0
    wrong: list[tuple[str, Row, list[str], list[Cell]]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)  # to be confirmed before it is written
    notes: list[tuple[int, str, str]] = field(default_factory=list)  # remarks to read once it is written

    @property
    def good(self) -> int:
        return len(self.new) + len(self.changed)

    def counts(self) -> dict[str, int]:
        return {
            "created": len(self.new),
            "updated": len(self.changed),
            "unchanged": self.same,
            "refused": len(self.wrong),
        }

    def add(self, other: Preview) -> None:
        self.new += other.new
        self.changed += other.changed
        self.same += other.same
        self.wrong += other.wrong
        self.warnings += other.warnings

    def refuse(
        self, name: str, row: Row, columns: Sequence[tuple[str, object]], said: Mapping[str, list[str]]
    ) -> None:
        """Add an invalid row with its errors by column; errors without a column belong to the row."""
        names = {name for name, _label in columns}
        rest = [text for column, texts in said.items() if column not in names for text in texts]
        cells = [Cell(column, label, row[column], said.get(column, [])) for column, label in columns]
        self.wrong.append((name, row, rest, cells))


def take(
    resource: ServiceResource, rows: Sequence[Row], *, dry_run: bool, named: dict[Any, Any] | None = None
) -> Preview:
    """Compare rows with the table and, unless it is a dry run, let the service write the valid ones.

    `named` holds the ids of earlier rows in the same file, with the rows.
    """
    resource.named = {} if named is None else named
    columns = resource.columns()
    dataset = Dataset(headers=[*(name for name, _label in columns), "row"])
    for row in rows:
        dataset.append([row[heading] for heading in dataset.headers])
    results = resource.import_data(dataset, dry_run=dry_run, use_transactions=True, raise_errors=False)
    if results.base_errors:
        raise results.base_errors[0].error
    found = Preview()
    for row, result in zip(rows, results.rows, strict=True):
        _sort(found, row, result, resource, columns)
    return found


def _sort(
    found: Preview, row: Row, result: Any, resource: Any, columns: Sequence[tuple[str, object]]
) -> None:
    (key,) = resource._meta.import_id_fields
    if result.import_type == RowResult.IMPORT_TYPE_NEW:
        found.new.append(row)
    elif result.import_type == RowResult.IMPORT_TYPE_SKIP:
        found.same += 1
    elif result.import_type == RowResult.IMPORT_TYPE_UPDATE:
        shown = [
            (label, *(resource.fields[name].export(one) for one in (result.original, result.instance)))
            for name, label in columns
        ]
        found.changed.append((row[key], [(label, old, new) for label, old, new in shown if old != new]))
    elif result.import_type == RowResult.IMPORT_TYPE_INVALID:
        said = result.validation_error
        by_field = said.message_dict if hasattr(said, "error_dict") else {"": said.messages}
        found.refuse(row[key], row, columns, by_field)
    else:
        raise result.errors[0].error


# --- admin classes ------------------------------------------------------------------------------------------


class UploadForm(forms.Form):
    """The form for uploading a file."""

    file = forms.FileField(label=_("CSV file"), widget=UnfoldAdminFileFieldWidget)


class WhyExportForm(forms.Form):
    """The reason for an export."""

    reason = reason_field(
        _("Reason"),
        help_text=_("What the file is for. No names, numbers or addresses: this is kept permanently."),
    )


class RowExporter(ModelAdmin):
    """Exports the rows of an admin class to a file, with a reason, for users who may change them.

    Subclasses implement `sheet`.
    """

    actions_list: Sequence[str] = ("export_rows",)
    export_note: object = ""

    def has_transfer_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return bool(self.has_add_permission(request) and self.has_change_permission(request))

    def _list_address(self) -> str:
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")

    @action(description=_("Export"), url_path="export", permissions=["transfer"])
    def export_rows(self, request: HttpRequest) -> HttpResponseBase:
        if not self.has_transfer_permission(request):
            raise PermissionDenied
        form = WhyExportForm(request.POST or None)
        if form.is_valid():
            return self._export(request, form.cleaned_data["reason"])
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": gettext("Export %(what)s") % {"what": self.opts.verbose_name_plural},
            "form": form,
            "note": self.export_note,
            "back": self._list_address(),
        }
        return TemplateResponse(request, "admin/export_rows.html", context)

    def _export(self, request: HttpRequest, reason: str) -> FileResponse:
        """Export the rows to a file; log who exported how many, when and why, but not their contents."""
        by, at = by_of(request), timezone.now()
        file = SpooledTemporaryFile(max_size=MOST_IN_MEMORY)  # noqa: SIM115  # the answer closes it
        text = io.TextIOWrapper(file, "utf-8-sig", newline="", write_through=True)  # spreadsheets look for it
        lines = csv.writer(text)
        count = -1  # of the headings
        for cells in self.sheet(request, by=by, at=at):
            lines.writerow([safe(cell) for cell in cells])
            count += 1
        text.detach()
        file.seek(0)
        log_export(self.opts.label_lower, count, reason=reason, by=by, at=at)
        name = f"{self.opts.model_name}-{at:%Y-%m-%d}.csv"
        answer = FileResponse(file, as_attachment=True, filename=name, content_type="text/csv; charset=utf-8")
        answer["Cache-Control"] = "no-store"
        return answer

    def exported(self, request: HttpRequest) -> models.QuerySet[Any]:
        """Return the rows to export."""
        rows: models.QuerySet[Model] = self.get_queryset(request).order_by("pk")
        return rows

    def sheet(self, request: HttpRequest, *, by: Actor, at: datetime) -> Iterator[list[str]]:
        """Yield the headings and then the rows, a few at a time."""
        raise NotImplementedError


class TakesFiles(RowExporter):
    """An admin class that imports a file: read, compared, shown, corrected, and written when confirmed.

    The data, a dataclass that is falsy once it is empty, is in the page, signed for one user.
    Subclasses implement the methods that raise NotImplementedError.
    """

    actions_list = ("import_rows", "export_rows")
    import_template = "admin/import_rows.html"
    options_form: type[forms.Form] | None = None
    too_large: Any = staticmethod(too_large)

    def has_import_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return self.has_transfer_permission(request)

    def read_file(self, request: HttpRequest, file: UploadedFile[Any]) -> object:
        """Return a file's data. Raises ValidationError."""
        raise NotImplementedError

    def mended(self, values: object, typed: Mapping[str, object]) -> object:
        """Return the data from the form's fields, with the corrections typed into its cells."""
        raise NotImplementedError

    def look(self, request: HttpRequest, file: Any) -> Preview:
        """Return a preview of the import."""
        raise NotImplementedError

    def write(self, request: HttpRequest, file: Any, options: Mapping[str, Any]) -> tuple[Any, Preview]:
        """Write the valid rows and report it; return the remaining data and what was done.

        Raises Refused for the file as a whole.
        """
        raise NotImplementedError

    def page_of(self, request: HttpRequest, file: Any, seen: Preview | None) -> dict[str, object]:
        """Return the rest of the page's context."""
        raise NotImplementedError

    @action(description=_("Import"), url_path="import", permissions=["import"])
    def import_rows(self, request: HttpRequest) -> HttpResponse:
        if not self.has_import_permission(request):
            raise PermissionDenied
        salt = f"{self.opts.label_lower} to import {by_of(request).key}"
        file: Any = None
        seen: Preview | None = None
        done = Preview()
        packed = ""
        form = UploadForm()
        asked = "_import" in request.POST
        options = self.options_form(request.POST if asked else None) if self.options_form else None
        try:
            if "rows" in request.POST:
                file = self.mended(signing.loads(request.POST["rows"], salt=salt), request.POST)
            elif request.method == "POST":
                form = UploadForm(request.POST, request.FILES)
                if form.is_valid():
                    file = self.read_file(request, form.cleaned_data["file"])
            if file and asked and (options is None or options.is_valid()):
                try:
                    file, done = self.write(request, file, options.cleaned_data if options else {})
                except Refused as refusal:
                    messages.error(request, str(refusal))
                if not file and not done.notes:
                    return HttpResponseRedirect(self._list_address())
            if file:
                seen = self.look(request, file)
                packed = signing.dumps(astuple(file), salt=salt, compress=True)
                if len(packed) > MOST_PACKED:
                    raise ValidationError(self.too_large())
        except signing.BadSignature:
            messages.error(request, gettext("The page lost its rows; choose the file again."))
        except ValidationError as wrong:
            file = seen = None
            for said in wrong.messages:
                messages.error(request, said)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": gettext("Import %(what)s") % {"what": self.opts.verbose_name_plural},
            "form": form,
            "options": options,
            "rows": packed,
            "preview": seen,
            "done": done,
            "shown": SHOWN,
            "shown_wrong": SHOWN,
            "back": self._list_address(),
            "media": self.media + form.media,
            **self.page_of(request, file, seen),
        }
        return TemplateResponse(request, self.import_template, context)


@dataclass(slots=True)
class Rows:
    """The rows of a file, and its unknown headings."""

    rows: list[Row]
    unknown: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.rows)


class TakesRows(TakesFiles):
    """An admin class whose rows are imported by column.

    Subclasses implement `columns` and `take`. If `whole`, a file with an invalid row is not written at all.
    """

    key: str
    whole = False
    import_note: object = ""

    def columns(self, request: HttpRequest) -> list[tuple[str, Any]]:
        """Return the columns by name, each with its label."""
        raise NotImplementedError

    def take(
        self,
        request: HttpRequest,
        rows: Sequence[Row],
        *,
        dry_run: bool,
        options: Mapping[str, object],
        named: dict[object, object],
    ) -> Preview:
        """Compare rows with the table and, unless it is a dry run, let the service write the valid ones.

        `named` is shared by all parts of a file: it remembers the ids of earlier rows.
        """
        raise NotImplementedError

    def in_order(self, rows: Sequence[Row]) -> Sequence[Row]:
        """Return the rows in the order in which they are processed."""
        return rows

    def _in_parts(
        self, request: HttpRequest, rows: Sequence[Row], *, dry_run: bool, options: Mapping[str, object]
    ) -> tuple[Preview, int]:
        """Process the rows in parts, each a separate transaction; return how many were processed as well.

        On SQLite a transaction holds the write lock, for which a switch must wait. If the class imports a
        file as a whole, writing stops at the first part with an invalid row.
        """
        seen, ordered = Preview(), self.in_order(rows)
        named: dict[object, object] = {}
        by, at = by_of(request), timezone.now()
        for first in range(0, len(ordered), ROWS_AT_ONCE):
            part = ordered[first : first + ROWS_AT_ONCE]
            with in_turn(), transaction.atomic():
                done = self.take(request, part, dry_run=dry_run, options=options, named=named)
                held_back = self.whole and bool(done.wrong)
                if dry_run or held_back:
                    transaction.set_rollback(True)
                else:
                    detail = {"table": self.opts.label_lower, **done.counts()}
                    hooks.emit_kpi(
                        DOMAIN, "rows_imported", by=by, at=at, success=not done.wrong, detail=detail
                    )
            if held_back and not dry_run:
                return seen, first
            seen.add(done)
        return seen, len(ordered)

    def read_file(self, request: HttpRequest, file: UploadedFile[Any]) -> Rows:
        return read_rows(file.read(), self.columns(request), self.key)

    def mended(self, values: Any, typed: Mapping[str, object]) -> Rows:
        return mended(values[0], typed)

    def look(self, request: HttpRequest, file: Rows) -> Preview:
        return self._in_parts(request, file.rows, dry_run=True, options={})[0]

    def page_of(self, request: HttpRequest, file: Rows | None, seen: Preview | None) -> dict[str, Any]:
        columns = self.columns(request)
        return {
            "note": self.import_note,
            "columns": columns,
            "key": dict(columns)[self.key],
            "unknown": file.unknown if file else (),
            "warned": Warned(seen.warnings) if seen and seen.warnings else None,
            "writable": seen and seen.good and not (self.whole and seen.wrong),
            "whole": self.whole,
        }

    def write(self, request: HttpRequest, file: Rows, options: Mapping[str, Any]) -> tuple[Rows, Preview]:
        """Write the valid rows and show what was done; return the others.

        If a file is imported as a whole, nothing is written while one of its rows is invalid. Raises Warned
        if it would be dangerous and was not confirmed.
        """
        if self.whole:
            looked, _all = self._in_parts(request, file.rows, dry_run=True, options=options)
            if looked.wrong:
                return file, Preview()
            if looked.warnings and request.POST.get(CONFIRMED) != stamp(looked.warnings):
                raise Warned(looked.warnings)
        done, taken = self._in_parts(request, file.rows, dry_run=False, options=options)
        if done.good or not (done.wrong or taken < len(file)):
            messages.success(request, told(len(done.new), len(done.changed), done.same))
        rest = self.in_order(file.rows)[taken:]  # somebody changed one of these rows in between
        return Rows([*(row for _name, row, _said, _cells in done.wrong), *rest]), done


def told(new: int, changed: int, same: int) -> str:
    """Return the result of an import as text."""
    text = ngettext(
        "%(new)s added and %(changed)s changed; %(same)s unchanged.",
        "%(new)s added and %(changed)s changed; %(same)s unchanged.",
        same,
    )
    return text % {"new": new, "changed": changed, "same": same}


class TransfersRows(TakesRows):
    """An admin class whose rows a `ServiceResource` reads and writes."""

    resource: type[ServiceResource]

    @property
    def key(self) -> str:  # type: ignore[override]  # the resource knows it
        (key,) = self.resource._meta.import_id_fields
        return str(key)

    def _resource(self, request: HttpRequest) -> ServiceResource:
        return self.resource(by=by_of(request), at=timezone.now())

    def columns(self, request: HttpRequest) -> list[tuple[str, object]]:
        return self._resource(request).columns()

    def take(
        self,
        request: HttpRequest,
        rows: Sequence[Row],
        *,
        dry_run: bool,
        options: Mapping[str, object],
        named: dict[object, object],
    ) -> Preview:
        return take(self._resource(request), rows, dry_run=dry_run, named=named)

    def sheet(self, request: HttpRequest, *, by: Actor, at: datetime) -> Iterator[list[str]]:
        resource = self.resource(by=by, at=at)
        columns = resource.columns()
        yield [str(label) for _name, label in columns]
        rows: models.QuerySet[Model] = self.exported(request)
        for row in rows.iterator(chunk_size=1000):
            yield [str(resource.fields[name].export(row) or "") for name, _label in columns]


def mended(rows: Sequence[Row], typed: Mapping[str, Any]) -> Rows:
    """Return the rows with the corrections typed on the page, without the rows ticked “leave out”."""
    found = []
    for row in rows:
        number = row["row"]
        if typed.get(f"drop-{number}"):
            continue
        cells = {
            name: plain(typed.get(f"cell-{number}-{name}", cell).replace("\0", ""))
            for name, cell in row.items()
            if name != "row"
        }
        found.append({**cells, "row": number})
    return Rows(found)

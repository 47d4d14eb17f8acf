"""A lead spreadsheet (CSV) -> its rows, one at a time, in the memory of one row for any file size."""

from __future__ import annotations

import codecs
import csv
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Final, TextIO

from django.utils.translation import gettext as _

from followups.fields import FILE, LeadValues
from followups.intake import rules
from followups.intake.rules import Problem, problem

LINE_LIMIT: Final = 100_000  # characters of one row, and of one physical line
_CHUNK: Final = 1024 * 1024
_SEPARATORS: Final = (",", ";", "\t", "|")


class UnreadableFile(ValueError):
    """The file as a whole cannot be read; the text is a sentence for the person who sent it."""


@dataclass(frozen=True, slots=True)
class LeadRow(LeadValues):
    """A lead as it was read. `line` is the first physical line; values that could not be read are blank.

    `problems` names what was left empty or kept with a remark. `phone` is E.164, `market` ALL without a known
    city, `extra` the other columns by their heading, and ``date_added``.
    """

    line: int
    external_id: str
    province: str
    market: str
    phone: str
    email: str
    extra: dict[str, str]
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row that cannot be a lead; `cells` by heading, or the text under ``line`` if it has no cells."""

    line: int
    cells: dict[str, str]
    problem: Problem


@dataclass(frozen=True, slots=True)
class IgnoredRow:
    """A blank line or a total line."""

    line: int
    cells: dict[str, str]
    problem: Problem


# --- headings -------------------------------------------------------------------------------------------

# A name in two columns: if there is one for the full name, the parts are extra.
_NAME_PARTS: Final = {
    "first_name": "First Name|Given Name|Prénom",
    "last_name": "Last Name|Family Name|Surname|Nom de famille|Nom",
}


def _aliases() -> Iterator[tuple[str, tuple[str, ...]]]:
    for column in FILE:
        parts = _NAME_PARTS if column.name == "name" else {}
        for name, headings in {column.name: column.headings, **parts}.items():
            yield name, tuple(rules.folded(heading) for heading in headings.split("|"))


_ALIASES: Final = dict(_aliases())


@dataclass(frozen=True, slots=True)
class Headings:
    """The meaning of the columns. `names` are the headings, each once; `extra` the unknown columns."""

    names: tuple[str, ...]
    columns: dict[str, int]
    extra: tuple[int, ...] = field(default=())

    def named(self, cells: list[str]) -> dict[str, str]:
        """Return the cells by heading, for display; cells beyond the headings as ``column 12``."""
        names = [*self.names, *(f"column {n + 1}" for n in range(len(self.names), len(cells)))]
        return {name: rules.printable(cell) for name, cell in zip(names, cells, strict=False)}

    def fit(self, cells: list[str]) -> bool:
        """Return whether there is a cell for every heading and none beyond, except empty ones."""
        width = len(self.names)
        return len(cells) >= width and not any(cell.strip() for cell in cells[width:])

    def swallowed(self, cells: list[str], rest: list[str], separator: str) -> bool:
        """Return whether a row of several physical lines is really several rows.

        So it is if the cells do not fit, or if one of `rest`, the lines after its first, would be a lead.
        """
        if not self.fit(cells):
            return True
        known, place = self.columns["external_id"], self.columns["province"]
        return any(
            len(line) == len(self.names)
            and line[known].strip()
            and line[place].count('"') != 1  # that one ends a cell of several lines
            and rules.read_province(line[place])[0]
            for line in csv.reader(rest, delimiter=separator, quoting=csv.QUOTE_NONE)
        )


def read_headings(cells: list[str]) -> Headings:
    """Map the headings to fields by English or French names; case, accents and symbols are ignored."""
    keys = [rules.folded(cell) for cell in cells]
    columns: dict[str, int] = {}
    for name, aliases in _ALIASES.items():
        if name == "name" and "PRENOM" in keys:
            aliases = tuple(alias for alias in aliases if alias != "NOM")  # there it means the family name
        ranked = [(aliases.index(key), n) for n, key in enumerate(keys) if key in aliases]
        if ranked and min(ranked)[1] not in columns.values():
            columns[name] = min(ranked)[1]
    if "name" in columns:
        columns = {name: n for name, n in columns.items() if name not in {"first_name", "last_name"}}
    names: list[str] = []
    for n, cell in enumerate(cells):
        heading = rules.single_spaced(rules.clean(cell, "line")[0])[:100] or f"column {n + 1}"
        taken = {*names, "date_added"} if n not in columns.values() else set(names)
        name, again = heading, 2
        while name in taken:
            name, again = f"{heading} ({again})", again + 1
        names.append(name)
    known = set(columns.values())
    return Headings(tuple(names), columns, tuple(n for n in range(len(cells)) if n not in known))


# --- physical lines -> records --------------------------------------------------------------------------


class _TooLarge(Exception):
    pass


class _CutLine(str):
    """The beginning of a physical line that is longer than `LINE_LIMIT`; the rest was skipped."""


class _Lines:
    """Physical lines for the csv module, which can be returned for another attempt.

    A quotation mark that is never closed must not swallow the rows after it.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._again: deque[str] = deque()
        self._taken: list[str] = []
        self._size = 0
        self.number = 0

    def __iter__(self) -> _Lines:
        return self

    def begin(self) -> int:
        """Start a record; return the number of its first line."""
        self._taken, self._size = [], 0
        return self.number + 1

    @property
    def first(self) -> str:
        return self._taken[0] if self._taken else ""

    @property
    def rest(self) -> list[str]:
        return self._taken[1:]

    def give_back(self) -> None:
        """Return all lines of the record but its first to be read again."""
        rest = self.rest
        self._again.extendleft(reversed(rest))
        self.number -= len(rest)
        del self._taken[1:]

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else self._read()
        if not line:
            raise StopIteration
        self.number += 1
        self._taken.append(line)
        self._size += len(line)
        if isinstance(line, _CutLine) or self._size > LINE_LIMIT:
            raise _TooLarge
        return line

    def _read(self) -> str:
        line = self._file.readline(LINE_LIMIT)
        if len(line) < LINE_LIMIT or line[-1] in "\r\n":
            return line
        while (rest := self._file.readline(LINE_LIMIT)) and rest[-1] not in "\r\n":
            pass
        return _CutLine(line)


@dataclass(frozen=True, slots=True)
class _Record:
    """Cells of one row, or the code of the problem that kept them from being read."""

    line: int
    cells: list[str]
    code: str = ""


def _records(file: TextIO, separator: str, headings: Headings | None = None) -> Iterator[_Record]:
    """Read rows. Two stray quotation marks can merge several rows into one; `headings` detect that."""
    lines = _Lines(file)
    rows = csv.reader(lines, delimiter=separator, strict=True)
    while True:
        start = lines.begin()
        try:
            cells = next(rows)
        except StopIteration:
            return
        except (_TooLarge, csv.Error) as wrong:
            code = "line_too_large" if isinstance(wrong, _TooLarge) else "broken_quotes"
            lines.give_back()
            yield _Record(start, [lines.first], code)
            continue
        if headings and lines.rest and headings.swallowed(cells, lines.rest, separator):
            lines.give_back()
            yield _Record(start, [lines.first], "broken_quotes")
            continue
        yield _Record(start, cells)


# --- the file -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Layout:
    encoding: str
    separator: str
    headings: Headings
    line: int  # of the heading


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _refuse_binary(head: bytes) -> None:
    if head.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise UnreadableFile(
            _("This is a workbook, not a CSV file. Open it and save the sheet as “CSV UTF-8”.")
        )
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise UnreadableFile(_("This file is in UTF-16. Save it as “CSV UTF-8”."))
    if head.count(0) * 10 > len(head):
        raise UnreadableFile(_("This is not a text file. Save the sheet as “CSV UTF-8”."))


def _bad_line(path: Path, encoding: str) -> int | None:
    """Return the number of the first line that is not in `encoding`, or None if the whole file is."""
    decoder = codecs.getincrementaldecoder(encoding)()
    before = 0
    try:
        for chunk in _chunks(path):
            decoder.decode(chunk)
            before += chunk.count(b"\n")
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as wrong:
        return before + wrong.object[: wrong.start].count(b"\n") + 1
    return None


def _looks_like_utf8(path: Path) -> bool:
    """Return whether a file with invalid UTF-8 has more UTF-8 letters than invalid bytes."""
    good = bad = 0
    for text in codecs.iterdecode(_chunks(path), "utf-8", "replace"):
        wrong = text.count("\ufffd")
        bad += wrong
        good += len(text) - len(text.encode("ascii", "ignore")) - wrong
    return good >= bad


def _encoding(path: Path) -> str:
    """Return the encoding of the whole file, found by reading it in pieces.

    A single line can be misleading: French quotation marks in Windows-1252 can look like UTF-8.
    """
    head = next(_chunks(path), b"")[:4096]
    _refuse_binary(head)
    line = _bad_line(path, "utf-8")
    if line is None:
        return "utf-8-sig"
    if head.startswith(codecs.BOM_UTF8) or _looks_like_utf8(path):
        raise UnreadableFile(
            _("The file is in UTF-8, but line %(line)s is damaged. Save it again as “CSV UTF-8”.")
            % {"line": line}
        )
    line = _bad_line(path, "cp1252")
    if line is None:
        return "cp1252"
    raise UnreadableFile(
        _("Line %(line)s is neither in UTF-8 nor in Windows-1252. Save the file as “CSV UTF-8”.")
        % {"line": line}
    )


def _open(path: Path, encoding: str) -> TextIO:
    return path.open(encoding=encoding, newline="")


def _first_record(path: Path, encoding: str, separator: str) -> _Record | None:
    """Return the first row that is not blank; skip Excel's line ``sep=;``."""
    with _open(path, encoding) as file:
        for record in _records(file, separator):
            written = separator.join(record.cells).strip()
            hint = re.fullmatch('"?sep=."?', written, re.IGNORECASE)
            if not hint and any(cell.strip() for cell in record.cells):
                return record
    return None


def _layout(path: Path) -> _Layout:
    encoding = _encoding(path)
    layouts: list[_Layout] = []
    for separator in _SEPARATORS:
        record = _first_record(path, encoding, separator)
        if record is None:
            raise UnreadableFile(_("The file is empty: it has no header row."))
        headings = Headings(tuple(record.cells), {}) if record.code else read_headings(record.cells)
        layouts.append(_Layout(encoding, separator, headings, record.line))
    best = max(layouts, key=lambda layout: len(layout.headings.columns))
    labels = {"external_id": _("the lead's id"), "province": _("the province")}
    missing = [label for name, label in labels.items() if name not in best.headings.columns]
    if missing:
        raise UnreadableFile(
            _("No column for %(missing)s; the first line reads: %(headings)s.")
            % {
                "missing": _(" and ").join(missing),
                "headings": rules.printable(", ".join(best.headings.names))[:300],
            }
        )
    return best


def count_lines(path: Path) -> int:
    """Return the number of physical lines, for a progress bar; the last one needs no line break."""
    count, last = 0, b""
    for chunk in _chunks(path):
        count += chunk.count(b"\n") + chunk.count(b"\r") - chunk.count(b"\r\n")
        if last == b"\r" and chunk[:1] == b"\n":
            count -= 1
        last = chunk[-1:]
    return count + (last not in (b"", b"\n", b"\r"))


def read_leads(path: Path, *, today: date) -> Iterator[LeadRow | RefusedRow | IgnoredRow]:
    """Return the rows of the file at `path` in their order (UTF-8 or Windows-1252; , ; tab or |).

    `today` is the day of the import: later dates get a remark. Raises UnreadableFile at once if the file is
    missing, empty, no text, in no known encoding, or has no heading for the id or the province.
    """
    try:
        layout = _layout(path)
    except OSError as wrong:
        raise UnreadableFile(
            _("The file %(path)s cannot be opened: %(reason)s.") % {"path": path, "reason": wrong.strerror}
        ) from wrong
    return _rows(path, layout, today)


@dataclass(frozen=True, slots=True)
class SheetRow:
    """A row of a sheet as it was written. `code` says why its cells could not be separated."""

    line: int
    cells: list[str]
    code: str = ""


@dataclass(frozen=True, slots=True)
class Sheet:
    """A small file in memory, whose rows can be corrected before they are read."""

    headings: list[str]
    rows: list[SheetRow]
    separator: str = ","

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, *, today: date) -> Iterator[LeadRow | RefusedRow | IgnoredRow]:
        """Return the rows as `read_leads` does."""
        headings = read_headings(self.headings)
        for row in self.rows:
            yield _row(_Record(row.line, row.cells, row.code), headings, today)

    def mended(self, row: SheetRow, cells: dict[int, str]) -> SheetRow:
        """Return a row with replaced cells by their position; retry a line that could not be read."""
        if row.code == "line_too_large":
            return row
        found = [cells.get(n, cell) for n, cell in enumerate(row.cells)]
        found += [cells.get(n, "") for n in range(len(found), len(self.headings)) if not row.code]
        if not row.code:
            return SheetRow(row.line, found)
        try:
            taken = next(csv.reader(found[:1], delimiter=self.separator, strict=True), [])
        except csv.Error:
            return SheetRow(row.line, found, row.code)
        return SheetRow(row.line, taken)


def read_sheet(path: Path, *, most: int) -> Sheet:
    """Return the file at `path` as a sheet, without blank lines. Raises UnreadableFile as `read_leads` does.

    Reads no more than `most` rows.
    """
    layout = _layout(path)
    rows: list[SheetRow] = []
    with _open(path, layout.encoding) as file:
        for record in _records(file, layout.separator, layout.headings):
            if record.line <= layout.line or not any(cell.strip() for cell in record.cells):
                continue
            rows.append(SheetRow(record.line, record.cells, record.code))
            if len(rows) == most:
                break
    return Sheet(list(layout.headings.names), rows, layout.separator)


def _rows(path: Path, layout: _Layout, today: date) -> Iterator[LeadRow | RefusedRow | IgnoredRow]:
    headings = layout.headings
    with _open(path, layout.encoding) as file:
        for record in _records(file, layout.separator, headings):
            if record.line <= layout.line:
                continue
            yield _row(record, headings, today)


def _row(record: _Record, headings: Headings, today: date) -> LeadRow | RefusedRow | IgnoredRow:
    line, cells = record.line, [rules.without_quote(cell) for cell in record.cells]
    if record.code:
        text = rules.printable(cells[0].rstrip("\r\n"))
        return RefusedRow(line, {"line": text}, Problem("line", record.code, text, LINE_LIMIT))
    if not any(cell.strip() for cell in cells):
        return IgnoredRow(line, {}, problem("line", "blank_line", ""))
    if rules.is_total(cells):
        return IgnoredRow(line, headings.named(cells), problem("line", "total_line", " ".join(cells).strip()))
    width = len(headings.names)
    if any(cell.strip() for cell in cells[width:]):
        beyond = " | ".join(cells[width:])
        return RefusedRow(line, headings.named(cells), problem("line", "too_many_cells", beyond))
    lead = _lead(line, cells, headings, today)
    return RefusedRow(line, headings.named(cells), lead) if isinstance(lead, Problem) else lead


def _lead(line: int, cells: list[str], headings: Headings, today: date) -> LeadRow | Problem:
    """Read every cell through its rule; return the problem that refuses the row, if there is one."""
    problems: list[Problem] = []
    if len(cells) < len(headings.names):
        problems.append(problem("line", "short_line", ""))
        cells = cells + [""] * (len(headings.names) - len(cells))

    def note(found: Problem | None) -> None:
        if found is not None:
            problems.append(found)

    def cell(name: str) -> str:
        column = headings.columns.get(name)
        if column is None:
            return ""
        text, found = rules.clean(cells[column], name)
        note(found)
        return text

    external_id, found = rules.read_external_id(cell("external_id"))
    if found:
        return found
    province, found = rules.read_province(cell("province"))
    if found:
        return found
    names = [part for part in (cell("first_name"), cell("last_name")) if part.strip()]
    name, found = rules.read_name(cell("name") or " ".join(names))
    note(found)
    phone, extension, found = rules.read_phone(cell("phone"))
    note(found)
    email, found = rules.read_email(cell("email"))
    note(found)
    city, market, found = rules.read_city(cell("city"))
    note(found)
    values: dict[str, Any] = {}
    for one in FILE:
        if one.read:
            values[one.name], found = one.read(cell(one.name))
            note(found)
    notes, found = rules.read_notes(cell("notes"), extension=extension)
    note(found)
    extra: dict[str, str] = {}
    date_added, found = rules.read_date(cell("date_added"), today=today)
    note(found)
    if date_added:
        extra["date_added"] = date_added
    for column in headings.extra:
        heading = headings.names[column]
        text, found = rules.clean(cells[column], heading)
        note(found)
        text, found = rules.too_long(text.strip(), heading, rules.EXTRA_LENGTH)
        note(found)
        if text:
            extra[heading] = text
    return LeadRow(
        line=line, external_id=external_id, name=name, province=province, market=market, city=city,
        phone=phone, email=email, notes=notes, extra=extra, problems=tuple(problems), **values,
    )  # fmt: skip

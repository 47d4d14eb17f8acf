"""A spreadsheet is read to its last line: every line comes out as a lead, refused or ignored."""

from __future__ import annotations

import csv
import gc
import re
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from itertools import islice
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import translation
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from followups.intake.reader import (
    LINE_LIMIT,
    IgnoredRow,
    LeadRow,
    RefusedRow,
    UnreadableFile,
    count_lines,
    read_leads,
)

pytestmark = pytest.mark.once

TODAY = date(2026, 11, 24)
HEADING = "Lead ID,Full Name,Phone,Province,City,Notes\n"
Row = LeadRow | RefusedRow | IgnoredRow


def read(path: Path) -> list[Row]:
    return list(read_leads(path, today=TODAY))


@pytest.fixture
def sheet(tmp_path: Path) -> Path:
    return tmp_path / "sheet.csv"


def rows_of(sheet: Path, text: str, *, encoding: str = "utf-8") -> list[Row]:
    sheet.write_bytes(text.encode(encoding))
    return read(sheet)


def leads_of(rows: list[Row]) -> list[LeadRow]:
    return [row for row in rows if isinstance(row, LeadRow)]


def lead_of(sheet: Path, text: str) -> LeadRow:
    (row,) = rows_of(sheet, text)
    assert isinstance(row, LeadRow)
    return row


def refusals_of(rows: list[Row]) -> list[tuple[int, str]]:
    return [(row.line, row.problem.code) for row in rows if isinstance(row, RefusedRow)]


# --- the two samples, counted apart from this code ------------------------------------------------------


def sample(name: str) -> Path:
    return Path(settings.BASE_DIR) / "samples" / name


def counts(name: str) -> dict[str, object]:
    rows = read(sample(name))
    leads = leads_of(rows)
    seen: dict[str, tuple[object, ...]] = {}
    again: Counter[str] = Counter()
    for row in leads:
        values = tuple(
            getattr(row, field)
            for field in LeadRow.__dataclass_fields__
            if field not in {"line", "problems", "extra"}
        ) + tuple(row.extra.items())
        if row.external_id in seen:
            again["same" if seen[row.external_id] == values else "changed"] += 1
        seen[row.external_id] = values
    return {
        "lines": count_lines(sample(name)),
        "read": len(leads),
        "ids": len(seen),
        "again": dict(again),
        "refused": dict(Counter(row.problem.code for row in rows if isinstance(row, RefusedRow))),
        "ignored": {row.line: row.problem.code for row in rows if isinstance(row, IgnoredRow)},
        "problems": dict(Counter(found.code for row in leads for found in row.problems)),
        "with phone": sum(bool(row.phone) for row in leads),
        "with e-mail": sum(bool(row.email) for row in leads),
        "with score": sum(row.score is not None for row in leads),
        "with extension": sum(row.notes.endswith("ext. 12") for row in leads),
    }


def test_the_english_sample_is_read_to_the_last_cell() -> None:
    assert counts("leads.csv") == {
        "lines": 1669,
        "read": 1628,
        "ids": 1562,
        "again": {"same": 40, "changed": 26},
        "refused": {"id_missing": 17, "province_unknown": 18, "province_missing": 3},
        "ignored": {1668: "blank_line", 1669: "total_line"},
        "problems": {
            "phone_unreadable": 28,
            "phone_abroad": 2,
            "score_unreadable": 2,
            "score_out_of_range": 8,
            "date_unclear": 213,
            "date_future": 33,
        },
        "with phone": 1600,
        "with e-mail": 1084,
        "with score": 1212,
        "with extension": 174,
    }


def test_the_french_sample_is_read_to_the_last_cell() -> None:
    assert counts("leads_quebec.csv") == {
        "lines": 421,
        "read": 407,
        "ids": 389,
        "again": {"same": 8, "changed": 10},
        "refused": {"id_missing": 6, "province_unknown": 4, "province_missing": 1},
        "ignored": {420: "blank_line", 421: "total_line"},
        "problems": {
            "phone_unreadable": 4,
            "phone_abroad": 1,
            "score_unreadable": 2,
            "score_out_of_range": 2,
            "date_unclear": 53,
            "date_future": 12,
        },
        "with phone": 403,
        "with e-mail": 271,
        "with score": 304,
        "with extension": 35,
    }


def test_no_line_of_the_samples_is_lost() -> None:
    for name in ("leads.csv", "leads_quebec.csv"):
        assert [row.line for row in read(sample(name))] == list(range(2, count_lines(sample(name)) + 1))


def test_a_french_row_is_read_whole() -> None:
    first = leads_of(read(sample("leads_quebec.csv")))[0]
    assert first == LeadRow(
        line=2,
        external_id="L711-01601",
        name="Gabrielle Massé",
        province="QC",
        market="ALL",
        city="",
        postal_code="",
        phone="+15145550101",
        email="gabrielle.massé@example.com",
        score=Decimal("0.01"),
        language="fr",
        source="direct mail",
        notes='=HYPERLINK("http://x","y")\next. 12',
        extra={"date_added": "2026-08-11"},
        problems=(),
    )


# --- encodings, separators, headings --------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_encoding_separator_and_line_ends_are_found(
    sheet: Path, encoding: str, separator: str, line_end: str
) -> None:
    text = line_end.join(["No de piste;Ville;PROVINCE", "A1;Montréal – Île;Qué.", "A2;;ON"])
    first, second = leads_of(rows_of(sheet, text.replace(";", separator), encoding=encoding))
    assert (first.line, first.external_id, first.city, first.province) == (2, "A1", "Montréal – Île", "QC")
    assert (second.line, second.province, second.market) == (3, "ON", "ALL")


def test_excels_separator_line_and_blank_lines_may_stand_before_the_heading(sheet: Path) -> None:
    (row,) = rows_of(sheet, "sep=;\n\nLead ID;Province\nA1;QC\n")
    assert isinstance(row, LeadRow)
    assert (row.line, row.external_id) == (4, "A1")


def test_french_quotation_marks_in_windows_1252_do_not_pass_for_utf8(sheet: Path) -> None:
    text = "ID,Province,Notes\nA1,QC,«\u00a0cité\u00a0» et café, ".rstrip(", ") + "\n"
    (row,) = leads_of(rows_of(sheet, text, encoding="cp1252"))
    assert row.notes == "«\u00a0cité\u00a0» et café"


def test_an_accent_after_megabytes_of_plain_text_still_decides_the_encoding(sheet: Path) -> None:
    plain = "".join(f"A{n},ON,{'x' * 90}\n" for n in range(15_000))
    sheet.write_bytes(f"ID,Province,City\n{plain}B1,QC,Montréal\n".encode("cp1252"))
    *_rest, last = leads_of(read(sheet))
    assert last.city == "Montréal"


def test_first_and_last_name_columns_make_one_name(sheet: Path) -> None:
    assert lead_of(sheet, "ID,Prénom,Nom,Province\n1,Élise,TREMBLAY,QC\n").name == "Élise TREMBLAY"
    assert lead_of(sheet, "ID,First Name,Last Name,Province\n1,Kim,,ON\n").name == "Kim"
    assert lead_of(sheet, "ID,Nom,Province\n1,Kim Roy,ON\n").name == "Kim Roy"


def test_columns_of_no_known_field_go_to_extra_under_their_heading(sheet: Path) -> None:
    row = lead_of(
        sheet,
        "Lead ID,ID,Phone,Mobile,First Name,Full Name,Province,,Beds,Beds\n"
        "A1,7,514 555 0101,514 555 0102,Kim,Kim Roy,QC,stray,3,4\n",
    )
    assert (row.external_id, row.phone, row.name) == ("A1", "+15145550101", "Kim Roy")
    assert row.extra == {
        "ID": "7",
        "Mobile": "514 555 0102",
        "First Name": "Kim",
        "column 8": "stray",
        "Beds": "3",
        "Beds (2)": "4",
    }


def test_a_column_cannot_pass_for_the_date_that_was_read(sheet: Path) -> None:
    row = lead_of(sheet, "ID,Province,Date added,date_added\n1,ON,2026-01-02,soon\n")
    assert row.extra == {"date_added": "2026-01-02", "date_added (2)": "soon"}


# --- rows that are not as the heading says --------------------------------------------------------------


def test_a_separator_in_a_cell_without_quotation_marks_refuses_the_row(sheet: Path) -> None:
    rows = rows_of(sheet, HEADING + "A1,Lambert, Bernard,514 555 0101,QC,Montréal,x\nA2,,,ON,,\n")
    (refused,) = [row for row in rows if isinstance(row, RefusedRow)]
    assert (refused.line, refused.problem.code) == (2, "too_many_cells")
    assert refused.cells["Full Name"] == "Lambert"
    assert refused.cells["column 7"] == "x"
    assert [row.external_id for row in leads_of(rows)] == ["A2"]


def test_empty_cells_beyond_the_heading_harm_nobody(sheet: Path) -> None:
    assert lead_of(sheet, HEADING + "A1,Kim,,QC,,x,,,\n").problems == ()


def test_missing_cells_count_as_empty_and_are_remarked_on(sheet: Path) -> None:
    row = lead_of(sheet, HEADING + "A1,Kim,,QC\n")
    assert (row.province, row.notes, [found.code for found in row.problems]) == ("QC", "", ["short_line"])


def test_a_quoted_cell_may_hold_line_breaks_separators_and_quotes(sheet: Path) -> None:
    rows = leads_of(rows_of(sheet, HEADING + 'A1,"Roy, Kim",,QC,,"one\r\ntwo, ""three"""\nA2,,,ON,,\n'))
    assert [(row.line, row.name, row.notes) for row in rows] == [
        (2, "Kim Roy", 'one\ntwo, "three"'),
        (4, "", ""),
    ]


def test_a_quotation_mark_that_is_never_closed_costs_only_its_own_row(sheet: Path) -> None:
    rows = rows_of(sheet, HEADING + 'A1,"Roy,,QC,,\nA2,,,ON,,\nA3,,,BC,,\n')
    assert refusals_of(rows) == [(2, "broken_quotes")]
    assert [(row.line, row.external_id) for row in leads_of(rows)] == [(3, "A2"), (4, "A3")]


def test_a_quotation_mark_closed_rows_later_costs_only_its_own_row(sheet: Path) -> None:
    rows = rows_of(sheet, HEADING + 'A1,"Roy,,QC,,\nA2,,,ON,,\nA3,5",,BC,,\nA4,"Roy, Kim",,AB,,\n')
    assert refusals_of(rows) == [(2, "broken_quotes")]
    assert [row.external_id for row in leads_of(rows)] == ["A2", "A3", "A4"]
    rows = rows_of(sheet, HEADING + 'A1,"Roy,,QC,,\nA2,,,ON,,"\nA3,,,BC,,\n')
    assert refusals_of(rows) == [(2, "broken_quotes"), (3, "broken_quotes")]
    assert [row.external_id for row in leads_of(rows)] == ["A3"]


def test_the_text_of_a_row_that_cannot_be_taken_apart_is_reported_whole(sheet: Path) -> None:
    refused = rows_of(sheet, HEADING + 'A1,"Roy" Kim,,QC,,\n')[0]
    assert isinstance(refused, RefusedRow)
    assert refused.cells == {"line": 'A1,"Roy" Kim,,QC,,'}


def test_a_huge_cell_refuses_its_row_and_no_other(sheet: Path) -> None:
    rows = rows_of(sheet, HEADING + f"A1,,,QC,,{'x' * 500_000}\nA2,,,ON,,\n")
    assert refusals_of(rows) == [(2, "line_too_large")]
    assert [(row.line, row.external_id) for row in leads_of(rows)] == [(3, "A2")]


def test_an_open_quotation_mark_before_a_long_file_costs_only_its_own_row(sheet: Path) -> None:
    rest = "".join(f"B{n},,,ON,,\n" for n in range(20_000))
    rows = rows_of(sheet, f'{HEADING}A1,"Roy,,QC,,\n{rest}')
    assert len(rest) > LINE_LIMIT
    assert refusals_of(rows) == [(2, "line_too_large")]
    assert [row.line for row in leads_of(rows)] == list(range(3, 20_003))


def test_a_cell_that_is_too_long_is_left_empty_and_reported_whole(sheet: Path) -> None:
    row = lead_of(sheet, f"ID,Province,Name,Beds\n1,ON,{'n' * 201},{'b' * 2001}\n")
    assert (row.name, row.extra) == ("", {})
    assert [(found.field, found.code, len(found.value)) for found in row.problems] == [
        ("name", "too_long", 201),
        ("Beds", "too_long", 2001),
    ]


def test_control_characters_are_removed_and_reported(sheet: Path) -> None:
    row = lead_of(sheet, HEADING + "A\x001,Kim\x07,,QC,,a\x00b\n")
    assert (row.external_id, row.name, row.notes) == ("A1", "Kim", "ab")
    assert [(found.field, found.value) for found in row.problems] == [
        ("external_id", r"A\x001"),
        ("name", r"Kim\x07"),
        ("notes", r"a\x00b"),
    ]


def test_refused_cells_can_be_written_into_any_report(sheet: Path) -> None:
    (row,) = rows_of(sheet, HEADING + ",Kim\x00,,QC,,\n")
    assert isinstance(row, RefusedRow)
    assert row.cells == {
        "Lead ID": "",
        "Full Name": r"Kim\x00",
        "Phone": "",
        "Province": "QC",
        "City": "",
        "Notes": "",
    }


def test_blank_and_total_lines_are_passed_over_but_listed(sheet: Path) -> None:
    rows = rows_of(sheet, HEADING + "\nA1,,,QC,,\n , ,,,,\nTotal général,1 666,,,,\n")
    assert [(row.line, row.problem.code) for row in rows if isinstance(row, IgnoredRow)] == [
        (2, "blank_line"),
        (4, "blank_line"),
        (5, "total_line"),
    ]


# --- files that are none --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "empty"),
        (b"\xef\xbb\xbf", "empty"),
        (b"\n\n , ,\n", "empty"),
        (b"Name,Province\nKim,ON\n", "the lead's id"),
        (b"Lead ID,Name\n1,Kim\n", "the province"),
        (b"Name,Phone\n1,Kim\n", "the lead's id and the province"),
        (b"PK\x03\x04" + b"\x00\x01" * 50, "workbook"),
        (b"\xd0\xcf\x11\xe0" + b"\x00" * 50, "workbook"),
        ("Lead ID,Province\n".encode("utf-16"), "UTF-16"),
        (b"\x00" * 4096, "not a text"),
        (b"\x7fELF\x01\x00\x00\x00" * 40, "not a text"),
        (b"ID,Province,City\n1,QC,Montr\x81al\n", "Line 2 is neither"),
        (b"ID,Province,City\n1,QC,a\n2,QC,\xc3\xa9\xc3\xa9\n3,QC,\xe9\n", "line 4 is damaged"),
        (b"\xef\xbb\xbfID,Province,City\n1,QC,Montr\xe9al\n", "line 2 is damaged"),
        (b'"Lead ID,Province\n1,ON\n', "No column for"),
        (b"x" * 300_000, "No column for"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_at_once_with_a_sentence(
    sheet: Path, content: bytes, sentence: str
) -> None:
    sheet.write_bytes(content)
    with pytest.raises(UnreadableFile, match=sentence) as refused:
        read_leads(sheet, today=TODAY)
    assert len(str(refused.value)) < 450


def test_a_missing_file_and_a_folder_are_refused_with_a_sentence(tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(UnreadableFile, match="cannot be opened"):
            read_leads(path, today=TODAY)


def test_a_heading_alone_is_a_file_without_leads(sheet: Path) -> None:
    assert rows_of(sheet, HEADING) == []


@pytest.mark.parametrize(
    ("content", "lines"),
    [(b"", 0), (b"a", 1), (b"a\n", 1), (b"a\r\nb", 2), (b"a\rb\r", 2), (b"\n\n", 2)],
)
def test_physical_lines_are_counted(sheet: Path, content: bytes, lines: int) -> None:
    sheet.write_bytes(content)
    assert count_lines(sheet) == lines


def test_a_line_end_across_two_pieces_of_the_file_counts_once(sheet: Path) -> None:
    sheet.write_bytes(b"x" * (1024 * 1024 - 1) + b"\r\nb\r\n")
    assert count_lines(sheet) == 2


# --- any file at all ------------------------------------------------------------------------------------


def test_memory_stays_the_same_however_long_the_file(sheet: Path) -> None:
    with sheet.open("w") as file:
        file.write(HEADING)
        for n in range(5_000):
            file.write(f'A{n},"Roy, Kim{n}",514 555 0101,QC,Montréal,"note {n} {"x" * 950}"\n')
    list(islice(read_leads(sheet, today=TODAY), 500))
    gc.collect()
    tracemalloc.start()
    number = sum(1 for _row in read_leads(sheet, today=TODAY))
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert number == 5_000
    assert peak < 6_000_000  # bytes; the file has 5 million, and is looked at in pieces of one


@given(
    st.binary(max_size=400),
    st.sampled_from([b"", b"ID,Province,Notes\n", b"\xef\xbb\xbfID;Province;Notes\r\n"]),
)
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_make_the_reader_raise_anything_but_its_refusal(
    sheet: Path, content: bytes, heading: bytes
) -> None:
    sheet.write_bytes(heading + content)
    try:
        rows: Iterator[Row] = read_leads(sheet, today=TODAY)
    except UnreadableFile as refused:
        str(refused).encode()
        return
    lines = [row.line for row in rows]
    assert lines == sorted(set(lines))


# A line of a cell that reads as a row of its own, with an id and Alberta, is taken for one: see `swallowed`.
READS_AS_A_ROW = re.compile(r"\n[^\n,]*[^\s,][^\n,]*,[^\n,]*ab[^\n,]*,")
CELL = st.text(st.sampled_from('abé,;"\n\t %=<1.'), max_size=12).filter(
    lambda cell: not READS_AS_A_ROW.search(cell)
)


@given(st.lists(st.tuples(CELL, CELL), max_size=8))
@example([("\n1,ab", ",")])
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_a_spreadsheet_program_writes_is_read_back(sheet: Path, cells: list[tuple[str, str]]) -> None:
    with sheet.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["ID", "Province", "Notes", "Beds"])
        writer.writerows([f"A{n}", "ON", notes, beds] for n, (notes, beds) in enumerate(cells))
    rows = leads_of(read(sheet))
    assert [(row.external_id, row.notes, row.extra.get("Beds", "")) for row in rows] == [
        (f"A{n}", notes.strip(), beds.strip()) for n, (notes, beds) in enumerate(cells)
    ]


def test_sentences_follow_the_language_in_which_they_are_read(sheet: Path) -> None:
    row = lead_of(sheet, "ID,Province,Score\n1,ON,high\n")
    (found,) = row.problems
    with translation.override("en"):
        assert found.message == "The score “high” is not a number between 0 and 1; it was left empty."

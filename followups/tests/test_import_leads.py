"""Spreadsheets become leads: counted, merged by id, idempotent, reported, and with ladders on request."""

from __future__ import annotations

import csv
import io
import stat
import tracemalloc
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoAssertNumQueries, Settings

from followups.intake import services
from followups.intake.report import Counts, Report
from followups.intake.services import BATCH, Bar, import_leads, no_progress
from followups.models import ContactPoint, FollowUpTask, Ladder, Lead
from followups.services import LeadDetails, create_ladder
from governance.contact import digests
from governance.contact.services import suppress
from governance.core.actors import Actor
from governance.core.errors import Forbidden, Unavailable
from governance.core.spreadsheets import FORMULA_SIGNS
from governance.models import KpiEvent, Suppression, User

pytestmark = [pytest.mark.both, pytest.mark.django_db]

NOW = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)  # a Tuesday, 10:00 in Toronto
LATER = NOW + timedelta(days=1)
SAMPLES = Path(__file__).parents[2] / "samples"
HEADING = (
    "Lead ID,Full Name,Phone,E-mail,Province,City,Postal Code,Lead Score,Language,Source,Notes,Buyer hint"
)
JOB = Actor.system("import_leads", "import-1")


@pytest.fixture
def sheet(tmp_path: Path) -> Callable[..., Path]:
    """Return a CSV file with these rows, each given as the cells that matter by heading."""

    def make(*rows: dict[str, object], name: str = "leads.csv") -> Path:
        path = tmp_path / name
        headings = HEADING.split(",")
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, headings, restval="")
            writer.writeheader()
            writer.writerows(rows)
        return path

    return make


def row(lead_id: str = "L1", province: str = "ON", **cells: Any) -> dict[str, Any]:
    return {
        "Lead ID": lead_id,
        "Province": province,
        **{name.replace("_", " "): cell for name, cell in cells.items()},
    }


def run(path: Path, at: datetime = NOW, **more: Any) -> Counts:
    return import_leads(path, by=more.pop("by", JOB), at=at, **more)


def everything() -> dict[str, list[dict[str, object]]]:
    """Return every row that an import could touch, with its times, as it is stored."""
    models: list[Any] = [Lead, ContactPoint, Ladder, FollowUpTask, KpiEvent, Suppression]
    return {model.__name__: list(model._default_manager.order_by("pk").values()) for model in models}


def facts() -> list[object]:
    """Return what leads are, their points and ladders, without keys and times of writing."""
    leads = Lead.objects.order_by("external_id").values_list(
        "external_id", "name", "province", "market", "market_key", "city", "city_key", "market_city_key",
        "score", "notes", "extra", "language", "source", "postal_code", "status",
    )  # fmt: skip
    points = ContactPoint.objects.order_by("lead__external_id", "order").values_list(
        "lead__external_id", "kind", "value", "digest", "order"
    )
    tasks = FollowUpTask.objects.order_by("lead__external_id", "step").values_list(
        "lead__external_id", "step", "status", "due_at"
    )
    return [list(leads), list(points), list(tasks)]


def lines_of(report: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(report.read_text(encoding="utf-8-sig"))))


# --- the two sample files -----------------------------------------------------------------------------------

PINNED = {
    "leads.csv": Counts(
        rows=1668,
        created=1562,
        repeated=66,
        repeated_changed=26,
        refused=38,
        ignored=2,
        left_empty=38,
        kept=248,
    ),
    "leads_quebec.csv": Counts(
        rows=420, created=389, repeated=18, repeated_changed=10, refused=11, ignored=2, left_empty=8, kept=66
    ),
}


def test_the_sample_files_are_imported_with_these_counts_and_change_nothing_the_second_time() -> None:
    for name, expected in PINNED.items():
        there = Lead.objects.count()
        counts = run(SAMPLES / name)
        assert counts == expected
        assert counts.rows == counts.leads + counts.repeated + counts.refused + counts.ignored
        assert Lead.objects.count() - there == counts.created == counts.leads
    before = everything()
    for name, expected in PINNED.items():
        again = run(SAMPLES / name, LATER)
        assert (again.created, again.updated, again.unchanged) == (0, 0, expected.created)
    assert everything() == before


def test_an_unchanged_batch_costs_two_queries(
    sheet: Callable[..., Path], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    path = sheet(*(row(f"L{n}", Phone=f"416-555-{1000 + n}") for n in range(BATCH)))
    run(path)
    with django_assert_num_queries(2 + 4):  # and the savepoints of the batch
        run(path, LATER)


# --- which value wins ---------------------------------------------------------------------------------------


def test_the_last_row_of_a_lead_wins_and_its_blanks_erase_nothing(
    sheet: Callable[..., Path], tmp_path: Path
) -> None:
    path = sheet(
        row(City="Ottawa", Lead_Score="0.4", Full_Name="Ann Lee", Phone="416 555 0101"),
        row("L2"),
        row(Lead_Score="70%", Phone="416 555 0102"),
    )
    report = tmp_path / "report.csv"
    counts = run(path, report=Report(report))
    lead = Lead.objects.get(external_id="L1")
    assert (lead.city, lead.market, lead.name, lead.score) == ("Ottawa", "OTTAWA", "Ann Lee", Decimal("0.7"))
    assert [point.value for point in lead.points.all()] == ["+14165550101", "+14165550102"]
    assert (counts.created, counts.repeated, counts.repeated_changed) == (2, 1, 1)
    assert [(line["line"], line["effect"]) for line in lines_of(report)] == [("4", "repeated")]


def test_a_later_file_replaces_what_it_says_and_adds_points(sheet: Callable[..., Path]) -> None:
    run(
        sheet(
            row(Full_Name="Ann Lee", Notes="called twice", Phone="416 555 0101", Buyer_hint="A", Source="web")
        )
    )
    counts = run(sheet(row(Full_Name="Ann Li", Notes="sold?", Phone="416 555 0102", Buyer_hint="B")), LATER)
    lead = Lead.objects.get()
    assert (counts.created, counts.updated, counts.unchanged) == (0, 1, 0)
    assert (lead.name, lead.notes, lead.source, lead.extra) == ("Ann Li", "sold?", "web", {"Buyer hint": "B"})
    assert list(lead.points.values_list("value", "order")) == [("+14165550101", 0), ("+14165550102", 1)]
    assert (lead.created_at, lead.updated_at, lead.correlation_id) == (NOW, LATER, "import-1")


def test_a_score_that_cannot_be_read_keeps_the_known_one(sheet: Callable[..., Path]) -> None:
    run(sheet(row(Lead_Score="0.7")))
    counts = run(sheet(row(Lead_Score="high")), LATER)
    assert (counts.left_empty, counts.unchanged) == (1, 1)
    assert Lead.objects.get().score == Decimal("0.7")


def test_what_a_person_added_to_a_lead_outlives_the_same_file(sheet: Callable[..., Path]) -> None:
    path = sheet(row(Full_Name="Ann Lee"))
    run(path)
    Lead.objects.update(city="Ottawa", language="fr", notes="  wants a call in spring\n")
    counts = run(path, LATER)
    lead = Lead.objects.get()
    assert (lead.city, lead.language, lead.notes) == ("Ottawa", "fr", "  wants a call in spring\n")
    assert counts.unchanged == 1


def test_an_extension_is_noted_once_however_often_it_comes(sheet: Callable[..., Path]) -> None:
    path = sheet(row(Phone="416 555 0101 ext. 12", Notes="roof bad"), row(Phone="416 555 0101 ext. 12"))
    for at in (NOW, LATER):
        run(path, at)
    assert Lead.objects.get().notes == "roof bad\next. 12"


def test_new_notes_replace_the_old_and_leave_the_extensions(sheet: Callable[..., Path]) -> None:
    run(sheet(row(Phone="416 555 0101 ext. 12", Notes="roof bad")))
    run(sheet(row(Phone="416 555 0102 ext. 7", Notes="roof new")), LATER)
    assert Lead.objects.get().notes == "roof new\next. 12\next. 7"


def test_an_id_is_its_own_in_another_case(sheet: Callable[..., Path]) -> None:
    assert run(sheet(row("l1"), row("L1"))).created == 2


def test_an_address_that_no_contact_point_can_hold_is_left_empty(sheet: Callable[..., Path]) -> None:
    """Lower-case it would have more than 254 characters: İ becomes two signs."""
    counts = run(sheet({**row(), "E-mail": "İ" * 60 + "a" * 4 + "@" + ".".join(["b" * 60] * 3) + ".com"}))
    assert (counts.created, ContactPoint.objects.count()) == (1, 0)


def test_a_city_too_long_to_be_compared_is_left_empty(sheet: Callable[..., Path]) -> None:
    counts = run(sheet(row(City="각" * 80)))
    assert (counts.left_empty, Lead.objects.get().city) == (1, "")


# --- moving -------------------------------------------------------------------------------------------------


def test_a_lead_that_moves_leaves_city_zone_and_postal_code_behind(sheet: Callable[..., Path]) -> None:
    run(sheet(row(City="Toronto", Postal_Code="M5V 2T6")))
    Lead.objects.update(zone="America/Toronto")
    counts = run(sheet(row(province="BC")), LATER)
    lead = Lead.objects.get()
    assert (lead.province, lead.city, lead.market, lead.zone, lead.postal_code) == ("BC", "", "ALL", "", "")
    assert (lead.city_key, lead.market_key, lead.market_city_key) == ("", "ALL", "")
    assert (counts.updated, counts.moved) == (1, 1)


def test_her_open_tasks_go_with_her_and_are_due_by_the_new_clock(sheet: Callable[..., Path]) -> None:
    evening = datetime(2026, 11, 25, 0, 30, tzinfo=UTC)  # 19:30 in Toronto, 17:30 in Vancouver
    made = create_ladder(
        "L1", by=JOB, at=evening, province="ON", market="TORONTO", details=LeadDetails(city="Toronto")
    )
    # 20:00 in Toronto is closed: the call came the next morning, 09:00 there and 06:00 in Vancouver
    assert made.tasks[1].due_at == datetime(2026, 11, 25, 14, 0, tzinfo=UTC)
    run(sheet(row(province="BC", City="Vancouver")), evening + timedelta(minutes=1))
    tasks = list(FollowUpTask.objects.order_by("step"))
    assert {(task.province, task.market_key) for task in tasks} == {("BC", "VANCOUVER")}
    assert {task.zone for task in tasks[1:]} == {"America/Vancouver"}
    assert tasks[0].due_at == evening  # overdue: it keeps its own time
    assert tasks[1].due_at == evening + timedelta(minutes=30)


def test_a_city_written_otherwise_keeps_the_known_zone(sheet: Callable[..., Path]) -> None:
    run(sheet(row(province="QC", City="MONTREAL")))
    Lead.objects.update(zone="America/Toronto")
    run(sheet(row(province="QC", City="Montréal")), LATER)
    lead = Lead.objects.get()
    assert (lead.city, lead.market, lead.market_key, lead.zone) == (
        "Montréal",
        "MONTRÉAL",
        "MONTREAL",
        "America/Toronto",
    )


# --- ladders ------------------------------------------------------------------------------------------------


def good(lead_id: str, phone: int, **cells: Any) -> dict[str, object]:
    return row(lead_id, Lead_Score="0.9", Phone=f"416-555-{phone}", **cells)


def test_ladders_start_after_a_count_of_those_the_gate_refuses(
    sheet: Callable[..., Path], tmp_path: Path
) -> None:
    suppress([digests.digest(digests.PHONE, "+14165551001")], by=JOB, at=NOW)
    path = sheet(
        good("L1", 1001),
        row("L2", Lead_Score="0.2", Phone="416-555-1002"),
        {**row("L3"), "E-mail": "l3@example.com"},
        good("L4", 1004),
        row("L5"),
    )
    told: list[tuple[int, list[str]]] = []
    counts = run(
        path,
        ladders=True,
        owner="Maya",
        report=Report(tmp_path / "report.csv"),
        say=lambda lines: told.append((Ladder.objects.count(), list(lines))),
    )
    assert counts.no_ladder == {"suppressed": 1, "lead_score_below_minimum": 1, "no_contact_point": 1}
    assert counts.ladders == 2  # L4, and L5 whose numbers somebody else keeps
    assert [started for started, _lines in told] == [0, 0]
    assert told[1][1][0] == "3 leads start no ladder."
    assert set(Ladder.objects.values_list("lead__external_id", "owner")) == {("L4", "Maya"), ("L5", "Maya")}
    assert KpiEvent.objects.filter(metric="ladder_created").count() == 2
    reasons = {
        line["lead id"]: line["reason"]
        for line in lines_of(tmp_path / "report.csv")
        if line["effect"] == "no_ladder"
    }
    assert reasons["L2"] == "The lead’s score is below the market’s minimum."
    assert set(reasons) == {"L1", "L2", "L3"}


def test_a_suppression_outlives_an_import(sheet: Callable[..., Path]) -> None:
    suppress([digests.digest(digests.PHONE, "+14165551001")], by=JOB, at=NOW)
    counts = run(sheet(good("L1", 1001)), LATER, ladders=True)
    assert counts.no_ladder == {"suppressed": 1}
    assert [stop.action for stop in Suppression.objects.all()] == ["SUPPRESS"]


def test_ladders_of_one_person_under_several_ids_are_counted_as_waiting(
    sheet: Callable[..., Path], by: Callable[..., Actor]
) -> None:
    names = {"L1": "Anne Tremblay", "L2": "ANNE TREMBLAY", "L3": "Marc Roy", "L4": ""}
    rows = [row(lead_id, Phone="416-555-1000", Full_Name=name) for lead_id, name in names.items()]
    counts = run(sheet(*rows, row("L5", Phone="416-555-1001", Full_Name="Anne Tremblay")), ladders=True)
    assert (counts.ladders, counts.waiting) == (5, 2)
    assert "2 of them wait" in counts.waiting_line()
    waiting = FollowUpTask.objects.filter(held_reason="person_active", step=1)
    assert list(waiting.order_by("lead__external_id").values_list("lead__external_id", flat=True)) == [
        "L2",
        "L4",
    ]


def test_a_batch_of_ladders_costs_the_same_however_many_begin(sheet: Callable[..., Path]) -> None:
    costs = []
    for first, count in ((1000, 4), (2000, 8)):  # on PostgreSQL, so many tasks are copied
        path = sheet(*(good(f"L{first + n}", first + n) for n in range(count)))
        with CaptureQueriesContext(connection) as captured:
            assert run(path, ladders=True).ladders == count
        tasks = 'INSERT INTO "followups_followuptask"'  # SQLite takes so many values a statement
        costs.append(sum(not query["sql"].startswith(tasks) for query in captured.captured_queries))
    assert costs[0] == costs[1]


def test_the_same_file_again_starts_no_second_ladder(sheet: Callable[..., Path]) -> None:
    path = sheet(good("L1", 1001), good("L2", 1002))
    run(path, ladders=True)
    before = everything()
    counts = run(path, LATER, ladders=True)
    assert (counts.no_ladder, counts.ladders) == ({"already_active": 2}, 0)
    assert everything() == before


def test_whoever_was_followed_up_before_is_left_alone(sheet: Callable[..., Path]) -> None:
    path = sheet(good("L1", 1001), good("L2", 1002))
    run(path)
    Lead.objects.filter(external_id="L1").update(status=Lead.Status.DEAD)
    counts = run(path, LATER, ladders=True)
    assert (counts.no_ladder, counts.ladders) == ({"followed_up_before": 1}, 1)
    assert Lead.objects.get(external_id="L1").status == Lead.Status.DEAD


def test_each_ladder_runs_by_the_clock_of_its_city(sheet: Callable[..., Path]) -> None:
    run(sheet(good("L1", 1001, City="Kenora"), good("L2", 1002, City="Toronto")), ladders=True)
    zones = FollowUpTask.objects.filter(step=1).order_by("lead__external_id").values_list("zone", flat=True)
    assert list(zones) == ["America/Winnipeg", "America/Toronto"]


def test_ladders_of_a_sample_file(by: Callable[..., Actor]) -> None:
    counts = run(SAMPLES / "leads_quebec.csv", ladders=True, by=by("MANAGER"))
    assert counts.no_ladder == {"lead_score_below_minimum": 193, "no_contact_point": 3}
    assert counts.ladders == 389 - 196 == Ladder.objects.count()
    assert KpiEvent.objects.filter(metric="ladder_created", success=True).count() == counts.ladders
    assert FollowUpTask.objects.filter(is_current=True).count() == counts.ladders


def test_with_go_live_off_the_leads_stay_and_no_ladder_starts(
    sheet: Callable[..., Path], settings: Settings
) -> None:
    settings.GO_LIVE_ENFORCE = True
    with pytest.raises(Unavailable):
        run(sheet(good("L1", 1001)), ladders=True)
    assert (Lead.objects.count(), Ladder.objects.count()) == (1, 0)


def test_only_a_manager_imports(sheet: Callable[..., Path], by: Callable[..., Actor]) -> None:
    path = sheet(row())
    with pytest.raises(Forbidden):
        run(path, by=by("VA"))
    assert not Lead.objects.exists()
    run(path, by=by("MANAGER"))
    assert Lead.objects.get().actor == "a-manager"


# --- a run that is cut short --------------------------------------------------------------------------------


SMALL = 20  # leads a batch


class Cut(Exception):
    pass


class CutBar:
    def __init__(self, after: int) -> None:
        self.after = after

    def update(self, n: int) -> None:
        self.after -= n
        if self.after <= 0:
            raise Cut


def cut_in(stage: str) -> Callable[[str, int], AbstractContextManager[Bar]]:
    """Return a progress that ends the run, like a power cut, half way through a stage."""

    def progress(what: str, total: int) -> AbstractContextManager[Bar]:
        return nullcontext(CutBar(total // 2)) if what == stage else no_progress(what, total)

    return progress


@pytest.mark.parametrize("stage", ["Reading", "Storing", "Checking the contact gate", "Starting ladders"])
def test_a_run_that_was_cut_short_and_run_again_ends_the_same(
    stage: str, sheet: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "BATCH", SMALL)
    monkeypatch.setattr(services, "LADDERS_AT_ONCE", SMALL)
    rows = [good(f"L{n:04}", 1000 + n, City="Ottawa" if n % 2 else "") for n in range(3 * SMALL)]
    path = sheet(*rows, good("L0001", 9000, Notes="again"))
    with pytest.raises(Cut):
        run(path, ladders=True, progress=cut_in(stage))
    stored, started = Lead.objects.count(), Ladder.objects.count()
    assert (stored, started) == {
        "Reading": (0, 0),
        "Storing": (2 * SMALL, 0),
        "Checking the contact gate": (3 * SMALL, 0),
        "Starting ladders": (3 * SMALL, 2 * SMALL),
    }[stage]
    run(path, ladders=True)
    after_the_cut = facts()
    assert KpiEvent.objects.filter(metric="ladder_created").count() == 3 * SMALL
    FollowUpTask.objects.all().delete()
    Ladder.objects.all().delete()
    Lead.objects.all().delete()
    run(path, ladders=True)
    assert after_the_cut == facts()


@pytest.mark.long
def test_twenty_thousand_rows_need_the_memory_of_a_batch(tmp_path: Path) -> None:
    path = tmp_path / "many.csv"
    with path.open("w", encoding="utf-8") as file:
        print(HEADING, file=file)
        for n in range(20_000):
            print(
                f"L{n},Ann Lee {n},416-555-{n % 10_000:04},a{n}@example.com,ON,,,0.1,en,web,{'note ' * 40},",
                file=file,
            )
    run(SAMPLES / "leads_quebec.csv")  # so that what is loaded once is loaded
    tracemalloc.start()
    try:
        counts = run(path)
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert counts.created == 20_000
    assert peak < 12_000_000  # bytes; the rows alone would be more than 30 MB


# --- the report ---------------------------------------------------------------------------------------------


def test_the_report_opens_in_a_spreadsheet_without_running_anything(
    sheet: Callable[..., Path], tmp_path: Path
) -> None:
    path = sheet(
        row("=1+1", Phone="+1", Lead_Score="-5"),
        row("@SUM(A1)", "=cmd|' /C calc'!A0"),
        {**row(""), "Full Name": "=HYPERLINK(1)"},
        row("＝1+1", Phone="＋1"),  # wide signs, which some spreadsheets read as the others
    )
    report = tmp_path / "deep" / "report.csv"
    run(path, report=Report(report))
    assert report.read_bytes().startswith(b"\xef\xbb\xbf")
    assert stat.S_IMODE(report.stat().st_mode) == 0o600
    cells = [cell for line in lines_of(report) for cell in line.values()]
    assert {"'=1+1", "'+1", "'-5", "'=cmd|' /C calc'!A0"} <= set(cells)
    assert not [cell for cell in cells if cell[:1] in FORMULA_SIGNS]


def test_the_report_names_each_cell_and_row_with_its_reason(
    sheet: Callable[..., Path], tmp_path: Path
) -> None:
    path = sheet(row("L1", Phone="555"), row("L2", "ZZ", Full_Name="Ann Lee"), row(""), {"Lead ID": "TOTAL"})
    report = tmp_path / "report.csv"
    run(path, report=Report(report))
    assert [
        [line[name] for name in ("line", "lead id", "field", "value", "effect")] for line in lines_of(report)
    ] == [
        ["2", "L1", "phone", "555", "left_empty"],
        ["3", "", "province", "ZZ", "refused"],
        ["4", "", "external_id", "", "refused"],
        ["5", "", "line", "TOTAL", "ignored"],
    ]
    refused = lines_of(report)[1]
    assert refused["reason"] == "“ZZ” is not a Canadian province or territory; the line was refused."
    assert refused["row"].startswith("L2 | Ann Lee | ")


def test_a_report_cannot_be_led_to_another_file(sheet: Callable[..., Path], tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("mine")
    (tmp_path / ".report.csv.part").symlink_to(other)
    (tmp_path / "report.csv").symlink_to(other)
    run(sheet(row()), report=Report(tmp_path / "report.csv"))
    assert other.read_text() == "mine"


# --- the command --------------------------------------------------------------------------------------------


def command(*arguments: object) -> str:
    out = io.StringIO()
    call_command("import_leads", *map(str, arguments), stdout=out)
    return out.getvalue()


@pytest.fixture
def wrong_files(tmp_path: Path) -> dict[str, Path]:
    (tmp_path / "folder.csv").mkdir()
    contents = {"empty": b"", "sheet": b"PK\x03\x04 and so on", "noid": b"Name,Province\nAnn,ON\n"}
    for name, content in contents.items():
        (tmp_path / f"{name}.csv").write_bytes(content)
    return {name: tmp_path / f"{name}.csv" for name in ("missing", "folder", *contents)}


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("missing", "cannot be opened: No such file"),
        ("folder", "cannot be opened: Is a directory"),
        ("empty", "it has no header row"),
        ("sheet", "This is a workbook"),
        ("noid", "No column for the lead's id"),
    ],
)
def test_a_file_that_is_none_ends_with_a_sentence(
    name: str, sentence: str, wrong_files: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(CommandError, match=sentence):
        command(wrong_files[name], "--report", tmp_path)
    assert not Lead.objects.exists()
    assert not list(tmp_path.glob("*report*"))


def test_the_command_tells_the_counts_and_where_the_report_is(
    sheet: Callable[..., Path], tmp_path: Path
) -> None:
    said = command(
        sheet(good("L1", 1001), row("L2", "ZZ")), "--ladder", "--owner", "maya", "--report", tmp_path
    )
    for line in (
        "2  rows read",
        "1  leads created",
        "1  rows refused",
        "0 leads start no ladder.",
        "1 ladders started.",
    ):
        assert line in said
    assert f"{tmp_path / 'leads-report.csv'}" in said
    assert (tmp_path / "leads-report.csv").exists()
    lead = Lead.objects.get()
    assert lead.actor == "import_leads"
    assert lead.correlation_id.startswith("import-")
    assert Ladder.objects.get().owner == "maya"


def test_a_dry_run_counts_and_stores_nothing(sheet: Callable[..., Path], tmp_path: Path) -> None:
    run(sheet(row("L1", Full_Name="Ann"), row("L2")))
    before = everything()
    path = sheet(row("L1", Full_Name="Eve"), row("L2"), row("L3"))
    said = command(path, "--dry-run", "--report", tmp_path)
    for line in ("1  leads created", "1  leads updated", "1  leads unchanged", "nothing was stored"):
        assert line in said
    assert everything() == before


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--dry-run", "--ladder"], "stores no leads"),
        (["--owner", "x" * 151], "not a name"),
        (["--by", "nobody"], "no active person"),
        (["--report", "/dev/null/x"], "Not a directory"),
    ],
)
def test_wrong_arguments_end_with_a_sentence(
    arguments: Sequence[str], sentence: str, sheet: Callable[..., Path]
) -> None:
    with pytest.raises(CommandError, match=sentence):
        command(sheet(row()), *arguments)
    assert not Lead.objects.exists()


def test_the_command_asks_the_right_of_the_person_named(
    sheet: Callable[..., Path], person: Callable[..., User], tmp_path: Path
) -> None:
    person("VA", "vera")
    person("MANAGER", "Mona")
    with pytest.raises(CommandError, match="role does not allow"):
        command(sheet(row()), "--by", "vera", "--report", tmp_path)
    command(sheet(row()), "--by", "mona", "--report", tmp_path)
    assert Lead.objects.get().actor == "Mona"

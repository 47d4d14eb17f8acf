"""Leads from a spreadsheet on the managers' screen: seen first, mended row by row, and given out again."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from followups.models import ContactPoint, Ladder, Lead
from followups.points import read_point
from followups.tests.factories import LeadFactory, PointFactory
from governance.contact.services import suppress
from governance.kpi.models import KpiEvent
from governance.models import User
from valhalla.testing import ClientResponse

pytestmark = pytest.mark.django_db
IMPORT, EXPORT = "/admin/followups/lead/import/", "/admin/followups/lead/export/"
HEADINGS = "Lead ID,Name,Phone,Province,City,Lead Score,Buyer hint"
GOOD = "L-1,Ana Tremblay,514 555 0123,QC,Laval,0.8,cash"


@pytest.fixture
def manager(client: Client, person: Callable[..., User]) -> Client:
    client.force_login(person("MANAGER", "mona"))
    return client


def upload(client: Client, *lines: str) -> ClientResponse:
    content = "\r\n".join(lines).encode()
    return client.post(IMPORT, {"file": SimpleUploadedFile("leads.csv", content, "text/csv")})


def go_on(client: Client, answer: Any, **said: str) -> Any:
    found = re.search(r'name="rows" value="([^"]*)"', answer.content.decode())
    assert found, answer.content.decode()[:500]
    return client.post(IMPORT, {"rows": html.unescape(found[1]), **said})


def counts(answer: ClientResponse) -> tuple[int, ...]:
    text = answer.content.decode()
    return tuple(
        int(re.findall(rf'id="count-{name}"[^>]*>(\d+)<', text)[0])
        for name in ("new", "changed", "same", "wrong")
    )


def test_nothing_is_written_before_it_was_seen_and_the_same_file_again_changes_nothing(
    manager: Client,
) -> None:
    shown = upload(manager, HEADINGS, GOOD)
    assert counts(shown) == (1, 0, 0, 0)
    assert not Lead.objects.exists()
    assert go_on(manager, shown, _import="1").status_code == 302
    lead = Lead.objects.get()
    assert (lead.external_id, lead.market, lead.extra) == ("L-1", "LAVAL", {"Buyer hint": "cash"})
    assert ContactPoint.objects.get().value == "+15145550123"
    event = KpiEvent.objects.get(metric="rows_imported")
    assert event.detail == {
        "table": "followups.lead",
        "created": 1,
        "updated": 0,
        "unchanged": 0,
        "refused": 0,
    }
    before = Lead.objects.values().get()
    again = upload(manager, HEADINGS, GOOD)
    assert counts(again) == (0, 0, 1, 0)
    go_on(manager, again, _import="1")
    assert Lead.objects.values().get() == before


def test_what_a_known_lead_would_become_is_shown(manager: Client) -> None:
    go_on(manager, upload(manager, HEADINGS, GOOD), _import="1")
    shown = upload(manager, HEADINGS, "L-1,,416 555 0199,ON,Ottawa,0.9,")
    assert counts(shown) == (0, 1, 0, 0)
    page = shown.content.decode()
    for said in ("0.8000", "0.9", "Laval", "Ottawa", "+14165550199", "was in QC and is in ON now"):
        assert said in page, said
    assert Lead.objects.get().province == "QC"


def test_each_wrong_row_says_why_and_is_mended_after_the_good_ones_went(manager: Client) -> None:
    shown = upload(
        manager,
        HEADINGS,
        GOOD,
        "L-2,Bo,12,XX,Ottawa,7,",
        ",Nobody,,ON,,,",
        'L-4,"open,,ON,,,',
        "L-5,Eve,12,ON,,,",
    )
    assert counts(shown) == (2, 0, 0, 3)
    page = html.unescape(shown.content.decode())
    for said in (
        "“XX” is not a Canadian province",
        "The lead has no id",
        "A quotation mark is not closed",
        "“12” is not a phone number",
    ):
        assert said in page, said
    rest = go_on(manager, shown, _import="1", **{"cell-6-2": "416 555 0198"})
    assert sorted(Lead.objects.values_list("external_id", flat=True)) == ["L-1", "L-5"]
    assert ContactPoint.objects.get(lead__external_id="L-5").value == "+14165550198"
    assert counts(rest) == (0, 0, 0, 3)
    typed = {"cell-3-3": "ON", "cell-3-2": "416 555 0199", "cell-5-0": "L-4,Open,,ON,,,"}
    seen = go_on(manager, rest, _check="1", **{"drop-4": "1"}, **typed)
    assert counts(seen) == (2, 0, 0, 0)
    assert "“7” is not between 0 and 1" in html.unescape(seen.content.decode())
    assert go_on(manager, seen, _import="1").status_code == 302
    assert Lead.objects.get(external_id="L-2").province == "ON"
    assert Lead.objects.get(external_id="L-4").name == "Open"


def test_ladders_start_on_request_and_who_starts_none_is_named(manager: Client, by: Any) -> None:
    stopped = read_point("PHONE", "514 555 0124")[1]
    suppress([stopped], by=by("MANAGER"), at=timezone.now())
    shown = upload(manager, HEADINGS, GOOD, "L-2,Bo,514 555 0124,QC,Laval,0.9,")
    done = go_on(manager, shown, _import="1", ladders="on", owner="vera")
    ladder = Ladder.objects.get()
    assert (ladder.lead.external_id, ladder.owner) == ("L-1", "vera")
    page = done.content.decode()
    assert "1 ladder started." in page
    assert re.search(r'id="no-ladder">\s*<li>Row 3 · L-2:', page)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"Name\r\nAna", "No column for the lead"),
        (b"Lead ID,Province\r\n", "no rows below"),
        (b"PK\x03\x04\0\0", "This is a workbook"),
        (b"Lead ID,Province\r\n" + b"L,ON\r\n" * 5001, "manage.py import_leads FILE.csv"),
        (b"Lead ID,Province\r\n" + b"x" * 3_000_000, "manage.py import_leads FILE.csv"),
        (b"Lead ID,Province" + b",x" * 200 + b"\r\nL,ON", "more than 200 columns"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(manager: Client, content: bytes, said: str) -> None:
    answer = manager.post(IMPORT, {"file": SimpleUploadedFile("leads.csv", content)})
    assert said in answer.content.decode()
    assert 'name="rows"' not in answer.content.decode()


@pytest.mark.parametrize("rows", ["", "{}", "x:y:z", "\0"])
def test_rows_that_were_tampered_with_are_asked_for_again(manager: Client, rows: str) -> None:
    answer = manager.post(IMPORT, {"rows": rows, "_import": "1", "cell-9-9": "x", "cell--": "y"})
    assert "choose the file again" in answer.content.decode()


def test_a_preview_asks_the_same_questions_of_few_and_of_many_leads(
    manager: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    many = [f"L-{number},Ana,,QC,Laval,0.8," for number in range(150)]
    elsewhere = [f"L-{number},Ana,,QC,Laval {number},0.8," for number in range(150)]
    upload(manager, HEADINGS, GOOD)
    for lines in ([GOOD], many, elsewhere):
        with django_assert_num_queries(8):
            upload(manager, HEADINGS, *lines)


@pytest.mark.parametrize("role", ["AUDITOR", "CLOSER", "VA"])
def test_only_managers_import_and_export(role: str, client: Client, person: Callable[..., User]) -> None:
    LeadFactory.create()
    client.force_login(person(role))
    assert upload(client, HEADINGS, GOOD).status_code in (302, 403)
    assert client.post(EXPORT, {"reason": "to keep"}).status_code in (302, 403)
    assert Lead.objects.count() == 1
    assert not KpiEvent.objects.exists()


def exported(client: Client) -> list[list[str]]:
    answer: Any = client.post(EXPORT, {"reason": "list for the mailing house"})
    return list(csv.reader(io.StringIO(answer.getvalue().decode("utf-8-sig"))))


def test_an_export_is_logged_and_changes_nothing_when_it_is_imported(manager: Client) -> None:
    lead = LeadFactory.create(
        external_id="L-1", name="=HYPERLINK(1)", notes="-", language="fr", market="TORONTO"
    )
    PointFactory.create(lead=lead)
    heading, row = exported(manager)
    assert row[:4] == ["L-1", "'=HYPERLINK(1)", "'+14165550199", ""]
    event = KpiEvent.objects.get()
    assert event.detail == {"table": "followups.lead", "rows": 1, "reason": "list for the mailing house"}
    text = io.StringIO()
    csv.writer(text).writerows([heading, row])
    assert counts(upload(manager, *text.getvalue().splitlines())) == (0, 0, 1, 0)


def test_an_export_has_every_row_however_many_there_are(
    manager: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("followups.admin.transfer.EXPORTED_AT_ONCE", 2)
    monkeypatch.setattr("governance.core.admin.transfer.MOST_IN_MEMORY", 64)
    LeadFactory.create_batch(5)
    _heading, *rows = exported(manager)
    known = Lead.objects.order_by("pk").values_list("external_id", flat=True)
    assert [row[0] for row in rows] == list(known)
    assert KpiEvent.objects.get().detail["rows"] == 5


def test_an_export_gives_out_no_number_of_whom_nobody_may_contact(
    manager: Client, by: Any, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(3):
        lead = LeadFactory.create(external_id=f"L-{number}", notes="call 416 555 0199")
        PointFactory.create(lead=lead, value=f"+1416555019{number}")
        PointFactory.create(lead=lead, kind="EMAIL", value=f"a{number}@example.ca")
    suppress([read_point("PHONE", "+14165550191")[1]], by=by("MANAGER"), at=timezone.now(), channel="CALL")
    exported(manager)  # confirms who asks
    with django_assert_num_queries(9):  # three of them keep the session fresh: a savepoint and its row
        _heading, *rows = exported(manager)
    assert [row[2] for row in rows] == ["'+14165550190", "", "'+14165550192"]
    assert [row[3] for row in rows] == ["a0@example.ca", "a1@example.ca", "a2@example.ca"]
    assert [bool(row[-1]) for row in rows] == [True, False, True]

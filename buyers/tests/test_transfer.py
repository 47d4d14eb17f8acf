"""Buyers from a spreadsheet: seen before they are written, mended row by row, and given out again."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpResponse
from django.test import Client

from buyers.models import Buyer
from buyers.tests.factories import BuyerFactory
from governance.core.admin.transfer import plain
from governance.core.spreadsheets import safe
from governance.kpi.models import KpiEvent
from governance.models import User
from valhalla.testing import ClientResponse

pytestmark = pytest.mark.django_db
IMPORT, EXPORT = "/admin/buyers/buyer/import/", "/admin/buyers/buyer/export/"
HEADINGS = "Buyer id,Name,Phone,E-mail,Provinces,Markets,Property types,Price to (CAD)"
GOOD = 'B-1,Ana Tremblay,(514) 555-0123,Ana@Example.com,"QC, ON",Montréal,SFR,"$450,000"'


@pytest.fixture
def manager(client: Client, person: Callable[..., User]) -> Client:
    client.force_login(person("MANAGER", "mona"))
    return client


def upload(client: Client, *lines: str, encoding: str = "utf-8") -> ClientResponse:
    content = "\r\n".join(lines).encode(encoding)
    return client.post(IMPORT, {"file": SimpleUploadedFile("buyers.csv", content, "text/csv")})


def rows_of(answer: HttpResponse) -> str:
    found = re.search(r'name="rows" value="([^"]*)"', answer.content.decode())
    assert found, answer.content.decode()[:500]
    return html.unescape(found[1])


def go_on(client: Client, answer: Any, **said: str) -> Any:
    return client.post(IMPORT, {"rows": rows_of(answer), **said})


def counts(answer: ClientResponse) -> tuple[int, ...]:
    text = answer.content.decode()
    return tuple(
        int(re.findall(rf'id="count-{name}"[^>]*>(\d+)<', text)[0])
        for name in ("new", "changed", "same", "wrong")
    )


def test_a_sign_that_no_table_takes_is_left_out_of_what_is_typed(manager: Client) -> None:
    shown = upload(manager, HEADINGS, GOOD)
    mended = {f"cell-2-{name}": "B\0-1" for name in ("external_id", "name")}
    assert counts(go_on(manager, shown, **mended)) == (1, 0, 0, 0)
    assert go_on(manager, shown, _import="1", **mended).status_code == 302
    assert (Buyer.objects.get().external_id, Buyer.objects.get().name) == ("B-1", "B-1")


def test_nothing_is_written_before_it_was_seen(manager: Client) -> None:
    shown = upload(manager, HEADINGS, GOOD)
    assert counts(shown) == (1, 0, 0, 0)
    assert not Buyer.objects.exists()
    assert go_on(manager, shown, _import="1").status_code == 302
    buyer = Buyer.objects.get()
    assert (buyer.external_id, buyer.phone, buyer.email) == ("B-1", "+15145550123", "ana@example.com")
    assert (buyer.provinces, buyer.markets, buyer.price_max) == (["QC", "ON"], ["MONTRÉAL"], Decimal(450000))


def test_the_same_file_again_changes_nothing(manager: Client) -> None:
    go_on(manager, upload(manager, HEADINGS, GOOD), _import="1")
    before = Buyer.objects.values().get()
    again = upload(manager, HEADINGS, GOOD)
    assert counts(again) == (0, 0, 1, 0)
    go_on(manager, again, _import="1")
    assert Buyer.objects.values().get() == before


def test_differences_are_shown_and_a_blank_cell_changes_nothing(manager: Client) -> None:
    BuyerFactory.create(external_id="B-1", name="Ana", email="ana@example.com", price_max=Decimal(400_000))
    shown = upload(manager, HEADINGS, "B-1,Ana,,,,,,500000")
    assert counts(shown) == (0, 1, 0, 0)
    assert re.search(r"400000\.00.*?500000", shown.content.decode(), re.DOTALL)
    go_on(manager, shown, _import="1")
    buyer = Buyer.objects.get()
    assert (buyer.name, buyer.email, buyer.price_max) == ("Ana", "ana@example.com", Decimal(500_000))


def test_each_wrong_cell_says_why_and_the_good_rows_go_first(manager: Client) -> None:
    shown = upload(manager, HEADINGS, GOOD, "B-2,Bo,12,nobody,XX,,CASTLE,a lot", "B-1,again,,,,,,")
    assert counts(shown) == (1, 0, 0, 2)
    page = shown.content.decode()
    for said in (
        "telephone number does not exist",
        "valid email",
        "“XX” is unknown",
        "“CASTLE” is unknown",
        "not an amount",
        "twice, first in row 2",
    ):
        assert said in page, said
    rest = go_on(manager, shown, _import="1")
    assert list(Buyer.objects.values_list("external_id", flat=True)) == ["B-1"]
    assert counts(rest) == (0, 1, 0, 1), "the second B-1 is now a change to the one that was imported"
    typed = {
        "phone": "416 555 0199",
        "email": "bo@example.ca",
        "provinces": "ON",
        "property_types": "CONDO",
        "price_max": "300000",
    }
    mended = {f"cell-3-{name}": value for name, value in typed.items()}
    done = go_on(manager, rest, **mended, **{"drop-4": "1"}, _import="1")
    assert done.status_code == 302
    bo = Buyer.objects.get(external_id="B-2")
    assert (bo.phone, bo.provinces, bo.price_max) == ("+14165550199", ["ON"], Decimal(300_000))
    assert Buyer.objects.get(external_id="B-1").name == "Ana Tremblay"


def test_a_file_is_read_as_spreadsheets_write_it(manager: Client) -> None:
    semicolons = upload(manager, HEADINGS.replace(",", ";"), "B-1;Élise;;;QC;;;250 000,50", encoding="cp1252")
    assert counts(semicolons) == (1, 0, 0, 0)
    go_on(manager, semicolons, _import="1")
    buyer = Buyer.objects.get()
    assert (buyer.name, buyer.price_max) == ("Élise", Decimal("250000.50"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"Name\r\nAna", "first row must name the columns"),
        (b"Buyer id,Buyer id\r\nB-1,B-2", "Two columns are called"),
        (b"Buyer id\r\n", "no rows below"),
        (b"PK\x03\x04\0\0", "not a CSV file"),
        (b"Buyer id\r\n" + b"B\r\n" * 2001, "more than 2,000 rows"),
        (b"x" * 700_001, "larger than 700 kB"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(manager: Client, content: bytes, said: str) -> None:
    answer = manager.post(IMPORT, {"file": SimpleUploadedFile("buyers.csv", content)}, follow=True)
    assert said in answer.content.decode()
    assert not Buyer.objects.exists()


@pytest.mark.parametrize(
    "rows", ["", "{}", "[1]", '[{"row": "2"}]', "[" * 2000, '[{"external_id": 1}]', "[]"]
)
def test_rows_that_were_tampered_with_are_asked_for_again(manager: Client, rows: str) -> None:
    answer = manager.post(IMPORT, {"rows": rows, "_import": "1"})
    assert answer.status_code == 200
    assert "choose the file again" in answer.content.decode()


def test_an_erased_buyer_is_not_written_again(manager: Client, by: Any) -> None:
    from django.utils import timezone

    from governance.retention.erasing import erase_person

    buyer = BuyerFactory.create(external_id="B-1", name="Ana")
    erase_person("BUYER", buyer.pk, why="REQUESTED", by=by("MANAGER"), at=timezone.now())
    buyer.refresh_from_db()
    shown = upload(manager, HEADINGS, GOOD.replace("B-1", buyer.external_id))
    assert counts(shown) == (0, 0, 0, 1)
    assert "personal information was deleted" in shown.content.decode()


@pytest.mark.parametrize("role", ["AUDITOR", "CLOSER", "VA"])
def test_only_managers_import_and_export(role: str, client: Client, person: Callable[..., User]) -> None:
    client.force_login(person(role))
    assert upload(client, HEADINGS, GOOD).status_code in (302, 403)
    assert client.post(EXPORT, {"reason": "to keep"}).status_code in (302, 403)
    assert not Buyer.objects.exists()
    assert not KpiEvent.objects.exists()


def test_an_export_is_logged_without_a_word_of_what_it_holds(manager: Client) -> None:
    BuyerFactory.create(external_id="B-1", name="=HYPERLINK(1)", phone="+15145550123", provinces=["QC"])
    assert manager.post(EXPORT, {"reason": ""}).status_code == 200
    assert not KpiEvent.objects.exists()
    answer = manager.post(EXPORT, {"reason": "list for the mailing house"})
    assert answer["Content-Type"].startswith("text/csv")
    heading, row = csv.reader(io.StringIO(answer.getvalue().decode("utf-8-sig")))
    assert heading[0] == "buyer id"
    assert row[:3] == ["B-1", "'=HYPERLINK(1)", "'+15145550123"]
    event = KpiEvent.objects.get()
    assert (event.metric, event.actor) == ("rows_exported", "mona")
    assert event.detail == {"table": "buyers.buyer", "rows": 1, "reason": "list for the mailing house"}


def test_what_was_exported_can_be_imported_again(manager: Client) -> None:
    BuyerFactory.create(external_id="B-1", name="-Ana", phone="+15145550123", markets=["LÉVIS", "LAVAL"])
    given = manager.post(EXPORT, {"reason": "check"}).getvalue()
    shown = manager.post(IMPORT, {"file": SimpleUploadedFile("b.csv", given)})
    assert counts(shown) == (0, 0, 1, 0)


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@a", "\tx", "\rx", "\nx", "＝1", "＋1", "－1", "＠a"])
def test_no_cell_is_a_formula(text: str) -> None:
    assert safe(text) == f"'{text}"
    assert plain(safe(text)) == text


def test_an_import_is_counted_without_a_word_of_what_it_holds(manager: Client) -> None:
    go_on(manager, upload(manager, HEADINGS, GOOD), _import="1")
    event = KpiEvent.objects.get(metric="rows_imported")
    assert event.detail == {"table": "buyers.buyer", "created": 1, "updated": 0, "unchanged": 0, "refused": 0}

"""Every collection, found by itself: what changed since, chosen fields, tags, and streams of all rows."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from buyers.models import Buyer
from followups.models import FollowUpTask, Lead
from followups.tests.factories import LeadFactory
from governance.core.rest import exports
from governance.core.rest.viewsets import CollectionViewSet
from governance.models import KpiEvent
from valhalla.testing import make_client, make_person
from valhalla.tests.specimens import specimen
from valhalla.tests.test_plans import collections

pytestmark = [pytest.mark.django_db, pytest.mark.both]

FOUND = dict(collections())
PATHS = sorted(FOUND)
HOUR = timedelta(hours=1)


@pytest.fixture(params=PATHS)
def path(request: pytest.FixtureRequest) -> str:
    """The address of a collection that has a row."""
    specimen(model_of(request.param))
    return f"/api{request.param}"


def model_of(path: str) -> Any:
    view: Any = FOUND[path]
    return view.filterset_class._meta.model


def body(answer: Any) -> str:
    return b"".join(answer.streaming_content).decode()


def hang_up(answer: Any) -> None:
    """Leave before the end: Django's client ends the answer with the iterator that it has put around it."""
    answer._iterator.close()


def problem(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def test_the_collections_are_found() -> None:
    assert len(PATHS) >= 8
    assert "/followups/leads" in PATHS


# --- what changed, and which fields -------------------------------------------------------------------------


def test_each_is_asked_for_what_changed_since(path: str) -> None:
    client = make_client("MANAGER")
    every = client.get(path, {"ordering": "updated_at"}).json()["results"]
    assert every
    now = timezone.now()
    past, future = (now - 9000 * 24 * HOUR).isoformat(), (now + HOUR).isoformat()
    assert client.get(path, {"updated_after": past}).json()["results"] == every
    assert client.get(path, {"updated_after": future}).json()["results"] == []
    assert client.get(path, {"updated_before": past}).json()["results"] == []
    assert client.get(path, {"updated_before": future, "ordering": "updated_at"}).json()["results"] == every
    assert client.get(path, {"created_after": past, "ordering": "updated_at"}).json()["results"] == every
    assert problem(client.get(path, {"updated_after": "yesterday"})) == (400, "invalid")


def test_each_is_asked_for_rows_by_their_ids(path: str) -> None:
    client = make_client("MANAGER")
    row = specimen(model_of(path.removeprefix("/api")))
    found = client.get(path, {"id__in": f"{row.pk}, 999999999"}).json()["results"]
    assert [one["id"] for one in found] == [row.pk]
    for wrong in ("x", "1,,2", "1.5", "-1", "9" * 19, ",".join(["1"] * 101)):
        assert problem(client.get(path, {"id__in": wrong})) == (400, "invalid")


def test_each_answers_the_fields_that_are_asked_for(path: str) -> None:
    client = make_client("MANAGER")
    whole = client.get(path).json()["results"][0]
    one = client.get(
        f"{path}/{whole['id']}",
        {"fields": "id, correlation_id"} if "correlation_id" in whole else {"fields": "id"},
    )
    assert one.json() == {name: whole[name] for name in one.json()}
    assert set(one.json()) <= {"id", "correlation_id"}
    assert client.get(path, {"fields": "id"}).json()["results"][0] == {"id": whole["id"]}
    for wrong in ("", "id,", "nothing", "id,__class__"):
        refused = client.get(path, {"fields": wrong})
        assert problem(refused) == (400, "invalid")
        assert "id" in refused.json()["errors"]["fields"][0]


def test_numbers_that_nobody_asks_for_are_not_read() -> None:
    LeadFactory.create()
    client = make_client("MANAGER")
    client.get("/api/followups/leads")
    with CaptureQueriesContext(
        connection,
    ) as whole:
        client.get("/api/followups/leads")
    with CaptureQueriesContext(connection) as part:
        client.get("/api/followups/leads", {"fields": "lead_id,status"})
    assert len(part) == len(whole) - 1


def test_leads_are_found_by_a_part_of_their_name_and_a_range_of_their_score() -> None:
    for number, (name, score) in enumerate(
        [("Marie Tremblay", "0.2"), ("Trembley Sons", "0.5"), ("Ann", None)]
    ):
        LeadFactory.create(external_id=f"N-{number}", name=name, score=score)
    client = make_client("MANAGER")

    def found(**asked: str) -> set[str]:
        return {row["lead_id"] for row in client.get("/api/followups/leads", asked).json()["results"]}

    assert found(name="trembl") == {"N-0", "N-1"}
    assert found(score__gte="0.2", score__lte="0.4") == {"N-0"}
    assert found(score__gte="0.3") == {"N-1"}
    assert problem(client.get("/api/followups/leads", {"score__gte": "2"})) == (400, "invalid")


# --- tags ---------------------------------------------------------------------------------------------------


def test_a_single_row_comes_again_only_when_it_changed(path: str) -> None:
    client = make_client("MANAGER")
    row = specimen(model_of(path.removeprefix("/api")))
    first = client.get(f"{path}/{row.pk}")
    assert first.status_code == 200
    again = client.get(f"{path}/{row.pk}", HTTP_IF_NONE_MATCH=first["ETag"])
    assert (again.status_code, again.content, again["ETag"]) == (304, b"", first["ETag"])
    assert again["X-Correlation-ID"]
    assert again["Cache-Control"] == first["Cache-Control"]
    assert client.get(f"{path}/{row.pk}", HTTP_IF_NONE_MATCH='"another"').json() == first.json()
    assert "ETag" not in client.get(path)


def test_a_lead_that_changed_has_another_tag() -> None:
    lead = LeadFactory.create()
    client = make_client("MANAGER")
    before = client.get(f"/api/followups/leads/{lead.pk}")["ETag"]
    Lead.objects.filter(pk=lead.pk).update(status="WON")
    after = client.get(f"/api/followups/leads/{lead.pk}", HTTP_IF_NONE_MATCH=before)
    assert after.status_code == 200
    assert after["ETag"] != before


@pytest.mark.parametrize(
    "asked",
    [
        "/governance/market/policies", "/governance/risk/policies", "/governance/heimdall/policies",
        "/governance/regression/policies", "/deals/offers/policies", "/buyers/liquidity/nodes",
    ],
)  # fmt: skip
def test_policies_and_nodes_have_a_tag(asked: str) -> None:
    client = make_client("MANAGER")
    first = client.get(f"/api{asked}")
    assert first.status_code == 200
    assert client.get(f"/api{asked}", HTTP_IF_NONE_MATCH=first["ETag"]).status_code == 304
    assert client.get(f"/api{asked}", HTTP_IF_NONE_MATCH=f'W/{first["ETag"]}, "x"').status_code == 304
    assert client.get(f"/api{asked}", HTTP_IF_NONE_MATCH="*").status_code == 304
    assert client.get(f"/api{asked}", HTTP_IF_NONE_MATCH="nonsense").status_code == 200


# --- streams ------------------------------------------------------------------------------------------------


def test_each_is_exported_as_lines_of_json_and_as_a_spreadsheet(path: str) -> None:
    client = make_client("MANAGER")
    rows = client.get(path, {"ordering": "id", "page_size": "500"}).json()["results"]
    lines = client.get(path, {"format": "ndjson"})
    assert lines["Content-Type"].startswith("application/x-ndjson")
    assert [json.loads(line) for line in body(lines).splitlines()] == rows
    sheet = client.get(path, HTTP_ACCEPT="text/csv")
    assert sheet["Content-Type"] == "text/csv; charset=utf-8"
    assert "attachment" in sheet["Content-Disposition"]
    read = list(csv.DictReader(io.StringIO(body(sheet))))
    assert [int(row["id"]) for row in read][: len(rows)] == [row["id"] for row in rows]  # then its own record
    assert list(read[0]) == list(rows[0])


def test_an_empty_export_has_a_heading() -> None:
    sheet = make_client("MANAGER").get("/api/buyers/buyers", {"format": "csv", "fields": "id,name"})
    assert body(sheet) == "id,name\r\n"


def test_cells_hold_values_that_no_spreadsheet_takes_for_formulas() -> None:
    Buyer.objects.create(
        external_id="B-1",
        name="=1+1",
        provinces=["ON", "QC"],
        created_at=timezone.now(),
        updated_at=timezone.now(),
    )
    asked = {"format": "csv", "fields": "external_id,name,provinces,price_min"}
    sheet = list(csv.reader(io.StringIO(body(make_client("MANAGER").get("/api/buyers/buyers", asked)))))
    assert sheet[1] == ["B-1", "'=1+1", '["ON","QC"]', ""]


def test_an_export_is_logged_with_the_rows_that_left() -> None:
    LeadFactory.create_batch(3)
    client = make_client("MANAGER", "mona")
    answer = client.get("/api/followups/leads", {"format": "ndjson"})
    assert not KpiEvent.objects.filter(metric="rows_exported").exists()
    body(answer)
    event = KpiEvent.objects.get(metric="rows_exported")
    assert event.detail == {"table": "followups.lead", "rows": 3, "reason": "via API"}
    assert event.actor == "mona"


def test_also_when_the_reader_leaves_before_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "BATCH", 2)
    LeadFactory.create_batch(5)
    answer: Any = make_client("MANAGER").get("/api/followups/leads", {"format": "ndjson"})
    next(answer.streaming_content)
    hang_up(answer)
    assert KpiEvent.objects.get(metric="rows_exported").detail["rows"] == 1
    assert exports._free._value == exports.AT_ONCE


def test_rows_are_read_as_they_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "BATCH", 2)
    LeadFactory.create_batch(7)
    answer: Any = make_client("MANAGER").get("/api/followups/leads", {"format": "ndjson", "fields": "id"})
    with CaptureQueriesContext(connection) as asked:
        lines = [next(answer.streaming_content) for _number in range(2)]
        assert len(asked) == 1
        lines += answer.streaming_content
        assert len(asked) == 5  # and the record of it
    ids = [json.loads(line)["id"] for line in lines]
    assert ids == sorted(Lead.objects.values_list("id", flat=True))


def test_what_changes_while_it_is_exported_comes_again_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "BATCH", 2)
    now = timezone.now()
    leads = [LeadFactory.create(updated_at=now - HOUR + number * timedelta(minutes=1)) for number in range(5)]
    asked = {"format": "ndjson", "fields": "id", "updated_after": (now - 2 * HOUR).isoformat()}
    answer: Any = make_client("MANAGER").get("/api/followups/leads", asked)
    lines = [next(answer.streaming_content)]
    Lead.objects.filter(pk=leads[0].pk).update(status="WON")
    Lead.objects.filter(pk=leads[3].pk).update(status="DEAD")
    lines += answer.streaming_content
    ids = [json.loads(line)["id"] for line in lines]
    assert ids == [leads[number].pk for number in (0, 1, 2, 4, 0, 3)]


def test_rows_with_one_time_are_each_sent_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "BATCH", 2)
    now = timezone.now()
    leads = LeadFactory.create_batch(5, updated_at=now)
    asked = {"format": "ndjson", "fields": "id", "updated_after": now.isoformat()}
    lines = body(make_client("MANAGER").get("/api/followups/leads", asked)).splitlines()
    assert [json.loads(line)["id"] for line in lines] == [lead.pk for lead in leads]


def test_an_export_has_all_rows_in_its_own_order() -> None:
    client = make_client("MANAGER")
    for name, value in (("ordering", "id"), ("cursor", "x"), ("page_size", "5")):
        refused = client.get("/api/followups/leads", {"format": "csv", name: value})
        assert problem(refused) == (400, "invalid")
        assert list(refused.json()["errors"]) == [name]
    unknown = client.get("/api/followups/leads", {"format": "csv", "colour": "red"})
    assert problem(unknown) == (400, "unknown_field")
    assert unknown["Content-Type"] == "application/problem+json"
    assert problem(client.get("/api/followups/leads", {"format": "xlsx"}))[0] == 404


def test_a_browser_exports_in_admin_where_it_gives_a_reason() -> None:
    browser = Client()
    browser.force_login(make_person("MANAGER"))
    assert problem(browser.get("/api/followups/leads?format=csv")) == (403, "token_required")


def test_no_more_than_two_exports_run_in_a_process() -> None:
    client = make_client("MANAGER")
    running: list[Any] = [client.get("/api/followups/leads", {"format": "csv"}) for _number in range(2)]
    refused = client.get("/api/followups/leads", {"format": "csv"})
    assert problem(refused) == (503, "exports_busy")
    assert int(refused["Retry-After"]) > 0
    assert client.get("/api/followups/leads").status_code == 200
    for answer in running:
        next(answer.streaming_content)
        hang_up(answer)
    body(client.get("/api/followups/leads", {"format": "csv"}))


def test_a_va_exports_what_they_may_see() -> None:
    FollowUpTask.objects.all().delete()
    LeadFactory.create()
    assert body(make_client("VA").get("/api/followups/leads", {"format": "ndjson"})) == ""


@pytest.fixture(autouse=True)
def _all_exports_end() -> Iterator[None]:
    """End what a failed test left open."""
    yield
    while exports._free._value < exports.AT_ONCE:
        exports._free.release()


def test_every_collection_says_by_which_column_it_changes() -> None:
    view: type[CollectionViewSet]
    for path, view in FOUND.items():
        assert view.filterset_class.updated in ("created_at", "updated_at"), path


def test_a_number_that_comes_or_goes_is_a_change_of_its_lead() -> None:
    lead = LeadFactory.create(updated_at=timezone.now() - HOUR)
    client = make_client("SERVICE", "feed")
    at = f"/api/followups/leads/{lead.pk}/contact-points"

    def changes() -> int:
        return len(client.get("/api/followups/leads", {"updated_after": since.isoformat()}).json()["results"])

    since = timezone.now()
    assert changes() == 0
    added = client.post(at, {"phone": "+14165550188"}, format="json")
    assert added.status_code == 201, added.json()
    assert changes() == 1
    since = timezone.now()
    gone = client.post(f"{at}/{added.json()['contact_point']['id']}/retire", {}, format="json")
    assert gone.status_code == 200, gone.json()
    assert changes() == 1

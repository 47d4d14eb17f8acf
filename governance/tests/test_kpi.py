"""KPI events: written with what they count, read by those who may."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection, transaction
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from governance.core.actors import Actor
from governance.kpi.models import KpiEvent
from governance.kpi.services import Kpi, emit_kpi, emit_kpis, kpi_fail, kpi_success, kpi_timed_step, kpi_value
from governance.tests.factories import NOW, KpiEventFactory
from valhalla.testing import ClientResponse

Api = Callable[..., APIClient]
MakeBy = Callable[..., Actor]
pytestmark = [pytest.mark.both, pytest.mark.django_db]
PATH = "/api/governance/kpi/events"


def test_an_event_says_what_happened_and_who_did_it(by: MakeBy) -> None:
    pk = emit_kpi(
        "WHOLESALE",
        "offer_generated",
        by=by("CLOSER", "carl"),
        at=NOW,
        success=True,
        value=Decimal("252500"),
        detail={"offer": 7},
    )
    event = KpiEvent.objects.get(pk=pk)
    assert (event.domain, event.metric, event.success, event.value) == (
        "WHOLESALE",
        "offer_generated",
        True,
        Decimal("252500"),
    )
    assert (event.actor, event.correlation_id, event.detail, event.created_at) == (
        "carl",
        "test",
        {"offer": 7},
        NOW,
    )


def test_the_short_forms(by: MakeBy) -> None:
    kpi_success("NOTIFY", "mail_sent", by=by("MANAGER"), at=NOW, kind="digest")
    kpi_fail("NOTIFY", "mail_sent", by=by("MANAGER"), at=NOW)
    kpi_value("CAPITAL", "roi_event", Decimal("0.12"), by=by("MANAGER"), at=NOW)
    found = list(KpiEvent.objects.order_by("pk").values_list("metric", "success", "value", "detail"))
    assert found == [
        ("mail_sent", True, None, {"kind": "digest"}),
        ("mail_sent", False, None, {}),
        ("roi_event", None, Decimal("0.12"), {}),
    ]


def test_many_events_cost_no_statement_each(
    by: MakeBy, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    events = [Kpi("WHOLESALE", "followup_sla", success=False)] * 20
    actor = by("MANAGER")
    with django_assert_num_queries(2 if connection.vendor == "postgresql" else 1):  # a COPY needs their ids
        ids = emit_kpis(events, by=actor, at=NOW)
    assert len(set(ids)) == 20


def test_a_timed_step_says_how_it_went_and_how_long_it_took(by: MakeBy) -> None:
    with kpi_timed_step("FOLLOWUPS", "import", by=by("MANAGER"), at=NOW, file=3):
        pass
    with pytest.raises(ZeroDivisionError), kpi_timed_step("FOLLOWUPS", "import", by=by("MANAGER"), at=NOW):
        _ = 1 / 0
    went = list(KpiEvent.objects.order_by("pk").values_list("success", "detail"))
    assert went == [(True, {"file": 3}), (False, {})]
    assert all(
        value is not None and 0 <= value < 5 for value in KpiEvent.objects.values_list("value", flat=True)
    )


def test_an_event_goes_with_what_it_counts(by: MakeBy) -> None:
    @transaction.atomic
    def fail() -> None:
        emit_kpi("WHOLESALE", "ladder_created", by=by("MANAGER"), at=NOW)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not KpiEvent.objects.exists()


# --- the collection -----------------------------------------------------------------------------------------


def ids(response: ClientResponse) -> list[int]:
    return [row["id"] for row in response.json()["results"]]


def test_events_are_read_newest_first_and_narrowed(api: Api) -> None:
    old = KpiEventFactory.create(
        created_at=NOW - timedelta(days=1), success=None, value=Decimal("1.5"), actor="vera"
    )
    new = KpiEventFactory.create(
        domain="BUYER_MATCH", metric="buyer_feedback", success=False, correlation_id="c-1"
    )
    client = api("AUDITOR")
    answer = client.get(PATH)
    assert set(answer.json()) == {"next", "previous", "results"}
    assert ids(answer) == [new.pk, old.pk]
    assert ids(client.get(PATH, {"ordering": "created_at"})) == [old.pk, new.pk]
    for query, found in (
        ({"domain": "BUYER_MATCH"}, [new]),
        ({"metric": "followup_completed"}, [old]),
        ({"success": "false"}, [new]),
        ({"success": "null"}, [old]),
        ({"success": "true"}, []),
        ({"actor": "vera"}, [old]),
        ({"correlation_id": "c-1"}, [new]),
        ({"since": "2026-11-24T00:00:00Z"}, [new]),
        ({"until": "2026-11-24T00:00:00Z"}, [old]),
    ):
        assert ids(client.get(PATH, query)) == [row.pk for row in found], query
    assert client.get(f"{PATH}/{old.pk}").json() == {
        "id": old.pk, "domain": "WHOLESALE", "metric": "followup_completed", "success": None, "value": 1.5,
        "detail": {}, "actor": "vera", "acting_for": "", "token_id": None, "correlation_id": "",
        "created_at": "2026-11-23T15:00:00Z",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"success": "perhaps"}, "success"),
        ({"since": "2026-11-24"}, "since"),
        ({"metrics": "x"}, "metrics"),
        ({"domain": "a\0"}, "domain"),
        ({"ordering": "detail"}, "ordering"),
    ],
    ids=str,
)
def test_a_bad_filter_is_refused_by_its_name(api: Api, query: dict[str, str], field: str) -> None:
    response = api("AUDITOR").get(PATH, query)
    assert (response.status_code, list(response.json()["errors"])) == (400, [field])


@pytest.mark.parametrize(
    ("role", "status"), [("VA", 403), ("CLOSER", 200), ("MANAGER", 200), ("AUDITOR", 200), ("SERVICE", 200)]
)
def test_a_va_reads_no_events(api: Api, role: str, status: int) -> None:
    event = KpiEventFactory.create()
    assert api(role).get(PATH).status_code == status
    assert api(role).get(f"{PATH}/{event.pk}").status_code == status


def test_nobody_writes_events_through_the_collection(api: Api) -> None:
    event = KpiEventFactory.create()
    client = api("MANAGER")
    assert client.post(PATH, {}, format="json").status_code == 405
    assert client.delete(f"{PATH}/{event.pk}").status_code == 405
    assert APIClient().get(PATH).status_code == 401


def test_a_page_costs_the_same_whatever_its_length(
    api: Api, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    KpiEventFactory.create_batch(60)
    client = api("AUDITOR")
    with django_assert_max_num_queries(3):
        assert len(client.get(PATH, {"page_size": 50}).json()["results"]) == 50

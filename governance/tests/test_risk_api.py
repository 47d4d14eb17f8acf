"""The risk guard over REST: shapes, keys, refusals, who may, and what it costs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from governance.risk.models import RiskEvent, RiskPolicy, RiskReservation
from governance.risk.services import throttle
from governance.tests.factories import RiskEventFactory
from governance.tests.risking import ANYBODY, cap, open_risk, reserve, reserved

Api = Callable[..., APIClient]
pytestmark = [pytest.mark.both, pytest.mark.django_db]
BASE = "/api/governance/risk"


def post(client: APIClient, what: str, key: str = "", **given: Any) -> Any:
    headers: dict[str, Any] = {"HTTP_IDEMPOTENCY_KEY": key} if key else {}
    return client.post(f"{BASE}/{what}", given, format="json", **headers)


# --- reserving ----------------------------------------------------------------------------------------------


def test_a_reservation_answers_its_number_and_both_snapshots(api: Api) -> None:
    answer = post(api("CLOSER"), "check-and-reserve", engine="wholesale", amount=1500.5, purpose="call:7")
    assert answer.status_code == 200
    body = answer.json()
    row = RiskReservation.objects.get()
    assert body["ok"] is True
    assert (body["engine"], body["reserved"], body["code"]) == ("WHOLESALE", 1500.5, "reserved")
    assert (body["reservation_id"], row.purpose) == (row.pk, "call:7")
    assert body["message"] == "1,500.50 CAD are reserved for WHOLESALE."
    assert body["policy_snapshot"]["WHOLESALE"] == {
        "enabled": True,
        "max_daily_loss": 20000,
        "max_daily_exposure": 100000,
        "max_open_risk": 100000,
        "max_actions_per_day": 0,
        "version": 1,
    }
    assert set(body["ledger_snapshot"]) == {"day", "WHOLESALE", "GLOBAL"}
    assert body["ledger_snapshot"]["GLOBAL"] == {
        "realized_loss": 0,
        "exposure": 1500.5,
        "open_risk": 1500.5,
        "actions": 1,
    }


@pytest.mark.parametrize(
    ("given", "purpose", "warnings"),
    [
        ({"reason": "deal:7"}, "deal:7", []),
        ({"reason": "for Anne Tremblay's house"}, "", ["reason_not_stored"]),
        ({"reason": "deal:7", "purpose": "call:7"}, "call:7", ["reason_not_stored"]),
        ({"reason": None, "purpose": "call:7"}, "call:7", []),
        ({"reason": "call:7", "purpose": "call:7"}, "call:7", []),
    ],
    ids=str,
)
def test_a_reason_may_stand_for_the_purpose_and_a_sentence_is_never_stored(
    api: Api, given: dict[str, Any], purpose: str, warnings: list[str]
) -> None:
    body = post(api("SERVICE"), "check-and-reserve", engine="WHOLESALE", amount=5, **given).json()
    assert (body["ok"], body["warnings"]) == (True, warnings)
    assert RiskReservation.objects.get().purpose == RiskEvent.objects.get().purpose == purpose


def test_a_denial_is_an_answer_and_says_why(api: Api) -> None:
    answer = post(api("SERVICE"), "check-and-reserve", engine="WHOLESALE", amount=20000.01)
    body = answer.json()
    assert answer.status_code == 200
    assert (body["ok"], body["reserved"], body["reservation_id"]) == (False, 0, None)
    assert (body["code"], body["message"]) == (
        "max_daily_loss",
        "Denied: WHOLESALE may lose 20,000.00 CAD a day, 0.00 are lost or open, and 20,000.01 more "
        "would exceed the cap.",
    )
    assert RiskEvent.objects.get().kind == "DENIED"


def test_a_denial_speaks_the_callers_language(api: Api) -> None:
    client = api("SERVICE")
    answer = client.post(
        f"{BASE}/check-and-reserve",
        {"engine": "MOONSHOT", "amount": 1},
        format="json",
        HTTP_ACCEPT_LANGUAGE="fr",
    )
    assert answer.json()["message"].startswith("Refusé")


def test_a_key_reserves_once_and_denies_once(api: Api) -> None:
    client = api("SERVICE")
    first = post(client, "check-and-reserve", key="a", engine="WHOLESALE", amount=100)
    again = post(client, "check-and-reserve", key="a", engine="WHOLESALE", amount=100)
    assert (again.json(), again["Idempotent-Replayed"]) == (first.json(), "true")
    assert open_risk() == 100
    cap("WHOLESALE", max_open_risk=100)
    denied = post(client, "check-and-reserve", key="b", engine="WHOLESALE", amount=1).json()
    cap("WHOLESALE")
    assert post(client, "check-and-reserve", key="b", engine="WHOLESALE", amount=1).json() == denied
    assert denied["ok"] is False
    assert RiskEvent.objects.filter(kind="DENIED").count() == 1
    other = post(client, "check-and-reserve", key="a", engine="WHOLESALE", amount=101)
    assert (other.status_code, other.json()["code"]) == (422, "key_reused")


def test_a_call_carries_its_correlation_id_to_every_row(api: Api) -> None:
    post(api("SERVICE", "robot"), "check-and-reserve", engine="WHOLESALE", amount=1, actor="ada",
         correlation_id="call-7")  # fmt: skip
    for row in (RiskReservation.objects.get(), RiskEvent.objects.get()):
        assert (row.actor, row.acting_for, row.correlation_id) == ("robot", "ada", "call-7")


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({}, "engine"),
        ({"engine": "GLOBAL", "amount": 1}, "engine"),
        ({"engine": "A B", "amount": 1}, "engine"),
        ({"engine": ["WHOLESALE"], "amount": 1}, "engine"),
        ({"engine": "x" * 5000, "amount": 1}, "engine"),
        ({"engine": "WHOLESALE"}, "amount"),
        ({"engine": "WHOLESALE", "amount": -1}, "amount"),
        ({"engine": "WHOLESALE", "amount": 0.001}, "amount"),
        ({"engine": "WHOLESALE", "amount": "1e400"}, "amount"),
        ({"engine": "WHOLESALE", "amount": "٣"}, "amount"),
        ({"engine": "WHOLESALE", "amount": None}, "amount"),
        ({"engine": "WHOLESALE", "amount": True}, "amount"),
        ({"engine": "WHOLESALE", "amount": 1, "purpose": "a sentence"}, "purpose"),
        ({"engine": "WHOLESALE", "amount": 1, "purpose": None}, "purpose"),
        ({"engine": "WHOLESALE", "amount": 1, "ammount": 2}, "ammount"),
    ],
    ids=str,
)
def test_nonsense_names_its_field_and_keeps_nothing(api: Api, given: dict[str, object], field: str) -> None:
    answer = api("SERVICE").post(f"{BASE}/check-and-reserve", given, format="json")
    assert (answer.status_code, field in answer.json()["errors"]) == (400, True), answer.json()
    assert not RiskEvent.objects.exists()


# --- ending -------------------------------------------------------------------------------------------------


def test_settling_answers_the_reservation_and_again_the_same(api: Api) -> None:
    client = api("CLOSER")
    number = reserved(100)
    body = post(client, "settle", reservation_id=number, realized_loss=12.34).json()
    assert (body["ok"], body["already_ended"]) == (True, False)
    assert (body["reservation"]["state"], body["reservation"]["realized_loss"]) == ("SETTLED", 12.34)
    again = post(client, "settle", reservation_id=number, realized_loss=12.34).json()
    assert again == {**body, "already_ended": True}
    other = post(client, "settle", reservation_id=number, realized_loss=12.35)
    assert (other.status_code, other.json()["code"]) == (409, "reservation_closed")
    assert (other.json()["state"], other.json()["realized_loss"]) == ("SETTLED", 12.34)
    assert post(client, "release", reservation_id=number).status_code == 409


def test_releasing_answers_the_reservation_and_again_the_same(api: Api) -> None:
    client = api("CLOSER")
    number = reserved(100)
    body = post(client, "release", reservation_id=number, reason="no_show").json()
    assert (body["reservation"]["state"], body["already_ended"]) == ("RELEASED", False)
    assert post(client, "release", reservation_id=number).json()["already_ended"]
    assert RiskEvent.objects.get(kind="RELEASED").code == "no_show"


@pytest.mark.parametrize("what", ["settle", "release"])
@pytest.mark.parametrize("number", [0, -1, "x", None, 2**63, "٣", True, 1.5])
def test_a_number_that_is_none_is_a_field_error(api: Api, what: str, number: object) -> None:
    answer = api("CLOSER").post(
        f"{BASE}/{what}",
        {"reservation_id": number, "realized_loss": 0} if what == "settle" else {"reservation_id": number},
        format="json",
    )
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["reservation_id"])


def test_a_reservation_that_is_not_there_is_404(api: Api) -> None:
    assert post(api("CLOSER"), "settle", reservation_id=2**62, realized_loss=0).status_code == 404
    assert post(api("CLOSER"), "release", reservation_id=987_654).status_code == 404


# --- policies -----------------------------------------------------------------------------------------------


def test_policies_are_listed_by_engine_and_narrowed(api: Api) -> None:
    client = api("VA")
    rows = client.get(f"{BASE}/policies").json()["policies"]
    assert [row["engine"] for row in rows] == ["CAPITAL", "GLOBAL", "NOTIFY", "WHOLESALE"]
    assert set(rows[0]) == {
        "id", "engine", "enabled", "max_daily_loss", "max_daily_exposure", "max_open_risk",
        "max_actions_per_day", "version", "changed_by", "reason", "updated_at",
    }  # fmt: skip
    off = client.get(f"{BASE}/policies", {"enabled": "false"}).json()["policies"]
    assert [row["engine"] for row in off] == ["NOTIFY"]
    one = client.get(f"{BASE}/policies", {"engine": "capital"}).json()["policies"]
    assert [row["engine"] for row in one] == ["CAPITAL"]


def test_an_upsert_changes_what_it_names(api: Api) -> None:
    client = api("MANAGER", "mona")
    body = post(client, "policies/upsert", engine="WHOLESALE", max_actions_per_day=5).json()
    policy = body["policy"]
    assert (body["ok"], policy["max_actions_per_day"], policy["max_daily_loss"]) == (True, 5, 20000)
    assert (policy["version"], policy["changed_by"], policy["reason"]) == (2, "mona", "via API")
    stale = post(client, "policies/upsert", engine="WHOLESALE", enabled=False, expected_version=1)
    assert (stale.status_code, stale.json()["code"], stale.json()["version"]) == (409, "stale_version", 2)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"max_daily_loss": -1}, "max_daily_loss"),
        ({"max_open_risk": 1e12}, "max_open_risk"),
        ({"max_daily_exposure": "many"}, "max_daily_exposure"),
        ({"max_actions_per_day": 1.5}, "max_actions_per_day"),
        ({"max_actions_per_day": 2**31}, "max_actions_per_day"),
        ({"enabled": "perhaps"}, "enabled"),
        ({"enabled": None}, "enabled"),
        ({"reason": "r" * 501}, "reason"),
        ({"expected_version": -1}, "expected_version"),
        ({"max_loss": 1}, "max_loss"),
    ],
    ids=str,
)
def test_a_policy_that_cannot_be_names_its_field(api: Api, given: dict[str, Any], field: str) -> None:
    answer = post(api("MANAGER"), "policies/upsert", engine="WHOLESALE", **given)
    assert (answer.status_code, field in answer.json()["errors"]) == (400, True), answer.json()
    assert RiskPolicy.objects.get(engine="WHOLESALE").version == 1


# --- reading ------------------------------------------------------------------------------------------------


def test_the_snapshot_shows_caps_beside_use_global_first(api: Api) -> None:
    cap("WHOLESALE", max_daily_loss=200, max_actions_per_day=4)
    reserve(50, at=timezone.now())
    reserve(100, at=timezone.now() - timedelta(days=1))
    throttle("WHOLESALE", "WHOLESALE/followup_sla", by=ANYBODY, at=timezone.now())
    body = api("AUDITOR").get(f"{BASE}/snapshot").json()
    assert [row["engine"] for row in body["engines"]] == ["GLOBAL", "CAPITAL", "NOTIFY", "WHOLESALE"]
    row = body["engines"][3]
    assert (row["enabled"], row["throttled_by"]) == (True, ["WHOLESALE/followup_sla"])
    assert row["max_daily_loss"] == {"cap": 200, "used": 150, "left": 50, "share": 0.75}
    assert row["max_actions_per_day"] == {"cap": 4, "used": 1, "left": 3, "share": 0.25}
    assert row["max_open_risk"] == {"cap": None, "used": 150, "left": None, "share": None}
    assert row["max_daily_exposure"]["used"] == 50


def test_the_ledger_of_today_has_every_engine(api: Api) -> None:
    reserve(50, at=timezone.now())
    body = api("CLOSER").get(f"{BASE}/ledger/today").json()
    assert body["day"] == timezone.now().date().isoformat()
    rows = {row.pop("engine"): row for row in body["ledger"]}
    zeros = {"realized_loss": 0, "exposure": 0, "open_risk": 0, "actions": 0}
    used = {"realized_loss": 0, "exposure": 50, "open_risk": 50, "actions": 1}
    assert rows == {"GLOBAL": used, "CAPITAL": zeros, "NOTIFY": zeros, "WHOLESALE": used}


def test_events_are_read_newest_first_and_narrowed(api: Api) -> None:
    number = reserved(50)
    reserve(10**6)
    client = api("AUDITOR")

    def found(**query: Any) -> list[str]:
        answer = client.get(f"{BASE}/events", query)
        assert answer.status_code == 200, answer.json()
        return [row["kind"] for row in answer.json()["results"]]

    assert found() == ["DENIED", "RESERVED"]
    assert found(kind="DENIED") == found(code="max_daily_exposure") == ["DENIED"]
    assert found(reservation_id=str(number)) == ["RESERVED"]
    assert found(engine="CAPITAL") == []
    assert found(since="2026-11-25T00:00:00Z") == []
    row = client.get(f"{BASE}/events", {"kind": "RESERVED"}).json()["results"][0]
    assert client.get(f"{BASE}/events/{row['id']}").json() == row
    assert (row["amount"], row["reservation_id"], row["detail"]["ledger"]["day"]) == (
        50,
        number,
        "2026-11-24",
    )


@pytest.mark.parametrize(
    "query", ["kind=LOST", "reservation_id=x", "since=yesterday", "engin=WHOLESALE", "ordering=amount",
              "reservation_id=99999999999999999999", "kind=%00"],
)  # fmt: skip
def test_a_filter_that_is_none_is_refused(api: Api, query: str) -> None:
    assert api("AUDITOR").get(f"{BASE}/events?{query}").status_code == 400


@pytest.mark.parametrize(
    ("path", "most"), [("policies", 3), ("snapshot", 6), ("ledger/today", 6), ("events", 3)]
)
def test_reading_costs_the_same_however_much_there_is(
    api: Api, path: str, most: int, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(20):
        cap(f"ENGINE_{number}")
        RiskEventFactory.create(engine=f"ENGINE_{number}")
    client = api("MANAGER")
    with django_assert_max_num_queries(most):
        assert client.get(f"{BASE}/{path}").status_code == 200


def test_what_reserving_over_rest_costs(
    api: Api, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    client = api("SERVICE")
    post(client, "check-and-reserve", engine="WHOLESALE", amount=1)
    with django_assert_max_num_queries(1 + 12):
        post(client, "check-and-reserve", engine="WHOLESALE", amount=1)

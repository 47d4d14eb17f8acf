"""Market policies over REST: the list, the effective one, the upsert, and who may."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from governance.core.places import Province
from governance.market.models import MarketPolicy
from governance.tests.factories import MarketPolicyFactory

BASE = "/api/governance/market"
Api = Callable[..., APIClient]
pytestmark = [pytest.mark.both, pytest.mark.django_db]


def test_a_fresh_database_has_thirteen_policies_by_province(api: Api) -> None:
    rows = api("VA").get(f"{BASE}/policies").json()
    assert [row["province"] for row in rows] == sorted(Province.values)
    assert {row["market"] for row in rows} == {"ALL"}
    assert all(row["enabled"] and row["version"] == 1 for row in rows)
    assert set(rows[0]) == {
        "id", "province", "market", "enabled", "rules", "timezone", "version", "changed_by", "reason",
        "updated_at", "scheduled",
    }  # fmt: skip
    assert rows[0]["updated_at"].endswith("Z")
    assert rows[0]["rules"] == {
        "contact_windows_local": [
            {"days": [0, 1, 2, 3, 4], "start": "09:00", "end": "20:00"},
            {"days": [5], "start": "10:00", "end": "18:00"},
        ],
        "channels_allowed": ["SMS", "CALL", "EMAIL"],
        "min_lead_score_to_contact": 0.65,
        "skip_holidays": True,
        "consent_required_channels": [],
        "max_contacts_per_day": 3,
        "max_contacts_per_7_days": 6,
    }


def test_the_list_is_narrowed_by_province_market_and_enabled(api: Api) -> None:
    MarketPolicyFactory.create(province="QC", market="MONTRÉAL", enabled=False)
    client = api("AUDITOR")

    def found(**query: Any) -> list[tuple[str, str]]:
        rows = client.get(f"{BASE}/policies", query).json()
        return [(row["province"], row["market"]) for row in rows]

    assert found(province="qc") == [("QC", "ALL"), ("QC", "MONTRÉAL")]
    assert found(market="montreal ") == [("QC", "MONTRÉAL")]
    assert found(enabled="false") == [("QC", "MONTRÉAL")]
    assert len(found(limit="5")) == 5


def test_an_unknown_market_falls_back_to_all(api: Api) -> None:
    answer = api("VA").get(f"{BASE}/effective", {"province": "on", "market": "  sudbury  north "}).json()
    policy = MarketPolicy.objects.get(province="ON", market="ALL")
    assert answer == {
        "found": True,
        "province": "ON",
        "market": "ALL",
        "requested_market": "SUDBURY NORTH",
        "enabled": True,
        "rules": policy.rules,
        "policy_id": policy.pk,
        "version": 1,
        "effective_from": answer["effective_from"],
        "scheduled": [],
    }
    assert answer["effective_from"].endswith("Z")


def test_a_disabled_row_of_the_market_answers_for_itself(api: Api) -> None:
    own = MarketPolicyFactory.create(province="QC", market="MONTRÉAL", enabled=False)
    answer = api("VA").get(f"{BASE}/effective", {"province": "QC", "market": "montreal"}).json()
    assert (answer["market"], answer["enabled"], answer["policy_id"]) == ("MONTRÉAL", False, own.pk)
    assert answer["requested_market"] == "MONTREAL"


def test_a_province_without_any_policy_is_not_found_in_words(api: Api) -> None:
    MarketPolicy.objects.filter(province="NU").delete()
    response = api("VA").get(f"{BASE}/effective", {"province": "NU"})
    assert response.status_code == 200
    assert response.json() == {
        "found": False, "province": "NU", "market": None, "requested_market": "ALL", "enabled": None,
        "rules": None, "policy_id": None, "version": None, "effective_from": None, "scheduled": [],
    }  # fmt: skip


def test_an_upsert_changes_what_it_names_and_keeps_the_rest(api: Api) -> None:
    client = api("MANAGER", "mona")
    before = MarketPolicy.objects.get(province="ON", market="ALL")
    response = client.post(
        f"{BASE}/policies/upsert",
        {"province": "ON", "rules": {"min_lead_score_to_contact": 0.4}},
        format="json",
    )
    assert response.status_code == 200
    answer = response.json()
    assert answer["rules"] == {**before.rules, "min_lead_score_to_contact": 0.4}
    assert (answer["version"], answer["changed_by"], answer["reason"]) == (2, "mona", "via API")
    kept = list(
        MarketPolicy.history.filter(id=answer["id"])
        .order_by("version")
        .values_list("version", "history_change_reason")
    )
    assert kept == [(1, "seed"), (2, "via API")]


@pytest.mark.parametrize("how", ["query", "form", "json", "json text"])
def test_parameters_come_in_the_query_string_a_form_or_json(api: Api, how: str) -> None:
    rules = {"channels_allowed": ["CALL"]}
    given: dict[str, object] = {
        "province": "BC",
        "market": "Kelowna",
        "enabled": "false",
        "rules": json.dumps(rules),
    }
    client = api("MANAGER")
    path = f"{BASE}/policies/upsert"
    if how == "query":
        response = client.post(path, query_params=given)
    elif how == "form":
        response = client.post(path, given, format="multipart")
    elif how == "json":
        response = client.post(path, {**given, "rules": rules, "enabled": False}, format="json")
    else:
        response = client.post(path, given, format="json")
    assert response.status_code == 200, response.content
    answer = response.json()
    assert (answer["market"], answer["enabled"]) == ("KELOWNA", False)
    assert answer["rules"]["channels_allowed"] == ["CALL"]
    assert answer["rules"]["min_lead_score_to_contact"] == 0.65


def test_the_body_wins_over_the_query_string(api: Api) -> None:
    response = api("MANAGER").post(
        f"{BASE}/policies/upsert?province=ON&reason=old", {"province": "PE", "enabled": False}, format="json"
    )
    assert (response.json()["province"], response.json()["reason"]) == ("PE", "old")


def test_a_stale_version_is_refused_with_the_present_one(api: Api) -> None:
    client = api("MANAGER")
    given = {"province": "ON", "enabled": False, "expected_version": 1}
    assert client.post(f"{BASE}/policies/upsert", given, format="json").status_code == 200
    refused = client.post(f"{BASE}/policies/upsert", {**given, "enabled": True}, format="json")
    assert refused.status_code == 409
    assert (refused.json()["code"], refused.json()["version"]) == ("stale_version", 2)
    assert not MarketPolicy.objects.get(province="ON", market="ALL").enabled


def test_a_service_client_says_for_whom_it_acts(api: Api) -> None:
    client = api("SERVICE", "dialer")
    given = {"province": "ON", "enabled": False, "changed_by": "mona", "reason": "flood"}
    answer = client.post(f"{BASE}/policies/upsert", given, format="json").json()
    assert (answer["changed_by"], answer["reason"]) == ("mona", "flood")


def test_a_human_who_names_somebody_else_is_refused(api: Api) -> None:
    for key in ("changed_by", "actor"):
        response = api("MANAGER", "mona").post(
            f"{BASE}/policies/upsert", {"province": "ON", "enabled": False, key: "boss"}, format="json"
        )
        assert (response.status_code, response.json()["code"]) == (403, "actor_mismatch")
    assert MarketPolicy.objects.get(province="ON", market="ALL").version == 1


def test_a_human_may_name_herself_in_any_case(api: Api) -> None:
    given = {"province": "ON", "enabled": False, "changed_by": "Mona"}
    assert api("MANAGER", "mona").post(f"{BASE}/policies/upsert", given, format="json").status_code == 200


# --- who may ----------------------------------------------------------------------------------------------

READERS = ["VA", "CLOSER", "MANAGER", "AUDITOR", "SERVICE"]


@pytest.mark.parametrize("role", READERS)
@pytest.mark.parametrize("path", ["policies", "effective?province=ON", "can-contact?province=ON&channel=SMS"])
def test_everybody_who_is_signed_in_reads(api: Api, role: str, path: str) -> None:
    assert api(role, scopes=()).get(f"{BASE}/{path}").status_code == 200


@pytest.mark.parametrize("path", ["policies", "effective?province=ON", "can-contact?province=ON&channel=SMS"])
def test_nobody_reads_without_signing_in(path: str, db: None) -> None:
    response = APIClient().get(f"{BASE}/{path}")
    assert response.status_code == 401
    assert response["WWW-Authenticate"] == "Bearer"
    assert response["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("role", "scopes", "status"),
    [
        ("VA", (), 403),
        ("CLOSER", (), 403),
        ("AUDITOR", (), 403),
        ("SERVICE", (), 403),
        ("SERVICE", ("governance",), 403),
        ("SERVICE", ("policy",), 200),
        ("MANAGER", (), 200),
    ],
)
def test_only_a_manager_or_a_token_with_the_policy_scope_upserts(
    api: Api, role: str, scopes: tuple[str, ...], status: int
) -> None:
    given = {"province": "ON", "enabled": False}
    response = api(role, scopes=scopes).post(f"{BASE}/policies/upsert", given, format="json")
    assert response.status_code == status
    assert MarketPolicy.objects.get(province="ON", market="ALL").enabled is (status == 403)


def test_a_token_narrowed_to_another_part_reaches_nothing_here(api: Api) -> None:
    assert api("SERVICE", scopes=("buyers",)).get(f"{BASE}/policies").status_code == 403


def test_an_upsert_without_signing_in_is_401(db: None) -> None:
    assert APIClient().post(f"{BASE}/policies/upsert", {"province": "ON"}, format="json").status_code == 401


# --- what every call has ----------------------------------------------------------------------------------


def test_the_correlation_id_is_taken_kept_and_answered(api: Api) -> None:
    client = api("MANAGER")
    given = {"province": "ON", "enabled": False}
    response = client.post(
        f"{BASE}/policies/upsert", given, format="json", headers={"X-Correlation-ID": "call-7"}
    )
    assert response["X-Correlation-ID"] == "call-7"
    assert MarketPolicy.objects.get(province="ON", market="ALL").correlation_id == "call-7"
    given = {"province": "PE", "enabled": False, "correlation_id": "call-8"}
    response = client.post(
        f"{BASE}/policies/upsert", given, format="json", headers={"X-Correlation-ID": "call-9"}
    )
    assert response["X-Correlation-ID"] == "call-8"
    assert MarketPolicy.objects.get(province="PE", market="ALL").correlation_id == "call-8"
    assert len(client.get(f"{BASE}/policies")["X-Correlation-ID"]) == 32


def test_a_refusal_is_a_problem_that_a_person_and_a_program_can_read(api: Api) -> None:
    response = api("VA").get(f"{BASE}/effective", {"province": "ZZ"}, headers={"X-Correlation-ID": "call-7"})
    assert response.status_code == 400
    assert response["Content-Type"] == "application/problem+json"
    body = response.json()
    assert set(body) == {"type", "title", "status", "detail", "code", "errors", "correlation_id"}
    assert (body["status"], body["code"], body["correlation_id"]) == (400, "invalid", "call-7")
    assert body["type"] == "urn:valhalla:problem:invalid"
    assert body["detail"].startswith("province: ")
    assert "not a Canadian province" in body["errors"]["province"][0]


def test_a_path_with_a_slash_answers_too(api: Api) -> None:
    client = api("MANAGER")
    assert client.get(f"{BASE}/policies/").status_code == 200
    given = {"province": "ON", "enabled": False}
    assert client.post(f"{BASE}/policies/upsert/", given, format="json").json()["version"] == 2


def test_an_unknown_path_or_method_is_a_problem(api: Api) -> None:
    client = api("MANAGER")
    missing, wrong = client.get(f"{BASE}/nothing"), client.delete(f"{BASE}/policies")
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method_not_allowed")


@pytest.mark.parametrize(("path", "most"), [("policies", 4), ("effective?province=ON&market=OTTAWA", 3)])
def test_reading_asks_few_queries_authentication_included(
    api: Api, path: str, most: int, django_assert_max_num_queries: Callable[..., CaptureQueriesContext]
) -> None:
    client = api("VA")
    with django_assert_max_num_queries(most):
        assert client.get(f"{BASE}/{path}").status_code == 200


# --- once per key -----------------------------------------------------------------------------------------


def test_the_same_key_answers_the_same_bytes_and_acts_once(api: Api) -> None:
    client = api("MANAGER")
    given = {"province": "ON", "rules": {"min_lead_score_to_contact": 0.4}}
    send: dict[str, Any] = {"format": "json", "headers": {"Idempotency-Key": "k-1"}}
    first = client.post(f"{BASE}/policies/upsert", given, **send)
    client.post(f"{BASE}/policies/upsert", {"province": "ON", "enabled": False}, format="json")
    again = client.post(f"{BASE}/policies/upsert", given, **send)
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again["Content-Type"] == first["Content-Type"]
    assert again["Idempotent-Replayed"] == "true"
    assert MarketPolicy.objects.get(province="ON", market="ALL").version == 3


def test_another_request_under_the_key_is_422(api: Api) -> None:
    client = api("MANAGER")
    send: dict[str, Any] = {"format": "json", "headers": {"Idempotency-Key": "k-1"}}
    client.post(f"{BASE}/policies/upsert", {"province": "ON", "enabled": False}, **send)
    other = client.post(f"{BASE}/policies/upsert", {"province": "PE", "enabled": False}, **send)
    assert (other.status_code, other.json()["code"]) == (422, "key_reused")
    assert MarketPolicy.objects.get(province="PE", market="ALL").enabled


def test_keys_are_per_person(api: Api) -> None:
    send: dict[str, Any] = {"format": "json", "headers": {"Idempotency-Key": "k-1"}}
    api("MANAGER", "mona").post(f"{BASE}/policies/upsert", {"province": "ON", "enabled": False}, **send)
    other = api("MANAGER", "max").post(
        f"{BASE}/policies/upsert", {"province": "PE", "enabled": False}, **send
    )
    assert other.status_code == 200


def test_a_refusal_may_be_tried_again_under_its_key(api: Api) -> None:
    client = api("MANAGER")
    send: dict[str, Any] = {"format": "json", "headers": {"Idempotency-Key": "k-1"}}
    given = {"province": "ON", "enabled": False, "expected_version": 2}
    assert client.post(f"{BASE}/policies/upsert", given, **send).status_code == 409
    client.post(
        f"{BASE}/policies/upsert",
        {"province": "ON", "enabled": True, "timezone": "America/Toronto"},
        format="json",
    )
    assert client.post(f"{BASE}/policies/upsert", given, **send).status_code == 200


def test_an_unusable_key_is_refused(api: Api) -> None:
    response = api("MANAGER").post(
        f"{BASE}/policies/upsert", {"province": "ON"}, format="json", headers={"Idempotency-Key": "a b"}
    )
    assert (response.status_code, list(response.json()["errors"])) == (400, ["Idempotency-Key"])


# --- bad input --------------------------------------------------------------------------------------------

LONG = "X" * 41
WINDOW = {"days": [0], "start": "09:00", "end": "10:00"}
UPSERTS: list[tuple[dict[str, object], str]] = [
    ({}, "province"),
    ({"province": "ZZ"}, "province"),
    ({"province": "ＯＮ"}, "province"),
    ({"province": ["ON"]}, "province"),
    ({"province": None}, "province"),
    ({"market": LONG}, "market"),
    ({"market": "A\tB\x7f"}, "market"),
    ({"market": "<b>"}, "market"),
    ({"market": ["ALL"]}, "market"),
    ({"enabled": "perhaps"}, "enabled"),
    ({"enabled": None}, "enabled"),
    ({"enabled": {}}, "enabled"),
    ({"rules": "{"}, "rules"),
    ({"rules": "[]"}, "rules"),
    ({"rules": []}, "rules"),
    ({"rules": None}, "rules"),
    ({"rules": '{"min_lead_score_to_contact": NaN}'}, "rules"),
    ({"rules": '{"min_lead_score_to_contact": 1e400}'}, "rules"),
    ({"rules": {"min_lead_score_to_contact": -0.1}}, "rules"),
    ({"rules": {"min_lead_score_to_contact": 1.01}}, "rules"),
    ({"rules": {"min_lead_score_to_contact": True}}, "rules"),
    ({"rules": {"windows": []}}, "rules"),
    ({"rules": {"channels_allowed": ["FAX"]}}, "rules"),
    ({"rules": {"channels_allowed": "SMS"}}, "rules"),
    ({"rules": {"skip_holidays": "yes"}}, "rules"),
    ({"rules": {"max_contacts_per_day": 0}}, "rules"),
    ({"rules": {"max_contacts_per_day": True}}, "rules"),
    ({"rules": {"max_contacts_per_7_days": 51}}, "rules"),
    ({"rules": {"max_contacts_per_7_days": "6"}}, "rules"),
    ({"rules": {"max_contacts_per_day": 7}}, "rules"),
    ({"rules": {"contact_windows_local": {}}}, "rules"),
    ({"rules": {"contact_windows_local": [{**WINDOW, "days": [9]}]}}, "rules"),
    ({"rules": {"contact_windows_local": [{**WINDOW, "days": [0, 0]}]}}, "rules"),
    ({"rules": {"contact_windows_local": [{**WINDOW, "days": []}]}}, "rules"),
    ({"rules": {"contact_windows_local": [{**WINDOW, "end": "25:99"}]}}, "rules"),
    ({"rules": {"contact_windows_local": [{**WINDOW, "end": "09:00"}]}}, "rules"),
    ({"rules": {"contact_windows_local": [{**WINDOW, "start": "22:00", "end": "06:00"}]}}, "rules"),
    ({"rules": {"contact_windows_local": [WINDOW, {**WINDOW, "start": "09:30"}]}}, "rules"),
    ({"rules": {"contact_windows_local": [{**WINDOW, "zone": "x"}]}}, "rules"),
    ({"timezone": "Europe/Paris"}, "timezone"),
    ({"timezone": "America/Toronto\0"}, "timezone"),
    ({"timezone": "X" * 41}, "timezone"),
    ({"reason": "r" * 501}, "reason"),
    ({"reason": "a\0b"}, "reason"),
    ({"reason": {"why": "?"}}, "reason"),
    ({"expected_version": -1}, "expected_version"),
    ({"expected_version": "one"}, "expected_version"),
    ({"expected_version": "١"}, "expected_version"),
    ({"expected_version": 1.5}, "expected_version"),
    ({"expected_version": 10**30}, "expected_version"),
    ({"enabledd": False}, "enabledd"),
    ({"correlation_id": "a b"}, "correlation_id"),
    ({"changed_by": "x" * 151}, "changed_by"),
]


@pytest.mark.parametrize(("given", "field"), UPSERTS, ids=lambda value: str(value)[:40])
def test_bad_input_names_its_field_and_stores_nothing(api: Api, given: dict[str, object], field: str) -> None:
    whole = {"province": "ON", "enabled": False, **given} if given else given
    response = api("MANAGER").post(f"{BASE}/policies/upsert", whole, format="json")
    assert response.status_code == 400, response.content
    assert field in response.json()["errors"]
    assert response.json()["detail"]
    assert not MarketPolicy.objects.exclude(version=1).exists()
    assert MarketPolicy.objects.count() == 13


RAW = [
    (b'{"province": "ON", "enabled": fals', "body"),
    (b'{"province": "ON", "reason": "\\ud800"}', "reason"),
    (b'{"province": "ON", "reason": "\\u0000"}', "reason"),
    (b'{"province": "ON", "rules": {"min_lead_score_to_contact": NaN}}', "rules"),
    (b'{"province": "ON", "rules": {"min_lead_score_to_contact": 1e400}}', "rules"),
    (b'{"province": "ON", "rules": {"min_lead_score_to_contact": -Infinity}}', "rules"),
    (b'{"a":' * 40 + b"1" + b"}" * 40, "a"),
    (b"[" * 20_000, "body"),
    (b'["ON"]', "body"),
    (b'"ON"', "body"),
    (b"\xff\xfe", "body"),
]


@pytest.mark.parametrize(("raw", "field"), RAW, ids=lambda value: str(value)[:30])
def test_a_body_that_is_no_good_json_is_refused(api: Api, raw: bytes, field: str) -> None:
    response = api("MANAGER").post(f"{BASE}/policies/upsert", raw, content_type="application/json")
    assert response.status_code == 400, response.content
    assert field in response.json()["errors"]
    assert not MarketPolicy.objects.exclude(version=1).exists()


def test_two_megabytes_are_refused_before_they_are_read(api: Api) -> None:
    body = json.dumps({"province": "ON", "reason": "x" * 2_000_000})
    response = api("MANAGER").post(f"{BASE}/policies/upsert", body, content_type="application/json")
    assert (response.status_code, response.json()["code"]) == (413, "body_too_large")


def test_another_media_type_is_415(api: Api) -> None:
    response = api("MANAGER").post(f"{BASE}/policies/upsert", b"<x/>", content_type="text/xml")
    assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        ("policies", {"province": "ZZ"}, "province"),
        ("policies", {"market": LONG}, "market"),
        ("policies", {"market": "a\0b"}, "market"),
        ("policies", {"enabled": "perhaps"}, "enabled"),
        ("policies", {"limit": "0"}, "limit"),
        ("policies", {"limit": "1001"}, "limit"),
        ("policies", {"limit": "1_0"}, "limit"),
        ("effective", {}, "province"),
        ("effective", {"province": "ZZ"}, "province"),
        ("effective", {"province": "ON", "market": LONG}, "market"),
        ("effective", {"province": "ON", "market": "a\0b"}, "market"),
    ],
)
def test_a_bad_question_names_its_field(api: Api, path: str, query: dict[str, str], field: str) -> None:
    response = api("VA").get(f"{BASE}/{path}", query)
    assert (response.status_code, list(response.json()["errors"])) == (400, [field])


def test_a_policy_older_than_the_frequency_cap_has_its_default(api: Api) -> None:
    """An unchanged upsert of it makes no version."""
    policy = MarketPolicy.objects.get(province="ON")
    old = {name: value for name, value in policy.rules.items() if not name.startswith("max_contacts")}
    MarketPolicy.objects.filter(pk=policy.pk).update(rules=old)
    policy.refresh_from_db()
    assert (policy.rules["max_contacts_per_day"], policy.rules["max_contacts_per_7_days"]) == (3, 6)
    answer = (
        api("MANAGER", "mona")
        .post(f"{BASE}/policies/upsert", {"province": "ON", "rules": old}, format="json")
        .json()
    )
    assert (answer["version"], answer["rules"]["max_contacts_per_day"]) == (1, 3)

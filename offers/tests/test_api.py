"""The offers' endpoints over HTTP, with real tokens."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings
from rest_framework.test import APIClient

from governance.models import GoLiveState, KpiEvent
from offers.models import CompDetails, Offer, OfferEvidence, OfferOutcome, OfferPolicy
from offers.services import differences
from offers.tests.factories import TORONTO, OfferPolicyFactory, kept, outcome, switch_on

pytestmark = [pytest.mark.both, pytest.mark.django_db]

ROOT = "/api/deals/offers"
EXAMPLE = {"province": "on", "arv": 450_000, "repairs": 50_000}
Api = Callable[..., APIClient]


def post(client: APIClient, path: str, body: Any = None, **options: Any) -> Any:
    return client.post(f"{ROOT}/{path}", body if body is not None else {}, format="json", **options)


def stored() -> list[int]:
    return [model._default_manager.count() for model in (OfferEvidence, Offer, OfferOutcome, KpiEvent)]


# --- what existing clients send ----------------------------------------------------------------------------


def test_upsert_and_compute_by_query_string_with_a_service_token(api: Api) -> None:
    client = api("SERVICE")
    answer = client.post(
        f"{ROOT}/policies/upsert?province=ON&market=ALL&enabled=true&max_arv_multiplier=0.7&changed_by=bench"
    )
    assert answer.status_code == 200, answer.content
    policy = answer.json()["policy"]
    assert (policy["enabled"], policy["version"], policy["changed_by"], policy["reason"]) == (
        True,
        2,
        "bench",
        "via API",
    )
    answer = client.post(f"{ROOT}/compute?province=ON&market=ALL&arv=450000&repairs=50000&correlation_id=c1")
    assert answer.status_code == 200, answer.content
    got = answer.json()
    assert set(got) == {"ok", "policy", "calc", "evidence_id", "reservation_id", "warnings"}
    assert got["calc"] == {
        "arv": 450000, "max_arv_multiplier": 0.7, "repairs": 50000, "fees_buffer": 2500,
        "assignment_fee": 10000, "mao": 262500, "recommended_offer": 252500, "binding": "formula",
        "floored": False,
    }  # fmt: skip
    assert (got["ok"], got["reservation_id"], got["policy"]["version"]) == (True, None, 2)
    assert OfferEvidence.objects.get(pk=got["evidence_id"]).correlation_id == "c1"
    assert answer["X-Correlation-ID"] == "c1"


def test_comps_and_assumptions_as_json_text_or_as_json(api: Api) -> None:
    switch_on()
    comps = [
        {"price": 450_000 + step, "sqft": 1500, "distance_miles": 0.2, "months_ago": 1} for step in range(3)
    ]
    assumptions = {"subject_sqft": 1500, "vacant": True}
    client = api("CLOSER")
    bodies: list[dict[str, object]] = [
        {"comps": comps, "assumptions": assumptions},
        {"comps_json": json.dumps(comps), "assumptions_json": json.dumps(assumptions)},
        {"comps": json.dumps(comps), "assumptions_json": assumptions},
    ]
    for body in bodies:
        assert post(client, "compute", {**EXAMPLE, **body}).status_code == 200
    form = client.post(f"{ROOT}/compute", {**EXAMPLE, **bodies[1]})  # multipart
    assert form.status_code == 200, form.content
    kept_comps = {json.dumps(row.comps_statistics, sort_keys=True) for row in OfferEvidence.objects.all()}
    assert len(kept_comps) == 1
    assert OfferEvidence.objects.filter(comps_grade="B").count() == 4


def test_addresses_and_links_of_comps_are_kept_apart_from_the_evidence(api: Api) -> None:
    switch_on()
    client = api("CLOSER")
    comps = [{"price": 400_000}, {"price": 410_000, "address": "12 Main St", "url": "https://x.example/1"}]
    body = {**EXAMPLE, "lead_id": "L-1", "comps": comps}
    tried = post(client, "compute", {**body, "dry_run": True}).json()
    assert tried["warnings"] == ["unknown_field:comps.address", "unknown_field:comps.url"]
    assert not CompDetails.objects.exists()
    got = post(client, "compute", body).json()
    assert got["warnings"] == tried["warnings"]
    evidence = OfferEvidence.objects.get()
    assert evidence.comps == [{"price": "400000.00"}, {"price": "410000.00"}]
    assert differences(evidence) == []
    row = CompDetails.objects.get()
    assert (row.evidence_id, row.lead_id) == (evidence.pk, "L-1")
    assert row.details == {"2": {"address": "12 Main St", "url": "https://x.example/1"}}
    assert client.get(f"{ROOT}/evidence/{evidence.pk}").json()["comp_details"] == row.details
    assert post(client, "compute", {**body, "comps": [{"price": 1}]}).json()["warnings"] == []
    assert CompDetails.objects.count() == 1


def test_what_listings_say_of_a_sale_is_kept_as_it_came(api: Api) -> None:
    switch_on()
    listing = {"address": {"street": "12 Main St", "unit": None}, "photos": ["a", "b"], "remarks": "x" * 1200}
    more = {f"field{number}": number for number in range(60)}
    got = post(api("CLOSER"), "compute", {**EXAMPLE, "comps": [{"price": 400_000, **listing, **more}]})
    assert got.status_code == 200, got.content
    assert CompDetails.objects.get().details == {"1": {**listing, **more}}
    assert OfferEvidence.objects.get().comps == [{"price": "400000.00"}]


def test_the_body_wins_over_the_query_string(api: Api) -> None:
    switch_on()
    client = api("CLOSER")
    answer = client.post(f"{ROOT}/compute?arv=1&province=ON&repairs=0", {"arv": 450_000}, format="json")
    assert answer.json()["calc"]["arv"] == 450_000


def test_a_refused_offer_is_a_problem_with_a_code(api: Api) -> None:
    answer = post(api("CLOSER"), "compute", {**EXAMPLE, "province": "BC"})
    assert (answer.status_code, answer.json()["code"]) == (409, "offer_policy_disabled")
    assert answer["Content-Type"] == "application/problem+json"
    assert stored() == [0, 0, 0, 0]


def test_the_same_key_computes_once(api: Api) -> None:
    switch_on()
    client = api("SERVICE")
    first = post(client, "compute", EXAMPLE, HTTP_IDEMPOTENCY_KEY="k-1")
    again = post(client, "compute", EXAMPLE, HTTP_IDEMPOTENCY_KEY="k-1")
    assert first.json() == again.json()
    assert stored()[0] == 1


# --- policies ----------------------------------------------------------------------------------------------


def test_policies_come_by_province_then_market_and_can_be_narrowed(api: Api) -> None:
    OfferPolicyFactory()
    client = api("VA")
    policies = client.get(f"{ROOT}/policies").json()["policies"]
    assert len(policies) == 14
    assert [row["market"] for row in policies if row["province"] == "ON"] == ["ALL", "TORONTO"]
    narrowed = client.get(f"{ROOT}/policies?province=on&enabled=true").json()["policies"]
    assert [row["market"] for row in narrowed] == ["TORONTO"]
    assert len(client.get(f"{ROOT}/policies?market=torontó").json()["policies"]) == 1


def test_blank_takes_the_least_score_away(api: Api) -> None:
    client = api("MANAGER")
    for text, value in (("12.5", 12.5), ("", None)):
        answer = client.post(f"{ROOT}/policies/upsert?province=ON&min_liquidity_score={text}")
        assert answer.json()["policy"]["min_liquidity_score"] == value


def test_an_old_version_is_refused(api: Api) -> None:
    answer = post(
        api("MANAGER"), "policies/upsert", {"province": "ON", "enabled": True, "expected_version": 7}
    )
    assert (answer.status_code, answer.json()["code"]) == (409, "stale_version")
    assert OfferPolicy.history.filter(province="ON").count() == 1


# --- outcomes ----------------------------------------------------------------------------------------------


def test_an_offers_whole_way(api: Api) -> None:
    switch_on()
    client = api("CLOSER")
    number = post(client, "compute", {**EXAMPLE, "lead_id": "L-1"}).json()["evidence_id"]
    path = f"{number}/outcome"
    accepted = post(client, path, {"outcome": "accepted", "agreed_price": 250_000}).json()
    assert (accepted["ok"], accepted["state"], accepted["already_recorded"]) == (True, "ACCEPTED", False)
    again = client.post(f"{ROOT}/{path}?outcome=ACCEPTED").json()
    assert (again["already_recorded"], again["outcome"]) == (True, accepted["outcome"])
    assert post(client, path, {"outcome": "CONTRACTED"}).json()["state"] == "CONTRACTED"
    above = post(
        client,
        path,
        {"outcome": "ASSIGNED", "buyer": "B-1", "buyer_price": 1, "fee_earned": 1, "agreed_price": 262_501},
    )
    assert (above.status_code, above.json()["code"], above.json()["mao"]) == (409, "price_above_mao", 262_500)
    done = post(
        client, path, {"outcome": "ASSIGNED", "buyer": "B-1", "buyer_price": 255_000, "fee_earned": 9_000}
    )
    assert done.json()["state"] == "ASSIGNED"
    assert list(KpiEvent.objects.order_by("id").values_list("metric", "success")) == [
        ("offer_generated", None),
        ("offer_accept_rate", True),
        ("contract_rate", True),
    ]


def test_a_manager_corrects_over_the_same_door(api: Api) -> None:
    switch_on()
    number = kept("L-1")
    outcome(number, "ACCEPTED")
    body = {"outcome": "ACCEPTED", "correct": True, "void": True, "reason": "another house"}
    assert post(api("CLOSER"), f"{number}/outcome", body).status_code == 403
    answer = post(api("MANAGER"), f"{number}/outcome", body)
    assert (answer.status_code, answer.json()["state"], answer.json()["outcome"]["voided"]) == (
        200,
        "OPEN",
        True,
    )


def test_an_offer_that_does_not_exist(api: Api) -> None:
    for number in (4711, 10**30):
        assert post(api("CLOSER"), f"{number}/outcome", {"outcome": "ACCEPTED"}).status_code == 404
        assert api("CLOSER").get(f"{ROOT}/evidence/{number}").status_code == 404


# --- evidence ----------------------------------------------------------------------------------------------


def test_evidence_is_read_with_its_state_and_outcomes(api: Api) -> None:
    switch_on()
    switch_on(TORONTO)
    first, second = kept("L-1"), kept("L-2", place=TORONTO)
    outcome(first, "REJECTED")
    client = api("AUDITOR")
    rows = client.get(f"{ROOT}/evidence").json()["results"]
    assert [row["id"] for row in rows] == [second, first]
    one = client.get(f"{ROOT}/evidence/{first}").json()
    assert (one["state"], [row["outcome"] for row in one["outcomes"]]) == ("REJECTED", ["REJECTED"])
    assert (one["mao"], len(one["digest"])) == (262_500, 64)
    for query, expected in {
        "state=REJECTED": [first],
        "lead_id=L-2": [second],
        "market=Toronto": [second],
        "province=BC": [],
        "comps_grade=D&floored=false": [second, first],
        "ordering=id": [first, second],
    }.items():
        found = client.get(f"{ROOT}/evidence?{query}").json()["results"]
        assert [row["id"] for row in found] == expected, query
    assert client.get(f"{ROOT}/evidence?stat=OPEN").status_code == 400
    assert client.get(f"{ROOT}/evidence?ordering=digest").status_code == 400
    assert client.get(f"{ROOT}/evidence?province=ZZ").status_code == 400


# --- queries -----------------------------------------------------------------------------------------------


def queries(call: Callable[[], Any]) -> int:
    with CaptureQueriesContext(
        connection,
    ) as seen:
        answer = call()
    assert answer.status_code == 200, answer.content
    return len(
        [query for query in seen if not query["sql"].startswith(("SAVEPOINT", "RELEASE", "BEGIN", "COMMIT"))]
    )


def test_policies_need_at_most_three_queries(api: Api) -> None:
    client = api("VA")
    assert queries(lambda: client.get(f"{ROOT}/policies")) <= 3


@pytest.mark.parametrize("least", [None, "0"])
def test_computing_needs_at_most_twelve_statements(api: Api, least: str | None) -> None:
    from buyers.tests.factories import feedback

    switch_on(min_liquidity_score=least)
    feedback("RESPONDED", buyer="B-1")
    client = api("SERVICE")
    body = {**EXAMPLE, "market": "Toronto", "lead_id": "L-1", "comps": [{"price": 1}] * 50}
    for _turn in range(2):
        assert queries(lambda: post(client, "compute", body)) <= 12


def test_a_page_of_evidence_needs_the_same_queries_for_few_and_many(api: Api) -> None:
    switch_on()
    client = api("AUDITOR")
    kept("L-0")
    client.get(f"{ROOT}/evidence")
    few = queries(lambda: client.get(f"{ROOT}/evidence"))
    for number in range(20):
        outcome(kept(f"L-{number}"), "ACCEPTED")
    assert queries(lambda: client.get(f"{ROOT}/evidence")) == few <= 5


# --- bad input ---------------------------------------------------------------------------------------------

BAD_COMPUTE: dict[str, tuple[dict[str, object], str]] = {
    "unknown province": ({"province": "ZZ"}, "province"),
    "a label of 41 characters": ({"market": "x" * 41}, "market"),
    "NUL in the market": ({"market": "a\x00b"}, "market"),
    "unknown property type": ({"property_type": "CASTLE"}, "property_type"),
    "a property type that is a list": ({"property_type": ["SFR"]}, "property_type"),
    "negative": ({"arv": -1}, "arv"),
    "too large": ({"arv": 10**12}, "arv"),
    "a third decimal": ({"repairs": 0.001}, "repairs"),
    "words": ({"repairs": "a lot"}, "repairs"),
    "digits of another script": ({"arv": "٤٥٠٠٠٠"}, "arv"),
    "true": ({"arv": True}, "arv"),
    "null": ({"arv": None}, "arv"),
    "NaN as text": ({"arv": "NaN"}, "arv"),
    "infinity as text": ({"arv": "Infinity"}, "arv"),
    "1e400 as text": ({"arv": "1e400"}, "arv"),
    "comps that are no list": ({"comps": {"price": 1}}, "comps"),
    "comps that are no JSON": ({"comps_json": "[{"}, "comps_json"),
    "a thousand comps": ({"comps": [{"price": 1}] * 1000}, "comps"),
    "a comp with a wrong size beside an address": ({"comps": [{"sqft": 1, "address": "12 Main"}]}, "comps"),
    "a comp with a name of two lines": ({"comps": [{"price": 1, "a\nb": 1}]}, "comps"),
    "a comp with 101 details": ({"comps": [{"price": 1} | {f"k{n}": n for n in range(101)}]}, "comps"),
    "a comp's endless remarks": ({"comps": [{"price": 1, "remarks": "x" * 5001}]}, "comps"),
    "a comp's endless photos": ({"comps": [{"price": 1, "photos": ["x" * 99] * 51}]}, "comps"),
    "a comp with NaN inside text": ({"comps_json": '[{"price": NaN}]'}, "comps_json"),
    "comps twice": ({"comps": [], "comps_json": "[]"}, "comps_json"),
    "assumptions that are no object": ({"assumptions": [1]}, "assumptions"),
    "assumptions that are a sentence": ({"assumptions": {"why": "she needs money, call!"}}, "assumptions"),
    "deep assumptions": ({"assumptions_json": "[" * 40 + "]" * 40}, "assumptions_json"),
    "a lead of 65 characters": ({"lead_id": "x" * 65}, "lead_id"),
    "NUL in the lead": ({"lead_id": "a\x00b"}, "lead_id"),
    "a lead that is an object": ({"lead_id": {}}, "lead_id"),
    "maybe": ({"dry_run": "maybe"}, "dry_run"),
    "a correlation id with spaces": ({"correlation_id": "a b"}, "correlation_id"),
    "unknown key": ({"arvv": 1}, "arvv"),
}


@pytest.mark.parametrize("name", BAD_COMPUTE)
def test_bad_input_to_compute_is_named_and_stores_nothing(name: str, api: Api) -> None:
    switch_on()
    change, field = BAD_COMPUTE[name]
    answer = post(api("CLOSER"), "compute", {**EXAMPLE, **change})
    assert answer.status_code == 400, answer.content
    assert set(answer.json()["errors"]) == {field}
    assert stored() == [0, 0, 0, 0]


@pytest.mark.parametrize("missing", ["province", "arv", "repairs"])
def test_what_is_missing_is_named(missing: str, api: Api) -> None:
    switch_on()
    body = {key: value for key, value in EXAMPLE.items() if key != missing}
    answer = post(api("CLOSER"), "compute", body)
    assert (answer.status_code, set(answer.json()["errors"])) == (400, {missing})


@pytest.mark.parametrize(
    "body",
    [
        '{"province": "ON", "arv": NaN, "repairs": 0}',
        '{"province": "ON", "arv": 1e400, "repairs": 0}',
        '{"province": "ON", "arv": 1, "repairs": 0, "lead_id": "\\ud800"}',
        '{"province": "ON", "arv": 1',
        "[1]",
        '"text"',
        "[" * 5000,
        '{"arv": ' + "9" * 5000 + "}",
    ],
)
def test_json_that_cannot_be_read_is_refused(body: str, api: Api) -> None:
    switch_on()
    answer = api("CLOSER").post(f"{ROOT}/compute", body, content_type="application/json")
    assert answer.status_code == 400, answer.content
    assert stored() == [0, 0, 0, 0]


@pytest.mark.parametrize("query", ["arv=NaN", "arv=1e400", "arv=-5", "arv=", "arv=450%C2%A0000"])
def test_bad_numbers_in_the_query_string_are_named(query: str, api: Api) -> None:
    switch_on()
    answer = api("CLOSER").post(f"{ROOT}/compute?province=ON&repairs=0&{query}")
    assert (answer.status_code, set(answer.json()["errors"])) == (400, {"arv"})


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"max_arv_multiplier": 0.95}, "max_arv_multiplier"),
        ({"max_arv_multiplier": 0.49}, "max_arv_multiplier"),
        ({"max_arv_multiplier": "NaN"}, "max_arv_multiplier"),
        ({"default_assignment_fee": -1}, "default_assignment_fee"),
        ({"default_fees_buffer": "1e400"}, "default_fees_buffer"),
        ({"min_liquidity_score": 10**8}, "min_liquidity_score"),
        ({"min_liquidity_score": -1}, "min_liquidity_score"),
        ({"enabled": None}, "enabled"),
        ({"expected_version": 10**30}, "expected_version"),
        ({"reason": "x" * 201}, "reason"),
        ({"province": ""}, "province"),
        ({"market": "<b>"}, "market"),
        ({"multiplier": 0.7}, "multiplier"),
    ],
)
def test_bad_input_to_upsert_is_named_and_changes_nothing(
    change: dict[str, object], field: str, api: Api
) -> None:
    answer = post(api("MANAGER"), "policies/upsert", {"province": "ON", "enabled": True, **change})
    assert (answer.status_code, set(answer.json()["errors"])) == (400, {field}), answer.content
    assert OfferPolicy.history.count() == 13


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "outcome"),
        ({"outcome": "SOLD"}, "outcome"),
        ({"outcome": "ACCEPTED", "agreed_price": "NaN"}, "agreed_price"),
        ({"outcome": "ACCEPTED", "agreed_price": 10**12}, "agreed_price"),
        ({"outcome": "ACCEPTED", "buyer": "x" * 65}, "buyer"),
        ({"outcome": "ACCEPTED", "void": True}, "void"),
        ({"outcome": "ACCEPTED", "price": 1}, "price"),
    ],
)
def test_bad_input_to_outcome_is_named_and_stores_nothing(
    body: dict[str, object], field: str, api: Api
) -> None:
    switch_on()
    number = kept("L-1")
    answer = post(api("CLOSER"), f"{number}/outcome", body)
    assert (answer.status_code, set(answer.json()["errors"])) == (400, {field})
    assert not OfferOutcome.objects.exists()


# --- who ---------------------------------------------------------------------------------------------------

ROLES = ("VA", "CLOSER", "MANAGER", "AUDITOR", "SERVICE")
ACCESS = {
    "policies": ("VA", "CLOSER", "MANAGER", "AUDITOR", "SERVICE"),
    "evidence": ("CLOSER", "MANAGER", "AUDITOR", "SERVICE"),
    "evidence/{number}": ("CLOSER", "MANAGER", "AUDITOR", "SERVICE"),
    "policies/upsert": ("MANAGER", "SERVICE"),
    "compute": ("CLOSER", "MANAGER", "SERVICE"),
    "{number}/outcome": ("CLOSER", "MANAGER", "SERVICE"),
}
BODIES: dict[str, dict[str, object]] = {
    "policies/upsert": {"province": "BC"},
    "compute": EXAMPLE,
    "{number}/outcome": {"outcome": "ACCEPTED"},
}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("route", ACCESS)
def test_who_may_do_what(route: str, role: str, api: Api) -> None:
    switch_on()
    path = route.format(number=kept("L-1"))
    client = api(role)
    answer = post(client, path, BODIES[route]) if route in BODIES else client.get(f"{ROOT}/{path}")
    assert answer.status_code == (200 if role in ACCESS[route] else 403)


@pytest.mark.parametrize("route", ACCESS)
def test_nobody_gets_in_without_a_token(route: str) -> None:
    switch_on()
    path = route.format(number=kept("L-1"))
    client = APIClient()
    answer = post(client, path, BODIES[route]) if route in BODIES else client.get(f"{ROOT}/{path}")
    assert answer.status_code == 401


def test_a_service_token_without_the_policy_scope_changes_no_policy(api: Api) -> None:
    answer = post(api("SERVICE", scopes=()), "policies/upsert", {"province": "BC", "enabled": True})
    assert answer.status_code == 403
    assert not OfferPolicy.objects.get(province="BC").enabled


def test_a_person_cannot_compute_in_anothers_name(api: Api) -> None:
    switch_on()
    answer = post(api("CLOSER"), "compute", {**EXAMPLE, "actor": "somebody-else"})
    assert (answer.status_code, answer.json()["code"]) == (403, "actor_mismatch")
    answer = post(api("SERVICE"), "compute", {**EXAMPLE, "actor": "ann"})
    evidence = OfferEvidence.objects.get(pk=answer.json()["evidence_id"])
    assert (evidence.actor, evidence.acting_for) == ("a-service", "ann")


def test_a_quote_has_the_figures_of_compute_and_stores_nothing(api: Callable[..., APIClient]) -> None:
    switch_on()
    asked: dict[str, Any] = {"province": "ON", "arv": 450_000, "repairs": 50_000}
    quoted = api("CLOSER").get("/api/deals/offers/quote", asked)
    assert quoted.json() == {
        "ok": True, "mao": 262_500, "recommended_offer": 252_500, "assignment_fee": 10_000,
        "binding": "formula", "floored": False,
    }  # fmt: skip
    floored = api("CLOSER").get("/api/deals/offers/quote", {**asked, "arv": 60_000}).json()
    assert (floored["mao"], floored["binding"], floored["floored"]) == (0, "mao_floor", True)
    assert not OfferEvidence.objects.exists()


@pytest.mark.parametrize(
    ("change", "status"), [({"arv": ""}, 400), ({"repairs": -1}, 400), ({"province": "QC"}, 409)]
)
def test_a_quote_is_refused_as_compute_is(
    api: Callable[..., APIClient], change: dict[str, object], status: int
) -> None:
    switch_on()
    asked: dict[str, Any] = {"province": "ON", "arv": 450_000, "repairs": 50_000, **change}
    assert api("CLOSER").get("/api/deals/offers/quote", asked).status_code == status
    assert api("VA", "vera").get("/api/deals/offers/quote", asked).status_code == 403


def test_the_kill_switch_stops_a_quote(api: Callable[..., APIClient], settings: Settings) -> None:
    switch_on()
    settings.GO_LIVE_ENFORCE = True
    url = "/api/deals/offers/quote?province=ON&arv=450000&repairs=50000"
    assert api("CLOSER").get(url).status_code == 200  # go-live may be off
    GoLiveState.objects.update(kill_switch_engaged=True)
    assert api("CLOSER").get(url).json()["code"] == "kill_switch_engaged"

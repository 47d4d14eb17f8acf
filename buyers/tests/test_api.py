"""The endpoints under /api/buyers: shapes, access, bad input and query counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from buyers.models import Buyer, BuyerFeedbackEvent, BuyerLiquidityNode
from buyers.tests.factories import BuyerFactory, feedback
from governance.core.actors import Role
from governance.core.places import Place
from governance.models import ApiToken, KpiEvent

pytestmark = [pytest.mark.both, pytest.mark.django_db]
Api = Callable[..., APIClient]

NODES, SCORE, FEEDBACK = (f"/api/buyers/liquidity/{name}" for name in ("nodes", "score", "feedback"))
NODE_KEYS = {
    "id", "province", "market", "property_type", "buyer_count", "active_buyer_count", "avg_response_rate",
    "avg_close_rate", "score", "score_low", "events", "updated_at",
}  # fmt: skip


def post(client: APIClient, **given: Any) -> Any:
    return client.post(FEEDBACK, {"province": "ON", "event": "RESPONDED", **given}, format="json")


def nothing_is_stored() -> bool:
    tables = (BuyerLiquidityNode, BuyerFeedbackEvent, Buyer, KpiEvent)
    return not any(table.objects.exists() for table in tables)


# --- feedback ----------------------------------------------------------------------------------------------


def test_feedback_answers_its_id_and_the_node(api: Api) -> None:
    response = post(api(Role.SERVICE), market="Toronto", buyer_id="B-1", deal_id="D-1", detail={"price": 1.5})
    assert response.status_code == 200
    answer = response.json()
    assert set(answer) == {"ok", "event_id", "node"}
    assert answer["event_id"] == BuyerFeedbackEvent.objects.get().pk
    assert set(answer["node"]) == NODE_KEYS
    assert answer["node"] | {"id": 0, "updated_at": ""} == {
        "id": 0,
        "province": "ON",
        "market": "TORONTO",
        "property_type": "SFR",
        "buyer_count": 1,
        "active_buyer_count": 1,
        "avg_response_rate": 1,
        "avg_close_rate": 0,
        "score": 50.5,
        "score_low": 11.6803,  # 0.5 + 50 x 0.05^(1/2)
        "events": 1,
        "updated_at": "",
    }
    assert answer["node"]["updated_at"].endswith("Z")


def test_existing_clients_send_feedback_in_the_query_string(api: Api) -> None:
    response = api(Role.SERVICE).post(
        f'{FEEDBACK}?province=on&market=ALL&property_type=MF&event=bought&buyer_id=b1&correlation_id=c1&detail={{"a":1}}'
    )
    assert response.status_code == 200, response.content
    event = BuyerFeedbackEvent.objects.get()
    assert (event.node.property_type, event.event, event.correlation_id, event.detail) == (
        "MF",
        "BOUGHT",
        "c1",
        {"a": 1},
    )
    assert response.headers["X-Correlation-ID"] == "c1"


def test_a_repeat_over_the_api_answers_the_first(api: Api) -> None:
    client = api(Role.CLOSER)
    first = post(client, buyer_id="B-1", deal_id="D-1").json()
    again = post(client, buyer_id="B-1", deal_id="D-1").json()
    assert again["event_id"] == first["event_id"]
    assert again["node"]["events"] == 1
    assert KpiEvent.objects.count() == 1


def test_the_same_idempotency_key_records_once(api: Api) -> None:
    client = api(Role.VA)
    answers = [
        client.post(f"{FEEDBACK}?province=ON&event=PASSED", headers={"Idempotency-Key": "k-1"})
        for _again in "ab"
    ]
    assert answers[0].json() == answers[1].json()
    assert BuyerFeedbackEvent.objects.count() == 1


@pytest.mark.parametrize("role", [Role.VA, Role.CLOSER, Role.MANAGER, Role.SERVICE])
def test_everyone_who_works_may_record_feedback(api: Api, role: str) -> None:
    assert post(api(role)).status_code == 200


def test_an_auditor_may_not_record_feedback(api: Api) -> None:
    assert post(api(Role.AUDITOR)).status_code == 403
    assert nothing_is_stored()


@pytest.mark.parametrize(
    ("method", "path"),
    [("get", NODES), ("get", SCORE), ("post", FEEDBACK), ("get", "/api/buyers/buyers"),
     ("get", "/api/buyers/buyers/1"), ("get", "/api/buyers/feedback-events")],
)  # fmt: skip
def test_nobody_gets_in_without_signing_in(method: str, path: str) -> None:
    assert getattr(APIClient(), method)(f"{path}?province=ON&event=BOUGHT").status_code == 401


def test_a_person_cannot_act_as_somebody_else(api: Api) -> None:
    response = post(api(Role.VA), actor="somebody")
    assert (response.status_code, response.json()["code"]) == (403, "actor_mismatch")
    assert nothing_is_stored()


BAD = [
    ({"province": "XX"}, "province"),
    ({"province": ""}, "province"),
    ({"province": None}, "province"),
    ({"province": 7}, "province"),
    ({"market": "M" * 41}, "market"),
    ({"market": "<b>"}, "market"),
    ({"market": ["A"]}, "market"),
    ({"property_type": "CASTLE"}, "property_type"),
    ({"property_type": "x" * 41}, "property_type"),
    ({"event": None}, "event"),
    ({"event": "LIKED"}, "event"),
    ({"event": ["BOUGHT"]}, "event"),
    ({"event": True}, "event"),
    ({"buyer_id": "b" * 65}, "buyer_id"),
    ({"buyer_id": "a\nb"}, "buyer_id"),
    ({"buyer_id": {"id": 1}}, "buyer_id"),
    ({"deal_id": "d" * 65}, "deal_id"),
    ({"deal_id": "12 Main Street"}, "deal_id"),
    ({"detail": [1]}, "detail"),
    ({"detail": "{"}, "detail"),
    ({"detail": '{"a": NaN}'}, "detail"),
    ({"detail": {"note": "call her back"}}, "detail"),
    ({"detail": {"a": 10**400}}, "detail"),
    ({"correlation_id": "c" * 65}, "correlation_id"),
    ({"evnet": "BOUGHT"}, "evnet"),
]


@pytest.mark.parametrize(("given", "field"), BAD, ids=lambda value: str(value)[:30])
def test_bad_input_is_refused_by_its_field_and_nothing_is_stored(api: Api, given: Any, field: str) -> None:
    response = post(api(Role.SERVICE), **given)
    assert response.status_code == 400, response.content
    assert response.headers["Content-Type"] == "application/problem+json"
    assert field in response.json()["errors"]
    assert nothing_is_stored()


@pytest.mark.parametrize(
    "body",
    [
        '{"province": "ON", "event": "BOUGHT", "buyer_id": "a\\u0000b"}',
        '{"province": "ON", "event": "BOUGHT", "market": "\\ud800"}',
        '{"province": "ON", "event": "BOUGHT", "detail": {"a": NaN}}',
        '{"province": "ON", "event": "BOUGHT", "detail": {"a": 1e400}}',
        '["ON", "BOUGHT"]',
        "{",
    ],
)
def test_a_body_that_is_no_plain_json_object_is_refused_and_nothing_is_stored(api: Api, body: str) -> None:
    response = api(Role.SERVICE).post(FEEDBACK, body, content_type="application/json")
    assert response.status_code == 400, response.content
    assert response.json()["errors"]
    assert nothing_is_stored()


@pytest.mark.parametrize(
    "query", ["buyer_id=a%00b", "market=%ED%A0%80", "detail=%7B%22a%22%3A1e400%7D", "event="]
)
def test_hostile_query_strings_are_refused_and_nothing_is_stored(api: Api, query: str) -> None:
    response = api(Role.SERVICE).post(f"{FEEDBACK}?province=ON&event=BOUGHT&{query}")
    assert response.status_code == 400, response.content
    assert query.split("=")[0] in response.json()["errors"]
    assert nothing_is_stored()


@pytest.mark.parametrize("ordering", ["external_id", "-name", "updated_at", "id"])
@pytest.mark.parametrize("cursor", ["cD0A", "cD0lMDA=", "cD1hYmM="])
def test_a_forged_cursor_breaks_no_list(api: Api, cursor: str, ordering: str) -> None:
    BuyerFactory.create()
    asked = {"cursor": cursor, "ordering": ordering}
    assert api("AUDITOR").get("/api/buyers/buyers", asked).status_code < 500


def test_a_missing_event_is_named(api: Api) -> None:
    response = api(Role.SERVICE).post(FEEDBACK, {"province": "ON"}, format="json")
    assert response.status_code == 400
    assert set(response.json()["errors"]) == {"event"}


# --- score -------------------------------------------------------------------------------------------------


def test_a_market_without_feedback_scores_zero_is_not_found_and_stays_unmade(api: Api) -> None:
    response = api(Role.AUDITOR).get(f"{SCORE}?province=on&market= Trois-Rivières ")
    assert response.status_code == 200
    assert response.json() == {
        "ok": True,
        "score": {
            "found": False,
            "province": "ON",
            "market": "TROIS-RIVIÈRES",
            "property_type": "SFR",
            "buyer_count": 0,
            "active_buyer_count": 0,
            "avg_response_rate": 0,
            "avg_close_rate": 0,
            "score": 0,
            "score_low": 0,
            "events": 0,
            "updated_at": None,
        },
    }
    assert not BuyerLiquidityNode.objects.exists()


def test_the_score_is_that_of_exactly_the_market_asked_for(api: Api) -> None:
    feedback("RESPONDED", buyer="B-1", place=Place.read("QC", "Montréal"), property_type="LAND")
    client = api(Role.VA)

    def score(query: str) -> Any:
        return client.get(f"{SCORE}?province=QC&{query}").json()["score"]

    assert score("market=montreal&property_type=land")["score"] == 50.5
    assert score("market=MONTRÉAL&property_type=LAND")["found"] is True
    assert score("market=Montréal")["found"] is False
    assert score("property_type=LAND")["found"] is False


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("", "province"),
        ("province=ZZ", "province"),
        ("province=ON&property_type=CASTLE", "property_type"),
        (f"province=ON&market={'M' * 41}", "market"),
        ("province=ON&market=%00", "market"),
    ],
)
def test_a_score_that_cannot_be_asked_for_names_the_field(api: Api, query: str, field: str) -> None:
    response = api(Role.VA).get(f"{SCORE}?{query}")
    assert response.status_code == 400
    assert field in response.json()["errors"]


def queries_of(client: APIClient, path: str) -> int:
    ApiToken.objects.update(last_used_at="2999-01-01T00:00:00Z")  # its use is noted once a minute, not now
    with CaptureQueriesContext(connection) as captured:
        assert client.get(path).status_code == 200
    return len(captured)


def test_a_score_takes_two_queries_authentication_included(api: Api) -> None:
    feedback("RESPONDED", buyer="B-1")
    assert queries_of(api(Role.VA), f"{SCORE}?province=ON&market=Toronto") == 2


# --- nodes -------------------------------------------------------------------------------------------------


def test_nodes_come_hottest_first_in_two_queries_however_many_there_are(api: Api) -> None:
    client = api(Role.VA)
    assert client.get(NODES).json() == {"ok": True, "nodes": []}
    for number, market in enumerate(["Ajax", "Barrie", "Cobourg"]):
        for _time in range(number + 1):
            feedback("RESPONDED", buyer=f"B-{_time}", place=Place.read("ON", market))
    nodes = client.get(NODES).json()["nodes"]
    assert [node["market"] for node in nodes] == ["COBOURG", "BARRIE", "AJAX"]
    assert set(nodes[0]) == NODE_KEYS
    assert queries_of(client, NODES) == 2


def test_nodes_are_narrowed_and_limited(api: Api) -> None:
    feedback("RESPONDED", buyer="B-1", place=Place.read("ON", "Ajax"))
    feedback("PASSED", place=Place.read("QC", "Lévis"), property_type="MF")
    feedback("PASSED", place=Place.read("ON"), property_type="MF")
    client = api(Role.AUDITOR)

    def places(query: str) -> list[str]:
        return sorted(node["market"] for node in client.get(f"{NODES}?{query}").json()["nodes"])

    assert places("province=on") == ["AJAX", "ALL"]
    assert places("market=levis") == ["LÉVIS"]
    assert places("property_type=mf") == ["ALL", "LÉVIS"]
    assert places("market=ALL") == ["ALL"]
    assert places("limit=1") == ["AJAX"]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=501", "limit=x", "limit=1e3", "province=ZZ", "property_type=X"]
)
def test_nodes_refuse_what_they_cannot_filter_by(api: Api, query: str) -> None:
    response = api(Role.VA).get(f"{NODES}?{query}")
    assert response.status_code == 400
    assert query.split("=")[0] in response.json()["errors"]


# --- collections -------------------------------------------------------------------------------------------


def test_buyers_are_read_with_their_buy_box(api: Api) -> None:
    buyer = BuyerFactory.create(external_id="B-9")
    client = api(Role.CLOSER)
    listed = client.get("/api/buyers/buyers?external_id=B-9").json()["results"]
    assert [row["id"] for row in listed] == [buyer.pk]
    shown = client.get(f"/api/buyers/buyers/{buyer.pk}").json()
    assert shown == listed[0]
    assert (shown["phone"], shown["provinces"]) == ("+14165550123", ["ON"])


def test_feedback_events_are_read_newest_first_with_place_and_buyer(api: Api) -> None:
    feedback("PASSED", place=Place.read("QC", "Lévis"))
    feedback("BOUGHT", buyer="B-1", deal="D-1")
    client = api(Role.AUDITOR)
    rows = client.get("/api/buyers/feedback-events").json()["results"]
    assert [(row["event"], row["market"], row["buyer_id"]) for row in rows] == [
        ("BOUGHT", "TORONTO", "B-1"),
        ("PASSED", "LÉVIS", None),
    ]
    for query, count in {
        "event=BOUGHT": 1,
        "market=levis": 1,
        "province=ON": 1,
        "buyer_id=B-1": 1,
        "market=%3C": 0,
    }.items():
        assert len(client.get(f"/api/buyers/feedback-events?{query}").json()["results"]) == count, query
    assert client.get(f"/api/buyers/feedback-events/{rows[0]['id']}").json() == rows[0]


@pytest.mark.parametrize(
    "path", ["buyers?colour=red", "feedback-events?event=LIKED", "feedback-events?since=soon"]
)
def test_a_collection_refuses_a_filter_it_does_not_know(api: Api, path: str) -> None:
    assert api(Role.MANAGER).get(f"/api/buyers/{path}").status_code == 400


@pytest.mark.parametrize("path", ["buyers/99999999999999999999999", "feedback-events/7"])
def test_what_is_not_there_is_404(api: Api, path: str) -> None:
    assert api(Role.MANAGER).get(f"/api/buyers/{path}").status_code == 404


@pytest.mark.parametrize("path", ["buyers", "feedback-events"])
def test_a_va_does_not_read_buyers(api: Api, path: str) -> None:
    assert api(Role.VA).get(f"/api/buyers/{path}").status_code == 403


@pytest.mark.parametrize("path", ["buyers", "feedback-events", "liquidity/nodes", "liquidity/score"])
def test_nothing_here_is_changed_by_another_method(api: Api, path: str) -> None:
    client = api(Role.MANAGER)
    for method in ("post", "put", "patch", "delete"):
        response = getattr(client, method)(f"/api/buyers/{path}", "{}", content_type="application/json")
        assert response.status_code in {403, 405}


def test_collections_take_two_queries_however_many_rows(api: Api) -> None:
    for number in range(3):
        feedback("PASSED", buyer=f"B-{number}")
    client = api(Role.MANAGER)
    assert queries_of(client, "/api/buyers/feedback-events") == 2
    assert queries_of(client, "/api/buyers/buyers") == 2

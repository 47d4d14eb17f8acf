"""The follow-up endpoints on a Wednesday afternoon: shapes, input of every kind, refusals, costs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings
from rest_framework.test import APIClient

from followups.models import ContactPoint, FollowUpTask, InboundContact, Ladder, Lead
from followups.tests.factories import HOUR, MINUTE, NOW, PHONE, PointFactory, at
from governance.core.actors import Actor
from governance.core.places import Place
from governance.market.services import upsert_policy
from governance.models import ApiToken, ContactDecision, KpiEvent, Suppression, User
from valhalla.testing import ClientResponse

pytestmark = [pytest.mark.both, pytest.mark.django_db]
Api = Callable[..., APIClient]
BASE = "/api/followups"
NEW = {"lead_id": "L-1", "province": "ON", "city": "Toronto", "phone": "416 555 0199"}


@pytest.fixture(autouse=True)
def clock(db: None) -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


def post(client: APIClient, path: str, body: Any = None, **extra: Any) -> Any:
    return client.post(f"{BASE}/{path}", body or {}, format="json", **extra)


def begin(client: APIClient, **other: Any) -> list[int]:
    """Begin a ladder and return the ids of its tasks."""
    name = f"Seller {other.get('lead_id', NEW['lead_id'])}"
    answer = post(client, "ladder/create", {**NEW, "name": name, **other})
    assert answer.status_code == 201, answer.json()
    return [task["id"] for task in answer.json()["tasks"]]


def refused(answer: ClientResponse, status: int, code: str) -> dict[str, Any]:
    body: dict[str, object] = answer.json()
    assert (answer.status_code, body["code"]) == (status, code), body
    assert answer["Content-Type"] == "application/problem+json"
    assert body["detail"]
    return body


# --- the owner's own walk -----------------------------------------------------------------------------------


def test_the_walk_of_the_first_task(api: Api, clock: time_machine.Traveller) -> None:
    client = api("SERVICE")
    answer = post(client, "ladder/create", {**NEW, "correlation_id": "walk-1"})
    body = answer.json()
    assert (answer.status_code, answer["X-Correlation-ID"], body["ok"]) == (201, "walk-1", True)
    assert body["tasks"][0] == {
        "id": body["tasks"][0]["id"],
        "channel": "SMS",
        "step": 1,
        "due_at": "2026-11-25T19:30:00Z",
        "scheduled_for": "2026-11-25T19:30:00Z",
    }
    assert [task["channel"] for task in body["tasks"]] == ["SMS", "CALL"] * 3
    ids = [task["id"] for task in body["tasks"]]
    assert refused(post(client, "ladder/create", NEW), 409, "ladder_active")["ladder_id"] == body["ladder_id"]
    done = post(client, f"task/{ids[0]}/complete").json()
    assert done == {
        "ok": True,
        "task": {
            "id": ids[0],
            "completed_at": "2026-11-25T19:30:00Z",
            "step": 1,
            "channel": "SMS",
            "outcome": "SENT",
        },
        "next_task": body["tasks"][1],
        "already_completed": False,
    }
    clock.shift(timedelta(hours=1))
    again = post(client, f"task/{ids[0]}/complete").json()
    assert again == {**done, "already_completed": True}
    assert refused(post(client, f"task/{ids[2]}/complete"), 409, "out_of_sequence")["open_task_id"] == ids[1]
    clock.move_to(at(26, "03:00"))
    assert post(client, f"task/{ids[2]}/complete", {"outcome": "opted_out"}).status_code == 200
    assert Suppression.objects.count() == 2
    refused(post(client, "ladder/create", NEW), 409, "contact_denied")
    events = KpiEvent.objects.order_by("id").values_list("metric", "success")
    assert list(events) == [
        ("ladder_created", True),
        ("followup_completed", True),
        ("followup_sla", True),
        ("contact_compliance", True),
        ("followup_completed", True),
        ("followup_sla", False),
    ]


def test_every_row_of_a_call_names_the_token_it_came_by(api: Api) -> None:
    client = api("SERVICE")
    ids = begin(client)
    assert post(client, f"task/{ids[0]}/complete").status_code == 200
    token = ApiToken.objects.get(user__role="SERVICE").short_id
    rows: list[Any] = [
        *ContactDecision.objects.all(),
        *KpiEvent.objects.all(),
        FollowUpTask.objects.get(pk=ids[0]),
    ]
    assert len(rows) >= 4
    assert {row.token_id for row in rows} == {token}


def test_a_call_begun_in_time_and_logged_later(api: Api, clock: time_machine.Traveller) -> None:
    client = api("VA")
    ids = begin(client)
    clock.move_to(at(25, "19:58"))
    started = post(client, f"task/{ids[0]}/start").json()
    assert started["ok"]
    assert started["valid_until"] == "2026-11-26T01:03:00Z"
    assert started["decision_id"] == ContactDecision.objects.get().pk
    assert started["contact_point"] == PHONE
    clock.move_to(at(25, "20:15"))
    assert post(client, f"task/{ids[0]}/complete", {"claim_token": started["claim_token"]}).status_code == 200


def test_a_refusal_names_reason_and_next_time_and_keeps_its_decision(
    api: Api, clock: time_machine.Traveller
) -> None:
    client = api("VA")
    ids = begin(client)
    clock.move_to(at(25, "22:30"))
    for path in (f"task/{ids[0]}/complete", f"task/{ids[0]}/start"):
        body = refused(post(client, path), 409, "contact_denied")
        assert (body["reason"], body["next_allowed_at"]) == ("outside_contact_window", "2026-11-26T14:00:00Z")
        assert len(body["checks"]) == 9
    assert ContactDecision.objects.filter(ok=False).count() == 2
    assert FollowUpTask.objects.filter(status="OPEN", started_at=None).count() == 6


# --- parameters ---------------------------------------------------------------------------------------------


def test_parameters_come_by_query_string_form_or_json_and_the_body_wins(api: Api) -> None:
    client = api("VA")
    assert client.post(f"{BASE}/ladder/create?lead_id=L-1&province=on&city=Toronto").status_code == 201
    assert client.post(f"{BASE}/ladder/create", {"lead_id": "L-2", "province": "on"}).status_code == 201
    answer = client.post(f"{BASE}/ladder/create?lead_id=L-9&province=QC", {"lead_id": "L-3"}, format="json")
    assert answer.status_code == 201
    assert list(Lead.objects.order_by("external_id").values_list("external_id", "province")) == [
        ("L-1", "ON"),
        ("L-2", "ON"),
        ("L-3", "QC"),
    ]


def test_a_path_with_a_slash_at_its_end_answers_too(api: Api) -> None:
    client = api("VA")
    assert client.post(f"{BASE}/ladder/create/", NEW, format="json").status_code == 201
    assert client.get(f"{BASE}/due/").json()["due"][0]["lead_id"] == "L-1"
    assert client.get(f"{BASE}/sla/").status_code == 200


def test_a_lead_comes_with_all_her_fields(api: Api) -> None:
    begin(
        api("SERVICE"), name=" Anne ", market="montréal ", postal_code="M5V 1A1", zone="America/Toronto",
        language="fr", source="web", notes="call after six", score=0.75, cost="12.50",
        email="Anne@Example.ca", owner="gus",
    )  # fmt: skip
    lead = Lead.objects.get()
    assert (lead.name, lead.market, lead.market_key, str(lead.score), str(lead.cost)) == (
        "Anne",
        "MONTRÉAL",
        "MONTREAL",
        "0.7500",
        "12.50",
    )
    assert list(ContactPoint.objects.values_list("kind", "value")) == [
        ("PHONE", PHONE),
        ("EMAIL", "anne@example.ca"),
    ]


def test_next_may_be_an_object(api: Api) -> None:
    ids = begin(api("VA"))
    said = {"outcome": "reached", "next": {"kind": "callback", "at": "2026-11-26T15:00:00-05:00"}}
    task = post(api("VA"), f"task/{ids[0]}/complete", said).json()["next_task"]
    assert (task["due_at"], task["step"]) == ("2026-11-26T20:00:00Z", None)


def test_an_actor_is_named_by_programs_alone(api: Api) -> None:
    ids = begin(api("SERVICE"), actor="gus")
    ladder = Ladder.objects.get()
    assert (ladder.actor, ladder.acting_for) == ("a-service", "gus")
    post(api("SERVICE"), f"task/{ids[0]}/complete", {"actor": "gus"})
    assert FollowUpTask.objects.get(pk=ids[0]).completed_by == "gus"
    refused(post(api("VA"), f"task/{ids[1]}/complete", {"actor": "gus"}), 403, "actor_mismatch")
    assert post(api("VA"), f"task/{ids[1]}/complete", {"actor": "A-VA"}).status_code == 200


def test_another_owner_is_named_by_managers_and_programs(api: Api) -> None:
    refused(post(api("VA"), "ladder/create", {**NEW, "owner": "gus"}), 403, "owner_mismatch")
    assert not Lead.objects.exists()
    begin(api("MANAGER"), owner="gus")


# --- the other verbs ----------------------------------------------------------------------------------------


def test_claim_renew_release(api: Api) -> None:
    client = api("VA")
    ids = begin(client)
    claimed = post(client, "due/claim", {"limit": 5}).json()
    assert [row["id"] for row in claimed["tasks"]] == [ids[0]]
    assert claimed["claim_until"] == "2026-11-25T19:45:00Z"
    assert post(client, "due/claim").json() == {
        "ok": True,
        "claim_token": None,
        "claim_until": None,
        "tasks": [],
    }
    token = {"claim_token": claimed["claim_token"]}
    assert post(client, f"task/{ids[0]}/renew", token).json() == {
        "ok": True,
        "claim_until": "2026-11-25T19:45:00Z",
    }
    body = refused(post(api("VA", "gus"), f"task/{ids[0]}/complete"), 409, "claimed_by_other")
    assert body["claimed_by"] == "a-va"
    assert post(client, f"task/{ids[0]}/release", token).json() == {"ok": True, "released": True}
    assert post(client, f"task/{ids[0]}/release", token).json() == {"ok": True, "released": False}
    refused(post(client, f"task/{ids[0]}/renew", token), 409, "claim_lost")


def test_snooze_skip_reassign_stop(api: Api) -> None:
    manager = api("MANAGER")
    ids = begin(manager)
    until = post(api("VA"), f"task/{ids[0]}/snooze", {"until": "2026-11-26"}).json()["task"]["snoozed_until"]
    assert until == "2026-11-26T14:00:00Z"  # a date alone means the first lawful instant from noon UTC on
    skipped = post(api("VA"), f"task/{ids[0]}/skip", {"reason": "by hand"}).json()
    assert (skipped["task"]["status"], skipped["next_task"]["id"]) == ("SKIPPED", ids[1])
    refused(post(api("VA"), f"task/{ids[0]}/complete"), 409, "task_closed")
    moved = post(manager, f"task/{ids[1]}/reassign", {"owner": "gus", "reason": "holiday"}).json()
    assert moved == {"ok": True, "reassigned": 5}
    assert post(manager, "reassign", {"ids": ids, "owner": "", "reason": "back"}).json()["reassigned"] == 5
    ladder = Ladder.objects.get()
    stopped = post(manager, f"ladder/{ladder.pk}/stop", {"reason": "sold"}).json()
    assert stopped == {"ok": True, "ladder": {"id": ladder.pk, "status": "STOPPED"}}
    refused(post(manager, f"ladder/{ladder.pk}/stop", {"reason": "sold"}), 409, "ladder_ended")


def test_anothers_task_is_404_to_a_va_by_whatever_door(api: Api) -> None:
    User.objects.create_user("gus", role="VA")
    ids = begin(api("MANAGER"), owner="gus")
    client = api("VA")
    bodies = {"snooze": {"until": "2026-11-26"}, "skip": {"reason": "x"}, "renew": {"claim_token": "x"}}
    for verb in ("start", "complete", "renew", "release", "snooze", "skip"):
        refused(post(client, f"task/{ids[0]}/{verb}", bodies.get(verb)), 404, "task_not_found")
        refused(post(api("CLOSER"), f"task/{ids[0]}/{verb}", bodies.get(verb)), 403, "not_your_task")
    assert client.get(f"{BASE}/tasks/{ids[0]}").status_code == 404
    assert client.get(f"{BASE}/tasks").json()["results"] == []
    assert client.get(f"{BASE}/leads").json()["results"] == []
    assert client.get(f"{BASE}/leads/{Lead.objects.get().pk}").status_code == 404
    assert client.get(f"{BASE}/due").json()["due"] == []
    assert len(api("CLOSER").get(f"{BASE}/tasks").json()["results"]) == 6


# --- lists --------------------------------------------------------------------------------------------------


def test_due_and_its_filters(api: Api) -> None:
    client = api("MANAGER")
    begin(client, lead_id="L-1", owner="Gus")
    begin(client, lead_id="L-2", province="QC", market="Montréal", city="Montreal")
    rows = client.get(f"{BASE}/due").json()["due"]
    assert set(rows[0]) == {
        "id", "lead_id", "lead", "province", "market", "zone", "channel", "kind", "step", "due_at",
        "deadline_at", "overdue_minutes", "owner", "claimed_by", "contact",
    }  # fmt: skip
    assert set(rows[0]["lead"]) >= {"name", "phone", "language", "local_time"}
    for query, found in (
        ({"province": "qc"}, ["L-2"]),
        ({"market": "MONTREAL"}, ["L-2"]),
        ({"owner": "GUS"}, ["L-1"]),
        ({"channel": "call"}, []),
        ({"contactable": "true"}, ["L-1", "L-2"]),
        ({"contactable": "false"}, []),
        ({"order": "urgent", "limit": "1"}, ["L-1"]),
        ({"limit": "1"}, ["L-1"]),
    ):
        assert [row["lead_id"] for row in client.get(f"{BASE}/due", query).json()["due"]] == found, query


def test_sla(api: Api, clock: time_machine.Traveller) -> None:
    client = api("VA")
    empty = client.get(f"{BASE}/sla").json()
    assert empty["sla"] == {
        "count": 0,
        "within_30m": None,
        "within_2h": None,
        "within_5m": None,
        "median_minutes": None,
        "p90_minutes": None,
        "overdue_open": 0,
    }
    ids = begin(client)
    clock.shift(timedelta(minutes=10))
    post(client, f"task/{ids[0]}/complete")
    query = {
        "group_by": "province",
        "clock": "wall",
        "last": "10",
        "since": "2026-11-25",
        "until": "2026-11-26T00:00:00Z",
    }
    found = client.get(f"{BASE}/sla", query).json()
    assert (found["sla"]["count"], found["sla"]["within_30m"], found["sla"]["median_minutes"]) == (1, 1, 10)
    assert found["groups"][0]["province"] == "ON"


def test_collections_are_filtered_ordered_and_paged(api: Api) -> None:
    client = api("AUDITOR")
    for number in range(3):
        begin(api("SERVICE"), lead_id=f"L-{number}", market="Montréal")
    page = client.get(f"{BASE}/leads", {"page_size": "2", "market": "montreal"}).json()
    assert [row["lead_id"] for row in page["results"]] == ["L-2", "L-1"]
    assert page["results"][0]["points"][0]["value"] == PHONE
    assert [row["lead_id"] for row in client.get(page["next"]).json()["results"]] == ["L-0"]
    tasks = client.get(f"{BASE}/tasks", {"lead_id": "L-1", "ordering": "due_at", "status": "OPEN"}).json()[
        "results"
    ]
    assert [task["step"] for task in tasks] == [1, 2, 3, 4, 5, 6]
    due = client.get(f"{BASE}/tasks", {"due_before": "2026-11-25T19:31:00Z", "channel": "SMS"}).json()[
        "results"
    ]
    assert len(due) == 3
    for query in (
        {"due_before": "yesterday"},
        {"status": "GONE"},
        {"colour": "red"},
        {"due_after": "2026-11-25T10:00:00"},
    ):
        assert client.get(f"{BASE}/tasks", query).status_code == 400, query


# --- once per key -------------------------------------------------------------------------------------------


def test_with_a_key_a_ladder_is_created_once(api: Api) -> None:
    client = api("SERVICE")
    first = post(client, "ladder/create", NEW, HTTP_IDEMPOTENCY_KEY="k1")
    second = post(client, "ladder/create", NEW, HTTP_IDEMPOTENCY_KEY="k1")
    assert (second.status_code, second.json()) == (first.status_code, first.json())
    assert second["Idempotent-Replayed"] == "true"
    refused(
        post(client, "ladder/create", {**NEW, "lead_id": "L-2"}, HTTP_IDEMPOTENCY_KEY="k1"), 422, "key_reused"
    )
    assert (
        post(api("VA"), "ladder/create", {**NEW, "lead_id": "L-3"}, HTTP_IDEMPOTENCY_KEY="k1").status_code
        == 201
    )
    assert Ladder.objects.count() == 2


def test_with_a_key_a_task_is_completed_once_and_a_refusal_may_be_tried_again(
    api: Api, clock: time_machine.Traveller
) -> None:
    client = api("VA")
    ids = begin(client)
    clock.move_to(at(25, "22:30"))
    key = {"HTTP_IDEMPOTENCY_KEY": "k1"}
    refused(post(client, f"task/{ids[0]}/complete", **key), 409, "contact_denied")
    assert ContactDecision.objects.filter(ok=False).count() == 1  # kept although the action was rolled back
    clock.move_to(at(26, "09:00"))
    first = post(client, f"task/{ids[0]}/complete", **key)
    assert first.json()["already_completed"] is False
    assert post(client, f"task/{ids[0]}/complete", **key).json() == first.json()
    assert KpiEvent.objects.filter(metric="followup_completed").count() == 1


# --- input of every kind ------------------------------------------------------------------------------------

LONG = "x" * 5000
CREATE_WRONG: list[tuple[dict[str, object], str]] = [
    ({"lead_id": None}, "lead_id"),
    ({"lead_id": " "}, "lead_id"),
    ({"lead_id": "x" * 65}, "lead_id"),
    ({"lead_id": ["L-1"]}, "lead_id"),
    ({"lead_id": {"a": 1}}, "lead_id"),
    ({"lead_id": "L\n1"}, "lead_id"),
    ({"province": "ZZ"}, "province"),
    ({"province": ""}, "province"),
    ({"province": 7}, "province"),
    ({"market": "x" * 41}, "market"),
    ({"market": "<b>"}, "market"),
    ({"market": ["ALL"]}, "market"),
    ({"owner": "x" * 151}, "owner"),
    ({"name": "x" * 201}, "name"),
    ({"notes": "x" * 20_001}, "notes"),
    ({"zone": "Europe/Paris"}, "zone"),
    ({"zone": ["America/Toronto"]}, "zone"),
    ({"language": "de"}, "language"),
    ({"score": "NaN"}, "score"),
    ({"score": -0.1}, "score"),
    ({"score": 1.01}, "score"),
    ({"score": "1e400"}, "score"),
    ({"score": True}, "score"),
    ({"score": "٠.٥"}, "score"),
    ({"cost": -1}, "cost"),
    ({"cost": "Infinity"}, "cost"),
    ({"cost": "1e400"}, "cost"),
    ({"cost": 1_000_000_000}, "cost"),
    ({"cost": 0.001}, "cost"),
    ({"phone": "no"}, "phone"),
    ({"phone": "1" * 300}, "phone"),
    ({"phone": 12}, "phone"),
    ({"email": "no"}, "email"),
    ({"email": "a@b" * 200}, "email"),
    ({"correlation_id": "ä"}, "correlation_id"),
    ({"correlation_id": "x" * 65}, "correlation_id"),
    ({"actor": "x" * 151}, "actor"),
]


@pytest.mark.parametrize(("wrong", "field"), CREATE_WRONG, ids=lambda value: str(value)[:40])
def test_create_names_the_field_that_is_wrong_and_stores_nothing(
    api: Api, wrong: dict[str, Any], field: str
) -> None:
    body = {key: value for key, value in {**NEW, **wrong}.items() if value is not None}
    answer = post(api("SERVICE"), "ladder/create", body)
    assert answer.status_code == 400, answer.content
    assert list(answer.json()["errors"]) == [field]
    assert not Lead.objects.exists()


COMPLETE_WRONG: list[tuple[str, dict[str, object], str]] = [
    ("complete", {"outcome": "DANCED"}, "outcome"),
    ("complete", {"outcome": ["SENT"]}, "outcome"),
    ("complete", {"outcome": 10**30}, "outcome"),
    ("complete", {"next": "LATER"}, "next"),
    ("complete", {"next": []}, "next"),
    ("complete", {"outcome": "REACHED", "next": {"kind": ["CALLBACK"]}}, "next"),
    ("complete", {"outcome": "REACHED", "next": "CALLBACK"}, "next_at"),
    ("complete", {"outcome": "REACHED", "next": "CALLBACK", "next_at": "tomorrow"}, "next_at"),
    ("complete", {"outcome": "REACHED", "next": "CALLBACK", "next_at": "2026-02-30"}, "next_at"),
    (
        "complete",
        {"outcome": "REACHED", "next": "CALLBACK", "next_at": "9999-12-31T23:59:59-12:00"},
        "next_at",
    ),
    ("complete", {"outcome": "REACHED", "next": {"kind": "CALLBACK", "at": {}}}, "next_at"),
    ("complete", {"contacted_at": "2026-11-25T14:30:00"}, "contacted_at"),
    ("complete", {"contacted_at": "٢٠٢٦-١١-٢٥T14:30:00Z"}, "contacted_at"),
    ("complete", {"contacted_at": 1e300}, "contacted_at"),
    ("complete", {"contacted_at": "2026-11-25T19:31:00Z"}, "contacted_at"),
    ("complete", {"contacted_at": "2026-11-25T19:00:00Z"}, "note"),
    ("complete", {"happened": "perhaps"}, "happened"),
    ("complete", {"happened": [1]}, "happened"),
    ("complete", {"override_reason": "x" * 501}, "override_reason"),
    ("complete", {"claim_token": "x" * 33}, "claim_token"),
    ("complete", {"contacted": "now"}, "contacted"),
    ("start", {"claim_token": {"a": 1}}, "claim_token"),
    ("snooze", {}, "until"),
    ("snooze", {"until": "never"}, "until"),
    ("snooze", {"until": "2026-11-25T19:29:00Z"}, "until"),
    ("snooze", {"until": "2027-11-25"}, "until"),
    ("skip", {}, "reason"),
    ("skip", {"reason": " "}, "reason"),
    ("skip", {"reason": "x" * 201}, "reason"),
    ("renew", {}, "claim_token"),
    ("reassign", {"owner": "gus"}, "reason"),
    ("reassign", {"owner": "x" * 151, "reason": "x"}, "owner"),
]


@pytest.mark.parametrize(("verb", "wrong", "field"), COMPLETE_WRONG, ids=lambda value: str(value)[:40])
def test_verbs_on_a_task_name_the_field_that_is_wrong_and_store_nothing(
    api: Api, verb: str, wrong: dict[str, Any], field: str
) -> None:
    client = api("MANAGER")
    ids = begin(client)
    before = list(FollowUpTask.objects.order_by("id").values())
    answer = post(client, f"task/{ids[0]}/{verb}", wrong)
    assert answer.status_code == 400, answer.content
    assert list(answer.json()["errors"]) == [field]
    assert list(FollowUpTask.objects.order_by("id").values()) == before


@pytest.mark.parametrize(
    ("path", "wrong", "field"),
    [
        ("reassign", {"owner": "gus", "reason": "x"}, "ids"),
        ("reassign", {"owner": "gus", "reason": "x", "ids": "1,2"}, "ids"),
        ("reassign", {"owner": "gus", "reason": "x", "ids": ["1"]}, "ids"),
        ("reassign", {"owner": "gus", "reason": "x", "ids": [True]}, "ids"),
        ("reassign", {"owner": "gus", "reason": "x", "ids": [1.0]}, "ids"),
        ("reassign", {"owner": "gus", "reason": "x", "ids": [10**30]}, "ids"),
        ("reassign", {"owner": "gus", "reason": "x", "ids": [-1]}, "ids"),
        ("reassign", {"owner": "gus", "reason": "x", "ids": []}, "ids"),
        ("reassign", {"owner": "gus", "reason": "x", "ids": {"a": 1}}, "ids"),
        ("reassign", {"owner": "gus", "reason": "x", "ids": list(range(1, 502))}, "ids"),
        ("due/claim", {"limit": 11}, "limit"),
        ("due/claim", {"limit": 0}, "limit"),
        ("due/claim", {"limit": "٥"}, "limit"),
        ("due/claim", {"province": "ZZ"}, "province"),
        ("due/claim", {"channel": "FAX"}, "channel"),
        ("ladder/1/stop", {}, "reason"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_other_verbs_name_the_field_too(api: Api, path: str, wrong: dict[str, Any], field: str) -> None:
    client = api("MANAGER")
    begin(client)
    answer = post(client, path, wrong)
    assert answer.status_code == 400, answer.content
    assert list(answer.json()["errors"]) == [field]
    assert not FollowUpTask.objects.exclude(owner="", claimed_by="", status="OPEN").exists()


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        ("due", {"limit": "501"}, "limit"),
        ("due", {"limit": "-1"}, "limit"),
        ("due", {"limit": "NaN"}, "limit"),
        ("due", {"limit": "1" * 400}, "limit"),
        ("due", {"limit": "٥"}, "limit"),
        ("due", {"order": "random"}, "order"),
        ("due", {"contactable": "perhaps"}, "contactable"),
        ("due", {"province": "ZZ"}, "province"),
        ("due", {"market": "x" * 41}, "market"),
        ("due", {"market": "a\0b"}, "market"),
        ("due", {"owner": "x" * 151}, "owner"),
        ("due", {"owner": "a\0b"}, "owner"),
        ("due", {"channel": "FAX"}, "channel"),
        ("sla", {"last": "0"}, "last"),
        ("sla", {"last": "1e400"}, "last"),
        ("sla", {"since": "yesterday"}, "since"),
        ("sla", {"since": "2026-11-25", "until": "2026-11-24"}, "until"),
        ("sla", {"group_by": "mood"}, "group_by"),
        ("sla", {"clock": "sand"}, "clock"),
        ("tasks", {"province": "ZZ"}, "province"),
        ("tasks", {"owner": "a\0b"}, "owner"),
        ("leads", {"market": "a\0b"}, "market"),
        ("leads", {"ordering": "name"}, "ordering"),
        ("leads", {"created_after": "2026-11-25"}, "created_after"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_questions_name_the_field_too(api: Api, path: str, query: dict[str, str], field: str) -> None:
    answer = api("MANAGER").get(f"{BASE}/{path}", query)
    assert answer.status_code == 400, answer.content
    assert list(answer.json()["errors"]) == [field]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"lead_id": "a\\u0000b", "province": "ON"}', 400),
        (b'{"lead_id": "a\\ud800b", "province": "ON"}', 400),
        (b'{"lead_id": "L", "province": "ON", "score": NaN}', 400),
        (b'{"lead_id": "L", "province": "ON", "score": 1e400}', 400),
        (b'{"lead_id": "L", "province": "ON", "cost": -Infinity}', 400),
        (b'{"lead_id": "L", "province": "ON"', 400),
        (b'"L"', 400),
        (b"[]", 400),
        (b"null", 400),
        (b"\xff\xfe", 400),
        (b"[" * 100_000, 413),
        (b"[" * 60_000, 400),
        (json.dumps({"lead_id": "L", "province": "ON", "notes": "x" * 2_000_000}).encode(), 413),
        (json.dumps({**NEW, "notes": LONG}).encode(), 201),
    ],
    ids=lambda value: str(value)[:40],
)
@pytest.mark.parametrize("key", [None, "k1"])
def test_bodies_of_every_kind(api: Api, body: bytes, status: int, key: str | None) -> None:
    headers: dict[str, Any] = {"HTTP_IDEMPOTENCY_KEY": key} if key else {}
    answer = api("VA").post(f"{BASE}/ladder/create", body, content_type="application/json", **headers)
    assert answer.status_code == status, answer.content[:300]
    assert Lead.objects.exists() is (status == 201)


@pytest.mark.parametrize("number", ["0", "9" * 10, str(10**30), "9" * 5000, "-1", "1.5", "x", "%00", "1e5"])
def test_ids_of_every_kind_in_the_path(api: Api, number: str) -> None:
    client = api("MANAGER")
    bodies = {
        "snooze": {"until": "2026-11-26"},
        "skip": {"reason": "x"},
        "renew": {"claim_token": "x"},
        "reassign": {"owner": "gus", "reason": "x"},
        "stop": {"reason": "x"},
    }
    for verb in ("start", "complete", "renew", "release", "snooze", "skip", "reassign"):
        assert post(client, f"task/{number}/{verb}", bodies.get(verb)).status_code == 404, verb
    assert post(client, f"task/{number}/complete", {"outcome": "OPTED_OUT"}).status_code == 404
    assert post(client, f"ladder/{number}/stop", bodies["stop"]).status_code == 404
    assert client.get(f"{BASE}/tasks/{number}").status_code == 404
    assert client.get(f"{BASE}/leads/{number}").status_code == 404


@pytest.mark.parametrize("key", ["", " ", "ä", "x" * 129])
def test_a_key_that_is_none_is_refused(api: Api, key: str) -> None:
    answer = post(api("VA"), "ladder/create", NEW, HTTP_IDEMPOTENCY_KEY=key)
    assert (answer.status_code, Lead.objects.exists()) == (400, False)


def test_without_a_token_nothing_answers(api: Api) -> None:
    ids = begin(api("VA"))
    client = APIClient()
    for path in ("ladder/create", f"task/{ids[0]}/complete", "due/claim"):
        refused(post(client, path, NEW), 401, "not_authenticated")
    refused(client.get(f"{BASE}/due"), 401, "not_authenticated")


# --- what it costs, the token's own statements included -----------------------------------------------------


def counted(call: Callable[[], Any]) -> list[str]:
    with CaptureQueriesContext(connection) as captured:
        assert call().status_code < 300
    return [q["sql"] for q in captured.captured_queries if "SAVEPOINT" not in q["sql"]]


@pytest.mark.parametrize("leads", [1, 60])
def test_due_takes_six_queries_whatever_the_number_of_rows(api: Api, leads: int) -> None:
    for number in range(leads):
        begin(api("SERVICE"), lead_id=f"L-{number}", province=("ON", "QC", "BC")[number % 3], city="")
    client = api("VA")
    ApiToken.objects.update(last_used_at=None)
    for query in ({}, {"contactable": "true", "order": "urgent", "limit": "500"}):
        statements = counted(partial(client.get, f"{BASE}/due", query))
        assert len(statements) <= 6, statements


def test_complete_takes_fifteen_statements_at_most(api: Api, clock: time_machine.Traveller) -> None:
    """PostgreSQL takes two more, the locks on a lead and on their numbers: SQLite's one writer needs neither.

    The longest is a lead who is reached: the ladder ends, whoever waited for it is looked for, a closer's
    task is made.
    """
    client = api("VA")
    most = 17 if connection.vendor == "postgresql" else 15
    for minutes, other in ((0, {}), (60, {"phone": "416 555 0160"}), (0, {"phone": ""})):
        clock.move_to(NOW)
        ids = begin(client, lead_id=f"L-{minutes}-{len(other)}", **other)
        post(client, f"task/{ids[0]}/start")
        clock.shift(minutes * MINUTE)
        ApiToken.objects.update(last_used_at=None)
        for said in ({}, {"outcome": "REACHED"}):
            statements = counted(partial(post, client, f"task/{ids[1 if said else 0]}/complete", said))
            assert len(statements) <= most, "\n".join(statements)


def test_starting_and_creating_are_bounded(api: Api, clock: time_machine.Traveller) -> None:
    client = api("VA")
    ApiToken.objects.update(last_used_at=None)
    assert len(counted(lambda: post(client, "ladder/create", NEW))) <= 16
    clock.shift(HOUR)
    task = FollowUpTask.objects.get(step=1)
    assert len(counted(lambda: post(client, f"task/{task.pk}/start"))) <= 12


def test_go_live_is_asked_in_the_same_count(api: Api, settings: Settings) -> None:
    from governance.models import GoLiveState

    client = api("VA")
    ids = begin(client)
    settings.GO_LIVE_ENFORCE = True
    for path, body in (
        ("ladder/create", {**NEW, "lead_id": "L-2"}),
        (f"task/{ids[0]}/start", {}),
        ("due/claim", {}),
    ):
        refused(post(client, path, body), 503, "go_live_disabled")
    GoLiveState.objects.update(go_live_enabled=True)
    ApiToken.objects.update(last_used_at=None)
    assert len(counted(lambda: post(client, f"task/{ids[0]}/complete"))) <= 16
    GoLiveState.objects.update(kill_switch_engaged=True)
    refused(post(client, f"task/{ids[1]}/complete"), 503, "kill_switch_engaged")
    assert post(client, f"task/{ids[1]}/complete", {"outcome": "OPTED_OUT"}).status_code == 200


def test_a_city_whose_letters_grow_when_folded_is_stored_and_opens_no_hour(api: Api) -> None:
    answer = post(api("SERVICE"), "ladder/create", {"lead_id": "L-9", "province": "ON", "city": "각" * 80})
    assert answer.status_code == 201, answer.content
    assert len(Lead.objects.get(external_id="L-9").city_key) == 200


def test_can_contact_of_a_lead_takes_six_queries_at_most(api: Api, by: Callable[..., Actor]) -> None:
    """Also where the channel needs consent; authentication and the token's first use included."""
    upsert_policy(
        Place("ON"), rules={"consent_required_channels": ["SMS"]}, by=by("MANAGER"), at=NOW, reason="x"
    )
    PointFactory.create(lead__external_id="L-77")
    client = api("VA")
    client.get("/api/governance/market/effective", {"province": "ON"})
    asked = {"channel": "SMS", "lead_id": "L-77"}
    statements = counted(partial(client.get, "/api/governance/market/can-contact", asked))
    answer = client.get("/api/governance/market/can-contact", asked).json()
    assert (answer["scope"], answer["reason"]) == ("lead", "consent_missing")
    assert len(statements) <= 6, "\n".join(statements)


@pytest.mark.parametrize("direction", ["", "-"])
def test_tasks_by_due_time_come_page_by_page_and_held_ones_are_left_out(api: Api, direction: str) -> None:
    client = api("MANAGER")
    for number in range(3):
        begin(client, lead_id=f"L-{number}")
    held = FollowUpTask.objects.filter(step__in=(2, 5))
    held.update(due_at=None, held_reason="suppressed")
    expected = FollowUpTask.objects.filter(due_at__isnull=False).order_by(
        f"{direction}due_at", f"{direction}id"
    )
    found: list[int] = []
    page = f"{BASE}/tasks?ordering={direction}due_at&page_size=4"
    while page:
        answer = client.get(page).json()
        found += [task["id"] for task in answer["results"]]
        page = answer["next"]
    assert found == list(expected.values_list("pk", flat=True))
    assert len(found) == 12


def test_a_note_stops_neither_an_outcome_nor_an_inbound_contact(api: Api) -> None:
    client, note = api("SERVICE"), "é" * 100_000  # 600 KB of JSON
    first, *_others = begin(client)
    done = post(
        client, f"task/{first}/complete", {"outcome": "REPLIED", "next": "NOT_INTERESTED", "note": note}
    )
    assert done.status_code == 200, done.json()
    assert FollowUpTask.objects.get(pk=first).note == note
    assert post(client, "lead/L-1/inbound", {"channel": "CALL", "note": note}).status_code == 201
    assert InboundContact.objects.get().note == note


def test_what_takes_no_note_keeps_its_small_bodies(api: Api) -> None:
    first, *_others = begin(api("SERVICE"))
    refused(post(api("VA"), f"task/{first}/skip", {"reason": "x" * 70_000}), 413, "body_too_large")
    refused(post(api("VA"), f"task/{first}/complete", {"note": "x" * 1_100_000}), 413, "body_too_large")


def test_a_handoffs_deadline_is_in_the_list_of_tasks(api: Api) -> None:
    client = api("SERVICE")
    first, *_others = begin(client)
    made = post(client, f"task/{first}/complete", {"outcome": "REPLIED"}).json()["next_task"]["id"]
    task = client.get(f"{BASE}/tasks/{made}").json()
    assert (task["kind"], task["due_at"], task["opened_at"]) == ("HANDOVER", "2026-11-25T19:30:00Z", None)
    assert task["deadline_at"] == "2026-11-25T20:30:00Z"
    assert client.get(f"{BASE}/tasks/{first}").json()["deadline_at"] is None

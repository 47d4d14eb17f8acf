"""A seller who calls back or writes finds whoever answers, and it is recorded at any hour."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import time_machine
from pytest_django import Settings
from rest_framework.test import APIClient

from followups.models import FollowUpTask, InboundContact, Ladder, Lead, LookupEvent
from followups.services import due_tasks, look_up, record_inbound
from followups.tests.factories import DAY, MINUTE, NOW, PHONE, at, finish, ladder
from governance.core.actors import Actor
from governance.core.errors import Refused
from governance.models import KpiEvent, Suppression

pytestmark = [pytest.mark.both, pytest.mark.django_db]
People = Callable[..., Actor]
Api = Callable[..., APIClient]
NIGHT = at(26, "03:00")


def test_an_unanswered_call_becomes_a_callback_ahead_of_the_rest(by: People) -> None:
    ladder(by("VA"), "L-2")
    made = ladder(by("VA"), phone="+14165550123")
    row, following = record_inbound("L-1", by=by("VA"), at=NIGHT, channel="CALL")
    assert row.outcome == ""
    assert following is not None
    due = FollowUpTask.objects.get(kind="CALLBACK")
    assert due.due_at == at(26, "09:00")
    assert Lead.objects.get(external_id="L-1").unanswered_since == NIGHT
    urgent = due_tasks(by=by("VA"), at=at(26, "09:30"), order="urgent")
    assert urgent[0]["lead_id"] == "L-1"
    finish(due, by("VA"), at(26, "09:31"))
    assert Lead.objects.get(external_id="L-1").unanswered_since is None
    assert made.ladder.pk


def test_a_reply_stops_the_ladder_and_takes_its_next(by: People) -> None:
    ladder(by("VA"))
    _row, following = record_inbound(
        "L-1", by=by("CLOSER"), at=NOW, channel="SMS", outcome="REPLIED", next="CALLBACK", next_at=NOW + DAY
    )
    assert following is not None
    assert (following.kind, following.due_at) == ("CALLBACK", NOW + DAY)
    assert Ladder.objects.get().status == "STOPPED"


def test_an_opt_out_at_night_is_recorded_for_anybodys_lead(by: People, settings: Settings) -> None:
    settings.GO_LIVE_ENFORCE = False
    ladder(by("SERVICE"), owner="gus")
    settings.GO_LIVE_ENFORCE = True
    record_inbound("L-1", by=by("VA"), at=NIGHT, channel="SMS", outcome="OPTED_OUT")
    assert Suppression.objects.exists()
    assert Ladder.objects.get().status == "STOPPED"
    assert Lead.objects.get().status == "DEAD"


def test_one_kpi_event_each(by: People) -> None:
    ladder(by("VA"))
    record_inbound("L-1", by=by("VA"), at=NOW, channel="CALL", note="she is moving")
    event = KpiEvent.objects.get(metric="inbound_recorded")
    assert event.domain == "FOLLOWUPS"
    assert "moving" not in str(event.detail)


def test_a_second_unanswered_call_keeps_the_first_hour(by: People) -> None:
    ladder(by("VA"))
    record_inbound("L-1", by=by("VA"), at=NOW, channel="CALL")
    record_inbound("L-1", by=by("VA"), at=NOW + MINUTE, channel="CALL")
    assert Lead.objects.get().unanswered_since == NOW
    assert FollowUpTask.objects.filter(kind="CALLBACK", status="OPEN").count() == 1
    assert InboundContact.objects.count() == 2


def test_a_look_up_finds_by_number_in_any_writing_and_is_logged_as_a_hash(by: People) -> None:
    ladder(by("SERVICE"), owner="gus")
    found = look_up(by=by("VA"), at=NOW, phone="(416) 555-0199")
    assert [lead["lead_id"] for lead in found] == ["L-1"]
    assert found[0]["current_task"]["step"] == 1
    assert found[0]["contact"]["CALL"] == {"ok": True, "reason": "within_window"}
    event = LookupEvent.objects.get()
    assert (event.actor, event.kind, event.found) == ("a-va", "PHONE", 1)
    assert PHONE not in str(vars(event))
    assert look_up(by=by("VA"), at=NOW, lead_id="nobody") == []


def test_a_look_up_needs_exactly_one_question(by: People) -> None:
    questions: list[dict[str, Any]] = [{}, {"phone": PHONE, "lead_id": "L-1"}]
    for asked in questions:
        with pytest.raises(Refused) as refusal:
            look_up(by=by("VA"), at=NOW, **asked)
        assert refusal.value.code == "invalid"


def test_the_endpoints(api: Api, by: People) -> None:
    with time_machine.travel(NOW, tick=False):
        ladder(by("VA"))
        found = api("AUDITOR").get("/api/followups/lookup", {"phone": "416 555 0199"})
        assert [lead["lead_id"] for lead in found.json()["leads"]] == ["L-1"]
        assert api("AUDITOR").post("/api/followups/lead/L-1/inbound", {"channel": "CALL"}).status_code == 403
        answer = api("VA").post("/api/followups/lead/L-1/inbound", {"channel": "call", "outcome": "reached"})
        assert answer.status_code == 201, answer.content
        assert answer.json()["next_task"]["channel"] == "CALL"
        missing = api("VA").post("/api/followups/lead/nobody/inbound", {"channel": "CALL"})
        assert (missing.status_code, missing.json()["code"]) == (404, "lead_not_found")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "channel"),
        ({"channel": "FAX"}, "channel"),
        ({"channel": "SMS", "outcome": "SENT"}, "outcome"),
        ({"channel": "SMS", "outcome": "REPLIED", "next": "CALLBACK"}, "next_at"),
        ({"channel": "SMS", "note": "a\0b"}, "note"),
    ],
)
def test_bad_input_is_named_and_stores_nothing(api: Api, by: People, body: object, field: str) -> None:
    ladder(by("VA"))
    answer = api("VA").post("/api/followups/lead/L-1/inbound", body, format="json")
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])
    assert not InboundContact.objects.exists()


def test_reassigning_by_a_filter(api: Api, by: People) -> None:
    for number in range(3):
        ladder(by("SERVICE"), f"L-{number}", owner="gus" if number else "ann", phone="")
    client = api("MANAGER")
    body = {"of_owner": "GUS", "owner": "eve", "reason": "Gus left"}
    answer = client.post("/api/followups/reassign", body, format="json")
    assert answer.json() == {"ok": True, "reassigned": 12, "remaining": 0}
    assert set(Ladder.objects.values_list("owner", flat=True)) == {"ann", "eve"}
    neither = client.post("/api/followups/reassign", {"owner": "eve", "reason": "x"}, format="json")
    assert (neither.status_code, list(neither.json()["errors"])) == (400, ["ids"])

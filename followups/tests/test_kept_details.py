"""What a call says of a known lead is kept, whether or not a ladder begins."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from pytest_django import Settings
from rest_framework.test import APIClient

from followups.models import ContactPoint, FollowUpTask, Ladder, Lead
from followups.services import LeadDetails, create_ladder
from followups.services.leads import MOST_BYTES, MOST_KEYS, MOST_VALUES, kept_besides
from followups.tests.factories import EMAIL, NOW, PHONE, ladder, steps_of
from governance.core.actors import Actor
from governance.core.errors import Invalid, Refused
from governance.core.places import Place
from governance.golive.models import GoLiveState
from governance.market.services import upsert_policy

pytestmark = [pytest.mark.both, pytest.mark.django_db]
People = Callable[..., Actor]
Api = Callable[..., APIClient]
OTHER_PHONE = "+14165550100"
URL = "/api/followups/ladder/create"


def again(by: Actor, province: str = "ON", market: str = "", **details: Any) -> Refused:
    """Call once more for L-1 and return the refusal."""
    with pytest.raises(Refused) as refusal:
        create_ladder("L-1", by=by, at=NOW, province=province, market=market, details=LeadDetails(**details))
    return refusal.value


def test_a_running_ladder_refuses_a_second_and_keeps_what_the_call_said(by: People) -> None:
    first = ladder(by("VA"), name="Anne", score=Decimal("0.8"))
    refusal = again(
        by("SERVICE"), name="Anne Tremblay", language="fr", score=Decimal("0.9"), phone=OTHER_PHONE,
        email=EMAIL, cost=Decimal(35), extra={"utm_source": "ads"},
    )  # fmt: skip
    assert (refusal.code, refusal.extra["ladder_id"]) == ("ladder_active", first.ladder.pk)
    assert refusal.extra["kept"] == ["cost", "email", "language", "name", "phone", "score", "utm_source"]
    assert refusal.extra["warnings"] == ["unknown_field:utm_source"]
    lead = Lead.objects.get()
    assert (lead.name, lead.score, lead.language) == ("Anne", Decimal("0.8"), "fr")
    assert lead.cost == Decimal(35)
    assert lead.extra == {"name": "Anne Tremblay", "score": "0.9", "utm_source": "ads"}
    assert [point.value for point in lead.points.all()] == [PHONE, OTHER_PHONE, EMAIL]
    assert (Ladder.objects.count(), FollowUpTask.objects.count()) == (1, 6)


def test_the_same_call_again_keeps_nothing_new(by: People) -> None:
    ladder(by("VA"), name="Anne")
    said: dict[str, Any] = {"name": "Ann", "phone": OTHER_PHONE, "extra": {"tag": 1}}
    again(by("SERVICE"), **said)
    before = Lead.objects.values().get()
    assert again(by("SERVICE"), **said).extra["kept"] == []
    assert Lead.objects.values().get() == before
    assert ContactPoint.objects.count() == 2


@pytest.mark.parametrize(
    ("live", "killed", "code"), [(True, True, "kill_switch_engaged"), (False, False, "go_live_disabled")]
)
@pytest.mark.parametrize("running", [True, False])
def test_a_known_lead_is_filled_in_also_while_the_switches_let_no_ladder_begin(
    by: People, settings: Settings, live: bool, killed: bool, code: str, running: bool
) -> None:
    if running:
        ladder(by("VA"), name="")
    else:
        Lead.objects.create(external_id="L-1", province="ON", created_at=NOW, updated_at=NOW)
    settings.GO_LIVE_ENFORCE = True
    GoLiveState.objects.update(go_live_enabled=live, kill_switch_engaged=killed)
    refusal = again(by("SERVICE"), name="Anne", email=EMAIL)
    assert (refusal.code, refusal.extra["kept"]) == (code, ["email", "name"])
    assert Lead.objects.get().name == "Anne"
    assert Ladder.objects.count() == running


def test_the_switches_let_nobody_new_in(by: People, settings: Settings) -> None:
    settings.GO_LIVE_ENFORCE = True
    refusal = again(by("SERVICE"), name="Anne", extra={"utm": 1})
    assert (refusal.code, refusal.extra["kept"]) == ("go_live_disabled", [])
    assert refusal.extra["warnings"] == ["not_stored:utm"]
    assert not Lead.objects.exists()


def test_another_province_answers_as_before_and_keeps_nothing(by: People, settings: Settings) -> None:
    ladder(by("VA"), name="")
    with pytest.raises(Invalid):
        create_ladder("L-1", by=by("VA"), at=NOW, province="QC", details=LeadDetails(name="Anne"))
    settings.GO_LIVE_ENFORCE = True
    assert again(by("VA"), province="QC", name="Anne").code == "go_live_disabled"
    assert Lead.objects.get().name == ""


def test_tasks_that_had_no_number_take_the_one_that_came(by: People) -> None:
    made = create_ladder("L-1", by=by("VA"), at=NOW, province="ON", details=LeadDetails(city="Toronto"))
    again(by("SERVICE"), phone=PHONE)
    assert {task.contact_point.value for task in steps_of(made) if task.contact_point} == {PHONE}


def test_due_times_follow_the_score_and_market_that_came(by: People) -> None:
    made = ladder(by("VA"))
    again(by("SERVICE"), score=Decimal("0.2"))
    assert {task.held_reason for task in steps_of(made)[1:]} == {"lead_score_below_minimum"}
    upsert_policy(
        Place("ON", "NORTH"),
        by=by("MANAGER"),
        at=NOW,
        reason="a test",
        rules={"min_lead_score_to_contact": 0.1},
    )
    again(by("SERVICE"), market="North")
    assert {(task.held_reason, task.market_key) for task in steps_of(made)[1:]} == {("", "NORTH")}


def test_an_erased_lead_is_written_about_no_more(by: People, settings: Settings) -> None:
    from governance.retention.erasing import erase_person

    ladder(by("VA"), name="Anne")
    lead = Lead.objects.get()
    erase_person("LEAD", lead.pk, why="REQUESTED", by=by("MANAGER"), at=NOW)
    lead.refresh_from_db()
    settings.GO_LIVE_ENFORCE = True
    with pytest.raises(Refused) as refusal:
        create_ladder(lead.external_id, by=by("VA"), at=NOW, details=LeadDetails(name="Anne"))
    assert refusal.value.code == "go_live_disabled"
    lead.refresh_from_db()
    assert lead.name == ""


# --- what else a source sends -------------------------------------------------------------------------------


def test_several_values_of_one_key_stand_in_a_list_the_newest_last() -> None:
    kept = kept_besides({"a": 1}, {"a": 2, "b": True})
    assert kept == {"a": [1, 2], "b": True}
    assert kept_besides(kept, {"a": 1, "b": True}) == kept
    for number in range(30):
        kept = kept_besides(kept, {"a": number + 10})
    assert kept["a"] == list(range(40 - MOST_VALUES, 40))


def test_what_a_source_sends_besides_is_bounded() -> None:
    kept = kept_besides({}, {str(number): number for number in range(MOST_KEYS + 20)})
    assert len(kept) == MOST_KEYS
    kept = {}
    for number in range(60):
        kept = kept_besides(kept, {f"k{number}": "é" * 1000})
    assert len(json.dumps(kept)) <= MOST_BYTES
    assert len(kept) > 8


def test_what_was_too_much_to_store_is_named_as_such(by: People) -> None:
    many = {f"k{number:03}": number for number in range(MOST_KEYS + 2)}
    made = create_ladder("L-1", by=by("SERVICE"), at=NOW, province="ON", details=LeadDetails(extra=many))
    assert made.warnings[0] == "unknown_field:k000"
    assert made.warnings[-2:] == [f"not_stored:k{MOST_KEYS}", f"not_stored:k{MOST_KEYS + 1}"]
    refusal = again(by("SERVICE"), extra={"k000": [5], "new": "x"})
    assert refusal.extra["warnings"] == ["unknown_field:k000", "not_stored:new"]
    assert Lead.objects.get().extra["k000"] == [0, [5]]


def test_the_api_keeps_unknown_parameters_with_the_lead_and_names_them(api: Api) -> None:
    body = {"lead_id": "W-1", "province": "ON", "score": 0.9, "beds": 3, "utm": {"a": [1]}, "extra": {"x": 1}}
    with time_machine.travel(NOW, tick=False):
        answer = api("SERVICE").post(URL, body, format="json")
        assert answer.status_code == 201, answer.content
        assert answer.json()["warnings"] == ["unknown_field:beds", "unknown_field:utm", "unknown_field:x"]
        assert Lead.objects.get().extra == {"beds": 3, "utm": {"a": [1]}, "x": 1}
        refusal = api("SERVICE").post(
            f"{URL}?campaign=autumn", {"lead_id": "W-1", "beds": "4", "csrfmiddlewaretoken": "no"}
        )
    assert (refusal.status_code, refusal.json()["code"]) == (409, "ladder_active")
    assert refusal.json()["kept"] == ["beds", "campaign"]
    assert Lead.objects.get().extra["beds"] == [3, "4"]


@pytest.mark.parametrize(
    ("key", "value"), [("score", "high"), ("phone", "12"), ("language", "de"), ("cost", -1), ("name", ["a"])]
)
def test_typed_parameters_stay_strict(api: Api, key: str, value: object) -> None:
    answer = api("SERVICE").post(URL, {"lead_id": "W-1", "province": "ON", key: value}, format="json")
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [key])


@pytest.mark.parametrize(
    ("query", "body"), [("", {"k" * 61: 1}), ("", {" ": 1}), ("?a=%00", {}), ("", {"a\nb": 1}), ("", {"": 1})]
)
def test_what_cannot_be_stored_is_refused_by_name(api: Api, query: str, body: dict[str, object]) -> None:
    answer = api("SERVICE").post(URL + query, {"lead_id": "W-1", "province": "ON", **body}, format="json")
    assert answer.status_code == 400, answer.content
    assert not Lead.objects.exists()


def test_other_calls_refuse_what_they_do_not_know_as_before(api: Api) -> None:
    answer = api("VA").post("/api/followups/due/claim", {"limits": 3}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (400, "unknown_field")

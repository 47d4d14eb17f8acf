"""GET can-contact: the gate asked over REST, of markets, persons and leads."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from governance.contact.models import ContactDecision
from governance.contact.services import lift_suppression, record_consent, suppress
from governance.core.actors import Actor
from governance.core.hooks import LeadFacts
from governance.core.places import Place
from governance.market.services import upsert_policy
from governance.tests.factories import (
    NOW,
    SELLER_EMAIL,
    SELLER_PHONE,
    ClosureFactory,
    StatutoryHoursFactory,
    email_point,
    lead_of,
    phone_point,
)

PATH = "/api/governance/market/can-contact"
Api = Callable[..., APIClient]
Leads = dict[str, LeadFacts]
MakeBy = Callable[..., Actor]
pytestmark = [pytest.mark.both, pytest.mark.django_db]

CHECKS = [
    "policy", "channel", "suppression", "consent", "score", "holiday", "statutory_hours", "contact_window",
    "frequency",
]  # fmt: skip


def ask(api: Api, **query: Any) -> dict[str, Any]:
    response = api("VA").get(PATH, query)
    assert response.status_code == 200, response.content
    return dict(response.json())


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ({"channel": "SMS", "weekday": 2, "hhmm": "14:30"}, "within_window"),
        ({"channel": "sms", "weekday": 2, "hhmm": "22:30"}, "outside_contact_window"),
        ({"channel": "SMS", "weekday": 2, "hhmm": "20:00"}, "outside_contact_window"),
        ({"channel": "CALL", "weekday": 2, "hhmm": "22:30"}, "outside_statutory_hours"),
        ({"channel": "SMS", "weekday": 6, "hhmm": "03:00"}, "outside_contact_window"),
    ],
)
def test_a_weekday_and_time_are_judged_as_given(api: Api, query: dict[str, Any], reason: str) -> None:
    answer = ask(api, province="ON", **query)
    assert (answer["reason"], answer["ok"]) == (reason, reason == "within_window")
    assert (answer["zones"], answer["local_times"], answer["next_allowed_at"]) == ([], [], None)
    assert answer["checks"][5] == {"check": "holiday", "result": "not_checked", "reason": ""}
    assert answer["checks"][8] == {"check": "frequency", "result": "not_checked", "reason": ""}


def test_the_whole_answer_for_a_market(api: Api) -> None:
    answer = ask(api, province="on", market="sudbury", channel="SMS", at="2026-11-25T14:30:00-05:00")
    assert list(answer) == [
        "ok", "reason", "province", "market", "channel", "policy", "scope", "zones", "local_times", "checks",
        "next_allowed_at", "warnings", "citation",
    ]  # fmt: skip
    assert (answer["ok"], answer["reason"], answer["channel"]) == (True, "within_window", "SMS")
    assert (answer["province"], answer["market"]) == ("ON", "SUDBURY")
    assert answer["policy"] == {"id": answer["policy"]["id"], "version": 1, "market": "ALL", "enabled": True}
    assert answer["scope"] == "market"
    assert answer["zones"] == ["America/Toronto"], "Sudbury is in the table of cities"
    assert answer["local_times"] == ["2026-11-25 14:30 America/Toronto"]
    assert [check["check"] for check in answer["checks"]] == CHECKS
    assert [check["result"] for check in answer["checks"]] == [
        "pass", "pass", "not_checked", "pass", "not_checked", "pass", "pass", "pass",
        "not_checked",
    ]  # fmt: skip
    assert answer["next_allowed_at"] == "2026-11-25T19:30:00Z"
    assert "opt-outs and consent were not checked" in answer["warnings"][0]


def test_vancouver_is_asked_at_its_own_hour(api: Api) -> None:
    answer = ask(api, province="BC", market="Vancouver", channel="SMS", at="2026-12-15T04:45:00Z")
    assert answer["local_times"] == ["2026-12-14 21:45 America/Vancouver"]
    assert (answer["reason"], answer["next_allowed_at"]) == ("outside_contact_window", "2026-12-15T16:00:00Z")


def test_a_market_that_no_city_names_is_judged_by_every_clock(api: Api) -> None:
    answer = ask(api, province="NU", channel="SMS", at="2026-11-29T07:00:00Z")
    assert len(answer["zones"]) == len(answer["local_times"]) == 5
    assert answer["next_allowed_at"] == "2026-11-30T16:00:00Z"


def test_the_nearest_clock_wins(api: Api, by: MakeBy, leads: Leads) -> None:
    leads["L-1"] = lead_of(city="Kenora", zone="America/Halifax")
    leads["L-2"] = lead_of(city="Kenora")
    leads["L-3"] = lead_of(city="nowhere", market="THUNDER BAY")

    def zones(**query: Any) -> Any:
        return ask(api, channel="SMS", at=NOW.isoformat(), **query)["zones"]

    assert zones(lead_id="L-1") == ["America/Halifax"]
    assert zones(lead_id="L-1", timezone="America/Regina") == ["America/Regina"]
    assert zones(lead_id="L-2") == ["America/Winnipeg"]
    assert zones(lead_id="L-3") == ["America/Toronto"]
    assert len(zones(province="ON")) == 3
    upsert_policy(Place("ON"), by=by("MANAGER"), at=NOW, timezone="America/Atikokan")
    assert zones(lead_id="L-2") == ["America/Atikokan"]
    assert zones(lead_id="L-1") == ["America/Halifax"]


def test_now_is_the_default(api: Api) -> None:
    with time_machine.travel(datetime(2026, 11, 25, 3, 30, tzinfo=UTC), tick=False):
        answer = ask(api, province="ON", market="Toronto", channel="CALL")
    assert answer["local_times"] == ["2026-11-24 22:30 America/Toronto"]
    assert answer["reason"] == "outside_statutory_hours"
    assert "CRTC" in answer["citation"]
    assert answer["next_allowed_at"] == "2026-11-25T14:00:00Z"


def test_a_missing_and_a_disabled_policy_refuse(api: Api, by: MakeBy) -> None:
    upsert_policy(Place("QC", "MONTRÉAL"), by=by("MANAGER"), at=NOW, enabled=False)
    answer = ask(api, province="QC", market="montreal", channel="SMS", at="2026-11-25T14:30:00-05:00")
    assert (answer["reason"], answer["next_allowed_at"]) == ("policy_disabled", None)
    assert (answer["policy"]["market"], answer["policy"]["enabled"]) == ("MONTRÉAL", False)
    from governance.market.models import MarketPolicy

    MarketPolicy.objects.filter(province="NU").delete()
    answer = ask(api, province="NU", channel="SMS", at="2026-11-25T14:30:00-05:00")
    assert (answer["reason"], answer["policy"]) == ("policy_missing", None)
    assert {check["result"] for check in answer["checks"][1:]} == {"not_checked"}


IN_HOURS = "2026-11-25T14:30:00-05:00"


def test_an_opt_out_stops_a_phone_and_a_lift_ends_it(api: Api, by: MakeBy) -> None:
    query = {"province": "ON", "channel": "SMS", "at": IN_HOURS, "phone": "416-555-0199"}
    assert ask(api, **query)["scope"] == "person"
    suppress([phone_point().digest], by=by("VA"), at=NOW)
    answer = ask(api, **query)
    assert (answer["reason"], answer["next_allowed_at"]) == ("suppressed", None)
    assert ask(api, **{**query, "channel": "CALL"})["reason"] == "suppressed"
    assert ask(api, **{**query, "phone": "416-555-0198"})["ok"]
    lift_suppression([phone_point().digest], by=by("MANAGER"), at=NOW, reason="called by mistake")
    assert ask(api, **query)["ok"]


def test_an_express_consent_ends_a_stop_for_its_channel(api: Api, by: MakeBy) -> None:
    suppress([phone_point().digest], by=by("VA"), at=NOW)
    record_consent(
        phone_point().digest,
        "SMS",
        "EXPRESS",
        by=by("MANAGER"),
        at=NOW + timedelta(hours=1),
        obtained_at=NOW + timedelta(hours=1),
        how="web form",
    )
    query = {"province": "ON", "at": IN_HOURS, "phone": SELLER_PHONE}
    assert ask(api, channel="SMS", **query)["ok"]
    assert ask(api, channel="CALL", **query)["reason"] == "suppressed"


def test_where_consent_is_needed_it_must_be_on_record(api: Api, by: MakeBy) -> None:
    upsert_policy(Place("ON"), by=by("MANAGER"), at=NOW, rules={"consent_required_channels": ["EMAIL"]})
    query = {"province": "ON", "channel": "EMAIL", "at": IN_HOURS, "email": SELLER_EMAIL}
    assert ask(api, **query)["reason"] == "consent_missing"
    record_consent(
        email_point().digest, "EMAIL", "INQUIRY", by=by("MANAGER"), at=NOW, obtained_at=NOW, how="web form"
    )
    assert ask(api, **query)["ok"]
    late = ask(api, **{**query, "at": "2027-05-25T14:30:00-04:00"})
    assert late["reason"] == "consent_missing", "an inquiry lasts six months"
    assert ask(api, **{**query, "at": "2027-05-21T14:30:00-04:00"})["ok"]
    last_evening = ask(api, **{**query, "at": "2027-05-23T21:00:00-04:00"})
    assert last_evening["next_allowed_at"] is None, "by the next morning the consent has ended"


def test_a_lead_is_judged_with_all_that_is_known_of_it(api: Api, leads: Leads) -> None:
    leads["L-1"] = lead_of(score=Decimal("0.5"))
    answer = ask(api, lead_id="L-1", channel="SMS", at=IN_HOURS)
    assert (answer["scope"], answer["province"], answer["zones"]) == ("lead", "ON", ["America/Toronto"])
    assert (answer["reason"], answer["next_allowed_at"]) == ("lead_score_below_minimum", None)
    assert ask(api, lead_id="L-1", channel="SMS", at=IN_HOURS, lead_score="0.65")["ok"]
    assert ask(api, lead_id="L-1", channel="SMS", at=IN_HOURS, lead_score="0.6499")["ok"] is False


def test_a_lead_without_a_number_is_warned_of(api: Api, leads: Leads) -> None:
    leads["L-1"] = lead_of(points=(email_point(),))
    answer = ask(api, lead_id="L-1", channel="SMS", at=IN_HOURS)
    assert answer["ok"]
    assert "opt-outs could not be checked" in answer["warnings"][0]


def test_an_unknown_lead_is_404_and_one_elsewhere_is_400(api: Api, leads: Leads) -> None:
    response = api("VA").get(PATH, {"lead_id": "L-404", "channel": "SMS"})
    assert (response.status_code, response.json()["code"]) == (404, "lead_not_found")
    leads["L-1"] = lead_of()
    response = api("VA").get(PATH, {"lead_id": "L-1", "province": "QC", "channel": "SMS"})
    assert (response.status_code, list(response.json()["errors"])) == (400, ["province"])


def test_closures_and_the_law_of_a_province_count(api: Api) -> None:
    ClosureFactory.create(citation="Mourning Act")
    answer = ask(api, province="ON", market="Toronto", channel="SMS", at=IN_HOURS)
    assert (answer["reason"], answer["citation"]) == ("holiday", "Mourning Act")
    assert answer["next_allowed_at"] == "2026-11-26T14:00:00Z"
    StatutoryHoursFactory.create()
    answer = ask(api, province="ON", market="Toronto", channel="SMS", at="2026-11-26T09:30:00-05:00")
    assert (answer["reason"], answer["citation"]) == ("outside_statutory_hours", "Texts Act, s. 1")
    assert answer["next_allowed_at"] == "2026-11-26T15:00:00Z"


def test_questions_keep_nothing(api: Api, leads: Leads) -> None:
    leads["L-1"] = lead_of()
    ask(api, lead_id="L-1", channel="CALL", at=IN_HOURS)
    ask(api, province="ON", channel="CALL", phone=SELLER_PHONE, at="2026-11-25T22:30:00-05:00")
    assert not ContactDecision.objects.exists()


def test_asking_takes_few_queries_authentication_included(
    api: Api, by: MakeBy, leads: Leads, django_assert_max_num_queries: Callable[..., CaptureQueriesContext]
) -> None:
    """Five here, of which the first use of a token is one; the lead itself costs its pack one more."""
    upsert_policy(Place("ON"), by=by("MANAGER"), at=NOW, rules={"consent_required_channels": ["SMS"]})
    leads["L-1"] = lead_of()
    client = api("VA")
    with django_assert_max_num_queries(5):
        assert client.get(PATH, {"lead_id": "L-1", "channel": "SMS"}).status_code == 200


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"channel": None}, "channel"),
        ({"channel": ""}, "channel"),
        ({"channel": "FAX"}, "channel"),
        ({"channel": "SMS" * 10}, "channel"),
        ({"channel": "SM\0S"}, "channel"),
        ({"province": None}, "province"),
        ({"province": "ZZ"}, "province"),
        ({"market": "X" * 41}, "market"),
        ({"market": "a\0b"}, "market"),
        ({"weekday": 9, "hhmm": "10:00"}, "weekday"),
        ({"weekday": -1, "hhmm": "10:00"}, "weekday"),
        ({"weekday": "NaN", "hhmm": "10:00"}, "weekday"),
        ({"weekday": "1e400", "hhmm": "10:00"}, "weekday"),
        ({"weekday": "٢", "hhmm": "10:00"}, "weekday"),
        ({"weekday": "2.5", "hhmm": "10:00"}, "weekday"),
        ({"weekday": 2, "hhmm": "25:99"}, "hhmm"),
        ({"weekday": 2, "hhmm": "24:00"}, "hhmm"),
        ({"weekday": 2, "hhmm": "9:00"}, "hhmm"),
        ({"weekday": 2, "hhmm": "٠٩:٠٠"}, "hhmm"),
        ({"weekday": 2, "hhmm": ""}, "hhmm"),
        ({"weekday": 2}, "hhmm"),
        ({"hhmm": "10:00"}, "weekday"),
        ({"weekday": 2, "hhmm": "10:00", "at": "2026-11-25T14:30:00Z"}, "at"),
        ({"at": "2026-11-25T14:30:00"}, "at"),
        ({"at": "2026-11-25"}, "at"),
        ({"at": "yesterday"}, "at"),
        ({"at": "1999-12-31T23:59:59Z"}, "at"),
        ({"at": "2100-01-01T00:00:00Z"}, "at"),
        ({"at": "0001-01-01T00:00:00+14:00"}, "at"),
        ({"at": "9999-12-31T23:59:59-14:00"}, "at"),
        ({"at": "2026-13-45T99:99:99Z"}, "at"),
        ({"at": ""}, "at"),
        ({"lead_score": "NaN"}, "lead_score"),
        ({"lead_score": "1e400"}, "lead_score"),
        ({"lead_score": "-0.1"}, "lead_score"),
        ({"lead_score": "65"}, "lead_score"),
        ({"lead_score": "٠"}, "lead_score"),
        ({"lead_id": "L" * 65}, "lead_id"),
        ({"lead_id": "L\0"}, "lead_id"),
        ({"phone": "call me"}, "phone"),
        ({"phone": "1" * 300}, "phone"),
        ({"phone": "416\0"}, "phone"),
        ({"email": "nobody"}, "email"),
        ({"email": "a@" + "b" * 300 + ".ca"}, "email"),
        ({"timezone": "Europe/Paris"}, "timezone"),
        ({"timezone": "../../etc/passwd"}, "timezone"),
        ({"correlation_id": "a b"}, "correlation_id"),
    ],
    ids=str,
)
def test_a_bad_question_names_its_field(api: Api, query: dict[str, Any], field: str) -> None:
    whole = {
        key: value
        for key, value in {"province": "ON", "channel": "SMS", **query}.items()
        if value is not None
    }
    response = api("VA").get(PATH, whole)
    assert (response.status_code, list(response.json()["errors"])) == (400, [field]), response.content


def test_blank_parameters_count_as_not_given(api: Api) -> None:
    blank = {"lead_id": "", "lead_score": "", "phone": "", "email": "", "timezone": "", "market": " "}
    answer = ask(api, province="ON", channel="SMS", at=IN_HOURS, **blank)
    assert (answer["scope"], answer["market"]) == ("market", "ALL")


@pytest.mark.parametrize("year", [2000, 2007, 2099])
def test_distant_years_are_answered(api: Api, year: int) -> None:
    assert ask(api, province="ON", channel="CALL", at=f"{year}-12-31T23:59:59Z")["checks"]

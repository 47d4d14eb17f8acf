"""Leads written over the API: who is found, what is replaced, what is never lost, and who may."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.db import connection
from hypothesis import HealthCheck, given
from hypothesis import settings as settings_of
from hypothesis import strategies as st
from pytest_django import DjangoAssertNumQueries, Settings
from rest_framework.test import APIClient

from followups import services
from followups.api import serializers as shapes
from followups.models import ContactPoint, FollowUpTask, Ladder, Lead
from followups.points import lead_digest, read_point
from followups.tests.factories import NOW, PHONE, LeadFactory, PointFactory
from followups.tests.scenes import SOMEBODY
from governance.contact.models import Consent, Suppression
from governance.contact.services import lift_suppression, suppress
from governance.core.errors import Refused
from governance.models import GoLiveState, IdempotentAnswer, KpiEvent
from governance.retention.erasing import erase_person
from governance.retention.registry import LEAD
from valhalla.testing import at_once, make_by, make_client

pytestmark = [pytest.mark.both, pytest.mark.django_db]
Api = Callable[..., APIClient]
LEADS = "/api/followups/leads"
# queries, with the savepoint of each verb and of creating a row
CREATING, REPEATING = 9, 6
ANNE = {"name": "Anne Tremblay", "province": "ON", "city": "Toronto", "phone": "416 555 0199"}


@pytest.fixture(autouse=True)
def clock() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


def post(client: APIClient, **body: Any) -> Any:
    return client.post(LEADS, body, format="json")


def stored(client: APIClient, **body: Any) -> Any:
    answer = post(client, **body)
    assert answer.status_code < 300, answer.json()
    return answer.json()


def refusal(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


@pytest.fixture
def crm() -> APIClient:
    return make_client("SERVICE", "crm")


# --- creating and finding -----------------------------------------------------------------------------------


def test_a_new_lead_is_created_and_a_second_post_says_what_changed(crm: APIClient) -> None:
    first = post(crm, **ANNE, lead_id="L-1", score=0.8, campaign="spring")
    assert first.status_code == 201
    assert first.json() | {"id": 0} == {
        "ok": True, "id": 0, "lead_id": "L-1", "created": True, "matched_by": None,
        "changed": ["campaign", "city", "name", "phone", "province", "score"],
        "possible_duplicates": [], "consents": [], "ladder": None, "warnings": ["unknown_field:campaign"],
    }  # fmt: skip
    lead = Lead.objects.get()
    assert (lead.name, lead.score, lead.extra) == ("Anne Tremblay", Decimal("0.8"), {"campaign": "spring"})

    again = post(crm, **ANNE, lead_id="L-1", score=0.9, email="anne@example.ca")
    assert again.status_code == 200
    assert (again.json()["created"], again.json()["matched_by"]) == (False, "lead_id")
    assert again.json()["changed"] == ["email", "score"]
    assert post(crm, **ANNE, lead_id="L-1").json()["changed"] == []
    assert list(Lead.objects.values_list("score", flat=True)) == [Decimal("0.9")]


def test_an_answer_holds_no_value_that_names_the_person(crm: APIClient) -> None:
    answer = crm.post(LEADS, {**ANNE, "lead_id": "L-1"}, format="json", headers={"Idempotency-Key": "k-1"})
    assert answer.status_code == 201
    kept = IdempotentAnswer.objects.get().body
    assert "Tremblay" not in kept
    assert "555" not in kept


def test_without_an_id_the_only_lead_with_the_number_is_found(crm: APIClient) -> None:
    stored(crm, **ANNE, lead_id="L-1", source="form")
    found = stored(crm, phone="(416) 555-0199", postal_code="M5V 2T6", source="dialer")
    assert (found["lead_id"], found["matched_by"], found["created"]) == ("L-1", "phone", False)
    lead = Lead.objects.get()
    assert (lead.postal_code, lead.source) == ("M5V 2T6", "form")  # only a blank is filled
    assert lead.extra == {"source": "dialer"}


def test_without_an_id_the_only_lead_with_the_address_is_found(crm: APIClient) -> None:
    stored(crm, name="Anne", province="ON", email="anne@example.ca")
    found = stored(crm, email="Anne@Example.ca", phone="416 555 0199")
    assert (found["matched_by"], found["changed"]) == ("email", ["phone"])
    assert Lead.objects.count() == 1


@pytest.mark.parametrize(
    "other",
    [
        {"name": "Bernard Tremblay"},
        {"province": "QC", "city": ""},
        {"city": "Ottawa"},
        {"postal_code": "K1A 0B1"},
    ],
)
def test_a_spouse_or_a_namesake_elsewhere_is_another_lead(crm: APIClient, other: dict[str, str]) -> None:
    first = stored(crm, **ANNE, postal_code="M5V 2T6")
    second = stored(crm, **{**ANNE, "postal_code": "M5V 2T6", **other})
    assert second["created"]
    assert second["possible_duplicates"] == [{"id": first["id"], "lead_id": first["lead_id"]}]
    assert Lead.objects.get(pk=first["id"]).name == "Anne Tremblay"
    third = stored(crm, phone=PHONE, province="ON")  # now two have it: nobody is guessed
    assert third["created"]
    assert len(third["possible_duplicates"]) == 2


def test_an_agents_number_and_a_wrong_one_identify_nobody(crm: APIClient) -> None:
    anne = LeadFactory.create()
    point = PointFactory.create(lead=anne, shared_as="AGENT")
    assert stored(crm, phone=PHONE, province="ON")["created"]
    Lead.objects.exclude(pk=anne.pk).delete()
    ContactPoint.objects.filter(pk=point.pk).update(shared_as="", status="WRONG")
    assert stored(crm, phone=PHONE, province="ON")["possible_duplicates"] == []


def test_a_known_id_moves_with_their_tasks(crm: APIClient) -> None:
    stored(crm, **ANNE, lead_id="L-1", ladder=True)
    answer = stored(crm, lead_id="L-1", province="BC", city="Vancouver")
    assert answer["changed"] == ["city", "province"]
    assert set(FollowUpTask.objects.values_list("province", flat=True)) == {"BC"}


def test_numbers_are_added_and_a_retired_one_stays_retired(crm: APIClient) -> None:
    lead_id = stored(crm, **ANNE, lead_id="L-1")["id"]
    stored(
        crm, lead_id="L-1", phone="416 555 0111", contact_points=[{"email": "a@example.ca", "label": "home"}]
    )
    points = list(ContactPoint.objects.values_list("value", "label"))
    assert points == [(PHONE, ""), ("+14165550111", ""), ("a@example.ca", "home")]
    point = ContactPoint.objects.get(value=PHONE)
    assert crm.post(f"{LEADS}/{lead_id}/contact-points/{point.pk}/retire").json()["changed"]
    assert stored(crm, lead_id="L-1", phone=PHONE)["warnings"] == ["point_retired:phone"]
    assert ContactPoint.objects.get(value=PHONE).status == "WRONG"


def test_two_posts_at_once_of_one_new_person_create_one(transactional_db: None) -> None:
    clients = [make_client("SERVICE", "crm") for _number in range(8)]
    for body in ({"lead_id": "L-1", **ANNE}, {**ANNE, "phone": "416 555 0123", "name": "Carl"}):
        answers = at_once(lambda client: post(client, **body), clients)  # noqa: B023  # done before the next
        assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
        assert len({answer.json()["id"] for answer in answers}) == 1
    assert Lead.objects.count() == ContactPoint.objects.count() == 2


# --- who was erased or opted out ----------------------------------------------------------------------------


@pytest.mark.parametrize("same", [{"lead_id": "L-1"}, {"lead_id": "L-9", "phone": PHONE}, {"phone": PHONE}])
def test_who_asked_to_be_erased_does_not_come_back(crm: APIClient, same: dict[str, str]) -> None:
    lead_id = stored(crm, **ANNE, lead_id="L-1")["id"]
    erase_person(LEAD, lead_id, why="REQUESTED", by=make_by("MANAGER"), at=NOW)
    answer = post(crm, province="ON", **same)
    assert refusal(answer) == (409, "person_erased")
    assert Lead.objects.count() == 1
    own = [read_point("PHONE", PHONE)[1], lead_digest("L-1")]
    lift_suppression(own, by=make_by("MANAGER"), at=NOW + timedelta(hours=1), reason="called us")
    assert stored(crm, province="ON", **same)["created"]


def test_who_was_erased_as_not_needed_may_come_back(crm: APIClient) -> None:
    lead_id = stored(crm, **ANNE, lead_id="L-1")["id"]
    erase_person(LEAD, lead_id, why="NOT_NEEDED", by=make_by("MANAGER"), at=NOW)
    assert stored(crm, **ANNE, lead_id="L-1")["created"]


def test_nothing_is_written_about_an_erased_lead(crm: APIClient) -> None:
    lead_id = stored(crm, **ANNE, lead_id="L-1")["id"]
    erase_person(LEAD, lead_id, why="NOT_NEEDED", by=make_by("MANAGER"), at=NOW)
    erased = Lead.objects.get().external_id
    star = {"If-Match": "*"}
    for answer in (
        post(crm, lead_id=erased, name="Anne"),
        crm.patch(f"{LEADS}/{lead_id}", {"name": "Anne"}, format="json", headers=star),
        crm.post(f"{LEADS}/{lead_id}/won"),
        crm.post(f"{LEADS}/{lead_id}/contact-points", {"phone": PHONE}, format="json"),
    ):
        assert refusal(answer) == (409, "lead_erased")


def test_an_opt_out_holds_whatever_is_sent(crm: APIClient) -> None:
    stored(crm, **ANNE, lead_id="L-1")
    suppress([read_point("PHONE", PHONE)[1]], by=SOMEBODY, at=NOW)
    consent = {"channel": "SMS", "wording": "I agree", "obtained_at": NOW.isoformat(), "source": "form"}
    answer = stored(crm, **ANNE, lead_id="L-1", consents=[consent], ladder=True)
    assert answer["consents"] == [
        {"channel": "SMS", "kind": "EXPRESS", "recorded": False, "already": False, "reason": "suppressed"}
    ]
    assert (answer["ladder"]["started"], answer["ladder"]["reason"]) == (False, "followed_up_before")
    assert not Consent.objects.exists()
    assert Lead.objects.get().status == "DEAD"
    with_new = stored(crm, **{**ANNE, "name": "Carl"}, ladder=True)  # another person with the number
    assert (with_new["ladder"]["started"], with_new["ladder"]["reason"]) == (False, "suppressed")


def test_a_suppressed_lead_is_not_changed(crm: APIClient) -> None:
    lead_id = stored(crm, **ANNE, lead_id="L-1")["id"]
    suppress([lead_digest("L-1")], by=SOMEBODY, at=NOW)
    star = {"If-Match": "*"}
    assert refusal(crm.patch(f"{LEADS}/{lead_id}", {"name": "B"}, format="json", headers=star)) == (
        409,
        "lead_suppressed",
    )
    added = crm.post(f"{LEADS}/{lead_id}/contact-points", {"email": "a@example.ca"}, format="json")
    assert refusal(added) == (409, "lead_suppressed")


# --- consents -----------------------------------------------------------------------------------------------


def test_a_consent_comes_with_its_evidence_and_is_recorded_once(crm: APIClient) -> None:
    consent = {
        "channel": "sms", "wording": "Texts about my house", "obtained_at": "2026-11-25T19:00:00Z",
        "source": "https://example.ca/form", "ip": "203.0.113.7", "reference": "sub-81",
    }  # fmt: skip
    first = stored(crm, **ANNE, lead_id="L-1", consents=[consent])
    again = stored(crm, **ANNE, lead_id="L-1", consents=[consent])
    assert [(one["consents"][0]["recorded"], one["consents"][0]["already"]) for one in (first, again)] == [
        (True, False),
        (True, True),
    ]
    row = Consent.objects.get()
    assert (row.kind, row.obtained_how) == ("EXPRESS", "Texts about my house")
    assert row.evidence == "https://example.ca/form; IP 203.0.113.7; sub-81"
    assert row.point_digest == ContactPoint.objects.get().digest


def test_a_withdrawal_suppresses_and_an_unreachable_channel_is_told(crm: APIClient) -> None:
    gone = {"channel": "SMS", "kind": "WITHDRAWN", "wording": "STOP", "obtained_at": NOW.isoformat()}
    mail = {"channel": "EMAIL", "wording": "yes", "obtained_at": NOW.isoformat(), "source": "form"}
    answer = stored(crm, **ANNE, consents=[gone, mail])
    assert [one["reason"] for one in answer["consents"]] == [None, "no_contact_point"]
    assert Suppression.objects.get().channel == "SMS"


def test_a_senders_clock_may_be_ahead_of_ours(crm: APIClient) -> None:
    soon = (NOW + timedelta(seconds=90)).isoformat()
    consent = {"channel": "SMS", "wording": "yes", "obtained_at": soon, "source": "form"}
    gone = {"channel": "CALL", "kind": "WITHDRAWN", "wording": "No calls", "obtained_at": soon}
    for _time in range(2):
        answer = stored(crm, **ANNE, lead_id="L-1", consents=[consent, gone])
        assert all(one["recorded"] for one in answer["consents"])
    assert Consent.objects.get(kind="EXPRESS").at == NOW + timedelta(seconds=90)
    assert set(Suppression.objects.values_list("channel", "at")) == {("CALL", NOW)}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"source": "", "ip": "", "reference": ""}, "evidence"),
        ({"obtained_at": (NOW + timedelta(minutes=3)).isoformat()}, "at"),
        ({"wording": ""}, "consents"),
        ({"wordings": "x"}, "consents"),
        ({"kind": "BUSINESS"}, "consents"),
        ({"ip": "300.1.1.1"}, "consents"),
    ],
)
def test_a_consent_that_proves_nothing_stores_nothing(
    crm: APIClient, change: dict[str, str], field: str
) -> None:
    consent = {"channel": "SMS", "wording": "yes", "obtained_at": NOW.isoformat(), "source": "form", **change}
    answer = post(crm, **ANNE, consents=[consent])
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])
    assert not Lead.objects.exists()


# --- ladders ------------------------------------------------------------------------------------------------


def test_a_ladder_starts_in_the_same_call_once(crm: APIClient) -> None:
    first = stored(crm, **ANNE, lead_id="L-1", ladder=True, owner="vera")
    assert first["ladder"]["started"]
    assert len(first["ladder"]["tasks"]) == 6
    assert Ladder.objects.get().owner == "vera"
    again = post(crm, **ANNE, lead_id="L-1", ladder=True, score=0.9)
    assert again.status_code == 200
    assert again.json()["changed"] == ["score"]
    assert again.json()["ladder"]["reason"] == "ladder_active"
    assert again.json()["ladder"]["ladder_id"] == first["ladder"]["ladder_id"]
    assert KpiEvent.objects.filter(metric="ladder_created").count() == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"score": 0.1}, "lead_score_below_minimum"), ({"market": "Nowhere"}, "policy_disabled")],
)
def test_a_ladder_that_cannot_start_leaves_the_lead(
    crm: APIClient, change: dict[str, object], reason: str
) -> None:
    make_client("MANAGER").post(
        "/api/governance/market/policies/upsert",
        {"province": "ON", "market": "Nowhere", "enabled": False},
        format="json",
    )
    answer = stored(crm, **{**ANNE, **change}, ladder=True)
    assert (answer["created"], answer["ladder"]["started"]) == (True, False)
    assert answer["ladder"]["reason"] == reason
    assert answer["ladder"]["detail"]
    assert not Ladder.objects.exists()


def test_while_go_live_is_off_the_lead_is_stored_and_no_ladder_starts(
    crm: APIClient, settings: Settings
) -> None:
    settings.GO_LIVE_ENFORCE = True
    answer = stored(crm, **ANNE, ladder=True)
    assert answer["ladder"]["reason"] == "go_live_disabled"
    assert Lead.objects.count() == 1
    GoLiveState.objects.update(go_live_enabled=True, kill_switch_engaged=True)
    assert stored(crm, **{**ANNE, "name": "Carl"}, ladder=True)["ladder"]["reason"] == "kill_switch_engaged"
    assert not FollowUpTask.objects.exists()


# --- PATCH --------------------------------------------------------------------------------------------------


def test_a_change_needs_the_version_that_was_read(crm: APIClient) -> None:
    lead_id = stored(crm, **ANNE)["id"]
    url = f"{LEADS}/{lead_id}"
    tag = crm.get(url).headers["ETag"]
    assert refusal(crm.patch(url, {"name": "B"}, format="json")) == (428, "precondition_required")
    done = crm.patch(url, {"name": "Anne Roy", "city": ""}, format="json", headers={"If-Match": tag})
    assert (done.status_code, done.json()["changed"]) == (200, ["city", "name"])
    stale = crm.patch(url, {"name": "C"}, format="json", headers={"If-Match": tag})
    assert refusal(stale) == (412, "stale_version")
    assert crm.get(url).headers["ETag"] == done.headers["ETag"] != tag
    several = {"If-Match": f'"x", {done.headers["ETag"]}'}
    assert crm.patch(url, {"score": 0.7, "cost": None}, format="json", headers=several).status_code == 200
    assert Lead.objects.get().score == Decimal("0.7")
    weak = {"If-Match": f"W/{crm.get(url).headers['ETag']}"}
    assert refusal(crm.patch(url, {"score": 0.6}, format="json", headers=weak)) == (412, "stale_version")


def test_a_new_number_is_a_new_version(crm: APIClient) -> None:
    lead_id = stored(crm, **ANNE)["id"]
    tag = crm.get(f"{LEADS}/{lead_id}").headers["ETag"]
    crm.post(f"{LEADS}/{lead_id}/contact-points", {"phone": "416 555 0100"}, format="json")
    assert crm.get(f"{LEADS}/{lead_id}").headers["ETag"] != tag


@pytest.mark.parametrize("header", ["", "abc", '"a" "b"', '"a",', "*, *", '"' + "x" * 1001 + '"'])
def test_an_if_match_that_cannot_be_read_is_refused(crm: APIClient, header: str) -> None:
    lead_id = stored(crm, **ANNE)["id"]
    answer = crm.patch(f"{LEADS}/{lead_id}", {"name": "B"}, format="json", headers={"If-Match": header})
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["If-Match"])


@pytest.mark.parametrize(
    "body",
    [{"nam": "B"}, {"status": "WON"}, {"lead_id": "L-2"}, {"score": 2}, {"province": "XX"}, {"zone": "Mars"}],
)
def test_what_cannot_be_changed_is_named(crm: APIClient, body: dict[str, object]) -> None:
    lead_id = stored(crm, **ANNE)["id"]
    answer = crm.patch(f"{LEADS}/{lead_id}", body, format="json", headers={"If-Match": "*"})
    assert (answer.status_code, list(answer.json()["errors"])) == (400, list(body))


def test_who_moves_loses_the_old_place(crm: APIClient) -> None:
    lead_id = stored(crm, **ANNE, postal_code="M5V 2T6", zone="America/Toronto")["id"]
    star = {"If-Match": "*"}
    crm.patch(f"{LEADS}/{lead_id}", {"province": "BC"}, format="json", headers=star)
    lead = Lead.objects.get()
    assert (lead.province, lead.city, lead.postal_code, lead.zone) == ("BC", "", "", "")


# --- settling and contact points ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "body", "status"),
    [
        ("won", {}, "WON"),
        ("dead", {"reason": "sold to a neighbour"}, "DEAD"),
        ("not-now", {"until": "2027-03-01"}, "NOT_NOW"),
    ],
)
def test_a_settled_lead_has_nothing_open(
    crm: APIClient, verb: str, body: dict[str, str], status: str
) -> None:
    lead_id = stored(crm, **ANNE, ladder=True)["id"]
    done = crm.post(f"{LEADS}/{lead_id}/{verb}", body, format="json")
    assert (done.status_code, done.json()["status"], done.json()["changed"]) == (200, status, True)
    assert (done.json()["ladders_stopped"], done.json()["tasks_cancelled"]) == (1, 6)
    assert not FollowUpTask.objects.filter(status="OPEN").exists()
    assert Ladder.objects.get().status == "STOPPED"
    again = crm.post(f"{LEADS}/{lead_id}/{verb}", body, format="json")
    assert (again.status_code, again.json()["changed"]) == (200, False)
    assert "neighbour" not in str(done.json())


@pytest.mark.parametrize(
    ("verb", "body", "field"),
    [
        ("dead", {}, "reason"),
        ("dead", {"reason": " "}, "reason"),
        ("not-now", {}, "until"),
        ("not-now", {"until": "2026-11-01"}, "until"),
        ("not-now", {"until": "2031-11-01"}, "until"),
    ],
)
def test_settling_says_what_it_needs(crm: APIClient, verb: str, body: dict[str, str], field: str) -> None:
    lead_id = stored(crm, **ANNE)["id"]
    answer = crm.post(f"{LEADS}/{lead_id}/{verb}", body, format="json")
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])
    assert Lead.objects.get().status == "NEW"


def test_the_waiting_ladder_of_the_same_person_starts_once_the_other_is_settled(crm: APIClient) -> None:
    first = stored(crm, **ANNE, lead_id="L-1", ladder=True)["id"]
    stored(crm, **ANNE, lead_id="L-2", ladder=True)
    assert FollowUpTask.objects.filter(held_reason="person_active").count() == 6
    crm.post(f"{LEADS}/{first}/won")
    assert not FollowUpTask.objects.filter(held_reason="person_active").exists()


def test_a_number_is_added_once_and_goes_to_tasks_without_one(crm: APIClient) -> None:
    lead_id = stored(crm, **{**ANNE, "phone": ""}, ladder=True)["id"]
    url = f"{LEADS}/{lead_id}/contact-points"
    answers = [crm.post(url, {"phone": PHONE, "whose": "wife"}, format="json") for _time in range(2)]
    assert [answer.status_code for answer in answers] == [201, 200]
    assert PHONE not in str(answers[0].json())
    point = ContactPoint.objects.get()
    assert (point.whose, point.lead_id) == ("wife", lead_id)
    assert set(FollowUpTask.objects.values_list("contact_point", flat=True)) == {point.pk}


def test_retiring_the_last_number_skips_the_steps_and_ends_the_ladder(crm: APIClient) -> None:
    lead_id = stored(crm, **ANNE, ladder=True)["id"]
    point = ContactPoint.objects.get()
    url = f"{LEADS}/{lead_id}/contact-points/{point.pk}/retire"
    assert crm.post(url).json() == {
        "ok": True,
        "changed": True,
        "contact_point": {"id": point.pk, "kind": "PHONE", "status": "WRONG"},
    }
    assert not crm.post(url).json()["changed"]
    assert set(FollowUpTask.objects.values_list("status", "closed_reason")) == {
        ("SKIPPED", "no_contact_point")
    }
    assert Ladder.objects.get().status != "ACTIVE"
    added = crm.post(f"{LEADS}/{lead_id}/contact-points", {"phone": PHONE}, format="json")
    assert refusal(added) == (409, "point_retired")


def test_retiring_one_number_goes_on_with_the_next(crm: APIClient) -> None:
    lead_id = stored(crm, **ANNE, contact_points=[{"phone": "416 555 0111"}], ladder=True)["id"]
    first, second = ContactPoint.objects.order_by("order")
    crm.post(f"{LEADS}/{lead_id}/contact-points/{first.pk}/retire")
    open_tasks = FollowUpTask.objects.filter(status="OPEN")
    assert set(open_tasks.values_list("contact_point", flat=True)) == {second.pk}
    other = LeadFactory.create()
    stray = PointFactory.create(lead=other)
    answer = crm.post(f"{LEADS}/{lead_id}/contact-points/{stray.pk}/retire")
    assert refusal(answer) == (404, "point_not_found")


# --- who may, and what it costs -----------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["VA", "CLOSER", "AUDITOR"])
def test_only_managers_and_programs_write_leads(role: str) -> None:
    lead = LeadFactory.create()
    client = make_client(role)
    assert refusal(post(client, **ANNE)) == (403, "not_allowed")
    for path in ("won", "dead", "not-now", "contact-points"):
        assert client.post(f"{LEADS}/{lead.pk}/{path}", {}, format="json").status_code == 403
    with pytest.raises(Refused):
        services.upsert_lead(services.SentLead(province="ON"), by=make_by(role), at=NOW)


def test_the_cost_in_queries(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    services.upsert_lead(services.SentLead("L-0", "ON"), by=make_by("SERVICE"), at=NOW)
    by = make_by("SERVICE")
    sent = services.SentLead("L-1", "ON", points=[services.SentPoint("PHONE", "+14165550123")])
    locks = connection.vendor == "postgresql"  # of identities; SQLite has one writer

    with django_assert_num_queries(CREATING + locks):
        services.upsert_lead(sent, by=by, at=NOW)
    with django_assert_num_queries(REPEATING + locks):
        services.upsert_lead(sent, by=by, at=NOW)


# --- whatever is sent ---------------------------------------------------------------------------------------

NAMES = [
    *shapes.UpsertLeadInput().fields,
    *shapes.ConsentItem().fields,
    *shapes.PointItem().fields,
    "until",
    "items",
    "x",
]
CODES = ["ON", "SMS", "EXPRESS", "416 555 0199", "a@example.ca", "2027-01-01", "2026-11-25T19:00:00Z"]
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12) | st.sampled_from(CODES),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip
BODIES = st.dictionaries(st.sampled_from(NAMES), ANY, max_size=8)
PATHS = ["", "/{id}", "/{id}/won", "/{id}/dead", "/{id}/not-now", "/{id}/contact-points", "/bulk"]


@pytest.mark.parametrize("path", PATHS)
def test_no_body_causes_a_500(crm: APIClient, path: str) -> None:
    lead_id = stored(crm, **ANNE, lead_id="L-1")["id"]

    @settings_of(max_examples=60, suppress_health_check=list(HealthCheck), deadline=None)
    @given(body=BODIES)
    def sent(body: dict[str, object]) -> None:
        if path == "/bulk":
            body = {"items": [body]}
        method = crm.patch if path == "/{id}" else crm.post
        url = f"{LEADS}{path.format(id=lead_id)}"
        answer = method(url, body, format="json", headers={"If-Match": "*"})
        assert answer.status_code < 500, answer.json()

    sent()

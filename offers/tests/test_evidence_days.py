"""The days of evidence are local ones, and what is no amount is shown as it was written."""

from __future__ import annotations

import html
import re
from datetime import UTC, date, datetime

import pytest
import time_machine
from django.test import Client

from governance.contact.models import ContactDecision
from governance.core.admin.display import EVERY, facts
from governance.core.places import Place
from governance.tests.factories import ContactDecisionFactory
from offers import rules
from offers.models import OfferEvidence
from offers.services import differences
from offers.tests.factories import compute, switch_on
from valhalla.testing import ClientResponse, make_client, make_person

pytestmark = pytest.mark.django_db

EVENING = datetime(2026, 11, 25, 3, 30, tzinfo=UTC)  # 24 November, 22:30 in Toronto and 19:30 in Vancouver


def offer(province: str, sold_on: str) -> ClientResponse:
    switch_on(Place(province))
    body = {
        "province": province,
        "arv": 450_000,
        "repairs": 50_000,
        "comps": [{"price": 440_000, "sold_on": sold_on}],
    }
    return make_client("CLOSER").post("/api/deals/offers/compute", body, format="json")


@pytest.mark.parametrize("province", ["ON", "BC"])
def test_in_the_evening_a_sale_of_tomorrow_is_one_of_the_future(province: str) -> None:
    with time_machine.travel(EVENING, tick=False):
        answer = offer(province, "2026-11-25")
        assert answer.status_code == 400, "it is the 25th in Greenwich alone"
        assert "future" in answer.content.decode()
        assert offer(province, "2026-11-24").status_code == 200


def test_a_sale_is_six_months_old_by_the_local_day_and_the_evidence_replays() -> None:
    with time_machine.travel(EVENING, tick=False):
        assert offer("ON", "2026-05-24").status_code == 200
    evidence = OfferEvidence.objects.get()
    assert evidence.comps_statistics["out_of_range"] == [], "by UTC it is a day too old"
    assert differences(evidence) == []


def test_evidence_of_the_first_version_keeps_the_day_that_it_was_computed_by() -> None:
    assert rules.day_of(EVENING, "ON", 1) == date(2026, 11, 25)
    assert rules.day_of(EVENING, "ON", 2) == date(2026, 11, 24)
    assert rules.day_of(datetime(2026, 11, 25, 5, 30, tzinfo=UTC), "ON", 2) == date(2026, 11, 25)
    assert rules.day_of(datetime(2026, 11, 25, 5, 30, tzinfo=UTC), "BC", 2) == date(2026, 11, 24)


def test_the_list_of_evidence_filters_and_shows_local_days() -> None:
    switch_on()
    for at in (datetime(2026, 11, 24, 4, 30, tzinfo=UTC), datetime(2026, 11, 24, 5, 30, tzinfo=UTC), EVENING):
        compute(at=at)
    client = Client()
    with time_machine.travel(EVENING, tick=False):
        client.force_login(make_person("MANAGER"))
        page = client.get("/admin/offers/offerevidence/")
        (today,) = [
            link
            for link in re.findall(r'href="(\?created_at[^"]*)"', page.content.decode())
            if "2026-11-24" in link and "2026-11-25" in link
        ]
        listed = client.get("/admin/offers/offerevidence/" + html.unescape(today))
    assert {row.created_at for row in listed.context["cl"].queryset} == {
        EVENING,
        datetime(2026, 11, 24, 5, 30, tzinfo=UTC),
    }
    text = html.unescape(page.content.decode()).replace("\u00a0", " ")
    assert [text.count(day) for day in ("Nov. 23, 2026 23:30", "Nov. 24, 2026 22:30")] == [1, 1]


@pytest.mark.parametrize(
    ("kept", "told"),
    [
        ({"tzdata": "2026.6"}, "2026.6"),
        ({"closures": [1234, 5678]}, "1234, 5678"),
        ({"year_built": "1998"}, "1998"),
        ({"ref": "24012345"}, "24012345"),
        ({"rows": [{"deal": "10450"}]}, "10450"),
        ({"vacant": True}, "yes"),
    ],
)
def test_what_is_no_amount_is_shown_as_it_was_written(kept: dict[str, object], told: str) -> None:
    assert f"{told}<" in str(facts(kept, {}, quantities={"price"}))


def test_amounts_are_shown_as_the_language_writes_them() -> None:
    assert "440,000<" in str(facts({"price": "440000.00"}, {}, quantities={"price"}))
    assert "440,000<" in str(facts([{"price": "440000.00"}], {}, quantities={"price"}))
    assert "1,204<" in str(facts({"followups.lead": 1204}, {}, quantities=EVERY))


def test_a_decision_names_the_versions_that_it_used_as_they_are_written() -> None:
    ContactDecisionFactory.create(basis={"tzdata": "2026.6", "holidays": "0.85", "closures": [1234]})
    client = Client()
    client.force_login(make_person("AUDITOR"))
    pk = ContactDecision.objects.get().pk
    text = client.get(f"/admin/governance/contactdecision/{pk}/change/").content.decode()
    assert ">2026.6<" in text
    assert ">1234<" in text
    assert "2,026.6" not in text


def test_an_evidence_names_listings_and_versions_as_they_are_written() -> None:
    switch_on()
    body = {
        "province": "ON",
        "arv": 450_000,
        "repairs": 50_000,
        "assumptions": {"subject_sqft": 1500},
        "comps": [{"price": 440_000, "ref": "24012345", "year_built": "1998"}],
    }
    evidence = make_client("CLOSER").post("/api/deals/offers/compute", body, format="json").json()
    client = Client()
    client.force_login(make_person("AUDITOR"))
    text = client.get(f"/admin/offers/offerevidence/{evidence['evidence_id']}/change/").content.decode()
    for written in (">24012345<", ">1998<", ">440,000<", ">1,500<"):
        assert written in text, written

"""Who looks up many people is seen by the managers, then refused; who answers their calls is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest
import time_machine
from django.test import Client
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings
from rest_framework.test import APIClient

from followups.models import LookupEvent
from followups.services import TooManyLookups, look_up, record_inbound
from followups.services.lookup_bursts import bursts_at
from followups.tests.factories import NOW, PHONE, ladder
from governance.core.actors import Actor, Role
from governance.kpi.figures import take_figures
from governance.models import KpiEvent, OutboxMessage, User

pytestmark = [pytest.mark.both, pytest.mark.django_db]
MINUTE = timedelta(minutes=1)
People = Callable[..., Actor]


def looked(by: Actor, count: int, age: timedelta = MINUTE) -> None:
    """Leave so many look-ups by somebody."""
    LookupEvent.objects.bulk_create(
        LookupEvent(kind="PHONE", digest=f"{number}", found=0, at=NOW - age, **by.written())
        for number in range(count)
    )


def test_managers_hear_of_the_31st_look_up_in_ten_minutes_once(
    by: People, person: Callable[..., User]
) -> None:
    for name, email in (("mona", "mona@valhalla.example"), ("max", "")):
        user = person(Role.MANAGER, name)
        user.email = email
        user.save()
    va = by(Role.VA, "amara")
    looked(va, 29)
    looked(va, 40, age=11 * MINUTE)
    look_up(by=va, at=NOW, phone=PHONE)
    assert not OutboxMessage.objects.exists()

    for _number in range(15):
        look_up(by=va, at=NOW, phone=PHONE)
    mail = OutboxMessage.objects.get()
    assert mail.to == "mona@valhalla.example"
    assert "amara looked up 31 people" in mail.body
    events = KpiEvent.objects.filter(metric="lookup_burst").order_by("pk")
    assert [(event.actor, event.detail) for event in events] == [
        ("amara", {"count": 31}),
        ("amara", {"count": 41}),
    ]


def test_above_120_look_ups_are_refused_until_ten_minutes_are_over(
    by: People,
    settings: Settings,
    tmp_path: Path,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    settings.VAR = tmp_path
    va = by(Role.VA, "amara")
    looked(va, 120)
    with django_capture_on_commit_callbacks(execute=True), pytest.raises(TooManyLookups) as refused:
        look_up(by=va, at=NOW, phone=PHONE)

    assert (refused.value.status, refused.value.wait) == (429, 541)
    assert LookupEvent.objects.count() == 120
    assert KpiEvent.objects.get(metric="lookups_refused").actor == "amara"
    (log,) = (tmp_path / "log").iterdir()
    line = json.loads(log.read_text())
    assert (line["event"], line["by"], line["count"]) == ("lookups_refused", "amara", 121)
    assert look_up(by=by(Role.VA, "bea"), at=NOW, phone=PHONE) == []
    assert look_up(by=va, at=NOW + 9 * MINUTE, phone=PHONE) == []


def test_look_ups_that_ended_in_an_inbound_contact_do_not_count(by: People) -> None:
    ladder(by(Role.VA, "amara"))
    va = by(Role.VA, "amara")
    looked(va, 120)
    record_inbound("L-1", by=va, at=NOW, channel="CALL")
    look_up(by=va, at=NOW, phone=PHONE)
    with pytest.raises(TooManyLookups):
        look_up(by=va, at=NOW, phone=PHONE)


def test_a_service_client_has_the_limit_of_its_token_and_an_office_ten_times_as_much(by: People) -> None:
    program, va = by(Role.SERVICE, "crm"), by(Role.VA, "amara")
    looked(program, 1300)
    look_up(by=program, at=NOW, phone=PHONE)
    looked(va, 1199)
    look_up(by=va, at=NOW, phone=PHONE, office=True)
    with pytest.raises(TooManyLookups):
        look_up(by=va, at=NOW, phone=PHONE, office=True)
    assert KpiEvent.objects.filter(metric="lookup_burst").count() <= 1


@pytest.mark.parametrize("method", ["get", "post"])
def test_page_and_api_answer_429_and_know_the_office(
    method: str, by: People, api: Callable[..., APIClient], person: Callable[..., User], settings: Settings
) -> None:
    looked(by(Role.VA, "amara"), 120)
    with time_machine.travel(NOW, tick=False):
        answer = getattr(api(Role.VA, "amara"), method)("/api/followups/lookup", {"phone": PHONE})
        assert (answer.status_code, answer.json()["code"]) == (429, "too_many_lookups")
        assert answer["Retry-After"] == "541"
        page = Client()
        page.force_login(person(Role.VA, "amara"))
        told = page.post("/followups/find/", {"q": PHONE}, headers={"Accept-Language": "fr"})
        assert told.status_code == 429
        assert "120 personnes" in told.content.decode()

        settings.OFFICE_ADDRESSES = [ip_network("127.0.0.1")]
        assert page.post("/followups/find/", {"q": PHONE}).status_code == 200
        office = getattr(api(Role.VA, "amara"), method)("/api/followups/lookup", {"phone": PHONE})
        assert office.status_code == 200


# --- what managers see of it in admin -----------------------------------------------------------------------

ACCESS_LOG = "/admin/followups/lookupevent/"


@pytest.fixture
def bursts(
    by: People,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
    settings: Settings,
    tmp_path: Path,
) -> None:
    """Have amara look up 125 people, five of them refused, bea 31, and carl 30."""
    settings.VAR = tmp_path
    for name, count in (("amara", 30), ("bea", 30), ("carl", 29)):
        looked(by(Role.VA, name), count)
    for seconds, name in enumerate(("bea", "carl", "amara")):
        look_up(by=by(Role.VA, name), at=NOW - MINUTE / 2 + timedelta(seconds=seconds), phone=PHONE)
    looked(by(Role.VA, "amara"), 89)
    with django_capture_on_commit_callbacks(execute=True):
        for _number in range(5):
            with pytest.raises(TooManyLookups):
                look_up(by=by(Role.VA, "amara"), at=NOW, phone=PHONE)


def sidebar(client: Client) -> dict[str, str]:
    """Return what stands beside each link of the side bar."""
    sections = client.get("/admin/").context["sidebar_navigation"]
    return {item["link"]: item.get("badge", "") for section in sections for item in section["items"]}


def test_a_badge_leads_the_manager_to_who_looked_up_many_and_since_when(
    bursts: None, person: Callable[..., User]
) -> None:
    client = Client()
    with time_machine.travel(NOW + MINUTE, tick=False):
        client.force_login(person(Role.MANAGER, "mona"))
        assert sidebar(client)[f"{ACCESS_LOG}?bursts=yes"] == "2", "at once: no job has counted"
        answer = client.get(f"{ACCESS_LOG}?bursts=yes")
        found = {one.name: (one.most, one.refused) for one in answer.context["bursts"]}
        assert found == {"amara": (120, 5), "bea": (31, 0)}
        assert all(NOW - 11 * MINUTE < one.since < NOW for one in answer.context["bursts"])
        assert {row.actor for row in answer.context["cl"].queryset} == {"amara", "bea"}
        page = answer.content.decode()
        assert '<a href="?bursts=yes&amp;q=bea">bea</a>' in page
        of_bea = client.get(f"{ACCESS_LOG}?bursts=yes&q=bea")
        assert {row.actor for row in of_bea.context["cl"].queryset} == {"bea"}
        french = client.get(ACCESS_LOG, headers={"Accept-Language": "fr"}).content.decode()
        assert "Séries de recherches" in french


def test_the_job_counts_the_bursts_too_and_forgets_them_after_three_days(
    bursts: None, person: Callable[..., User]
) -> None:
    client, manager = Client(), person(Role.MANAGER, "mona")
    for age, badge in ((timedelta(days=2), "2"), (timedelta(days=3, minutes=1), "")):
        take_figures(NOW + age)
        with time_machine.travel(NOW + age, tick=False):
            client.force_login(manager)
            beside = sidebar(client)
            assert beside.get(f"{ACCESS_LOG}?bursts=yes", "") == badge
            answer = client.get(ACCESS_LOG)
            assert ("Nobody looked up more than 30 people" in answer.content.decode()) is (badge == "")


def test_a_burst_an_hour_later_is_another(by: People) -> None:
    va = by(Role.VA, "amara")
    for at in (NOW, NOW + 2 * timedelta(hours=1)):
        LookupEvent.objects.bulk_create(
            LookupEvent(kind="PHONE", digest="0", found=0, at=at - MINUTE, **va.written()) for _n in range(30)
        )
        look_up(by=va, at=at, phone=PHONE)
    later, first = bursts_at(NOW + timedelta(hours=3))
    assert (first.since, later.since) == (NOW - 10 * MINUTE, NOW + 110 * MINUTE)


def test_an_auditor_reads_the_access_log_without_the_bursts(
    bursts: None, person: Callable[..., User]
) -> None:
    client = Client()
    with time_machine.travel(NOW + MINUTE, tick=False):
        client.force_login(person(Role.AUDITOR, "ann"))
        assert f"{ACCESS_LOG}?bursts=yes" not in sidebar(client)
        answer = client.get(f"{ACCESS_LOG}?bursts=yes")
        assert answer.context["bursts"] == []
        assert answer.context["cl"].result_count == LookupEvent.objects.count(), "the filter is not theirs"
        assert 'id="lookup-bursts"' not in answer.content.decode()

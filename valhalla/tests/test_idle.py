"""Sessions end by themselves, and not for those who are at work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from governance.core.actors import Role
from governance.models import User, WorkProfile

pytestmark = [pytest.mark.both, pytest.mark.django_db]

MORNING = datetime(2026, 11, 25, 15, 0, tzinfo=UTC)  # 10:00 in Toronto, a Wednesday
People = Callable[..., User]


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(MORNING, tick=False) as traveller:
        yield traveller


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def is_in(client: Client, path: str = "/followups/") -> bool:
    return client.get(path).status_code == 200


def test_half_an_hour_away_ends_at_the_login_which_says_why_and_leads_back(
    person: People, clock: time_machine.Traveller
) -> None:
    client = signed_in(person(Role.MANAGER))
    for _time in range(3):  # who is there stays
        clock.shift(timedelta(minutes=29))
        assert is_in(client, "/admin/")

    clock.shift(timedelta(minutes=31))
    sent = client.get("/admin/governance/user/?q=ann")

    assert sent["Location"] == "/login/?next=/admin/governance/user/%3Fq%3Dann&ended=idle"
    page = client.get(sent["Location"]).content.decode()
    assert "You were away for a while" in page
    assert 'value="/admin/governance/user/?q=ann"' in page


def test_polls_are_no_activity_and_learn_of_the_end(person: People, clock: time_machine.Traveller) -> None:
    client = signed_in(person(Role.MANAGER))
    by_page = {"HX-Request": "true", "HX-Current-URL": "http://testserver/followups/?mine=1"}
    for _time in range(2):
        clock.shift(timedelta(minutes=14))
        assert client.get(reverse("followups:news"), headers=by_page).status_code in {200, 204}
    clock.shift(timedelta(minutes=3))

    told = client.get(reverse("followups:news"), headers=by_page)

    assert told.status_code == 401
    assert told["X-Login"].endswith("&ended=idle")
    assert client.get("/api/governance/market/policies").status_code == 401


def test_a_va_on_shift_may_be_away_for_four_hours(person: People, clock: time_machine.Traveller) -> None:
    on, off = person(Role.VA, "on"), person(Role.VA, "off")
    for user, start, end in ((on, "09:00", "17:00"), (off, "18:00", "22:00")):
        shifts = [{"days": [0, 1, 2, 3, 4], "start": start, "end": end}]
        WorkProfile.objects.create(user=user, zone="America/Toronto", shifts=shifts)
    clients = [signed_in(on), signed_in(off)]

    clock.shift(timedelta(hours=3, minutes=59))
    assert [is_in(client) for client in clients] == [True, False]
    clock.shift(timedelta(hours=4))  # after her shift
    assert not is_in(clients[0])


def test_nobody_is_logged_in_for_more_than_twelve_hours(
    person: People, clock: time_machine.Traveller
) -> None:
    client = signed_in(person(Role.VA))
    for _time in range(4):
        clock.shift(timedelta(hours=2, minutes=59))
        assert is_in(client)

    clock.shift(timedelta(minutes=5))
    assert not is_in(client)


def test_a_session_from_before_this_rule_ends_too(person: People, clock: time_machine.Traveller) -> None:
    client = signed_in(person(Role.MANAGER))
    session = client.session
    del session["seen"], session["since"]
    session.save()

    assert is_in(client)
    clock.shift(timedelta(minutes=31))
    assert not is_in(client)


def test_a_session_is_written_once_a_minute_at_most(
    person: People, clock: time_machine.Traveller, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client = signed_in(person(Role.MANAGER))
    path = "/api/governance/go-live/state"
    client.get(path)
    clock.shift(timedelta(seconds=59))
    with django_assert_num_queries(3):  # session, person, state
        client.get(path)
    clock.shift(timedelta(seconds=1))
    with django_assert_num_queries(7):  # the session's transaction and her row as well
        client.get(path)

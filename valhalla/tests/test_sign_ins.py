"""Who is signed in: people see and end their own sessions, a manager anybody's; an ended one is nobody."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.contrib.auth import login
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.test import Client, RequestFactory
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from governance.accounts.devices import read_device
from governance.accounts.second_factor import reset_second_factor
from governance.accounts.services import set_role
from governance.accounts.sign_ins import begin, close_left_behind, end_everything, end_sessions, signed_in
from governance.core.actors import Actor, Role
from governance.core.errors import Forbidden, Invalid
from governance.models import SignIn, User
from valhalla.testing import PASSWORD, ConfirmingClient
from valhalla.tests.test_second_factor import enrolled

pytestmark = [pytest.mark.both, pytest.mark.django_db]
People = Callable[..., User]
PAGE, LIST = "/sessions/", "/admin/governance/signin/"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0"
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.0 Mobile/15E148 Safari/604.1"
)


def log_in(user: User, agent: str = FIREFOX, address: str = "203.0.113.7") -> Client:
    """Sign in as the login does, without the password's hash, which is slow on purpose."""
    client = ConfirmingClient(headers={"User-Agent": agent}, REMOTE_ADDR=address)
    request = RequestFactory(headers={"User-Agent": agent}, REMOTE_ADDR=address).get("/login/")
    request.session = SessionStore()
    login(request, user, settings.AUTHENTICATION_BACKENDS[0])
    request.session.save()
    client.cookies[settings.SESSION_COOKIE_NAME] = str(request.session.session_key)
    return client


def is_in(client: Client) -> bool:
    """Return whether the client is let in, or sent to the sign-in page."""
    sent = client.get("/followups/")
    assert sent.status_code == 200 or sent["Location"].startswith("/login/")
    return sent.status_code == 200


def row_of(client: Client) -> SignIn:
    return SignIn.objects.get(pk=client.session["sign_in"])


def why(row: SignIn) -> tuple[str, str, str]:
    row.refresh_from_db()
    assert row.ended_at is None or row.session_key == ""
    return row.ended_because, row.ended_by, row.end_reason


def test_everybody_sees_and_ends_her_own_sessions_and_nobody_elses(person: People) -> None:
    amara, ben = person(Role.VA, "amara"), person(Role.VA, "ben")
    here, phone, third, bens = log_in(amara), log_in(amara, IPHONE, "2001:db8::1"), log_in(amara), log_in(ben)

    page = here.get(PAGE).content.decode()
    assert page.count("Firefox on Linux") == 3  # two sessions, and the name of the button of one
    assert "Mobile Safari on iOS" in page
    assert "2001:db8::1" in page
    assert page.count("this session") == 1
    for client in (here, phone, bens):
        assert str(client.session.session_key) not in page

    ended = row_of(phone)
    for nonsense in (row_of(bens).pk, "x", "9" * 40, "²", ""):
        assert here.post(PAGE, {"end": nonsense}).status_code == 302
    assert all(map(is_in, (phone, third, bens)))
    here.post(PAGE, {"end": ended.pk})
    assert [is_in(client) for client in (here, phone, third, bens)] == [True, False, True, True]
    assert why(ended) == ("HAND", "amara", "")

    here.post(PAGE, {"others": "1"})
    assert [is_in(client) for client in (here, phone, third, bens)] == [True, False, False, True]


def test_a_manager_ends_one_session_or_all_of_a_person_with_a_reason(person: People) -> None:
    amara = person(Role.VA, "amara")
    one, two, three = (log_in(amara) for _time in range(3))
    manager = log_in(person(Role.MANAGER, "mona"), IPHONE)
    first = row_of(one)
    form = {"action": "end", "_selected_action": [first.pk], "apply": "1"}

    page = manager.get(LIST).content.decode()
    assert page.count("203.0.113.7") == 4
    assert "Mobile Safari on iOS" in page
    assert manager.post(LIST, form).status_code == 200
    assert is_in(one), "not without a reason"
    manager.post(LIST, {**form, "reason": "laptop lost"})
    assert [is_in(client) for client in (one, two, manager)] == [False, True, True]
    assert why(first) == ("HAND", "mona", "laptop lost")
    assert "laptop lost" in LogEntry.objects.get(object_id=str(amara.pk)).change_message

    manager.post(LIST, {**form, "action": "end_everything", "reason": "and the phone"}, follow=True)
    assert is_in(two), "the list shows who is signed in: an ended session is not chosen there"
    manager.post(LIST, {"action": "end_everything", "_selected_action": [row_of(two).pk], "apply": "1",
                        "reason": "and the phone"})  # fmt: skip
    assert [is_in(client) for client in (two, three, manager)] == [False, False, True]
    assert "and the phone" in manager.get(f"{LIST}?state=ended").content.decode()
    assert not Session.objects.exclude(session_key=manager.session.session_key).exists()


@pytest.mark.parametrize("role", ["VA", "CLOSER", "AUDITOR", "SERVICE"])
def test_only_a_manager_with_a_reason_ends_somebody_elses(
    role: str, person: People, by: Callable[..., Actor]
) -> None:
    client, at = log_in(person(Role.VA, "amara")), timezone.now()
    row = row_of(client)
    with pytest.raises(Forbidden):
        end_sessions([row.pk], by=by(role), at=at, reason="x")
    with pytest.raises(Forbidden):
        end_everything([row.user_id], by=by(role), at=at, reason="x")
    for reason in (" ", "x" * 201):
        with pytest.raises(Invalid):
            end_sessions([row.pk], by=by("MANAGER"), at=at, reason=reason)
    auditor = log_in(person(Role.AUDITOR, "audrey"))
    auditor.post(LIST, {"action": "end", "_selected_action": [row.pk], "apply": "1", "reason": "x"})
    assert is_in(client)


@pytest.mark.parametrize("change", ["role", "inactive", "password", "factor", "logout"])
def test_what_ends_the_sessions_of_a_person(change: str, person: People, by: Callable[..., Actor]) -> None:
    amara, manager = person(Role.VA, "amara"), log_in(person(Role.MANAGER, "mona"))
    client = log_in(amara)
    if change == "factor":
        enrolled(client)
        assert row_of(client).second_factor
        reset_second_factor("amara", by=by("MANAGER", "mona"), at=timezone.now(), reason="phone lost")
    row = row_of(client) if change != "factor" else SignIn.objects.get(user=amara)
    if change == "role":
        set_role(
            User.objects.get(pk=amara.pk),
            Role.CLOSER,
            by=by("MANAGER", "mona"),
            at=timezone.now(),
            reason="closes deals from now on",
        )
    if change == "inactive":
        sent = manager.post(f"/admin/governance/user/{amara.pk}/change/", {
            "username": "amara", "role": "VA", "change_reason": "left the company",
            "work_profile-TOTAL_FORMS": "0", "work_profile-INITIAL_FORMS": "0",
            "absences-TOTAL_FORMS": "0", "absences-INITIAL_FORMS": "0",
        })  # fmt: skip
        assert sent.status_code == 302
    if change == "password":
        sent = manager.post(f"/admin/password-link/{amara.pk}/", {"show": "1"})
        link = str(sent.context["address"]).partition("link=")[2]
        new = "a new one of thirty letters"
        sent = Client().post("/password/new/", {"link": link, "new": new, "again": new})
        assert sent["Location"] == "/login/"
    if change == "logout":
        client.post("/logout/")
    expected = {
        "role": "ROLE",
        "inactive": "INACTIVE",
        "password": "PASSWORD",
        "factor": "FACTOR",
        "logout": "LEFT",
    }
    assert why(row)[0] == expected[change]
    assert not Session.objects.exclude(session_key=manager.session.session_key).exists()
    assert not is_in(client)
    assert row_of(manager).session_key == manager.session.session_key, "the row follows a new key"
    assert manager.get(LIST).status_code == 200


def test_who_changes_her_own_password_stays_in_that_session_alone(person: People) -> None:
    mona = person(Role.MANAGER, "mona")
    here, other = log_in(mona), log_in(mona)
    new = "a new one of thirty letters"
    sent = here.post(
        "/password/",
        {"old": PASSWORD, "new": new, "again": new},
    )
    assert sent.status_code == 302
    assert [is_in(here), is_in(other)] == [True, False]
    assert [row.pk for row in signed_in(timezone.now())] == [row_of(here).pk]
    assert row_of(here).session_key == here.session.session_key


def test_the_row_says_when_somebody_was_last_here_and_an_ended_one_is_not_revived(
    person: People, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    began = timezone.now()
    with time_machine.travel(began, tick=False) as clock:
        client = log_in(person(Role.VA, "amara"))
        row = row_of(client)
        clock.shift(59)
        client.get("/")
        assert row_of(client).seen_at == began
        clock.shift(1)
        client.get("/", REMOTE_ADDR="198.51.100.1")
        assert row_of(client).seen_at == began + timedelta(minutes=1)
        assert row_of(client).address == "198.51.100.1"
        with django_assert_num_queries(2):  # the session and the person
            client.get("/")

        kept = Session.objects.get(session_key=row.session_key)
        SignIn.objects.filter(pk=row.pk).update(session_key="", ended_at=timezone.now())
        clock.shift(60)
        assert not is_in(client), "a request that was under way had written the session once more"
        assert not Session.objects.filter(pk=kept.pk).exists()


def test_who_does_not_come_back_is_no_longer_signed_in(person: People) -> None:
    began = timezone.now()
    with time_machine.travel(began, tick=False) as clock:
        va, manager = log_in(person(Role.VA, "amara")), log_in(person(Role.MANAGER, "mona"))

        def there(at: datetime) -> set[str]:
            return {row.user.username for row in signed_in(at)}

        assert there(began + timedelta(minutes=29)) == {"amara", "mona"}
        assert there(began + timedelta(minutes=31)) == {"amara"}
        assert there(began + timedelta(minutes=241)) == set()
        row = row_of(manager)
        clock.shift(timedelta(minutes=31))
        assert not is_in(manager)
        assert why(row)[0] == "AWAY"
        assert close_left_behind(began + timedelta(minutes=239)) == 0
        assert close_left_behind(began + timedelta(minutes=241)) == 1
        assert not is_in(va)


@pytest.mark.parametrize("agent", ["", "x", "\0", "é" * 900, "Mozilla/5.0 (" * 200])
def test_nonsense_is_an_unknown_device(agent: str, person: People) -> None:
    assert all(len(part) <= 40 for part in read_device(agent))
    client = log_in(person(Role.VA, "amara"), agent)
    assert client.get(PAGE).status_code == 200


def test_sessions_name_the_path_that_earlier_releases_wrote(
    client: Client, person: Callable[..., User]
) -> None:
    """Under another path every session would end with an update."""
    client.force_login(person("VA"))
    assert client.session["_auth_user_backend"] == "valhalla.rest.RoleBackend"
    assert client.get("/sessions/").status_code == 200


def test_of_two_first_requests_of_an_old_session_one_records_it(person: People) -> None:
    vera = person("VA", "vera")
    how: dict[str, Any] = {"at": timezone.now(), "address": None, "agent": "", "once": True}
    first, second = (begin(vera.pk, "k" * 32, **how) for _request in range(2))
    assert first.pk == second.pk
    assert SignIn.objects.count() == 1

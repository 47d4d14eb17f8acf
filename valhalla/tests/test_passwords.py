"""Passwords: people set their own, others give them a link that works once, and a known one is refused."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.conf import settings
from django.contrib.auth.management.commands import changepassword
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from governance.accounts.passwords import create_link, set_own_password, use_link
from governance.accounts.rules import by_user
from governance.core.actors import Role
from governance.core.errors import Forbidden, Refused
from governance.models import AccountChange, OutboxMessage, SignIn, User
from valhalla.testing import PASSWORD, ClientResponse, ConfirmingClient
from valhalla.tests.test_jobs import together

pytestmark = pytest.mark.django_db
People = Callable[..., User]
NEW = "seven otters under a lamp"
PAGE, USE = "/password/", "/password/new/"


def log_in(user: User, password: str = PASSWORD) -> Client:
    client = ConfirmingClient()
    assert client.post("/login/", {"username": user.username, "password": password}).status_code == 302
    return client


def change(
    client: Client, old: str = PASSWORD, new: str = NEW, again: str = "", **more: Any
) -> ClientResponse:
    return client.post(PAGE, {"old": old, "new": new, "again": again or new, **more})


def link_of(manager: Client, user: User) -> str:
    sent = manager.post(f"/admin/password-link/{user.pk}/", {"show": "1"})
    assert "no-store" in sent["Cache-Control"]
    return str(sent.context["address"]).partition("link=")[2]


def use(link: str, new: str = NEW, again: str = "") -> ClientResponse:
    return Client().post(USE, {"link": link, "new": new, "again": again or new})


def holds(user: User, password: str) -> bool:
    return User.objects.get(pk=user.pk).check_password(password)


def acts() -> list[tuple[str, str, str]]:
    return [(row.actor, row.kind, row.person) for row in AccountChange.objects.order_by("pk")]


# --- one's own ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", [Role.VA, Role.CLOSER, Role.MANAGER, Role.AUDITOR])
def test_everybody_changes_their_own_password(role: str, person: People) -> None:
    vera = person(role, "vera")
    client, other = log_in(vera), log_in(vera)
    sent = change(client, next="/sessions/")
    assert (sent.status_code, sent["Location"]) == (302, "/sessions/")
    assert holds(vera, NEW)
    assert client.get("/sessions/").status_code == 200, "the session in which it was changed goes on"
    assert other.get("/sessions/").status_code == 302
    assert acts() == [("vera", "PASSWORD", "vera")]


@pytest.mark.parametrize(
    "wrong",
    [
        {"old": "guess"}, {"old": ""}, {"new": "short"}, {"new": ""}, {"again": "something else"},
        {"new": "123456789012345"}, {"new": "qwerty123456"}, {"new": PASSWORD}, {"new": "a\0bcdefghijklmn"},
        {"new": "x" * 5000}, {"old": "x" * 5000},
    ],
)  # fmt: skip
def test_a_wrong_old_or_a_weak_new_password_changes_nothing(wrong: dict[str, Any], person: People) -> None:
    vera = person(Role.VA, "vera")
    client = log_in(vera)
    sent = change(client, **wrong)
    assert sent.status_code == 200
    assert b'role="alert"' in sent.content
    assert holds(vera, PASSWORD)
    assert acts() == []


def test_guesses_at_the_old_password_lock_the_name(person: People) -> None:
    vera = person(Role.VA, "vera")
    client = log_in(vera)
    assert [change(client, old="guess").status_code for _number in range(6)][-1] == 429
    assert change(client).status_code == 429
    assert holds(vera, PASSWORD)


def test_nobody_sets_somebody_elses_as_their_own(person: People) -> None:
    vera, mona = person(Role.VA, "vera"), person(Role.MANAGER, "mona")
    with pytest.raises(Forbidden):
        set_own_password(vera.pk, NEW, by=by_user(mona), at=timezone.now())


def test_the_admins_own_page_leads_there(person: People) -> None:
    client = log_in(person(Role.MANAGER, "mona"))
    assert client.get("/admin/password_change/")["Location"] == PAGE


# --- set by somebody else -----------------------------------------------------------------------------------


def set_by_operator(user: User) -> None:
    user.set_password(PASSWORD)
    user.save()


def test_whoever_got_a_password_from_somebody_else_chooses_one_first(person: People) -> None:
    vera = person(Role.VA, "vera")
    set_by_operator(vera)
    client = log_in(vera)
    for page in ("/followups/", "/sessions/", "/tokens/"):
        assert client.get(page)["Location"] == f"{PAGE}?next={page}"
        assert client.post(page)["Location"] == f"{PAGE}?next={page}"
    assert client.get("/api/governance/market/policies").status_code == 401
    assert "Somebody else set your password" in client.get(PAGE).content.decode()
    assert change(client, new=PASSWORD).status_code == 200, "the same again is no choice"
    assert client.get("/followups/").status_code == 302
    assert change(client, next="/followups/")["Location"] == "/followups/"
    assert client.get("/followups/").status_code == 200
    assert SignIn.objects.filter(user=vera, ended_at=None).count() == 1
    assert log_in(vera, NEW).get("/followups/").status_code == 200, "from now on they are not asked"


def test_the_code_comes_before_the_password(person: People, settings: Settings) -> None:
    settings.SECOND_FACTOR_FORCED = True
    mona = person(Role.MANAGER, "mona")
    set_by_operator(mona)
    client = log_in(mona)
    assert client.get("/admin/")["Location"] == "/login/code/?next=/admin/"
    assert change(client)["Location"].startswith("/login/")
    assert holds(mona, PASSWORD)


def test_changepassword_of_the_command_line_counts_as_somebody_else(person: People) -> None:
    vera = person(Role.VA, "vera")
    vera.set_password(PASSWORD)
    vera.save(update_fields=["password"])
    assert User.objects.get(pk=vera.pk).password_set_by == "operator"


def test_a_password_of_the_command_line_is_logged_with_the_command(
    person: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    person(Role.VA, "vera")
    monkeypatch.setattr(changepassword.Command, "_get_pass", lambda *_asked: NEW)
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", NEW)
    for command, *arguments in (
        ("changepassword", "vera"),
        ("createsuperuser", "--noinput", "--username", "root", "--email", "root@example.ca"),
    ):
        monkeypatch.setattr(sys, "argv", ["/opt/valhalla/manage.py", command, *arguments])
        call_command(command, *arguments, stdout=StringIO())
    monkeypatch.setattr(sys, "argv", ["-c"])
    User.objects.create_user("carl", role=Role.CLOSER)
    assert acts() == [
        ("changepassword", "PASSWORD", "vera"),
        ("createsuperuser", "CREATED", "root"),
        ("createsuperuser", "PASSWORD", "root"),
        ("operator", "CREATED", "carl"),
    ]
    assert AccountChange.objects.get(person="carl").role == "CLOSER"


def test_a_sign_in_that_renews_the_hash_is_no_change(person: People) -> None:
    vera = person(Role.VA, "vera")
    User.objects.filter(pk=vera.pk).update(
        password="pbkdf2_sha256$1$salt$" + "8cQMrkxX4vN1oL0cs3H6VNQm6ScK0oGDh5jbd3ApvKU="
    )
    found = User.objects.get(pk=vera.pk)
    found.set_password(PASSWORD)
    found._password = None  # type: ignore[attr-defined]  # as Django does when it renews a hash
    found.save(update_fields=["password"])
    assert User.objects.get(pk=vera.pk).password_set_by is None


def test_it_costs_no_query(person: People, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    client = log_in(person(Role.VA, "vera"))
    with django_assert_num_queries(2):  # the session and the person
        client.get("/")


# --- links --------------------------------------------------------------------------------------------------


def test_a_manager_types_no_password_but_gives_a_link_that_works_once(person: People) -> None:
    vera, mona = person(Role.VA, "vera"), person(Role.MANAGER, "mona")
    manager, hers = log_in(mona), log_in(vera)
    typed = {"password1": NEW, "password2": NEW, "usable_password": "true"}
    sent = manager.post(f"/admin/governance/user/{vera.pk}/password/", typed)
    assert sent["Location"] == f"/admin/password-link/{vera.pk}/"
    assert holds(vera, PASSWORD)
    link = link_of(manager, vera)
    assert holds(vera, PASSWORD), "the old one works until the link is used"
    assert "vera" in Client().get(f"{USE}?link={link}").content.decode()
    assert use(link, "short").status_code == 200
    assert use(link, NEW, "another one altogether").status_code == 200
    assert holds(vera, PASSWORD)
    assert use(link)["Location"] == "/login/"
    assert holds(vera, NEW)
    assert hers.get("/sessions/").status_code == 302, "what was open is closed"
    assert use(link, "another long sentence").status_code == 410
    assert Client().get(f"{USE}?link={link}").status_code == 410
    assert acts() == [("mona", "LINK", "vera"), ("vera", "PASSWORD", "vera")]
    assert log_in(vera, NEW).get("/followups/").status_code == 200


def test_a_link_ends_after_a_day_and_with_a_sign_in(person: People) -> None:
    vera, manager = person(Role.VA, "vera"), log_in(person(Role.MANAGER, "mona"))
    now = timezone.now()
    with time_machine.travel(now, tick=False) as clock:
        link = link_of(manager, vera)
        clock.shift(timedelta(hours=23, minutes=59))
        assert Client().get(f"{USE}?link={link}").status_code == 200
        clock.shift(timedelta(minutes=2))
        assert use(link).status_code == 410
    other = link_of(log_in(User.objects.get(username="mona")), vera)
    log_in(vera)
    assert use(other).status_code == 410
    assert holds(vera, PASSWORD)


def test_no_other_text_is_a_link(person: People) -> None:
    vera, carl = person(Role.VA, "vera"), person(Role.CLOSER, "carl")
    manager = log_in(person(Role.MANAGER, "mona"))
    link = link_of(manager, vera)
    foreign = f"{carl.pk}.{link.partition('.')[2]}"
    for text in (
        "",
        "x",
        link[:-1],
        link + "0",
        foreign,
        "0.a-b",
        "9" * 40 + ".a-bbbbbbbb",
        "a\0b",
        "١.a-b" * 9,
    ):
        assert use(text).status_code == 410, text
    User.objects.filter(pk=vera.pk).update(is_active=False)
    assert use(link).status_code == 410


def test_a_manager_changes_their_own_password_on_its_page(person: People) -> None:
    mona = person(Role.MANAGER, "mona")
    manager = log_in(mona)
    assert manager.get(f"/admin/governance/user/{mona.pk}/password/")["Location"] == "/password/"
    refused = manager.post(f"/admin/password-link/{mona.pk}/", {"show": "1"})
    assert refused.status_code == 403
    assert b'href="/password/"' in refused.content
    assert acts() == []


def test_the_pages_of_an_account_lead_to_each_other(person: People) -> None:
    pages = {"/sessions/", "/second-factors/", "/password/", "/tokens/"}
    vera = log_in(person(Role.VA, "vera"))
    for here in pages:
        page = vera.get(here).content.decode()
        links = page.partition('<nav class="account"')[2].partition("</nav>")[0]
        assert set(re.findall(r'href="([^"]+)"', links)) == pages
        assert re.findall(r'href="([^"]+)" aria-current="page"', links) == [here]


def test_who_may_create_links_for_whom(person: People) -> None:
    at, vera, mona = timezone.now(), person(Role.VA, "vera"), person(Role.MANAGER, "mona")
    for role in (Role.VA, Role.CLOSER, Role.AUDITOR, Role.SERVICE):
        with pytest.raises(Forbidden):
            create_link("vera", by=by_user(person(role, f"eve-{role}".lower())), at=at)
    with pytest.raises(Forbidden, match="own password"):
        create_link("mona", by=by_user(mona), at=at)
    with pytest.raises(Refused, match="issue a token"):
        create_link(person(Role.SERVICE, "dialer").username, by=by_user(mona), at=at)
    with pytest.raises(Refused, match="no person with this username"):
        create_link("nobody", by=by_user(mona), at=at)
    root = person(Role.MANAGER, "root")
    User.objects.filter(pk=root.pk).update(is_superuser=True)
    with pytest.raises(Forbidden, match="superuser"):
        create_link("root", by=by_user(mona), at=at)
    User.objects.filter(pk=vera.pk).update(is_active=False)
    with pytest.raises(Refused, match="no longer active"):
        create_link("vera", by=by_user(mona), at=at)
    assert acts() == []


def test_a_link_is_mailed_and_no_screen_shows_it(person: People) -> None:
    vera, manager = person(Role.VA, "vera"), log_in(person(Role.MANAGER, "mona"))
    page = f"/admin/password-link/{vera.pk}/"
    assert b"E-mail link" not in manager.get(page).content
    User.objects.filter(pk=vera.pk).update(email="vera@example.ca")
    assert manager.post(page, {"mail": "1"}).status_code == 302
    message = OutboxMessage.objects.get(to="vera@example.ca")
    link = message.body.partition("link=")[2].split()[0]
    screen = f"/admin/governance/outboxmessage/{message.pk}/change/"
    for client in (manager, log_in(person(Role.AUDITOR, "audrey"))):
        shown = client.get(screen).content.decode()
        assert "not shown" in shown
        assert link not in shown
    assert use(link)["Location"] == "/login/"


def test_the_operator_prints_a_link(person: People) -> None:
    vera, printed = person(Role.VA, "vera"), StringIO()
    call_command("password_link", "vera", "--host", "valhalla.example", stdout=printed)
    address = printed.getvalue().strip()
    assert address.startswith("http://valhalla.example/password/new/?link=")
    assert use(address.partition("link=")[2])["Location"] == "/login/"
    assert holds(vera, NEW)
    assert acts()[0] == ("password_link", "LINK", "vera")
    with pytest.raises(CommandError, match="no person with this username"):
        call_command("password_link", "nobody")


@pytest.mark.django_db(transaction=True)
def test_of_two_uses_of_a_link_at_once_one_counts(person: People) -> None:
    vera, at = person(Role.VA, "vera"), timezone.now()
    link = create_link("vera", by=by_user(person(Role.MANAGER, "mona")), at=at).text
    texts = iter([NEW, "another long sentence"])

    def once() -> str:
        new = next(texts)
        try:
            use_link(link, new, correlation_id=new[:10], at=at)
        except Refused as refusal:
            return refusal.code
        return new

    counted, refused = sorted(map(str, together(2, once)), key=lambda answer: answer == "link_ended")
    assert refused == "link_ended"
    assert holds(vera, counted)
    assert [act for act in acts() if act[1] == "PASSWORD"] == [("vera", "PASSWORD", "vera")]


# --- well-known passwords -----------------------------------------------------------------------------------


def test_the_list_holds_3000_common_passwords_that_are_long_enough() -> None:
    path = Path(settings.BASE_DIR) / "governance/accounts/data/common_passwords.txt"
    known = path.read_text(encoding="utf-8").splitlines()
    assert len(known) == len(set(known)) >= 3000
    assert min(map(len, known)) >= 12
    assert known == [one.lower().strip() for one in known]


@pytest.mark.parametrize(
    "text", ["qwertyqwerty", "QwertyQwerty", "1q2w3e4r5t6y", "passwordpassword", "q1w2e3r4t5y6"]
)
def test_a_common_password_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="too common"):
        validate_password(text)


def test_an_uncommon_one_is_taken() -> None:
    validate_password(NEW)
    validate_password(PASSWORD)


# --- a second factor for VAs and closers --------------------------------------------------------------------


def test_a_setting_asks_vas_for_a_second_factor_from_their_next_sign_in_on(
    person: People, settings: Settings
) -> None:
    vera, carl = person(Role.VA, "vera"), person(Role.CLOSER, "carl")
    at_work = log_in(vera)
    settings.SECOND_FACTOR_ROLES = frozenset({"VA"})
    assert at_work.get("/followups/").status_code == 200, "nobody at work is interrupted"
    again = log_in(vera)
    assert again.get("/followups/")["Location"] == "/login/code/?next=/followups/"
    assert again.get("/login/code/")["Location"].startswith("/login/code/new/")
    assert again.get("/api/governance/market/policies").status_code == 401
    assert log_in(carl).get("/followups/").status_code == 200


def test_only_managers_open_the_page_of_links(person: People) -> None:
    client = log_in(person(Role.AUDITOR, "audrey"))
    vera = person(Role.VA, "vera")
    assert client.get(f"/admin/password-link/{vera.pk}/").status_code == 403
    assert client.post(f"/admin/password-link/{vera.pk}/", {"show": "1"}).status_code == 403
    manager = log_in(person(Role.MANAGER, "mona"))
    assert manager.get(f"/admin/password-link/{2**70}/").status_code == 404

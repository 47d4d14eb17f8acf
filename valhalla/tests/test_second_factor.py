"""The second page of the sign-in: whom it asks, what it accepts, and that nothing opens before it."""

from __future__ import annotations

import re
import time
from base64 import b32decode
from binascii import unhexlify
from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from io import StringIO

import pytest
import time_machine
from axe_playwright_python.sync_playwright import Axe
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_otp.oath import TOTP
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice
from playwright.sync_api import Page, expect
from pytest_django import DjangoAssertNumQueries, Settings
from pytest_django.live_server_helper import LiveServer
from rest_framework.test import APIClient

from governance.accounts.totp_seeds import open_or_none
from governance.core.actors import Role
from governance.models import BackupCode, User
from valhalla.testing import PASSWORD, ConfirmingClient, at_once

pytestmark = pytest.mark.django_db
People = Callable[..., User]
CODE, NEW = "/login/code/", "/login/code/new/"


@pytest.fixture
def forced(settings: Settings) -> None:
    settings.SECOND_FACTOR_FORCED = True


def code_of(key: str) -> str:
    totp = TOTP(unhexlify(key))
    totp.time = time.time()
    return f"{totp.token():06d}"


def waiting_seed(client: Client) -> str:
    """Return the seed of the page on which somebody enrols, in hexadecimal digits."""
    seed = open_or_none(client.session["code_key"], int(client.session["_auth_user_id"]))
    assert seed is not None
    return seed.hex()


def log_in(user: User) -> ConfirmingClient:
    client = ConfirmingClient()
    assert client.post("/login/", {"username": user.username, "password": PASSWORD}).status_code == 302
    return client


def enrolled(client: Client) -> tuple[str, list[str]]:
    """Enrol as a person does and return the secret and the backup codes."""
    client.get(NEW)
    key = waiting_seed(client)
    page = client.post(NEW, {"code": code_of(key), "next": "/followups/"}).content.decode()
    return key, re.findall(r"<li><code>(\w{8})</code></li>", page)


def is_in(client: Client, page: str = "/followups/") -> bool:
    return client.get(page).status_code == 200


@pytest.mark.usefixtures("forced")
@pytest.mark.parametrize("who", ["MANAGER", "AUDITOR", "superuser"])
def test_who_must_have_one_sees_nothing_before(who: str, person: People) -> None:
    user = person("VA" if who == "superuser" else who, "mona")
    User.objects.filter(pk=user.pk).update(is_superuser=who == "superuser")
    client = log_in(user)

    for page in ("/", "/followups/", "/go-live/", "/admin/", "/admin/governance/user/", "/admin/trace/"):
        for method in ("get", "post"):
            sent = getattr(client, method)(page)
            assert (sent.status_code, sent["Location"]) == (302, f"{CODE}?next={page}")
    told = client.get("/followups/news/", headers={"HX-Request": "true"})
    assert told.status_code == 401
    assert told["X-Login"].startswith(CODE)
    for header in ({}, {"Authorization": "Basic YW5uOmFubg=="}):
        refused = client.get("/api/governance/market/policies", headers=header)
        assert (refused.status_code, refused["Content-Type"]) == (401, "application/problem+json")

    to_new = client.get(f"{CODE}?next=/followups/")
    assert to_new["Location"] == f"{NEW}?next=%2Ffollowups%2F"
    _key, codes = enrolled(client)
    assert len(set(codes)) == 10
    assert is_in(client)
    assert client.get("/api/governance/market/policies").status_code == 200
    assert codes[0] not in client.get(NEW).content.decode()


@pytest.mark.usefixtures("forced")
def test_tokens_and_those_who_need_none_are_not_asked(
    person: People, api: Callable[..., APIClient], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    assert api(Role.MANAGER, "mona").get("/api/governance/market/policies").status_code == 200
    client = log_in(person(Role.VA, "amara"))
    with django_assert_num_queries(2):  # the session and the person
        assert client.get("/").status_code == 302
    assert is_in(client)


def test_in_development_nobody_is_forced_but_who_enrolled_is_asked(person: People) -> None:
    user = person(Role.MANAGER, "mona")
    with time_machine.travel(timezone.now(), tick=False):  # within the 30 seconds of one code
        first = log_in(user)
        assert is_in(first, "/admin/")
        key, codes = enrolled(first)

        client = log_in(user)
        assert client.get("/admin/")["Location"] == f"{CODE}?next=/admin/"
        assert client.get(f"{NEW}?next=/admin/")["Location"].startswith(CODE)  # no second one past the first
        used = code_of(key)
        assert b"is not valid" in client.post(CODE, {"code": used}).content, "a code holds once"
        assert not is_in(client, "/admin/")
    with time_machine.travel(timezone.now() + timedelta(minutes=2)):
        before = client.session.session_key
        sent = client.post(CODE, {"code": code_of(key), "next": "https://elsewhere.example/"})
        assert (sent.status_code, sent["Location"]) == (302, "/")
        assert client.session.session_key != before
        assert is_in(client, "/admin/")

        other = log_in(user)
        assert other.post(CODE, {"code": codes[0].upper(), "next": "/admin/"})["Location"] == "/admin/"
        again = log_in(user)
        assert again.post(CODE, {"code": codes[0]}).status_code == 200, "a backup code holds once"


def test_backup_codes_are_stored_as_hashes_alone(person: People) -> None:
    user = person(Role.VA, "amara")
    _key, codes = enrolled(log_in(user))
    rows = list(BackupCode.objects.values_list("digest", flat=True))
    assert len(set(rows)) == len(codes) == 10
    assert not StaticToken.objects.exists()
    assert not [code for code in codes if any(code in row for row in rows)]
    assert len({row.split("$")[1] for row in rows}) == 1, "trying a code costs one hash"
    client = log_in(user)
    assert client.post(CODE, {"code": codes[3]}).status_code == 302
    assert BackupCode.objects.count() == 9


def test_codes_of_an_earlier_release_are_hashed_and_go_on_to_hold(person: People) -> None:
    user = person(Role.VA, "amara")
    enrolled(log_in(user))
    device = StaticDevice.objects.get(user=user)
    BackupCode.objects.all().delete()
    StaticToken.objects.create(device=device, token="abcdefgh")
    StaticToken.objects.create(device=device, token="ijklmnop")
    migration = import_module("governance.migrations.0042_hash_backup_codes")
    migration.hash_plain_codes(apps, None)
    assert not StaticToken.objects.exists()
    assert log_in(user).post(CODE, {"code": "ABCD-EFGH"}).status_code == 302
    assert log_in(user).post(CODE, {"code": "abcdefgh"}).status_code == 200
    StaticDevice.objects.update(throttling_failure_count=0, throttling_failure_timestamp=None)
    StaticToken.objects.create(device=device, token="qrstuvwx")  # written after the release was taken back
    assert log_in(user).post(CODE, {"code": "qrstuvwx"}).status_code == 302
    assert log_in(user).post(CODE, {"code": "ijklmnop"}).status_code == 302
    assert not BackupCode.objects.exists()


def test_after_a_wrong_backup_code_even_the_right_one_must_wait(person: People) -> None:
    user = person(Role.VA, "amara")
    _key, codes = enrolled(log_in(user))
    client = log_in(user)
    with time_machine.travel(timezone.now(), tick=False) as clock:
        assert client.post(CODE, {"code": "abcdefgh"}).status_code == 200
        assert client.post(CODE, {"code": codes[0]}).status_code == 200
        clock.shift(timedelta(seconds=2))
        assert client.post(CODE, {"code": codes[0]}).status_code == 302


@pytest.mark.parametrize("code", ["", "abc", "١٢٣٤٥٦", "-12345", "1" * 400, "a\0b"])
def test_nonsense_is_a_wrong_code(code: object, person: People) -> None:
    user = person(Role.VA, "amara")
    enrolled(log_in(user))
    client = log_in(user)
    assert client.post(CODE, {"code": code}).status_code == 200
    assert not is_in(client)


def test_after_wrong_codes_even_the_right_one_must_wait(person: People) -> None:
    user = person(Role.VA, "amara")
    key, _codes = enrolled(log_in(user))
    with time_machine.travel(timezone.now() + timedelta(minutes=2), tick=False) as clock:
        client = log_in(user)
        wrong = f"{(int(code_of(key)) + 1) % 10**6:06d}"
        for seconds in (0, 2, 3):
            clock.shift(seconds)
            assert client.post(CODE, {"code": wrong}).status_code == 200
        assert TOTPDevice.objects.get().throttling_failure_count == 3
        clock.shift(3)
        early = client.post(CODE, {"code": code_of(key)})
        assert early.status_code == 200
        assert client.post(CODE, {"code": wrong}).content.count(b"is not valid") == 1
        clock.shift(2)
        assert client.post(CODE, {"code": code_of(key)}).status_code == 302


def test_a_reset_needs_a_right_and_a_reason_and_closes_what_was_open(person: People) -> None:
    user, owner = person(Role.VA, "amara"), person(Role.CLOSER, "owner")
    User.objects.filter(pk=owner.pk).update(is_superuser=True)
    client, owners = log_in(user), log_in(owner)
    enrolled(client)
    enrolled(owners)
    manager = log_in(person(Role.MANAGER, "mona"))
    _key, codes = enrolled(manager)
    manager.proof = codes.pop
    ids = list(User.objects.values_list("pk", flat=True))
    form = {"action": "reset_second_factor", "_selected_action": ids, "apply": "1"}
    people = reverse("admin:governance_user_changelist")

    assert manager.post(people, form).status_code == 200
    assert TOTPDevice.objects.count() == 3, "not without a reason"
    assert manager.post(people, {**form, "reason": "phone lost"}).status_code == 302

    assert {device.user.username for device in TOTPDevice.objects.all()} == {"mona", "owner"}
    assert {device.user.username for device in StaticDevice.objects.all()} == {"mona", "owner"}
    entry = LogEntry.objects.get(object_id=str(user.pk))
    assert "phone lost" in entry.change_message
    assert not is_in(client)
    assert is_in(log_in(user))
    assert is_in(owners)

    said = StringIO()
    call_command("reset_second_factor", "OWNER", "--reason", "new phone", stdout=said)
    call_command("reset_second_factor", "owner", "--reason", "new phone", stdout=said)
    assert said.getvalue() == "The second factor of OWNER is reset.\nowner had no second factor.\n"
    assert not is_in(owners)
    for name, why in (("nobody", "x"), ("owner", " ")):
        with pytest.raises(CommandError):
            call_command("reset_second_factor", name, "--reason", why)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("forced")
def test_a_manager_enrols_and_signs_in_with_a_code(
    page: Page, live_server: LiveServer, person: People
) -> None:
    person(Role.MANAGER, "mona")
    broken: list[str] = []
    page.on("console", lambda message: broken.append(message.text) if message.type == "error" else None)

    def password() -> None:
        page.goto(f"{live_server.url}/followups/")
        page.fill("#id_username", "mona")
        page.fill("#id_password", PASSWORD)
        page.click("main button[type=submit]")

    def sound() -> list[str]:
        found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
        return [rule["id"] for rule in found if rule["impact"] in ("serious", "critical")]

    password()
    expect(page.locator("svg.qr")).to_be_visible()
    assert sound() == []
    secret = (page.locator("#secret").text_content() or "").replace(" ", "")
    key = b32decode(secret).hex()
    page.fill("#id_code", code_of(key))
    page.click("main button[type=submit] >> nth=0")
    backup = page.locator("#codes code").first.text_content() or ""
    assert sound() == []
    page.click("#on")
    expect(page).to_have_url(f"{live_server.url}/followups/")
    page.goto("about:blank")  # else the due page asks what is new, as nobody
    page.context.clear_cookies()
    password()
    assert sound() == []
    page.fill("#id_code", backup)
    page.click("main button[type=submit] >> nth=0")
    expect(page).to_have_url(f"{live_server.url}/followups/")
    assert broken == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["application", "backup"])
def test_of_eight_sessions_with_one_code_at_once_one_opens(kind: str, person: People) -> None:
    """Whoever reads a code over somebody's shoulder and sends it at the same instant."""
    user = person(Role.VA, "amara")
    key, codes = enrolled(log_in(user))
    later = timezone.now() + timedelta(minutes=2)  # the code that enrolled is used up
    with time_machine.travel(later, tick=False):
        sessions = [log_in(user) for _number in range(8)]
        code = code_of(key) if kind == "application" else codes[0]
        sent = at_once(lambda client: client.post(CODE, {"code": code}).status_code, sessions)
        assert sorted(sent) == [200] * 7 + [302]
        assert [is_in(client) for client in sessions].count(True) == 1

"""The key that seals second factors: what a copy of the database gives away, and what goes on without it."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.apps import apps
from django.conf import settings as configured
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.utils import timezone, translation
from django_otp.plugins.otp_totp.models import TOTPDevice
from pytest_django import DjangoAssertNumQueries, Settings

from governance.accounts import totp_seeds as seeds
from governance.accounts.second_factor import reset_second_factor
from governance.accounts.second_factor_keys import drop_key
from governance.core.actors import Actor, Role
from governance.core.errors import NotFound, Refused, Unavailable
from governance.models import Authenticator, SecondFactorKey, User
from governance.runbook.services import status
from valhalla import second_factor_key
from valhalla.keys import KeyProblem, make_first_key
from valhalla.testing import PASSWORD
from valhalla.tests.test_second_factor import CODE, NEW, code_of, enrolled, is_in, log_in

pytestmark = [pytest.mark.both, pytest.mark.django_db]
People = Callable[..., User]
OTHER, SECOND = "another-key-" * 6, "k02:" + "a-second-key-" * 5
BY = Actor.system("tests")
SENTENCE = {
    "": "The second factor key is missing: set SECOND_FACTOR_KEY",
    OTHER: "SECOND_FACTOR_KEY is not the key that this database",
}
both = pytest.mark.parametrize("key", ["", OTHER], ids=["missing", "another"])


@pytest.fixture
def amara(person: People) -> tuple[User, str, list[str]]:
    """A VA with a second factor, its seed and its backup codes."""
    user = person(Role.VA, "amara")
    return user, *enrolled(log_in(user))


def stored() -> str:
    return str(TOTPDevice.objects.values_list("key", flat=True).get())


def later() -> Any:
    """A code was used while enrolling; the next one holds two minutes later."""
    return time_machine.travel(timezone.now() + timedelta(minutes=2), tick=False)


# --- what is stored -----------------------------------------------------------------------------------------


def test_neither_the_device_nor_the_session_holds_the_seed(amara: Any) -> None:
    user, key, _codes = amara
    assert stored().startswith("k01:")
    assert len(stored()) <= 80
    assert key not in stored()
    assert Authenticator.objects.get(user=user).bin_key.hex() == key
    client = log_in(User.objects.create(username="bob", role=Role.VA, password=user.password))
    page = client.get(NEW).content.decode()
    waiting = client.session["code_key"]
    assert seeds.is_sealed(waiting)
    assert waiting not in page
    with later():
        assert log_in(user).post(CODE, {"code": code_of(key)}).status_code == 302


def test_two_people_with_one_seed_have_two_ciphertexts() -> None:
    one, two = (seeds.seal(b"x" * 20, 1) for _number in range(2))
    assert one != two
    assert seeds.open_or_none(one, 1) == seeds.open_or_none(two, 1) == b"x" * 20


@pytest.mark.parametrize("change", ["other person", "bit", "cut", "no base64", "unknown key", "empty"])
def test_a_row_that_was_copied_or_changed_opens_for_nobody(
    change: str, amara: Any, person: People, caplog: pytest.LogCaptureFixture
) -> None:
    user, key, codes = amara
    text = stored()
    changed = {
        "other person": text,
        "bit": text[:-4] + ("AAA=" if text[-4:] != "AAA=" else "BBB="),
        "cut": text[:20],
        "no base64": "k01:é" + text[5:],
        "unknown key": "k77" + text[3:],
        "empty": "k01:",
    }[change]
    if change == "other person":
        user = person(Role.VA, "vera")
        _key, codes = enrolled(log_in(user))
    TOTPDevice.objects.filter(user=user).update(key=changed)
    client = log_in(user)
    with later():
        sent = client.post(CODE, {"code": code_of(key)})
        assert sent.status_code == 503
        assert "Your second factor cannot be read" in sent.content.decode()
        assert "cannot be checked" in caplog.text
        assert not is_in(client)
        assert client.post(CODE, {"code": codes[0]}).status_code == 302


def test_a_code_costs_no_further_query(
    amara: object, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    device = Authenticator.objects.get()
    with django_assert_num_queries(0):
        assert len(device.bin_key) == 20


# --- another key, or none -----------------------------------------------------------------------------------


@both
def test_without_its_key_codes_are_refused_and_all_else_goes_on(
    key: str, amara: Any, person: People, settings: Settings
) -> None:
    user, seed, codes = amara
    settings.SECOND_FACTOR_KEY = key
    client = log_in(user)
    with later():
        sent = client.post(CODE, {"code": code_of(seed)})
        assert sent.status_code == 503
        assert SENTENCE[key] in sent.content.decode()
        assert not is_in(client)
        assert TOTPDevice.objects.get().throttling_failure_count == 0, "this was no wrong code"
        assert client.post(CODE, {"code": codes[0]}).status_code == 302
        assert is_in(client)
    vera = log_in(person(Role.VA, "vera"))
    assert is_in(vera)
    assert reset_second_factor("amara", by=BY, at=timezone.now(), reason="lost key")
    assert is_in(log_in(user))

    ready = Client().get("/readyz")
    assert ready.status_code == 200, "whoever needs no code works on"
    assert ready.content.decode().startswith(f"degraded\n{SENTENCE[key]}")
    problem = SecondFactorKey.problem()
    assert problem in ready.content.decode()
    assert problem in str(status(timezone.now()).blockers)
    assert problem in [str(found.msg) for found in run_checks(databases=["default"])]


@both
def test_nobody_enrols_without_the_databases_key(key: str, person: People, settings: Settings) -> None:
    client = log_in(person(Role.VA, "vera"))
    client.get(NEW)
    waiting = client.session["code_key"]
    settings.SECOND_FACTOR_KEY = key
    for sent in (client.get(NEW), client.post(NEW, {"code": "123456"})):
        assert sent.status_code == 503
        assert SENTENCE[key] in sent.content.decode()
        assert b"svg" not in sent.content.partition(b"<article")[2]
    assert client.session["code_key"] == waiting
    with pytest.raises(Unavailable):
        Authenticator.objects.create(user=User.objects.get(username="vera"))
    assert not TOTPDevice.objects.exists()


@both
def test_confirming_and_issuing_a_token_say_it_too(key: str, amara: Any, settings: Settings) -> None:
    user, seed, codes = amara
    client = Client()
    client.post("/login/", {"username": "amara", "password": PASSWORD})
    with later():
        assert client.post(CODE, {"code": codes[0]}).status_code == 302
        settings.SECOND_FACTOR_KEY = key
        given = {"issue": "1", "label": "sheet", "days": "30", "proof": code_of(seed)}
        sent = client.post("/tokens/", given)
        assert sent.status_code == 503
        assert SENTENCE[key] in sent.content.decode()
        User.objects.filter(pk=user.pk).update(role=Role.MANAGER, is_staff=True)
        ask = {"confirm_proof": code_of(seed), "confirm_kept": ""}
        sent = client.post("/admin/governance/user/add/", ask)
        assert sent.status_code == 503
        assert SENTENCE[key] in sent.content.decode()


def test_the_sentences_are_french_for_french_readers(settings: Settings) -> None:
    settings.SECOND_FACTOR_KEY = ""
    with translation.override("fr"):
        assert SecondFactorKey.problem().startswith("La clé du second facteur est absente")


# --- made and remembered ------------------------------------------------------------------------------------


def test_the_key_is_made_once_and_only_for_a_database_that_needs_none(
    settings: Settings, tmp_path: Path, amara: object
) -> None:
    settings.SECOND_FACTOR_KEY, settings.SECOND_FACTOR_KEY_IN_FILE = "", True
    settings.SECOND_FACTOR_KEY_FILE = tmp_path / "second_factor_key"
    second_factor_key.make_key(connection)
    SecondFactorKey.objects.all().delete()
    second_factor_key.make_key(connection)
    assert not settings.SECOND_FACTOR_KEY_FILE.exists(), "a seed is sealed with another one"
    TOTPDevice.objects.all().delete()
    second_factor_key.make_key(connection)
    made = settings.SECOND_FACTOR_KEY
    assert settings.SECOND_FACTOR_KEY_FILE.read_text() == made
    assert len(made) > 50
    assert settings.SECOND_FACTOR_KEY_FILE.stat().st_mode & 0o777 == 0o600
    make_first_key(seeds.RING)  # as a process that was slower
    assert made == settings.SECOND_FACTOR_KEY


def migrated(alias: str = "default") -> None:
    second_factor_key.remember_and_seal(None, alias)


def test_plain_seeds_of_the_release_before_are_sealed_and_the_key_is_remembered(
    person: People, settings: Settings
) -> None:
    known = {}
    for name in ("ann", "bob", "carl"):
        device = TOTPDevice.objects.create(user=person(Role.VA, name))
        known[device.user_id] = device.key
    SecondFactorKey.objects.all().delete()
    settings.SECOND_FACTOR_KEY = ""
    migrated()
    assert not SecondFactorKey.objects.exists()
    settings.SECOND_FACTOR_KEY = OTHER
    migrated()
    assert SecondFactorKey.problem() == ""
    assert all(key.startswith("k01:") for key in TOTPDevice.objects.values_list("key", flat=True))
    found = {device.user_id: device.bin_key.hex() for device in Authenticator.objects.all()}
    assert found == known
    before = dict(TOTPDevice.objects.values_list("pk", "key"))
    migrated()
    assert dict(TOTPDevice.objects.values_list("pk", "key")) == before, "a second run changes nothing"

    import_module("governance.migrations.0044_seal_second_factors").open_seeds(apps, None)
    assert dict(TOTPDevice.objects.values_list("user_id", "key")) == known, "the way back"


def test_more_seeds_than_a_step_are_all_sealed(
    person: People, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("governance.accounts.second_factor_keys.CHUNK", 2)
    for number in range(5):
        TOTPDevice.objects.create(user=person(Role.VA, f"v{number}"))
    TOTPDevice.objects.filter(user__username="v1").update(key="no seed")
    migrated()
    plain = TOTPDevice.objects.exclude(key__startswith="k01:")
    assert [device.user.username for device in plain] == ["v1"]
    assert "These second factors cannot be read: v1" in caplog.text


@both
def test_a_migrate_without_the_key_seals_nothing_and_the_way_back_says_why(
    key: str, amara: object, person: People, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    plain = TOTPDevice.objects.create(user=person(Role.VA, "vera"))
    settings.SECOND_FACTOR_KEY = key
    migrated()
    assert SENTENCE[key] in caplog.text
    assert TOTPDevice.objects.get(pk=plain.pk).key == plain.key
    with pytest.raises(CommandError, match=SENTENCE[key]):
        import_module("governance.migrations.0044_seal_second_factors").open_seeds(apps, None)


def test_a_database_that_forgot_its_key_takes_no_other(amara: object, settings: Settings) -> None:
    SecondFactorKey.objects.all().delete()
    settings.SECOND_FACTOR_KEY = OTHER
    migrated()
    assert not SecondFactorKey.objects.exists()
    assert "run manage.py migrate" in SecondFactorKey.problem()


def test_a_plain_seed_holds_once_under_the_right_key_and_is_sealed_then(
    amara: Any, settings: Settings
) -> None:
    """As a program of the release before wrote it during the update."""
    user, key, _codes = amara
    TOTPDevice.objects.update(key=key)
    with later():
        right, settings.SECOND_FACTOR_KEY = settings.SECOND_FACTOR_KEY, OTHER
        assert log_in(user).post(CODE, {"code": code_of(key)}).status_code == 503
        assert stored() == key
        settings.SECOND_FACTOR_KEY = right
        assert log_in(user).post(CODE, {"code": code_of(key)}).status_code == 302
    assert stored().startswith("k01:")


@pytest.mark.once
@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"SECOND_FACTOR_KEY": "short", "ENV": "production"}, "must be 50 random characters or longer"),
        ({"SECOND_FACTOR_KEY": "one", "SECOND_FACTOR_KEYS_KEPT": "two"}, "Two second factor keys have one"),
    ],
)
def test_a_weak_or_doubled_key_stops_the_start(given: dict[str, str], sentence: str, tmp_path: Path) -> None:
    production = {"SECRET_KEY": secrets.token_urlsafe(64), "ALLOWED_HOSTS": "valhalla.example"}
    done = subprocess.run(
        [sys.executable, "-c", "import valhalla.settings"],
        cwd=configured.BASE_DIR,
        text=True,
        env={**os.environ, **production, "VALHALLA_VAR": str(tmp_path), **given},
        capture_output=True,
    )
    assert done.returncode != 0
    assert sentence in done.stderr


# --- rotation -----------------------------------------------------------------------------------------------


def test_a_rotation_of_the_file_seals_every_seed_again_and_drops_the_former_key(
    amara: Any, settings: Settings, tmp_path: Path
) -> None:
    user, key, _codes = amara
    settings.SECOND_FACTOR_KEY_IN_FILE, settings.SECOND_FACTOR_KEY_FILE = True, tmp_path / "keys"
    first = settings.SECOND_FACTOR_KEY
    settings.SECOND_FACTOR_KEY_FILE.write_text(first)
    said = StringIO()
    call_command("rotate_second_factor_key", stdout=said)
    assert said.getvalue() == "Key 2 is the current one; 1 second factors were encrypted with it.\n"
    second, kept = settings.SECOND_FACTOR_KEY_FILE.read_text().split()
    assert (second[:4], kept) == ("k02:", first)
    assert stored().startswith("k02:")

    settings.SECOND_FACTOR_KEY, settings.SECOND_FACTOR_KEYS_KEPT = first, ()  # as another process knows it
    with later():
        assert log_in(user).post(CODE, {"code": code_of(key)}).status_code == 302
    assert second == settings.SECOND_FACTOR_KEY

    with pytest.raises(CommandError, match="This is the current key"):
        call_command("rotate_second_factor_key", "--drop", "2")
    call_command("rotate_second_factor_key", "--drop", "1", stdout=said)
    assert settings.SECOND_FACTOR_KEY_FILE.read_text().split() == [second]
    assert SecondFactorKey.problem() == ""
    with pytest.raises(NotFound):
        drop_key(1, by=BY, at=timezone.now())
    assert Authenticator.objects.get().bin_key.hex() == key


def test_a_rotation_of_the_environment_begins_with_the_key_on_every_machine(
    amara: Any, settings: Settings
) -> None:
    _user, key, _codes = amara
    first = settings.SECOND_FACTOR_KEY
    settings.SECOND_FACTOR_KEYS_KEPT = (SECOND,)
    assert SecondFactorKey.problem() == ""
    settings.SECOND_FACTOR_KEY, settings.SECOND_FACTOR_KEYS_KEPT = SECOND, (first,)
    assert "run manage.py rotate_second_factor_key to add it" in SecondFactorKey.problem()
    assert Authenticator.objects.get().bin_key.hex() == key, "codes go on to hold meanwhile"
    number, sealed = second_factor_key.rotate()
    assert (number, sealed.count, sealed.unreadable) == (2, 1, [])
    with pytest.raises(KeyProblem, match="SECOND_FACTOR_KEY is key 2 of this database already"):
        second_factor_key.rotate()
    settings.SECOND_FACTOR_KEYS_KEPT = ()
    assert "Second factor key 1 is missing" in SecondFactorKey.problem()
    settings.SECOND_FACTOR_KEYS_KEPT = (first,)
    second_factor_key.drop(1)
    settings.SECOND_FACTOR_KEYS_KEPT = ()
    assert SecondFactorKey.problem() == ""
    assert Authenticator.objects.get().bin_key.hex() == key


def test_a_key_is_not_dropped_while_a_seed_needs_it(amara: object, settings: Settings) -> None:
    settings.SECOND_FACTOR_KEYS_KEPT, settings.SECOND_FACTOR_KEY = (settings.SECOND_FACTOR_KEY,), SECOND
    second_factor_key.rotate()
    TOTPDevice.objects.update(key="k01:unreadable")
    with pytest.raises(Refused) as refusal:
        second_factor_key.drop(1)
    assert refusal.value.code == "key_needed"
    assert "amara" in str(refusal.value)
    assert SecondFactorKey.objects.get(pk=1).dropped_at is None

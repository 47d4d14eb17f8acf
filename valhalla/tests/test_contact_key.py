"""The key that finds opt-outs, broken from outside: without it the product neither starts nor judges."""

from __future__ import annotations

import os
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from django.conf import settings as in_use
from django.core.management import CommandError, call_command
from django.core.management.base import SystemCheckError
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from conftest import free_port
from followups.models import ContactPoint
from followups.tests.scenes import begin
from governance.contact import digests
from governance.contact.models import HashKeyCheck
from governance.contact.services import can_contact, suppress
from governance.core.actors import Actor
from governance.core.errors import Unavailable
from valhalla import contact_key
from valhalla.keys import KeyProblem
from valhalla.tests.processes import ask
from valhalla.web_start import refuse_what_does_not_fit

SHEET = "Lead ID,Full Name,Phone,Prov/Territory,City\nW-1,Anne Roy,416-555-0101,Ontario,Toronto\n"
ROOT = Path(__file__).resolve().parents[2]
WEB = ("-c", "import valhalla.wsgi")  # what a web server does first
GONE = "the key that opt-outs were written with is gone: restore"


class Operator:
    """Somebody who runs manage.py on a machine of their own, with a folder and a database."""

    def __init__(self, var: Path, database_url: str) -> None:
        self.var = var
        var.mkdir(exist_ok=True)
        self.environment = {
            **{name: value for name, value in os.environ.items() if name != "CONTACT_HASH_KEY"},
            "VALHALLA_VAR": str(var),
            "DATABASE_URL": database_url,
            "PORT": str(free_port()),
        }

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *command],
            cwd=ROOT,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def manage(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return self.run("manage.py", *command, **environment)


@pytest.fixture
def operator(tmp_path: Path, migrated_url: str) -> Operator:
    """An operator whose database was migrated, with the key that it knows in a file."""
    made = Operator(tmp_path / "one", migrated_url)
    (made.var / "contact_hash_key").write_text(in_use.CONTACT_HASH_KEY)
    return made


@pytest.mark.xdist_group("start")
def test_without_its_key_file_it_neither_starts_nor_makes_another_key(operator: Operator) -> None:
    (operator.var / "contact_hash_key").unlink()
    ended = operator.manage("serve")
    assert ended.returncode != 0
    assert GONE in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (operator.var / "contact_hash_key").exists()


@pytest.mark.django_db
def test_without_its_key_file_migrate_makes_none_for_a_database_that_relies_on_one(
    settings: Settings, tmp_path: Path
) -> None:
    settings.CONTACT_HASH_KEY, settings.CONTACT_HASH_KEYS_KEPT = "", ()
    settings.CONTACT_HASH_KEY_IN_FILE, settings.CONTACT_HASH_KEY_FILE = True, tmp_path / "keys"
    with pytest.raises(CommandError, match=GONE):
        call_command("migrate", verbosity=0)
    assert not (tmp_path / "keys").exists()


OTHER_KEY = "is not the key that this database's opt-outs were written with"


@pytest.mark.xdist_group("start")
@pytest.mark.parametrize(
    "command",
    [("manage.py", "serve"), WEB, ("-m", "celery", "-A", "valhalla", "beat")],
    ids=["serve", "a web server", "a scheduler"],  # Celery logs what its signals raise and works on
)
def test_a_second_machine_with_another_key_does_not_start(
    operator: Operator, tmp_path: Path, command: tuple[str, ...]
) -> None:
    other = Operator(tmp_path / "two", operator.environment["DATABASE_URL"])
    ended = other.run(*command, CONTACT_HASH_KEY="another-key-" * 6)
    assert ended.returncode != 0
    assert f"CONTACT_HASH_KEY {OTHER_KEY}" in ended.stderr, ended.stderr


@pytest.mark.django_db
def test_nothing_is_written_before_the_key_is_recorded(settings: Settings, tmp_path: Path) -> None:
    """As after a restore, or where the program was updated and migrate forgotten."""
    HashKeyCheck.objects.all().delete()
    sheet = tmp_path / "leads.csv"
    sheet.write_text(SHEET)
    for command in (("import_leads", str(sheet)), ("erase_person", "--phone", "416 555 0101")):
        with pytest.raises(
            SystemCheckError, match=r"not recorded its contact key yet: run manage\.py migrate"
        ):
            call_command(*command, skip_checks=False)
    refuse_what_does_not_fit()  # as a web server asks when it starts
    out = StringIO()
    call_command("import_leads", str(sheet), skip_checks=False, stdout=out)
    assert "1  leads created" in out.getvalue()
    settings.CONTACT_HASH_KEY = "another-key-" * 6
    with pytest.raises(SystemCheckError, match=OTHER_KEY):
        call_command("import_leads", str(sheet), skip_checks=False)
    with pytest.raises(CommandError, match=OTHER_KEY):
        call_command("migrate", verbosity=0)


@pytest.mark.xdist_group("start")
def test_the_key_file_counts_in_production_and_is_made_for_an_empty_database_alone(
    tmp_path: Path, migrated_url: str
) -> None:
    ask(migrated_url, "DELETE FROM governance_hashkeycheck")  # the only row that was written with a key
    live = Operator(tmp_path / "live", migrated_url)
    live.environment |= {
        "ENV": "production",
        "SECRET_KEY": "only-for-a-test-" * 5,
        "ALLOWED_HOSTS": "valhalla.example",
        "EMAIL_URL": "smtp+tls://mail.example:587",
        "DEFAULT_FROM_EMAIL": "valhalla@valhalla.example",
    }
    done = live.manage("migrate", "-v", "0")
    assert done.returncode == 0, done.stderr
    assert len((live.var / "contact_hash_key").read_text()) > 50
    assert live.run(*WEB).returncode == 0
    (live.var / "contact_hash_key").unlink()
    assert "restore" in live.run(*WEB).stderr
    assert not (live.var / "contact_hash_key").exists()


@pytest.mark.xdist_group("start")
def test_an_operator_rotates_the_key_of_the_file_and_other_machines_need_both(
    operator: Operator, tmp_path: Path
) -> None:
    file = operator.var / "contact_hash_key"
    first = file.read_text().strip()
    turned = operator.manage("rotate_contact_key")
    assert turned.stdout == "Key 2 is the current one; 0 contact points were moved to it.\n", turned.stderr
    second, kept = file.read_text().split()
    assert (second[:4], kept) == ("k02:", first)
    assert operator.run(*WEB).returncode == 0

    other = Operator(tmp_path / "two", operator.environment["DATABASE_URL"])
    ended = other.manage("serve", CONTACT_HASH_KEY=first)
    assert ended.returncode != 0
    assert "is missing, and opt-outs were written with it: add it to CONTACT_HASH" in ended.stderr
    both = {"CONTACT_HASH_KEY": second, "CONTACT_HASH_KEYS_KEPT": first}
    assert other.run(*WEB, **both).returncode == 0


@pytest.mark.django_db
def test_the_commands_rotate_the_keys_of_the_file_and_drop_what_nothing_needs(
    settings: Settings, tmp_path: Path
) -> None:
    settings.CONTACT_HASH_KEY_IN_FILE, settings.CONTACT_HASH_KEY_FILE = True, tmp_path / "keys"
    first = settings.CONTACT_HASH_KEY
    (tmp_path / "keys").write_text(first)
    begin("L-1", phone="416 555 0101")

    def rotate(*options: str) -> str:
        out = StringIO()
        call_command("rotate_contact_key", *options, stdout=out)
        return out.getvalue()

    def keys() -> list[str]:
        return (tmp_path / "keys").read_text().split()

    assert rotate() == "Key 2 is the current one; 1 contact points were moved to it.\n"
    second = keys()[0]
    assert keys() == [second, first]
    digests_of_points = ContactPoint.objects.values_list("digest", flat=True)
    suppress(list(digests_of_points), by=Actor.system("tests"), at=timezone.now())
    assert rotate("--drop", "1") == "Key 1 was dropped.\n"
    assert keys() == [second]
    assert rotate().startswith("Key 3 is the current one")
    with pytest.raises(CommandError, match="were written with key 2 and are found with it alone: keep it"):
        rotate("--drop", "2")
    assert len(keys()) == 2


@pytest.mark.django_db
def test_under_another_key_nobody_is_judged_and_the_process_is_not_ready(settings: Settings) -> None:
    begin("L-1", phone="416 555 0133")
    assert Client().get("/readyz").status_code == 200
    settings.CONTACT_HASH_KEY = "another-key-" * 6
    assert Client().get("/readyz").status_code == 503
    with pytest.raises(Unavailable) as refusal:
        can_contact(channel="SMS", at=timezone.now(), province="ON", phone="+14165550133")
    assert refusal.value.code == "contact_key"
    settings.CONTACT_HASH_KEY = ""
    assert Client().get("/readyz").status_code == 503
    with pytest.raises(Unavailable):
        can_contact(channel="SMS", at=timezone.now(), province="ON", phone="+14165550133")


@pytest.mark.django_db
def test_a_database_from_before_is_remembered_only_if_its_points_are_of_this_key() -> None:
    begin("L-1", phone="416 555 0133")
    HashKeyCheck.objects.all().delete()
    assert Client().get("/readyz").status_code == 503
    with pytest.raises(Unavailable):  # what was never remembered is not judged by
        can_contact(channel="SMS", at=timezone.now(), province="ON", phone="+14165550133")
    known = ContactPoint.objects.get()
    ContactPoint.objects.update(digest="0" * 64)
    with pytest.raises(KeyProblem):
        contact_key.remember_key("default")
    assert not HashKeyCheck.objects.exists()
    ContactPoint.objects.update(digest=known.digest)
    contact_key.remember_key("default")
    assert HashKeyCheck.objects.get().fingerprint == digests.key_fingerprint()


@pytest.mark.django_db
def test_the_tests_database_remembers_its_key_from_migrate_on() -> None:
    assert HashKeyCheck.objects.get().fingerprint == digests.key_fingerprint()
    assert in_use.CONTACT_HASH_KEY

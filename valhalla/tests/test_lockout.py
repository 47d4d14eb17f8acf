"""Five wrong passwords lock a name at an address, thirty of any names the address, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from ipaddress import ip_network
from typing import Any

import pytest
import time_machine
from axes.models import AccessAttempt
from django.conf import settings
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.test import Client, override_settings
from django.utils import timezone

from governance.core.actors import Actor, Role
from governance.models import User
from governance.retention.services import remove_expired
from valhalla.testing import PASSWORD

pytestmark = [pytest.mark.both, pytest.mark.django_db]
QUICK = "django.contrib.auth.hashers.MD5PasswordHasher"


@pytest.fixture(autouse=True)
def ann(person: Callable[..., User]) -> User:
    return person(Role.MANAGER, "ann")


def try_it(client: Client, password: str, name: str = "ann", door: str = "/login/", **more: Any) -> int:
    return client.post(door, {"username": name, "password": password}, **more).status_code


def test_five_wrong_passwords_lock_the_name_there_for_fifteen_minutes(client: Client) -> None:
    now = timezone.now()
    with time_machine.travel(now, tick=False) as clock:
        # capitals and browsers give no further tries, and both doors count together
        doors = ["/login/", "/admin/login/", "/login/", "/login/"]
        names = ["ann", "ANN", "Ann", "aNN"]
        for number, (door, name) in enumerate(zip(doors, names, strict=True)):
            assert try_it(client, "wrong", name, door, headers={"User-Agent": f"browser {number}"}) == 200
        assert try_it(client, "wrong") == 429

        told = client.post(
            "/login/", {"username": "ann", "password": PASSWORD}, headers={"Accept-Language": "fr"}
        )
        assert (told.status_code, told["Retry-After"]) == (429, "900")
        assert "15 minutes" in told.content.decode()
        assert "Trop de tentatives" in told.content.decode()
        assert try_it(client, PASSWORD, REMOTE_ADDR="192.0.2.7") == 302

        clock.shift(timedelta(minutes=15, seconds=1))
        assert try_it(Client(), PASSWORD) == 302
    assert AccessAttempt.objects.count() == 0


def test_behind_the_proxy_the_address_is_the_one_that_it_saw(client: Client) -> None:
    with override_settings(TRUSTED_PROXIES=[ip_network("127.0.0.1")]):
        for _number in range(5):
            try_it(client, "wrong", headers={"X-Forwarded-For": "198.51.100.1, 192.0.2.1"})

        assert try_it(client, PASSWORD, headers={"X-Forwarded-For": "198.51.100.9, 192.0.2.1"}) == 429
        assert try_it(client, PASSWORD, headers={"X-Forwarded-For": "192.0.2.2"}) == 302


def test_a_row_keeps_no_typed_secret_and_is_gone_the_next_night(client: Client) -> None:
    assert try_it(client, "wrong", name="my secret", door="/login/?next=%00") == 200
    row = AccessAttempt.objects.get()
    assert "secret" not in f"{row.username}{row.get_data}{row.post_data}"

    remove_expired(timezone.now() + timedelta(days=1, minutes=1), by=Actor.system("test"))

    assert not AccessAttempt.objects.exists()


def test_no_form_is_stored_with_the_failure_that_it_made(ann: User, client: Client) -> None:
    client.force_login(ann)
    forms: dict[str, dict[str, str]] = {
        "/password/": {"old": "my secret", "new": "my new secret", "again": "my new secret"},
        "/tokens/": {"issue": "1", "label": "report", "days": "1", "proof": "my secret"},
        f"/admin/password-link/{ann.pk}/": {"confirm_kept": "", "confirm_proof": "my secret"},
    }
    for _number in range(2):  # the second one changes the row of the first
        for path, form in forms.items():
            client.post(f"{path}?hint=my-secret", form)

    (row,) = AccessAttempt.objects.values()

    assert row["failures_since_start"] == 5  # and the sixth was refused unread
    assert "secret" not in str(row)


# --- thirty failures of an address --------------------------------------------------------------------------


def guess(names: Iterable[str], address: str = "192.0.2.7") -> list[int]:
    """Try a wrong password for each name from an address, and return the answers' statuses."""
    with override_settings(PASSWORD_HASHERS=[QUICK, *settings.PASSWORD_HASHERS]):  # for names that nobody has
        return [try_it(Client(), "wrong", name=name, REMOTE_ADDR=address) for name in names]


def failed(names: Iterable[str], count: int, address: str = "192.0.2.7") -> None:
    """Leave so many failures of each name, as guesses do."""
    row = {"ip_address": address, "attempt_time": timezone.now(), "failures_since_start": count}
    AccessAttempt.objects.bulk_create(AccessAttempt(username=name, user_agent="x", **row) for name in names)


def names(count: int, of: str = "nobody") -> list[str]:
    return [f"{of}-{number}" for number in range(count)]


def test_thirty_failures_of_any_names_lock_the_address_before_a_password_is_hashed(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = timezone.now()
    with time_machine.travel(now, tick=False) as clock:
        assert guess(names(29)) == [200] * 29
        assert guess(["another"]) == [200]
        hashed: list[str] = []
        monkeypatch.setattr(Argon2PasswordHasher, "encode", lambda *given: hashed.append("encoded"))
        monkeypatch.setattr(Argon2PasswordHasher, "verify", lambda *given: hashed.append("verified"))
        answer = client.post(
            "/login/",
            {"username": "ann", "password": PASSWORD},
            REMOTE_ADDR="192.0.2.7",
            headers={"Accept-Language": "fr"},
        )
        assert (answer.status_code, answer["Retry-After"]) == (429, "900")
        assert "votre réseau" in answer.content.decode()
        assert guess(names(3, "more")) == [429] * 3
        assert hashed == []
        monkeypatch.undo()

        assert try_it(Client(), PASSWORD, REMOTE_ADDR="192.0.2.8") == 302
        clock.shift(timedelta(minutes=15, seconds=1))
        assert try_it(Client(), PASSWORD, REMOTE_ADDR="192.0.2.7") == 302


def test_who_signed_in_from_there_lately_is_neither_counted_nor_locked(person: Callable[..., User]) -> None:
    now = timezone.now()
    staff = [person(Role.VA, f"va-{number}").username for number in range(8)]
    with time_machine.travel(now - timedelta(days=31), tick=False):
        assert try_it(Client(), PASSWORD, name="ann", REMOTE_ADDR="192.0.2.7") == 302
    with time_machine.travel(now - timedelta(days=29), tick=False):
        for name in staff:
            assert try_it(Client(), PASSWORD, name=name, REMOTE_ADDR="192.0.2.7") == 302
    with time_machine.travel(now, tick=False):
        failed(staff, 4)  # none of the names is locked
        assert guess(names(29)) == [200] * 29  # the typing of the office did not count
        assert guess(["somebody"]) == [200]
        assert try_it(Client(), PASSWORD, name=staff[0].upper(), REMOTE_ADDR="192.0.2.7") == 302
        assert try_it(Client(), PASSWORD, name="ann", REMOTE_ADDR="192.0.2.7") == 429  # 31 days ago


def test_the_addresses_of_an_ipv6_customer_count_together() -> None:
    for number, name in enumerate(names(30)):
        assert guess([name], f"2001:db8:0:1:{number:x}::{number:x}") == [200]

    assert guess(["ann"], "2001:db8:0:1:ffff::1") == [429]
    assert guess(["ann"], "2001:db8:0:2::1") == [200]


def test_an_office_gets_ten_times_as_much() -> None:
    with override_settings(OFFICE_ADDRESSES=[ip_network("192.0.2.0/28")]):
        failed(names(59), 5)
        assert guess(names(5, "more")) == [200] * 5
        assert guess(["ann"]) == [429]

        failed(names(6), 5, "192.0.2.16")
        assert guess(["ann"], "192.0.2.16") == [429]

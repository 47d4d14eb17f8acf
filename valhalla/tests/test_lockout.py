"""Five wrong passwords lock a name at an address, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from axes.models import AccessAttempt
from django.test import Client, override_settings
from django.utils import timezone

from governance.actors import By, Role
from governance.models import User
from governance.retention.services import remove_expired
from valhalla.testing import PASSWORD

pytestmark = pytest.mark.django_db


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
        assert "Bloqué pour un moment" in told.content.decode()
        assert try_it(client, PASSWORD, REMOTE_ADDR="192.0.2.7") == 302

        clock.shift(timedelta(minutes=15, seconds=1))
        assert try_it(Client(), PASSWORD) == 302
    assert AccessAttempt.objects.count() == 0


def test_behind_the_proxy_the_address_is_the_one_that_it_saw(client: Client) -> None:
    with override_settings(TLS=True, SECURE_SSL_REDIRECT=False):
        for _number in range(5):
            try_it(client, "wrong", headers={"X-Forwarded-For": "198.51.100.1, 192.0.2.1"})

        assert try_it(client, PASSWORD, headers={"X-Forwarded-For": "198.51.100.9, 192.0.2.1"}) == 429
        assert try_it(client, PASSWORD, headers={"X-Forwarded-For": "192.0.2.2"}) == 302


def test_a_row_keeps_no_typed_secret_and_is_gone_the_next_night(client: Client) -> None:
    assert try_it(client, "wrong", name="my secret", door="/login/?next=%00") == 200
    row = AccessAttempt.objects.get()
    assert "secret" not in f"{row.username}{row.get_data}{row.post_data}"

    remove_expired(timezone.now() + timedelta(days=1, minutes=1), by=By.system("test"))

    assert not AccessAttempt.objects.exists()

"""Whose word counts for where a request comes from."""

from __future__ import annotations

import logging
from collections.abc import Callable
from ipaddress import ip_network

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory, override_settings

from governance.core import client_address as module
from governance.core.actors import Role
from governance.core.client_address import TrustedProxies, client_address
from governance.models import SignIn, User
from valhalla.settings import _networks
from valhalla.testing import PASSWORD

PROXIES = [ip_network(text) for text in ("10.0.0.5", "172.18.0.0/16", "2001:db8::/64")]


@pytest.mark.once
@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.9", "", "203.0.113.9"),
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),  # anybody can write the header
        ("10.0.0.5", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.5", "1.1.1.1, 198.51.100.1", "198.51.100.1"),  # what stands before is the client's own word
        ("10.0.0.5", "198.51.100.1, 172.18.4.4", "198.51.100.1"),  # two proxies in a row
        ("10.0.0.5", "172.18.4.4", "172.18.4.4"),
        ("10.0.0.5", "", "10.0.0.5"),
        ("10.0.0.5", "nonsense", "10.0.0.5"),
        ("10.0.0.5", "1.1.1.1, nonsense, 172.18.4.4", "172.18.4.4"),
        ("10.0.0.5", "198.51.100.1:4711", "198.51.100.1"),
        ("10.0.0.5", "[2001:db8:1::7]:4711", "2001:db8:1::7"),
        ("10.0.0.5", "2001:DB8:1:0:0:0:0:7", "2001:db8:1::7"),
        ("10.0.0.5", "fe80::1%eth0", "fe80::1"),  # PostgreSQL would refuse the zone
        ("::ffff:10.0.0.5", "::ffff:198.51.100.1", "198.51.100.1"),
        ("2001:db8::1", "198.51.100.1", "198.51.100.1"),
        ("2001:db8:0:1::1", "198.51.100.1", "2001:db8:0:1::1"),
        ("", "198.51.100.1", None),  # a socket of this machine, which is not named
        ("@", "198.51.100.1", None),
        ("10.0.0.5", ", ".join(["172.18.0.1"] * 400), "172.18.0.1"),
    ],
)
def test_the_address_is_what_a_trusted_proxy_vouches_for(
    peer: str, forwarded: str, client: str | None
) -> None:
    with override_settings(TRUSTED_PROXIES=PROXIES):
        request = RequestFactory(REMOTE_ADDR=peer, HTTP_X_FORWARDED_FOR=forwarded).get("/")
        assert client_address(request) == client


@pytest.mark.once
def test_a_socket_of_this_machine_is_trusted_where_its_loopback_is() -> None:
    request = RequestFactory(REMOTE_ADDR="", HTTP_X_FORWARDED_FOR="198.51.100.1").get("/")
    with override_settings(TRUSTED_PROXIES=[ip_network("127.0.0.0/8")]):
        assert client_address(request) == "198.51.100.1"


@pytest.mark.once
@pytest.mark.parametrize(
    ("peer", "proto", "secure"),
    [
        ("10.0.0.5", "https", True),
        ("10.0.0.5", "HTTPS", True),
        ("10.0.0.5", "https, https", True),
        ("10.0.0.5", "https, http", False),  # the client wrote the first
        ("10.0.0.5", "http", False),
        ("203.0.113.9", "https", False),
    ],
)
def test_only_a_trusted_proxy_says_that_the_client_spoke_tls(peer: str, proto: str, secure: bool) -> None:
    seen: list[bool] = []

    def view(request: HttpRequest) -> HttpResponse:
        seen.append(request.is_secure())
        return HttpResponse()

    with override_settings(TRUSTED_PROXIES=PROXIES):
        TrustedProxies(view)(RequestFactory(REMOTE_ADDR=peer, HTTP_X_FORWARDED_PROTO=proto).get("/"))
    assert seen == [secure]


@pytest.mark.django_db
@pytest.mark.parametrize("tls", [True, False])
def test_locks_and_sessions_know_clients_behind_a_named_proxy_apart(
    person: Callable[..., User], tls: bool
) -> None:
    person(Role.VA, "amara")

    def sign_in(password: str, client_at: str, peer: str = "10.0.0.5") -> int:
        headers = {"X-Forwarded-For": client_at, "X-Forwarded-Proto": "https"}
        words = {"username": "amara", "password": password}
        return Client().post("/login/", words, headers=headers, REMOTE_ADDR=peer).status_code

    with override_settings(TLS=tls, TRUSTED_PROXIES=PROXIES):
        for _number in range(5):
            sign_in("wrong", "192.0.2.1")
        assert sign_in(PASSWORD, "192.0.2.1") == 429
        assert sign_in(PASSWORD, "192.0.2.2") == 302
        assert SignIn.objects.get().address == "192.0.2.2"

        # a client that reaches the server itself cannot lend itself addresses
        tries = [sign_in("wrong", f"192.0.2.{number}", peer="203.0.113.9") for number in range(10, 16)]
        assert tries == [200] * 4 + [429] * 2


@pytest.mark.once
def test_headers_that_are_ignored_are_named_in_the_log_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_reported", set())
    serve = TrustedProxies(lambda request: HttpResponse())
    with caplog.at_level(logging.WARNING, "valhalla"), override_settings(TRUSTED_PROXIES=PROXIES):
        for number in range(40):
            peer = f"203.0.113.{number // 2}"
            serve(RequestFactory(REMOTE_ADDR=peer, HTTP_X_FORWARDED_FOR="1.1.1.1").get("/"))
        serve(RequestFactory(REMOTE_ADDR="203.0.113.99").get("/"))
    assert len(caplog.messages) == module.MOST_REPORTED
    assert "203.0.113.0 " in caplog.messages[0]
    assert "TRUSTED_PROXIES" in caplog.messages[0]


@pytest.mark.once
def test_the_setting_reads_addresses_and_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUSTED_PROXIES", " 10.0.0.5, ,2001:db8::/64 ")
    assert _networks("TRUSTED_PROXIES", "") == [ip_network("10.0.0.5"), ip_network("2001:db8::/64")]
    monkeypatch.setenv("TRUSTED_PROXIES", "")
    assert _networks("TRUSTED_PROXIES", "127.0.0.0/8") == [ip_network("127.0.0.0/8")]

"""Passkeys as a second factor: adding, using and removing them, and what is refused."""

from __future__ import annotations

import copy
import json
import re
import time
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from pathlib import Path
from threading import Event
from typing import Any

import cbor2
import pytest
import time_machine
from axe_playwright_python.sync_playwright import Axe
from django.core.management import call_command
from django.db import transaction
from django.test import Client
from django.utils import timezone, translation
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice
from django_otp_webauthn.models import WebAuthnAttestation, WebAuthnCredential
from playwright.sync_api import Page, expect
from pytest_django import DjangoAssertNumQueries, Settings
from pytest_django.live_server_helper import LiveServer

from governance.accounts.passkeys import MOST, remove_passkey, rename_passkey
from governance.accounts.plain_cbor import require_plain
from governance.accounts.webauthn import LASTS
from governance.core.actors import Role
from governance.core.errors import Refused
from governance.models import AccountChange, ApiToken, BackupCode, SignIn, User
from valhalla.testing import PASSWORD, ClientResponse, ConfirmingClient, at_once, make_by
from valhalla.tests.authenticator import Authenticator, decoded, encoded
from valhalla.tests.test_second_factor import code_of, enrolled, is_in, waiting_seed
from valhalla.tests.test_security_log import folder, lines

pytestmark = pytest.mark.django_db
__all__ = ["folder"]  # the security log's own folder, a fixture
People = Callable[..., User]
CODE, APP = "/login/code/", "/login/code/new/"
OPTIONS, NEW, LIST = "/login/passkey/", "/login/passkey/new/", "/second-factors/"


@pytest.fixture
def forced(settings: Any) -> None:
    settings.SECOND_FACTOR_FORCED = True


def browser() -> ConfirmingClient:
    return ConfirmingClient(SERVER_NAME="localhost")


def log_in(user: User, client: ConfirmingClient | None = None) -> ConfirmingClient:
    """Return a browser whose person gave their password; hashing it is what other tests are about."""
    client = client or browser()
    client.force_login(user)
    return client


def let_add(client: Client) -> None:
    """Let the page that adds a passkey open, as just after a proof."""
    session = client.session
    session["fresh_passes"] = {"passkey_new": int(time.time())}
    session.save()


def add(client: Client, device: Authenticator, name: str = "Laptop") -> ClientResponse:
    let_add(client)
    begun = client.post(NEW, {"begin": "1"}).json()
    return client.post(NEW, {"passkey": device.make(begun), "name": name})


def codes_in(answer: ClientResponse) -> list[str]:
    return re.findall(r"<li><code>(\w{8})</code></li>", answer.content.decode())


def begin(client: Client) -> dict[str, Any]:
    options: dict[str, Any] = client.post(OPTIONS).json()
    return options


def use(client: Client, device: Authenticator, **more: str) -> ClientResponse:
    return client.post(CODE, {"passkey": device.sign(begin(client)), **more})


@pytest.fixture
def amara(person: People) -> tuple[User, Authenticator, list[str]]:
    """A VA with one passkey, it, and the backup codes."""
    user, device = person(Role.VA, "amara"), Authenticator()
    return user, device, codes_in(add(log_in(user), device))


def test_a_passkey_is_asked_for_beside_the_code_and_opens_the_session(
    person: People, folder: Path, django_capture_on_commit_callbacks: Callable[..., Any]
) -> None:
    user, device = person(Role.MANAGER, "mona"), Authenticator()
    client = log_in(user)
    assert b"No passkeys yet" in client.get(LIST).content
    with django_capture_on_commit_callbacks(execute=True):
        answer = add(client, device, "  Work   laptop ")
    assert len(codes_in(answer)) == BackupCode.objects.count() == 10
    assert is_in(client, "/admin/"), "the session in which it was added goes on"
    page = client.get(LIST).content.decode()
    assert "Work laptop" in page
    assert "not used yet" in page
    assert not WebAuthnAttestation.objects.exists()
    assert AccountChange.objects.get(kind="KEYADDED").actor == "mona"

    again = log_in(user)
    assert again.get("/admin/")["Location"] == f"{CODE}?next=/admin/"
    assert again.get(APP)["Location"].startswith(CODE), "no application past the passkey"
    assert again.get(NEW)["Location"].startswith(CODE), "no second passkey past the first"
    assert b"Use a passkey" in again.get(CODE).content
    before = again.session.session_key
    sent = use(again, device, next="https://elsewhere.example/")
    assert (sent.status_code, sent["Location"]) == (302, "/")
    assert again.session.session_key != before
    assert is_in(again, "/admin/")
    assert b"last used" in again.get(LIST).content
    assert SignIn.objects.order_by("-pk")[0].second_factor
    events = [(line["event"], line.get("kind")) for line in lines(folder) if line.get("user") == "mona"]
    assert ("passkey_added", None) in events
    assert ("second_factor_passed", "passkey") in events


@pytest.mark.usefixtures("forced")
def test_who_must_have_a_second_factor_may_begin_with_a_passkey(person: People) -> None:
    client, device = log_in(person(Role.MANAGER, "mona")), Authenticator()
    assert b"Use a passkey instead" in client.get(APP).content
    assert client.get(LIST)["Location"] == f"{CODE}?next={LIST}"
    assert b"instead" in client.get(NEW).content
    assert not is_in(client, "/admin/")
    assert len(codes_in(add(client, device))) == 10
    assert is_in(client, "/admin/")


@pytest.mark.usefixtures("forced")
def test_who_owes_one_adds_none_once_they_have_one(person: People) -> None:
    user = person(Role.MANAGER, "mona")
    first, second = log_in(user), log_in(user)
    mine, other = Authenticator(), Authenticator()
    begun = second.post(NEW, {"begin": "1"}).json()
    second.get(APP)
    add(first, mine)
    for sent in (
        second.post(NEW, {"passkey": other.make(begun), "name": "x"}),
        second.post(APP, {"code": code_of(waiting_seed(second))}),
    ):
        assert sent["Location"].startswith(CODE)
    assert not is_in(second, "/admin/")
    assert (WebAuthnCredential.objects.count(), TOTPDevice.objects.count()) == (1, 0)


def test_application_and_passkey_open_the_session_each(person: People) -> None:
    user, device = person(Role.VA, "amara"), Authenticator()
    client = log_in(user)
    key, codes = enrolled(client)
    client.proof = codes.pop
    assert add(client, device)["Location"] == LIST, "the backup codes of before go on to hold"
    assert BackupCode.objects.count() == 10
    assert use(log_in(user), device).status_code == 302
    assert log_in(user).post(CODE, {"code": codes.pop()}).status_code == 302
    with time_machine.travel(timezone.now() + timedelta(minutes=2)):
        later = log_in(user)
        assert later.post(CODE, {"code": code_of(key)}).status_code == 302
        later.proof = codes.pop
        assert later.post(LIST, {"remove": WebAuthnCredential.objects.get().pk}).status_code == 302
        assert is_in(later)
        assert not WebAuthnCredential.objects.exists()
        assert BackupCode.objects.exists()


def test_the_application_beside_a_passkey_leaves_the_backup_codes(amara: Any) -> None:
    user, device, codes = amara
    client = log_in(user)
    use(client, device)
    client.proof = codes.pop
    client.get(APP)
    assert client.post(APP, {"code": code_of(waiting_seed(client))})["Location"] == LIST
    assert is_in(client)
    assert BackupCode.objects.count() == len(codes) == 9


def test_a_backup_code_stands_in_for_the_passkey_once(amara: Any) -> None:
    user, _device, codes = amara
    client = log_in(user)
    assert client.post(CODE, {"code": codes[0]}).status_code == 302
    assert is_in(client)
    assert log_in(user).post(CODE, {"code": codes[0]}).status_code == 200
    BackupCode.objects.all().delete()
    assert is_in(client), "as long as the person has the codes, used up or not"


# --- what is refused ----------------------------------------------------------------------------------------

Answer = Callable[[Authenticator, dict[str, object]], str]


def _text(text: str) -> Answer:
    return lambda device, options: text


def _foreign_origin(device: Authenticator, options: dict[str, object]) -> str:
    device.origin = "https://localhost.evil.example"
    return device.sign(options)


def _other_port(device: Authenticator, options: dict[str, object]) -> str:
    device.origin = "http://localhost:8001"
    return device.sign(options)


def _other_party(device: Authenticator, options: dict[str, object]) -> str:
    device.party = "evil.example"
    return device.sign(options)


def _unverified(device: Authenticator, options: dict[str, object]) -> str:
    device.flags = 0x01
    return device.sign(options)


def _other_challenge(device: Authenticator, options: dict[str, object]) -> str:
    return device.sign({**options, "challenge": encoded(b"c" * 64)})


def _unknown(device: Authenticator, options: dict[str, object]) -> str:
    return Authenticator().sign(options)


def _other_key(device: Authenticator, options: dict[str, object]) -> str:
    forged = Authenticator()
    forged.id, forged.count = device.id, device.count
    return forged.sign(options)


def _counted_back(device: Authenticator, options: dict[str, object]) -> str:
    device.count -= 1
    return device.sign(options)


def _highest_count(device: Authenticator, options: dict[str, object]) -> str:
    device.count = 2**32 - 2
    return device.sign(options)


def _made(device: Authenticator, options: dict[str, object]) -> str:
    party = {"rp": {"id": "localhost"}, "authenticatorSelection": {"userVerification": "required"}}
    return device.make({**options, **party})


def _changed(**fields: Any) -> Answer:
    return lambda device, options: device.sign(options, **fields)


WRONG: dict[str, tuple[Answer, str]] = {
    "garbage": (_text("{"), "not accepted"),
    "a list": (_text("[1]"), "not accepted"),
    "empty": (_text("{}"), "not accepted"),
    "too long": (_text("[" * 20_000), "not accepted"),
    "too deep": (_text("[" * 9_000), "not accepted"),
    "a NUL": (_text('{"id": "a\\u0000"}'), "not accepted"),
    "numbers": (_text('{"id": 1, "rawId": 2, "response": [], "type": 3}'), "not accepted"),
    "no base64": (_changed(userHandle="a"), "not accepted"),
    "no data": (_changed(authenticatorData="AAAA"), "not accepted"),
    "no signature": (_changed(signature=""), "not accepted"),
    "what is no client data": (
        _changed(clientDataJSON=encoded(b'{"type": []}')),
        "not accepted",
    ),
    "another site": (_foreign_origin, "not accepted"),
    "another port": (_other_port, "not accepted"),
    "another party": (_other_party, "not accepted"),
    "nobody verified": (_unverified, "not accepted"),
    "another challenge": (_other_challenge, "not accepted"),
    "a new passkey": (_made, "not accepted"),
    "another key": (_other_key, "not accepted"),
    "an unknown one": (_unknown, "not one of yours"),
    "a count that went back": (_counted_back, "may have been copied"),
}


def test_a_wrong_answer_opens_nothing_and_says_why(amara: Any, folder: Path) -> None:
    user, device, _codes = amara
    client, found = log_in(user), {}
    for what, (answer, sentence) in WRONG.items():
        wrong = copy.copy(device)
        sent = client.post(CODE, {"passkey": answer(wrong, begin(client))})
        count = StaticDevice.objects.get(user=user).throttling_failure_count
        found[what] = (sent.status_code, sentence in sent.content.decode(), is_in(client), count)
        StaticDevice.objects.update(throttling_failure_count=0, throttling_failure_timestamp=None)
    assert found == dict.fromkeys(WRONG, (200, True, False, 1))
    failed = [line["reason"] for line in lines(folder) if line["event"] == "second_factor_failed"]
    assert failed == ["wrong"] * (len(WRONG) - 2) + ["unknown", "counted_back"]


# {"x": three times the same list}: with each such level it is many times as long once it is written again
SHARED = b"\xa1\x61x\x83\xd8\x1c\x8a" + b"\x07" * 10 + b"\xd8\x1d\x00" * 2


@pytest.mark.parametrize(
    "extensions",
    [SHARED, cbor2.dumps({"x": 1.5}), b"\xa1\x61x\x1b" + b"\xff" * 8],
    ids=["shared values", "a float", "eight bytes"],
)
def test_cbor_that_no_authenticator_writes_is_not_decoded(
    extensions: bytes, amara: Any, person: People
) -> None:
    user, device, codes = amara
    device.extensions = extensions
    assert b"not accepted" in use(log_in(user), device).content
    device.extensions = cbor2.dumps({"credProtect": 2, "hmac-secret": True})
    StaticDevice.objects.update(throttling_failure_count=0, throttling_failure_timestamp=None)
    assert use(log_in(user), device).status_code == 302, "what they do write is"

    other, made = person(Role.VA, "ben"), Authenticator()
    made.extensions = extensions
    assert b"answer cannot be used" in add(log_in(other), made).content
    assert not WebAuthnCredential.objects.filter(user=other).exists()
    made.extensions = device.extensions
    assert len(codes_in(add(log_in(other), made))) == len(codes)


def test_what_is_read_as_plain_cbor_is_as_long_once_it_is_written_again() -> None:
    plain: tuple[object, ...] = (
        {1: 2, 3: -7, -1: 1, -2: b"x" * 32, -3: b"y" * 300},
        {"fmt": "packed", "attStmt": {"alg": -257, "x5c": [b"c" * 70_000]}},
        [0, 23, 24, 255, 256, 65535, 65536, 2**32 - 1, -(2**32), True, False, None, "é" * 24, {}, []],
    )
    for value in plain:
        require_plain(cbor2.dumps(value))
    for odd in (
        b"\xc1\x01", b"\xd8\x1c\x80", b"\xf9\x3c\x00", b"\xf7", b"\xf8\x20", b"\xff", b"\x5f\x41a\xff",
        b"\x78\x17" + b"a" * 23, b"\x59\x00\xff", b"\x9a\x00\x00\xff\xff", b"\x1c", b"\x18", b"\x19\x01",
    ):  # fmt: skip
        with pytest.raises(ValueError, match="CBOR"):
            require_plain(odd)


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_a_passkey_that_is_removed_while_it_is_used_opens_nothing(amara: Any) -> None:
    user, device, codes = amara
    client = log_in(user)
    use(client, device)
    client.proof = codes.pop
    add(client, Authenticator(), "Another")
    client = log_in(user)
    answer = device.sign(begin(client))
    removed, asked = Event(), Event()

    def act(number: int) -> int:
        if number:
            assert removed.wait(30)
            asked.set()
            return int(client.post(CODE, {"passkey": answer}).status_code)
        with transaction.atomic():
            remove_passkey(
                user.pk,
                WebAuthnCredential.objects.earliest("pk").pk,
                must_keep_one=False,
                by=make_by(Role.VA, "amara"),
                at=timezone.now(),
            )
            removed.set()
            assert asked.wait(30)
            time.sleep(1)  # the sign-in reads what is not yet gone, unless it waits
        return 0

    assert at_once(act, range(2)) == [0, 200]
    assert WebAuthnCredential.objects.get().name == "Another"


def test_a_count_that_no_column_holds_is_no_error(amara: Any) -> None:
    user, device, _codes = amara
    client = log_in(user)
    sent = client.post(CODE, {"passkey": _highest_count(device, begin(client))})
    assert sent.status_code in (200, 302)  # SQLite keeps it
    assert client.get("/followups/").status_code in (200, 302)


def test_a_passkey_of_somebody_else_opens_nothing(amara: Any, person: People) -> None:
    _user, device, _codes = amara
    other = person(Role.MANAGER, "mona")
    add(log_in(other), Authenticator())
    client = log_in(other)
    assert b"not one of yours" in use(client, device).content
    assert not is_in(client, "/admin/")
    assert WebAuthnCredential.objects.get(user__username="amara").last_used_at is None


def test_a_challenge_holds_once(amara: Any) -> None:
    user, device, _codes = amara
    client, copied = log_in(user), browser()
    options = begin(client)
    copied.cookies = copy.copy(client.cookies)
    answer = device.sign(options)
    assert client.post(CODE, {"passkey": answer}).status_code == 302
    assert not is_in(copied)

    again = log_in(user)
    assert b"already used, or has expired" in again.post(CODE, {"passkey": answer}).content
    device.count = 40
    options = begin(again)
    assert again.post(CODE, {"passkey": "{}"}).status_code == 200
    assert b"already used, or has expired" in again.post(CODE, {"passkey": device.sign(options)}).content
    assert not is_in(again)


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_of_two_requests_with_one_answer_one_opens_the_session(amara: Any) -> None:
    user, device, _codes = amara
    WebAuthnCredential.objects.update(sign_count=0)
    device.count = -1  # a passkey that is kept in several places counts nothing, so the count cannot tell
    client = log_in(user)
    cookies, answer = client.cookies, device.sign(begin(client))

    def send(_number: int) -> int:
        own = browser()
        own.cookies = copy.copy(cookies)
        return int(own.post(CODE, {"passkey": answer}).status_code)

    assert sorted(at_once(send, range(6))).count(302) == 1


def test_a_challenge_is_for_a_short_time_and_for_its_own_kind(amara: Any) -> None:
    user, device, codes = amara
    with time_machine.travel(timezone.now(), tick=False) as clock:
        client = log_in(user)
        options = begin(client)
        clock.shift(timedelta(seconds=LASTS))
        assert b"took too long" in client.post(CODE, {"passkey": device.sign(options)}).content
        options = begin(client)
        clock.shift(timedelta(seconds=LASTS - 1))
        assert client.post(CODE, {"passkey": device.sign(options)}).status_code == 302
        client.proof = codes.pop
        begun = client.post(NEW, {"begin": "1"}).json()
        begin(client)
        assert b"already used" in client.post(NEW, {"passkey": device.make(begun), "name": "x"}).content
    assert WebAuthnCredential.objects.count() == 1


def test_after_wrong_answers_even_the_right_one_must_wait(amara: Any) -> None:
    user, device, codes = amara
    client = log_in(user)
    with time_machine.travel(timezone.now(), tick=False) as clock:
        for seconds in (0, 2, 3):
            clock.shift(seconds)
            assert client.post(CODE, {"passkey": _unknown(device, begin(client))}).status_code == 200
        clock.shift(3)
        assert b"Several attempts failed" in use(client, device).content
        assert client.post(CODE, {"code": codes[0]}).status_code == 200, "nor a backup code meanwhile"
        clock.shift(5)
        assert use(client, device).status_code == 302
    assert StaticDevice.objects.get(user=user).throttling_failure_count == 0


def test_only_who_gave_their_password_is_told_which_passkeys_they_have(amara: Any, person: People) -> None:
    user, device, _codes = amara
    assert browser().post(OPTIONS).status_code == 401
    assert browser().post(OPTIONS, {"username": "amara"}).status_code == 401
    assert log_in(person(Role.VA, "ben")).post(OPTIONS).status_code == 409
    client = log_in(user)
    assert client.get(OPTIONS).status_code == 405
    assert [decoded(one["id"]) for one in begin(client)["allowCredentials"]] == [device.id]


# --- adding -------------------------------------------------------------------------------------------------


def test_nonsense_adds_nothing(person: People) -> None:
    client, found = log_in(person(Role.VA, "amara")), {}
    for answer in ("", "{", "[]", "{}", "[" * 9_000, '{"id": "AA", "rawId": "AA"}', "ö\0"):
        let_add(client)
        client.post(NEW, {"begin": "1"})
        sent = client.post(NEW, {"passkey": answer, "name": "Laptop"})
        found[answer[:40]] = (sent.status_code, b"answer cannot be used" in sent.content)
    assert set(found.values()) == {(200, True)}
    assert not WebAuthnCredential.objects.exists()
    assert not StaticDevice.objects.exists()


def _too_high(device: Authenticator) -> None:
    device.count = 2**31


def _long_id(device: Authenticator) -> None:
    device.id = b"i" * 1024


def _elsewhere(device: Authenticator) -> None:
    device.origin = "https://evil.example"


def _left_in(device: Authenticator) -> None:
    device.flags = 0x01


@pytest.mark.parametrize("spoil", [_too_high, _long_id, _elsewhere, _left_in])
def test_a_passkey_that_cannot_be_kept_or_trusted_is_not_added(
    spoil: Callable[[Authenticator], None], person: People
) -> None:
    client, device = log_in(person(Role.VA, "amara")), Authenticator()
    spoil(device)
    assert b"answer cannot be used" in add(client, device).content
    assert not WebAuthnCredential.objects.exists()


def test_odd_extension_results_add_it_all_the_same(person: People) -> None:
    client, device = log_in(person(Role.VA, "amara")), Authenticator()
    odd: object
    for odd in (7, [], {"credProps": 3}, {"credProps": {"rk": []}}):
        let_add(client)
        begun = client.post(NEW, {"begin": "1"}).json()
        made = {**json.loads(device.make(begun)), "clientExtensionResults": odd}
        client.post(NEW, {"passkey": json.dumps(made), "name": "x"})
    assert WebAuthnCredential.objects.count() == 1


def test_a_passkey_has_a_name_that_can_be_read(person: People) -> None:
    client = log_in(person(Role.VA, "amara"))
    for name in ("", "  ", "n" * 65, "a\0b", "a\u202eb"):
        sent = add(client, Authenticator(), name)
        assert (sent.status_code, b'role="alert" id="wrong"' in sent.content) == (200, True), ascii(name)
    assert not WebAuthnCredential.objects.exists()


def test_a_passkey_is_added_once_and_ten_at_most(amara: Any, person: People) -> None:
    user, device, codes = amara
    other = log_in(person(Role.VA, "ben"))
    assert b"added before" in add(other, device).content
    client = log_in(user)
    use(client, device)
    client.proof = codes.pop
    assert b"added before" in add(client, device).content
    for number in range(MOST - 1):
        assert add(client, Authenticator(), f"Key {number}").status_code == 302
    assert b"the maximum" in add(client, Authenticator()).content
    assert WebAuthnCredential.objects.filter(user=user).count() == MOST
    assert b'id="new-passkey"' not in client.get(LIST).content


class OverTls(ConfirmingClient):
    def request(self, **request: Any) -> Any:
        return super().request(**{**request, "wsgi.url_scheme": "https", "SERVER_PORT": "443"})


def test_passkeys_are_offered_where_browsers_let_them(settings: Settings, amara: Any) -> None:
    user, _device, _codes = amara
    offered = {}
    for kind, host in (
        (ConfirmingClient, "localhost"),
        (ConfirmingClient, "valhalla.localhost"),
        (ConfirmingClient, "127.0.0.1"),
        (ConfirmingClient, "office.example"),
        (OverTls, "192.0.2.7"),
        (OverTls, "[2001:db8::7]"),
        (OverTls, "office.example"),
    ):
        settings.ALLOWED_HOSTS = [host]
        client = log_in(user, kind(SERVER_NAME=host))
        step, begun = client.get(CODE).content, client.post(OPTIONS)
        client.force_login(user)
        session = client.session
        del session["code_owed"]
        session.save()
        let_add(client)
        listed, new, made = (
            client.get(LIST).content,
            client.get(NEW).content,
            client.post(NEW, {"begin": "1"}),
        )
        shown = {b"Use a passkey" in step, b'id="new-passkey"' in listed, b'id="add-passkey"' in new}
        hidden = {b"need an https address" in page for page in (step, listed, new)}
        answers = {begun.status_code, made.status_code}
        assert (len(shown), hidden, answers) == (1, {not max(shown)}, {200 if max(shown) else 409}), host
        offered[kind.__name__, host] = max(shown)
    assert [place for place, is_offered in offered.items() if is_offered] == [
        ("ConfirmingClient", "localhost"),
        ("ConfirmingClient", "valhalla.localhost"),
        ("OverTls", "office.example"),
    ]


# --- confirming who one is ----------------------------------------------------------------------------------


def waiting(answer: ClientResponse) -> str:
    found = re.search(r'name="confirm_kept" value="([^"]*)"', answer.content.decode())
    assert found, "nobody was asked"
    return found[1]


def test_a_passkey_is_fresh_proof_and_a_wrong_one_is_none(
    amara: Any, folder: Path, django_capture_on_commit_callbacks: Callable[..., Any]
) -> None:
    user, device, _codes = amara
    client = Client(SERVER_NAME="localhost")
    client.force_login(user)
    use(client, device)
    chosen = {"remove": WebAuthnCredential.objects.get().pk}
    asked = client.post(LIST, chosen)
    assert b"Use a passkey" in asked.content
    kept = waiting(asked)
    form = {"confirm_kept": kept, "confirm_proof": ""}
    refused = client.post(LIST, {**form, "passkey": _unknown(device, begin(client))})
    assert b"not one of yours" in refused.content
    assert WebAuthnCredential.objects.exists()
    with time_machine.travel(timezone.now() + timedelta(minutes=1)):
        before = client.session.session_key
        with django_capture_on_commit_callbacks(execute=True):
            done = client.post(LIST, {**form, "passkey": device.sign(begin(client))})
        assert (done.status_code, done["Location"]) == (302, LIST)
        assert client.session.session_key != before
    assert not WebAuthnCredential.objects.exists()
    assert not StaticDevice.objects.exists(), "codes stand in for nothing now"
    assert is_in(client), "they proved who they are, and need no second factor"
    assert AccountChange.objects.get(kind="KEYGONE").person == "amara"
    events = [line["event"] for line in lines(folder) if line.get("user") == "amara"]
    assert {"confirmed", "passkey_removed"} <= set(events)
    assert is_in(log_in(user))


def test_each_change_asks_every_time(amara: Any) -> None:
    user, device, _codes = amara
    client = Client(SERVER_NAME="localhost")
    client.force_login(user)
    use(client, device)
    number = WebAuthnCredential.objects.get().pk
    assert waiting(client.get(NEW)) == ""
    for sent in ({"begin": "1"}, {"passkey": "{}", "name": "x"}):
        assert waiting(client.post(NEW, sent))
    renamed = {"rename": number, "name": "Desk"}
    kept = waiting(client.post(LIST, renamed))
    form = {"confirm_kept": kept, "confirm_proof": "", "passkey": device.sign(begin(client))}
    assert client.post(LIST, form).status_code == 302
    assert WebAuthnCredential.objects.get().name == "Desk"
    assert waiting(client.post(LIST, renamed))


def test_a_token_is_issued_with_a_passkey_and_not_with_the_password(person: People) -> None:
    user, device = person(Role.CLOSER, "cleo"), Authenticator()
    add(log_in(user), device)
    client = log_in(user)
    use(client, device)
    form = {"label": "sheet", "days": "5", "issue": "1"}
    assert b"not valid" in client.post("/tokens/", {**form, "proof": PASSWORD}).content
    assert not ApiToken.objects.exists()
    del form["issue"]  # the script sends the form, not its button
    with time_machine.travel(timezone.now() + timedelta(minutes=1)):
        sent = client.post("/tokens/", {**form, "passkey": device.sign(begin(client))})
    assert ApiToken.objects.get().label == "sheet"
    assert sent.status_code == 200


# --- removing -----------------------------------------------------------------------------------------------


def test_what_a_removed_passkey_opened_is_closed(amara: Any) -> None:
    user, device, codes = amara
    client, lost = log_in(user), Authenticator()
    use(client, device)
    client.proof = codes.pop
    add(client, lost, "Lost phone")
    others = log_in(user)
    use(others, lost)
    assert is_in(others)
    number = WebAuthnCredential.objects.get(name="Lost phone").pk
    assert client.post(LIST, {"remove": number}).status_code == 302
    assert is_in(client)
    assert not is_in(others)
    assert use(log_in(user), lost).status_code == 200


@pytest.mark.usefixtures("forced")
def test_the_last_one_stays_where_the_role_needs_one(person: People) -> None:
    user, device = person(Role.MANAGER, "mona"), Authenticator()
    client = log_in(user)
    client.proof = codes_in(add(client, device)).pop
    refused = client.post(LIST, {"remove": WebAuthnCredential.objects.get().pk}, follow=True)
    assert b"signs in with a second factor" in refused.content
    add(client, Authenticator(), "Second")
    first = WebAuthnCredential.objects.earliest("pk")
    assert client.post(LIST, {"remove": first.pk}).status_code == 302
    assert [row.name for row in WebAuthnCredential.objects.all()] == ["Second"]
    assert is_in(client, "/admin/"), "the passkey that opened the session went, the person goes on"


def test_only_ones_own_passkeys_are_changed(amara: object, person: People) -> None:
    client = log_in(person(Role.MANAGER, "mona"))
    number = WebAuthnCredential.objects.get().pk
    add(client, Authenticator(), "Hers")
    for act in (remove_passkey, rename_passkey):
        given: dict[str, object] = {"by": make_by(Role.MANAGER, "mona"), "at": timezone.now()}
        named = {**given, "must_keep_one": False} if act is remove_passkey else {"name": "mine"}
        with pytest.raises(Refused, match="no such passkey"):
            act(User.objects.get(username="mona").pk, number, **named)
    other = log_in(person(Role.VA, "ben"))
    for chosen in ("", "0", "x", "9" * 30, "²", str(number)):
        refused = other.post(LIST, {"rename": chosen, "name": "mine"}, follow=True)
        assert b"You have no such passkey" in refused.content
    assert [row.name for row in WebAuthnCredential.objects.order_by("pk")] == ["Laptop", "Hers"]


def test_a_reset_removes_passkeys_too(amara: Any, person: People) -> None:
    user, device, _codes = amara
    client = log_in(user)
    use(client, device)
    manager = log_in(person(Role.MANAGER, "mona"))
    form = {
        "action": "reset_second_factor",
        "_selected_action": [user.pk],
        "apply": "1",
        "reason": "key lost",
    }
    assert manager.post("/admin/governance/user/", form).status_code == 302
    assert not WebAuthnCredential.objects.exists()
    assert not is_in(client)
    assert is_in(log_in(user))

    add(log_in(user), device)
    said = StringIO()
    call_command("reset_second_factor", "amara", "--reason", "key lost", stdout=said)
    assert said.getvalue() == "The second factor of amara is reset.\n"
    assert not WebAuthnCredential.objects.exists()
    assert not StaticDevice.objects.exists()


def test_a_person_switched_off_signs_in_with_no_passkey(amara: Any) -> None:
    user, device, _codes = amara
    client = log_in(user)
    options = begin(client)
    User.objects.filter(pk=user.pk).update(is_active=False)
    assert client.post(CODE, {"passkey": device.sign(options)})["Location"].startswith("/login/")
    assert not is_in(client)


def test_the_pages_ask_the_database_little(
    amara: Any, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    user, device, _codes = amara
    client = log_in(user)
    with django_assert_num_queries(4):  # session, person, application, passkeys
        client.get(CODE)
    use(client, device)
    with django_assert_num_queries(3):  # session, person, the passkey that opened it
        assert client.get("/").status_code == 302
    client.get(LIST)
    with django_assert_num_queries(7):
        assert client.get(LIST).status_code == 200


def test_the_pages_speak_french(amara: Any) -> None:
    user, device, _codes = amara
    client = log_in(user)
    client.post("/language/setlang/", {"language": "fr"})
    assert "clé d’accès" in client.get(CODE).content.decode()
    use(client, device)
    page = client.get(LIST).content.decode()
    translation.deactivate()
    assert "Clés d’accès" in page


@pytest.mark.django_db(transaction=True)
def test_a_passkey_in_the_browser(page: Page, live_server: LiveServer, person: People) -> None:
    person(Role.VA, "amara")
    broken: list[str] = []
    page.on("console", lambda message: broken.append(message.text) if message.type == "error" else None)
    devtools = page.context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    device = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
    }
    options = {**device, "isUserVerified": True, "automaticPresenceSimulation": True}
    devtools.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    base = live_server.url.replace("127.0.0.1", "localhost")

    def password() -> None:
        page.goto(f"{base}/login/?next={LIST}")
        page.fill("#id_username", "amara")
        page.fill("#id_password", PASSWORD)
        page.click("main button[type=submit]")

    def sound() -> list[str]:
        found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
        return [rule["id"] for rule in found if rule["impact"] in ("serious", "critical")]

    password()
    page.click("#new-passkey")
    page.fill("#id_confirm_proof", PASSWORD)
    page.click("main button[type=submit]")
    assert sound() == []
    page.fill("#id_name", "Laptop")
    page.click("#add-passkey")
    expect(page.locator("#codes code")).to_have_count(10)
    page.goto(f"{base}{LIST}")
    expect(page.locator("main")).to_contain_text("not used yet")
    assert sound() == []

    page.click("header form[action='/logout/'] button")
    password()
    assert sound() == []
    page.click("#use-passkey")
    expect(page).to_have_url(f"{base}{LIST}")
    expect(page.locator("main")).to_contain_text("last used")

    page.click("#new-passkey")
    page.click("#use-passkey")
    expect(page.locator("#add-passkey")).to_be_visible()
    page.click("#add-passkey")
    expect(page.locator("#passkey-trouble")).to_contain_text("already has a passkey")
    page.goto(f"{base}{LIST}")
    page.click("text=Rename")
    assert sound() == []
    page.fill("#id_name", "Desk")
    page.click("text=Save")
    page.click("#use-passkey")
    expect(page.locator("main")).to_contain_text("Desk")
    page.click("text=Remove")
    page.click("#use-passkey")
    expect(page.locator("#said")).to_contain_text("removed")
    assert not WebAuthnCredential.objects.exists()
    assert broken == []

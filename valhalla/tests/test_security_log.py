"""What concerns access is in the security log, a JSON line each; nothing typed forges a line or leaks."""

from __future__ import annotations

import io
import json
import logging
import multiprocessing
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.conf import settings as configured
from django.test import Client
from django.utils import timezone
from django_otp.plugins.otp_totp.models import TOTPDevice
from django_otp_webauthn.models import WebAuthnCredential
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings
from rest_framework.test import APIClient

from governance.accounts import security_log
from governance.accounts.account_log import EVENTS
from governance.accounts.passkeys import add_passkey, remove_passkey
from governance.accounts.passwords import create_link, use_link
from governance.accounts.rules import by_user
from governance.accounts.second_factor import reset_second_factor
from governance.accounts.security_log import note
from governance.accounts.services import issue_token, make_manager, revoke_token, set_active, set_role
from governance.core.actors import Actor, Role
from governance.models import AccountChange, ApiToken, User
from governance.retention.services import remove_expired
from valhalla.logs import CorrelationFilter, OneLine
from valhalla.testing import PASSWORD
from valhalla.tests.test_second_factor import CODE, enrolled, log_in

pytestmark = pytest.mark.django_db
People = Callable[..., User]


@pytest.fixture(autouse=True)
def folder(settings: Any, tmp_path: Path) -> Iterator[Path]:
    settings.VAR = tmp_path
    security_log._counts.clear()
    yield tmp_path / "log"
    security_log._counts.clear()


def lines(folder: Path, event: str = "") -> list[dict[str, Any]]:
    text = "".join(path.read_text() for path in sorted(folder.glob("security-*.jsonl")))
    found = [json.loads(line) for line in text.splitlines()]
    return [line for line in found if event in ("", line["event"])]


def events(folder: Path) -> list[str]:
    return [line["event"] for line in lines(folder)]


def test_a_failure_stands_there_after_a_success_and_after_the_night(person: People, folder: Path) -> None:
    ann, client = person(Role.MANAGER, "ann"), Client(REMOTE_ADDR="192.0.2.7")
    for name, password in (("ANN", "wrong"), ("ann", PASSWORD)):
        client.post("/login/", {"username": name, "password": password}, headers={"X-Correlation-ID": "c-1"})
    remove_expired(timezone.now() + timedelta(days=2), by=Actor.system("test"))

    failed, signed_in = lines(folder)
    assert failed == {
        "at": failed["at"],
        "event": "sign_in_failed",
        "correlation_id": "c-1",
        "address": "192.0.2.7",
        "user": "ann",
    }
    assert datetime.fromisoformat(failed["at"]).tzinfo == UTC
    assert (signed_in["event"], signed_in["user_id"], signed_in["address"]) == (
        "sign_in",
        ann.pk,
        "192.0.2.7",
    )


def test_a_lock_stands_there_and_each_try_that_it_refuses(person: People, folder: Path) -> None:
    person(Role.MANAGER, "ann")
    for _number in range(6):
        Client().post("/login/", {"username": "ann", "password": "wrong"})

    assert events(folder).count("sign_in_failed") == 5
    assert [line["password_tried"] for line in lines(folder, "sign_in_locked")] == [True, False]


def test_what_was_typed_as_a_name_stands_nowhere(folder: Path) -> None:
    for typed in ("my secret", "seller@example.com", "x\n\x1b[31m{}"):
        Client().post("/login/", {"username": typed, "password": "hunter2"})

    told = [line["unknown_user"] for line in lines(folder, "sign_in_failed")]
    assert len(set(told)) == 3
    assert all(re.fullmatch("[0-9a-f]{16}", digest) for digest in told)


def test_each_step_of_the_second_factor_stands_there(
    person: People, folder: Path, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    user = person(Role.MANAGER, "mona")
    key, codes = enrolled(log_in(user))
    client = log_in(user)
    client.post(CODE, {"code": "zzzzzzz9"})
    with time_machine.travel(timezone.now() + timedelta(minutes=1)):
        client.post(CODE, {"code": codes[0]})
    with django_capture_on_commit_callbacks(execute=True):
        reset_second_factor("mona", by=Actor.system("reset"), at=timezone.now(), reason="A lost phone, 1")

    of_factor = [line for line in lines(folder) if line["event"].startswith("second_factor")]
    assert [line["event"].removeprefix("second_factor_") for line in of_factor] == [
        "enrolled",
        "failed",
        "passed",
        "reset",
    ]
    assert (of_factor[2]["kind"], of_factor[3]["by"], of_factor[3]["user"]) == (
        "backup code",
        "reset",
        "mona",
    )
    text = json.dumps(lines(folder))
    assert not [secret for secret in (key, *codes, PASSWORD, "lost phone") if secret in text]


def test_tokens_and_roles_stand_there_once_committed(
    person: People, folder: Path, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    amara, at, by = person(Role.VA, "amara"), timezone.now(), Actor.system("test")
    with django_capture_on_commit_callbacks() as later:
        issued = issue_token("amara", days=1, by=by, at=at)
        set_role(amara, Role.CLOSER, by=by, at=at, reason="Closes offers from now on")
        assert revoke_token(issued.token, by=by, at=at)
        assert not revoke_token(issued.token, by=by, at=at)
    assert not folder.exists()  # nothing was committed yet
    for call in later:
        call()

    made, role, revoked = lines(folder)
    assert [line["event"] for line in (made, role, revoked)] == [
        "token_issued",
        "role_changed",
        "token_revoked",
    ]
    assert (role["role_before"], role["role"], role["by"], role["user"]) == ("VA", "CLOSER", "test", "amara")
    assert made["ends"] == str((at + timedelta(days=1)).date())
    assert made["token"] == revoked["token"]
    assert issued.text not in json.dumps(lines(folder))

    answer = APIClient().get(
        "/api/governance/market/policies", headers={"Authorization": f"Bearer {issued.text}"}
    )
    assert answer.status_code == 401
    (used,) = lines(folder, "token_refused")
    assert (used["reason"], used["user"], used["token"]) == ("revoked", "amara", made["token"])


def stored(user: User, name: str) -> WebAuthnCredential:
    """A passkey as what judges the browser's answer would store it."""
    return WebAuthnCredential.objects.create(
        user=user, name=name, credential_id=secrets.token_bytes(16), public_key=b"x"
    )


def test_every_act_on_an_account_stands_there_once(
    person: People, folder: Path, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    mona, at = person(Role.MANAGER, "mona"), timezone.now()
    vera = person(Role.VA, "vera")
    device = TOTPDevice.objects.create(user=vera)
    by, why = Actor.system("test"), "Nobody needs to know this"
    with django_capture_on_commit_callbacks(execute=True):
        issued = issue_token("form", role=Role.SERVICE, by=by, at=at)
        revoke_token(issued.token, by=by, at=at, reason=why)
        set_active(vera, False, by=by_user(mona, correlation_id="c-7"), at=at, reason=why)
        make_manager("vera", by=by, at=at, reason=why)
        link = create_link("vera", by=by_user(mona, correlation_id="c-8"), at=at)
        use_link(link.text, "seven otters under a lamp", correlation_id="c-9", at=at)
        for _number in range(2):  # one to take away, one to be reset with the rest
            passkey, _codes = add_passkey(vera.pk, "phone", stored, by=by, at=at)
        remove_passkey(vera.pk, passkey.pk, must_keep_one=False, by=by, at=at)
        reset_second_factor("vera", by=by, at=at, reason=why)

    acts = list(AccountChange.objects.order_by("pk"))
    assert {act.kind for act in acts} == set(AccountChange.Kind)
    told = lines(folder)
    assert [(EVENTS[AccountChange.Kind(act.kind)], act.person, act.person_id, act.actor) for act in acts] == [
        (line["event"], line["user"], line["user_id"], line["by"]) for line in told
    ]
    off = next(line for line in told if line.get("active") is False)
    assert (off["event"], off["active_before"], off["role"], off["by_id"]) == (
        "role_changed",
        True,
        "VA",
        mona.pk,
    )
    text = json.dumps(told)
    untold = (issued.text, link.text, "otters", device.key, why)
    assert not [secret for secret in untold if secret in text]


def test_a_name_with_a_newline_forges_no_act(
    folder: Path, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    user = User.objects.create(username='eve\n{"event": "sign_in"}\x1b[2K\u2028')
    with django_capture_on_commit_callbacks(execute=True):
        set_role(user, Role.CLOSER, by=Actor.system("te\nst"), at=timezone.now(), reason="Closes from now on")

    text = next(folder.iterdir()).read_text()
    assert text.count("\n") == 1
    assert text.rstrip("\n").isprintable()
    (line,) = lines(folder)
    assert (line["user"], line["by"]) == (user.username, "te\nst")


def test_a_token_past_its_end_stands_there_a_bounded_number_of_times(folder: Path, person: People) -> None:
    token, text = ApiToken.objects.create(user=person(Role.SERVICE, "form"), expiry=timedelta(days=1))
    with time_machine.travel(timezone.now() + timedelta(days=2)):
        for _number in range(security_log.MOST_A_MINUTE + 5):
            APIClient().get("/api/governance/market/policies", headers={"Authorization": f"Bearer {text}"})

    told = lines(folder, "token_refused")
    assert {line["reason"] for line in told} == {"expired"}
    assert len(told) <= 2 * security_log.MOST_A_MINUTE  # two minutes, where the clock turned meanwhile
    assert len(told) < security_log.MOST_A_MINUTE + 5 or any("last_of_this_minute" in line for line in told)


def test_whoever_lacks_a_right_stands_there_with_what_was_asked_for(
    api: Callable[..., APIClient], person: People, folder: Path
) -> None:
    va = api(Role.VA, "amara")
    assert va.get("/api/governance/kpi/events").status_code == 403
    assert va.post("/api/followups/reassign", {}).status_code == 403
    page = Client()
    page.force_login(person(Role.VA, "amara"))
    assert page.get("/admin/governance/user/").status_code in (302, 403)
    assert page.get("/go-live/").status_code == 403
    page.force_login(person(Role.AUDITOR, "aud"))
    assert page.get("/admin/governance/user/").status_code == 200

    refused = lines(folder, "refused")
    assert [(line["by"], line["role"], line["method"]) for line in refused] == [
        ("amara", "VA", "GET"),
        ("amara", "VA", "POST"),
        ("amara", "VA", "GET"),
        ("amara", "VA", "GET"),
    ]
    assert (refused[1]["code"], refused[1]["route"]) == ("not_allowed", "api/followups/reassign")
    assert refused[0]["by_token"] == ApiToken.objects.get().short_id


def test_an_export_stands_there_without_its_reason(
    person: People, folder: Path, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    client = Client()
    client.force_login(person(Role.MANAGER, "mona"))
    with django_capture_on_commit_callbacks(execute=True):
        answer = client.post("/admin/followups/lead/export/", {"reason": "For 416 555 0100, the auditor"})
    assert answer.status_code == 200

    (told,) = lines(folder, "export")
    assert (told["by"], told["table"], told["rows"]) == ("mona", "followups.lead", 0)
    assert "auditor" not in json.dumps(told)


def test_a_line_holds_no_number_no_mail_and_no_second_line(folder: Path) -> None:
    note("test", user="ann@example.com", code="a\nb\x1b[31m\u2028", table="call (416) 555-0100 now")

    text = next(folder.iterdir()).read_text()
    assert text.count("\n") == 1
    assert text.isascii()
    assert text.rstrip("\n").isprintable()
    (line,) = lines(folder)
    assert (line["user"], line["table"]) == ("[e-mail]", "call [number] now")


def test_files_are_the_accounts_alone_and_go_after_their_days(folder: Path, settings: Settings) -> None:
    settings.SECURITY_LOG_DAYS = 180
    folder.mkdir()
    start = datetime(2026, 12, 1, tzinfo=UTC)
    for age in (0, 179, 180, 181, 400):
        (folder / f"security-{start.date() - timedelta(days=age)}.jsonl").touch()
    (folder / "security-notes.txt").touch()
    with time_machine.travel(start + timedelta(days=1)):
        note("test")

    left = sorted(path.name for path in folder.iterdir())
    assert left == [
        "security-2026-06-05.jsonl",
        "security-2026-12-01.jsonl",
        "security-2026-12-02.jsonl",
        "security-notes.txt",
    ]
    made = folder / "security-2026-12-02.jsonl"
    assert oct(made.stat().st_mode & 0o777) == "0o600"


def _write_many(var: str, number: int) -> None:
    configured.VAR = Path(var)
    for step in range(300):
        note("test", number=number, step=step, filling="x" * 150)


def test_several_processes_write_whole_lines(folder: Path) -> None:
    fork = multiprocessing.get_context("fork")
    writers = [fork.Process(target=_write_many, args=(str(folder.parent), number)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)

    found = {(line["number"], line["step"]) for line in lines(folder)}
    assert len(found) == len(lines(folder)) == 1200


def test_a_log_that_cannot_be_written_stops_nobody(
    person: People, settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    settings.VAR = tmp_path / "file"
    person(Role.VA, "ann")

    assert Client().post("/login/", {"username": "ann", "password": PASSWORD}).status_code == 302
    assert "the security log cannot be written" in caplog.text
    assert '"event": "sign_in"' in caplog.text


@pytest.mark.parametrize("days", ["179", "0", "many"])
def test_fewer_days_than_180_stop_the_start(days: str) -> None:
    started = subprocess.run(
        [sys.executable, "manage.py", "check"],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=configured.BASE_DIR,
        env={**os.environ, "SECURITY_LOG_DAYS": days},
    )
    assert started.returncode != 0
    assert f"SECURITY_LOG_DAYS='{days}' is no whole number from 180 to" in started.stderr


# --- the server's own log -----------------------------------------------------------------------------------


def written(log: Callable[[logging.Logger], None]) -> str:
    """Return what the log of settings.py writes."""
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    logging_settings: Any = configured.LOGGING
    line = logging_settings["formatters"]["line"]
    assert line["()"] == "valhalla.logs.OneLine"
    handler.setFormatter(OneLine(line["fmt"]))
    handler.addFilter(CorrelationFilter())
    logger = logging.Logger("test")
    logger.addHandler(handler)
    log(logger)
    return out.getvalue()


FORGED = "lost\n2026-11-30 12:00:00,000 INFO valhalla [-] ann signed in\x1b[2K\r\x9b31m\u2028\u202e\ud800"


def test_a_reason_with_a_newline_and_colours_forges_no_line() -> None:
    text = written(lambda log: log.info("%s reset: %s", "ann", FORGED))

    assert text.count("\n") == 1
    assert text.rstrip("\n").isprintable()
    assert text.endswith(
        "lost\\n2026-11-30 12:00:00,000 INFO valhalla [-] ann signed in\\x1b[2K\\r\\x9b31m"
        "\\u2028\\u202e\\ud800\n"
    )


def test_a_traceback_begins_no_line_of_its_own() -> None:
    def fail(log: logging.Logger) -> None:
        try:
            raise ValueError(FORGED)
        except ValueError:
            log.exception("failed")

    text = written(fail)
    first, *others = text.rstrip("\n").split("\n")
    assert first.endswith("failed")
    assert others
    assert all(line.startswith("    ") and line.isprintable() for line in others)


def test_the_handlers_of_settings_escape(person: People, capfd: pytest.CaptureFixture[str]) -> None:
    program = (
        "import django; django.setup(); import logging; "
        r"logging.getLogger('governance.accounts').info('%s', 'a\n2026 forged \x1b[31m')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=configured.BASE_DIR,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "valhalla.settings"},
    )
    assert done.stderr.rstrip("\n").endswith(r"a\n2026 forged \x1b[31m")
    assert done.stderr.count("\n") == 1

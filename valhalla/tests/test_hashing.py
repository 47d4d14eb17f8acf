"""Password hashes take turns, so that guesses hold neither all threads of a process nor its cores."""

from __future__ import annotations

import http.client
import logging
import shutil
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlencode

import pytest
from argon2.low_level import Type, hash_secret_raw
from django.contrib.auth.hashers import check_password, make_password
from django.test import Client

from conftest import REAL_HASH
from governance.accounts import hashing
from governance.accounts.backup_codes import hash_codes
from governance.accounts.hashing import Busy, WorkLimit, turns_of
from governance.models import User
from valhalla.testing import PASSWORD
from valhalla.tests.serving import Server

GUESSES = 100
log = logging.getLogger(__name__)


@pytest.mark.parametrize(
    ("threads", "at_once", "expected"),
    [(1, 1, (1, 0)), (2, 1, (1, 0)), (4, 1, (1, 2)), (4, 16, (3, 0)), (8, 2, (2, 5)), (64, 1, (1, 8))],
)
def test_one_thread_of_a_process_is_always_free(
    threads: int, at_once: int, expected: tuple[int, int]
) -> None:
    turns = turns_of(threads, at_once)
    assert (turns.at_once, turns.most_waiting) == expected
    assert threads == 1 or turns.at_once + turns.most_waiting < threads


def test_as_many_work_and_wait_as_may_and_the_next_is_refused() -> None:
    turns, free, inside = WorkLimit(1, 1, seconds=20), threading.Event(), threading.Event()
    together: list[int] = []

    def work() -> None:
        with turns.turn():
            together.append(turns.working)
            inside.set()
            free.wait(20)

    with ThreadPoolExecutor(2) as pool:
        working = [pool.submit(work), pool.submit(work)]
        assert inside.wait(20)
        while not turns.is_full:
            time.sleep(0.01)
        with pytest.raises(Busy), turns.turn():
            pass
        free.set()
        for one in working:
            one.result(20)
    assert together == [1, 1]
    assert (turns.working, turns.waiting) == (0, 0)


def test_who_waited_too_long_or_failed_gives_the_turn_back() -> None:
    turns = WorkLimit(1, 1, seconds=0.05)
    with turns.turn(), pytest.raises(Busy), turns.turn():
        pass
    with pytest.raises(ZeroDivisionError), turns.turn():
        raise ZeroDivisionError
    assert (turns.working, turns.waiting) == (0, 0)


@pytest.fixture
def real_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo what lets the other tests hash cheaply."""
    for (where, name), real in REAL_HASH.items():
        monkeypatch.setattr(where, name, real)


def test_a_password_is_hashed_as_django_does(real_hash: None) -> None:
    hashed = make_password(PASSWORD)
    assert hashed.startswith("argon2$argon2id$v=19$m=102400,t=2,p=8$")
    assert check_password(PASSWORD, hashed)


def test_a_backup_code_is_hashed_as_owasp_asks(real_hash: None) -> None:
    (stored,) = hash_codes(["abcdefgh"])
    _version, salt, digest = stored.split("$")
    expected = hash_secret_raw(
        b"abcdefgh", bytes.fromhex(salt), 2, 19 * 1024, parallelism=1, hash_len=32, type=Type.ID
    )
    assert digest == expected.hex()


@pytest.mark.django_db
@pytest.mark.parametrize("door", ["/login/", "/admin/login/"])
def test_a_sign_in_while_the_queue_is_full_is_asked_to_come_back(
    door: str, client: Client, person: Callable[..., User], monkeypatch: pytest.MonkeyPatch
) -> None:
    person("MANAGER", "ann")
    full = WorkLimit(1, 0)
    monkeypatch.setattr(hashing, "turns", full)
    monkeypatch.setattr(hashing, "entries", full)
    with full.turn():
        for stage in ("before anything", "at the hash"):
            if stage == "at the hash":
                monkeypatch.setattr(hashing, "SIGN_IN_PATHS", ())
            answer = client.post(
                door, {"username": "ann", "password": PASSWORD}, headers={"Accept-Language": "fr"}
            )
            assert (answer.status_code, answer["Retry-After"]) == (503, "2"), stage
            assert "Réessayez dans un instant" in answer.content.decode(), stage
        assert client.get(door).status_code == 200
        with pytest.raises(Busy):
            make_password("a password")
        with pytest.raises(Busy):
            check_password("a password", User.objects.get(username="ann").password)
    assert client.post(door, {"username": "ann", "password": PASSWORD}).status_code == 302


@pytest.mark.once
@pytest.mark.xdist_group("start")
def test_livez_goes_on_answering_during_100_guesses_at_once(tmp_path: Path, installed: Path) -> None:
    behind_a_proxy = {"TLS": "0", "TRUSTED_PROXIES": "127.0.0.1"}
    shutil.copytree(installed, tmp_path, dirs_exist_ok=True)
    server = Server(tmp_path, f"sqlite:///{tmp_path / 'own.sqlite3'}", behind_a_proxy, "--only", "web")
    try:
        server.wait_until_up()
        found, took, idle_took = _guess_and_watch(server.port)
    finally:
        server.press_ctrl_c()
        server.end()
    idle = statistics.median(idle_took)
    log.warning(
        "%s; /livez took %.3f s, %.3f s at most; while idle %.3f s",
        found,
        statistics.median(took),
        max(took),
        idle,
    )
    assert sum(found.values()) == GUESSES
    assert set(found) <= {200, 503}
    assert found[200] > 0
    assert len(took) >= 5
    # the median, and beside what it takes anyway: where other programs hold the cores, it waits for those too
    assert statistics.median(took) < 1 + 20 * idle, sorted(took)[-10:]


def _guess_and_watch(port: int) -> tuple[Counter[int], list[float], list[float]]:
    """Guess from 100 addresses at once and ask /livez meanwhile.

    Returns the answers, and the seconds that /livez took meanwhile and before.
    """
    page = _ask(port, "GET", "/login/")
    token = str(page.headers["Set-Cookie"]).partition("csrftoken=")[2].partition(";")[0]
    for _number in range(40):  # both processes have answered some
        _ask(port, "GET", "/login/")
    barrier, over = threading.Barrier(GUESSES + 1), threading.Event()

    def guess(number: int) -> int:
        form = {"csrfmiddlewaretoken": token, "username": "vera", "password": f"guess {number}"}
        headers = {
            "Cookie": f"csrftoken={token}",
            "Content-Type": "application/x-www-form-urlencoded",
            "X-Forwarded-For": f"198.51.100.{number}",
        }
        barrier.wait(60)
        return _ask(port, "POST", "/login/", urlencode(form), headers).status

    def watch() -> list[float]:
        took = []
        barrier.wait(60)
        while not over.is_set():
            took.append(_seconds_of_livez(port))
            time.sleep(0.02)
        return took

    idle = [_seconds_of_livez(port) for _number in range(20)]
    with ThreadPoolExecutor(GUESSES + 1) as pool:
        watching = pool.submit(watch)
        found = Counter(pool.map(guess, range(GUESSES)))
        over.set()
        return found, watching.result(60), idle


def _seconds_of_livez(port: int) -> float:
    began = time.monotonic()
    assert _ask(port, "GET", "/livez").status == 200
    return time.monotonic() - began


def _ask(
    port: int, method: str, path: str, body: str = "", headers: dict[str, str] | None = None
) -> http.client.HTTPResponse:
    call = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        call.request(method, path, body=body or None, headers=headers or {})
        answer = call.getresponse()
        answer.read()
        return answer
    finally:
        call.close()

"""A POST with an Idempotency-Key is done once: under 32 clients, across a kill, per person, for 24 hours."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.conf import settings
from django.db import connection
from django.utils import timezone
from pytest_django import Settings
from rest_framework.test import APIClient

from buyers.models import BuyerFeedbackEvent, BuyerLiquidityNode
from conftest import postgres_url
from governance.accounts.rules import by_user
from governance.core import hooks
from governance.core.strict_json import read_json
from governance.kpi.services import emit_kpi
from governance.models import (
    ApiToken,
    GoLiveState,
    IdempotentAnswer,
    KpiEvent,
    RiskEvent,
    RiskPolicy,
    RiskReservation,
    User,
)
from governance.outbox import services
from governance.outbox.services import purge_answers
from valhalla.testing import CLIENTS, at_once
from valhalla.tests.documented import DocumentedClient
from valhalla.tests.keyed_client import FEEDBACK

Api = Callable[..., APIClient]
pytestmark = [pytest.mark.both, pytest.mark.django_db(transaction=True)]


@dataclass(frozen=True)
class Answer:
    """What a client got, and whether it was done for it or stored."""

    status: int
    body: bytes
    replayed: bool

    @property
    def code(self) -> str:
        return str(read_json(self.body.decode()).get("code", ""))


def post(client: APIClient, key: str, url: str = FEEDBACK) -> Answer:
    """Record that a buyer passed: each call that is done writes one event more."""
    response = client.post(url, headers={"Idempotency-Key": key})
    return Answer(response.status_code, response.content, "Idempotent-Replayed" in response)


def effects() -> int:
    """How often it was done, counted in three places that must agree."""
    done = BuyerFeedbackEvent.objects.count()
    assert KpiEvent.objects.filter(metric="buyer_feedback").count() == done
    assert sum(BuyerLiquidityNode.objects.values_list("passed", flat=True)) == done
    return done


# --- 32 clients ---------------------------------------------------------------------------------------------


def send(api: Api, keys: list[str], chance: random.Random) -> dict[str, list[Answer]]:
    """Let 32 clients of one person send each key once, all eight at a time in any order."""
    clients = [api("MANAGER", "mona") for _number in range(CLIENTS)]
    turns: list[list[str]] = [[] for _client in clients]
    for start in range(0, len(keys), 8):
        for turn in turns:
            turn += chance.sample(keys[start : start + 8], len(keys[start : start + 8]))
    work = [
        (client, turn[number])
        for number in range(len(keys))
        for client, turn in zip(clients, turns, strict=True)
    ]
    answers: dict[str, list[Answer]] = {key: [] for key in keys}
    for (_client, key), answer in zip(work, at_once(lambda item: post(*item), work), strict=True):
        answers[key].append(answer)
    return answers


def each_once(api: Api, count: int, chance: random.Random) -> None:
    answers = send(api, [f"k-{number}" for number in range(count)], chance)
    assert sum(map(len, answers.values())) == count * CLIENTS
    for found in answers.values():
        assert len({(answer.status, answer.body) for answer in found}) == 1  # the same bytes to all
        assert found[0].status == 200
        assert Counter(answer.replayed for answer in found) == {False: 1, True: CLIENTS - 1}
    assert len({found[0].body for found in answers.values()}) == count
    assert effects() == count
    assert IdempotentAnswer.objects.count() == count


def test_256_requests_with_8_keys_have_8_effects_and_8_answers(api: Api, chance: random.Random) -> None:
    each_once(api, 8, chance)


@pytest.mark.long
def test_6400_requests_with_200_keys_have_200_effects_and_200_answers(
    api: Api, chance: random.Random
) -> None:
    each_once(api, 200, chance)


def test_looking_first_and_remembering_then_does_it_many_times(
    api: Api, chance: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What must not be written: the variant against which the tests above have been seen to fail."""
    all_have_looked = threading.Barrier(CLIENTS)

    def naive(*, user_id: int, key: str, request: object, at: Any, handle: Any) -> tuple[int, str, bool]:
        mine = IdempotentAnswer.objects.filter(user_id=user_id, key=key)
        stored = mine.first()
        if key == "k-0":
            all_have_looked.wait(60)
        if stored is not None:
            return stored.status, stored.body, True
        status, body, _keep = handle()
        row = IdempotentAnswer(
            user_id=user_id, key=key, request_hash="", status=status, body=body, created_at=at
        )
        IdempotentAnswer.objects.bulk_create([row], ignore_conflicts=True)
        return status, body, False

    monkeypatch.setattr(hooks, "answer_once", naive)
    (answers,) = send(api, ["k-0"], chance).values()
    assert effects() == len({answer.body for answer in answers}) == CLIENTS


def test_keys_of_two_people_at_once_are_two_keys(api: Api) -> None:
    clients = [api("MANAGER", name) for name in ("mona", "max") for _number in range(16)]
    answers = at_once(lambda client: post(client, "k-1"), clients)
    for mine in (answers[:16], answers[16:]):
        assert len({answer.body for answer in mine}) == 1
        assert Counter(answer.replayed for answer in mine) == {False: 1, True: 15}
    assert effects() == 2


def test_of_two_requests_at_once_under_one_key_one_is_done_and_the_other_is_422(api: Api) -> None:
    client = api("MANAGER")
    urls = [FEEDBACK, FEEDBACK.replace("ON", "PE")] * 16
    answers = at_once(lambda url: post(client, "k-1", url), urls)
    done, other = (
        (answers[0::2], answers[1::2]) if answers[0].status == 200 else (answers[1::2], answers[0::2])
    )
    assert len({answer.body for answer in done}) == 1
    assert {answer.status for answer in done} == {200}
    assert {(answer.status, answer.code) for answer in other} == {(422, "key_reused")}
    assert effects() == 1


def test_a_refusal_at_once_to_all_is_forgotten_and_done_once_when_its_reason_is_gone(
    api: Api, settings: Settings
) -> None:
    settings.GO_LIVE_ENFORCE = True
    clients = [api("MANAGER", "mona") for _number in range(CLIENTS)]
    refused = at_once(lambda client: post(client, "k-1"), clients)
    assert {(answer.status, answer.code, answer.replayed) for answer in refused} == {
        (503, "go_live_disabled", False)
    }
    assert not IdempotentAnswer.objects.exists()
    GoLiveState.objects.update(go_live_enabled=True)
    answers = at_once(lambda client: post(client, "k-1"), clients)
    assert len({(answer.status, answer.body) for answer in answers}) == 1
    assert answers[0].status == 200
    assert effects() == 1


def test_a_denied_reservation_is_an_answer_and_stays_it(api: Api) -> None:
    url = "/api/governance/risk/check-and-reserve?engine=WHOLESALE&amount=100000.01"
    clients = [api("CLOSER", "carl") for _number in range(CLIENTS)]
    answers = at_once(lambda client: post(client, "k-1", url), clients)
    assert len({(answer.status, answer.body) for answer in answers}) == 1
    assert Counter(answer.replayed for answer in answers) == {False: 1, True: CLIENTS - 1}
    RiskPolicy.objects.update(max_daily_exposure=0, max_open_risk=0, max_daily_loss=0)  # no caps any more
    again, other = post(clients[0], "k-1", url), post(clients[0], "k-2", url)
    assert (again.status, again.body) == (200, answers[0].body)
    assert [read_json(answer.body.decode())["ok"] for answer in (again, other)] == [False, True]
    assert RiskEvent.objects.filter(kind=RiskEvent.Kind.DENIED).count() == 1
    assert RiskReservation.objects.count() == 1


# --- 24 hours -----------------------------------------------------------------------------------------------


def test_an_answer_is_stored_for_24_hours(person: Callable[..., User]) -> None:
    client = APIClient()
    client.force_authenticate(person("MANAGER"))
    with time_machine.travel("2026-11-24T15:00:00Z", tick=False) as clock:
        first = post(client, "k-1")
        clock.shift(timedelta(hours=24))
        assert post(client, "k-1") == Answer(200, first.body, replayed=True)
        assert post(client, "k-1", FEEDBACK.replace("ON", "PE")).status == 422
        clock.shift(timedelta(seconds=1))
        later = post(client, "k-1", FEEDBACK.replace("ON", "PE"))
        assert (later.status, later.replayed) == (200, False)
    assert effects() == 2


def test_a_key_of_yesterday_is_done_once_by_32_clients(
    api: Api, person: Callable[..., User], chance: random.Random
) -> None:
    mona = person("MANAGER", "mona")
    keys = [f"k-{number}" for number in range(5)]
    IdempotentAnswer.objects.bulk_create(
        IdempotentAnswer(
            user=mona,
            key=key,
            request_hash="of another request",
            status=200,
            body="old",
            created_at=timezone.now() - timedelta(hours=25),
        )
        for key in keys
    )
    each_once(api, len(keys), chance)


def test_an_answer_that_is_forgotten_while_it_is_looked_for_is_done_anew(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = api("MANAGER")
    post(client, "k-1")
    claim = services._claim_keys
    claims: list[bool] = []

    def claimed(*of: Any) -> dict[str, int]:
        found = claim(*of)
        claims.append(bool(found))
        if len(claims) == 1:
            purge_answers(timezone.now() + timedelta(hours=25))
        return found

    monkeypatch.setattr(services, "_claim_keys", claimed)
    assert not post(client, "k-1").replayed
    assert claims == [False, True]


# --- while the first runs -----------------------------------------------------------------------------------


@pytest.fixture
def answers_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the test store answers that no endpoint gives."""
    monkeypatch.setattr(DocumentedClient, "compares", False)


@contextmanager
def first_request_running(user: User, key: str, request: object) -> Iterator[threading.Event]:
    """Answer a request in a thread that waits, its effect written, until the event is set."""
    written, go_on = threading.Event(), threading.Event()

    def handle() -> tuple[int, str, bool]:
        emit_kpi("TEST", "first", by=by_user(user, None), at=timezone.now())
        written.set()
        go_on.wait(60)
        return 200, '{"first":true}', True

    def run() -> None:
        try:
            services.answer_once(user_id=user.pk, key=key, request=request, at=timezone.now(), handle=handle)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert written.wait(60)
        yield go_on
    finally:
        go_on.set()
        thread.join(60)


REQUEST = ["POST", FEEDBACK.split("?")[0], {"province": "ON", "event": "PASSED"}]


def test_the_second_waits_for_the_answer_of_the_first(answers_of_its_own: None, api: Api) -> None:
    client = api("MANAGER", "mona")
    with first_request_running(User.objects.get(username="mona"), "k-1", REQUEST) as go_on:
        threading.Timer(0.4, go_on.set).start()
        (answer,) = at_once(lambda key: post(client, key), ["k-1"])
    assert answer == Answer(200, b'{"first":true}', replayed=True)
    assert effects() == 0


def test_the_second_does_not_wait_for_ever(
    answers_of_its_own: None, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert services.LOCK_WAIT.total_seconds() == 10
    monkeypatch.setattr(services, "LOCK_WAIT", timedelta(seconds=0.3))
    client = api("MANAGER", "mona")
    with first_request_running(User.objects.get(username="mona"), "k-1", REQUEST):
        (answer,) = at_once(lambda key: post(client, key), ["k-1"])
    assert (answer.status, answer.code) == (409, "key_in_use")
    assert post(client, "k-1") == Answer(200, b'{"first":true}', replayed=True)


def test_nobody_waits_for_the_key_of_another(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """On SQLite, where one at a time writes, everybody waits for everybody, but not for ever."""
    monkeypatch.setattr(services, "LOCK_WAIT", timedelta(seconds=0.3))
    client, other = api("MANAGER", "mona"), api("MANAGER", "max")
    with first_request_running(User.objects.get(username="mona"), "k-1", REQUEST):
        answers = at_once(lambda call: post(*call), [(client, "k-2"), (other, "k-1")])
    expected = 200 if connection.vendor == "postgresql" else 409
    assert [answer.status for answer in answers] == [expected, expected]


# --- kill -9 ------------------------------------------------------------------------------------------------


def database_url() -> str:
    """The database of this test, for another process."""
    name = connection.settings_dict["NAME"]
    if connection.vendor == "sqlite":
        return f"sqlite:///{name}"
    return postgres_url(name)


@contextmanager
def client_stopped(at_point: str, key: str) -> Iterator[None]:
    """A client in a process of its own, stopped in the middle of its request; killed with -9 at the end."""
    _row, token = ApiToken.objects.create(user=User.objects.get(username="mona"), expiry=timedelta(days=1))
    process = subprocess.Popen(
        [sys.executable, "-m", "valhalla.tests.keyed_client", at_point, token, key],
        env={**os.environ, "DATABASE_URL": database_url()},
        cwd=Path(settings.BASE_DIR),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        yield
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("point", ["effect written", "answer stored"])
def test_a_kill_before_the_commit_leaves_nothing_and_the_retry_does_it(
    api: Api, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    client = api("MANAGER", "mona")
    monkeypatch.setattr(services, "LOCK_WAIT", timedelta(seconds=0.3))
    with client_stopped(point, "k-1"):
        assert effects() == 0
        assert post(client, "k-1").code == "key_in_use"
    monkeypatch.undo()
    done = post(client, "k-1")
    assert (done.status, done.replayed) == (200, False)
    assert post(client, "k-1") == Answer(200, done.body, replayed=True)
    assert effects() == 1


def test_a_kill_after_the_commit_leaves_the_answer_for_the_retry(api: Api) -> None:
    client = api("MANAGER", "mona")
    with client_stopped("committed", "k-1"):
        assert effects() == 1
    answers = [post(client, "k-1") for _time in range(3)]
    assert {answer.replayed for answer in answers} == {True}
    assert len({answer.body for answer in answers}) == 1
    assert read_json(answers[0].body.decode())["event_id"] == BuyerFeedbackEvent.objects.get().pk
    assert effects() == 1


@pytest.mark.parametrize(("point", "done"), [("naive: remembered last", 2), ("naive: remembered first", 0)])
def test_an_answer_stored_apart_from_its_effect_is_wrong_after_a_kill(
    answers_of_its_own: None, api: Api, point: str, done: int
) -> None:
    """What must not be written: the variants against which the tests above have been seen to fail."""
    client = api("MANAGER", "mona")
    with client_stopped(point, "k-1"):
        pass
    assert post(client, "k-1").status == 200
    assert effects() == done

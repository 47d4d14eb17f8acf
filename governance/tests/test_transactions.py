"""A transaction is tried again by whoever began it: after a deadlock, or when SQLite was busy."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from django.db import DatabaseError, OperationalError, connection, transaction
from django.test import override_settings
from django.urls import path
from rest_framework.response import Response
from rest_framework.test import APIClient

from governance.core.actors import Actor
from governance.core.errors import Refused, Unavailable
from governance.core.rest.viewsets import ServiceViewSet
from governance.core.transactions import TRIES, FairWriteLock, WriterBusy, _turns, in_transaction
from governance.core.verbs import Execution, verb
from governance.kpi.models import KpiEvent
from governance.kpi.services import emit_kpi
from governance.market.models import MarketPolicy
from governance.models import ApiToken
from governance.outbox import services
from governance.outbox.models import IdempotentAnswer
from governance.tests.factories import NOW
from valhalla.testing import at_once

Api = Callable[..., APIClient]
MakeBy = Callable[..., Actor]
pytestmark = [pytest.mark.both, pytest.mark.django_db(transaction=True)]
KEYED = {"Idempotency-Key": "k-1"}


# --- two who hold what the other wants ----------------------------------------------------------------------

both_hold_one = threading.Barrier(2)
tried: list[str] = []


@verb(Execution.OBSERVE_ONLY)
def touch(first: str, then: str, by: Actor) -> None:
    """Write two rows, one after the other; the other one's first is this one's second."""
    tried.append(first)
    MarketPolicy.objects.filter(province=first).update(reason=first)
    if connection.vendor == "postgresql" and len(tried) <= 2:  # SQLite lets one in at a time
        both_hold_one.wait(30)
    MarketPolicy.objects.filter(province=then).update(reason=first)
    emit_kpi("TEST", f"touched {first}", by=by, at=NOW)


class TouchingDoor(ServiceViewSet):
    """A door whose verbs write rows in an order that the caller says."""

    rights: ClassVar[dict[str, str]] = {"go": "governance.view_operations"}

    def go(self, request: Any) -> Response:
        touch(request.data["first"], request.data["then"], self.by())
        return Response({"ok": True})


urlpatterns = [path("api/touch", TouchingDoor.as_view({"post": "go"}))]


def touching(role: Api, headers: dict[str, str]) -> Callable[[tuple[str, str]], int]:
    def call(order: tuple[str, str]) -> int:
        given = {"first": order[0], "then": order[1]}
        return int(role("VA", order[0]).post("/api/touch", given, format="json", headers=headers).status_code)

    return call


@pytest.mark.parametrize("headers", [{}, KEYED], ids=["without a key", "with a key"])
@override_settings(ROOT_URLCONF=__name__)
def test_two_requests_that_lock_each_other_out_are_both_done_once(api: Api, headers: dict[str, str]) -> None:
    tried.clear()
    answers = at_once(touching(api, headers), [("ON", "PE"), ("PE", "ON")])
    assert answers == [200, 200]
    assert len(tried) > 2 or connection.vendor == "sqlite"  # the one who lost came again
    metrics = KpiEvent.objects.filter(domain="TEST").order_by("metric").values_list("metric", flat=True)
    assert list(metrics) == ["touched ON", "touched PE"]
    last = set(MarketPolicy.objects.filter(province__in=["ON", "PE"]).values_list("reason", flat=True))
    assert len(last) == 1  # never half of one and half of the other
    assert IdempotentAnswer.objects.filter(status=200).count() == (2 if headers else 0)


def test_a_transaction_around_them_that_is_not_tried_again_fails(by: MakeBy) -> None:
    """What must not be written: the variant against which the test above has been seen to fail."""
    tried.clear()
    who = by("VA")

    def naive(order: tuple[str, str]) -> str:
        try:
            with transaction.atomic():
                touch(*order, by=who)
        except OperationalError as problem:
            return str(getattr(problem.__cause__, "sqlstate", ""))
        return "ok"

    answers = at_once(naive, [("ON", "PE"), ("PE", "ON")])
    assert sorted(answers) == (["40P01", "ok"] if connection.vendor == "postgresql" else ["ok", "ok"])


# --- where trying again does not help -----------------------------------------------------------------------


@contextmanager
def database_held() -> Iterator[None]:
    """Hold SQLite's one writer as another process would, outside of the turns; let nobody wait long."""
    if connection.vendor != "sqlite":
        yield
        return
    connection.ensure_connection()
    assert connection.connection is not None
    connection.connection.execute("PRAGMA busy_timeout = 20")
    other = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        yield
    finally:
        other.close()
        connection.close()


def deadlock() -> None:
    """End the transaction as PostgreSQL ends one that it cannot serialize."""
    connection.cursor().execute("DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40001'; END $$")


def counted(tries: list[int], then: Callable[[], None]) -> Callable[[], None]:
    def work() -> None:
        tries.append(1)
        then()

    return work


def test_after_three_tries_a_sentence_says_to_come_again() -> None:
    tries: list[int] = []
    postgres = connection.vendor == "postgresql"
    with database_held(), pytest.raises(Unavailable) as refusal:
        in_transaction(counted(tries, deadlock))
    assert (refusal.value.code, refusal.value.status) == ("busy", 503)
    assert len(tries) == (TRIES if postgres else 0)  # SQLite did not let the work begin


def nonsense() -> None:
    connection.cursor().execute("SELECT 1 FROM nowhere")


def test_another_error_of_the_database_is_not_tried_again() -> None:
    tries: list[int] = []
    with pytest.raises(DatabaseError, match="nowhere"):
        in_transaction(counted(tries, nonsense))
    assert len(tries) == 1


def test_within_a_transaction_nothing_is_tried_again() -> None:
    """Its owner must: what it did before is lost with the deadlock."""
    tries: list[int] = []
    end = deadlock if connection.vendor == "postgresql" else nonsense
    with pytest.raises(OperationalError), transaction.atomic():
        in_transaction(counted(tries, end))
    assert len(tries) == 1


def test_what_a_refusal_keeps_is_tried_again_too(by: MakeBy) -> None:
    kept: list[int] = []
    who = by("VA")

    def keep() -> None:
        kept.append(1)
        if len(kept) == 1 and connection.vendor == "postgresql":
            deadlock()
        emit_kpi("TEST", "kept", by=who, at=NOW)

    @verb(Execution.OBSERVE_ONLY)
    def refuse() -> None:
        raise Refused("no", "No.", keep=keep)

    with pytest.raises(Refused, match="No"):
        refuse()
    assert KpiEvent.objects.filter(metric="kept").count() == 1


# --- SQLite's one writer ------------------------------------------------------------------------------------


def test_a_keyed_request_waits_for_its_turn_and_gives_up_when_it_does_not_come(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL has no turns: there only the row of the key is waited for."""
    monkeypatch.setattr(services, "LOCK_WAIT", timedelta(seconds=0.3))
    client = api("VA")

    def post(_number: int) -> tuple[int, str]:
        response = client.post("/api/buyers/liquidity/feedback?province=ON&event=PASSED", headers=KEYED)
        return response.status_code, response.json().get("code", "")

    with _turns.turn():
        began = time.monotonic()
        (answer,) = at_once(post, [0])
        waited = time.monotonic() - began
    if connection.vendor == "postgresql":
        assert answer == (200, "")
    else:
        assert answer == (409, "key_in_use")
        assert waited >= 0.3
    assert at_once(post, [0]) == [(200, "")]
    assert KpiEvent.objects.filter(metric="buyer_feedback").count() == 1


def test_who_only_reads_does_not_wait_for_who_writes(api: Api) -> None:
    client, tokens = api("VA"), ApiToken.objects.exclude(last_used_at=None)
    with database_held():
        assert client.get("/api/governance/market/policies").status_code == 200
    assert tokens.exists() == (connection.vendor == "postgresql")
    client.get("/api/governance/market/policies")
    assert tokens.exists()  # noted by the next call


def test_how_long_sqlite_waits_for_other_processes_is_put_back() -> None:
    if connection.vendor == "sqlite":
        with database_held(), pytest.raises(WriterBusy):
            in_transaction(lambda: None, patience=0.05)
        in_transaction(lambda: None, patience=0.05)
        assert connection.connection is not None
        assert connection.connection.execute("PRAGMA busy_timeout").fetchone() == (30_000,)
    else:
        assert in_transaction(lambda: "done", patience=0) == "done"  # the work says how long it waits


def test_turns_come_in_the_order_of_asking_without_those_who_gave_up() -> None:
    turns, came = FairWriteLock(), []
    asked = threading.Semaphore(0)

    def ask(name: str, patience: float | None) -> None:
        try:
            with turns.turn(patience):
                came.append(name)
        except WriterBusy:
            came.append(f"{name} gave up")
            asked.release()

    threads = []
    with turns.turn():
        for name, patience in (("first", None), ("second", 0.05), ("third", None)):
            thread = threading.Thread(target=ask, args=(name, patience), daemon=True)
            thread.start()
            threads.append(thread)
            while len(turns._waiting) < len(threads):
                time.sleep(0.001)
        asked.acquire(timeout=30)
    for thread in threads:
        thread.join(30)
    assert came == ["second gave up", "first", "third"]
    with turns.turn(0):
        pass

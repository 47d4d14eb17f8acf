"""Once a switch was turned nothing that it stops is committed; who keeps it waiting is told to come again."""

from __future__ import annotations

import logging
import random
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, ClassVar

import psycopg
import pytest
import time_machine
from django.db import OperationalError, connection, transaction
from django.test import Client, override_settings
from django.urls import path, reverse
from django.utils import timezone
from pytest_django import Settings
from rest_framework.response import Response
from rest_framework.test import APIClient

from buyers.services import record_feedback
from followups.models import FollowUpTask, Ladder, Lead
from followups.services import Completion, complete_task, create_ladder
from followups.tests.scenes import NOW, SOMEBODY, begin
from governance.core.errors import Refused
from governance.core.places import Place
from governance.core.rest.viewsets import ServiceViewSet
from governance.core.verbs import Execution, verb
from governance.golive import lock
from governance.golive.models import GoLiveState
from governance.golive.services import set_go_live, set_kill_switch, state
from governance.heimdall.models import HeimdallEvent
from governance.heimdall.services import record_trial
from governance.kpi.models import KpiEvent
from governance.kpi.services import emit_kpi
from governance.outbox.models import IdempotentAnswer
from governance.risk.models import RiskEvent
from governance.tests.risking import cap, reserve
from governance.tests.tripping import ROI, SLA, happen_daily, six, valued, watch
from governance.tripwire.models import RegressionFiring
from governance.tripwire.services import evaluate_tripwires, evaluation
from governance.tripwire.services import look as looking
from valhalla.testing import CLIENTS, at_once

log = logging.getLogger(__name__)
pytestmark = [pytest.mark.both, pytest.mark.django_db(transaction=True)]
ONTARIO = Place.read("ON")
STOPPED = {"kill_switch_engaged", "go_live_disabled"}
LATEST = (KpiEvent, RiskEvent, HeimdallEvent, Ladder)


@pytest.fixture(autouse=True)
def enforced(settings: Settings) -> None:
    settings.GO_LIVE_ENFORCE = True
    go_live()


def go_live() -> None:
    GoLiveState.objects.update(go_live_enabled=True, kill_switch_engaged=False)


def engage() -> GoLiveState:
    return set_kill_switch(True, by=SOMEBODY, at=NOW, reason="fire")


def disable() -> GoLiveState:
    return set_go_live(False, by=SOMEBODY, at=NOW, reason="fire")


def rows() -> int:
    return sum(model._default_manager.count() for model in LATEST)


# --- thirty-two clients -------------------------------------------------------------------------------------


def work_of(client: int) -> Callable[[int], object]:
    """What a client does again and again: of each kind of verb that the kill switch stops there are eight."""

    def ladder(turn: int) -> Any:
        return create_ladder(f"C{client}-{turn}-{time.monotonic_ns()}", province="ON", by=SOMEBODY, at=NOW)

    def feedback(_turn: int) -> object:
        return record_feedback(ONTARIO, "SFR", "PASSED", by=SOMEBODY, at=NOW)

    def trial(_turn: int) -> object:
        return record_trial("WHOLESALE_OFFER", success=True, by=SOMEBODY, at=NOW)

    return (ladder, feedback, lambda _turn: reserve(1), trial)[client % 4]


def late_rows(turn: Callable[[], Any], chance: random.Random) -> tuple[int, int, float]:
    """Turn a switch amid the clients' work; returns rows before and after it, and the seconds it took."""
    go_live()
    before = rows()
    wait = chance.uniform(0.05, 0.4)
    stops_sandbox = turn is engage

    def client(number: int) -> tuple[int, float] | None:
        if number == 0:
            time.sleep(wait)
            began = time.monotonic()
            turn()
            took = time.monotonic() - began
            return rows(), took
        do, count = work_of(number if stops_sandbox or number % 4 < 3 else number - 1), 0
        while True:
            try:
                do(count)
            except Refused as refusal:
                if refusal.code in STOPPED:
                    return None
                if refusal.code != "busy":
                    raise
            count += 1

    answers = at_once(client, range(CLIENTS + 1), CLIENTS + 1)
    at_its_return, took = answers[0]
    return at_its_return - before, rows() - at_its_return, took


def turn_amid_work(rounds: int, chance: random.Random) -> None:
    cap("GLOBAL")
    cap("WHOLESALE")
    seen = [late_rows(disable if number % 3 == 2 else engage, chance) for number in range(rounds)]
    log.warning(
        "%s: %s rounds of %s clients, %s rows before the switch, %s after it, %.0f ms to turn it at most",
        connection.vendor,
        rounds,
        CLIENTS,
        sum(before for before, _late, _took in seen),
        [late for _before, late, _took in seen if late],
        1000 * max(took for *_rows, took in seen),
    )
    assert [late for _before, late, _took in seen] == [0] * rounds
    assert sum(before for before, _late, _took in seen) > rounds


def test_amid_the_work_of_thirty_two_clients_nothing_comes_after_a_switch(chance: random.Random) -> None:
    turn_amid_work(4, chance)


@pytest.mark.long
def test_in_fifty_rounds_of_thirty_two_clients_nothing_comes_after_a_switch(chance: random.Random) -> None:
    turn_amid_work(50, chance)


@pytest.mark.postgres
def test_without_the_lock_rows_come_after_a_switch(
    chance: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What must not be written: the variant against which the tests above have been seen to fail."""
    monkeypatch.setattr(lock, "share", lambda: None)
    cap("GLOBAL")
    cap("WHOLESALE")
    late = 0
    rounds = 0
    while not late and rounds < 20:
        late, rounds = late_rows(engage, chance)[1], rounds + 1
    log.warning("without the lock %s rows came late in round %s", late, rounds)
    assert late


@pytest.mark.long
@pytest.mark.postgres
def test_the_lock_costs_a_verb_next_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same verbs by turns with and without it, so that whatever else the machine does slows both."""
    cap("GLOBAL")
    cap("WHOLESALE")
    share, turns = lock.share, 400
    spent: dict[bool, list[float]] = {True: [], False: []}
    for turn in range(2 * turns):
        locked = bool(turn % 2)
        monkeypatch.setattr(lock, "share", share if locked else lambda: None)
        began = time.process_time()
        work_of(turn // 2)(turn)
        if turn > turns // 5:  # the first ones learn their statements
            spent[locked].append(time.process_time() - began)
    with_it, without = (statistics.median(spent[locked]) for locked in (True, False))
    log.warning(
        "a verb takes %.2f ms of this process with the lock and %.2f without it, median of %s",
        1000 * with_it,
        1000 * without,
        len(spent[True]),
    )
    assert with_it < 1.1 * without


# --- who keeps it waiting -----------------------------------------------------------------------------------


begun, go_on = threading.Event(), threading.Event()


@verb(Execution.PROD_EXEC)
def dawdle(how: str) -> None:
    """Write a row, and hold the transaction open: asleep in the database, or without a word to it."""
    emit_kpi("TEST", "dawdled", by=SOMEBODY, at=NOW)
    begun.set()
    if how == "in a query":
        connection.cursor().execute("SELECT pg_sleep(20)")
    else:
        go_on.wait(20)
        if how == "before its next query":
            emit_kpi("TEST", "dawdled", by=SOMEBODY, at=NOW)


class DawdlingDoor(ServiceViewSet):
    """A door to the slow verb."""

    rights: ClassVar[dict[str, str]] = {"go": "governance.view_operations"}

    def go(self, request: Any) -> Response:
        dawdle(request.data["how"])
        return Response({"ok": True})


urlpatterns = [path("api/dawdle", DawdlingDoor.as_view({"post": "go"}))]


@contextmanager
def beside(work: Callable[[], object]) -> Iterator[list[Any]]:
    """Do the work in another thread until the block ends; its answer or refusal is then in the list."""
    answers: list[object] = []
    begun.clear()
    go_on.clear()

    def run() -> None:
        try:
            answers.append(work())
        except Exception as problem:
            answers.append(problem)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert begun.wait(20)
        yield answers
    finally:
        go_on.set()
        thread.join(30)


@pytest.mark.postgres
@pytest.mark.parametrize("how", ["in a query", "before its next query", "before it commits"])
@pytest.mark.parametrize("turn", [engage, disable])
def test_who_holds_a_switch_up_is_ended_after_two_seconds_and_told_to_come_again(
    turn: Callable[[], GoLiveState], how: str
) -> None:
    with beside(lambda: dawdle(how)) as answers:
        began = time.monotonic()
        turn()
        took = time.monotonic() - began
    assert 1.9 < took < 4
    (refusal,) = answers
    assert (refusal.code, refusal.status) == ("busy", 503)
    assert state().kill_switch_engaged is (turn is engage)
    assert state().go_live_enabled is (turn is engage)
    assert not KpiEvent.objects.filter(metric="dawdled").exists()


@pytest.mark.postgres
@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "k-1"}], ids=["without a key", "with a key"])
@pytest.mark.parametrize("how", ["in a query", "before it commits"])
@override_settings(ROOT_URLCONF=__name__)
def test_a_call_that_was_ended_is_answered_503_and_may_come_again(
    api: Callable[..., APIClient], how: str, headers: dict[str, str]
) -> None:
    client = api("MANAGER")
    body = {"how": how}
    with beside(lambda: client.post("/api/dawdle", body, format="json", headers=headers)) as answers:
        engage()
    (answer,) = answers
    assert (answer.status_code, answer.json()["code"]) == (503, "busy")
    assert not KpiEvent.objects.filter(metric="dawdled").exists()
    assert not IdempotentAnswer.objects.exists()
    again = client.post("/api/dawdle", body, format="json", headers=headers)
    assert (again.status_code, again.json()["code"]) == (503, "kill_switch_engaged")


@pytest.mark.postgres
def test_a_page_whose_call_was_ended_says_so(client: Client, person: Callable[..., Any]) -> None:
    """The VA's call waits for a lead that somebody else holds, with a share of the lock in its hand."""
    task = begin("L-1", at=timezone.now() - timedelta(minutes=5))
    FollowUpTask.objects.update(due_at=timezone.now() - timedelta(minutes=1))
    client.force_login(person("VA"))
    said = {"said": "SENT", "note": "no reply"}
    client.raise_request_exception = False

    def hold() -> None:
        with transaction.atomic():
            Lead.objects.select_for_update().get(pk=task.lead_id)
            begun.set()
            go_on.wait(20)

    answers: list[Any] = []

    def post() -> None:
        answers.append(client.post(reverse("followups:complete", args=[task.pk]), said))
        connection.close()

    with beside(hold):
        thread = threading.Thread(target=post)
        thread.start()
        while not _shared():
            time.sleep(0.02)
        engage()
    thread.join(20)
    assert answers[0].status_code == 503
    assert "try again in a moment" in answers[0].content.decode()
    assert FollowUpTask.objects.get(pk=task.pk).status == "OPEN"


def _shared() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = %s"
            " AND mode = 'ShareLock' AND granted"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))",
            [lock.LOCK],
        )
        (found,) = cursor.fetchone()
    return bool(found)


SWITCHES = "/admin/governance/golivestate/1/change/"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/go-live/", {"reason": "fire, fire, fire"}),
        (SWITCHES, {"turn": "engage", "change_reason": "fire, fire, fire"}),
        (SWITCHES, {"turn": "disable", "change_reason": "fire, fire, fire"}),
        ("/api/governance/go-live/kill-switch/engage", {"reason": "fire, fire, fire"}),
        ("/api/governance/go-live/disable", {"reason": "fire, fire, fire"}),
    ],
)
def test_every_entry_point_turns_a_switch_in_a_transaction_of_its_own(
    client: Client,
    api: Callable[..., APIClient],
    person: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    said: dict[str, str],
) -> None:
    client.force_login(person("MANAGER"))
    inside: list[int] = []
    monkeypatch.setattr(lock, "take_alone", lambda: inside.append(len(connection.atomic_blocks)))
    answer = (api("MANAGER") if path.startswith("/api") else client).post(path, said)
    assert answer.status_code in (200, 302)
    assert inside == [1]
    assert state().kill_switch_engaged or not state().go_live_enabled


@pytest.mark.postgres
def test_a_holder_that_cannot_be_ended_does_not_keep_the_switch_from_being_turned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lock, "WAIT", lock.WAIT / 10)
    monkeypatch.setattr(lock, "WAIT_AGAIN", lock.WAIT / 10)
    monkeypatch.setattr(lock, "_end_holders", lambda _before: None)
    with beside(lambda: dawdle("before it commits")):
        engage()
        assert state().kill_switch_engaged


@pytest.mark.postgres
def test_another_roles_session_is_ended_where_that_is_allowed_and_passed_over_where_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A database's owner that is no superuser may not end a superuser's session."""
    monkeypatch.setattr(lock, "WAIT", lock.WAIT / 10)
    monkeypatch.setattr(lock, "WAIT_AGAIN", lock.WAIT / 10)
    names = {"host": "HOST", "port": "PORT", "user": "USER", "dbname": "NAME", "password": "PASSWORD"}
    known = {name: connection.settings_dict[key] for name, key in names.items()}
    with psycopg.connect(**{name: value for name, value in known.items() if value}) as other:
        other.execute("SELECT pg_advisory_xact_lock_shared(%s)", [lock.LOCK])
        cursor = connection.cursor()
        cursor.execute("CREATE ROLE humble")
        cursor.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO humble")
        cursor.execute("GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO humble")
        try:
            cursor.execute("SET ROLE humble")
            engage()
            assert state().kill_switch_engaged
            assert other.execute("SELECT 1").fetchone() == (1,)
        finally:
            cursor.execute("RESET ROLE")
            cursor.execute("DROP OWNED BY humble")
            cursor.execute("DROP ROLE humble")


# --- who never waits ----------------------------------------------------------------------------------------


def test_what_records_does_not_wait_for_a_switch_that_is_being_turned() -> None:
    """On SQLite the switch is turned as the one writer, in a moment."""
    task = begin("L-1")
    with beside(held) as answers:
        if connection.vendor == "sqlite":
            go_on.set()
        began = time.monotonic()
        done = complete_task(task.pk, Completion(outcome="OPTED_OUT"), by=SOMEBODY, at=NOW)
        assert time.monotonic() - began < 2
        assert done.task.outcome == "OPTED_OUT"
    assert answers == [None]


def held() -> None:
    """Turn a switch and take long to commit."""
    with transaction.atomic():
        engage()
        begun.set()
        go_on.wait(20)


@pytest.mark.postgres
def test_what_begins_while_a_switch_is_turned_waits_and_is_refused() -> None:
    refused: list[str] = []

    def try_it() -> None:
        try:
            record_feedback(ONTARIO, "SFR", "PASSED", by=SOMEBODY, at=NOW)
        except Refused as refusal:
            refused.append(refusal.code)
        finally:
            connection.close()

    with beside(held):
        thread = threading.Thread(target=try_it)
        thread.start()
        thread.join(0.5)
        assert thread.is_alive()
    thread.join(20)
    assert refused == ["kill_switch_engaged"]


@pytest.mark.postgres
def test_where_the_switches_are_not_enforced_no_verb_takes_the_lock(settings: Settings) -> None:
    settings.GO_LIVE_ENFORCE = False
    with beside(held):
        assert record_feedback(ONTARIO, "SFR", "PASSED", by=SOMEBODY, at=NOW).event_id


# --- tripwires ----------------------------------------------------------------------------------------------


@pytest.mark.postgres
def test_a_tripwire_waits_for_the_verbs_under_way_outside_of_its_own_transaction(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watch(ROI)
    day = valued(ROI, [1.0, 1.2] * 10 + [0.5, 0.6, 0.4, 0.5, 0.6])
    inside: list[bool] = []
    took = lock.take_alone

    def seen() -> None:
        locked = "SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND mode = 'RowShareLock'"
        with connection.cursor() as cursor:
            cursor.execute(locked)
            inside.append(bool(cursor.fetchone()[0]))
        took()

    monkeypatch.setattr(lock, "take_alone", seen)
    with beside(lambda: dawdle("before it commits")) as answers:
        (tripped,) = evaluate_tripwires(six(day), by=SOMEBODY)
    assert tripped.triggered
    assert inside == [False]
    assert state().kill_switch_engaged
    assert state().changed_by == "governance.evaluate_tripwires"
    assert answers[0].code == "busy"
    assert RegressionFiring.objects.count() == 1


def test_a_tripwire_killed_after_it_engaged_trips_at_the_next_evaluation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watch(ROI)
    day = valued(ROI, [1.0, 1.2] * 10 + [0.5, 0.6, 0.4, 0.5, 0.6])

    def die(*_given: object, **_named: object) -> None:
        raise OperationalError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(evaluation, "_fire", die)
        with pytest.raises(OperationalError):
            evaluate_tripwires(six(day), by=SOMEBODY)
    assert state().kill_switch_engaged
    assert not RegressionFiring.objects.exists()
    (tripped,) = evaluate_tripwires(six(day), by=SOMEBODY)
    assert tripped.triggered
    assert RegressionFiring.objects.count() == 1


def test_what_a_tripwire_engaged_stands_though_another_fails_in_the_same_keyed_call(
    api: Callable[..., APIClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = watch(ROI)
    watch()
    type(first.policy).objects.filter(pk=first.policy_id).update(enabled=True)
    day = valued(ROI, [1.0, 1.2] * 10 + [0.5, 0.6, 0.4, 0.5, 0.6])
    look = looking.look

    def fail_for_sla(state: Any, *given: Any, **named: Any) -> object:
        if state.policy.metric == SLA[1]:
            raise OperationalError("broken")
        return look(state, *given, **named)

    monkeypatch.setattr(evaluation, "look", fail_for_sla)
    client = api("SERVICE")
    client.raise_request_exception = False
    with time_machine.travel(six(day), tick=False):
        answer = client.post("/api/governance/regression/evaluate", headers={"Idempotency-Key": "one"})
    assert answer.status_code >= 500
    assert state().kill_switch_engaged


def test_a_tripwire_that_only_holds_an_engine_back_waits_for_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watch()
    day = happen_daily(SLA, [(18, 2)] * 20 + [(8, 12)] * 5)
    monkeypatch.setattr(lock, "take_alone", lambda: pytest.fail("nothing is to wait for"))
    (tripped,) = evaluate_tripwires(six(day), by=SOMEBODY)
    assert tripped.triggered

"""Settling, releasing and expiring: once, by id, in the reservation's own day."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from governance.core.actors import Actor
from governance.core.errors import Forbidden, Invalid, NotFound, Refused
from governance.models import JobSlot
from governance.risk.models import RiskEngine, RiskEvent, RiskLedgerDay, RiskReservation
from governance.risk.services import recount, release, release_stale, settle
from governance.risk.tasks import release_stale_reservations
from governance.tests.factories import NOW
from governance.tests.risking import ANYBODY, break_at, cad, cap, ledger, open_risk, reserve, reserved

MakeBy = Callable[..., Actor]
pytestmark = [pytest.mark.both, pytest.mark.django_db]
HOUR = timedelta(hours=1)
BEFORE_MIDNIGHT = datetime(2026, 11, 24, 23, 59, tzinfo=UTC)
AFTER = BEFORE_MIDNIGHT + 2 * timedelta(minutes=1)


def settled(number: int, loss: object, at: datetime = NOW) -> bool:
    """Settle, and say whether it had ended already."""
    return settle(number, cad(loss), by=ANYBODY, at=at).already_ended


def test_settling_frees_what_was_open_and_counts_what_was_lost() -> None:
    number = reserved(100)
    ended = settle(number, cad("30.25"), by=ANYBODY, at=NOW)
    assert (ended.already_ended, ended.reservation.state) == (False, "SETTLED")
    for scope in ("WHOLESALE", "GLOBAL"):
        assert open_risk(scope) == 0
        assert ledger(scope) == (cad("30.25"), 100, 1)
    event = RiskEvent.objects.get(kind="SETTLED")
    assert (event.amount, event.realized_loss, event.reservation_id) == (100, cad("30.25"), number)
    assert recount() == []


def test_releasing_gives_back_the_exposure_of_its_day_and_keeps_the_action() -> None:
    cap("WHOLESALE", max_daily_exposure=100, max_actions_per_day=2)
    number = reserved(100, purpose="offer:7")
    ended = release(number, by=ANYBODY, at=NOW, code="superseded")
    assert (ended.reservation.state, ended.reservation.close_code) == ("RELEASED", "superseded")
    assert (ended.reservation.closed_at, ended.reservation.closed_by) == (NOW, "test")
    assert (open_risk(), ledger()) == (0, (0, 0, 1))
    assert reserve(100).ok
    assert reserve(0).code == "max_actions_per_day"
    event = RiskEvent.objects.get(kind="RELEASED")
    assert (event.code, event.purpose, event.realized_loss) == ("superseded", "offer:7", None)
    assert recount() == []


@pytest.mark.parametrize("how", ["settle", "release"])
def test_what_ends_after_midnight_counts_in_the_day_it_was_made(how: str) -> None:
    number, other = reserved(100, at=BEFORE_MIDNIGHT), reserved(50, at=AFTER)
    if how == "settle":
        settled(number, 40, at=AFTER)
    else:
        release(number, by=ANYBODY, at=AFTER)
    before = (40, 100, 1) if how == "settle" else (0, 0, 1)
    for scope in ("WHOLESALE", "GLOBAL"):
        assert ledger(scope, day=BEFORE_MIDNIGHT.date()) == before
        assert ledger(scope, day=AFTER.date()) == (0, 50, 1)
        assert open_risk(scope) == 50
    settled(other, 50, at=AFTER)
    assert recount() == []


def test_a_loss_of_yesterday_takes_nothing_from_today() -> None:
    cap("WHOLESALE", max_daily_loss=100)
    number = reserved(100, at=BEFORE_MIDNIGHT)
    assert reserve(1, at=AFTER).code == "max_daily_loss"  # it may still be lost
    settled(number, 100, at=AFTER)
    assert reserve(100, at=AFTER).ok
    assert reserve(1, at=BEFORE_MIDNIGHT).code == "max_daily_loss"


# --- once ---------------------------------------------------------------------------------------------------


def test_settling_again_with_the_same_loss_answers_the_first_time() -> None:
    number = reserved(100)
    first = settle(number, cad(5), by=ANYBODY, at=NOW)
    again = settle(number, cad(5), by=ANYBODY, at=NOW + HOUR)
    assert (first.already_ended, again.already_ended) == (False, True)
    assert again.reservation.closed_at == NOW
    assert ledger() == (5, 100, 1)
    assert RiskEvent.objects.filter(kind="SETTLED").count() == 1


def test_releasing_again_answers_the_first_time() -> None:
    number = reserved(100)
    assert [release(number, by=ANYBODY, at=NOW).already_ended for _turn in range(2)] == [False, True]
    assert (open_risk(), ledger()) == (0, (0, 0, 1))


@pytest.mark.parametrize("first", ["settle", "release"])
def test_what_ended_one_way_does_not_end_another(first: str) -> None:
    number = reserved(100)
    if first == "settle":
        settled(number, 5)
        attempts: list[Callable[[], object]] = [
            lambda: settled(number, 6),
            lambda: release(number, by=ANYBODY, at=NOW),
        ]
    else:
        release(number, by=ANYBODY, at=NOW)
        attempts = [lambda: settled(number, 0)]
    before = (open_risk(), ledger(), RiskEvent.objects.count())
    for attempt in attempts:
        with pytest.raises(Refused) as refused:
            attempt()
        assert refused.value.code == "reservation_closed"
    assert (open_risk(), ledger(), RiskEvent.objects.count()) == before


@pytest.mark.parametrize("loss", ["100.01", "-0.01", "0.001"])
def test_a_loss_is_from_nothing_to_the_reserved_amount(loss: str) -> None:
    number = reserved(100)
    with pytest.raises(Invalid) as refused:
        settle(number, Decimal(loss), by=ANYBODY, at=NOW)
    assert list(refused.value.errors) == ["realized_loss"]
    assert not settled(number, 100)


@pytest.mark.parametrize("number", [0, -1, 987_654, 2**63 - 1, 2**80])
def test_what_does_not_exist_is_not_found(number: int) -> None:
    with pytest.raises(NotFound):
        settle(number, cad(0), by=ANYBODY, at=NOW)
    with pytest.raises(NotFound):
        release(number, by=ANYBODY, at=NOW)


@pytest.mark.parametrize("role", ["VA", "AUDITOR"])
def test_who_may_not_reserve_may_not_end_either(role: str, by: MakeBy) -> None:
    number = reserved(100)
    with pytest.raises(Forbidden):
        settle(number, cad(0), by=by(role), at=NOW)
    with pytest.raises(Forbidden):
        release(number, by=by(role), at=NOW)
    assert open_risk() == 100


def test_a_release_takes_a_code_and_no_sentence() -> None:
    number = reserved(100)
    with pytest.raises(Invalid):
        release(number, by=ANYBODY, at=NOW, code="the seller hung up")
    assert open_risk() == 100


# --- 72 hours -----------------------------------------------------------------------------------------------


def test_what_nobody_ended_in_72_hours_is_released_in_its_own_day() -> None:
    old, fresh = reserved(100), reserved(50, at=NOW + HOUR)
    assert release_stale(by=ANYBODY, at=NOW + 72 * HOUR - timedelta(microseconds=1)) == 0
    assert release_stale(by=ANYBODY, at=NOW + 72 * HOUR) == 1
    assert release_stale(by=ANYBODY, at=NOW + 72 * HOUR) == 0
    row = RiskReservation.objects.get(pk=old)
    assert (row.state, row.close_code, row.realized_loss) == ("EXPIRED", "stale", None)
    assert RiskReservation.objects.get(pk=fresh).state == "PENDING"
    assert (open_risk(), ledger()) == (50, (0, 50, 2))
    assert RiskEvent.objects.filter(kind="EXPIRED").count() == 1
    assert recount() == []


def test_the_release_of_what_expired_answers_and_its_settling_is_refused() -> None:
    number = reserved(100)
    release_stale(by=ANYBODY, at=NOW + 73 * HOUR)
    assert release(number, by=ANYBODY, at=NOW + 74 * HOUR).already_ended
    with pytest.raises(Refused):
        settled(number, 0)
    assert open_risk() == 0


def test_stale_ones_are_released_in_batches_the_oldest_first() -> None:
    cap("GLOBAL")
    cap("WHOLESALE")
    numbers = [reserved(1, at=NOW + turn * HOUR) for turn in range(5)]
    later = NOW + 100 * HOUR
    assert release_stale(by=ANYBODY, at=later, limit=3) == 3
    assert list(RiskReservation.objects.pending().order_by("pk").values_list("pk", flat=True)) == numbers[3:]
    assert release_stale(by=ANYBODY, at=later, limit=3) == 2


def test_the_job_releases_once_a_quarter_of_an_hour() -> None:
    reserved(100, at=timezone.now() - 73 * HOUR)
    assert release_stale_reservations() == 1
    assert release_stale_reservations() is None
    assert JobSlot.objects.get().job == "governance.release_stale_reservations"
    assert RiskReservation.objects.get().closed_by == "governance.release_stale_reservations"


# --- a database that fails ----------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["reserve", "settle", "release", "expire"])
def test_whatever_statement_fails_nothing_is_half_done(what: str) -> None:
    number = reserved(100)
    later = NOW + 73 * HOUR
    work: Callable[[], object] = {
        "reserve": lambda: reserve(50, at=later),  # the first of its day: the ledger's rows are made too
        "settle": lambda: settled(number, 7),
        "release": lambda: release(number, by=ANYBODY, at=NOW),
        "expire": lambda: release_stale(by=ANYBODY, at=later),
    }[what]

    def rows() -> list[Any]:
        models = (RiskEngine, RiskLedgerDay, RiskReservation, RiskEvent)
        return [list(model._default_manager.order_by("pk").values()) for model in models]

    before, statement = rows(), 0
    while break_at(statement, work):
        assert rows() == before, statement
        statement += 1
    assert statement >= 7
    assert rows() != before
    assert recount() == []


# --- its price ----------------------------------------------------------------------------------------------


def test_what_an_end_costs(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    first, second = reserved(100), reserved(100)
    savepoint = 2
    with django_assert_num_queries(7 + savepoint):  # read, lock, read again, and a statement for each table
        settled(first, 1)
    with django_assert_num_queries(7 + savepoint):
        release(second, by=ANYBODY, at=NOW)
    with django_assert_num_queries(3 + savepoint):
        settled(first, 1)

"""Reserving risk: what fits, what is denied and why, and what is kept of both."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.db.models import F, Model, Value
from pytest_django import DjangoAssertNumQueries, Settings

from governance.core.actors import Actor
from governance.core.errors import Forbidden, Invalid, Unavailable
from governance.core.money import CentsField
from governance.golive.services import set_go_live, set_kill_switch
from governance.risk import rules
from governance.risk.models import RiskEngine, RiskEvent, RiskLedgerDay, RiskPolicy, RiskReservation
from governance.risk.services import (
    recount,
    release,
    release_throttle,
    reservations,
    reserve_exposure,
    settle,
    throttle,
    upsert_policy,
)
from governance.tests.factories import NOW
from governance.tests.risking import ANYBODY, cad, cap, ledger, open_risk, reserve, reserved

MakeBy = Callable[..., Actor]
pytestmark = [pytest.mark.both, pytest.mark.django_db]
DAY = timedelta(days=1)


def denied(amount: object = 100, engine: str = "WHOLESALE", **other: object) -> str:
    """Ask for what must be denied, and return why."""
    answer = reserve(amount, engine, **other)
    assert (answer.ok, answer.reserved, answer.reservation_id) == (False, Decimal(0), None)
    return answer.code


# --- the seeded caps ----------------------------------------------------------------------------------------


def test_a_fresh_database_has_the_owners_caps() -> None:
    caps: Any = RiskPolicy.objects.order_by("engine").values_list(
        "engine", "enabled", "max_daily_loss", "max_daily_exposure", "max_open_risk", "max_actions_per_day"
    )
    assert list(caps) == [
        ("CAPITAL", True, 15_000, 75_000, 75_000, 0),
        ("GLOBAL", True, 25_000, 150_000, 150_000, 0),
        ("NOTIFY", False, 0, 0, 0, 0),
        ("WHOLESALE", True, 20_000, 100_000, 100_000, 0),
    ]
    assert {row.history.get().history_change_reason for row in RiskPolicy.objects.all()} == {"seed"}


def test_under_the_seeded_caps_two_assignment_fees_are_open_and_no_third() -> None:
    assert [reserve(10_000).ok for _turn in range(3)] == [True, True, False]
    assert denied(1) == "max_daily_loss"


# --- what is counted ----------------------------------------------------------------------------------------


def test_a_reservation_counts_in_its_engine_and_in_global() -> None:
    answer = reserve("1234.56", purpose="offer:7")
    assert (answer.ok, answer.code, answer.reserved, answer.engine) == (
        True,
        "reserved",
        cad("1234.56"),
        "WHOLESALE",
    )
    assert answer.message == "1,234.56 CAD are reserved for WHOLESALE."
    for scope in ("WHOLESALE", "GLOBAL"):
        assert open_risk(scope) == cad("1234.56")
        assert ledger(scope) == (0, cad("1234.56"), 1)
    row = RiskReservation.objects.get()
    assert (row.pk, row.engine, row.amount) == (answer.reservation_id, "WHOLESALE", cad("1234.56"))
    assert (row.state, row.day, row.purpose, row.actor) == ("PENDING", NOW.date(), "offer:7", "test")
    assert recount() == []


def test_the_answer_shows_caps_and_use_of_both() -> None:
    answer = reserve(100)
    assert set(answer.policy_snapshot) == {"WHOLESALE", "GLOBAL"}
    assert answer.policy_snapshot["GLOBAL"]["max_open_risk"] == 150_000
    assert answer.policy_snapshot["WHOLESALE"]["version"] == 1
    assert answer.ledger_snapshot["day"] == NOW.date()
    assert answer.ledger_snapshot["GLOBAL"] == {
        "realized_loss": 0,
        "exposure": 100,
        "open_risk": 100,
        "actions": 1,
    }


def test_amounts_are_added_to_the_cent_however_many() -> None:
    cap("GLOBAL", max_open_risk=cad("3.00"))
    cap("WHOLESALE")
    assert [reserve("0.10").ok for _turn in range(31)] == [True] * 30 + [False]
    assert open_risk() == cad("3.00")


def test_a_day_ends_at_midnight_utc_and_what_is_open_does_not() -> None:
    cap("WHOLESALE", max_daily_exposure=100, max_open_risk=150)
    last = datetime(2026, 11, 24, 23, 59, 59, 999_999, tzinfo=UTC)
    reserved(100, at=last)
    assert denied(1, at=last) == "max_daily_exposure"
    assert reserve(50, at=last + timedelta(microseconds=1)).ok
    assert denied(1, at=last + timedelta(hours=1)) == "max_open_risk"
    assert RiskLedgerDay.objects.filter(engine="WHOLESALE").count() == 2


def test_an_instant_is_read_in_utc_whatever_its_zone() -> None:
    late_in_toronto = datetime.fromisoformat("2026-11-24T23:30:00-05:00")
    reserved(100, at=late_in_toronto)
    assert RiskReservation.objects.get().day == (NOW + DAY).date()


# --- what is denied -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", ["WHOLESALE", "GLOBAL"])
@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("max_daily_exposure", cad(200)),
        ("max_open_risk", cad(200)),
        ("max_daily_loss", cad(200)),
        ("max_actions_per_day", 2),
    ],
)
def test_each_cap_of_engine_and_global_denies_a_cent_too_much(scope: str, name: str, limit: object) -> None:
    cap("GLOBAL")
    cap("WHOLESALE")
    cap(scope, **{name: limit})
    reserved(100)
    if name != "max_actions_per_day":
        assert denied("100.01") == name
    reserved("100.00")
    answer = reserve("0.01")
    assert (answer.ok, answer.code) == (False, name)
    assert scope in answer.message
    assert recount() == []


def test_engines_share_what_global_allows() -> None:
    cap("GLOBAL", max_open_risk=150)
    for engine in ("WHOLESALE", "CAPITAL"):
        cap(engine, max_open_risk=100)
    reserved(100)
    assert denied(51, "CAPITAL") == "max_open_risk"
    reserved(50, "CAPITAL")
    assert (open_risk("CAPITAL"), open_risk("GLOBAL")) == (50, 150)


def test_a_denial_is_kept_with_what_decided_it_and_counts_nowhere() -> None:
    cap("WHOLESALE", max_open_risk=50)
    answer = reserve(100, purpose="offer:7")
    event = RiskEvent.objects.get()
    assert (event.kind, event.engine, event.amount, event.code) == (
        "DENIED",
        "WHOLESALE",
        100,
        "max_open_risk",
    )
    assert (event.purpose, event.reservation, event.actor) == ("offer:7", None, "test")
    assert event.detail["policies"]["WHOLESALE"]["max_open_risk"] == "50.00"
    assert event.detail["ledger"]["day"] == "2026-11-24"
    assert not RiskReservation.objects.exists()
    assert not RiskLedgerDay.objects.exists()
    assert answer.message == (
        "Denied: WHOLESALE may have 50.00 CAD open, 0.00 are open, and 100.00 more would exceed the cap."
    )


@pytest.mark.parametrize("scope", ["WHOLESALE", "GLOBAL"])
def test_a_missing_policy_is_a_disabled_one(scope: str) -> None:
    RiskPolicy.objects.filter(engine=scope).delete()
    assert denied() == "policy_missing"


@pytest.mark.parametrize("scope", ["WHOLESALE", "GLOBAL"])
def test_a_policy_that_is_off_denies(scope: str) -> None:
    upsert_policy(scope, {"enabled": False}, by=ANYBODY, at=NOW)
    answer = reserve()
    assert (answer.ok, answer.code) == (False, "policy_disabled")
    assert scope in answer.message


def test_an_engine_that_nobody_knows_is_denied_not_an_error() -> None:
    answer = reserve(engine="MOONSHOT")
    assert (answer.ok, answer.code) == (False, "policy_missing")
    assert answer.policy_snapshot["MOONSHOT"] is None
    assert answer.ledger_snapshot["MOONSHOT"]["actions"] == 0
    assert not RiskEngine.objects.filter(engine="MOONSHOT").exists()


def test_with_neither_policy_it_still_answers() -> None:
    RiskPolicy.objects.all().delete()
    RiskEngine.objects.all().delete()
    assert denied() == "policy_missing"


def test_a_throttled_engine_is_denied_with_the_tripwires_name_until_it_is_released(by: MakeBy) -> None:
    throttle("WHOLESALE", "WHOLESALE/followup_sla", by=ANYBODY, at=NOW)
    answer = reserve()
    assert (answer.ok, answer.code) == (False, "throttled")
    assert "WHOLESALE/followup_sla" in answer.message
    assert RiskEvent.objects.get(kind="DENIED").tripwire == "WHOLESALE/followup_sla"
    assert reserve(engine="CAPITAL").ok
    release_throttle("WHOLESALE/followup_sla", by=by("MANAGER"), at=NOW, reason="looked at")
    assert reserve().ok


def test_a_throttle_of_global_holds_every_engine() -> None:
    throttle("GLOBAL", "CAPITAL/roi_event", by=ANYBODY, at=NOW)
    assert [denied(engine=engine) for engine in ("WHOLESALE", "CAPITAL")] == ["throttled"] * 2


def test_the_engines_own_reason_comes_before_that_of_global() -> None:
    cap("GLOBAL", max_open_risk=10)
    cap("WHOLESALE", max_daily_exposure=20)
    assert denied(15) == "max_open_risk"
    assert denied(25) == "max_daily_exposure"


def test_a_cap_lowered_below_its_use_denies_until_enough_has_ended() -> None:
    cap("WHOLESALE", max_open_risk=300)
    first, second = reserved(100), reserved(100)
    cap("WHOLESALE", max_open_risk=150)
    assert denied(1) == "max_open_risk"
    settle(first, cad(0), by=ANYBODY, at=NOW)
    assert reserve(50).ok
    assert denied(1) == "max_open_risk"
    release(second, by=ANYBODY, at=NOW)
    assert reserve(100).ok
    assert recount() == []


# --- input and rights ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"engine": "GLOBAL"}, "engine"),
        ({"engine": "W S"}, "engine"),
        ({"amount": Decimal("-0.01")}, "amount"),
        ({"amount": Decimal("0.001")}, "amount"),
        ({"amount": Decimal("NaN")}, "amount"),
        ({"amount": Decimal("1000000000")}, "amount"),
        ({"purpose": "because the seller called"}, "purpose"),
    ],
    ids=str,
)
def test_what_cannot_be_reserved_is_named_and_nothing_is_kept(given: dict[str, Any], field: str) -> None:
    wanted = {"engine": "WHOLESALE", "amount": Decimal(1), "by": ANYBODY, "at": NOW, **given}
    with pytest.raises(Invalid) as refused:
        reserve_exposure(wanted.pop("engine"), wanted.pop("amount"), **wanted)
    assert list(refused.value.errors) == [field]
    assert not RiskEvent.objects.exists()


@pytest.mark.parametrize(
    ("role", "may"),
    [("VA", False), ("CLOSER", True), ("MANAGER", True), ("AUDITOR", False), ("SERVICE", True)],
)
def test_who_may_reserve(role: str, may: bool, by: MakeBy) -> None:
    who = by(role)
    if may:
        assert reserve(by=who).ok
        return
    with pytest.raises(Forbidden):
        reserve(by=who)
    assert not RiskEvent.objects.exists()


@pytest.mark.usefixtures("unblocked")
def test_nothing_is_reserved_while_go_live_is_off_and_what_is_open_still_ends(
    by: MakeBy, settings: Settings
) -> None:
    manager = by("MANAGER")
    first, second = reserved(100), reserved(100)
    settings.GO_LIVE_ENFORCE = True
    with pytest.raises(Unavailable) as refused:
        reserve()
    assert refused.value.code == "go_live_disabled"
    settle(first, cad(1), by=manager, at=NOW)
    set_go_live(True, by=manager, at=NOW, reason="x")
    assert reserve().ok
    set_kill_switch(True, by=manager, at=NOW, reason="x")
    with pytest.raises(Unavailable) as refused:
        reserve()
    assert refused.value.code == "kill_switch_engaged"
    release(second, by=manager, at=NOW)
    throttle("CAPITAL", "CAPITAL/roi_event", by=manager, at=NOW)
    upsert_policy("CAPITAL", {"max_daily_loss": cad(1)}, by=manager, at=NOW)


# --- the database behind it ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "column", "more"),
    [
        (RiskEngine, "open_risk", Value(cad("0.01"), CentsField())),
        (RiskEngine, "open_risk", Value(cad("-300"), CentsField())),
        (RiskLedgerDay, "exposure", Value(cad("0.01"), CentsField())),
        (RiskLedgerDay, "exposure", Value(cad("-300"), CentsField())),
        (RiskLedgerDay, "actions", Value(1)),
        (RiskLedgerDay, "realized_loss", Value(cad("200.01"), CentsField())),
        (RiskLedgerDay, "realized_loss", Value(cad("-0.01"), CentsField())),
    ],
)
def test_the_database_itself_refuses_what_exceeds_a_cap(model: type[Model], column: str, more: Value) -> None:
    cap("WHOLESALE", max_daily_loss=200, max_daily_exposure=200, max_open_risk=200, max_actions_per_day=1)
    reserved(200)
    with pytest.raises(IntegrityError), transaction.atomic():
        model._default_manager.filter(engine="WHOLESALE").update(**{column: F(column) + more})


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount": cad("-0.01")},
        {"state": "SETTLED", "closed_at": NOW},
        {"state": "SETTLED", "closed_at": NOW, "realized_loss": cad("100.01")},
        {"state": "SETTLED", "realized_loss": cad(1)},
        {"state": "RELEASED", "closed_at": NOW, "realized_loss": cad(0)},
        {"state": "RELEASED"},
        {"closed_at": NOW},
        {"state": "LOST", "closed_at": NOW},
    ],
    ids=str,
)
def test_the_database_itself_refuses_a_reservation_that_cannot_be(wrong: dict[str, object]) -> None:
    number = reserved(100)
    with pytest.raises(IntegrityError), transaction.atomic():
        RiskReservation.objects.filter(pk=number).update(**wrong)


def test_a_fraction_of_a_cent_never_reaches_the_database() -> None:
    with pytest.raises(ValueError, match="fractions of a cent"):
        RiskEngine.objects.filter(open_risk=Decimal("0.001")).exists()


@pytest.mark.parametrize("scope", ["WHOLESALE", "GLOBAL"])
@pytest.mark.parametrize(
    "caps",
    [
        {"max_open_risk": 200},
        {"max_daily_exposure": 200},
        {"max_actions_per_day": 2},
        {"max_daily_loss": 200},
    ],
    ids=str,
)
def test_what_was_decided_is_not_written_once_it_no_longer_fits(scope: str, caps: dict[str, object]) -> None:
    """As it would be without the lock of the engine's row: each update asks again."""
    for engine in ("GLOBAL", "WHOLESALE"):
        cap(engine, **(caps if engine == scope else {}))
    earlier = reserved(60)
    known = reservations._load(("WHOLESALE", "GLOBAL"), NOW.date())
    plan = rules.plan_reservation(cad(100), known.scopes, known.throttle)
    assert plan.denial is None
    if "max_daily_loss" in caps:
        settle(earlier, cad(60), by=ANYBODY, at=NOW)
    else:
        reserved(60)
    before = open_risk(), ledger()
    with pytest.raises(RuntimeError, match="changed while its row was locked"), transaction.atomic():
        reservations._write(plan, known, "WHOLESALE", "", NOW.date(), by=ANYBODY, at=NOW)
    assert (open_risk(), ledger()) == before


# --- its price ----------------------------------------------------------------------------------------------


def test_what_a_reservation_and_a_denial_cost(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    reserve(1)
    savepoint = 2
    with django_assert_num_queries(7 + savepoint):  # lock, policies, ledger, and a statement for each table
        assert reserve(1).ok
    with django_assert_num_queries(8 + savepoint):  # the first of a day makes its ledger
        assert reserve(1, at=NOW + DAY).ok
    cap("WHOLESALE", max_open_risk=5)
    with django_assert_num_queries(4 + savepoint):
        assert not reserve(10).ok

"""Whatever is reserved, ended, throttled and capped, in any order and over midnights: no cap is exceeded."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from governance.core.errors import Refused
from governance.risk.models import RiskEngine, RiskEvent, RiskLedgerDay, RiskReservation
from governance.risk.rules import GLOBAL
from governance.risk.services import (
    recount,
    release,
    release_stale,
    release_throttle,
    reserve_exposure,
    settle,
    throttle,
    upsert_policy,
)
from governance.tests.risking import ANYBODY, NO_CAPS
from valhalla.testing import quick, walk

pytestmark = pytest.mark.both

ENGINES = ("WHOLESALE", "CAPITAL")
SCOPES = (*ENGINES, GLOBAL)
TRIPWIRES = ("WHOLESALE/followup_sla", "CAPITAL/roi_event")
cents = st.integers(0, 20_000).map(lambda number: Decimal(number).scaleb(-2))
caps = st.sampled_from([Decimal(0), Decimal("50.00"), Decimal("99.99"), Decimal("250.00"), Decimal("400.00")])
AMOUNTS = ("max_daily_loss", "max_daily_exposure", "max_open_risk")


def attempt(call: Callable[[], object]) -> Any:
    """Return what the call answers, or the code of its refusal."""
    try:
        return call()
    except Refused as refusal:
        return refusal.code


class Model:
    """The risk guard again, as simple as can be: a list of what was reserved, added up on each question."""

    def __init__(self) -> None:
        self.rows: dict[int, dict[str, Any]] = {}
        self.caps: dict[str, dict[str, object]] = {scope: {"enabled": True, **NO_CAPS} for scope in SCOPES}
        self.throttles: set[tuple[str, str]] = set()

    def of(self, scope: str) -> list[dict[str, Any]]:
        return [row for row in self.rows.values() if scope in (GLOBAL, row["engine"])]

    def used(self, scope: str, day: date) -> dict[str, Any]:
        rows = self.of(scope)
        today = [row for row in rows if row["day"] == day]
        still_open = sum((row["amount"] for row in rows if row["state"] == "PENDING"), Decimal(0))
        return {
            "max_daily_exposure": sum(
                (row["amount"] for row in today if row["state"] in ("PENDING", "SETTLED")), Decimal(0)
            ),
            "max_open_risk": still_open,
            "max_daily_loss": still_open + sum((row["loss"] for row in today), Decimal(0)),
            "max_actions_per_day": len(today),
        }

    def fits(self, engine: str, amount: Decimal, day: date) -> bool:
        if any(held in (engine, GLOBAL) for held, _tripwire in self.throttles):
            return False
        for scope in (engine, GLOBAL):
            if not self.caps[scope]["enabled"]:
                return False
            for name, used in self.used(scope, day).items():
                more = 1 if name == "max_actions_per_day" else amount
                if self.caps[scope][name] and used + more > self.caps[scope][name]:
                    return False
        return True


class RiskMachine(RuleBasedStateMachine):
    """Two engines under GLOBAL, clients who reserve and end, a manager, tripwires, and the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.transaction = transaction.atomic()
        self.transaction.__enter__()
        self.model = Model()
        self.now = datetime(2026, 11, 24, 22, 0, tzinfo=UTC)
        self.denials = self.ends = 0
        for scope in SCOPES:
            upsert_policy(scope, self.model.caps[scope], by=ANYBODY, at=self.now)

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.transaction.__exit__(None, None, None)

    @property
    def day(self) -> date:
        return self.now.date()

    # --- what is done -------------------------------------------------------------------------------------

    @rule(engine=st.sampled_from(ENGINES), amount=cents)
    def reserve(self, engine: str, amount: Decimal) -> None:
        fits = self.model.fits(engine, amount, self.day)
        answer = reserve_exposure(engine, amount, by=ANYBODY, at=self.now)
        assert answer.ok is fits, answer.message
        if answer.reservation_id is None:
            self.denials += 1
            return
        self.model.rows[answer.reservation_id] = {
            "engine": engine,
            "amount": amount,
            "day": self.day,
            "state": "PENDING",
            "loss": Decimal(0),
            "at": self.now,
        }
        for scope in (engine, GLOBAL):
            used = self.model.used(scope, self.day)
            for name, limit in self.model.caps[scope].items():
                assert name == "enabled" or not limit or used[name] <= limit

    def row(self, which: int) -> tuple[int, dict[str, Any]] | None:
        numbers = list(self.model.rows)
        return (
            (numbers[which % len(numbers)], self.model.rows[numbers[which % len(numbers)]])
            if numbers
            else None
        )

    @rule(which=st.integers(0, 40), share=st.sampled_from(["0", "0.5", "1", "1.01"]))
    def settle(self, which: int, share: str) -> None:
        found = self.row(which)
        if found is None:
            return
        number, row = found
        loss = (row["amount"] * Decimal(share)).quantize(Decimal("0.01"))
        answer = attempt(lambda: settle(number, loss, by=ANYBODY, at=self.now))
        if loss > row["amount"]:
            assert answer == "invalid"
        elif row["state"] == "PENDING" or (row["state"], row["loss"]) == ("SETTLED", loss):
            assert answer.already_ended is (row["state"] == "SETTLED")
            self.ends += not answer.already_ended
            row.update(state="SETTLED", loss=loss)
        else:
            assert answer == "reservation_closed"

    @rule(which=st.integers(0, 40))
    def release(self, which: int) -> None:
        found = self.row(which)
        if found is None:
            return
        number, row = found
        answer = attempt(lambda: release(number, by=ANYBODY, at=self.now))
        if row["state"] == "SETTLED":
            assert answer == "reservation_closed"
        else:
            assert answer.already_ended is (row["state"] != "PENDING")
            self.ends += not answer.already_ended
            row["state"] = "RELEASED" if row["state"] == "PENDING" else row["state"]

    @rule()
    def expire(self) -> None:
        stale = [
            row
            for row in self.model.rows.values()
            if row["state"] == "PENDING" and row["at"] <= self.now - timedelta(hours=72)
        ]
        assert release_stale(by=ANYBODY, at=self.now) == len(stale)
        for row in stale:
            row["state"] = "EXPIRED"
        self.ends += len(stale)

    @rule(scope=st.sampled_from(SCOPES), name=st.sampled_from(AMOUNTS), limit=caps)
    def cap(self, scope: str, name: str, limit: Decimal) -> None:
        self.model.caps[scope][name] = limit
        upsert_policy(scope, {name: limit}, by=ANYBODY, at=self.now)

    @rule(scope=st.sampled_from(SCOPES), most=st.sampled_from([0, 0, 1, 3, 6]))
    def cap_actions(self, scope: str, most: int) -> None:
        self.model.caps[scope]["max_actions_per_day"] = most
        upsert_policy(scope, {"max_actions_per_day": most}, by=ANYBODY, at=self.now)

    @rule(scope=st.sampled_from(SCOPES), enabled=st.sampled_from([True, True, True, False]))
    def switch(self, scope: str, enabled: bool) -> None:
        self.model.caps[scope]["enabled"] = enabled
        upsert_policy(scope, {"enabled": enabled}, by=ANYBODY, at=self.now)

    @rule(scope=st.sampled_from(SCOPES), tripwire=st.sampled_from(TRIPWIRES))
    def throttle(self, scope: str, tripwire: str) -> None:
        assert throttle(scope, tripwire, by=ANYBODY, at=self.now) is (
            (scope, tripwire) not in self.model.throttles
        )
        self.model.throttles.add((scope, tripwire))

    @rule()
    def release_throttles(self) -> None:
        for tripwire in TRIPWIRES:
            release_throttle(tripwire, by=ANYBODY, at=self.now, reason="looked at")
        self.model.throttles.clear()

    @rule(minutes=st.sampled_from([1, 59, 61, 119, 60 * 13, 60 * 24, 60 * 73]))
    def wait(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    # --- what must hold -----------------------------------------------------------------------------------

    @invariant()
    def the_ledger_is_what_the_model_says(self) -> None:
        for row in RiskEngine.objects.filter(engine__in=SCOPES):
            assert row.open_risk == self.model.used(row.engine, self.day)["max_open_risk"]
        for day in RiskLedgerDay.objects.all():
            used = self.model.used(day.engine, day.day)
            assert (day.exposure, day.actions) == (used["max_daily_exposure"], used["max_actions_per_day"])
            assert day.realized_loss == used["max_daily_loss"] - used["max_open_risk"]

    @invariant()
    def a_recount_finds_nothing(self) -> None:
        assert recount() == []

    @invariant()
    def every_answer_and_end_is_kept_once(self) -> None:
        states = dict(RiskReservation.objects.values_list("pk", "state"))
        assert states == {number: row["state"] for number, row in self.model.rows.items()}
        kinds = list(RiskEvent.objects.values_list("kind", flat=True))
        assert kinds.count("RESERVED") == len(states)
        assert kinds.count("DENIED") == self.denials
        assert sum(kinds.count(kind) for kind in ("SETTLED", "RELEASED", "EXPIRED")) == self.ends


@pytest.mark.django_db
def test_no_cap_is_exceeded_and_nothing_drifts_in_any_order(seed: int) -> None:
    walk(RiskMachine, quick(15), 50, seed)


@pytest.mark.long
@pytest.mark.django_db
@pytest.mark.parametrize("part", range(1, 7))
def test_no_cap_is_exceeded_and_nothing_drifts_in_any_order_for_long(seed: int, part: int) -> None:
    walk(RiskMachine, 50, 50, seed + part)

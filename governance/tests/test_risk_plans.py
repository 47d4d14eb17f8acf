"""What a reservation and its end come to, decided on plain values."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, cast

import pytest

from governance.risk import rules
from governance.risk.rules import (
    GLOBAL,
    Caps,
    Denial,
    Ending,
    EndPlan,
    Held,
    Measure,
    Scope,
    Throttle,
    Use,
    plan_release,
    plan_reservation,
    plan_settlement,
)
from governance.tests.risking import cad

pytestmark = pytest.mark.once
ENGINE = "WHOLESALE"
NO_CAPS = Caps(cad(0), cad(0), cad(0), 0)
USED = Use(realized_loss=cad(10), exposure=cad(60), open_risk=cad(40), actions=3)


def scopes(mine: dict[str, Any] | None = None, over_all: dict[str, Any] | None = None) -> tuple[Scope, Scope]:
    """Return the engine and GLOBAL, both on and without caps, but for what is named."""
    plain: dict[str, Any] = {"use": USED, "caps": NO_CAPS, "enabled": True}
    return Scope(ENGINE, **plain | (mine or {})), Scope(GLOBAL, **plain | (over_all or {}))


def caps(loss: int = 0, exposure: int = 0, open_risk: int = 0, actions: int = 0) -> dict[str, object]:
    return {"caps": Caps(cad(loss), cad(exposure), cad(open_risk), actions)}


def over(name: str, engine: str, used: int, cap: int) -> Denial:
    return Denial(name, engine, measure=Measure(name, Decimal(used), Decimal(cap)))


OFF, NONE = {"enabled": False}, {"caps": None, "enabled": False}


@pytest.mark.parametrize(
    ("mine", "over_all", "throttle", "denial"),
    [
        ({}, {}, None, None),
        (NONE, NONE, None, Denial("policy_missing", ENGINE)),
        ({}, NONE, None, Denial("policy_missing", GLOBAL)),
        (OFF, NONE, None, Denial("policy_disabled", ENGINE)),
        ({}, OFF, Throttle(ENGINE, "A/b"), Denial("policy_disabled", GLOBAL)),
        (caps(exposure=1), {}, Throttle(GLOBAL, "A/b"), Denial("throttled", GLOBAL, "A/b")),
        (caps(exposure=160), caps(exposure=160), None, None),
        (caps(exposure=159), {}, None, over("max_daily_exposure", ENGINE, 60, 159)),
        (caps(open_risk=140), {}, None, None),
        (caps(open_risk=139), {}, None, over("max_open_risk", ENGINE, 40, 139)),
        (caps(loss=150), {}, None, None),  # what is open may still be lost: 10 + 40 + 100
        (caps(loss=149), {}, None, over("max_daily_loss", ENGINE, 50, 149)),
        (caps(actions=4), {}, None, None),
        (caps(actions=3), {}, None, over("max_actions_per_day", ENGINE, 3, 3)),
        ({}, caps(open_risk=139), None, over("max_open_risk", GLOBAL, 40, 139)),
        (caps(loss=149), caps(exposure=159), None, over("max_daily_loss", ENGINE, 50, 149)),
    ],
)
def test_what_is_denied_and_why(
    mine: dict[str, object], over_all: dict[str, object], throttle: Throttle | None, denial: Denial | None
) -> None:
    plan = plan_reservation(cad(100), scopes(mine, over_all), throttle)
    assert plan.denial == denial
    assert plan.code == (denial.code if denial else "reserved")
    assert plan.reserved == (0 if denial else 100)
    assert len(plan.counts) == (0 if denial else 2)
    if denial:
        assert dict(plan.uses) == {ENGINE: USED, GLOBAL: USED}


def test_what_fits_is_counted_in_both_scopes_under_their_own_caps() -> None:
    plan = plan_reservation(cad(100), scopes(caps(500, 600, 700, 8), caps(exposure=900)), None)
    after = Use(cad(10), cad(160), cad(140), 4)
    mine, over_all = cast("tuple[Any, Any]", plan.counts)
    assert (mine.engine, mine.use, mine.caps.max_daily_loss) == (ENGINE, after, 500)
    assert (mine.most_open_risk, mine.most_exposure) == (600, 500)
    assert (mine.most_realized_loss, mine.most_actions) == (500 - 40 - 100, 7)
    assert (over_all.engine, over_all.use, over_all.most_exposure) == (GLOBAL, after, 800)
    assert (over_all.most_open_risk, over_all.most_realized_loss, over_all.most_actions) == (None, None, None)
    assert dict(plan.uses) == {ENGINE: after, GLOBAL: after}


@pytest.mark.parametrize(
    ("held", "loss", "plan"),
    [
        (("PENDING", None), 30, EndPlan(Ending.ENDS, "SETTLED", cad(100), cad(0), cad(30))),
        (("PENDING", None), 0, EndPlan(Ending.ENDS, "SETTLED", cad(100), cad(0), cad(0))),
        (("SETTLED", cad(30)), 30, EndPlan(Ending.REPEATED, "SETTLED")),
        (("SETTLED", cad(30)), 29, EndPlan(Ending.REFUSED, "SETTLED")),
        (("RELEASED", None), 30, EndPlan(Ending.REFUSED, "RELEASED")),
        (("EXPIRED", None), 0, EndPlan(Ending.REFUSED, "EXPIRED")),
    ],
)
def test_what_a_settlement_comes_to(held: tuple[str, Decimal | None], loss: int, plan: EndPlan) -> None:
    assert plan_settlement(Held(cad(100), *held), cad(loss)) == plan


@pytest.mark.parametrize("state", [rules.RELEASED, rules.EXPIRED])
@pytest.mark.parametrize(
    ("held", "ending"),
    [
        ("PENDING", Ending.ENDS),
        ("RELEASED", Ending.REPEATED),
        ("EXPIRED", Ending.REPEATED),
        ("SETTLED", Ending.REFUSED),
    ],
)
def test_what_a_release_comes_to(state: str, held: str, ending: Ending) -> None:
    plan = plan_release(Held(cad(100), held, cad(1) if held == "SETTLED" else None), state)
    if ending is Ending.ENDS:
        assert plan == EndPlan(ending, state, open_risk=cad(100), exposure=cad(100))
    else:
        assert plan == EndPlan(ending, held)

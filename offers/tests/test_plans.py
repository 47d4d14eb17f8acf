"""What a computation of an offer comes to, decided on plain values."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from offers.rules import (
    Calculation,
    HeimdallAnswer,
    Known,
    MarketScore,
    NoOffer,
    OfferPlan,
    PolicyValues,
    Terms,
    calculate,
    plan_offer,
)

pytestmark = pytest.mark.once
D = Decimal
ARV, REPAIRS = D("300000.00"), D("40000.00")
TERMS = Terms(D("0.7000"), D("10000.00"), D("5000.00"), net_of_assignment_fee=True)
POLICY = PolicyValues("ON", "ALL", True, TERMS, None, False)
ASKS_ALL = replace(POLICY, min_liquidity_score=D(40), require_heimdall=True)
WARM, COLD = MarketScore(D("60.5000"), D("40.0000"), 9), MarketScore(D("60.5000"), D("39.9999"), 9)
PASSES, REFUSES = HeimdallAnswer(True, {"reason": "gate_pass"}), HeimdallAnswer(False, {"reason": "off"})


@pytest.mark.parametrize(
    ("known", "reserve", "repairs", "expected"),
    [
        (Known(None), False, REPAIRS, NoOffer("offer_policy_disabled")),
        (Known(replace(ASKS_ALL, enabled=False)), True, REPAIRS, NoOffer("offer_policy_disabled")),
        (Known(ASKS_ALL, None, PASSES), False, REPAIRS, NoOffer("market_too_cold")),
        (Known(ASKS_ALL, COLD, REFUSES), False, REPAIRS, NoOffer("market_too_cold", D("39.9999"))),
        (Known(ASKS_ALL, WARM, REFUSES), True, D(300_000), NoOffer("heimdall_refused")),
        (Known(ASKS_ALL, WARM, None), False, REPAIRS, NoOffer("heimdall_refused")),
        (Known(ASKS_ALL, WARM, PASSES), True, D(300_000), NoOffer("no_offer")),
        (Known(ASKS_ALL, WARM, PASSES), False, D(300_000), None),
        (Known(ASKS_ALL, WARM, PASSES), True, REPAIRS, None),
        (Known(POLICY, COLD, REFUSES), True, REPAIRS, None),  # it asks for neither
    ],
)
def test_when_there_is_no_offer_and_why(
    known: Known, reserve: bool, repairs: Decimal, expected: NoOffer | None
) -> None:
    plan = plan_offer(ARV, repairs, known, reserve=reserve)
    assert plan == expected if expected else isinstance(plan, OfferPlan)


def planned(known: Known, *, reserve: bool = False) -> Any:
    plan = plan_offer(ARV, REPAIRS, known, reserve=reserve)
    assert isinstance(plan, OfferPlan)
    return plan


@pytest.mark.parametrize(
    ("live", "supersedes", "releases"),
    [((), False, ()), ((None,), True, ()), ((7,), True, (7,)), ((None, 7, 9), True, (7, 9))],
)
def test_live_offers_are_superseded_and_what_they_reserved_is_released(
    live: tuple[int | None, ...], supersedes: bool, releases: tuple[int, ...]
) -> None:
    plan = planned(Known(POLICY, live=live))
    assert (plan.supersedes, plan.releases) == (supersedes, releases)


@pytest.mark.parametrize(("reserve", "fee"), [(True, D("10000.00")), (False, None)])
def test_what_is_reserved_is_the_assignment_fee(reserve: bool, fee: Decimal | None) -> None:
    assert planned(Known(POLICY), reserve=reserve).reserves == fee


def test_the_plan_carries_the_evidence_of_what_decided_it() -> None:
    plan = planned(Known(ASKS_ALL, WARM, PASSES))
    expected: Calculation = calculate(ARV, REPAIRS, TERMS)
    assert plan.calculation == expected
    assert plan.liquidity == {"score": "60.5", "score_low": "40", "events": 9}
    assert (plan.heimdall, plan.uses_recommendation) == ({"reason": "gate_pass"}, True)
    assert plan.policy_values == {
        "province": "ON",
        "market": "ALL",
        "enabled": True,
        "max_arv_multiplier": "0.7000",
        "default_assignment_fee": "10000.00",
        "default_fees_buffer": "5000.00",
        "offer_net_of_assignment_fee": True,
        "min_liquidity_score": "40",
        "require_heimdall": True,
    }
    plain = planned(Known(POLICY, WARM, PASSES))
    assert (plain.liquidity, plain.heimdall, plain.uses_recommendation) == (None, None, False)

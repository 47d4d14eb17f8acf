"""The gate on plain values: a table of examples, and what holds for any figures."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction

import pytest
from django.core.exceptions import ValidationError
from hypothesis import example, given
from hypothesis import strategies as st

from governance.heimdall.rules import (
    Misuse,
    Reason,
    Recommended,
    Scorecard,
    Thresholds,
    cut,
    first_day,
    gate,
    misuse,
    read_confidence,
    read_domain,
    shortfall,
)

pytestmark = pytest.mark.once
D = Decimal
OFF, UNSURE, FEW, POOR, PASS = list(Reason)


def asked(*, on: bool = True, confidence: str = "0.92", trials: int = 75, rate: str = "0.82") -> Thresholds:
    return Thresholds(on, D(confidence), trials, D(rate))


@pytest.mark.parametrize(
    ("thresholds", "confidence", "card", "reason"),
    [
        (asked(), "0.92", Scorecard(75, 62), PASS),  # 82.7 %
        (asked(), "0.92", Scorecard(100, 82), PASS),
        (asked(), "0.92", Scorecard(100, 81), POOR),
        (asked(), "0.92", Scorecard(75, 61), POOR),  # 81.3 %
        (asked(), "0.92", Scorecard(74, 74), FEW),
        (asked(), "0.919999", Scorecard(75, 75), UNSURE),
        (asked(on=False), "1", Scorecard(75, 75), OFF),
        (None, "1", Scorecard(75, 75), OFF),
        # the first that refuses is named
        (asked(on=False), "0", Scorecard(), OFF),
        (asked(), "0", Scorecard(), UNSURE),
        (asked(), "1", Scorecard(), FEW),
        # what is not asked is not needed; but where nothing was tried, no rate above 0 is reached
        (asked(confidence="0", trials=0, rate="0"), "0", Scorecard(), PASS),
        (asked(confidence="0", trials=0, rate="0.0001"), "0", Scorecard(), POOR),
        (asked(confidence="1", trials=1, rate="1"), "1", Scorecard(1, 1), PASS),
        (asked(confidence="1", trials=1, rate="1"), "1", Scorecard(1_000_000, 999_999), POOR),
    ],
)
def test_the_gate(thresholds: Thresholds | None, confidence: str, card: Scorecard, reason: Reason) -> None:
    assert gate(thresholds, D(confidence), card) is reason


def test_the_reasons_have_the_names_that_programs_know() -> None:
    assert [reason.value for reason in Reason] == [
        "prod_use_disabled",
        "confidence_below_threshold",
        "insufficient_sandbox_trials",
        "sandbox_success_rate_below_threshold",
        "gate_pass",
    ]


fractions = st.decimals(0, 1, places=4)
cards = st.tuples(st.integers(0, 5000), st.integers(0, 5000)).map(lambda two: Scorecard(max(two), min(two)))
thresholds = st.builds(Thresholds, st.just(True), fractions, st.integers(0, 300), fractions)
confidences = st.decimals(0, 1, places=6)


@given(thresholds, confidences, cards)
@example(asked(rate="0.3333", confidence="0", trials=1), D(0), Scorecard(10_000, 3333))
@example(asked(rate="0.3334", confidence="0", trials=1), D(0), Scorecard(3, 1))
def test_it_passes_exactly_what_reaches_every_threshold(asks: Thresholds, sure: D, card: Scorecard) -> None:
    rate = Fraction(card.successes, card.trials) if card.trials else Fraction(0)
    reached = (
        sure >= asks.min_confidence,
        card.trials >= asks.min_trials,
        rate >= Fraction(asks.min_success_rate),
    )
    answer = gate(asks, sure, card)
    assert (answer is PASS) is all(reached)
    if answer is not PASS:
        assert reached.index(False) == [UNSURE, FEW, POOR].index(answer)


@given(thresholds, confidences, cards)
def test_nothing_passes_while_production_use_is_off(asks: Thresholds, sure: D, card: Scorecard) -> None:
    off = Thresholds(False, asks.min_confidence, asks.min_trials, asks.min_success_rate)
    assert gate(off, sure, card) is OFF


@given(thresholds, confidences, confidences, cards, st.integers(0, 500))
def test_more_confidence_and_more_successes_never_close_an_open_gate(
    asks: Thresholds, one: D, other: D, card: Scorecard, more: int
) -> None:
    less, surer = min(one, other), max(one, other)
    if gate(asks, less, card) is PASS:
        assert gate(asks, surer, Scorecard(card.trials + more, card.successes + more)) is PASS


@given(thresholds, cards)
def test_what_carries_promotion_is_what_the_gate_asks_of_the_scorecard(
    asks: Thresholds, card: Scorecard
) -> None:
    assert (shortfall(asks, card) is None) is (gate(asks, D(1), card) is PASS)


@given(st.decimals(0, 1, places=12))
def test_a_confidence_is_never_kept_as_more_than_it_is(sure: D) -> None:
    stored = read_confidence(sure)
    assert stored <= sure
    assert sure - stored < D("0.000001")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-0.1", "1.0000001"])
def test_what_is_no_fraction_is_no_confidence(number: str) -> None:
    with pytest.raises(ValidationError):
        read_confidence(D(number))


@pytest.mark.parametrize("text", ["wholesale_offer", " WHOLESALE_OFFER ", "A", "X2", "A" * 40])
def test_a_domain_is_read_without_regard_to_case(text: str) -> None:
    assert read_domain(text) == text.strip().upper()


@pytest.mark.parametrize("text", ["", " ", "2X", "_X", "A B", "A" * 41, "É", "A-B", "٣", "A\0", None, 7])
def test_what_could_be_no_domain_is_refused(text: object) -> None:
    with pytest.raises(ValidationError):
        read_domain(text)


def test_a_rate_that_is_shown_is_cut_and_not_rounded_up() -> None:
    assert cut(D(81_999) / 100_000) == D("0.8199")


def test_thirty_days_are_today_and_the_twenty_nine_before_it() -> None:
    late_in_vancouver = datetime(2026, 12, 1, 3, 0, tzinfo=UTC)
    assert first_day(late_in_vancouver, 30) == date(2026, 11, 2)
    assert first_day(late_in_vancouver, 1) == date(2026, 12, 1)


USED_UP = Recommended("WHOLESALE_OFFER", "L-1", is_used=True)
FRESH = Recommended("WHOLESALE_OFFER", "L-1", is_used=False)
FOR_ANY = Recommended("WHOLESALE_OFFER", "", is_used=False)


@pytest.mark.parametrize(
    ("found", "is_named", "domain", "subject", "reason"),
    [
        (None, False, "WHOLESALE_OFFER", "L-1", Misuse.MISSING),
        (None, True, "WHOLESALE_OFFER", "L-1", Misuse.UNKNOWN),
        (FRESH, True, "CAPITAL_ROUTE", "L-1", Misuse.OTHER_DOMAIN),
        (USED_UP, True, "CAPITAL_ROUTE", "L-2", Misuse.OTHER_DOMAIN),
        (FRESH, True, "WHOLESALE_OFFER", "L-2", Misuse.OTHER_SUBJECT),
        (USED_UP, True, "WHOLESALE_OFFER", "L-2", Misuse.OTHER_SUBJECT),
        (FRESH, True, "WHOLESALE_OFFER", "", Misuse.OTHER_SUBJECT),
        (USED_UP, True, "WHOLESALE_OFFER", "L-1", Misuse.USED),
        (FRESH, True, "WHOLESALE_OFFER", "L-1", None),
        (FOR_ANY, True, "WHOLESALE_OFFER", "L-2", None),
        (FOR_ANY, True, "WHOLESALE_OFFER", "", None),
    ],
)
def test_why_a_recommendation_cannot_be_used(
    found: Recommended | None, is_named: bool, domain: str, subject: str, reason: Misuse | None
) -> None:
    assert misuse(found, is_named=is_named, domain=domain, subject=subject) is reason

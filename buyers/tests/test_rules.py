"""Rates, scores and what may be written, on plain values."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from math import comb

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from buyers.rules import (
    ACTIVE_FOR,
    EVENT_COLUMNS,
    EVENTS,
    RATES,
    Activity,
    Counts,
    FeedbackKind,
    Node,
    beta_cdf,
    beta_quantile,
    plan_feedback,
    rate,
    read_buyer_id,
    read_deal_id,
    read_event,
    read_phone,
    read_property_type,
    scores,
)

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("hits", "misses", "expected"),
    [(0, 0, "0"), (0, 4, "0"), (4, 0, "1"), (1, 1, "0.5"), (1, 2, "0.333333"), (2, 1, "0.666667")],
)
def test_a_rate_is_the_share_of_what_was_counted_and_zero_where_nothing_was(
    hits: int, misses: int, expected: str
) -> None:
    assert rate(hits, misses) == Decimal(expected)


# From closed forms: I_x(a, 1) = x^a, I_x(1, b) = 1 - (1 - x)^b, I_x(2, 2) = 3x^2 - 2x^3.
@pytest.mark.parametrize(
    ("p", "a", "b", "expected"),
    [
        (0.05, 1, 1, 0.05),
        (0.05, 4, 1, 0.4728708045015879),
        (0.05, 1, 4, 0.0127414550985662),
        (0.05, 2, 2, 0.1353503621626),
        (0.95, 2, 2, 1 - 0.1353503621626),
    ],
)
def test_the_quantile_meets_known_values(p: float, a: int, b: int, expected: float) -> None:
    assert beta_quantile(p, a, b) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 2), (3, 10), (31, 57), (2, 400), (398, 400), (250, 500)])
def test_the_quantile_leaves_five_per_cent_below_it_by_exact_binomial_sums(k: int, n: int) -> None:
    # I_x(k+1, n-k+1) is the chance of k+1 or more successes in n+1 trials (DLMF 8.17.5)
    x = Fraction(beta_quantile(0.05, k + 1, n - k + 1))
    below = sum(comb(n + 1, j) * x**j * (1 - x) ** (n + 1 - j) for j in range(k + 1, n + 2))
    assert float(below) == pytest.approx(0.05, abs=1e-9)


@given(st.integers(1, 10**7), st.integers(1, 10**7))
def test_the_quantile_undoes_the_distribution_up_to_ten_million_events(a: int, b: int) -> None:
    x = beta_quantile(0.05, a, b)
    assert 0 < x < 1
    assert beta_cdf(x, a, b) == pytest.approx(0.05, abs=1e-6)
    assert x < a / (a + b)


NOTHING = Counts()
LUCKY = Counts(responded=3, buyer_count=3, active_buyer_count=3)
PROVEN = Counts(responded=300, no_response=100, bought=40, passed=60, buyer_count=90, active_buyer_count=50)


@pytest.mark.parametrize(
    ("counts", "score"),
    [
        (NOTHING, "0"),
        (LUCKY, "51.5"),  # 3 x 0.5 + 1 x 50
        (PROVEN, "82.5"),  # 50 x 0.5 + 0.75 x 50 + 0.4 x 50
        (Counts(responded=1, no_response=2), "16.6667"),
        (Counts(responded=1, no_response=2, bought=1, passed=2), "33.3333"),  # rounded once, at the end
        (Counts(passed=7), "0"),
    ],
)
def test_the_score_is_half_a_point_per_active_buyer_and_fifty_per_rate(counts: Counts, score: str) -> None:
    assert scores(counts).score == Decimal(score)


@pytest.mark.parametrize(
    ("counts", "low"),
    [
        (NOTHING, "0"),
        (LUCKY, "25.1435"),  # 1.5 + 50 x 0.05^(1/4)
        (Counts(no_response=3), "0.6371"),  # 50 x (1 - 0.95^(1/4))
    ],
)
def test_the_low_score_takes_the_lower_end_of_both_rates(counts: Counts, low: str) -> None:
    assert scores(counts).score_low == Decimal(low)


def test_three_lucky_replies_do_not_look_like_a_hot_market() -> None:
    lucky, proven = scores(LUCKY), scores(PROVEN)
    assert lucky.score - lucky.score_low > 25
    assert proven.score - proven.score_low < 7


@pytest.mark.parametrize(("given", "expected"), [("sfr", "SFR"), (" mf ", "MF"), ("Land", "LAND")])
def test_a_property_type_is_read_without_regard_to_case(given: str, expected: str) -> None:
    assert read_property_type(given) == expected


@pytest.mark.parametrize("given", ["", "CASTLE", "SFR,MF", None, 3, "ＳＦＲ", "S\0FR", "\ud800"])
def test_an_unknown_property_type_is_refused_with_those_there_are(given: object) -> None:
    with pytest.raises(ValidationError, match="SFR, "):
        read_property_type(given)


@pytest.mark.parametrize("given", ["", "LIKED", None, 1, ["BOUGHT"]])
def test_an_unknown_event_is_refused_with_those_there_are(given: object) -> None:
    with pytest.raises(ValidationError, match="RESPONDED, NO_RESPONSE, BOUGHT, PASSED"):
        read_event(given)


def test_an_id_is_one_text_however_its_accents_are_encoded() -> None:
    assert read_buyer_id("  Andre\u0301 ") == "André"


@pytest.mark.parametrize("given", ["b" * 65, "a\0b", "a\nb", "\ud800", "a\u2028b", "\u200bb", 7, ["b"]])
def test_an_id_that_cannot_be_one_is_refused(given: object) -> None:
    with pytest.raises(ValidationError):
        read_buyer_id(given)


@pytest.mark.parametrize(
    "given", ["D-1", "2026/114", "deal:7#b", "0190a5b2-7c1e-7000-8000-000000000001", "É7"]
)
def test_a_deal_id_is_a_number_or_code(given: str) -> None:
    assert read_deal_id(given) == given


@pytest.mark.parametrize("given", ["12 Main Street", "jane@example.com", "-1", "+15145550123", "d" * 65])
def test_a_deal_id_that_could_name_a_person_or_place_is_refused(given: str) -> None:
    with pytest.raises(ValidationError):
        read_deal_id(given)


@pytest.mark.parametrize("typed", ["514 555 0123", "(514) 555-0123", "+1 514-555-0123", "1.514.555.0123"])
def test_a_phone_is_kept_in_one_form_however_it_is_typed(typed: str) -> None:
    assert read_phone(typed) == "+15145550123"


@pytest.mark.parametrize("typed", ["12", "call me", "999 999 9999", "514 555 0123 x12", "١٢٣"])
def test_what_is_no_phone_is_refused(typed: str) -> None:
    with pytest.raises(ValidationError):
        read_phone(typed)


# --- counting feedback -------------------------------------------------------------------------------------

AT = datetime(2026, 11, 24, 15, tzinfo=UTC)
LONG_AGO, RECENT = AT - ACTIVE_FOR, AT - timedelta(days=30)
SEEN_ONLY = Activity(None)


@pytest.mark.parametrize(
    ("kind", "has_buyer", "known", "more_buyers", "more_active", "activity"),
    [
        ("RESPONDED", False, None, 0, 0, None),
        ("RESPONDED", True, None, 1, 1, Activity(AT)),
        ("PASSED", True, None, 1, 0, SEEN_ONLY),
        ("PASSED", True, SEEN_ONLY, 0, 0, None),
        ("BOUGHT", True, SEEN_ONLY, 0, 1, Activity(AT)),
        ("BOUGHT", True, Activity(RECENT), 0, 0, Activity(AT)),
        ("NO_RESPONSE", True, Activity(RECENT), 0, 0, None),
        ("NO_RESPONSE", True, Activity(LONG_AGO), 0, -1, None),  # their own 90 days end with it
        ("RESPONDED", True, Activity(LONG_AGO), 0, 0, Activity(AT)),
        ("RESPONDED", True, Activity(AT + timedelta(days=1)), 0, 0, None),  # told late: the later one stays
    ],
)
def test_what_a_feedback_counts(
    kind: str,
    has_buyer: bool,
    known: Activity | None,
    more_buyers: int,
    more_active: int,
    activity: Activity | None,
) -> None:
    node = Node(PROVEN, LONG_AGO - timedelta(days=1), AT - timedelta(hours=1))
    plan = plan_feedback(kind, node, AT, has_buyer=has_buyer, known=known, fallen_out=0)
    assert plan.activity == activity
    column = EVENTS[kind].column
    assert plan.counts == replace(
        PROVEN,
        buyer_count=PROVEN.buyer_count + more_buyers,
        active_buyer_count=PROVEN.active_buyer_count + more_active,
        **{column: getattr(PROVEN, column) + 1},
    )
    assert plan.scores == scores(plan.counts)
    assert (plan.active_since, plan.updated_at) == (LONG_AGO, AT)
    assert plan.is_answer is (kind != "NO_RESPONSE")


def test_others_fall_out_with_a_feedback_and_an_old_one_moves_nothing_back() -> None:
    later = AT + timedelta(hours=1)
    node = Node(PROVEN, active_since=AT, updated_at=later)
    plan = plan_feedback("PASSED", node, AT, has_buyer=False, known=None, fallen_out=7)
    assert plan.counts.active_buyer_count == PROVEN.active_buyer_count - 7
    assert (plan.active_since, plan.updated_at) == (AT, later)


def test_every_kind_of_feedback_counts_in_a_column_of_its_own() -> None:
    assert set(EVENTS) == set(FeedbackKind.values)
    assert sorted([*EVENT_COLUMNS, "buyer_count", "active_buyer_count"]) == sorted(
        figure.name for figure in fields(Counts)
    )
    assert {event.rate for event in EVENTS.values()} == set(RATES)

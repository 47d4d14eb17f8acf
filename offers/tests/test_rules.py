"""The sums of an offer, by tables of examples and by properties."""

from __future__ import annotations

import random
from datetime import date
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from offers import rules
from offers.rules.comps import grade_comps, months_before, tukey_fences
from offers.rules.numbers import canonical
from offers.rules.outcomes import lead_verdict

pytestmark = pytest.mark.once

TODAY = date(2026, 11, 24)
DEFAULTS = rules.Terms(
    max_arv_multiplier=Decimal("0.70"),
    assignment_fee=Decimal(10_000),
    fees_buffer=Decimal(2_500),
    net_of_assignment_fee=True,
)


def terms(**changes: object) -> rules.Terms:
    values = {name: getattr(DEFAULTS, name) for name in DEFAULTS.__slots__}
    return rules.Terms(
        **{
            **values,
            **{name: Decimal(value) if isinstance(value, str) else value for name, value in changes.items()},
        }
    )


# --- the formula -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arv", "repairs", "changes", "mao", "offer", "binding"),
    [
        ("450000", "50000", {}, "262500", "252500", "formula"),
        ("450000", "50000", {"net_of_assignment_fee": False}, "262500", "262500", "formula"),
        ("450000", "50000", {"max_arv_multiplier": "0.50"}, "172500", "162500", "formula"),
        ("450000", "50000", {"max_arv_multiplier": "0.9"}, "352500", "342500", "formula"),
        ("450000.55", "0", {"fees_buffer": "0", "assignment_fee": "0"}, "315000.38", "315000.38", "formula"),
        ("100000", "60000", {}, "7500", "0", "offer_floor"),
        ("100000", "57500", {}, "10000", "0", "formula"),
        ("100000", "57499.99", {}, "10000.01", "0.01", "formula"),
        ("100000", "60000", {"net_of_assignment_fee": False}, "7500", "7500", "formula"),
        ("100000", "67500", {}, "0", "0", "offer_floor"),
        ("100000", "67500", {"net_of_assignment_fee": False}, "0", "0", "formula"),
        ("100000", "67500.01", {}, "0", "0", "mao_floor"),
        ("100000", "90000", {"net_of_assignment_fee": False}, "0", "0", "mao_floor"),
        ("0", "0", {}, "0", "0", "mao_floor"),
        ("999999999.99", "0", {"max_arv_multiplier": "0.9"}, "899997499.99", "899987499.99", "formula"),
    ],
)
def test_the_highest_offer(
    arv: str, repairs: str, changes: dict[str, object], mao: str, offer: str, binding: str
) -> None:
    got = rules.calculate(Decimal(arv), Decimal(repairs), terms(**changes))
    assert (got.mao, got.recommended_offer, got.binding) == (Decimal(mao), Decimal(offer), binding)
    assert got.floored == (binding != "formula")
    assert got.mao == rules.max_allowable_offer(Decimal(arv), Decimal(repairs), terms(**changes))


def cents(most: int = 99_999_999_999) -> st.SearchStrategy[Decimal]:
    return st.integers(0, most).map(lambda amount: Decimal(amount).scaleb(-2))


@given(
    arv=cents(),
    repairs=cents(),
    fee=cents(10_000_000),
    buffer=cents(10_000_000),
    multiplier=st.integers(5000, 9000),
    net=st.booleans(),
)
def test_the_offer_is_exact_to_the_cent_and_never_too_high(
    arv: Decimal, repairs: Decimal, fee: Decimal, buffer: Decimal, multiplier: int, net: bool
) -> None:
    got = rules.calculate(arv, repairs, rules.Terms(Decimal(multiplier).scaleb(-4), fee, buffer, net))
    # whole cents, as the definition says, without decimals that could round
    exact = int(arv * 100) * multiplier // 10_000 - int(repairs * 100) - int(buffer * 100)
    mao = max(0, exact)
    assert int(got.mao * 100) == mao
    assert int(got.recommended_offer * 100) == max(0, mao - int(fee * 100) if net else mao)
    assert got.mao.as_tuple().exponent == got.recommended_offer.as_tuple().exponent == -2


# --- comparable sales --------------------------------------------------------------------------------------


def comp(price: object = 400_000, **changes: object) -> dict[str, object]:
    known = {"price": price, "sqft": 1500, "distance_miles": 0.2, "sold_on": "2026-09-30"}
    return {key: value for key, value in {**known, **changes}.items() if value is not None}


def statistics(*comps: dict[str, object], size: str | None = "1500") -> dict[str, object]:
    return rules.comps_statistics(
        rules.read_comps(list(comps), today=TODAY),
        arv=Decimal(450_000),
        assumptions={} if size is None else {"subject_sqft": size},
        today=TODAY,
    )


def test_five_close_sales_are_an_a() -> None:
    got = statistics(*(comp(price) for price in (430_000, 440_000, 450_000, 460_000, 470_000)))
    assert got == {
        "given": 5, "count": 5, "median": "450000.00", "spread": "20000.00", "relative_spread": "0.0444",
        "lower_fence": "410000.00", "upper_fence": "490000.00", "outliers": [], "out_of_range": [],
        "unverified": [], "arv_to_median": "1.0000", "grade": "A",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"distance_miles": "0.5"}, None),
        ({"distance_miles": "0.501"}, "distance"),
        ({"sold_on": "2026-05-24"}, None),
        ({"sold_on": "2026-05-23"}, "age"),
        ({"sold_on": None, "months_ago": 6}, None),
        ({"sold_on": None, "months_ago": 6.01}, "age"),
        ({"sqft": 1800}, None),
        ({"sqft": 1200}, None),
        ({"sqft": 1800.01}, "size"),
        ({"sqft": 1199.99}, "size"),
    ],
)
def test_a_sale_counts_up_to_half_a_mile_six_months_and_a_fifth_of_size(
    change: dict[str, object], why: str | None
) -> None:
    got = statistics(comp(), comp(**change))
    assert got["count"] == (2 if why is None else 1)
    assert got["out_of_range"] == ([] if why is None else [{"comp": 2, "why": [why]}])


def test_a_sale_beyond_the_fences_is_an_outlier_and_moves_nothing() -> None:
    got = statistics(*(comp(price) for price in (440_000, 445_000, 450_000, 455_000, 900_000)))
    assert (got["outliers"], got["count"], got["median"], got["grade"]) == ([5], 4, "447500.00", "B")


def test_of_three_prices_none_lies_outside_the_fences() -> None:
    _iqr, lower, upper = tukey_fences([Decimal(1), Decimal(1), Decimal(1_000_000)])
    assert lower <= 1
    assert upper >= 1_000_000


@pytest.mark.parametrize("unknown", [{"sqft": None}, {"distance_miles": None}, {"sold_on": None}])
def test_what_is_not_known_of_a_sale_keeps_the_grade_from_a_and_b(unknown: dict[str, object]) -> None:
    got = statistics(comp(), comp(), comp(), comp(), comp(**unknown))
    assert (got["count"], got["unverified"], got["grade"]) == (5, [5], "C")


def test_without_the_subjects_size_no_sale_is_verified() -> None:
    got = statistics(comp(), comp(), comp(), size=None)
    assert (got["count"], got["unverified"], got["grade"]) == (3, [1, 2, 3], "C")


def test_no_sales_are_a_d_with_nothing_made_up() -> None:
    got = statistics()
    assert (got["count"], got["median"], got["spread"], got["arv_to_median"], got["grade"]) == (
        0,
        None,
        None,
        None,
        "D",
    )


@pytest.mark.parametrize(
    ("count", "spread", "all_known", "grade"),
    [
        (5, "0.10", True, "A"),
        (5, "0.1001", True, "B"),
        (4, "0.05", True, "B"),
        (3, "0.20", True, "B"),
        (3, "0.2001", True, "C"),
        (9, "0.01", False, "C"),
        (2, "0.01", True, "D"),
    ],
)
def test_the_table_of_grades(count: int, spread: str, all_known: bool, grade: str) -> None:
    assert grade_comps(count, Decimal(spread), all_known=all_known) == grade


@pytest.mark.parametrize(
    ("day", "before"),
    [
        ("2026-11-24", "2026-05-24"),
        ("2026-08-31", "2026-02-28"),
        ("2024-08-31", "2024-02-29"),
        ("2026-03-15", "2025-09-15"),
    ],
)
def test_six_months_before(day: str, before: str) -> None:
    assert months_before(date.fromisoformat(day), 6) == date.fromisoformat(before)


BAD_COMPS: dict[str, object] = {
    "no list": {"price": 1},
    "no object": [1],
    "no price": [{"sqft": 1500}],
    "price of zero": [comp(0)],
    "negative": [comp(-1)],
    "too much": [comp(10**12)],
    "a third decimal": [comp(price=1.005)],
    "infinite": [comp(price=float("inf"))],
    "not a number": [comp(price=float("nan"))],
    "true": [comp(price=True)],
    "digits of another script": [comp(price="٤٥٠")],
    "unknown key": [comp(adress="12 Main St")],
    "a sentence as ref": [comp(ref="12 Main St, call Bob")],
    "the same sale twice": [comp(ref="W1"), comp(ref="W1")],
    "two ages": [comp(months_ago=2)],
    "tomorrow": [comp(sold_on="2026-11-25")],
    "no day": [comp(sold_on="2026-02-30")],
    "another order": [comp(sold_on="30/09/2026")],
    "a number as a day": [comp(sold_on=20260930)],
    "fifty-one": [comp()] * 51,
}


@pytest.mark.parametrize("name", BAD_COMPS)
def test_comps_that_cannot_be_used_are_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        rules.read_comps(BAD_COMPS[name], today=TODAY)


def test_comps_read_back_as_they_were_kept() -> None:
    read = rules.read_comps(
        [comp(431_000.5, ref="W5671234"), comp(sold_on=None, months_ago=2.5)], today=TODAY
    )
    assert read[0].as_json() == {
        "price": "431000.50",
        "sqft": "1500",
        "distance_miles": "0.2",
        "sold_on": "2026-09-30",
        "ref": "W5671234",
    }
    assert rules.read_comps([one.as_json() for one in read], today=TODAY) == read


# --- assumptions -------------------------------------------------------------------------------------------


def test_assumptions_are_numbers_choices_and_short_labels() -> None:
    given = {"subject_sqft": 1500.5, "trend": -0.02, "zero": -0.0, "vacant": True, "roof": " à refaire "}
    assert rules.read_assumptions(given) == {
        "subject_sqft": "1500.5",
        "trend": "-0.02",
        "zero": "0",
        "vacant": True,
        "roof": "À REFAIRE",
    }


@pytest.mark.parametrize(
    "given",
    [
        [1],
        {"Roof": "new"},
        {"": 1},
        {"roof": "x" * 61},
        {"roof": "call bob@example.com"},
        {"roof": None},
        {"roof": ["new"]},
        {"roof": "a\x00b"},
        {"roof": "\ud800"},
        {"trend": float("nan")},
        {"trend": 1e400},
        {"trend": 10**12},
        {"subject_sqft": 0},
        {"subject_sqft": "large"},
        {f"k{number}": 1 for number in range(31)},
    ],
)
def test_other_assumptions_are_refused(given: object) -> None:
    with pytest.raises(ValidationError):
        rules.read_assumptions(given)


# --- outcomes ----------------------------------------------------------------------------------------------

A, R, C, D, F = "ACCEPTED", "REJECTED", "CONTRACTED", "ASSIGNED", "FELL_THROUGH"


@pytest.mark.parametrize(
    ("held", "possible"),
    [
        ((), {A, R, C}),
        ((A,), {C}),
        ((R,), set()),
        ((A, C), {D, F}),
        ((A, C, D), set()),
        ((A, C, F), set()),
    ],
)
def test_the_order_of_outcomes(held: tuple[str, ...], possible: set[str]) -> None:
    known = {rules.STAGES[name]: name for name in held}
    assert {name for name in rules.STAGES if rules.follows(name, known)} == possible


class Row:
    def __init__(self, evidence_id: int, outcome: str, *, voided: bool = False) -> None:
        self.evidence_id, self.outcome, self.voided = evidence_id, outcome, voided
        self.stage = rules.STAGES[outcome]


def test_a_lead_counts_for_what_its_newest_offer_says() -> None:
    rows = [Row(1, R), Row(2, A), Row(3, A, voided=True)]
    assert lead_verdict(rows[:1], "offer_accept_rate") is False
    assert lead_verdict(rows, "offer_accept_rate") is True
    assert lead_verdict(rows, "contract_rate") is None


# --- the digest --------------------------------------------------------------------------------------------


def test_the_digest_does_not_depend_on_the_order_of_keys() -> None:
    content = {"b": ["1", {"y": None, "x": True}], "a": "é", "c": 3}
    keys = list(content)
    random.Random(1).shuffle(keys)
    assert rules.digest({key: content[key] for key in keys}) == rules.digest(content)
    assert canonical(content) == '{"a":"\\u00e9","b":["1",{"x":true,"y":null}],"c":3}'


def test_a_decimal_has_no_place_in_the_digest() -> None:
    with pytest.raises(TypeError):
        rules.digest({"arv": Decimal(1)})

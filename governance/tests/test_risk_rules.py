"""The risk guard's sums, by a table of examples."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError

from governance.risk.rules import Caps, Use, exceeded, measures, read_amount, read_code, read_engine

pytestmark = pytest.mark.once
NONE = Caps(Decimal(0), Decimal(0), Decimal(0), 0)
USED = Use(Decimal("20.00"), Decimal("70.00"), Decimal("50.00"), 3)  # loss, exposure, open, actions


@pytest.mark.parametrize(
    ("caps", "fits", "too_much"),
    [
        ({"max_daily_exposure": Decimal(100)}, "30.00", "30.01"),
        ({"max_open_risk": Decimal(100)}, "50.00", "50.01"),
        ({"max_daily_loss": Decimal(100)}, "30.00", "30.01"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_an_amount_fits_to_the_cent_and_not_a_cent_more(
    caps: dict[str, Decimal], fits: str, too_much: str
) -> None:
    limits = Caps(**{**{name: getattr(NONE, name) for name in Caps.__slots__}, **caps})
    assert exceeded(USED, limits, Decimal(fits)) is None
    found = exceeded(USED, limits, Decimal(too_much))
    assert found is not None
    assert found.name == next(iter(caps))


@pytest.mark.parametrize(("most", "fits"), [(4, True), (3, False), (2, False), (0, True)])
def test_each_reservation_is_one_action_whatever_its_amount(most: int, fits: bool) -> None:
    limits = Caps(Decimal(0), Decimal(0), Decimal(0), most)
    assert (exceeded(USED, limits, Decimal(0)) is None) is fits


def test_a_cap_of_zero_is_none() -> None:
    assert exceeded(USED, NONE, Decimal("999999999.99")) is None
    assert [(found.left, found.share) for found in measures(USED, NONE)] == [(None, None)] * 4


def test_what_is_open_may_be_lost_so_it_counts_against_the_loss() -> None:
    found = {
        measure.name: measure for measure in measures(USED, Caps(Decimal(140), Decimal(100), Decimal(100), 4))
    }
    assert (found["max_daily_loss"].used, found["max_daily_loss"].left) == (Decimal(70), Decimal(70))
    assert found["max_daily_loss"].share == 0.5
    assert found["max_actions_per_day"].left == 1


def test_a_cap_lowered_below_its_use_leaves_nothing() -> None:
    found = {
        measure.name: measure for measure in measures(USED, Caps(Decimal(35), Decimal(0), Decimal(0), 0))
    }
    assert (found["max_daily_loss"].left, found["max_daily_loss"].share) == (Decimal(0), 2.0)
    assert exceeded(USED, Caps(Decimal(35), Decimal(0), Decimal(0), 0), Decimal(0)) is not None


@pytest.mark.parametrize(
    ("text", "code"), [(" wholesale ", "WHOLESALE"), ("Buyer_Match2", "BUYER_MATCH2"), ("g" * 40, "G" * 40)]
)
def test_an_engine_is_read_without_regard_to_case(text: str, code: str) -> None:
    assert read_engine(text) == code


@pytest.mark.parametrize("text", ["", " ", "2FAST", "A B", "É", "a" * 41, "A-B", None, 7, "A\0"])
def test_what_is_no_engine_is_refused(text: object) -> None:
    with pytest.raises(ValidationError):
        read_engine(text)


@pytest.mark.parametrize("text", ["call the seller", "a" * 65, "é", "a\n"])
def test_a_code_is_no_sentence(text: str) -> None:
    assert read_code("offer:12.b_c-d") == "offer:12.b_c-d"
    with pytest.raises(ValidationError):
        read_code(text)


@pytest.mark.parametrize("amount", ["-0.01", "1000000000.00", "0.001", "NaN", "Infinity", "1E+30"])
def test_an_amount_is_in_whole_cents_and_within_bounds(amount: str) -> None:
    assert read_amount(Decimal("999999999.99")) == Decimal("999999999.99")
    assert str(read_amount(Decimal(5))) == "5.00"
    with pytest.raises(ValidationError):
        read_amount(Decimal(amount))

"""The formula of the maximum allowable offer. Money is CAD in whole cents."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal

from offers.rules.numbers import CENT

MULTIPLIER_MIN = Decimal("0.50")
MULTIPLIER_MAX = Decimal("0.90")

FORMULA, MAO_FLOOR, OFFER_FLOOR = "formula", "mao_floor", "offer_floor"


@dataclass(frozen=True, slots=True)
class Terms:
    """A policy's terms: a fraction of the ARV, and two amounts in CAD."""

    max_arv_multiplier: Decimal
    assignment_fee: Decimal
    fees_buffer: Decimal
    net_of_assignment_fee: bool


@dataclass(frozen=True, slots=True)
class Calculation:
    """Every figure of an offer, CAD. `binding` is the term that decided, `floored` that a minimum applied."""

    arv: Decimal
    max_arv_multiplier: Decimal
    repairs: Decimal
    fees_buffer: Decimal
    assignment_fee: Decimal
    mao: Decimal
    recommended_offer: Decimal
    binding: str

    @property
    def floored(self) -> bool:
        return self.binding != FORMULA


def _before_floor(arv: Decimal, repairs: Decimal, terms: Terms) -> Decimal:
    share = (arv * terms.max_arv_multiplier).quantize(CENT, rounding=ROUND_DOWN)
    return share - repairs - terms.fees_buffer


def max_allowable_offer(arv: Decimal, repairs: Decimal, terms: Terms) -> Decimal:
    """Return the MAO: what the end buyer's price may not exceed.

    max(0, ARV x multiplier - repairs - fees buffer), the "70 % rule" of wholesalers with the policy's own
    multiplier. The share of the ARV is rounded down to the cent, so that the result is never too high.
    """
    return max(Decimal("0.00"), _before_floor(arv, repairs, terms))


def calculate(arv: Decimal, repairs: Decimal, terms: Terms) -> Calculation:
    """Return every figure of the offer for a house worth `arv` after `repairs`."""
    mao = max_allowable_offer(arv, repairs, terms)
    wanted = mao - terms.assignment_fee if terms.net_of_assignment_fee else mao
    binding = OFFER_FLOOR if wanted < 0 else FORMULA
    if _before_floor(arv, repairs, terms) < 0:
        binding = MAO_FLOOR
    return Calculation(
        arv=arv,
        max_arv_multiplier=terms.max_arv_multiplier,
        repairs=repairs,
        fees_buffer=terms.fees_buffer,
        assignment_fee=terms.assignment_fee,
        mao=mao,
        recommended_offer=max(Decimal("0.00"), wanted),
        binding=binding,
    )

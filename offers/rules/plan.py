"""The plan of an offer's computation: what is written and reserved, or why there is no offer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from offers.rules.formula import Calculation, Terms, calculate
from offers.rules.numbers import money_text, number_text

POLICY_DISABLED, TOO_COLD = "offer_policy_disabled", "market_too_cold"
HEIMDALL_REFUSED, NO_OFFER = "heimdall_refused", "no_offer"


@dataclass(frozen=True, slots=True)
class PolicyValues:
    """The policy that applies to a place, as plain values; `min_liquidity_score` None means no minimum."""

    province: str
    market: str
    enabled: bool
    terms: Terms
    min_liquidity_score: Decimal | None
    require_heimdall: bool

    def as_json(self) -> dict[str, Any]:
        """Return the values as evidence stores them."""
        return {
            "province": self.province,
            "market": self.market,
            "enabled": self.enabled,
            "max_arv_multiplier": format(self.terms.max_arv_multiplier, ".4f"),
            "default_assignment_fee": money_text(self.terms.assignment_fee),
            "default_fees_buffer": money_text(self.terms.fees_buffer),
            "offer_net_of_assignment_fee": self.terms.net_of_assignment_fee,
            "min_liquidity_score": number_text(self.min_liquidity_score),
            "require_heimdall": self.require_heimdall,
        }


@dataclass(frozen=True, slots=True)
class MarketScore:
    """A market's liquidity: its score and cautious score in points, and the events behind them."""

    score: Decimal
    score_low: Decimal
    events: int

    def as_json(self) -> dict[str, Any]:
        """Return it as evidence stores it."""
        return {
            "score": number_text(self.score),
            "score_low": number_text(self.score_low),
            "events": self.events,
        }


@dataclass(frozen=True, slots=True)
class HeimdallAnswer:
    """Heimdall's answer on a recommendation, with its verdict as evidence stores it."""

    ok: bool
    verdict: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Known:
    """The facts that decide an offer, once its lead is locked.

    `liquidity` and `heimdall` are None if the policy does not require them. `live` are the lead's live
    offers, each as the id of its reservation or None.
    """

    policy: PolicyValues | None
    liquidity: MarketScore | None = None
    heimdall: HeimdallAnswer | None = None
    live: Sequence[int | None] = ()


@dataclass(frozen=True, slots=True)
class NoOffer:
    """The reason for no offer; `score_low` is that of a market that is too cold, None if not known."""

    code: str
    score_low: Decimal | None = None


@dataclass(frozen=True, slots=True)
class OfferPlan:
    """The answer, and what storing it writes.

    `supersedes` says that the lead's live offers end, `releases` names their reservations; `reserves` is the
    fee to reserve, CAD, or None.
    """

    calculation: Calculation
    policy_values: Mapping[str, Any]
    liquidity: Mapping[str, Any] | None
    heimdall: Mapping[str, Any] | None
    uses_recommendation: bool
    supersedes: bool
    releases: tuple[int, ...]
    reserves: Decimal | None


def plan_offer(arv: Decimal, repairs: Decimal, known: Known, *, reserve: bool) -> OfferPlan | NoOffer:
    """Decide an offer for a house worth `arv` CAD after `repairs` CAD; `reserve` reserves the fee."""
    policy = known.policy
    if policy is None or not policy.enabled:
        return NoOffer(POLICY_DISABLED)
    least, liquidity = policy.min_liquidity_score, known.liquidity
    if least is not None and (liquidity is None or liquidity.score_low < least):
        return NoOffer(TOO_COLD, liquidity.score_low if liquidity else None)
    if policy.require_heimdall and (known.heimdall is None or not known.heimdall.ok):
        return NoOffer(HEIMDALL_REFUSED)
    calculation = calculate(arv, repairs, policy.terms)
    if reserve and calculation.recommended_offer <= 0:
        return NoOffer(NO_OFFER)
    return OfferPlan(
        calculation=calculation,
        policy_values=policy.as_json(),
        liquidity=liquidity.as_json() if least is not None and liquidity else None,
        heimdall=known.heimdall.verdict if policy.require_heimdall and known.heimdall else None,
        uses_recommendation=policy.require_heimdall,
        supersedes=bool(known.live),
        releases=tuple(number for number in known.live if number is not None),
        reserves=calculation.assignment_fee if reserve else None,
    )

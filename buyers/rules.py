"""Calculations of buyer liquidity, and validation of feedback, as pure functions.

A rate is a fraction 0 to 1; a score is in points, 0 or more: half a point per active buyer, plus the weighted
rates of RATES.
"""

from __future__ import annotations

import functools
import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import phonenumbers
from django.core.exceptions import ValidationError
from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _

from governance.core.property_types import PropertyType

ACTIVE_FOR = timedelta(days=90)
ID_LENGTH = 64
LOWER_END = 0.05

POINTS_PER_ACTIVE_BUYER = Decimal("0.5")
POINTS_PER_RATE = Decimal(50)
RATE_PLACES = Decimal("0.000001")
SCORE_PLACES = Decimal("0.0001")


class FeedbackKind(TextChoices):
    """A buyer's reaction to an offered deal."""

    RESPONDED = "RESPONDED", _("Responded")
    NO_RESPONSE = "NO_RESPONSE", _("No response")
    BOUGHT = "BOUGHT", _("Bought")
    PASSED = "PASSED", _("Passed")


@dataclass(frozen=True, slots=True)
class Rate:
    """A rate in the score; at 1 it adds POINTS_PER_RATE times its weight."""

    name: str
    weight: Decimal


RESPONSE_RATE = Rate("response_rate", weight=Decimal(1))
CLOSE_RATE = Rate("close_rate", weight=Decimal(1))
RATES = (RESPONSE_RATE, CLOSE_RATE)


@dataclass(frozen=True, slots=True)
class Event:
    """A kind of feedback, and how it counts.

    `column` counts it in the node, `is_hit` says on which side of its rate. `is_active` events show an active
    buyer and count once per buyer and deal. `is_answer` is the success of the KPI event.
    """

    column: str
    rate: Rate
    is_hit: bool
    is_active: bool
    is_answer: bool = True


EVENTS: dict[str, Event] = {
    FeedbackKind.RESPONDED.value: Event("responded", RESPONSE_RATE, is_hit=True, is_active=True),
    FeedbackKind.NO_RESPONSE.value: Event(
        "no_response", RESPONSE_RATE, is_hit=False, is_active=False, is_answer=False
    ),
    FeedbackKind.BOUGHT.value: Event("bought", CLOSE_RATE, is_hit=True, is_active=True),
    FeedbackKind.PASSED.value: Event("passed", CLOSE_RATE, is_hit=False, is_active=False),
}
ACTIVE_KINDS = tuple(kind for kind, event in EVENTS.items() if event.is_active)
COUNTED_IN = {kind: event.column for kind, event in EVENTS.items()}
EVENT_COLUMNS = tuple(COUNTED_IN.values())


def kinds_of(rate: Rate, *, hits_only: bool = False) -> list[str]:
    """Return the kinds of feedback that make up a rate."""
    return [kind for kind, event in EVENTS.items() if event.rate is rate and (event.is_hit or not hits_only)]


@dataclass(frozen=True, slots=True)
class Counts:
    """A node's counts: events of each kind, and distinct buyers seen and active."""

    responded: int = 0
    no_response: int = 0
    bought: int = 0
    passed: int = 0
    buyer_count: int = 0
    active_buyer_count: int = 0

    @property
    def events(self) -> tuple[int, ...]:
        """Return the counts of events, in the order of EVENT_COLUMNS."""
        return tuple(getattr(self, column) for column in EVENT_COLUMNS)

    def of_rate(self, rate: Rate) -> tuple[int, int]:
        """Return a rate's hits and misses."""
        return hits_and_misses(rate, self.events)


# where EVENT_COLUMNS has the hits of each rate, and where its misses
_PLACES = {
    rate.name: tuple(
        tuple(
            place
            for place, event in enumerate(EVENTS.values())
            if event.rate is rate and event.is_hit is is_hit
        )
        for is_hit in (True, False)
    )
    for rate in RATES
}


def hits_and_misses(rate: Rate, events: Sequence[int]) -> tuple[int, int]:
    """Return a rate's hits and misses, of the counts of events in the order of EVENT_COLUMNS."""
    hits, misses = _PLACES[rate.name]
    return sum([events[place] for place in hits]), sum([events[place] for place in misses])


@dataclass(frozen=True, slots=True)
class Scores:
    """Both scores in points, with four decimal places."""

    score: Decimal
    score_low: Decimal


@functools.lru_cache(maxsize=4096)
def rate(hits: int, misses: int) -> Decimal:
    """Return hits / (hits + misses) as a fraction with six decimal places; 0 without events."""
    counted = hits + misses
    if counted == 0:
        return Decimal(0)
    return (Decimal(hits) / Decimal(counted)).quantize(RATE_PLACES, ROUND_HALF_UP)


def rate_low(hits: int, misses: int) -> float:
    """Return the lower 5 % bound of a rate: the quantile of Beta(hits + 1, misses + 1), a uniform prior.

    0 without events.
    """
    return beta_quantile(LOWER_END, hits + 1, misses + 1) if hits + misses else 0.0


def scores(counts: Counts) -> Scores:
    """Return active buyers x 0.5 + 50 x each weighted rate, and the same with the rates' lower bounds."""
    active = POINTS_PER_ACTIVE_BUYER * counts.active_buyer_count
    exact = low = Decimal(0)
    for each in RATES:
        hits, misses = counts.of_rate(each)
        if hits + misses:
            exact += each.weight * (Decimal(hits) / Decimal(hits + misses))
            low += each.weight * Decimal(rate_low(hits, misses))
    return Scores(
        score=(active + POINTS_PER_RATE * exact).quantize(SCORE_PLACES, ROUND_HALF_UP),
        score_low=(active + POINTS_PER_RATE * low).quantize(SCORE_PLACES, ROUND_HALF_UP),
    )


# --- counting feedback -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Node:
    """A locked node's current values."""

    counts: Counts
    active_since: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Activity:
    """A buyer's activity at a node: when they last responded or bought there (None: never)."""

    last_active_at: datetime | None


@dataclass(frozen=True, slots=True)
class FeedbackPlan:
    """The changes for one feedback: the node's new figures, and the buyer's activity.

    `activity` is None if the buyer's row does not change.
    """

    counts: Counts
    scores: Scores
    active_since: datetime
    updated_at: datetime
    activity: Activity | None
    is_answer: bool


def active_since(node_since: datetime, at: datetime) -> datetime:
    """Return the instant from which on a buyer counts as active; it never moves back."""
    return max(node_since, at - ACTIVE_FOR)


def is_active(last_active_at: datetime | None, since: datetime) -> bool:
    """Return whether a buyer who last responded or bought then counts as active."""
    return last_active_at is not None and last_active_at > since


def plan_feedback(
    kind: str, node: Node, at: datetime, *, has_buyer: bool, known: Activity | None, fallen_out: int
) -> FeedbackPlan:
    """Decide how a feedback counts.

    `known` is the buyer's activity at the node, None if they were never seen there; `fallen_out` is how many
    other buyers' 90 days ended since the node last counted.
    """
    event = EVENTS[kind]
    since = active_since(node.active_since, at)
    before = known.last_active_at if known else None
    now = max(before or at, at) if has_buyer and event.is_active else before
    more_buyers = int(has_buyer and known is None)
    more_active = is_active(now, since) - is_active(before, node.active_since) - fallen_out
    counts = replace(
        node.counts,
        buyer_count=node.counts.buyer_count + more_buyers,
        active_buyer_count=node.counts.active_buyer_count + more_active,
        **{event.column: getattr(node.counts, event.column) + 1},
    )
    return FeedbackPlan(
        counts=counts,
        scores=scores(counts),
        active_since=since,
        updated_at=max(node.updated_at, at),
        activity=Activity(now) if more_buyers or now != before else None,
        is_answer=event.is_answer,
    )


# --- the Beta distribution ---------------------------------------------------------------------------------

_TINY = 1e-300
_EPSILON = 1e-15


def beta_cdf(x: float, a: float, b: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b), for a and b of 1 or more.

    By its continued fraction (NIST Digital Library of Mathematical Functions, 8.17.22), evaluated by Lentz's
    method; the symmetry 8.17.4 keeps it where it converges within some sqrt(min(a, b)) terms.
    """
    if x <= 0.0:
        return 0.0
    if x >= 1.0:
        return 1.0
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - beta_cdf(1.0 - x, b, a)
    c, d = 1.0, 1.0 - (a + b) * x / (a + 1.0)
    d = 1.0 / (d if abs(d) > _TINY else _TINY)
    fraction = d
    for m in range(1, 100_000):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0)),
        ):
            d = 1.0 + term * d
            d = 1.0 / (d if abs(d) > _TINY else _TINY)
            c = 1.0 + term / c
            c = c if abs(c) > _TINY else _TINY
            fraction *= c * d
        if abs(c * d - 1.0) < _EPSILON:
            break
    return fraction * math.exp(_log_density(x, a, b)) * x * (1.0 - x) / a


def _log_density(x: float, a: float, b: float) -> float:
    logarithm = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    return logarithm + (a - 1.0) * math.log(x) + (b - 1.0) * math.log1p(-x)


@functools.lru_cache(maxsize=4096)
def beta_quantile(p: float, a: int, b: int) -> float:
    """Return the x with I_x(a, b) = p, for 0 < p < 1 and a, b of 1 or more, accurate to at least 9 places.

    Starts from Abramowitz and Stegun, 26.5.22, and continues with Newton's steps, each kept inside the
    interval that contains the answer. If a or b is 1, the distribution has a closed form.
    """
    if b == 1:
        return float(p ** (1.0 / a))
    if a == 1:
        return -math.expm1(math.log1p(-p) / b)
    low, high = 0.0, 1.0
    x = _first_guess(p, a, b)
    for _step in range(100):
        too_much = beta_cdf(x, a, b) - p
        low, high = (low, x) if too_much > 0 else (x, high)
        better = x - too_much / math.exp(_log_density(x, a, b))
        if not low < better < high:
            better = (low + high) / 2.0
        if abs(better - x) <= 1e-11 * x:
            return better
        x = better
    return x


def _first_guess(p: float, a: float, b: float) -> float:
    # y is the upper quantile of the normal distribution, by Abramowitz and Stegun 26.2.23 (to 4.5e-4)
    tail = min(p, 1.0 - p)
    t = math.sqrt(-2.0 * math.log(tail))
    above = 2.515517 + t * (0.802853 + t * 0.010328)
    below = 1.0 + t * (1.432788 + t * (0.189269 + t * 0.001308))
    y = t - above / below
    y = y if p < 0.5 else -y
    inverse_a, inverse_b = 1.0 / (2.0 * a - 1.0), 1.0 / (2.0 * b - 1.0)
    h = 2.0 / (inverse_a + inverse_b)
    lam = (y * y - 3.0) / 6.0
    w = y * math.sqrt(h + lam) / h - (inverse_b - inverse_a) * (lam + 5.0 / 6.0 - 2.0 / (3.0 * h))
    return min(max(a / (a + b * math.exp(2.0 * w)), 1e-12), 1.0 - 1e-12)


# --- reading -----------------------------------------------------------------------------------------------


def _read_choice(text: object, choices: type[TextChoices], message: Any, code: str) -> str:
    word = text.strip().upper() if isinstance(text, str) else ""
    if word not in choices.values:
        known = ", ".join(choices.values)
        raise ValidationError(message, code=code, params={"given": str(text)[:40], "known": known})
    return word


def read_property_type(text: object) -> str:
    """Return a property type; any case is accepted. Raises ValidationError for an unknown one."""
    return _read_choice(
        text,
        PropertyType,
        _("“%(given)s” is not a property type; use one of %(known)s."),
        "unknown_property_type",
    )


def read_event(text: object) -> str:
    """Return a kind of feedback; any case is accepted. Raises ValidationError for an unknown one."""
    return _read_choice(
        text, FeedbackKind, _("“%(given)s” is not a kind of feedback; use one of %(known)s."), "unknown_event"
    )


def read_buyer_id(text: object) -> str:
    """Return an external id of a buyer: NFC, trimmed, at most 64 characters; blank for none."""
    return _read_id(text)


_DEAL_ID = re.compile(r"[^\W_][\w.:/#-]*")


def read_deal_id(text: object) -> str:
    """Return an external id of a deal, at most 64 characters without spaces; blank for none.

    It is stored in append-only rows, so it must be a number or code and not an address or name.
    """
    deal = _read_id(text)
    if deal and not _DEAL_ID.fullmatch(deal):
        raise ValidationError(
            _("A deal id begins with a letter or digit and has letters, digits and . _ : / # - only."),
            code="invalid_id",
        )
    return deal


def _read_id(text: object) -> str:
    if text is None:
        return ""
    if not isinstance(text, str):
        raise ValidationError(_("An id must be text."), code="invalid_id")
    found = unicodedata.normalize("NFC", text).strip()
    if len(found) > ID_LENGTH:
        raise ValidationError(
            _("An id has at most %(length)s characters."), code="invalid_id", params={"length": ID_LENGTH}
        )
    # controls, lone surrogates and private-use characters; line and paragraph separators
    if any(unicodedata.category(sign) in {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"} for sign in found):
        raise ValidationError(_("An id must not contain control characters."), code="invalid_id")
    return found


def read_phone(text: str) -> str:
    """Return a telephone number in E.164; without a country code it is a North American one.

    Raises ValidationError if the numbering plan has no such number.
    """
    refusal = ValidationError(
        _("This telephone number does not exist; write it as 514 555 0123 or with +."),
        code="invalid_phone",
    )
    written = " ".join(unicodedata.normalize("NFKC", text).split())
    if not written:
        return ""
    try:
        number = phonenumbers.parse(written, "CA")
    except phonenumbers.NumberParseException:
        raise refusal from None
    if not phonenumbers.is_valid_number(number) or number.extension:
        raise refusal
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)

"""Sums of buyer liquidity, and how feedback is read, on plain values.

A rate is a fraction 0 to 1; a score is in points, 0 and more: half a point per active buyer, and up to 50 for
each of the two rates.
"""

from __future__ import annotations

import functools
import math
import re
import unicodedata
from dataclasses import dataclass
from datetime import timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import phonenumbers
from django.core.exceptions import ValidationError
from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _

from governance.property_types import PropertyType

ACTIVE_FOR = timedelta(days=90)
ID_LENGTH = 64
LOWER_END = 0.05

POINTS_PER_ACTIVE_BUYER = Decimal("0.5")
POINTS_PER_RATE = Decimal(50)
RATE_PLACES = Decimal("0.000001")
SCORE_PLACES = Decimal("0.0001")


class FeedbackKind(TextChoices):
    """What a buyer did with a deal that was offered."""

    RESPONDED = "RESPONDED", _("Responded")
    NO_RESPONSE = "NO_RESPONSE", _("No response")
    BOUGHT = "BOUGHT", _("Bought")
    PASSED = "PASSED", _("Passed")


# These show an active buyer, and count once per buyer and deal.
ACTIVE_KINDS = (FeedbackKind.RESPONDED.value, FeedbackKind.BOUGHT.value)
# Which column of the node each kind is counted in.
COUNTED_IN = {
    FeedbackKind.RESPONDED.value: "responded",
    FeedbackKind.NO_RESPONSE.value: "no_response",
    FeedbackKind.BOUGHT.value: "bought",
    FeedbackKind.PASSED.value: "passed",
}


@dataclass(frozen=True, slots=True)
class Counts:
    """What a node counts: events of each kind, and distinct buyers seen and active."""

    responded: int = 0
    no_response: int = 0
    bought: int = 0
    passed: int = 0
    buyer_count: int = 0
    active_buyer_count: int = 0


@dataclass(frozen=True, slots=True)
class Scores:
    """Both scores in points, with four places."""

    score: Decimal
    score_low: Decimal


def rate(hits: int, misses: int) -> Decimal:
    """Return hits / (hits + misses) as a fraction with six places; 0 where nothing was counted."""
    counted = hits + misses
    if counted == 0:
        return Decimal(0)
    return (Decimal(hits) / Decimal(counted)).quantize(RATE_PLACES, ROUND_HALF_UP)


def rate_low(hits: int, misses: int) -> float:
    """Return the lower 5 % end of a rate: the quantile of Beta(hits + 1, misses + 1), a uniform prior.

    0 where nothing was counted.
    """
    return beta_quantile(LOWER_END, hits + 1, misses + 1) if hits + misses else 0.0


def scores(counts: Counts) -> Scores:
    """Return active buyers x 0.5 + both rates x 50, and the same with both rates' lower ends."""
    pairs = ((counts.responded, counts.no_response), (counts.bought, counts.passed))
    active = POINTS_PER_ACTIVE_BUYER * counts.active_buyer_count
    exact = sum(Decimal(hits) / Decimal(hits + misses) for hits, misses in pairs if hits + misses)
    low = sum(Decimal(rate_low(hits, misses)) for hits, misses in pairs)
    return Scores(
        score=(active + POINTS_PER_RATE * exact).quantize(SCORE_PLACES, ROUND_HALF_UP),
        score_low=(active + POINTS_PER_RATE * low).quantize(SCORE_PLACES, ROUND_HALF_UP),
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
    """Return the x with I_x(a, b) = p, for 0 < p < 1 and a, b of 1 or more, right to 9 places and more.

    Starts from Abramowitz and Stegun, 26.5.22, and goes on by Newton's steps, each kept inside the interval
    that is known to hold the answer. Where a or b is 1 the distribution has a closed form.
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
    """Return a property type, read without regard to case. Raises ValidationError for an unknown one."""
    return _read_choice(
        text,
        PropertyType,
        _("“%(given)s” is no property type; use one of %(known)s."),
        "unknown_property_type",
    )


def read_event(text: object) -> str:
    """Return a kind of feedback, read without regard to case. Raises ValidationError for an unknown one."""
    return _read_choice(
        text, FeedbackKind, _("“%(given)s” is no feedback; use one of %(known)s."), "unknown_event"
    )


def read_buyer_id(text: object) -> str:
    """Return another system's id of a buyer: NFC, trimmed, at most 64 characters; blank for none."""
    return _read_id(text)


_DEAL_ID = re.compile(r"[^\W_][\w.:/#-]*")


def read_deal_id(text: object) -> str:
    """Return another system's id of a deal, at most 64 characters without spaces; blank where none is given.

    It is kept in rows that nobody can change, so it must be a number or code and no address or name.
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
        raise ValidationError(_("An id is a text."), code="invalid_id")
    found = unicodedata.normalize("NFC", text).strip()
    if len(found) > ID_LENGTH:
        raise ValidationError(
            _("An id has at most %(length)s characters."), code="invalid_id", params={"length": ID_LENGTH}
        )
    # controls, lone surrogates and private signs; line and paragraph separators
    if any(unicodedata.category(sign) in {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"} for sign in found):
        raise ValidationError(_("An id must not contain control characters."), code="invalid_id")
    return found


def read_phone(text: str) -> str:
    """Return a telephone number in E.164; without a country code it is a North American one.

    Raises ValidationError where the numbering plan has no such number.
    """
    refusal = ValidationError(
        _("This is no telephone number that exists; write it as 514 555 0123 or with +."),
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

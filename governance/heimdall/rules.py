"""When a machine's recommendation may drive production: the gate, as pure functions.

Confidence and success rates are fractions 0 to 1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_FLOOR, Decimal

from django.core.exceptions import ValidationError
from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _

DOMAIN_LENGTH = 40
CONFIDENCE_PLACES = Decimal("0.000001")
_DOMAIN = re.compile(rf"[A-Z][A-Z0-9_]{{0,{DOMAIN_LENGTH - 1}}}")

WHOLESALE_OFFER = "WHOLESALE_OFFER"
BUYER_MATCH = "BUYER_MATCH"
CAPITAL_ROUTE = "CAPITAL_ROUTE"
FOLLOWUP_NEXT_ACTION = "FOLLOWUP_NEXT_ACTION"


class Reason(TextChoices):
    """The gate's answers; it checks in this order and returns the first that refuses."""

    PROD_USE_DISABLED = "prod_use_disabled", _("production use is off")
    CONFIDENCE_BELOW_THRESHOLD = "confidence_below_threshold", _("confidence too low")
    INSUFFICIENT_SANDBOX_TRIALS = "insufficient_sandbox_trials", _("too few trials")
    SANDBOX_SUCCESS_RATE_BELOW_THRESHOLD = (
        "sandbox_success_rate_below_threshold",
        _("too few trials succeeded"),
    )
    GATE_PASS = "gate_pass", _("may drive production")


class Misuse(TextChoices):
    """The reasons to refuse a recommendation before the gate is asked."""

    MISSING = "recommendation_missing", _("none was named")
    UNKNOWN = "recommendation_unknown", _("no such recommendation")
    OTHER_DOMAIN = "other_domain", _("made for another domain")
    OTHER_SUBJECT = "other_subject", _("made for another subject")
    USED = "recommendation_used", _("used before")


def read_domain(text: object) -> str:
    """Return a domain's name as stored: capitals, digits and _, 1 to 40 characters; any case is accepted.

    Raises ValidationError for anything else.
    """
    name = text.strip().upper() if isinstance(text, str) else ""
    if not _DOMAIN.fullmatch(name):
        raise ValidationError(
            _("A domain is named by letters, digits and _, at most 40, such as WHOLESALE_OFFER."),
            code="invalid_domain",
        )
    return name


def read_confidence(value: Decimal) -> Decimal:
    """Return a confidence as it is stored and judged: six decimal places, never rounded up over a minimum.

    Raises ValidationError for anything that is not a fraction.
    """
    if not value.is_finite() or not 0 <= value <= 1:
        raise ValidationError(_("A number from 0 to 1 is needed."), code="invalid_confidence")
    return value.quantize(CONFIDENCE_PLACES, ROUND_FLOOR)


def cut(rate: Decimal) -> Decimal:
    """Return a success rate with four decimal places, truncated, so that it never looks higher."""
    return rate.quantize(Decimal("0.0001"), ROUND_FLOOR)


def first_day(at: datetime, days: int) -> date:
    """Return the first of the `days` UTC days that end with the day of `at`."""
    return at.astimezone(UTC).date() - timedelta(days=days - 1)


@dataclass(frozen=True, slots=True)
class Recommended:
    """A recommendation's domain and subject, and whether it was used; a blank subject stands for any."""

    domain: str
    subject: str
    is_used: bool


def misuse(found: Recommended | None, *, is_named: bool, domain: str, subject: str) -> Misuse | None:
    """Return why a recommendation cannot be used for this at all; None if the gate decides."""
    if found is None:
        return Misuse.UNKNOWN if is_named else Misuse.MISSING
    if found.domain != domain:
        return Misuse.OTHER_DOMAIN
    if found.subject and found.subject != subject:
        return Misuse.OTHER_SUBJECT
    return Misuse.USED if found.is_used else None


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The minimums of a domain's policy."""

    prod_use_enabled: bool
    min_confidence: Decimal
    min_trials: int
    min_success_rate: Decimal


@dataclass(frozen=True, slots=True)
class Scorecard:
    """The sandbox trials that count, and how many of them succeeded."""

    trials: int = 0
    successes: int = 0

    @property
    def success_rate(self) -> Decimal | None:
        """Return the fraction that succeeded; None without any trial."""
        return Decimal(self.successes) / self.trials if self.trials else None


def shortfall(asked: Thresholds, card: Scorecard) -> Reason | None:
    """Return what the scorecard lacks for production use, or None.

    Without any trial, only a minimum success rate of 0 is met.
    """
    if card.trials < asked.min_trials:
        return Reason.INSUFFICIENT_SANDBOX_TRIALS
    # as a product: a rounded quotient could reach a minimum that the counts do not
    if card.successes < asked.min_success_rate * max(card.trials, 1):
        return Reason.SANDBOX_SUCCESS_RATE_BELOW_THRESHOLD
    return None


CONFIDENCE, TRIALS, SUCCESS = "min_confidence", "min_trials", "min_success_rate"


def lowered(before: Thresholds, after: Thresholds) -> list[tuple[str, Decimal, Decimal]]:
    """Return which minimums a change lowers: the name, the old value and the new one."""
    pairs = [(name, getattr(before, name), getattr(after, name)) for name in (CONFIDENCE, TRIALS, SUCCESS)]
    return [(name, old, new) for name, old, new in pairs if new < old]


def gate(asked: Thresholds | None, confidence: Decimal, card: Scorecard) -> Reason:
    """Return whether a recommendation may drive production, GATE_PASS, or why not.

    A domain without a policy has no production use.
    """
    if asked is None or not asked.prod_use_enabled:
        return Reason.PROD_USE_DISABLED
    if confidence < asked.min_confidence:
        return Reason.CONFIDENCE_BELOW_THRESHOLD
    return shortfall(asked, card) or Reason.GATE_PASS

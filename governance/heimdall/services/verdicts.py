"""The gate on stored data, and its answers as text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db.models import Sum
from django.utils.translation import gettext as _

from governance.core.actors import Actor
from governance.core.errors import Invalid
from governance.core.numbers import percent
from governance.heimdall import rules
from governance.heimdall.models import HeimdallEvent, HeimdallPolicy, HeimdallScorecardDay
from governance.heimdall.querysets import card_of
from governance.heimdall.rules import Reason, Scorecard, Thresholds

NONE = Decimal(0)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The gate's answer with its inputs; the scorecard is that of the days since `since`."""

    reason: str
    domain: str
    confidence: Decimal
    asked: Thresholds | None
    policy_version: int | None
    card: Scorecard
    since: date
    recommendation_id: int | None = None

    @property
    def ok(self) -> bool:
        return self.reason == Reason.GATE_PASS

    def as_json(self) -> dict[str, Any]:
        """Return it as evidence stores it: plain JSON, fractions as text."""
        return {
            "reason": str(self.reason),
            "domain": self.domain,
            "confidence": str(self.confidence),
            "policy_version": self.policy_version,
            "min_confidence_prod": str(self.asked.min_confidence) if self.asked else None,
            "min_sandbox_trials": self.asked.min_trials if self.asked else None,
            "min_sandbox_success_rate": str(self.asked.min_success_rate) if self.asked else None,
            "trials": self.card.trials,
            "successes": self.card.successes,
            "since": self.since.isoformat(),
        }


def window(at: datetime) -> tuple[date, date]:
    """Return the first and the last UTC day whose trials count at `at` (HEIMDALL_TRIAL_DAYS of them)."""
    return rules.first_day(at, settings.HEIMDALL_TRIAL_DAYS), at.astimezone(UTC).date()


def scorecard(domain: str, at: datetime) -> Scorecard:
    """Return the trials of a domain that count at `at`."""
    days = HeimdallScorecardDay.objects.within(*window(at)).filter(domain=domain)
    sums = days.aggregate(trials=Sum("trials"), successes=Sum("successes"))
    return Scorecard(sums["trials"] or 0, sums["successes"] or 0)


def gate(domain: str, confidence: Decimal, at: datetime) -> Verdict:
    """Return whether a recommendation of this confidence may drive production now, and why not.

    A domain without a policy has no production use.
    """
    rows = HeimdallPolicy.objects.filter(domain=domain).with_scorecard(*window(at))
    policy: HeimdallPolicy | None = rows.first()
    card = card_of(policy) if policy else Scorecard()
    asked = policy.thresholds if policy else None
    return Verdict(
        reason=rules.gate(asked, confidence, card),
        domain=domain,
        confidence=confidence,
        asked=asked,
        policy_version=policy.version if policy else None,
        card=card,
        since=window(at)[0],
    )


def in_words(
    reason: str, domain: str, asked: Thresholds | None, card: Scorecard, confidence: Decimal = NONE
) -> str:
    """Return a sentence on why the gate refuses."""
    if asked is None or reason == Reason.PROD_USE_DISABLED:
        return _("Production use of %(domain)s is off: a manager has not promoted it.") % {"domain": domain}
    if reason == Reason.CONFIDENCE_BELOW_THRESHOLD:
        return _("The recommendation’s confidence is %(confidence)s; at least %(least)s is required.") % {
            "confidence": format(confidence.normalize(), "f"),
            "least": format(asked.min_confidence.normalize(), "f"),
        }
    if reason == Reason.INSUFFICIENT_SANDBOX_TRIALS:
        return _("Sandbox trials in the last %(days)s days: %(trials)s; required: %(least)s.") % {
            "days": settings.HEIMDALL_TRIAL_DAYS,
            "trials": card.trials,
            "least": asked.min_trials,
        }
    return _("Of the sandbox trials of the last %(days)s days %(rate)s succeeded; required: %(least)s.") % {
        "days": settings.HEIMDALL_TRIAL_DAYS,
        "rate": shown_rate(card.success_rate or NONE),
        "least": percent(asked.min_success_rate),
    }


def shown_rate(rate: Decimal) -> str:
    """Return a success rate in percent, truncated and not rounded, so that it never looks higher."""
    return percent(rules.cut(rate))


def policy_of(domain: str) -> HeimdallPolicy:
    name = read_domain(domain)
    policy: HeimdallPolicy | None = HeimdallPolicy.objects.filter(domain=name).first()
    if policy is None:
        raise Invalid(
            {
                "domain": [
                    _("%(domain)s has no Heimdall policy: a manager must create one first.")
                    % {"domain": name}
                ]
            }
        )
    return policy


def read_domain(domain: object) -> str:
    return str(read("domain", rules.read_domain, domain))


def read(field: str, reader: Callable[[Any], Any], value: object) -> Any:
    try:
        return reader(value)
    except ValidationError as wrong:
        raise Invalid({field: wrong.messages}) from wrong


def tell(domain: str, kind: str, *, by: Actor, at: datetime, **columns: object) -> None:
    HeimdallEvent.objects.create(domain=domain, kind=kind, created_at=at, **columns, **by.written())

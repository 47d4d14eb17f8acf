"""Serializers of Heimdall's endpoints; every rate and confidence is a fraction 0 to 1."""

from __future__ import annotations

from datetime import date
from typing import Any

from django.core.exceptions import ValidationError
from rest_framework import serializers

from governance.core.rest.fields import FractionField, JSONObjectField, WholeNumberField
from governance.core.rest.input import Input, Question
from governance.heimdall import rules
from governance.heimdall.models import SUBJECT_LENGTH, TRIALS_MAX, HeimdallPolicy
from governance.heimdall.rules import Scorecard, Thresholds
from governance.heimdall.services import Verdict

VERSION_MAX = 2_147_483_647
REASON_LENGTH = 500


class DomainField(serializers.CharField):
    """A domain's name, in any case."""

    def to_internal_value(self, data: Any) -> str:
        try:
            return rules.read_domain(super().to_internal_value(data))
        except ValidationError as wrong:
            raise serializers.ValidationError(wrong.messages, code="invalid_domain") from wrong


class DomainQuestion(Question):
    """The parameters of the lists: an optional domain filter."""

    domain = DomainField(required=False)


class PolicyInput(Input):
    """The input of POST /policies/upsert; omitted values stay as they are."""

    domain = DomainField()
    min_confidence_prod = FractionField(required=False)
    min_sandbox_trials = WholeNumberField(required=False, min_value=0, max_value=TRIALS_MAX)
    min_sandbox_success_rate = FractionField(required=False)
    prod_use_enabled = serializers.BooleanField(required=False)
    reason = serializers.CharField(required=False, allow_blank=True, max_length=REASON_LENGTH)
    expected_version = WholeNumberField(required=False, min_value=0, max_value=VERSION_MAX)


class PromoteInput(Input):
    """The input of POST /promote."""

    domain = DomainField()
    reason = serializers.CharField(required=False, allow_blank=True, max_length=REASON_LENGTH)
    expected_version = WholeNumberField(required=False, min_value=0, max_value=VERSION_MAX)


class TrialInput(Input):
    """The input of POST /sandbox/trial."""

    domain = DomainField()
    success = serializers.BooleanField()


class RecommendInput(Input):
    """The input of POST /recommend; `subject` is what it is about, for offers the lead."""

    domain = DomainField()
    confidence = FractionField()
    subject = serializers.CharField(required=False, allow_blank=True, max_length=SUBJECT_LENGTH, default="")
    detail = JSONObjectField(required=False)


def as_policy(policy: HeimdallPolicy) -> dict[str, object]:
    return {
        "id": policy.pk,
        "domain": policy.domain,
        "min_confidence_prod": policy.min_confidence_prod,
        "min_sandbox_trials": policy.min_sandbox_trials,
        "min_sandbox_success_rate": policy.min_sandbox_success_rate,
        "prod_use_enabled": policy.prod_use_enabled,
        "version": policy.version,
        "changed_by": policy.changed_by,
        "reason": policy.reason,
        "updated_at": policy.updated_at,
    }


def as_card(card: Scorecard) -> dict[str, object]:
    rate = card.success_rate
    return {
        "trials": card.trials,
        "successes": card.successes,
        "success_rate": None if rate is None else rules.cut(rate),
    }


def _as_thresholds(asked: Thresholds | None) -> dict[str, object]:
    return {
        "prod_use_enabled": asked is not None and asked.prod_use_enabled,
        "min_confidence_prod": asked.min_confidence if asked else None,
        "min_sandbox_trials": asked.min_trials if asked else None,
        "min_sandbox_success_rate": asked.min_success_rate if asked else None,
    }


def as_scorecard(policy: HeimdallPolicy, card: Scorecard, since: date) -> dict[str, object]:
    """Return a domain's scorecard with its policy's minimums; `shortfall` is null if it meets them."""
    asked = policy.thresholds
    lacking = rules.shortfall(asked, card)
    return {
        "domain": policy.domain,
        "since": since,
        **as_card(card),
        **_as_thresholds(asked),
        "shortfall": lacking.value if lacking else None,
    }


def as_verdict(verdict: Verdict, recommendation_id: int) -> dict[str, object]:
    return {
        "ok": verdict.ok,
        "reason": verdict.reason,
        "recommendation_id": recommendation_id,
        "domain": verdict.domain,
        "confidence": verdict.confidence,
        "since": verdict.since,
        **as_card(verdict.card),
        **_as_thresholds(verdict.asked),
        "policy_version": verdict.policy_version,
    }

"""What the schema says about Heimdall."""

from __future__ import annotations

from rest_framework import serializers

from governance.core.rest.describe import SWITCHES, Answer, Doc, Tag, fraction, ok
from governance.heimdall.rules import Reason

TAG = Tag(
    "Heimdall",
    "The gate for machine recommendations: a domain may drive production once enough sandbox trials "
    "succeeded.",
    prefix="Heimdall",
)
REFUSALS = {
    "promotion_refused": (409, "The scorecard is too low; `reason`, `trials` and `successes` say why."),
    "lowered_and_promoted": (409, "Lower the minimums in one change, and promote in another."),
}


class Policy(Answer):
    """What a domain must prove."""

    id = serializers.IntegerField()
    domain = serializers.CharField()
    min_confidence_prod = fraction()
    min_sandbox_trials = serializers.IntegerField()
    min_sandbox_success_rate = fraction()
    prod_use_enabled = serializers.BooleanField()
    version = serializers.IntegerField()
    changed_by = serializers.CharField()
    reason = serializers.CharField()
    updated_at = serializers.DateTimeField()


class Policies(Answer):
    """Heimdall policies, by domain."""

    ok = ok()
    policies = Policy(many=True)


class Upserted(Answer):
    """The policy after the change."""

    ok = ok()
    policy = Policy()


class Card(Answer):
    """The trials of a domain."""

    trials = serializers.IntegerField()
    successes = serializers.IntegerField()
    success_rate = fraction(allow_null=True, help_text="0 to 1, truncated; null without trials.")


class ScorecardRow(Card):
    """A domain's trials next to its minimums."""

    domain = serializers.CharField()
    since = serializers.DateField(help_text="The first day that counts (UTC).")
    prod_use_enabled = serializers.BooleanField()
    min_confidence_prod = fraction(allow_null=True)
    min_sandbox_trials = serializers.IntegerField(allow_null=True)
    min_sandbox_success_rate = fraction(allow_null=True)
    shortfall = serializers.CharField(allow_null=True, help_text="What is missing; null if nothing is.")


class Scorecard(Answer):
    """The trials that count, by domain."""

    ok = ok()
    days = serializers.IntegerField(help_text="Over how many days, today included.")
    scorecard = ScorecardRow(many=True)


class DomainCard(Card):
    """A domain's trials on one day."""

    domain = serializers.CharField()


class Today(Answer):
    """Today's trials, by domain."""

    ok = ok()
    day = serializers.DateField()
    scorecard = DomainCard(many=True)


class Trial(Card):
    """The domain's trials of today, this one included."""

    ok = ok()
    domain = serializers.CharField()
    day = serializers.DateField()


class Verdict(Card):
    """What the gate would decide now; what counts is its answer when the recommendation is used."""

    ok = serializers.BooleanField()
    reason = serializers.ChoiceField(Reason.values)
    recommendation_id = serializers.IntegerField(help_text="Send it where the recommendation is used.")
    domain = serializers.CharField()
    confidence = fraction()
    since = serializers.DateField()
    prod_use_enabled = serializers.BooleanField()
    min_confidence_prod = fraction(allow_null=True)
    min_sandbox_trials = serializers.IntegerField(allow_null=True)
    min_sandbox_success_rate = fraction(allow_null=True)
    policy_version = serializers.IntegerField(allow_null=True)


DOMAIN = {"domain": "Such as WHOLESALE_OFFER."}
DOCS = {
    "HeimdallViewSet.policies": Doc("List Heimdall policies", answer=Policies, fields=DOMAIN),
    "HeimdallViewSet.scorecard": Doc("Get the scorecard", answer=Scorecard, fields=DOMAIN),
    "HeimdallViewSet.today": Doc("Get today's trials", answer=Today, fields=DOMAIN),
    "HeimdallViewSet.upsert": Doc(
        "Create or change a Heimdall policy",
        "Omitted values stay as they are.",
        answer=Upserted,
        refusals=("stale_version", "promotion_refused", "lowered_and_promoted"),
        fields=DOMAIN,
    ),
    "HeimdallViewSet.trial": Doc(
        "Report a sandbox trial",
        "Refused while the kill switch is engaged.",
        answer=Trial,
        refusals=("kill_switch_engaged",),
        fields={**DOMAIN, "success": "Whether the trial succeeded."},
    ),
    "HeimdallViewSet.recommend": Doc(
        "Store a recommendation",
        "Answers at once what the gate would decide. Storing it triggers nothing.",
        answer=Verdict,
        fields={
            **DOMAIN,
            "confidence": "The machine's own, 0 to 1.",
            "subject": "What it is about; for offers the lead's id.",
            "detail": "A JSON object, stored as it is.",
        },
    ),
    "HeimdallViewSet.promote": Doc(
        "Switch production use on",
        "For managers only: refused unless the scorecard reaches the policy's minimums now.",
        answer=Upserted,
        refusals=("stale_version", "promotion_refused", *SWITCHES),
        fields=DOMAIN,
    ),
}

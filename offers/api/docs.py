"""What the schema says about offers."""

from __future__ import annotations

from rest_framework import serializers

from governance.core.rest.describe import (
    SWITCHES,
    Answer,
    Doc,
    Tag,
    Written,
    cad,
    codes,
    fraction,
    ok,
)

TAG = Tag(
    "Offers", "Offers computed from a policy, stored with their evidence, and their outcomes.", prefix="Offer"
)
REFUSALS = {
    "offer_policy_disabled": (409, "No policy applies here, or it is off."),
    "market_too_cold": (409, "The market's cautious liquidity score is below the policy's minimum."),
    "heimdall_refused": (409, "The machine's recommendation may not be used; `reason` says why."),
    "no_offer": (409, "These amounts leave no offer, so that there is nothing to reserve."),
    "risk_denied": (409, "The risk guard denied the reservation; `reason` is its code."),
    "superseded": (409, "A newer computation replaced this one; record the outcome there."),
    "outcome_differs": (409, "An outcome with other data is recorded already; correct it instead."),
    "outcome_out_of_order": (409, "The offer's state does not allow this outcome."),
    "price_above_mao": (409, "The price exceeds the maximum allowable offer; only a manager records it."),
    "nothing_to_correct": (409, "No such outcome is recorded."),
}


class Policy(Answer):
    """How offers are computed in a market."""

    id = serializers.IntegerField()
    province = serializers.CharField()
    market = serializers.CharField()
    enabled = serializers.BooleanField()
    max_arv_multiplier = fraction()
    default_assignment_fee = cad()
    default_fees_buffer = cad()
    offer_net_of_assignment_fee = serializers.BooleanField()
    min_liquidity_score = serializers.FloatField(allow_null=True, help_text="Points; null means no minimum.")
    require_heimdall = serializers.BooleanField()
    version = serializers.IntegerField()
    changed_by = serializers.CharField()
    reason = serializers.CharField()
    updated_at = serializers.DateTimeField()


class Policies(Answer):
    """Offer policies, by province and market."""

    ok = ok()
    policies = Policy(many=True)


class Upserted(Answer):
    """The policy after the change."""

    ok = ok()
    policy = Policy()


class Calculation(Answer):
    """Every figure of an offer."""

    arv = cad(help_text="After-repair value, CAD.")
    max_arv_multiplier = fraction()
    repairs = cad()
    fees_buffer = cad()
    assignment_fee = cad()
    mao = cad(help_text="Maximum allowable offer, CAD: ARV x multiplier - repairs - fees buffer, at least 0.")
    recommended_offer = cad()
    binding = serializers.CharField(help_text="Which term decided.")
    floored = serializers.BooleanField(help_text="Whether the minimum of 0 was applied.")


class Computed(Answer):
    """An offer; with `dry_run` nothing is stored and `evidence_id` is null."""

    ok = ok()
    policy = Policy()
    calc = Calculation()
    evidence_id = serializers.IntegerField(allow_null=True)
    reservation_id = serializers.IntegerField(allow_null=True)
    warnings = codes(help_text="`unknown_field:comps.NAME` for each key of a comp that no figure uses.")


class Outcome(Written):
    """An outcome of an offer."""

    id = serializers.IntegerField()
    outcome = serializers.CharField()
    agreed_price = cad(allow_null=True)
    buyer = serializers.CharField()
    buyer_price = cad(allow_null=True)
    fee_earned = cad(allow_null=True)
    corrects = serializers.IntegerField(allow_null=True, help_text="The outcome that this one replaces.")
    voided = serializers.BooleanField()


class Recorded(Answer):
    """The recorded outcome and the offer's state after it."""

    ok = ok()
    evidence_id = serializers.IntegerField()
    outcome = Outcome()
    state = serializers.CharField()
    already_recorded = serializers.BooleanField(help_text="True if the same outcome was recorded before.")


SHAPES = {
    "EvidenceSerializer.reservation_id": serializers.IntegerField(allow_null=True),
    "EvidenceSerializer.outcomes": Outcome(many=True),
    "EvidenceSerializer.comp_details": serializers.DictField(
        help_text="By the comp's number: keys that no figure uses."
    ),
    "EvidenceSerializer.comps": serializers.ListField(child=serializers.DictField()),
    "EvidenceSerializer.comps_statistics": serializers.DictField(),
    "EvidenceSerializer.policy_values": serializers.DictField(help_text="The policy as it was."),
    "EvidenceSerializer.liquidity": serializers.DictField(allow_null=True),
    "EvidenceSerializer.heimdall": serializers.DictField(allow_null=True),
    "EvidenceSerializer.assumptions": serializers.DictField(),
}


class Quote(Answer):
    """The figures of an offer, CAD."""

    ok = ok()
    mao = cad(help_text="The maximum allowable offer, CAD.")
    recommended_offer = cad()
    assignment_fee = cad()
    binding = serializers.CharField(
        help_text="`formula`, `mao_floor` or `offer_floor`: the term that decided."
    )
    floored = serializers.BooleanField(help_text="Whether a minimum of 0 applied.")


DOCS = {
    "OfferViewSet.quote": Doc(
        "Quote an offer",
        "Computes as a dry run of `compute` does, and stores nothing.",
        answer=Quote,
        refusals=("offer_policy_disabled", "market_too_cold", "heimdall_refused", *SWITCHES),
        fields={"arv": "The value after repairs, CAD.", "repairs": "What the repairs cost, CAD."},
    ),
    "OfferViewSet.policies": Doc("List offer policies", answer=Policies),
    "OfferViewSet.upsert": Doc(
        "Create or change an offer policy",
        "Omitted values stay as they are.",
        answer=Upserted,
        refusals=("stale_version",),
        fields={"min_liquidity_score": "Points, compared with `score_low`; null means no minimum."},
    ),
    "OfferViewSet.compute": Doc(
        "Compute an offer",
        "Stores the offer with its evidence, which nothing changes later; for a lead it replaces the open "
        "one. With `dry_run` nothing is stored.",
        answer=Computed,
        refusals=(
            "offer_policy_disabled",
            "market_too_cold",
            "heimdall_refused",
            "no_offer",
            "risk_denied",
            *SWITCHES,
        ),  # fmt: skip
        fields={
            "arv": "After-repair value, CAD.",
            "repairs": "CAD.",
            "comps": (
                "Comparable sales: a list of objects with `price` (CAD), `sold_on` and `distance_km`, "
                "among others. Unknown keys are stored apart and listed in `warnings`."
            ),
            "comps_json": "The same as JSON text, for forms.",
            "assumptions": "A JSON object, stored with the evidence.",
            "assumptions_json": "The same as JSON text, for forms.",
            "recommendation_id": "The recommendation from Heimdall that the offer uses.",
            "reserve": "Reserves the assignment fee with the risk guard.",
            "dry_run": "Computes without storing anything.",
        },
    ),
    "OfferViewSet.outcome": Doc(
        "Record an offer's outcome",
        "ACCEPTED or REJECTED, then CONTRACTED, then ASSIGNED or FELL_THROUGH. Repeating it changes nothing.",
        answer=Recorded,
        refusals=(
            "not_found",
            "superseded",
            "outcome_differs",
            "outcome_out_of_order",
            "price_above_mao",
            "nothing_to_correct",
        ),  # fmt: skip
        fields={
            "agreed_price": "CAD.",
            "buyer_price": "CAD.",
            "fee_earned": "CAD.",
            "correct": "Replaces what was recorded; for managers.",
            "void": "With `correct`: withdraws it.",
        },
    ),
    "EvidenceViewSet.list": Doc(
        "List computed offers", "Newest first. Decimals inside JSON values are text."
    ),
    "EvidenceViewSet.retrieve": Doc("Get a computed offer"),
}

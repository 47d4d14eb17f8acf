"""Serializers of the offers' endpoints."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from django.core.exceptions import ValidationError as DjangoValidationError
from django.utils import timezone
from django.utils.translation import gettext as _
from rest_framework import serializers

from governance.core.places import Province, read_province
from governance.core.property_types import PropertyType
from governance.core.rest.fields import (
    FractionField,
    JSONObjectField,
    LabelField,
    MarketField,
    MoneyField,
    ProvinceField,
)
from governance.core.rest.input import Input, Question
from offers import rules
from offers.models import REASON_LENGTH, OfferEvidence, OfferOutcome, OfferPolicy
from offers.services import Computed, Recorded, details_of

VERSION_MAX = 2**31 - 1


class ChoiceOf(serializers.ChoiceField):
    """A choice, in any case."""

    def to_internal_value(self, data: Any) -> Any:
        return super().to_internal_value(data.strip().upper() if isinstance(data, str) else data)


class PointsField(MoneyField):
    """Points with two decimal places; blank and null mean no minimum."""

    def run_validation(self, data: object = serializers.empty) -> object:
        return super().run_validation(None if data == "" else data)


class PoliciesQuestion(Question):
    """The parameters of GET /policies: filters."""

    province = ProvinceField(required=False)
    market = LabelField(required=False)
    enabled = serializers.BooleanField(required=False)


class UpsertInput(Input):
    """The input of POST /policies/upsert; omitted values stay as they are."""

    province = ProvinceField()
    market = MarketField()
    enabled = serializers.BooleanField(required=False)
    max_arv_multiplier = FractionField(required=False)
    default_assignment_fee = MoneyField(required=False)
    default_fees_buffer = MoneyField(required=False)
    offer_net_of_assignment_fee = serializers.BooleanField(required=False)
    min_liquidity_score = PointsField(required=False, allow_null=True)
    require_heimdall = serializers.BooleanField(required=False)
    reason = serializers.CharField(required=False, allow_blank=True, max_length=REASON_LENGTH)
    expected_version = serializers.IntegerField(required=False, min_value=0, max_value=VERSION_MAX)


class ComputeInput(Input):
    """The input of POST /compute; comps and assumptions as JSON, or as JSON text under either name."""

    province = ProvinceField()
    market = MarketField()
    property_type = ChoiceOf(choices=PropertyType.choices, default=PropertyType.SFR)
    arv = MoneyField()
    repairs = MoneyField()
    comps = JSONObjectField(kind=list, required=False)
    comps_json = JSONObjectField(kind=list, required=False)
    assumptions = JSONObjectField(required=False)
    assumptions_json = JSONObjectField(required=False)
    lead_id = serializers.CharField(required=False, allow_blank=True, max_length=64, default="")
    recommendation_id = serializers.CharField(required=False, allow_blank=True, max_length=64, default="")
    reserve = serializers.BooleanField(default=False)
    dry_run = serializers.BooleanField(default=False)

    comp_details: Mapping[str, Mapping[str, object]] = MappingProxyType({})

    def validate_comps(self, value: object) -> tuple[rules.Comp, ...]:
        known, self.comp_details = rules.split_comps(value)
        try:
            province = read_province(self.initial_data.get("province"))
        except DjangoValidationError:
            province = Province.ON  # refused anyway
        today = rules.day_of(timezone.now(), province, rules.RULES_VERSION)
        return rules.read_comps(known, today=today)

    def validate_assumptions(self, value: object) -> dict[str, str | bool]:
        return rules.read_assumptions(value)

    validate_comps_json = validate_comps
    validate_assumptions_json = validate_assumptions

    def validate(self, attrs: dict[str, object]) -> dict[str, object]:
        for name in ("comps", "assumptions"):
            if name in attrs and f"{name}_json" in attrs:
                raise serializers.ValidationError(
                    {f"{name}_json": _("Give %(name)s or %(name)s_json, not both.") % {"name": name}}
                )
            if f"{name}_json" in attrs:
                attrs[name] = attrs.pop(f"{name}_json")
        attrs["comp_details"] = self.comp_details
        return attrs


class QuoteQuestion(Question):
    """The parameters of GET /quote."""

    province = ProvinceField()
    market = MarketField()
    property_type = ChoiceOf(choices=PropertyType.choices, default=PropertyType.SFR)
    arv = MoneyField()
    repairs = MoneyField()


class OutcomeInput(Input):
    """The input of POST /{evidence_id}/outcome; `correct` replaces what was recorded, `void` withdraws it."""

    outcome = ChoiceOf(choices=OfferOutcome.Outcome.choices)
    agreed_price = MoneyField(required=False)
    buyer = serializers.CharField(required=False, allow_blank=True, max_length=64)
    buyer_price = MoneyField(required=False)
    fee_earned = MoneyField(required=False)
    reason = serializers.CharField(required=False, allow_blank=True, max_length=REASON_LENGTH, default="")
    correct = serializers.BooleanField(default=False)
    void = serializers.BooleanField(default=False)

    def validate(self, attrs: dict[str, object]) -> dict[str, object]:
        if attrs["void"] and not attrs["correct"]:
            raise serializers.ValidationError({"void": _("Only a correction can take an outcome back.")})
        return attrs


def as_policy(policy: OfferPolicy) -> dict[str, object]:
    return {
        "id": policy.pk,
        "province": policy.province,
        "market": policy.market,
        "enabled": policy.enabled,
        "max_arv_multiplier": policy.max_arv_multiplier,
        "default_assignment_fee": policy.default_assignment_fee,
        "default_fees_buffer": policy.default_fees_buffer,
        "offer_net_of_assignment_fee": policy.offer_net_of_assignment_fee,
        "min_liquidity_score": policy.min_liquidity_score,
        "require_heimdall": policy.require_heimdall,
        "version": policy.version,
        "changed_by": policy.changed_by,
        "reason": policy.reason,
        "updated_at": policy.updated_at,
    }


def as_computed(computed: Computed, comp_details: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return a computation's answer; `warnings` names each key of a comp that no figure is based on."""
    figures = computed.calculation
    unknown = dict.fromkeys(key for details in comp_details.values() for key in details)
    return {
        "ok": True,
        "policy": as_policy(computed.policy),
        "calc": {
            "arv": figures.arv,
            "max_arv_multiplier": figures.max_arv_multiplier,
            "repairs": figures.repairs,
            "fees_buffer": figures.fees_buffer,
            "assignment_fee": figures.assignment_fee,
            "mao": figures.mao,
            "recommended_offer": figures.recommended_offer,
            "binding": figures.binding,
            "floored": figures.floored,
        },
        "evidence_id": computed.evidence.pk if computed.evidence is not None else None,
        "reservation_id": computed.reservation_id,
        "warnings": [f"unknown_field:comps.{key}" for key in unknown],
    }


def as_quote(figures: rules.Calculation) -> dict[str, object]:
    """Return the figures that a closer speaks of, and the term that decided."""
    return {
        "ok": True,
        "mao": figures.mao,
        "recommended_offer": figures.recommended_offer,
        "assignment_fee": figures.assignment_fee,
        "binding": figures.binding,
        "floored": figures.floored,
    }


def as_outcome(row: OfferOutcome) -> dict[str, object]:
    return {
        "id": row.pk,
        "outcome": row.outcome,
        "agreed_price": row.agreed_price,
        "buyer": row.buyer,
        "buyer_price": row.buyer_price,
        "fee_earned": row.fee_earned,
        "corrects": row.corrects_id,
        "voided": row.voided,
        "actor": row.actor,
        "acting_for": row.acting_for,
        "correlation_id": row.correlation_id,
        "token_id": row.token_id,
        "created_at": row.created_at,
    }


def as_recorded(recorded: Recorded) -> dict[str, object]:
    return {
        "ok": True,
        "evidence_id": recorded.outcome.evidence_id,
        "outcome": as_outcome(recorded.outcome),
        "state": recorded.state,
        "already_recorded": recorded.already_recorded,
    }


class EvidenceSerializer(serializers.ModelSerializer[OfferEvidence]):
    """Evidence with the state of its offer and its outcomes; decimals inside JSON stay text."""

    market = serializers.CharField(source="market_name")
    state = serializers.CharField(source="offer.state")
    reservation_id = serializers.IntegerField(source="offer.reservation_id")
    updated_at = serializers.DateTimeField(read_only=True)
    outcomes = serializers.SerializerMethodField()
    comp_details = serializers.SerializerMethodField()

    class Meta:
        model = OfferEvidence
        fields = (
            "id",
            "province",
            "market",
            "property_type",
            "lead_id",
            "recommendation_id",
            "policy_id",
            "policy_version",
            "policy_values",
            "liquidity",
            "heimdall",
            "arv",
            "max_arv_multiplier",
            "repairs",
            "fees_buffer",
            "assignment_fee",
            "mao",
            "recommended_offer",
            "binding",
            "floored",
            "comps",
            "comps_statistics",
            "comps_grade",
            "comp_details",
            "assumptions",
            "rules_version",
            "digest",
            "state",
            "reservation_id",
            "outcomes",
            "actor",
            "acting_for",
            "correlation_id",
            "token_id",
            "created_at",
            "updated_at",
        )

    def get_comp_details(self, evidence: OfferEvidence) -> dict[str, object]:
        return details_of(evidence)

    def get_outcomes(self, evidence: OfferEvidence) -> list[dict[str, object]]:
        return [as_outcome(row) for row in sorted(evidence.outcomes.all(), key=lambda row: row.pk)]

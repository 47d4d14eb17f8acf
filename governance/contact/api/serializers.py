"""Serializers of the gate's endpoint and of stored decisions."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError as DjangoValidationError
from django.utils.translation import gettext as _
from rest_framework import serializers

from governance.contact.digests import read_email, read_phone
from governance.contact.models import ContactDecision
from governance.contact.services import Answer
from governance.core.channels import CHANNELS
from governance.core.hours import read_clock
from governance.core.places import validate_zone
from governance.core.rest.fields import (
    FractionField,
    InstantField,
    MarketField,
    ProvinceField,
    WholeNumberField,
)
from governance.core.rest.input import Question

LEAD_ID_LENGTH = 64
POINT_LENGTH = 254


class ScoreField(FractionField):
    """A score from 0 to 1; blank means unknown."""

    def to_internal_value(self, data: object) -> Any:
        return None if isinstance(data, str) and not data.strip() else super().to_internal_value(data)


class ContactQuestion(Question):
    """The input of GET /can-contact: a channel, a place or lead, and a local time, an instant, or now."""

    province = ProvinceField(required=False)
    market = MarketField(default=None)
    channel = serializers.CharField(max_length=20)
    weekday = WholeNumberField(required=False, min_value=0, max_value=6)
    hhmm = serializers.CharField(required=False, max_length=20)
    at = InstantField(required=False)
    lead_id = serializers.CharField(required=False, allow_blank=True, max_length=LEAD_ID_LENGTH)
    lead_score = ScoreField(required=False)
    phone = serializers.CharField(required=False, allow_blank=True, max_length=POINT_LENGTH)
    email = serializers.CharField(required=False, allow_blank=True, max_length=POINT_LENGTH)
    timezone = serializers.CharField(required=False, allow_blank=True, max_length=40)

    def validate_channel(self, value: str) -> str:
        channel = value.strip().upper()
        if channel not in CHANNELS:
            raise serializers.ValidationError(
                _("“%(channel)s” is not a channel; use %(known)s.")
                % {"channel": value[:20], "known": ", ".join(CHANNELS)}
            )
        return channel

    def validate_hhmm(self, value: str) -> int:
        try:
            return read_clock(value.strip())
        except ValueError:
            raise serializers.ValidationError(
                _("“%(time)s” is not a time of day; write it as 09:00.") % {"time": value}
            ) from None

    def validate_phone(self, value: str) -> str:
        return _said_by(read_phone, value) if value else ""

    def validate_email(self, value: str) -> str:
        return _said_by(read_email, value) if value else ""

    def validate_timezone(self, value: str) -> str:
        if value:
            _said_by(validate_zone, value)
        return value

    def validate(self, attrs: dict[str, object]) -> dict[str, object]:
        for one, other in (("weekday", "hhmm"), ("hhmm", "weekday")):
            if one in attrs and other not in attrs:
                raise serializers.ValidationError(
                    {other: _("weekday and hhmm go together; give both or neither.")}
                )
        if "at" in attrs and "weekday" in attrs:
            raise serializers.ValidationError({"at": _("Give either at, or weekday and hhmm.")})
        if not attrs.get("province") and not attrs.get("lead_id"):
            raise serializers.ValidationError({"province": _("Name a province or a lead.")})
        return attrs


def _said_by(reader: Any, value: str) -> Any:
    try:
        return reader(value)
    except DjangoValidationError as wrong:
        raise serializers.ValidationError(wrong.messages) from wrong


def as_answer(answer: Answer) -> dict[str, Any]:
    """Return the gate's answer as GET /can-contact shows it."""
    verdict, gate = answer.verdict, answer.gate
    policy = gate.policy
    return {
        "ok": verdict.ok,
        "reason": verdict.reason,
        "province": gate.where.place.province,
        "market": gate.where.place.market,
        "channel": answer.channel,
        "policy": policy
        and {"id": policy.id, "version": policy.version, "market": policy.market, "enabled": policy.enabled},
        "scope": answer.scope,
        "zones": list(verdict.zones),
        "local_times": list(verdict.local_times),
        "checks": [check.as_json() for check in verdict.checks],
        "next_allowed_at": answer.next_allowed_at,
        "warnings": list(answer.warnings),
        "citation": verdict.citation,
    }


def asked_of_gate(asked: dict[str, Any]) -> dict[str, Any]:
    """Return the validated parameters as arguments of `can_contact`, without the instant."""
    score: Decimal | None = asked.get("lead_score")
    return {
        "channel": asked["channel"],
        "province": asked.get("province", ""),
        "market": asked["market"],
        "lead_id": asked.get("lead_id", ""),
        "score": score,
        "phone": asked.get("phone", ""),
        "email": asked.get("email", ""),
        "zone": asked.get("timezone", ""),
        "as_given": (asked["weekday"], asked["hhmm"]) if "weekday" in asked else None,
    }


class DecisionSerializer(serializers.ModelSerializer[ContactDecision]):
    """A stored decision; phones and addresses appear only as keyed hashes."""

    class Meta:
        model = ContactDecision
        fields = (
            "id",
            "door",
            "lead_id",
            "task_id",
            "phone_digest",
            "email_digest",
            "province",
            "market",
            "channel",
            "at",
            "zones",
            "local_times",
            "ok",
            "reason",
            "overridden",
            "happened",
            "lead_score",
            "policy_id",
            "policy_version",
            "basis",
            "actor",
            "acting_for",
            "correlation_id",
            "token_id",
            "created_at",
        )

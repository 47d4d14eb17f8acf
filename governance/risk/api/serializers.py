"""Serializers of the risk guard's endpoints."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from django.core.exceptions import ValidationError
from rest_framework import serializers

from governance.core.rest.fields import MoneyField, WholeNumberField
from governance.core.rest.input import Input, Question
from governance.risk import rules
from governance.risk.models import REASON_LENGTH, RiskEvent, RiskPolicy, RiskReservation
from governance.risk.services import Ended, EngineUse, Reserved, Snapshot, as_caps

VERSION_MAX = 2**31 - 1
ID_MAX = 2**63 - 1


class EngineField(serializers.CharField):
    """An engine's code, in any case."""

    def to_internal_value(self, data: Any) -> str:
        try:
            return rules.read_engine(super().to_internal_value(data))
        except ValidationError as wrong:
            raise serializers.ValidationError(wrong.messages, code="engine") from wrong


class CodeField(serializers.CharField):
    """A code, not a sentence; may be blank."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(required=False, allow_blank=True, default="", **kwargs)

    def to_internal_value(self, data: Any) -> str:
        try:
            return rules.read_code(super().to_internal_value(data))
        except ValidationError as wrong:
            raise serializers.ValidationError(wrong.messages, code="code") from wrong


class PoliciesQuestion(Question):
    """The parameters of GET /policies: filters."""

    engine = EngineField(required=False)
    enabled = serializers.BooleanField(required=False)


class PolicyInput(Input):
    """The input of POST /policies/upsert; omitted values stay as they are, and a cap of 0 means no cap."""

    engine = EngineField()
    enabled = serializers.BooleanField(required=False)
    max_daily_loss = MoneyField(required=False)
    max_daily_exposure = MoneyField(required=False)
    max_open_risk = MoneyField(required=False)
    max_actions_per_day = WholeNumberField(required=False, min_value=0, max_value=rules.ACTIONS_MAX)
    reason = serializers.CharField(required=False, allow_blank=True, max_length=REASON_LENGTH)
    expected_version = WholeNumberField(required=False, min_value=0, max_value=VERSION_MAX)


class ReserveInput(Input):
    """The input of POST /check-and-reserve.

    Some clients send `reason` for `purpose`, as a code or as a sentence. A sentence is not stored, since
    these rows are never deleted and must not name a person; `warnings` says so.
    """

    engine = EngineField()
    amount = MoneyField()
    purpose = CodeField()
    reason = serializers.CharField(
        required=False, allow_blank=True, allow_null=True, default="", max_length=REASON_LENGTH
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, object]:
        reason, attrs["warnings"] = attrs.pop("reason") or "", []
        if not attrs["purpose"]:
            with suppress(ValidationError):
                attrs["purpose"] = rules.read_code(reason)
        if reason not in ("", attrs["purpose"]):
            attrs["warnings"] = ["reason_not_stored"]
        return attrs


class SettleInput(Input):
    """The input of POST /settle."""

    reservation_id = WholeNumberField(min_value=1, max_value=ID_MAX)
    realized_loss = MoneyField()


class ReleaseInput(Input):
    """The input of POST /release; `reason` is a code."""

    reservation_id = WholeNumberField(min_value=1, max_value=ID_MAX)
    reason = CodeField()


def as_policy(policy: RiskPolicy) -> dict[str, object]:
    return {
        "id": policy.pk,
        "engine": policy.engine,
        **as_caps(policy),
        "changed_by": policy.changed_by,
        "reason": policy.reason,
        "updated_at": policy.updated_at,
    }


def as_reserved(answer: Reserved, warnings: Sequence[str] = ()) -> dict[str, Any]:
    return {
        "ok": answer.ok,
        "engine": answer.engine,
        "reserved": answer.reserved,
        "message": answer.message,
        "code": answer.code,
        "reservation_id": answer.reservation_id,
        "policy_snapshot": answer.policy_snapshot,
        "ledger_snapshot": answer.ledger_snapshot,
        "warnings": list(warnings),
    }


def as_ended(ended: Ended) -> dict[str, object]:
    return {
        "ok": True,
        "reservation": as_reservation(ended.reservation),
        "already_ended": ended.already_ended,
    }


def as_reservation(reservation: RiskReservation) -> dict[str, object]:
    return {
        "id": reservation.pk,
        "engine": reservation.engine,
        "amount": reservation.amount,
        "day": reservation.day,
        "state": reservation.state,
        "realized_loss": reservation.realized_loss,
        "purpose": reservation.purpose,
        "created_at": reservation.created_at,
        "closed_at": reservation.closed_at,
    }


def as_ledger(found: Snapshot) -> dict[str, object]:
    return {
        "ok": True,
        "day": found.day,
        "ledger": [
            {
                "engine": engine.engine,
                "realized_loss": engine.use.realized_loss,
                "exposure": engine.use.exposure,
                "open_risk": engine.use.open_risk,
                "actions": engine.use.actions,
            }
            for engine in found.engines
        ],
    }


def as_snapshot(found: Snapshot) -> dict[str, object]:
    return {
        "ok": True,
        "day": found.day,
        "engines": [as_engine_use(engine) for engine in found.engines],
    }


def as_engine_use(found: EngineUse) -> dict[str, object]:
    """Return each cap with its use; `cap`, `left` and `share` are null without a cap."""
    return {
        "engine": found.engine,
        "enabled": found.policy.enabled,
        "version": found.policy.version,
        "throttled_by": list(found.throttled_by),
        **{
            measure.name: {
                "cap": measure.cap or None,
                "used": measure.used,
                "left": measure.left,
                "share": None if measure.share is None else round(measure.share, 4),
            }
            for measure in found.measures
        },
    }


class RiskEventSerializer(serializers.ModelSerializer[RiskEvent]):
    """An event with the basis of its decision; decimals inside `detail` stay text."""

    class Meta:
        model = RiskEvent
        fields = (
            "id",
            "kind",
            "engine",
            "amount",
            "realized_loss",
            "reservation_id",
            "code",
            "purpose",
            "tripwire",
            "detail",
            "actor",
            "acting_for",
            "correlation_id",
            "token_id",
            "created_at",
        )

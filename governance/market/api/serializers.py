"""Shapes in and out of the market policies' endpoints."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from governance.doors import Input, JSONObjectField, MarketField, ProvinceField, Question, WholeNumberField
from governance.market.models import MarketPolicy

POLICIES = 1000
VERSION_MAX = 2_147_483_647
ZONE_LENGTH = 40
REASON_LENGTH = 500


class PoliciesQuestion(Question):
    """What GET /policies takes: all of it narrows, `limit` is 1000 at most."""

    province = ProvinceField(required=False)
    market = MarketField(default=None, allow_blank=False)
    enabled = serializers.BooleanField(required=False)
    limit = WholeNumberField(min_value=1, max_value=POLICIES, default=POLICIES)


class EffectiveQuestion(Question):
    """What GET /effective takes."""

    province = ProvinceField()
    market = MarketField()


class PolicyInput(Input):
    """What POST /policies/upsert takes; what is left out keeps its value."""

    province = ProvinceField()
    market = MarketField()
    enabled = serializers.BooleanField(required=False)
    rules = JSONObjectField(required=False)
    timezone = serializers.CharField(required=False, allow_blank=True, max_length=ZONE_LENGTH)
    reason = serializers.CharField(required=False, allow_blank=True, max_length=REASON_LENGTH)
    expected_version = WholeNumberField(required=False, min_value=0, max_value=VERSION_MAX)


def as_policy(policy: MarketPolicy) -> dict[str, Any]:
    """Return a policy as the list and the upsert answer it."""
    return {
        "id": policy.pk,
        "province": policy.province,
        "market": policy.market,
        "enabled": policy.enabled,
        "rules": policy.rules,
        "timezone": policy.timezone,
        "version": policy.version,
        "changed_by": policy.changed_by,
        "reason": policy.reason,
        "updated_at": policy.updated_at,
    }

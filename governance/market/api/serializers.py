"""Serializers of the market policies' endpoints."""

from __future__ import annotations

from collections.abc import Sequence

from rest_framework import serializers

from governance.core.places import Place
from governance.core.rest.fields import (
    InstantField,
    JSONObjectField,
    MarketField,
    ProvinceField,
    WholeNumberField,
)
from governance.core.rest.input import Input, Question
from governance.market.models import MarketPolicy, ScheduledChange
from governance.market.rules import DEFAULT_RULES
from governance.market.timeline import PolicyRow

POLICIES = 1000
VERSION_MAX = 2_147_483_647
ID_MAX = 2**63 - 1
ZONE_LENGTH = 40
REASON_LENGTH = 500


class PoliciesQuestion(Question):
    """The parameters of GET /policies: filters, and a `limit` of at most 1000."""

    province = ProvinceField(required=False)
    market = MarketField(default=None, allow_blank=False)
    enabled = serializers.BooleanField(required=False)
    limit = WholeNumberField(min_value=1, max_value=POLICIES, default=POLICIES)


class EffectiveQuestion(Question):
    """The parameters of GET /effective; `at` defaults to now."""

    province = ProvinceField()
    market = MarketField()
    at = InstantField(required=False)


class PolicyInput(Input):
    """The input of POST /policies/upsert and /simulate; omitted values stay as they are.

    With `effective_from` the change is scheduled, and the policy stays as it is until then.
    """

    province = ProvinceField()
    market = MarketField()
    enabled = serializers.BooleanField(required=False)
    rules = JSONObjectField(required=False)
    timezone = serializers.CharField(required=False, allow_blank=True, max_length=ZONE_LENGTH)
    effective_from = InstantField(required=False)
    reason = serializers.CharField(required=False, allow_blank=True, max_length=REASON_LENGTH)
    expected_version = WholeNumberField(required=False, min_value=0, max_value=VERSION_MAX)


class CancelInput(Input):
    """The input of POST /policies/cancel."""

    id = WholeNumberField(min_value=1, max_value=ID_MAX)
    reason = serializers.CharField(max_length=REASON_LENGTH)


def as_change(change: ScheduledChange) -> dict[str, object]:
    """Return a scheduled change; `changes` has only the values that it changes."""
    return {
        "id": change.pk,
        "province": change.province,
        "market": change.market,
        "effective_from": change.effective_from,
        "changes": change.changes,
        "state": change.state,
        "changed_by": change.changed_by,
        "reason": change.reason,
        "created_at": change.created_at,
    }


def as_policy(policy: MarketPolicy, scheduled: Sequence[ScheduledChange] = ()) -> dict[str, object]:
    """Return a policy as the list and the upsert answer it, with its pending changes."""
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
        "scheduled": [as_change(change) for change in scheduled],
    }


def as_effective(
    place: Place, policy: PolicyRow | None, scheduled: Sequence[ScheduledChange]
) -> dict[str, object]:
    """Return the policy that applies to a place, since when, and the pending changes there."""
    return {
        "found": policy is not None,
        "province": place.province,
        "market": policy.market if policy else None,
        "requested_market": place.market,
        "enabled": policy.enabled if policy else None,
        "rules": {**DEFAULT_RULES.as_json(), **policy.rules} if policy else None,
        "policy_id": policy.id if policy else None,
        "version": policy.version if policy else None,
        "effective_from": policy.since if policy else None,
        "scheduled": [as_change(change) for change in scheduled],
    }

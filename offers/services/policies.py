"""Offer policies: the one in force, and changing one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from governance.actors import By
from governance.errors import Forbidden, Invalid, Refused
from governance.golive.services import Execution, verb
from governance.places import Place
from offers.models import OfferPolicy

EDIT = "offers.edit_policies"
POLICY_FIELDS = (
    "enabled",
    "max_arv_multiplier",
    "default_assignment_fee",
    "default_fees_buffer",
    "offer_net_of_assignment_fee",
    "min_liquidity_score",
    "require_heimdall",
)


def get_effective_policy(place: Place) -> OfferPolicy | None:
    """Return the policy that decides for a place: its own row, else its province's ALL, else None."""
    policy: OfferPolicy | None = OfferPolicy.objects.effective(place)
    return policy


@verb(Execution.OBSERVE_ONLY)
def upsert_policy(
    place: Place,
    changes: Mapping[str, Any],
    *,
    by: By,
    at: datetime,
    reason: str = "",
    expected_version: int | None = None,
) -> OfferPolicy:
    """Create or change a place's policy and return it; `changes` names any of POLICY_FIELDS.

    What is left out keeps its value, a new row takes it from the effective policy, and no change makes no
    version. Raises Forbidden without the right, Invalid for values out of bounds, Refused `stale_version`
    when `expected_version` is not the row's (0: there is none yet).
    """
    if not by.may(EDIT):
        raise Forbidden(
            "not_allowed", _("Changing an offer policy needs a manager, or a token with the policy scope.")
        )
    policy = _locked_or_new(place, at)
    current = 0 if policy._state.adding else policy.version
    if expected_version is not None and expected_version != current:
        raise Refused(
            "stale_version",
            _("The policy was changed meanwhile: it has version %(now)s, not %(expected)s. Read it again.")
            % {"now": current, "expected": expected_version},
            extra={"version": current},
        )
    before = [getattr(policy, name) for name in POLICY_FIELDS]
    for name in POLICY_FIELDS:
        if name in changes:
            setattr(policy, name, changes[name])
    try:
        policy.clean_fields(exclude={"changed_by", "updated_at"})
    except ValidationError as wrong:
        raise Invalid(wrong.message_dict) from wrong
    if current and before == [getattr(policy, name) for name in POLICY_FIELDS]:
        return policy
    return _save_version(policy, by=by, at=at, reason=reason)


def _locked_or_new(place: Place, at: datetime) -> OfferPolicy:
    rows = OfferPolicy.objects.select_for_update().filter(
        province=place.province, market_key=place.market_key
    )
    existing: OfferPolicy | None = rows.first()
    if existing is not None:
        return existing
    fresh = OfferPolicy(province=place.province, market=place.market, version=0, updated_at=at)
    general = get_effective_policy(place)
    if general is not None:
        for name in POLICY_FIELDS:
            setattr(fresh, name, getattr(general, name))
    return fresh


def _save_version(policy: OfferPolicy, *, by: By, at: datetime, reason: str) -> OfferPolicy:
    policy.version += 1
    policy.changed_by = by.acting_for or by.username
    policy.reason = reason
    policy.correlation_id = by.correlation_id
    policy.updated_at = at
    policy._change_reason = reason  # type: ignore[attr-defined]  # read by simple_history
    policy._history_date = at  # type: ignore[attr-defined]  # read by simple_history
    try:
        with transaction.atomic():
            policy.save()
    except IntegrityError as taken:
        raise Refused(
            "stale_version", _("Someone else created this policy at the same moment. Read it again first.")
        ) from taken
    return policy

"""Verbs of market policies."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from governance import hooks
from governance.actors import By
from governance.errors import Forbidden, Invalid, Refused
from governance.golive.services import Execution, verb
from governance.market.models import MarketPolicy
from governance.market.rules import read_rules
from governance.places import Place, validate_zone

EDIT = "governance.edit_policies"


def get_effective_policy(place: Place) -> MarketPolicy | None:
    """Return the policy that decides for a place: its own row, else its province's ALL, else None."""
    policy: MarketPolicy | None = MarketPolicy.objects.effective(place)
    return policy


@verb(Execution.OBSERVE_ONLY)
def upsert_policy(
    place: Place,
    *,
    by: By,
    at: datetime,
    enabled: bool | None = None,
    rules: Mapping[str, Any] | None = None,
    timezone: str | None = None,
    reason: str = "",
    expected_version: int | None = None,
) -> MarketPolicy:
    """Create or change a place's policy; what is left out, also inside `rules`, keeps its value.

    No change makes no version. Raises Forbidden without the right, Invalid for rules or a zone that cannot be
    used, Refused `stale_version` when `expected_version` is not the row's.
    """
    if not by.may(EDIT):
        raise Forbidden(
            "not_allowed", _("Changing a market policy needs a manager, or a token with the policy scope.")
        )
    policy = _locked_or_new(place, at)
    current = 0 if policy._state.adding else policy.version
    if expected_version is not None and expected_version != current:
        raise Refused(
            "stale_version",
            _(
                "The policy was changed meanwhile: it has version %(now)s, not %(expected)s. Read it "
                "again first."
            )
            % {"now": current, "expected": expected_version},
            extra={"version": current},
        )
    before = (policy.enabled, policy.rules, policy.timezone)
    if enabled is not None:
        policy.enabled = enabled
    if rules is not None:
        try:
            policy.rules = read_rules({**policy.rules, **rules}).as_json()
        except ValidationError as wrong:
            raise Invalid({"rules": wrong.messages}) from wrong
    if timezone is not None:
        try:
            if timezone:
                validate_zone(timezone)
        except ValidationError as wrong:
            raise Invalid({"timezone": wrong.messages}) from wrong
        policy.timezone = timezone
    if current and before == (policy.enabled, policy.rules, policy.timezone):
        return policy
    return _save_version(policy, by=by, at=at, reason=reason)


def _locked_or_new(place: Place, at: datetime) -> MarketPolicy:
    rows = MarketPolicy.objects.select_for_update().filter(
        province=place.province, market_key=place.market_key
    )
    existing: MarketPolicy | None = rows.first()
    if existing is not None:
        return existing
    general = get_effective_policy(place)
    fresh = MarketPolicy(province=place.province, market=place.market, version=0, updated_at=at)
    if general is not None:
        fresh.rules = dict(general.rules)
    return fresh


def _save_version(policy: MarketPolicy, *, by: By, at: datetime, reason: str) -> MarketPolicy:
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
    hooks.on_gate_changed.ask(policy.province, by, at)
    return policy

"""Verbs of market policies."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any

from django.utils.translation import gettext as _

from governance import hooks
from governance.actors import By
from governance.errors import Forbidden
from governance.golive.services import Execution, verb
from governance.market.models import MarketPolicy
from governance.places import Place
from governance.versions import checked, revise

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
    policy: MarketPolicy
    policy, changed = revise(
        MarketPolicy.objects.of(place),
        partial(_fresh, place), partial(_change, enabled=enabled, rules=rules, timezone=timezone),
        by=by, at=at, reason=reason, expected_version=expected_version,
    )  # fmt: skip
    if changed:
        hooks.on_gate_changed.ask(policy.province, by, at)
    return policy


def _fresh(place: Place) -> MarketPolicy:
    general = get_effective_policy(place)
    new = MarketPolicy(province=place.province, market=place.market)
    if general is not None:
        new.rules = dict(general.rules)
    return new


def _change(
    policy: MarketPolicy, *, enabled: bool | None, rules: Mapping[str, Any] | None, timezone: str | None
) -> None:
    if enabled is not None:
        policy.enabled = enabled
    if rules is not None:
        policy.rules = {**policy.rules, **rules}
    if timezone is not None:
        policy.timezone = timezone


def simulate_policy(
    place: Place,
    *,
    at: datetime,
    enabled: bool | None = None,
    rules: Mapping[str, Any] | None = None,
    timezone: str | None = None,
) -> hooks.Moves:
    """Return what `upsert_policy` with the same values would do to open tasks; keeps nothing.

    Raises Invalid for rules or a zone that cannot be used.
    """
    policy: MarketPolicy = MarketPolicy.objects.of(place).first() or _fresh(place)
    _change(policy, enabled=enabled, rules=rules, timezone=timezone)
    checked(policy)
    draft = hooks.PolicyDraft(place, policy.enabled, policy.rules, policy.timezone)
    return hooks.policy_would_move.first(draft, at) or hooks.Moves()

"""Offer policies: look up the one in force, and change one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial

from django.utils.translation import gettext_lazy

from governance.core.actors import Actor
from governance.core.places import Place
from governance.core.verbs import Execution, verb
from governance.core.versions import revise
from governance.market.names import spelled
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
    """Return the policy that applies to a place: its own row, else its province's ALL, else None."""
    policy: OfferPolicy | None = OfferPolicy.objects.effective(place)
    return policy


@verb(
    Execution.OBSERVE_ONLY,
    right=EDIT,
    refusal=gettext_lazy("Changing an offer policy needs a manager, or a token with the policy scope."),
)
def upsert_policy(
    place: Place,
    changes: Mapping[str, object],
    *,
    by: Actor,
    at: datetime,
    reason: str = "",
    expected_version: int | None = None,
) -> OfferPolicy:
    """Create or change a place's policy and return it; `changes` names any of POLICY_FIELDS.

    Omitted values stay as they are; a new row takes them from the effective policy; without a change there is
    no version. Raises Forbidden without the permission, Invalid for values out of bounds, Refused
    `stale_version` when `expected_version` is not the row's (0: there is none yet).
    """

    def fresh() -> OfferPolicy:
        general = get_effective_policy(place)
        new = OfferPolicy(province=place.province, market=spelled(place).market)
        for name in POLICY_FIELDS if general is not None else ():
            setattr(new, name, getattr(general, name))
        return new

    def change(policy: OfferPolicy) -> None:
        for name in POLICY_FIELDS:
            if name in changes:
                setattr(policy, name, changes[name])

    policy: OfferPolicy
    policy, _changed = revise(
        OfferPolicy.objects.of(place),
        fresh,
        change,
        by=by,
        at=at,
        reason=reason,
        expected_version=expected_version,
        lock=partial(OfferPolicy.objects.lock, place),
    )
    return policy

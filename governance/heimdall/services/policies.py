"""Services of Heimdall's policies: change one, and switch production use on."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from governance.core.actors import Actor
from governance.core.errors import Invalid, Refused
from governance.core.verbs import Execution, require_right, verb
from governance.core.versions import revise
from governance.heimdall import rules
from governance.heimdall.models import HeimdallEvent, HeimdallPolicy
from governance.heimdall.services.verdicts import in_words, policy_of, read_domain, scorecard, tell

EDIT, PROMOTE = "governance.edit_policies", "governance.promote_heimdall"
POLICY_FIELDS = ("min_confidence_prod", "min_sandbox_trials", "min_sandbox_success_rate", "prod_use_enabled")
Kind = HeimdallEvent.Kind


@verb(
    Execution.OBSERVE_ONLY,
    right=EDIT,
    refusal=gettext_lazy("Changing a Heimdall policy needs a manager, or a token with the policy scope."),
)
def upsert_policy(
    domain: str,
    changes: Mapping[str, object],
    *,
    by: Actor,
    at: datetime,
    reason: str = "",
    expected_version: int | None = None,
) -> HeimdallPolicy:
    """Create or change a domain's policy and return it; `changes` names any of POLICY_FIELDS.

    Omitted values stay as they are; without a change there is no version. Switching production use on is a
    promotion: it needs that permission, and a scorecard that meets the minimums of the same change, which
    must not lower any. Raises Forbidden without the permission, Invalid for values out of bounds, Refused
    `stale_version`, `lowered_and_promoted` or `promotion_refused`.
    """
    return _change(domain, changes, by=by, at=at, reason=reason, expected_version=expected_version)


@verb(Execution.OBSERVE_ONLY)
def promote(
    domain: str, *, by: Actor, at: datetime, reason: str = "", expected_version: int | None = None
) -> HeimdallPolicy:
    """Switch a domain's production use on and return its policy; if it is on already, nothing changes.

    Raises Forbidden without the permission, Invalid for a domain without a policy, Refused
    `promotion_refused`, with the reason, while the scorecard does not meet the minimums, or `stale_version`.
    """
    policy_of(domain)
    changes = {"prod_use_enabled": True}
    return _change(domain, changes, by=by, at=at, reason=reason, expected_version=expected_version)


def _change(
    domain: str,
    changes: Mapping[str, object],
    *,
    by: Actor,
    at: datetime,
    reason: str,
    expected_version: int | None,
) -> HeimdallPolicy:
    domain = read_domain(domain)
    kind = Kind.POLICY_CHANGED

    def change(policy: HeimdallPolicy) -> None:
        nonlocal kind
        before, bar = policy.prod_use_enabled, policy.thresholds
        for name in POLICY_FIELDS:
            if name in changes:
                setattr(policy, name, changes[name])
        if before != policy.prod_use_enabled:
            kind = Kind.PROMOTED if policy.prod_use_enabled else Kind.WITHDRAWN
        if kind is Kind.PROMOTED:
            _require_same_bar(policy, bar, by)
            _require_promotable(policy, by, at)

    policy, changed = revise(
        HeimdallPolicy.objects.filter(domain=domain),
        lambda: HeimdallPolicy(domain=domain),
        change,
        by=by,
        at=at,
        reason=reason,
        expected_version=expected_version,
    )
    if changed:
        tell(policy.domain, kind, by=by, at=at, policy_version=policy.version)
    return policy


def _require_same_bar(policy: HeimdallPolicy, before: rules.Thresholds, by: Actor) -> None:
    """Refuse to lower a minimum and to promote in one change, so that nobody promotes by lowering it."""
    try:
        policy.clean_fields(exclude={"changed_by", "updated_at"})
    except ValidationError as wrong:
        raise Invalid(wrong.message_dict) from wrong
    if by.may(PROMOTE) and rules.lowered(before, policy.thresholds):
        message = _(
            "Lower the requirements in one change, and switch production use on in another, with its "
            "own reason."
        )
        raise Refused("lowered_and_promoted", message, errors={"prod_use_enabled": [message]})


def _require_promotable(policy: HeimdallPolicy, by: Actor, at: datetime) -> None:
    """Refuse to switch production use on without the permission, or if the scorecard does not allow it."""
    require_right(by, PROMOTE, _("Only a manager switches production use on."))
    try:
        policy.clean_fields(exclude={"changed_by", "updated_at"})
    except ValidationError as wrong:  # an invalid policy is reported as such, not as a lack of trials
        raise Invalid(wrong.message_dict) from wrong
    card = scorecard(policy.domain, at)
    lacking = rules.shortfall(policy.thresholds, card)
    if lacking is None:
        return
    message = in_words(lacking, policy.domain, policy.thresholds, card)
    raise Refused(
        "promotion_refused",
        _("Production use stays off.") + " " + message,
        errors={"prod_use_enabled": [message]},
        extra={"reason": lacking.value, "trials": card.trials, "successes": card.successes},
    )

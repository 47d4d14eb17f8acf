"""Changing an engine's caps."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy

from governance.core.actors import Actor
from governance.core.errors import Invalid
from governance.core.verbs import Execution, verb
from governance.core.versions import revise
from governance.risk import rules
from governance.risk.models import RiskEngine, RiskPolicy

EDIT = "governance.edit_policies"
POLICY_FIELDS = (
    "enabled",
    "max_daily_loss",
    "max_daily_exposure",
    "max_open_risk",
    "max_actions_per_day",
)


@verb(
    Execution.OBSERVE_ONLY,
    right=EDIT,
    refusal=gettext_lazy("Changing a risk policy needs a manager, or a token with the policy scope."),
)
def upsert_policy(
    engine: str,
    changes: Mapping[str, object],
    *,
    by: Actor,
    at: datetime,
    reason: str = "",
    expected_version: int | None = None,
) -> RiskPolicy:
    """Create or change an engine's policy, or GLOBAL's; `changes` names any of POLICY_FIELDS, CAD.

    Omitted values stay as they are; a new row is off and has no caps. Without a change there is no version. A
    cap may be lowered below its use: then nothing more is reserved until the use is below it again. Raises
    Forbidden without the permission, Invalid for values out of bounds, Refused `stale_version` when
    `expected_version` is not the row's (0: there is none yet).
    """
    try:
        code = rules.read_engine(engine)
    except ValidationError as wrong:
        raise Invalid({"engine": wrong.messages}) from wrong

    def change(policy: RiskPolicy) -> None:
        for name in POLICY_FIELDS:
            if name in changes:
                setattr(policy, name, changes[name])

    RiskEngine.objects.hold(code)  # a reservation in progress is still judged by the caps that it has read
    policy, _changed = revise(
        RiskPolicy.objects.filter(engine=code),
        lambda: RiskPolicy(engine=code),
        change,
        by=by,
        at=at,
        reason=reason,
        expected_version=expected_version,
    )
    RiskEngine.objects.get_or_create(engine=code)
    return policy

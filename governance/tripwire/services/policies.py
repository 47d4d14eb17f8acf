"""Changing how a metric is monitored."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from django.utils.translation import gettext_lazy

from governance.core.actors import Actor
from governance.core.verbs import Execution, verb
from governance.core.versions import revise
from governance.tripwire.models import RegressionPolicy, RegressionState
from governance.tripwire.names import read_names
from governance.tripwire.services.states import begin_anew

EDIT = "governance.edit_policies"
POLICY_FIELDS = (
    "engine",
    "measure",
    "window_events",
    "baseline_events",
    "min_events_to_enforce",
    "max_drop_fraction",
    "max_false_alarm",
    "action",
    "enabled",
)
WINDOWS = ("measure", "window_events", "baseline_events")


@verb(
    Execution.OBSERVE_ONLY,
    right=EDIT,
    refusal=gettext_lazy("Changing a tripwire needs a manager, or a token with the policy scope."),
)
def upsert_policy(
    domain: str,
    metric: str,
    changes: Mapping[str, object],
    *,
    by: Actor,
    at: datetime,
    reason: str = "",
    expected_version: int | None = None,
) -> RegressionPolicy:
    """Create or change how a metric is monitored; `changes` names any of POLICY_FIELDS.

    Omitted values stay as they are; a new row is disabled. Without a change there is no version. A new row,
    another measure and other windows set the start mark: earlier events no longer count. Raises Forbidden
    without the permission, Invalid for impossible values, Refused `stale_version` when `expected_version` is
    not the row's.
    """
    domain, metric = read_names(domain, metric)
    watched: list[object] = []

    def change(policy: RegressionPolicy) -> None:
        watched.extend(getattr(policy, name) for name in WINDOWS)
        for name in POLICY_FIELDS:
            if name in changes:
                setattr(policy, name, changes[name])

    policy, changed = revise(
        RegressionPolicy.objects.filter(domain=domain, metric=metric),
        lambda: RegressionPolicy(domain=domain, metric=metric),
        change,
        by=by,
        at=at,
        reason=reason,
        expected_version=expected_version,
    )
    if not changed:
        return policy
    state, made = RegressionState.objects.get_or_create(policy=policy, defaults={"starts_at": at})
    if not made and watched != [getattr(policy, name) for name in WINDOWS]:
        state = RegressionState.objects.select_for_update().get(pk=state.pk)
        begin_anew(state, at)
        state.save()
    return policy

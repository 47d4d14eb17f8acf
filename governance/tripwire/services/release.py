"""Resetting the alert of a tripwire that fired."""

from __future__ import annotations

from datetime import datetime

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from governance.core.actors import ACTOR_LENGTH, Actor
from governance.core.errors import Invalid, NotFound
from governance.core.verbs import Execution, verb
from governance.risk.services import release_throttle
from governance.tripwire.models import REASON_LENGTH, RegressionFiring, RegressionState
from governance.tripwire.names import read_names
from governance.tripwire.services.states import begin_anew

RELEASE = "governance.release_throttle"


@verb(Execution.OBSERVE_ONLY, right=RELEASE, refusal=gettext_lazy("Only a manager resets an alert."))
def release_tripwire(domain: str, metric: str, *, by: Actor, at: datetime, reason: str) -> RegressionState:
    """Reset the alert of a tripwire that fired, and end its throttles; return its state.

    Its start mark is set to `at`: it recomputes its baseline and does not fire on the old events. If the kill
    switch was engaged, it is released by its own service. If there is nothing to reset, nothing changes.
    Raises Forbidden for anyone but a manager, Invalid without a reason, NotFound.
    """
    reason = reason.strip()
    if not reason:
        raise Invalid({"reason": [_("Say why the alert is reset.")]})
    domain, metric = read_names(domain, metric)
    locked = RegressionState.objects.select_for_update(of=("self",)).select_related("policy")
    state: RegressionState | None = locked.filter(policy__domain=domain, policy__metric=metric).first()
    if state is None:
        raise NotFound(_("No tripwire watches this metric."))
    release_throttle(state.policy.name, by=by, at=at, reason=reason)
    if not state.triggered:
        return state
    at = max(at, state.last_triggered or at)
    RegressionFiring.objects.filter(policy=state.policy, released_at=None).update(
        released_at=at, released_by=by.working_name[:ACTOR_LENGTH], reason=reason[:REASON_LENGTH]
    )
    state.triggered = False
    begin_anew(state, at)
    state.save()
    return state

"""Evaluating every monitored metric, and acting once on drops."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import assert_never

from django.db.models import BigIntegerField, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from governance.accounts.querysets import managers
from governance.core.actors import Actor
from governance.core.compiled import CompiledQuery, Param, update_rows
from governance.core.errors import Invalid, NotFound, Refused
from governance.core.verbs import Execution, needs_right, verb
from governance.golive.services import set_kill_switch
from governance.outbox.services import post_message
from governance.risk.services import throttle
from governance.tripwire.models import RegressionFiring, RegressionPolicy, RegressionState
from governance.tripwire.names import read_names
from governance.tripwire.querysets import POLICIES, OpenDays, listed_states, local_day
from governance.tripwire.rules import Reading, Verdict
from governance.tripwire.services.look import look
from governance.tripwire.services.series import seen_by
from governance.tripwire.services.states import keep_reading
from governance.tripwire.wording import headline, sentences

log = logging.getLogger(__name__)
EVALUATE = "governance.evaluate_tripwires"
Action = RegressionPolicy.Action


@needs_right(EVALUATE, refusal=gettext_lazy("Your role does not evaluate tripwires."))
def evaluate_tripwires(
    at: datetime, *, by: Actor, domain: str | None = None, metric: str | None = None
) -> list[RegressionState]:
    """Evaluate every enabled tripwire, or the one of `domain` and `metric`, and return their states.

    Each in a separate transaction: a failure with one stops no other, and is raised at the end. A repeated
    evaluation does nothing more: an action is taken once, until a reset. Raises Forbidden without the
    permission, Invalid if only one of domain and metric is given, NotFound and Refused `tripwire_disabled`.
    """
    everything = domain is None and metric is None
    wanted = _armed() if everything else [_named(domain, metric).pk]
    open_days = OpenDays()
    states, failure = [], None
    for number in wanted:
        try:
            state = _engaging_first(number, open_days, by=by, at=at)
        except Exception as problem:
            log.exception("tripwire %s could not be evaluated", number)
            failure = failure or problem
        else:
            states += [state] if state else []
    if failure:
        raise failure
    if not states and not everything:
        raise _switched_off()
    return states


def _named(domain: str | None, metric: str | None) -> RegressionState:
    if domain is None or metric is None:
        sentence = _("Name both the domain and the metric, or neither of them for all tripwires.")
        raise Invalid({"metric" if metric is None else "domain": [sentence]})
    state = listed_states(*read_names(domain, metric)).first()
    if state is None:
        raise NotFound(_("No tripwire watches this metric."))
    if not state.policy.enabled:
        raise _switched_off()
    return state


def _switched_off() -> Refused:
    return Refused("tripwire_disabled", _("This tripwire is switched off; a manager can enable it."))


@CompiledQuery
def _armed() -> QuerySet[RegressionState, int]:
    """Return the ids of the tripwires to evaluate."""
    return listed_states(enabled=True).values_list("pk", flat=True)[:POLICIES]


@CompiledQuery
def _locked() -> QuerySet[RegressionState]:
    """Lock the state `number` of an enabled tripwire, and return it with its policy."""
    rows = RegressionState.objects.select_for_update(of=("self",)).select_related("policy")
    return rows.filter(pk=Param("number", BigIntegerField()), policy__enabled=True).order_by()


# the columns that an evaluation writes
EVALUATED = (
    "frozen", "verdict", "triggered", "baseline", "current", "drop_fraction", "p_value", "dispersion",
    "smallest_drop", "samples", "arms_on", "last_checked", "last_triggered",
)  # fmt: skip


class _Engages(Exception):
    """The tripwire engages the kill switch; nothing of its evaluation was stored."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def _engaging_first(number: int, open_days: OpenDays, *, by: Actor, at: datetime) -> RegressionState | None:
    """Evaluate one tripwire; one that stops everything engages the kill switch before its result is stored.

    Engaging waits for the actions in progress, so it happens outside of the evaluation's transaction. If it
    is killed in between, the next evaluation finds the tripwire untripped and trips it then.
    """
    try:
        return _evaluate(number, open_days, by=by, at=at)
    except _Engages as found:
        set_kill_switch(True, by=_tripwire(by), at=at, reason=found.reason)
    return _evaluate(number, open_days, by=by, at=at, engaged=True)


def _tripwire(by: Actor) -> Actor:
    """Return the actor of the tripwire's action: whoever ran the evaluation does not decide it."""
    return Actor.system("governance.evaluate_tripwires", by.correlation_id)


@verb(Execution.OBSERVE_ONLY)
def _evaluate(
    number: int, open_days: OpenDays, *, by: Actor, at: datetime, engaged: bool = False
) -> RegressionState | None:
    """Evaluate one metric and store the result; if it tripped for the first time, act.

    The state's row is locked, so that two evaluations run one after the other. None if the tripwire was
    disabled or removed since. An evaluation later than `at` is left as it is. Raises _Engages, unless the
    kill switch was already `engaged` for it.
    """
    state: RegressionState | None = next(iter(_locked(number=number)), None)
    if state is None or (state.last_checked is not None and state.last_checked > at):
        return state
    found, state.frozen = look(state, at, open_days)
    keep_reading(state, found)
    state.last_checked = at
    fires = found.verdict is Verdict.TRIPPED and not state.triggered
    if fires:
        state.triggered, state.last_triggered = True, at
    if fires and state.policy.action == Action.KILL_SWITCH and not engaged:
        raise _Engages(headline(state))
    update_rows([state], EVALUATED)
    if fires:
        _fire(state, found, open_days, by=by, at=at)
    return state


def _fire(state: RegressionState, found: Reading, open_days: OpenDays, *, by: Actor, at: datetime) -> None:
    """Store the firing, throttle the engine, and notify the managers; the kill switch is engaged by now."""
    policy = state.policy
    firing = RegressionFiring.objects.create(
        policy=policy,
        tripped_at=at,
        action=policy.action,
        engine=policy.engine if policy.action == Action.THROTTLE else "",
        seen=seen_by(state, local_day(at), open_days),
        **by.written(),
    )
    match Action(policy.action):
        case Action.THROTTLE:
            throttle(policy.engine, policy.name, by=_tripwire(by), at=at)
        case Action.KILL_SWITCH | Action.NOTIFY:
            pass  # engaged before this transaction; the managers are notified whatever the action
        case unknown:
            assert_never(unknown)
    _tell(state, firing, at, by.correlation_id)


def _tell(state: RegressionState, firing: RegressionFiring, at: datetime, correlation_id: str) -> None:
    body = "\n\n".join(sentences(firing))
    for manager in managers().exclude(email=""):
        post_message(
            "tripwire",
            manager.email,
            headline(state),
            body,
            once=f"tripwire:{firing.pk}:{manager.pk}",
            at=at,
            correlation_id=correlation_id,
        )

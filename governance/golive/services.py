"""The two switches: their effective state, the verbs they stop, and changing them."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from datetime import datetime

from django.conf import settings
from django.utils.translation import gettext_lazy as _

from governance.core import hooks
from governance.core.actors import Actor
from governance.core.errors import Invalid, Refused, Unavailable
from governance.core.verbs import Execution, require_right, verb
from governance.golive import lock
from governance.golive.models import GoLiveState
from governance.golive.querysets import switches


class Standing(enum.Enum):
    """The effective state of the two switches, which services, the board, the banner and every page use."""

    NOT_ENFORCED = "unbound"  # nothing is stopped, whatever they are
    KILLED = "killed"
    OFF = "off"
    LIVE = "live"


def standing_at(now: GoLiveState) -> Standing:
    """Return the effective state of the switches in this installation: the only place that decides it."""
    if not settings.GO_LIVE_ENFORCE:
        return Standing.NOT_ENFORCED
    if now.kill_switch_engaged:
        return Standing.KILLED
    return Standing.LIVE if now.go_live_enabled else Standing.OFF


def state() -> GoLiveState:
    """Return the go-live state; if the row is missing both switches count as off."""
    return next(iter(switches()), GoLiveState(pk=1))


def require(execution: Execution) -> None:
    """Raise Unavailable if the switches stop actions of this class.

    No query while GO_LIVE_ENFORCE is off.
    """
    if execution is Execution.OBSERVE_ONLY or not settings.GO_LIVE_ENFORCE:
        return
    standing = standing_at(state())
    if standing is Standing.KILLED:
        raise Unavailable(
            "kill_switch_engaged", _("The kill switch is engaged: nothing runs until a manager releases it.")
        )
    if execution is Execution.PROD_EXEC and standing is Standing.OFF:
        raise Unavailable(
            "go_live_disabled", _("Go-live is off: a manager enables it once the runbook is clear.")
        )


def admit(execution: Execution) -> None:
    """Admit an action of this class, inside its transaction, before it locks anything else.

    Raises Unavailable if a switch stops it. An action that a switch can stop shares its lock until it
    commits; actions that record or slow down never wait for one.
    """
    if execution is not Execution.OBSERVE_ONLY and settings.GO_LIVE_ENFORCE:
        lock.share()
    require(execution)


class Blocked(Refused):
    """Go-live cannot be enabled yet; `extra` has the blockers."""

    status = 412

    def __init__(self, lines: Sequence[hooks.ChecklistLine]) -> None:
        blockers = [
            {"id": line.id, "severity": "BLOCKER", "message": line.message, "detail": dict(line.detail)}
            for line in lines
        ]
        message = _("Go-live stays off until its blockers are gone.")
        super().__init__("blocked", message, extra={"blockers": blockers})
        self.lines = tuple(lines)


def checklist(at: datetime) -> list[hooks.ChecklistLine]:
    """Return the conditions for go-live, line by line; a line that is not ok keeps it off."""
    return [line for lines in hooks.checklist.ask(at) for line in lines]


SWITCH, ENGAGE = "governance.switch_go_live", "governance.engage_kill_switch"


def _switch(by: Actor, at: datetime, reason: str, **changes: bool) -> GoLiveState:
    row, _made = GoLiveState.objects.select_for_update().get_or_create(pk=1, defaults={"updated_at": at})
    if all(getattr(row, name) == value for name, value in changes.items()):
        return row
    for name, value in changes.items():
        setattr(row, name, value)
    row.changed_by = by.acting_for or by.username
    row.reason = reason
    row.updated_at = at
    row._change_reason = reason
    row._history_date = at
    row.save()
    return row


@verb(Execution.OBSERVE_ONLY, right=SWITCH, refusal=_("Only a manager switches go-live."))
def set_go_live(enabled: bool, *, by: Actor, at: datetime, reason: str) -> GoLiveState:
    """Switch go-live. Setting it to its current state changes nothing.

    Disabling waits for the actions that it stops (`lock.take_alone`): once it returns, and is committed, none
    of them commits any more. Raises Forbidden without the permission, Blocked for enabling while the runbook
    has a blocker.
    """
    if enabled:
        blocking = [line for line in checklist(at) if not line.ok]
        if blocking:
            raise Blocked(blocking)
    else:
        lock.take_alone()
    return _switch(by, at, reason, go_live_enabled=enabled)


@verb(Execution.OBSERVE_ONLY)
def set_kill_switch(engaged: bool, *, by: Actor, at: datetime, reason: str) -> GoLiveState:
    """Engage or release the kill switch. Setting it to its current state changes nothing.

    Engaging waits for the actions that it stops, as disabling go-live does; call it where nothing else in the
    transaction makes them wait. Raises Forbidden without the permission, Invalid if a release has no reason.
    """
    require_right(
        by, ENGAGE if engaged else SWITCH, _("Your role does not allow this change of the kill switch.")
    )
    if not engaged and not reason.strip():
        raise Invalid({"reason": [_("Say why the kill switch is released.")]})
    if engaged:
        lock.take_alone()
    return _switch(by, at, reason, kill_switch_engaged=engaged)

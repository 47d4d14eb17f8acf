"""A ladder that begins: what refuses it, when its steps are due, and whom it waits for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from followups.rules import Step, due_times
from followups.rules.holders import Holder, Holders, first_free
from followups.rules.lead_gate import LADDER, LeadGate, due_values, first_usable
from followups.rules.outcomes import (
    NO_POINT,
    OPEN,
    PERSON_ACTIVE,
    SKIPPED,
    WORKING,
    Event,
    Plan,
    current_of,
)
from governance.core.channels import CHANNELS

NUMBER_SHARED = "number_shared"


@dataclass(frozen=True, slots=True)
class Beginning:
    """Whose ladder is to begin, with which steps; with `nurture` it is the short one."""

    lead_id: int
    name: str
    province: str
    steps: Sequence[Step]
    nurture: bool = False


@dataclass(frozen=True, slots=True)
class NewSteps:
    """The steps of a ladder that begins, as new values in order; `behind` is the ladder that it waits for.

    `mine` is the ladder as others see it who wait for its numbers. `is_shared` where somebody else's ladder
    runs for one of them and this one waits for none.
    """

    steps: Sequence[Mapping[str, Any]]
    mine: Holder
    behind: Holder | None = None
    is_shared: bool = False


@dataclass(slots=True)
class _Step:
    """A new step as `current_of` sees it."""

    values: dict[str, Any]
    status: str = field(init=False)
    held_reason: str = field(init=False)

    def __post_init__(self) -> None:
        self.status, self.held_reason = self.values["status"], self.values["held_reason"]


def refusal_of(gate: LeadGate, channels: Iterable[str]) -> str:
    """Return why no ladder of these channels may begin, whatever the hour is; blank where one may.

    A national list that is too old refuses no ladder: its calls are held.
    """
    points = gate.points
    reachable = [
        channel for channel in dict.fromkeys(channels)
        if not points or first_usable(points, channel) is not None
    ]  # fmt: skip
    if not reachable:
        return NO_POINT
    verdicts = (gate.of(channel).judge(gate.questions[channel], gate.at) for channel in reachable)
    return next((reason for verdict in verdicts if (reason := verdict.refused_for_good())), "")


def decide_ladder(beginning: Beginning, gate: LeadGate, holders: Holders) -> Plan:
    """Decide the ladder of a lead whom the gate lets begin one, see `refusal_of`.

    Each step is due at the first allowed instant of its cadence, those before it counted in. A step whose
    number another ladder of the same person holds waits; one whose channel has no number is skipped.
    """
    at, points = gate.at, gate.points
    queued_at = holders.queue_end(at, {point.digest for point in points})
    mine = Holder("", beginning.lead_id, beginning.name, 0, queued_at)
    taken = frozenset(holder.digest for holder in holders.ahead(mine, points))
    counted = gate

    def planned(channel: str, wanted: datetime) -> datetime | None:
        """Find a step's time, and let the step count for those after it."""
        nonlocal counted
        point, must_wait = first_free(points, channel, taken)
        due = counted.first_allowed(channel, wanted, LADDER, point)
        if due is not None and point is not None and not must_wait:
            counted = counted.counting(channel, point, due)
        return due

    steps = [
        _new_step(counted, plan.step.channel, plan.number, plan.scheduled_for, plan.due_at, taken)
        for plan in due_times(beginning.steps, at, gate.of(beginning.steps[0].channel).zone, planned)
    ]
    current = current_of(steps)
    for step in steps:
        step.values["is_current"] = step is current
    behind = _behind(steps, mine, gate, holders)
    is_shared = behind is None and bool(holders.others(beginning.lead_id, points))
    detail = {"province": beginning.province, "steps": len(steps), "nurture": beginning.nurture}
    return Plan(
        begun=NewSteps([step.values for step in steps], mine, behind, is_shared),
        lead={"status": WORKING, "follow_up_at": None, "nurture_at": None, "updated_at": at},
        events=(Event("ladder_created", True, None, detail),),
    )


def _new_step(
    gate: LeadGate, channel: str, number: int, scheduled_for: datetime, due_at: datetime | None,
    taken: frozenset[str],
) -> _Step:  # fmt: skip
    point, must_wait = first_free(gate.points, channel, taken)
    held = ""
    if must_wait:
        due_at, held = None, PERSON_ACTIVE
    elif due_at is None:
        held = gate.holding_reason(channel, max(gate.at, scheduled_for), LADDER, point)
    is_unreachable = bool(gate.points) and point is None
    return _Step(
        {
            "step": number,
            "channel": channel,
            "contact_point_id": point.id if point is not None else None,
            "scheduled_for": scheduled_for,
            "status": SKIPPED if is_unreachable else OPEN,
            "closed_reason": NO_POINT if is_unreachable else "",
            **due_values(LADDER, due_at, gate.of(channel), held),
        }
    )


def _behind(steps: Sequence[_Step], mine: Holder, gate: LeadGate, holders: Holders) -> Holder | None:
    """Return the ladder that the first waiting step waits for, if one does."""
    waiting = next((step for step in steps if step.held_reason == PERSON_ACTIVE), None)
    if waiting is None:
        return None
    kind = CHANNELS[waiting.values["channel"]].kind
    ahead = holders.ahead(mine, [point for point in gate.points if point.kind == kind])
    return ahead[0] if ahead else None

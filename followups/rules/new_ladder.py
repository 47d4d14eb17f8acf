"""Starting a ladder: reasons to refuse it, the due times of its steps, and the ladder that it waits for."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
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
MOST_DECIDED = 1000  # kinds of leads, by points, time zone, policy and national lists


@dataclass(frozen=True, slots=True)
class Beginning:
    """The input for a new ladder: the lead and the steps; with `nurture` it is the short one."""

    lead_id: int
    name: str
    province: str
    steps: Sequence[Step]
    nurture: bool = False


@dataclass(frozen=True, slots=True)
class NewSteps:
    """The steps of a new ladder, as new values in order; `behind` is the ladder that it waits for.

    `mine` is the ladder as others that wait for its numbers see it. `is_shared` if another person's ladder is
    running for one of them and this one does not wait.
    """

    steps: Sequence[Mapping[str, Any]]
    mine: Holder
    behind: Holder | None = None
    is_shared: bool = False


@dataclass(slots=True)
class Decided:
    """What was decided for leads whom the gate treats alike, so that a long list decides it once."""

    refusals: dict[Hashable, str] = field(default_factory=dict)
    steps: dict[Hashable, Sequence[_Placed]] = field(default_factory=dict)

    def make_room(self) -> None:
        for known in (self.refusals, self.steps):
            if len(known) >= MOST_DECIDED:
                known.clear()


_Placed = tuple[Mapping[str, Any], int | None]  # a step's values without its point, and which of the points


@dataclass(slots=True)
class _Step:
    """A new step as `current_of` needs it; `place` is the position of its point among the lead's."""

    values: dict[str, Any]
    place: int | None
    status: str = field(init=False)
    held_reason: str = field(init=False)

    def __post_init__(self) -> None:
        self.status, self.held_reason = self.values["status"], self.values["held_reason"]


def refusal_of(gate: LeadGate, channels: Iterable[str], decided: Decided | None = None) -> str:
    """Return why no ladder with these channels may start, at any hour; blank if one may.

    A national list that is too old refuses no ladder: its calls are blocked.
    """
    wanted = tuple(dict.fromkeys(channels))
    alike = gate.alike if decided is not None else None
    if decided is None or alike is None:
        return _refusal(gate, wanted)
    known = decided.refusals.get((alike, wanted))
    if known is None:
        decided.make_room()
        known = decided.refusals[alike, wanted] = _refusal(gate, wanted)
    return known


def _refusal(gate: LeadGate, channels: Sequence[str]) -> str:
    points = gate.points
    reachable = [channel for channel in channels if not points or first_usable(points, channel) is not None]
    if not reachable:
        return NO_POINT
    verdicts = (gate.of(channel).judge(gate.questions[channel], gate.at) for channel in reachable)
    return next((reason for verdict in verdicts if (reason := verdict.refused_for_good())), "")


def decide_ladder(
    beginning: Beginning, gate: LeadGate, holders: Holders, decided: Decided | None = None
) -> Plan:
    """Decide the ladder of a lead that the gate allows, see `refusal_of`.

    Each step is due at the first allowed instant of its cadence, counting those before it. A step waits if
    another ladder of the same person uses its number; one whose channel has no number is skipped.
    """
    at, points = gate.at, gate.points
    queued_at = holders.queue_end(at, {point.digest for point in points})
    mine = Holder("", beginning.lead_id, beginning.name, 0, queued_at)
    taken = frozenset(holder.digest for holder in holders.ahead(mine, points))
    steps = _steps(beginning.steps, gate, taken, decided)
    behind = _behind(steps, mine, gate, holders) if taken else None
    is_shared = behind is None and bool(holders.others(beginning.lead_id, points))
    detail = {"province": beginning.province, "steps": len(steps), "nurture": beginning.nurture}
    return Plan(
        begun=NewSteps(steps, mine, behind, is_shared),
        lead={"status": WORKING, "follow_up_at": None, "nurture_at": None, "updated_at": at},
        events=(Event("ladder_created", True, None, detail),),
    )


def _steps(
    steps: Sequence[Step], gate: LeadGate, taken: frozenset[str], decided: Decided | None
) -> list[Mapping[str, Any]]:
    """Return the values of new steps; leads whom the gate treats alike share all but their points."""
    alike = gate.alike if decided is not None and not taken else None
    if decided is None or alike is None:
        placed = _place(steps, gate, taken)
    else:
        key = alike, tuple(steps)
        if key not in decided.steps:
            decided.make_room()
            decided.steps[key] = _place(steps, gate, taken)
        placed = decided.steps[key]
    points = gate.points
    return [
        {**values, "contact_point_id": None if place is None else points[place].id}
        for values, place in placed
    ]


def _place(steps: Sequence[Step], gate: LeadGate, taken: frozenset[str]) -> Sequence[_Placed]:
    """Decide the steps of a lead, each with the position of its point."""
    points, counted = gate.points, gate

    def planned(channel: str, wanted: datetime) -> datetime | None:
        """Plan a step's time, and count the step for the frequency cap of later ones."""
        nonlocal counted
        point, must_wait = first_free(points, channel, taken)
        due = counted.first_allowed(channel, wanted, LADDER, point)
        if due is not None and point is not None and not must_wait:
            counted = counted.counting(channel, point, due)
        return due

    found = [
        _new_step(counted, plan.step.channel, plan.number, plan.scheduled_for, plan.due_at, taken)
        for plan in due_times(steps, gate.at, gate.of(steps[0].channel).zone, planned)
    ]
    current = current_of(found)
    for step in found:
        step.values["is_current"] = step is current
    return [(step.values, step.place) for step in found]


def _new_step(
    gate: LeadGate,
    channel: str,
    number: int,
    scheduled_for: datetime,
    due_at: datetime | None,
    taken: frozenset[str],
) -> _Step:
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
            "scheduled_for": scheduled_for,
            "status": SKIPPED if is_unreachable else OPEN,
            "closed_reason": NO_POINT if is_unreachable else "",
            **due_values(LADDER, due_at, gate.of(channel), held),
        },
        None if point is None else gate.points.index(point),
    )


def _behind(
    steps: Sequence[Mapping[str, Any]], mine: Holder, gate: LeadGate, holders: Holders
) -> Holder | None:
    """Return the ladder that the first waiting step waits for, if there is one."""
    waiting = next((step for step in steps if step["held_reason"] == PERSON_ACTIVE), None)
    if waiting is None:
        return None
    kind = CHANNELS[waiting["channel"]].kind
    ahead = holders.ahead(mine, [point for point in gate.points if point.kind == kind])
    return ahead[0] if ahead else None

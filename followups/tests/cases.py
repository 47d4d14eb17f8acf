"""Cases for the tests of the rules: a ladder of one lead in Toronto, as plain values."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from followups.rules import DEFAULT_STEPS
from followups.rules.lead_gate import LeadGate, PointState
from followups.rules.outcomes import OPEN, Case, LadderState, TaskState
from followups.tests.factories import HOUR, NOW, at
from governance.contact.rules import Question
from governance.contact.services import GateContext, Where
from governance.core.channels import CHANNELS
from governance.core.places import ALL, Place
from governance.market.rules import DEFAULT_RULES
from governance.market.timeline import PolicyRow

MOBILE, HOME = PointState(1, "PHONE", "mobile"), PointState(2, "PHONE", "home")
MORNING = at(26, "09:00")


def gate_at(when: datetime, *points: PointState) -> LeadGate:
    """The real gate with the default policy of Ontario: weekdays from 9:00 to 20:00."""
    policy = PolicyRow(1, "ON", ALL, ALL, True, DEFAULT_RULES.as_json(), "", 1)
    book = GateContext(when, {("ON", ALL): (policy,)}, [], [])
    asked = {channel: Question(channel, True, True, Decimal("0.8")) for channel in CHANNELS}
    return LeadGate(when, Where(Place("ON", ALL), "America/Toronto"), book, points, asked)


def step(number: int, **more: Any) -> TaskState:
    """A step of the ladder, an hour after the one before."""
    due = NOW + (number - 1) * HOUR
    values: dict[str, Any] = {
        "channel": DEFAULT_STEPS[number - 1].channel,
        "status": OPEN,
        "due_at": due,
        "point": MOBILE,
    }
    values = {"ladder_id": 7, **values, **more}
    return TaskState(id=number, kind="LADDER", scheduled_for=due, step=number, **values)


def case_of(*tasks: TaskState, number: int = 1, when: datetime = NOW, **more: Any) -> Case:
    """The case of one of these tasks, whose ladder runs."""
    points = more.pop("points", (MOBILE,))
    ladder = LadderState(7, "ACTIVE", DEFAULT_STEPS)
    task = next(task for task in tasks if task.id == number)
    gate = gate_at(when, *points)
    values = {
        "points": points,
        "ladder": ladder,
        "own_ladder": ladder,
        "gate": gate,
        "hours": gate.of("CALL"),
    }
    return Case(when, task, tasks, "WORKING", **values | more)


def done(number: int, **more: Any) -> TaskState:
    return step(number, status="COMPLETED", is_current=False, **more)

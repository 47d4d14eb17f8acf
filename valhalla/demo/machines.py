"""The demo's machines: sandbox trials in four domains, one of which a manager promoted to production."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from governance.core.actors import By
from governance.heimdall import rules
from governance.heimdall.services import promote, recommend, record_trial
from valhalla.demo.people import Team
from valhalla.demo.timeline import Deed, Timeline

DAYS = 27
PROMOTED_DAYS_AGO = 4
RECOMMENDED = (0.97, 0.93, 0.88, 0.95, 0.79)


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine under trial: how many trials it has, and how many of a hundred succeed."""

    domain: str
    trials: int
    good: int


MACHINES = (
    Machine(rules.WHOLESALE_OFFER, 92, 90),
    Machine(rules.BUYER_MATCH, 64, 88),
    Machine(rules.CAPITAL_ROUTE, 23, 90),
    Machine(rules.FOLLOWUP_NEXT_ACTION, 71, 72),
)


def plan_machines(timeline: Timeline, team: Team) -> None:
    """Put trials on the timeline, a promotion, and what the promoted machine recommends since."""
    chance = random.Random("machines")  # a separate generator, so that the rest of the story does not change
    for machine in MACHINES:
        good = round(machine.trials * machine.good / 100)
        ends = [True] * good + [False] * (machine.trials - good)
        chance.shuffle(ends)
        for success in ends:
            when = timeline.days_ago(chance.uniform(PROMOTED_DAYS_AGO + 0.5, DAYS))
            timeline.at(when, _trial(machine.domain, success, team.program))
    timeline.at(timeline.days_ago(PROMOTED_DAYS_AGO), lambda at: _let_in(at, team.manager))
    for number, confidence in enumerate(RECOMMENDED):
        when = timeline.days_ago(PROMOTED_DAYS_AGO - 0.5) + timedelta(hours=11 * number)
        timeline.at(when, _recommendation(Decimal(str(confidence)), team.program))


def _trial(domain: str, success: bool, by: By) -> Deed:
    return lambda at: record_trial(domain, success=success, by=by, at=at)


def _let_in(at: datetime, by: By) -> None:
    promote(rules.BUYER_MATCH, by=by, at=at, reason="It named the buyer in nine of ten trials")


def _recommendation(confidence: Decimal, by: By) -> Deed:
    return lambda at: recommend(rules.BUYER_MATCH, confidence, by=by, at=at, detail={"rank": 1})

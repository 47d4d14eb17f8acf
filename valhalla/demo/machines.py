"""The demo's machines: sandbox trials in four domains, one of which a manager promoted to production."""

from __future__ import annotations

import random
from datetime import timedelta
from decimal import Decimal

from governance.heimdall import rules
from governance.heimdall.services import promote, recommend, record_trial
from valhalla.demo.people import Team
from valhalla.demo.timeline import Timeline

DAYS = 27
PROMOTED_DAYS_AGO = 4
RECOMMENDED = ("0.97", "0.93", "0.88", "0.95", "0.79")


# Each machine under trial: how many trials it has, and how many of a hundred succeed.
MACHINES = (
    (rules.WHOLESALE_OFFER, 92, 90),
    (rules.BUYER_MATCH, 64, 88),
    (rules.CAPITAL_ROUTE, 23, 90),
    (rules.FOLLOWUP_NEXT_ACTION, 71, 72),
)


def plan_machines(timeline: Timeline, team: Team) -> None:
    """Put trials on the timeline, a promotion, and what the promoted machine recommends since."""
    chance = random.Random("machines")  # a separate generator, so that the rest of the story does not change
    for domain, trials, percent in MACHINES:
        good = round(trials * percent / 100)
        ends = [True] * good + [False] * (trials - good)
        chance.shuffle(ends)
        for success in ends:
            when = timeline.days_ago(chance.uniform(PROMOTED_DAYS_AGO + 0.5, DAYS))
            timeline.at(when, record_trial, domain, success=success, by=team.program)
    timeline.at(
        timeline.days_ago(PROMOTED_DAYS_AGO),
        promote,
        rules.BUYER_MATCH,
        by=team.manager,
        reason="It named the buyer in nine of ten trials",
    )
    for number, confidence in enumerate(RECOMMENDED):
        when = timeline.days_ago(PROMOTED_DAYS_AGO - 0.5) + timedelta(hours=11 * number)
        timeline.at(
            when, recommend, rules.BUYER_MATCH, Decimal(confidence), by=team.program, detail={"rank": 1}
        )

"""The demo's risk: what a program reserves for capital and settles the day after, and what stays open."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from decimal import Decimal

from governance.core.actors import Actor
from governance.risk.services import release_stale, reserve_exposure, settle
from valhalla.demo.people import Team
from valhalla.demo.timeline import Timeline

DAYS = 28
ENGINE = "CAPITAL"


def plan_risk(timeline: Timeline, team: Team) -> None:
    """Put reservations on the timeline, the last still open, and the job that expires stale ones."""
    chance = random.Random("risk")  # a separate generator, so that the rest of the story does not change
    for hours in range(0, DAYS * 24, 6):
        by = Actor.system("governance.release_stale_reservations")
        timeline.at(timeline.days_ago(hours / 24), release_stale, by=by)
    for day in range(DAYS, 0, -2):
        amount = Decimal(chance.randrange(2_000, 6_000))
        lost = amount * chance.choice([0, 0, 0, 5]) / 100
        timeline.at(timeline.days_ago(day), _place, amount, lost, timeline, team.program)
    timeline.at(
        timeline.now - timedelta(minutes=1), _place, Decimal(6_500), Decimal(0), timeline, team.program
    )


def _place(amount: Decimal, lost: Decimal, timeline: Timeline, by: Actor, at: datetime) -> None:
    """Reserve capital, and settle it a day later."""
    answer = reserve_exposure(ENGINE, amount, purpose="placement", by=by, at=at)
    if answer.reservation_id is not None:
        timeline.at(at + timedelta(days=1), settle, answer.reservation_id, lost, by=by)

"""The demo's risk: what a program reserves for capital and settles the day after, and what stays open."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from decimal import Decimal

from governance.core.actors import By
from governance.risk.services import release_stale, reserve_exposure, settle
from valhalla.demo.people import Team
from valhalla.demo.timeline import Timeline

DAYS = 28
ENGINE = "CAPITAL"


def plan_risk(timeline: Timeline, team: Team) -> None:
    """Put reservations on the timeline, the last still open, and the job that expires stale ones."""
    chance = random.Random("risk")  # a separate generator, so that the rest of the story does not change
    for hours in range(0, DAYS * 24, 6):
        timeline.at(timeline.days_ago(hours / 24), _release_stale)
    for day in range(DAYS, 0, -2):
        amount = Decimal(chance.randrange(2_000, 6_000))
        lost = amount * chance.choice([0, 0, 0, 5]) / 100
        _Placement(timeline, team.program, amount, lost).plan(timeline.days_ago(day))
    _Placement(timeline, team.program, Decimal(6_500), Decimal(0)).plan(timeline.now - timedelta(minutes=1))


def _release_stale(at: datetime) -> int:
    return release_stale(by=By.system("governance.release_stale_reservations"), at=at)


class _Placement:
    """Capital that is reserved, and settled a day later."""

    def __init__(self, timeline: Timeline, by: By, amount: Decimal, lost: Decimal) -> None:
        self.timeline, self.by, self.amount, self.lost = timeline, by, amount, lost
        self.reservation_id: int | None = None

    def plan(self, when: datetime) -> None:
        self.timeline.at(when, self.reserve)
        self.timeline.at(when + timedelta(days=1), self.settle)

    def reserve(self, at: datetime) -> None:
        answer = reserve_exposure(ENGINE, self.amount, purpose="placement", by=self.by, at=at)
        self.reservation_id = answer.reservation_id

    def settle(self, at: datetime) -> None:
        if self.reservation_id is not None:
            settle(self.reservation_id, self.lost, by=self.by, at=at)

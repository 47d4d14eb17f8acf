"""A timeline of actions, each at its instant, executed in chronological order up to now."""

from __future__ import annotations

import copy
import heapq
import itertools
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any


class Timeline:
    """Actions by their instants. Those after `now` are never executed: people still have them to do."""

    def __init__(self, now: datetime, chance: random.Random) -> None:
        self.now = now
        self.chance = chance
        self._waiting: list[tuple[datetime, int, Callable[..., object]]] = []
        self._order = itertools.count()

    def apart(self, name: str) -> Timeline:
        """Return the same timeline with its own random generator: the rest of the story does not change."""
        other = copy.copy(self)
        other.chance = random.Random(name)
        return other

    def at(self, when: datetime, action: Callable[..., object], *args: Any, **given: Any) -> None:
        """Schedule a service or a step of the story for an instant, which is passed to it as `at`."""
        due: Callable[..., object] = partial(action, *args, **given)
        heapq.heappush(self._waiting, (when, next(self._order), due))

    def play(self) -> None:
        while self._waiting and self._waiting[0][0] <= self.now:
            when, _order, action = heapq.heappop(self._waiting)
            action(at=when)

    def days_ago(self, days: float) -> datetime:
        return self.now - timedelta(days=days)

    def some_day(self, most: int, least: int = 0) -> datetime:
        """Return an instant in working hours (13:00 to 24:00 UTC) some days ago."""
        day = self.days_ago(self.chance.uniform(least, most))
        midnight = day.replace(hour=0, minute=0, second=0, microsecond=0)
        return min(
            midnight + timedelta(minutes=self.chance.randrange(13 * 60, 24 * 60)), self.days_ago(least)
        )

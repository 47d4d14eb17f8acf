"""What happens when: things to do, each at its instant, done in the order of time up to now."""

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
    """Deeds by their instants. What lies after `now` is never done: people still have it before them."""

    def __init__(self, now: datetime, chance: random.Random) -> None:
        self.now = now
        self.chance = chance
        self._waiting: list[tuple[datetime, int, Callable[..., object]]] = []
        self._order = itertools.count()

    def apart(self, name: str) -> Timeline:
        """Return the same timeline with a chance of its own: the rest of the story stays as it was."""
        other = copy.copy(self)
        other.chance = random.Random(name)
        return other

    def at(self, when: datetime, deed: Callable[..., object], *args: Any, **given: Any) -> None:
        """Have something done at an instant, which it is given as `at`: a verb, or a step of the story."""
        due: Callable[..., object] = partial(deed, *args, **given)
        heapq.heappush(self._waiting, (when, next(self._order), due))

    def play(self) -> None:
        while self._waiting and self._waiting[0][0] <= self.now:
            when, _order, deed = heapq.heappop(self._waiting)
            deed(at=when)

    def days_ago(self, days: float) -> datetime:
        return self.now - timedelta(days=days)

    def some_day(self, most: int, least: int = 0) -> datetime:
        """Return an instant of a working hour (13:00 to 24:00 UTC) some days ago."""
        day = self.days_ago(self.chance.uniform(least, most))
        midnight = day.replace(hour=0, minute=0, second=0, microsecond=0)
        return min(
            midnight + timedelta(minutes=self.chance.randrange(13 * 60, 24 * 60)), self.days_ago(least)
        )

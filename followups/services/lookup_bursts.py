"""Bursts of look-ups, for the managers: read from the KPI events of the limits."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta

from governance.kpi.querysets import newest_since

DOMAIN, NOTICED_METRIC, REFUSED_METRIC = "FOLLOWUPS", "lookup_burst", "lookups_refused"
WINDOW = timedelta(minutes=10)
KEPT_IN_SIGHT = timedelta(days=3)  # a burst on Friday evening is still shown on Monday morning
APART = timedelta(hours=1)  # without an event: the next one is another burst
MOST_READ = 1000  # events of each kind


@dataclass(slots=True)
class Burst:
    """Many look-ups of one person without a recorded contact: `most` in ten minutes, `refused` above 120."""

    name: str
    since: datetime
    until: datetime
    most: int
    refused: int = 0


def bursts_at(at: datetime) -> list[Burst]:
    """Return the bursts of the last three days, newest first, in two queries that read at most 1,000 events.

    `since` is the beginning of the ten minutes with the 31st look-up.
    """
    of_person: dict[str, list[Burst]] = defaultdict(list)
    events = [
        (event.created_at, metric == REFUSED_METRIC, event)
        for metric in (NOTICED_METRIC, REFUSED_METRIC)
        for event in newest_since(DOMAIN, metric, at - KEPT_IN_SIGHT, MOST_READ)
    ]
    for when, refused, event in sorted(events, key=lambda found: found[:2]):
        bursts, count = of_person[event.actor], int(event.detail.get("count", 0))
        if not bursts or when - bursts[-1].until > APART:
            bursts.append(Burst(event.actor, when - WINDOW, when, 0))
        burst = bursts[-1]
        burst.until, burst.refused = when, burst.refused + refused
        if not refused:
            burst.most = max(burst.most, count)
        else:  # a refused look-up did not take place
            burst.most = max(burst.most, count - 1)
    found = [burst for bursts in of_person.values() for burst in bursts]
    return sorted(found, key=lambda burst: (burst.until, burst.name), reverse=True)

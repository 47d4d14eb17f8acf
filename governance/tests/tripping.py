"""What tests of the tripwires do again and again: streams of events, and looks at them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from governance.core.actors import Actor
from governance.kpi.models import KpiEvent
from governance.tripwire.models import RegressionState
from governance.tripwire.querysets import LOCAL, start_of
from governance.tripwire.services import evaluate_tripwires

SLA = ("WHOLESALE", "followup_sla")
LADDERS = ("WHOLESALE", "ladder_created")
ROI = ("CAPITAL", "roi_event")
JOB = Actor.system("governance.evaluate_tripwires")
MONDAY = date(2026, 8, 31)
DAY = timedelta(days=1)


def noon(day: date) -> datetime:
    return start_of(day) + timedelta(hours=12)


def six(day: date) -> datetime:
    """Return the instant of the daily look: 06:00 in Toronto."""
    return datetime(day.year, day.month, day.day, 6, tzinfo=LOCAL)


def happen(
    name: tuple[str, str], day: date, good: int = 0, bad: int = 0, at: datetime | None = None, **other: object
) -> list[KpiEvent]:
    """Let events happen on a day at noon, good ones and bad ones; without either, one that is neither."""
    domain, metric = name
    kinds: list[bool | None] = [*[True] * good, *[False] * bad] or [None]
    return KpiEvent.objects.bulk_create(
        KpiEvent(domain=domain, metric=metric, success=kind, created_at=at or noon(day), **other)
        for kind in kinds
    )


def happen_daily(
    name: tuple[str, str], counts: Iterable[tuple[int, int]], since: date = MONDAY, **other: Any
) -> date:
    """Let events happen on days in a row, each with its good and bad ones; returns the day after."""
    day = since
    for good, bad in counts:
        if good or bad:
            happen(name, day, good, bad, **other)
        day += DAY
    return day


def weekly(events: int) -> list[tuple[int, int]]:
    """Return a week from Monday in which so many events come in on each weekday, and half on Saturday."""
    return [(events, 0)] * 5 + [(events // 2, 0), (0, 0)]


def valued(name: tuple[str, str], means: Iterable[float], since: date = MONDAY, each: int = 12) -> date:
    """Let so many events with that value happen each day; returns the day after."""
    day = since
    for mean in means:
        happen(name, day, good=each, value=Decimal(str(mean)))
        day += DAY
    return day


def watch(name: tuple[str, str] = SLA, since: date = MONDAY, **policy: object) -> RegressionState:
    """Have a seeded tripwire alone watch from a day on, its policy with these values."""
    state = RegressionState.objects.get(policy__domain=name[0], policy__metric=name[1])
    type(state.policy).objects.exclude(pk=state.policy_id).update(enabled=False)
    type(state.policy).objects.filter(pk=state.policy_id).update(enabled=True, **policy)
    RegressionState.objects.filter(pk=state.pk).update(starts_at=start_of(since))
    state.refresh_from_db()
    return state


def look_on(day: date, name: tuple[str, str] = SLA, by: Actor = JOB) -> RegressionState:
    """Evaluate one tripwire at six in the morning."""
    (state,) = evaluate_tripwires(six(day), by=by, domain=name[0], metric=name[1])
    return state

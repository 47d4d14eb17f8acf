"""Queries on tripwires, and on their metrics' events by local day and week."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Self
from zoneinfo import ZoneInfo

from django.db import models

from governance.contact.querysets import law_and_closures
from governance.contact.rules import Calendar, ClosedDay
from governance.core.places import ALL
from governance.kpi.querysets import by_hour
from governance.market.querysets import listed_policies
from governance.market.rules import ContactRules, read_rules
from governance.tripwire.rules import Day, Verdict, Week

if TYPE_CHECKING:
    from governance.tripwire.models import RegressionPolicy, RegressionState

LOCAL = ZoneInfo("America/Toronto")
DAY, WEEK = timedelta(days=1), timedelta(days=7)
POLICIES = 500


class RegressionStateQuerySet(models.QuerySet[Any]):
    """Queries on tripwires' states."""

    def with_policy(self) -> Self:
        return self.select_related("policy").order_by("policy__domain", "policy__metric")

    def standing(self) -> Self:
        return self.filter(models.Q(policy__enabled=True) | models.Q(triggered=True))


def listed_tripwires(
    domain: str | None = None, metric: str | None = None, enabled: bool | None = None
) -> models.QuerySet[RegressionPolicy]:
    """Return tripwires' policies by domain, then metric; None does not filter."""
    from governance.tripwire.models import RegressionPolicy  # the models themselves need the queryset above

    return RegressionPolicy.objects.filter(_named("", domain, metric, enabled)).order_by("domain", "metric")


def listed_states(
    domain: str | None = None, metric: str | None = None, enabled: bool | None = None
) -> models.QuerySet[RegressionState]:
    """Return tripwires' states with their policies, by domain, then metric; None does not filter."""
    from governance.tripwire.models import RegressionState  # the models themselves need the queryset above

    return RegressionState.objects.with_policy().filter(_named("policy__", domain, metric, enabled))


def _named(before: str, domain: str | None, metric: str | None, enabled: bool | None) -> models.Q:
    wanted = {
        "domain": domain and domain.strip().upper(),
        "metric": metric and metric.strip().lower(),
        "enabled": enabled,
    }
    return models.Q(**{f"{before}{name}": value for name, value in wanted.items() if value is not None})


def standing_tripwires() -> list[RegressionState]:
    """Return the tripwires that are armed, and those that fired and were not reset, with their policies.

    The most serious first, without the details of their comparisons.
    """
    from governance.tripwire.models import RegressionState  # the models themselves need the queryset above

    found = RegressionState.objects.standing().with_policy().defer("frozen", "samples")[:POLICIES]
    return sorted(found, key=lambda state: (-state.triggered, -Verdict[state.verdict]))


# --- events by local day and week ---------------------------------------------------------------------------


def local_day(at: datetime) -> date:
    """Return the business's local day of an instant."""
    return at.astimezone(LOCAL).date()


def start_of(day: date) -> datetime:
    """Return the instant at which a local day begins."""
    return datetime.combine(day, time(), LOCAL).astimezone(UTC)


def days_between(domain: str, metric: str, since: datetime, until: datetime) -> list[Day]:
    """Return a metric's events between two instants by local day, in order, without days that have none.

    The zone's offset is a whole number of hours, so no hour belongs to two days.
    """
    found: dict[date, list[Any]] = {}
    for hour, numbers in by_hour(domain, metric, since, until).items():
        if not numbers.events:  # all of them were corrected later
            continue
        day = found.setdefault(local_day(hour), [0, 0, 0, 0, 0])
        for place, name in enumerate(("events", "good", "bad", "valued", "total")):
            day[place] += getattr(numbers, name)
    return [
        Day(on, events, good, bad, valued, float(total))
        for on, (events, good, bad, valued, total) in sorted(found.items())
    ]


@dataclass
class OpenDays:
    """How open days are: the share of the provinces in use whose policy has hours on a day.

    A province is in use while its policy for all markets is enabled. Loaded once for many days.
    """

    _rules: dict[str, ContactRules] | None = None
    _calendars: dict[int, dict[str, Calendar]] = field(default_factory=dict)

    def share(self, day: date) -> float:
        calendars = self._of_year(day.year)
        if not calendars:
            return 1.0  # nothing says when the business is open
        return sum(bool(calendar.open_hours(day)) for calendar in calendars.values()) / len(calendars)

    def _of_year(self, year: int) -> dict[str, Calendar]:
        if self._rules is None:
            rows = listed_policies(None, ALL, True)
            self._rules = {row.province: read_rules(row.rules) for row in rows}
        if year not in self._calendars:
            _law, closed = law_and_closures(self._rules, date(year, 1, 1), date(year, 12, 31))
            self._calendars[year] = {
                province: Calendar(province, rules, (), _closures_of(province, closed))
                for province, rules in self._rules.items()
            }
        return self._calendars[year]


def _closures_of(province: str, rows: Iterable[ClosedDay]) -> list[ClosedDay]:
    return [row for row in rows if row.province in ("", province)]


def weeks_between(domain: str, metric: str, first_monday: date, end: date, open_days: OpenDays) -> list[Week]:
    """Return the full weeks from a Monday on that end before the day `end`, with or without events."""
    mondays = [first_monday + WEEK * number for number in range(max(0, (end - first_monday).days // 7))]
    if not mondays:
        return []
    until = start_of(mondays[-1] + WEEK)
    events = {day.on: day.events for day in days_between(domain, metric, start_of(first_monday), until)}
    return [
        Week(
            monday,
            tuple(events.get(monday + DAY * weekday, 0) for weekday in range(7)),
            tuple(open_days.share(monday + DAY * weekday) for weekday in range(7)),
        )
        for monday in mondays
    ]


def without_spans(weeks: Sequence[Week], spans: Sequence[tuple[datetime, datetime | None]]) -> list[Week]:
    """Leave out the weeks that one of the spans touches; an open span continues."""
    return [
        week
        for week in weeks
        if not any(
            begun < start_of(week.monday + WEEK) and (end is None or end > start_of(week.monday))
            for begun, end in spans
        )
    ]

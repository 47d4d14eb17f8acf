"""The data of an evaluation, as a tripwire's page shows it and a firing stores it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from governance.tripwire.models import RegressionState
from governance.tripwire.querysets import DAY, WEEK, OpenDays, days_between, start_of
from governance.tripwire.rules import Day, Week, monday_of
from governance.tripwire.services.look import counting_weeks, first_monday
from governance.tripwire.services.states import frozen_days, frozen_weeks
from governance.tripwire.statistics import STATISTICS, Statistic

SHOWN_DAYS = 120 * DAY
SHOWN_WEEKS = 26 * WEEK
Point = list[object]  # its first day, value, events


def seen_by(state: RegressionState, today: date, open_days: OpenDays) -> dict[str, object]:
    """Return the last evaluation's values, the policy's numbers and the series, in their stored form."""
    policy = state.policy
    return {
        "measure": policy.measure,
        "baseline": state.baseline,
        "current": state.current,
        "drop": state.drop_fraction,
        "p": state.p_value,
        "dispersion": state.dispersion,
        "smallest": state.smallest_drop,
        "max_drop": float(policy.max_drop_fraction),
        "max_false_alarm": float(policy.max_false_alarm),
        "samples": state.samples,
        "series": series_of(state, today, open_days),
    }


def series_of(state: RegressionState, today: date, open_days: OpenDays) -> dict[str, list[Point]]:
    """Return the frozen baseline's points, and those after it of the last 120 days or 26 weeks.

    A point is a day with events, or for a volume a full week that counts; its value is a rate, a mean or the
    events per open day.
    """
    if STATISTICS[state.policy.measure].is_weekly:
        return _weekly(state, today, open_days)
    return _daily(state, today)


def _daily(state: RegressionState, today: date) -> dict[str, list[Point]]:
    policy, statistic = state.policy, STATISTICS[state.policy.measure]
    baseline = frozen_days(state.frozen).days if state.frozen else ()
    since = start_of(baseline[-1].on + DAY) if baseline else state.starts_at
    since = max(since, start_of(today - SHOWN_DAYS))
    days = days_between(policy.domain, policy.metric, since, start_of(today))
    return {"baseline": _day_points(statistic, baseline), "after": _day_points(statistic, days)}


def _day_points(statistic: Statistic, days: Iterable[Day]) -> list[Point]:
    return [
        [day.on.isoformat(), figure, statistic.counted(day)]
        for day in days
        if (figure := statistic.day_figure(day)) is not None
    ]


def _weekly(state: RegressionState, today: date, open_days: OpenDays) -> dict[str, list[Point]]:
    baseline = frozen_weeks(state.frozen) if state.frozen else ()
    since = baseline[-1].monday + WEEK if baseline else first_monday(state.starts_at)
    since = max(since, monday_of(today - SHOWN_WEEKS))
    weeks = counting_weeks(state, since, today, open_days)
    return {"baseline": _week_points(baseline), "after": _week_points(weeks)}


def _week_points(weeks: Iterable[Week]) -> list[Point]:
    return [
        [week.monday.isoformat(), week.count / week.open_days, week.count]
        for week in weeks
        if week.open_days > 0
    ]

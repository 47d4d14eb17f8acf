"""Loading a metric's events and judging them; nothing is written.

Only a bounded period of a metric's events is read: what the baseline needs until it is frozen, afterwards
what the windows need.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

from django.conf import settings

from governance.golive.querysets import stopped_spans
from governance.risk.querysets import throttled_spans
from governance.risk.rules import GLOBAL
from governance.tripwire import rules
from governance.tripwire.models import RegressionState
from governance.tripwire.querysets import (
    DAY,
    WEEK,
    OpenDays,
    days_between,
    local_day,
    start_of,
    weeks_between,
    without_spans,
)
from governance.tripwire.rules import Day, Measure, Reading, Verdict, Week
from governance.tripwire.services.states import freeze_days, freeze_weeks, frozen_days, frozen_weeks
from governance.tripwire.statistics import STATISTICS

FIRST_STRETCH = 40 * DAY
FIRST_WEEKS = 8 * WEEK
LONGEST_WINDOW = rules.WINDOWS[-1]


def look(
    state: RegressionState, at: datetime, open_days: OpenDays
) -> tuple[Reading, list[list[object]] | None]:
    """Judge a metric by the days that are over at `at`; also return its frozen baseline, once there is one.

    Today is not over: half of it would be evaluated twice.
    """
    if STATISTICS[state.policy.measure].is_weekly:
        return _look_at_weeks(state, local_day(at), open_days)
    return _look_at_days(state, local_day(at))


def _look_at_days(state: RegressionState, today: date) -> tuple[Reading, list[list[object]] | None]:
    policy, limits = state.policy, state.policy.limits
    measure = Measure(policy.measure)
    end = start_of(today)
    frozen = state.frozen
    if frozen is None:
        days, baseline = _first_days(state, measure, end)
        if baseline is None:
            start = local_day(state.starts_at)
            arms = rules.arms_on(measure, limits, days, None, start, today)
            return Reading(Verdict.LEARNING, arms_on=arms), None
        frozen = freeze_days(baseline.days)
    baseline = frozen_days(frozen)
    after = _last_days(state, measure, start_of(baseline.days[-1].on + DAY), end)
    found = rules.judge_days(measure, limits, baseline, after)
    if found.verdict is Verdict.LEARNING:
        arms = rules.arms_on(measure, limits, after, baseline, baseline.days[0].on, today)
        found = Reading(found.verdict, found.baseline, smallest=found.smallest, arms_on=arms)
    return found, frozen


def _first_days(
    state: RegressionState, measure: Measure, end: datetime
) -> tuple[list[Day], rules.Sample | None]:
    """Load from the start mark on until the baseline is complete or there are no more days."""
    policy, stretch = state.policy, FIRST_STRETCH
    while True:
        # whole days: the part of a day at the end of the period would be taken for all of it
        until = min(end, start_of(local_day(state.starts_at + stretch)))
        days = days_between(policy.domain, policy.metric, state.starts_at, until)
        baseline = rules.baseline_of(measure, policy.limits, days)
        if baseline is not None or until >= end:
            return days, baseline
        stretch *= 2


def _last_days(state: RegressionState, measure: Measure, since: datetime, end: datetime) -> list[Day]:
    """Load backwards from the end until the longest window is full or the baseline is reached."""
    policy, stretch, counted = state.policy, FIRST_STRETCH, STATISTICS[measure].counted
    while True:
        begin = max(since, start_of(local_day(end - stretch)))
        days = [day for day in days_between(policy.domain, policy.metric, begin, end) if counted(day)]
        events = sum(counted(day) for day in days)
        if begin <= since or (len(days) >= LONGEST_WINDOW and events >= policy.window_events):
            return days
        stretch *= 2


def _look_at_weeks(
    state: RegressionState, today: date, open_days: OpenDays
) -> tuple[Reading, list[list[object]] | None]:
    """Judge the last full week that counts, without weeks in which the engine or everything was stopped."""
    limits, frozen = state.policy.limits, state.frozen
    if frozen is None:
        weeks, baseline = _first_weeks(state, today, open_days)
        if baseline is None:
            arms = rules.volume_arms_on(weeks, False, rules.monday_of(today))
            return Reading(Verdict.LEARNING, arms_on=arms), None
        frozen = freeze_weeks(baseline)
    baseline = frozen_weeks(frozen)
    last = _last_week(state, baseline[-1].monday + WEEK, today, open_days)
    found = rules.judge_weeks(limits, baseline, last)
    if found.verdict is Verdict.LEARNING:
        arms = rules.volume_arms_on((), True, rules.monday_of(today))
        found = Reading(found.verdict, found.baseline, smallest=found.smallest, arms_on=arms)
    return found, frozen


def _first_weeks(
    state: RegressionState, today: date, open_days: OpenDays
) -> tuple[list[Week], tuple[Week, ...] | None]:
    first, stretch = first_monday(state.starts_at), FIRST_WEEKS
    while True:
        until = min(today, first + stretch)
        weeks = counting_weeks(state, first, until, open_days)
        baseline = rules.weeks_baseline(weeks)
        if baseline is not None or until >= today:
            return weeks, baseline
        stretch *= 2


def _last_week(state: RegressionState, since: date, today: date, open_days: OpenDays) -> Week | None:
    """Return the newest full week that counts: usually the last one, else search further back."""
    end, stretch = rules.monday_of(today), WEEK
    while end > since:
        weeks = counting_weeks(state, max(since, end - stretch), end, open_days)
        counts = [week for week in weeks if week.open_days > 0]
        if counts:
            return counts[-1]
        end, stretch = end - stretch, 8 * WEEK
    return None


def counting_weeks(state: RegressionState, first: date, until: date, open_days: OpenDays) -> list[Week]:
    """Return the full weeks between two days in which neither a throttle nor a switch stopped anything."""
    policy = state.policy
    weeks = weeks_between(policy.domain, policy.metric, first, until, open_days)
    if not weeks:
        return weeks
    since, end = start_of(weeks[0].monday), start_of(weeks[-1].monday + WEEK)
    spans = [
        (span.since, span.until)
        for engine in {policy.engine, GLOBAL} - {""}
        for span in throttled_spans(engine, since, end)
    ]
    if settings.GO_LIVE_ENFORCE:
        spans += stopped_spans(since, end)
    return without_spans(weeks, spans)


def first_monday(mark: datetime) -> date:
    """Return the Monday on which the first full week after the mark begins."""
    day = local_day(mark)
    monday = rules.monday_of(day)
    return monday if start_of(monday) >= mark else monday + timedelta(days=7)

"""Storing the result of an evaluation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from governance.tripwire.models import RegressionState
from governance.tripwire.rules import Compared, Day, Reading, Sample, Verdict, Week


def begin_anew(state: RegressionState, at: datetime) -> None:
    """Set the start mark: earlier events no longer count. The row is not saved."""
    state.starts_at = at
    state.frozen = None
    keep_reading(state, Reading(Verdict.LEARNING))


def keep_reading(state: RegressionState, found: Reading) -> None:
    """Write the result of an evaluation into the state's columns. The row is not saved."""
    state.verdict = found.verdict.name
    state.baseline = found.baseline.figure if found.baseline else None
    state.current = found.current.figure if found.current else None
    state.drop_fraction, state.p_value, state.dispersion = found.drop, found.p, found.dispersion
    # above the maximum: nothing could be detected
    shown = found.smallest is not None and math.isfinite(found.smallest) and found.smallest <= 1
    state.smallest_drop = found.smallest if shown else None
    state.samples = {
        name: as_json(sample)
        for name, sample in (("baseline", found.baseline), ("current", found.current))
        if sample
    }
    state.arms_on = found.arms_on


def as_json(sample: Compared) -> dict[str, Any]:
    return {
        "since": sample.since.isoformat(),
        "until": sample.until.isoformat(),
        "days": sample.days,
        "events": sample.events,
        "figure": sample.figure,
    }


def freeze_days(days: Sequence[Day]) -> list[list[object]]:
    return [[day.on.isoformat(), day.events, day.good, day.bad, day.valued, day.total] for day in days]


def frozen_days(rows: Sequence[Sequence[Any]]) -> Sample:
    return Sample(tuple(Day(date.fromisoformat(on), *numbers) for on, *numbers in rows))


def freeze_weeks(weeks: Sequence[Week]) -> list[list[object]]:
    return [[week.monday.isoformat(), list(week.events), list(week.open)] for week in weeks]


def frozen_weeks(rows: Sequence[Sequence[Any]]) -> tuple[Week, ...]:
    return tuple(
        Week(date.fromisoformat(monday), tuple(events), tuple(shares)) for monday, events, shares in rows
    )

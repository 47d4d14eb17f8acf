"""Previews of consequences: nothing is written and nothing more is read."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from followups.models import FollowUpTask
from followups.rules import gap_before
from followups.rules.outcomes import is_set_aside
from followups.services.reading import TaskView
from governance.contact.clock import add_local_days
from governance.core.moments import local

MOST_TIMES = 5


def after_step(look: TaskView, at: datetime) -> FollowUpTask | None:
    """Return the ladder's next step with the due time if the task is completed at `at`."""
    task, desk = look.task, look.desk
    if task.ladder_id is None:
        return None
    later = [
        other
        for other in look.history
        if other.ladder_id == task.ladder_id
        and other.status == FollowUpTask.Status.OPEN
        and (other.step or 0) > (task.step or 0)
    ]
    if not later:
        return None
    following = copy.copy(min(later, key=lambda other: (is_set_aside(other), other.step or 0)))
    if following.due_at is not None and following.step:
        not_before = max(following.due_at, at + gap_before(desk.steps, following.step))
        following.due_at = desk.first_allowed(following.channel, not_before)
        if following.due_at is None:
            following.held_reason = desk.holding_reason(following.channel, not_before)
    return following


def lawful_times(look: TaskView, channel: str, at: datetime, *, within: timedelta) -> list[datetime]:
    """Return up to five permitted instants that people suggest, in the lead's local time, soonest first."""
    found: list[datetime] = []
    for wanted in _proposed(at, look.zone):
        lawful = look.desk.first_allowed(channel, wanted)
        if lawful is not None and lawful <= at + within and lawful not in found:
            found.append(lawful.astimezone(UTC))
    return sorted(found)[:MOST_TIMES]


def _proposed(at: datetime, zone: str) -> Iterator[datetime]:
    """Yield in an hour, this evening, tomorrow morning and afternoon, and in a week."""
    now = local(at, zone)
    hour = at + timedelta(hours=1)
    yield (
        hour
        + timedelta(minutes=-local(hour, zone).minute % 15)
        - timedelta(seconds=now.second, microseconds=now.microsecond)
    )
    evening = now.replace(hour=17, minute=30, second=0, microsecond=0)
    if evening > now + timedelta(minutes=30):
        yield evening
    morning = now.replace(hour=9, minute=0, second=0, microsecond=0)
    yield add_local_days(morning, 1, zone)
    yield add_local_days(now.replace(hour=13, minute=0, second=0, microsecond=0), 1, zone)
    yield add_local_days(morning, 2, zone)
    yield add_local_days(morning, 7, zone)

"""Due times across a scheduled change of a market policy, as it is entered, cancelled and takes effect."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from followups.models import FollowUpTask, RealignRequest
from followups.services import realign_due
from followups.tests.factories import MINUTE, NOW, fresh, ladder, steps_of
from governance.core.actors import Actor
from governance.core.places import Place
from governance.market.models import MarketPolicy
from governance.market.services import apply_scheduled, cancel_scheduled, schedule_change, simulate_policy

pytestmark = [pytest.mark.both, pytest.mark.django_db]
People = Callable[..., Actor]
EVENINGS = {"contact_windows_local": [{"days": [0, 1, 2, 3, 4], "start": "18:00", "end": "20:00"}]}
LATER = NOW + MINUTE
IN_TWO_DAYS = NOW + timedelta(days=2)


@pytest.fixture(autouse=True)
def _since_long_ago() -> None:
    """What is seeded was in force before anything that is asked."""
    MarketPolicy.objects.update(updated_at=NOW - timedelta(days=1000))


def open_tasks() -> list[FollowUpTask]:
    return list(FollowUpTask.objects.filter(status="OPEN").order_by("step"))


def hour(at: datetime | None) -> int:
    assert at is not None
    return at.astimezone(ZoneInfo("America/Toronto")).hour


def test_steps_after_the_instant_move_into_the_new_hours_and_the_others_stay(by: People) -> None:
    ladder(by("VA"))
    before = {task.step: task.due_at for task in open_tasks()}
    told = simulate_policy(Place("ON"), at=LATER, effective_from=IN_TWO_DAYS, rules=EVENINGS)
    schedule_change(Place("ON"), by=by("MANAGER"), at=LATER, effective_from=IN_TWO_DAYS, rules=EVENINGS)
    assert realign_due(LATER) == told.moved > 0
    after = [task for task in open_tasks() if task.due_at is not None and task.due_at >= IN_TWO_DAYS]
    sooner = [task for task in open_tasks() if task.due_at is not None and task.due_at < IN_TWO_DAYS]
    assert after
    assert all(18 <= hour(task.due_at) < 20 for task in after)
    assert sooner
    assert all(task.due_at == before[task.step] for task in sooner)
    late = after[0].sla_2h_at  # two hours of the new hours, not of the old ones
    assert late is not None
    assert after[0].due_at is not None
    assert late - after[0].due_at >= timedelta(hours=2)
    assert 18 <= hour(late - timedelta(seconds=1)) < 20


def test_a_ladder_begun_afterwards_is_planned_across_the_change(by: People) -> None:
    schedule_change(
        Place("ON"), by=by("MANAGER"), at=NOW - MINUTE, effective_from=IN_TWO_DAYS, rules=EVENINGS
    )
    made = ladder(by("VA"))
    dues = [task.due_at for task in steps_of(made) if task.due_at is not None and task.due_at >= IN_TWO_DAYS]
    assert dues
    assert all(18 <= hour(due) < 20 for due in dues)
    assert realign_due(NOW) == 0, "they were right from the beginning"


def test_cancelling_brings_the_old_times_back(by: People) -> None:
    made = ladder(by("VA"))
    before = [task.due_at for task in steps_of(made)]
    change = schedule_change(
        Place("ON"), by=by("MANAGER"), at=LATER, effective_from=IN_TWO_DAYS, enabled=False
    )
    assert change is not None
    realign_due(LATER)
    assert any(task.due_at is None and task.held_reason for task in map(fresh, steps_of(made)))
    cancel_scheduled(change.pk, by=by("MANAGER"), at=LATER, reason="not needed")
    realign_due(LATER)
    assert [fresh(task).due_at for task in steps_of(made)] == before


def test_taking_effect_asks_for_a_realign_and_moves_nothing_more(by: People) -> None:
    ladder(by("VA"))
    schedule_change(Place("ON"), by=by("MANAGER"), at=LATER, effective_from=IN_TWO_DAYS, rules=EVENINGS)
    realign_due(LATER)
    due = {task.pk: task.due_at for task in open_tasks() if task.due_at and task.due_at > IN_TWO_DAYS}
    apply_scheduled(IN_TWO_DAYS + MINUTE)
    assert RealignRequest.objects.filter(done_at=None, province="ON").count() == 1
    realign_due(IN_TWO_DAYS + MINUTE)
    assert {task.pk: task.due_at for task in open_tasks() if task.pk in due} == due

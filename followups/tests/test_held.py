"""A task for which no instant of 60 days is allowed is held, and comes back when the reason falls away."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from followups.models import ContactPoint, FollowUpTask
from followups.services import bring_back_held, claim_due, due_tasks, realign_due, sla_of
from followups.tests.factories import (
    DAY,
    MINUTE,
    NOW,
    finish,
    fresh,
    ladder,
    local_times,
    set_policy,
    steps_of,
)
from governance.contact.services import lift_suppression, record_consent, suppress
from governance.core.actors import Actor
from governance.core.errors import Refused

pytestmark = [pytest.mark.both, pytest.mark.django_db]
People = Callable[..., Actor]
LATER = NOW + MINUTE


def switch_off(by: People) -> None:
    set_policy(by("MANAGER"), NOW, enabled=False)
    realign_due(NOW - MINUTE)  # before the first step is due, so that all of them are held


def test_a_policy_switched_off_holds_what_is_due_later(by: People) -> None:
    made = ladder(by("VA"))
    switch_off(by)
    tasks = steps_of(made)
    assert [task.held_reason for task in tasks] == ["policy_disabled"] * 6
    assert local_times(tasks) == ["held"] * 6
    assert {task.sla_2h_at for task in tasks} == {None}
    assert [task.is_current for task in tasks][0]


def test_held_tasks_are_in_no_queue_and_no_sla(by: People) -> None:
    ladder(by("VA"))
    switch_off(by)
    assert due_tasks(by=by("MANAGER"), at=NOW + DAY) == []
    assert claim_due(by=by("VA"), at=NOW + DAY)[1] == []
    assert sla_of(at=NOW + DAY)["sla"]["count"] == 0


def test_they_come_back_with_the_policy(by: People) -> None:
    made = ladder(by("VA"))
    before = local_times(steps_of(made))
    switch_off(by)
    set_policy(by("MANAGER"), LATER, enabled=True)
    assert realign_due(LATER) == 6
    assert local_times(steps_of(made)) == ["Wed 25 14:31", "Wed 25 15:01", *before[2:]]
    assert {task.held_reason for task in steps_of(made)} == {""}


def test_what_is_overdue_keeps_its_time_and_is_shown_as_not_allowed(by: People) -> None:
    made = ladder(by("VA"))
    set_policy(by("MANAGER"), LATER, enabled=False)
    realign_due(LATER)
    assert local_times(steps_of(made)) == ["Wed 25 14:30", *["held"] * 5]
    (row,) = due_tasks(by=by("VA"), at=LATER)
    assert row["contact"] == {"ok": False, "reason": "policy_disabled", "next_allowed_at": None}


def test_a_policy_without_windows_begins_ladders_that_are_held(by: People) -> None:
    set_policy(by("MANAGER"), rules={"contact_windows_local": []})
    made = ladder(by("VA"))
    assert {(task.due_at, task.held_reason) for task in steps_of(made)} == {(None, "no_windows_defined")}
    assert [task.scheduled_for for task in steps_of(made)][1] == NOW + 30 * MINUTE
    assert bring_back_held(LATER) == 1
    assert local_times(steps_of(made)) == ["held"] * 6


def test_a_consent_that_ends_before_a_step_holds_it_and_says_why(by: People) -> None:
    set_policy(by("MANAGER"), rules={"consent_required_channels": ["SMS"]})
    point = ladder(by("VA"), "L-0", province="QC").tasks[0].contact_point
    assert point is not None
    obtained = NOW.replace(month=5, day=26)  # an inquiry counts for six months: until tomorrow
    record_consent(
        point.digest, "SMS", "INQUIRY", by=by("MANAGER"), at=NOW, obtained_at=obtained, how="web form"
    )
    tasks = steps_of(ladder(by("VA")))
    assert [task.held_reason for task in tasks] == ["", "", "", "", "consent_missing", ""]


def test_a_stop_that_a_manager_ends_brings_the_steps_back(by: People) -> None:
    made = ladder(by("VA"))
    point = ContactPoint.objects.get()
    suppress([point.digest], by=by("MANAGER"), at=NOW, channel="CALL")
    assert [task.held_reason for task in steps_of(made)] == ["", "suppressed"] * 3
    assert bring_back_held(LATER) == 1
    assert [task.held_reason for task in steps_of(made)] == ["", "suppressed"] * 3
    lift_suppression([point.digest], by=by("MANAGER"), at=LATER, reason="by mistake", channel="CALL")
    bring_back_held(LATER)
    assert [task.held_reason for task in steps_of(made)] == [""] * 6


def test_a_held_step_keeps_its_place_in_the_order(by: People) -> None:
    made = ladder(by("VA"))
    suppress([ContactPoint.objects.get().digest], by=by("MANAGER"), at=NOW, channel="CALL")
    finish(made.tasks[0], by("VA"))
    assert [task.is_current for task in steps_of(made)] == [False, True, False, False, False, False]
    assert due_tasks(by=by("VA"), at=NOW + DAY) == []
    with pytest.raises(Refused) as refusal:
        finish(made.tasks[2], by("VA"), NOW + DAY)
    assert refusal.value.code == "out_of_sequence"


def test_a_callback_to_someone_who_must_not_be_called_is_held(by: People) -> None:
    made = ladder(by("VA"))
    suppress([ContactPoint.objects.get().digest], by=by("MANAGER"), at=NOW, channel="CALL")
    task = finish(made.tasks[0], by("VA"), outcome="REPLIED").next_task
    assert task is not None
    assert (fresh(task).due_at, fresh(task).held_reason) == (None, "suppressed")


def test_however_many_are_held_each_is_looked_at_in_turn(by: People) -> None:
    set_policy(by("MANAGER"), rules={"contact_windows_local": []})
    for number in range(4):
        ladder(by("VA"), f"L-{number}")
    set_policy(
        by("MANAGER"),
        rules={"contact_windows_local": [{"days": [0, 1, 2, 3, 4], "start": "09:00", "end": "20:00"}]},
    )
    minute = NOW
    while FollowUpTask.objects.filter(due_at=None).exists():
        assert bring_back_held(minute, limit=7) <= 2
        minute += MINUTE
        assert minute < NOW + 8 * MINUTE

"""Putting tasks aside, skipping them, giving them to others and stopping ladders."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from followups.models import FollowUpTask, Lead
from followups.services import due_tasks, reassign_tasks, skip_task, snooze_task, start_task, stop_ladder
from followups.tests.factories import (
    DAY,
    HOUR,
    MINUTE,
    NOW,
    at,
    finish,
    fresh,
    kpis,
    ladder,
    local_times,
    set_policy,
    steps_of,
)
from governance.core.actors import Actor
from governance.core.errors import Forbidden, Invalid, NotFound, Refused
from governance.models import ContactDecision

pytestmark = [pytest.mark.both, pytest.mark.django_db]
People = Callable[..., Actor]


# --- snoozing -----------------------------------------------------------------------------


def test_a_task_is_put_aside_until_a_lawful_instant_and_its_clock_runs_on(by: People) -> None:
    made = ladder(by("VA"))
    start_task(made.tasks[0].pk, by=by("VA"), at=NOW)
    before = fresh(made.tasks[0])
    task = fresh(snooze_task(made.tasks[0].pk, by=by("VA"), at=NOW, until=at(25, "21:00")))
    assert task.snoozed_until == at(26, "09:00")
    assert (task.due_at, task.sla_2h_at, task.claimed_by) == (before.due_at, before.sla_2h_at, "")
    assert due_tasks(by=by("VA"), at=at(26, "08:59")) == []
    assert [row["id"] for row in due_tasks(by=by("VA"), at=at(26, "09:00"))] == [task.pk]


@pytest.mark.parametrize("until", [NOW, NOW - MINUTE, NOW + 14 * DAY + MINUTE])
def test_a_task_is_put_aside_for_two_weeks_at_most(by: People, until: object) -> None:
    made = ladder(by("VA"))
    with pytest.raises(Invalid) as refusal:
        snooze_task(made.tasks[0].pk, by=by("VA"), at=NOW, until=until)  # type: ignore[arg-type]  # a table's
    assert list(refusal.value.errors) == ["until"]
    assert fresh(made.tasks[0]).snoozed_until is None


def test_a_task_is_not_put_aside_to_where_no_lawful_instant_is(by: People) -> None:
    made = ladder(by("VA"))
    set_policy(by("MANAGER"), enabled=False)
    with pytest.raises(Refused) as refusal:
        snooze_task(made.tasks[0].pk, by=by("VA"), at=NOW, until=NOW + HOUR)
    assert (refusal.value.code, refusal.value.extra["reason"]) == ("contact_denied", "policy_disabled")
    assert not ContactDecision.objects.exists()  # nobody wanted to contact


def test_a_task_put_aside_may_be_completed_all_the_same(by: People) -> None:
    made = ladder(by("VA"))
    snooze_task(made.tasks[0].pk, by=by("VA"), at=NOW, until=NOW + HOUR)
    assert fresh(finish(made.tasks[0], by("VA")).task).snoozed_until is None


# --- skipping -----------------------------------------------------------------------------


def test_a_skipped_step_makes_way_for_the_next(by: People) -> None:
    made = ladder(by("VA"))
    task, following = skip_task(made.tasks[0].pk, by=by("VA"), at=at(25, "17:20"), reason=" sent by hand ")
    assert (task.status, task.closed_reason, following) == ("SKIPPED", "sent by hand", made.tasks[1])
    assert local_times(steps_of(made))[1:3] == ["Wed 25 17:50", "Wed 25 18:20"]
    assert kpis() == [("ladder_created", True)]
    assert finish(made.tasks[1], by("VA"), at(25, "17:50")).task.status == "COMPLETED"


def test_skipping_needs_a_reason_and_an_open_task(by: People) -> None:
    made = ladder(by("VA"))
    with pytest.raises(Invalid) as refusal:
        skip_task(made.tasks[0].pk, by=by("VA"), at=NOW, reason=" ")
    assert list(refusal.value.errors) == ["reason"]
    skip_task(made.tasks[0].pk, by=by("VA"), at=NOW, reason="x")
    with pytest.raises(Refused) as closed:
        skip_task(made.tasks[0].pk, by=by("VA"), at=NOW, reason="x")
    assert closed.value.code == "task_closed"


def test_skipping_every_step_stops_the_ladder(by: People) -> None:
    made = ladder(by("VA"))
    for task in made.tasks:
        _task, following = skip_task(task.pk, by=by("VA"), at=NOW, reason="x")
    made.ladder.refresh_from_db()
    assert (made.ladder.status, following) == ("STOPPED", None)
    assert Lead.objects.nobodys().count() == 1


def test_a_later_step_may_be_skipped_and_the_current_one_stays(by: People) -> None:
    made = ladder(by("VA"))
    _task, following = skip_task(made.tasks[3].pk, by=by("VA"), at=NOW, reason="x")
    assert following == made.tasks[0]
    assert [task.is_current for task in steps_of(made)] == [True, False, False, False, False, False]


# --- giving tasks to others ---------------------------------------------------------------


def test_a_manager_gives_a_task_and_what_remains_of_its_ladder_to_another(by: People) -> None:
    gus = by("VA", "gus")
    made = ladder(by("VA"))
    finish(made.tasks[0], by("VA"))
    start_task(made.tasks[1].pk, by=by("VA"), at=NOW)
    assert reassign_tasks([made.tasks[1].pk], " Gus ", by=by("MANAGER"), at=NOW, reason="holiday") == 5
    tasks = steps_of(made)
    assert [(task.owner, task.claimed_by) for task in tasks] == [("", ""), *[("Gus", "")] * 5]
    made.ladder.refresh_from_db()
    assert made.ladder.owner == "Gus"
    with pytest.raises(NotFound):
        finish(made.tasks[1], by("VA"))
    assert finish(made.tasks[1], gus, NOW + HOUR).task.status == "COMPLETED"


def test_reassigning_needs_a_reason_a_number_of_tasks_and_a_manager(by: People) -> None:
    made = ladder(by("VA"))
    for ids, reason, wrong in (
        ([made.tasks[0].pk], " ", "reason"),
        ([], "x", "ids"),
        ([1] * 501, "x", "ids"),
    ):
        with pytest.raises(Invalid) as refusal:
            reassign_tasks(ids, "gus", by=by("MANAGER"), at=NOW, reason=reason)
        assert list(refusal.value.errors) == [wrong]
    for role in ("VA", "CLOSER", "SERVICE", "AUDITOR"):
        with pytest.raises(Forbidden):
            reassign_tasks([made.tasks[0].pk], "gus", by=by(role), at=NOW, reason="x")


def test_one_task_that_is_not_there_or_closed_is_named(by: People) -> None:
    made = ladder(by("VA"))
    finish(made.tasks[0], by("VA"))
    with pytest.raises(NotFound):
        reassign_tasks([10**9], "gus", by=by("MANAGER"), at=NOW, reason="x")
    with pytest.raises(Refused) as refusal:
        reassign_tasks([made.tasks[0].pk], "gus", by=by("MANAGER"), at=NOW, reason="x")
    assert refusal.value.code == "task_closed"
    assert reassign_tasks([10**9, made.tasks[0].pk], "gus", by=by("MANAGER"), at=NOW, reason="x") == 0


# --- stopping -----------------------------------------------------------------------------


def test_a_manager_stops_a_ladder_for_a_reason(by: People) -> None:
    made = ladder(by("VA"))
    finish(made.tasks[0], by("VA"))
    call = finish(
        ladder(by("VA"), "L-2").tasks[0], by("VA"), outcome="REACHED", next="CALLBACK", next_at=NOW + DAY
    ).next_task
    stopped = stop_ladder(made.ladder.pk, by=by("MANAGER"), at=NOW, reason="sold to a friend")
    assert (stopped.status, stopped.stop_reason, stopped.ended_at) == ("STOPPED", "sold to a friend", NOW)
    assert [task.status for task in steps_of(made)] == ["COMPLETED", *["CANCELLED"] * 5]
    assert call is not None
    assert fresh(call).status == "OPEN"  # of another lead
    assert set(Lead.objects.nobodys().values_list("external_id", flat=True)) == {"L-1"}
    with pytest.raises(Refused) as refusal:
        stop_ladder(made.ladder.pk, by=by("MANAGER"), at=NOW, reason="again")
    assert refusal.value.code == "ladder_ended"


def test_only_a_manager_stops_and_says_why(by: People) -> None:
    made = ladder(by("VA"))
    for role in ("VA", "CLOSER", "SERVICE", "AUDITOR"):
        with pytest.raises(Forbidden):
            stop_ladder(made.ladder.pk, by=by(role), at=NOW, reason="x")
    with pytest.raises(Invalid):
        stop_ladder(made.ladder.pk, by=by("MANAGER"), at=NOW, reason=" ")
    with pytest.raises(NotFound):
        stop_ladder(10**30, by=by("MANAGER"), at=NOW, reason="x")
    assert FollowUpTask.objects.open().count() == 6


def test_anothers_task_is_neither_put_aside_nor_skipped(by: People) -> None:
    by("VA", "gus")
    made = ladder(by("MANAGER"), owner="gus")
    for call in (
        lambda who: snooze_task(made.tasks[0].pk, by=who, at=NOW, until=NOW + timedelta(hours=1)),
        lambda who: skip_task(made.tasks[0].pk, by=who, at=NOW, reason="x"),
    ):
        with pytest.raises(NotFound):
            call(by("VA"))
        with pytest.raises(Forbidden):
            call(by("CLOSER"))
        with pytest.raises(Forbidden):
            call(by("SERVICE"))  # programs start and complete, they plan nothing
        call(by("MANAGER"))

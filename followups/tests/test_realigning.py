"""After a change of policy, hours, closures or zones future due times are judged anew."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import time_machine

from followups.models import FollowUpTask, Lead, RealignRequest
from followups.services import claim_due, realign_due, reassign_tasks, request_realigning, skip_task
from followups.services.rescheduling import LEADS_A_BATCH, _batch, realign_leads
from followups.tests.factories import (
    DAY,
    HOUR,
    MINUTE,
    NOW,
    at,
    finish,
    fresh,
    ladder,
    local_times,
    set_policy,
    steps_of,
)
from governance.core.actors import Actor
from governance.models import Closure

pytestmark = [pytest.mark.both, pytest.mark.django_db]
People = Callable[..., Actor]
LATE_HOURS = {"contact_windows_local": [{"days": [0, 1, 2, 3, 4], "start": "16:00", "end": "20:00"}]}
JOB = Actor.system("test")


def test_a_change_of_policy_asks_for_it_and_moves_future_tasks(by: People) -> None:
    made = ladder(by("VA"))
    scheduled = [task.scheduled_for for task in steps_of(made)]
    set_policy(by("MANAGER"), NOW + MINUTE, rules=LATE_HOURS)
    request = RealignRequest.objects.get()
    assert (request.province, request.asked_by, request.correlation_id) == ("ON", "a-manager", "test")
    assert realign_due(NOW + MINUTE) == 4
    assert local_times(steps_of(made)) == [
        "Wed 25 14:30",  # overdue: it keeps its own
        "Wed 25 16:00",
        "Wed 25 17:30",
        "Thu 26 16:00",
        "Mon 30 16:00",
        "Wed 02 16:00",
    ]
    assert [task.scheduled_for for task in steps_of(made)] == scheduled
    request.refresh_from_db()
    assert (request.moved, request.done_at) == (4, NOW + MINUTE)
    assert {task.correlation_id for task in steps_of(made)} == {"test"}


def test_doing_it_twice_moves_nothing_more(by: People) -> None:
    made = ladder(by("VA"))
    set_policy(by("MANAGER"), NOW + MINUTE, rules=LATE_HOURS)
    realign_due(NOW + MINUTE)
    before = list(FollowUpTask.objects.order_by("id").values())
    request_realigning("", JOB, NOW + MINUTE)
    assert realign_due(NOW + MINUTE) == 0
    assert list(FollowUpTask.objects.order_by("id").values()) == before
    assert steps_of(made)[0].due_at == NOW


def test_other_provinces_stay(by: People) -> None:
    quebec = ladder(by("VA"), "L-2", province="QC", city="Montreal")
    before = local_times(steps_of(quebec))
    set_policy(by("MANAGER"), NOW + MINUTE, rules=LATE_HOURS)
    realign_due(NOW + MINUTE)
    assert local_times(steps_of(quebec)) == before


def test_tasks_come_nearer_again_but_not_before_the_move(by: People) -> None:
    made = ladder(by("VA"))
    set_policy(by("MANAGER"), NOW + MINUTE, rules=LATE_HOURS)
    realign_due(NOW + MINUTE)
    wide = {"contact_windows_local": [{"days": [0, 1, 2, 3, 4, 5], "start": "09:00", "end": "20:00"}]}
    set_policy(by("MANAGER"), at(25, "15:40"), rules=wide)
    realign_due(at(25, "15:40"))
    assert local_times(steps_of(made))[1:] == [
        "Wed 25 15:40",
        "Wed 25 17:30",
        "Thu 26 14:30",
        "Sat 28 14:30",
        "Wed 02 14:30",
    ]


def test_a_claimed_task_keeps_its_time_and_its_claim(by: People) -> None:
    made = ladder(by("VA"))
    finish(made.tasks[0], by("VA"))
    FollowUpTask.objects.filter(pk=made.tasks[1].pk).update(
        claimed_by="a-va", claim_token="t", claimed_at=NOW, claim_until=NOW + HOUR
    )
    set_policy(by("MANAGER"), NOW + MINUTE, rules=LATE_HOURS)
    realign_due(NOW + MINUTE)
    task = fresh(made.tasks[1])
    assert (local_times([task]), task.claim_token) == (["Wed 25 15:00"], "t")
    realign_due(NOW + HOUR)


def test_a_claim_made_meanwhile_is_never_written_over(by: People) -> None:
    """The future steps of a ladder are moved while its current one is claimed."""
    made = ladder(by("VA"))
    token, _ids, _until = claim_due(by=by("VA"), at=NOW)
    request_realigning("ON", JOB, NOW)
    set_policy(by("MANAGER"), NOW, rules=LATE_HOURS)
    realign_due(NOW)
    assert fresh(made.tasks[0]).claim_token == token


def test_the_order_and_the_gaps_stay(by: People) -> None:
    made = ladder(by("VA"))
    one_evening = {"contact_windows_local": [{"days": [4], "start": "18:00", "end": "20:00"}]}
    set_policy(by("MANAGER"), NOW + MINUTE, rules=one_evening)
    realign_due(NOW + MINUTE)
    assert local_times(steps_of(made))[1:] == [
        "Fri 27 18:00",
        "Fri 27 18:30",
        "Fri 04 18:00",
        "Fri 11 18:00",
        "Fri 18 18:00",
    ]


def test_after_a_late_completion_the_gap_holds_against_a_wider_policy(by: People) -> None:
    made = ladder(by("VA"))
    finish(made.tasks[0], by("VA"), at(25, "17:20"))
    request_realigning("ON", JOB, at(25, "17:21"))
    assert realign_due(at(25, "17:21")) == 0
    assert local_times(steps_of(made))[1:3] == ["Wed 25 17:50", "Wed 25 18:20"]


def test_after_a_late_skip_the_gap_holds_too(by: People) -> None:
    made = ladder(by("VA"))
    skip_task(made.tasks[0].pk, by=by("VA"), at=at(25, "17:20"), reason="x")
    request_realigning("ON", JOB, at(25, "17:21"))
    assert realign_due(at(25, "17:21")) == 0
    assert local_times(steps_of(made))[1:3] == ["Wed 25 17:50", "Wed 25 18:20"]


def test_a_closure_moves_what_falls_on_it(by: People) -> None:
    made = ladder(by("VA"))
    Closure.objects.create(province="ON", date=at(26, "12:00").date(), name="Staff day")
    request_realigning("ON", JOB, NOW + MINUTE)
    assert realign_due(NOW + MINUTE) == 1
    assert local_times(steps_of(made))[3] == "Fri 27 09:00"


def test_a_handover_moves_its_deadline_and_a_callback_its_time(by: People) -> None:
    handover = finish(ladder(by("VA"), "L-1").tasks[0], by("VA"), outcome="REPLIED").next_task
    call = finish(
        ladder(by("VA"), "L-2").tasks[0], by("VA"), outcome="REACHED", next="CALLBACK", next_at=NOW + 2 * HOUR
    ).next_task
    assert handover is not None
    assert call is not None
    request_realigning("", JOB, NOW + MINUTE)
    assert realign_due(NOW + MINUTE) == 0
    set_policy(by("MANAGER"), NOW + MINUTE, rules=LATE_HOURS)
    realign_due(NOW + MINUTE)
    assert local_times([fresh(handover), fresh(call)]) == ["Wed 25 14:30", "Wed 25 16:30"]
    # its first minute was one of the hours before, which were in force at it
    assert fresh(handover).deadline_at == at(25, "16:59")


def test_a_lead_who_moves_takes_her_tasks_along(by: People) -> None:
    made = ladder(by("VA"))
    Lead.objects.update(province="BC", city="Vancouver", city_key="VANCOUVER")
    assert realign_leads([made.ladder.lead_id], at=NOW + MINUTE, by=JOB) == 6
    tasks = steps_of(made)
    assert {task.province for task in tasks} == {"BC"}
    assert {task.zone for task in tasks[1:]} == {"America/Vancouver"}
    assert tasks[0].due_at == NOW
    assert local_times(tasks)[1] == "Wed 25 15:00"  # 13:00 in Vancouver


def test_what_a_run_does_not_finish_the_next_one_goes_on_with(by: People) -> None:
    made = [ladder(by("VA"), f"L-{number}") for number in range(LEADS_A_BATCH + 3)]
    set_policy(by("MANAGER"), NOW + MINUTE, rules=LATE_HOURS)
    assert realign_due(NOW + MINUTE, seconds=0) == 0
    request = RealignRequest.objects.get()
    assert _batch(request.pk, NOW + MINUTE) == 4 * LEADS_A_BATCH
    request.refresh_from_db()
    assert request.done_at is None
    assert request.cursor == made[LEADS_A_BATCH - 1].ladder.lead_id
    assert realign_due(NOW + MINUTE) == 12
    request.refresh_from_db()
    assert (request.moved, request.done_at is not None) == (4 * LEADS_A_BATCH + 12, True)
    assert _batch(request.pk, NOW + MINUTE) is None


def test_reassigning_moves_no_time(by: People) -> None:
    made = ladder(by("VA"))
    before = local_times(steps_of(made))
    reassign_tasks([made.tasks[0].pk], "gus", by=by("MANAGER"), at=NOW, reason="x")
    request_realigning("ON", JOB, NOW + DAY * 0)
    realign_due(NOW)
    assert local_times(steps_of(made)) == before


def test_the_nightly_job_judges_everything_anew(by: People) -> None:
    from followups.tasks import realign_due as job

    made = ladder(by("VA"))
    Closure.objects.create(province="", date=at(26, "12:00").date(), name="Everywhere")
    with time_machine.travel(NOW + MINUTE, tick=False):
        assert job() == 1
        assert job() is None  # once a day
    assert local_times(steps_of(made))[3] == "Fri 27 09:00"


def test_a_request_that_fails_keeps_no_later_one_waiting(by: People) -> None:
    poison = ladder(by("VA"))
    Lead.objects.filter(pk=poison.tasks[0].lead_id).update(zone="Nowhere/City")
    ladder(by("VA"), "L-2", province="QC", city="Montreal")
    request_realigning("ON", JOB, NOW)
    request_realigning("QC", JOB, NOW)
    with pytest.raises(Exception, match="Nowhere"):
        realign_due(NOW + MINUTE)
    done = dict(RealignRequest.objects.values_list("province", "done_at"))
    assert done == {"ON": None, "QC": NOW + MINUTE}

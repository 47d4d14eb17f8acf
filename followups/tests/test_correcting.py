"""Correcting a completed task: its first outcome stays, what followed is undone and done anew."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from followups.models import ContactPoint, FollowUpTask, Ladder, Lead, TaskCorrection
from followups.services import Completion, correct_task, create_ladder
from followups.tests.factories import DAY, MINUTE, NOW, PHONE, PointFactory, at, finish, fresh, ladder
from governance.core.actors import Actor
from governance.core.errors import Refused
from governance.models import KpiEvent, Suppression

pytestmark = [pytest.mark.both, pytest.mark.django_db]
People = Callable[..., Actor]


def correct(task: FollowUpTask, by: Actor, outcome: str, when: Any = NOW + MINUTE, **said: Any) -> Any:
    said = {"reason": "typed the wrong one", **said}
    reason = said.pop("reason")
    return correct_task(task.pk, Completion(outcome=outcome, **said), by=by, at=when, reason=reason)


def open_steps(lead: Lead) -> list[int | None]:
    rows = FollowUpTask.objects.filter(lead=lead, kind="LADDER", status="OPEN").order_by("step")
    return list(rows.values_list("step", flat=True))


def test_a_stopped_ladder_goes_on(by: People) -> None:
    made = ladder(by("VA"))
    finish(made.tasks[0], by("VA"), outcome="REPLIED")
    assert open_steps(made.ladder.lead) == []
    corrected = correct(made.tasks[0], by("VA"), "SENT")
    task = fresh(made.tasks[0])
    assert (task.outcome, task.corrected_to, task.status) == ("REPLIED", "SENT", "COMPLETED")
    assert open_steps(made.ladder.lead) == [2, 3, 4, 5, 6]
    assert corrected.next_task.step == 2
    assert FollowUpTask.objects.filter(is_current=True).count() == 1
    assert not FollowUpTask.objects.filter(kind="HANDOVER", status="OPEN").exists()
    assert Ladder.objects.get().status == "ACTIVE"
    assert Lead.objects.get().status == "WORKING"


def test_the_step_that_goes_on_keeps_its_gap_from_the_contact_that_was_corrected(by: People) -> None:
    made = ladder(by("VA"))
    late = at(26, "12:00")
    finish(made.tasks[0], by("VA"), late, outcome="REPLIED")
    corrected = correct(made.tasks[0], by("VA"), "SENT", late + MINUTE)
    assert corrected.next_task.step == 2
    assert corrected.next_task.due_at == late + 30 * MINUTE


def test_the_kpi_gets_one_correcting_event_and_keeps_the_first(by: People) -> None:
    made = ladder(by("VA"))
    finish(made.tasks[0], by("VA"))
    correct(made.tasks[0], by("VA"), "LEFT_MESSAGE")
    assert KpiEvent.objects.filter(metric="followup_completed").count() == 1
    event = KpiEvent.objects.get(metric="followup_corrected")
    assert event.detail == {"task": made.tasks[0].pk, "from": "SENT", "to": "LEFT_MESSAGE"}
    row = TaskCorrection.objects.get()
    assert (row.from_outcome, row.to_outcome, row.reason) == ("SENT", "LEFT_MESSAGE", "typed the wrong one")


def test_the_same_correction_again_writes_nothing(by: People) -> None:
    made = ladder(by("VA"))
    finish(made.tasks[0], by("VA"))
    correct(made.tasks[0], by("VA"), "LEFT_MESSAGE")
    assert correct(made.tasks[0], by("VA"), "LEFT_MESSAGE").already_completed
    assert TaskCorrection.objects.count() == 1


def test_a_correction_to_reached_stops_the_ladder_and_takes_its_next(by: People) -> None:
    made = ladder(by("VA"))
    finish(made.tasks[0], by("VA"))
    corrected = correct(made.tasks[0], by("VA"), "REACHED", next="CALLBACK", next_at=NOW + DAY)
    assert corrected.next_task.kind == "CALLBACK"
    assert open_steps(made.ladder.lead) == []


def test_a_number_that_was_right_after_all_is_used_again(by: People) -> None:
    made = ladder(by("VA"))
    finish(made.tasks[0], by("VA"), outcome="WRONG_NUMBER")
    assert Ladder.objects.get().status != "ACTIVE"
    correct(made.tasks[0], by("VA"), "SENT")
    assert ContactPoint.objects.get().status == "USABLE"
    assert open_steps(made.ladder.lead) == [2, 3, 4, 5, 6]
    assert {task.contact_point_id for task in FollowUpTask.objects.filter(status="OPEN")} == {
        ContactPoint.objects.get().pk
    }


def test_an_opt_out_is_taken_back_by_a_manager_alone(by: People) -> None:
    made = ladder(by("VA"))
    finish(made.tasks[0], by("VA"), outcome="OPTED_OUT")
    with pytest.raises(Refused) as refusal:
        correct(made.tasks[0], by("VA"), "SENT")
    assert refusal.value.code == "needs_manager"
    assert not TaskCorrection.objects.exists()
    correct(made.tasks[0], by("MANAGER"), "SENT")
    assert open_steps(made.ladder.lead) == [2, 3, 4, 5, 6]
    assert set(Suppression.objects.values_list("action", flat=True)) == {"SUPPRESS", "LIFT"}


def test_a_correction_to_opted_out_stops_every_lead_that_shares_the_number(by: People) -> None:
    made = ladder(by("VA"))
    other = PointFactory.create(lead__external_id="L-2", value=PHONE).lead
    create_ladder(other.external_id, by=by("VA"), at=NOW)
    finish(made.tasks[0], by("VA"))
    correct(made.tasks[0], by("VA"), "OPTED_OUT")
    assert set(Ladder.objects.values_list("status", flat=True)) == {"STOPPED"}


def test_reopened_steps_are_due_in_the_future_with_their_gaps(by: People) -> None:
    made = ladder(by("VA"))
    finish(made.tasks[0], by("VA"), outcome="REPLIED")
    correct(made.tasks[0], by("MANAGER"), "SENT", when=at(30, "10:00"))
    due = [t.due_at for t in FollowUpTask.objects.filter(status="OPEN", kind="LADDER").order_by("step")]
    assert all(when is not None and when >= at(30, "10:00") for when in due)
    assert due == sorted(due)


@pytest.mark.parametrize(
    ("first", "second", "of_tasks"),
    [
        ("WRONG_NUMBER", "SENT", 1),
        ("REPLIED", "SENT", 2),
        ("REACHED", "NO_ANSWER", 2),
        ("REPLIED", "REACHED", 4),
    ],
)
def test_a_correction_is_decided_before_it_writes(by: People, first: str, second: str, of_tasks: int) -> None:
    """Each table is written once, but tasks: no two of a ladder are ever current, some end, one is new."""
    made, manager = ladder(by("VA")), by("MANAGER")
    finish(made.tasks[0], by("VA"), outcome=first)
    with CaptureQueriesContext(connection) as captured:
        correct(made.tasks[0], manager, second)
    found = (
        re.search(r'(?:INSERT INTO|UPDATE) "(\w+)"', query["sql"]) for query in captured.captured_queries
    )
    written = Counter(match[1] for match in found if match)
    assert written.pop("followups_followuptask") == of_tasks
    assert set(written.values()) == {1}, written


@pytest.mark.parametrize(
    ("role", "name", "when", "code"),
    [
        ("VA", "", at(26, "23:59"), None),
        ("VA", "", at(27, "00:01"), "too_late_to_correct"),
        ("VA", "gus", NOW + MINUTE, "not_your_task"),
        ("CLOSER", "", NOW + MINUTE, "not_your_task"),
        ("MANAGER", "", at(30, "12:00"), None),
        ("AUDITOR", "", NOW + MINUTE, "not_allowed"),
        ("SERVICE", "", NOW + MINUTE, "not_allowed"),
    ],
)
def test_who_may_correct_and_until_when(
    by: People, role: str, name: str, when: object, code: str | None
) -> None:
    made = ladder(by("VA"))
    finish(made.tasks[0], by("VA"))
    if code is None:
        correct(made.tasks[0], by(role, name), "LEFT_MESSAGE", when=when)
        return
    with pytest.raises(Refused) as refusal:
        correct(made.tasks[0], by(role, name), "LEFT_MESSAGE", when=when)
    assert refusal.value.code == code
    assert not TaskCorrection.objects.exists()


def test_an_open_task_and_a_lead_with_another_ladder_are_refused(by: People) -> None:
    made = ladder(by("VA"))
    with pytest.raises(Refused) as refusal:
        correct(made.tasks[1], by("VA"), "SENT")
    assert refusal.value.code == "not_completed"
    finish(made.tasks[0], by("VA"), outcome="REPLIED")
    create_ladder("L-1", by=by("VA"), at=NOW + MINUTE)
    with pytest.raises(Refused) as refusal:
        correct(made.tasks[0], by("VA"), "SENT", when=NOW + 2 * MINUTE)
    assert refusal.value.code == "ladder_active"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"reason": "x"}, "outcome"),
        ({"outcome": "SENT"}, "reason"),
        ({"outcome": "NONE", "reason": "x"}, "outcome"),
        ({"outcome": "SENT", "reason": "x", "why": 1}, "why"),
    ],
)
def test_bad_input_names_its_field(
    api: Callable[..., APIClient], by: People, body: object, field: str
) -> None:
    made = ladder(by("VA"))
    finish(made.tasks[0], by("VA"))
    answer = api("MANAGER").post(f"/api/followups/task/{made.tasks[0].pk}/correct", body, format="json")
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])


def test_the_endpoint_answers_the_first_outcome_and_the_corrected_one(
    api: Callable[..., APIClient], by: People
) -> None:
    made = ladder(by("VA"))
    finish(made.tasks[0], by("VA"))
    answer = api("MANAGER").post(
        f"/api/followups/task/{made.tasks[0].pk}/correct",
        {"outcome": "left_message", "reason": "misread"},
        format="json",
    )
    assert answer.status_code == 200, answer.content
    assert answer.json()["task"]["outcome"] == "SENT"
    assert answer.json()["task"]["corrected_to"] == "LEFT_MESSAGE"
    assert answer.json()["next_task"]["step"] == 2

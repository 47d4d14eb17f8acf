"""What happens next to a lead, when, and why not now: the slim answer for another system."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from pytest_django import DjangoAssertNumQueries

from followups import services
from followups.models import FollowUpTask, Lead
from followups.services.next_steps import next_step_of
from followups.tests.factories import LeadFactory
from followups.tests.scenes import NOW, SOMEBODY, begin, call_step
from governance.contact.services import suppress
from valhalla.testing import make_by, make_client

pytestmark = [pytest.mark.both, pytest.mark.django_db]


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


def ask(lead: Lead, role: str = "SERVICE") -> dict[str, Any]:
    answer = make_client(role).get(f"/api/followups/leads/{lead.pk}/next")
    assert answer.status_code == 200, answer.json()
    found: dict[str, Any] = answer.json()
    return found


def test_a_due_step_is_to_be_done_now() -> None:
    task = begin("L-1", owner="vera")
    found = ask(task.lead)
    assert (found["now"], found["kind"], found["reason"], found["lead_id"]) == (True, "LADDER", None, "L-1")
    assert (found["task"]["id"], found["task"]["channel"], found["task"]["owner"]) == (task.pk, "SMS", "vera")
    assert found["contact"]["ok"]


def test_the_next_step_waits_for_its_time() -> None:
    task = call_step("L-1")
    found = ask(task.lead)
    assert (found["now"], found["reason"], found["task"]["id"]) == (False, "not_due", task.pk)
    assert found["at"] == "2026-11-24T15:30:00Z"


def test_a_snoozed_or_claimed_task_and_a_closed_window_say_so(clock: time_machine.Traveller) -> None:
    task = begin("L-1")
    services.claim_due(by=make_by("VA", "vera"), at=NOW, limit=1)
    assert ask(task.lead)["reason"] == "claimed_by_other"
    clock.move_to(NOW + timedelta(hours=11))  # 21:00 in Toronto
    found = ask(task.lead)
    assert found["reason"] in ("outside_contact_window", "outside_statutory_hours")
    assert found["contact"]["next_allowed_at"] == "2026-11-25T14:00:00Z"
    services.snooze_task(
        task.pk, by=make_by("MANAGER"), at=NOW + timedelta(hours=11), until=NOW + timedelta(days=1)
    )
    found = ask(task.lead)
    assert (found["reason"], found["at"]) == ("snoozed", "2026-11-25T15:00:00Z")


def test_a_blocked_task_has_no_time() -> None:
    task = begin("L-1")
    suppress([task.contact_point.digest], by=SOMEBODY, at=NOW, channel="SMS")  # type: ignore[union-attr]  # begun with a phone
    found = ask(task.lead)
    assert (found["now"], found["at"], found["reason"]) == (False, None, "suppressed")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, (None, None, "no_next_step")),
        ({"status": "WON"}, (None, None, "won")),
        ({"status": "DEAD"}, (None, None, "dead")),
        ({"follow_up_at": NOW + timedelta(days=3)}, ("FOLLOW_UP", "2026-11-27T15:00:00Z", "not_due")),
        ({"follow_up_at": NOW}, ("FOLLOW_UP", "2026-11-24T15:00:00Z", None)),
        (
            {"follow_up_at": NOW + timedelta(days=3), "nurture_at": NOW + timedelta(days=3)},
            ("NURTURE", "2026-11-27T15:00:00Z", "not_due"),
        ),
    ],
)
def test_a_lead_without_a_task_has_a_date_or_a_reason(
    values: dict[str, object], expected: tuple[object, ...]
) -> None:
    found = ask(LeadFactory.create(**values))
    assert (found["kind"], found["at"], found["reason"]) == expected
    assert found["now"] is (expected[2] is None)


def test_another_vas_lead_is_not_found() -> None:
    make_by("VA", "vera")
    task = begin("L-1", owner="vera")
    client = make_client("VA", "victor")
    assert client.get(f"/api/followups/leads/{task.lead_id}/next").status_code == 404
    assert client.get("/api/followups/leads/999/next").json()["code"] == "lead_not_found"
    assert make_client("VA", "vera").get(f"/api/followups/leads/{task.lead_id}/next").status_code == 200


def test_it_writes_nothing_and_costs_little(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    task = begin("L-1")
    before = list(FollowUpTask.objects.values())
    by = make_by("SERVICE")
    next_step_of(task.lead_id, by=by, at=NOW)
    with django_assert_num_queries(9):
        next_step_of(task.lead_id, by=by, at=NOW)
    assert list(FollowUpTask.objects.values()) == before

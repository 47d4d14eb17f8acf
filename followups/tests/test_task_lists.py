"""The list of tasks as managers use it: its filters, and acting on many rows with a reason."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client

from followups.models import FollowUpTask, Ladder
from followups.tests.scenes import NOW, begin, many
from governance.models import User
from valhalla.testing import ClientResponse

pytestmark = [pytest.mark.both, pytest.mark.django_db]
TASKS, LADDERS = "/admin/followups/followuptask/", "/admin/followups/ladder/"
NIGHT = NOW + timedelta(hours=13)  # 23:00 in Toronto


@pytest.fixture
def manager(client: Client, person: Callable[..., User]) -> Client:
    with time_machine.travel(NOW, tick=False):
        client.force_login(person("MANAGER", "mona"))
    return client


def listed(client: Client, address: str = TASKS, **asked: str) -> set[int]:
    answer = client.get(address, asked)
    assert answer.status_code == 200
    return {row.pk for row in answer.context["cl"].result_list}


def act(client: Client, action: str, tasks: list[FollowUpTask], **said: str) -> ClientResponse:
    chosen = [task.pk for task in tasks]
    return client.post(TASKS, {"action": action, "_selected_action": chosen, **said}, follow=True)


@pytest.mark.parametrize(("when", "allowed"), [(NOW + timedelta(minutes=1), True), (NIGHT, False)])
def test_due_tasks_are_told_apart_by_whether_contact_is_allowed_now(
    manager: Client, when: Any, allowed: bool
) -> None:
    task = begin("L-1")
    with time_machine.travel(when, tick=False):
        manager.force_login(User.objects.get(username="mona"))
        assert listed(manager, contactable="yes") == ({task.pk} if allowed else set())
        assert listed(manager, contactable="no") == (set() if allowed else {task.pk})


def test_tasks_and_ladders_are_found_by_owner(manager: Client, person: Callable[..., User]) -> None:
    person("VA", "Vera")
    hers, nobodys, gone = begin("L-1", owner="vera"), begin("L-2"), begin("L-3", owner="left-long-ago")
    with time_machine.travel(NOW + timedelta(minutes=1), tick=False):
        assert "Vera" in manager.get(TASKS).content.decode()
        for value, task in (("vera", hers), ("-", nobodys), ("?", gone)):
            assert listed(manager, owner=value, overdue="due") == {task.pk}
            assert listed(manager, LADDERS, owner=value) == {task.ladder_id}


def test_a_search_finds_a_leads_tasks_by_her_id(manager: Client) -> None:
    one, _other = begin("L-77"), begin("L-8")
    hers = FollowUpTask.objects.filter(lead=one.lead).values_list("pk", flat=True)
    with time_machine.travel(NOW, tick=False):
        assert listed(manager, q="L-7") == set(hers)


def test_tasks_are_skipped_with_a_reason(manager: Client) -> None:
    one, two = many(2)
    with time_machine.travel(NOW + timedelta(minutes=1), tick=False):
        assert "Skip tasks" in act(manager, "skip", [one, two]).content.decode()
        act(manager, "skip", [one, two], apply="1", reason="")
        assert not FollowUpTask.objects.filter(status="SKIPPED").exists()
        done = act(manager, "skip", [one, two], apply="1", reason="list was bought twice")
    assert "2 tasks were skipped" in done.content.decode()
    one.refresh_from_db()
    assert (one.status, one.closed_reason, one.actor) == ("SKIPPED", "list was bought twice", "mona")


def test_the_ladders_of_tasks_are_stopped_with_a_reason(manager: Client) -> None:
    one, two = many(2)
    with time_machine.travel(NOW + timedelta(minutes=1), tick=False):
        done = act(manager, "stop", [one], apply="1", reason="sold it")
        again = act(manager, "stop", [one], apply="1", reason="sold it")
    assert "1 ladder was stopped" in done.content.decode()
    assert "0 ladders were stopped" in again.content.decode()
    by_lead = dict(Ladder.objects.values_list("lead", "status"))
    assert by_lead == {one.lead_id: "STOPPED", two.lead_id: "ACTIVE"}
    assert Ladder.objects.get(lead=one.lead_id).stop_reason == "sold it"


@pytest.mark.parametrize("action", ["skip", "stop", "reassign"])
def test_an_auditor_acts_on_no_task(action: str, client: Client, person: Callable[..., User]) -> None:
    task = begin("L-1")
    client.force_login(person("AUDITOR"))
    act(client, action, [task], apply="1", reason="because", owner="vera")
    task.refresh_from_db()
    assert (task.status, task.owner) == ("OPEN", "")
    assert Ladder.objects.get().status == "ACTIVE"

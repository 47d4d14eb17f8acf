"""Handovers: due at once, first where they may be called, and managers hear of those nobody opens."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from importlib import import_module

import pytest
import time_machine
from django.apps import apps
from django.core import mail
from django.test import Client
from pytest_django import Settings

from followups.models import FollowUpTask, RealignRequest
from followups.services import (
    board_figures,
    claim_due,
    due_tasks,
    escalate_overdue,
    next_task,
    release_claim,
    report_unopened_handovers,
    sla_of,
    work_waiting,
)
from followups.services.rescheduling import realign_due, request_realigning
from followups.services.task_list import beside, fresh_until, mark
from followups.tasks import dispatch_due
from followups.tests.factories import HOUR, MINUTE, NOW, PHONE, at, finish, fresh, kpis, ladder
from followups.wording import overdue
from governance.accounts.models import User
from governance.core.actors import Actor
from governance.golive.services import set_kill_switch
from governance.outbox.services import drain_outbox
from valhalla.testing import make_person

pytestmark = [pytest.mark.both, pytest.mark.django_db]
JOB = Actor.system("tests")
People = Callable[..., Actor]


def handover(by: People, lead: str = "L-1", when: datetime = NOW) -> FollowUpTask:
    made = ladder(by("VA"), lead, when)
    found = finish(made.tasks[0], by("VA"), when, outcome="REPLIED").next_task
    assert found is not None
    return found


def test_a_handover_is_on_a_closers_list_at_night_and_opens_in_the_morning(by: People) -> None:
    made = handover(by, when=at(25, "22:15"))
    seen = at(25, "22:15") + MINUTE
    shown = beside(by=by("CLOSER"), at=seen, size=50)
    assert [row["id"] for row in shown.handovers] == [made.pk]
    assert not shown.handovers[0]["contact"]["ok"]
    assert fresh_until(shown, at(26, "08:59")) <= at(26, "09:00")
    assert next_task(by=by("CLOSER"), at=seen) is None
    assert next_task(by=by("CLOSER"), at=at(26, "09:00")) == made.pk


def test_an_open_page_hears_of_a_new_handover(by: People) -> None:
    ladder(by("VA"), "L-0")
    before = mark(by=by("CLOSER"), at=NOW)
    handover(by)
    assert mark(by=by("CLOSER"), at=NOW) != before


@pytest.mark.parametrize("order", ["urgent", "due"])
def test_a_handover_leads_list_next_and_claim(by: People, order: str) -> None:
    for number in range(2, 6):
        ladder(by("VA"), f"L-{number}", NOW - 3 * HOUR)
    made = handover(by)
    shown = beside(by=by("CLOSER"), at=NOW, size=2, order=order)
    assert [row["id"] for row in shown.handovers] == [made.pk]
    assert due_tasks(by=by("CLOSER"), at=NOW, order="urgent")[0]["id"] == made.pk
    assert claim_due(by=by("CLOSER"), at=NOW, limit=2)[1][0] == made.pk
    release_claim(made.pk, by=by("CLOSER"), at=NOW)
    assert next_task(by=by("MANAGER"), at=NOW) == made.pk


def test_the_one_that_is_late_comes_before_the_new_one(by: People) -> None:
    first, second = handover(by, "L-1"), handover(by, "L-2", NOW + 2 * HOUR)
    rows = due_tasks(by=by("CLOSER"), at=NOW + 2 * HOUR, order="urgent")
    assert [row["id"] for row in rows[:2]] == [first.pk, second.pk]


def test_at_night_claiming_takes_the_oldest(by: People) -> None:
    older = ladder(by("VA"), "L-0", at(25, "12:00")).tasks[0]
    handover(by, when=at(25, "22:15"))
    assert claim_due(by=by("CLOSER"), at=at(25, "22:20"), limit=1)[1] == [older.pk]


@pytest.fixture
def boss(by: People) -> User:
    by("MANAGER")
    manager = User.objects.get(role="MANAGER")
    manager.email = "boss@example.com"
    manager.save()
    return manager


def test_managers_are_told_once_of_one_that_nobody_opened(by: People, boss: User) -> None:
    handover(by)
    assert report_unopened_handovers(NOW + 14 * MINUTE) == 0
    assert report_unopened_handovers(NOW + 15 * MINUTE) == 1
    assert report_unopened_handovers(NOW + 16 * MINUTE) == 0
    drain_outbox(NOW + 16 * MINUTE)
    (message,) = mail.outbox
    assert message.to == ["boss@example.com"]
    assert "L-1" in message.body
    assert PHONE not in message.body


def test_the_fifteen_minutes_are_of_allowed_time(by: People, boss: User) -> None:
    handover(by, when=at(25, "22:15"))
    assert report_unopened_handovers(at(26, "09:14")) == 0
    assert report_unopened_handovers(at(26, "09:15")) == 1


def test_one_that_was_opened_and_released_is_not_reported(by: People, boss: User) -> None:
    made = handover(by)
    claim_due(by=by("CLOSER"), at=NOW + MINUTE, limit=1)
    release_claim(made.pk, by=by("CLOSER"), at=NOW + 2 * MINUTE)
    assert fresh(made).opened_at == NOW + MINUTE
    assert report_unopened_handovers(NOW + HOUR) == 0


def test_realigning_keeps_its_due_time_and_sets_its_limits(by: People) -> None:
    made = handover(by)
    FollowUpTask.objects.filter(pk=made.pk).update(
        deadline_at=NOW + HOUR, sla_2h_at=NOW + 3 * HOUR, alert_at=NOW + 50 * MINUTE
    )  # as a database of before has it
    request_realigning("", JOB, NOW + MINUTE)
    realign_due(NOW + MINUTE)
    again = fresh(made)
    assert (again.due_at, again.deadline_at, again.sla_2h_at, again.alert_at) == (
        NOW,
        NOW + HOUR,
        NOW + 2 * HOUR,
        NOW + 15 * MINUTE,
    )


def test_a_handover_leads_every_page_of_the_list(by: People) -> None:
    for number in range(2, 7):
        ladder(by("VA"), f"L-{number}", NOW - 3 * HOUR)
    made = handover(by)
    for number in (1, 2, 3):
        shown = beside(by=by("CLOSER"), at=NOW, size=2, number=number)
        assert [row["id"] for row in shown.handovers] == [made.pk]
        assert sum(len(group.rows) for group in shown.allowed) == (2, 2, 1)[number - 1]
    assert (shown.pages, shown.matching) == (3, 6)


def test_its_sla_counts_from_its_due_time(by: People) -> None:
    made = handover(by)
    finish(fresh(made), by("CLOSER"), NOW + 2 * HOUR - MINUTE, outcome="NO_ANSWER")
    late = handover(by, "L-2", NOW + 2 * HOUR)
    finish(fresh(late), by("CLOSER"), at(26, "09:30"), outcome="NO_ANSWER")  # 3.5 + 0.5 allowed hours later
    assert fresh(made).response_minutes == 119
    assert fresh(late).response_minutes == 240
    assert kpis(metric="followup_sla")[-2:] == [("followup_sla", True), ("followup_sla", False)]
    answer = sla_of(at=at(26, "10:00"), since=NOW, until=NOW + 3 * HOUR)["sla"]
    assert answer["count"] == 4  # and the two text messages
    assert answer["within_2h"] == Decimal("0.7500")


def as_before(made: FollowUpTask, **more: object) -> None:
    """Let a handover be as a database of before has it: due within the hour, without limits of its own."""
    FollowUpTask.objects.filter(pk=made.pk).update(
        due_at=NOW + HOUR,
        deadline_at=None,
        alert_at=None,
        sla_5m_at=NOW + HOUR + 5 * MINUTE,
        sla_30m_at=NOW + 90 * MINUTE,
        sla_2h_at=NOW + 3 * HOUR,
        **more,
    )


def test_open_handovers_are_migrated_and_back(by: People) -> None:
    moving = import_module("followups.migrations.0017_move_open_handovers")
    made, opened, done = handover(by), handover(by, "L-2"), handover(by, "L-3")
    finish(fresh(done), by("CLOSER"), NOW + MINUTE, outcome="NO_ANSWER")
    as_before(made)
    as_before(opened, started_at=NOW + MINUTE)
    as_before(done)
    moving.make_due_at_once(apps, None)
    realign_due(NOW + 2 * MINUTE)
    again = fresh(made)
    assert (again.due_at, again.deadline_at, again.alert_at, again.opened_at) == (
        NOW,
        NOW + HOUR,
        NOW + 15 * MINUTE,
        None,
    )
    assert (again.sla_5m_at, again.sla_30m_at, again.sla_2h_at) == (
        NOW + 5 * MINUTE,
        NOW + 30 * MINUTE,
        NOW + 2 * HOUR,
    )
    assert fresh(opened).opened_at == NOW + MINUTE
    assert (fresh(done).due_at, fresh(done).deadline_at) == (NOW + HOUR, None)  # what is over stays as it was
    assert next_task(by=by("CLOSER"), at=NOW + 3 * MINUTE) == made.pk
    moving.make_due_within_the_hour(apps, None)
    assert fresh(made).due_at == NOW + HOUR


def test_a_database_without_handovers_asks_for_no_realigning(by: People) -> None:
    ladder(by("VA"))
    import_module("followups.migrations.0017_move_open_handovers").make_due_at_once(apps, None)
    assert not RealignRequest.objects.exists()


def test_the_job_of_every_minute_tells_the_managers(by: People, boss: User) -> None:
    handover(by)
    for minutes in (14, 15, 16, 60):
        with time_machine.travel(NOW + minutes * MINUTE, tick=False):
            dispatch_due()
    assert [message.subject for message in mail.outbox] == ["No closer has opened a handoff"]


@pytest.mark.parametrize(
    ("role", "claimed", "killed", "rings"),
    [
        ("CLOSER", False, False, True),
        ("CLOSER", True, False, False),
        ("CLOSER", False, True, False),
        ("MANAGER", False, False, False),
    ],
)
def test_a_handover_rings_for_closers_while_it_may_be_called_and_nobody_has_it(
    by: People, client: Client, settings: Settings, role: str, claimed: bool, killed: bool, rings: bool
) -> None:
    made = handover(by)
    if claimed:
        claim_due(by=by("CLOSER", "carl"), at=NOW)
    if killed:
        settings.GO_LIVE_ENFORCE = True
        set_kill_switch(True, by=JOB, at=NOW, reason="a drill")
    client.force_login(make_person(role))
    for when, now in ((NOW + MINUTE, rings), (at(25, "20:30"), False)):
        with time_machine.travel(when, tick=False):
            client.force_login(make_person(role))
            shown = client.get("/followups/").content.decode()
        assert f'id="task-{made.pk}"' in shown
        assert (f'data-rings="{made.pk}"' in shown) is now
        assert ('id="rings"' in shown) is (role == "CLOSER")


def test_late_is_counted_in_allowed_minutes(by: People) -> None:
    made = ladder(by("VA"), "L-1", at(25, "19:50")).tasks[0]
    morning = at(26, "09:05")
    (row,) = due_tasks(by=by("VA"), at=morning)
    assert (row["id"], row["overdue_minutes"]) == (made.pk, 15)
    shown = beside(by=by("VA"), at=morning, size=50)
    assert shown.late == 0
    assert shown.allowed[0].rows[0]["overdue_minutes"] == 15
    assert not shown.allowed[0].rows[0]["late"]
    assert beside(by=by("VA"), at=at(26, "11:00"), size=50).late == 1


def test_more_than_a_days_allowed_hours_are_said_in_hours(by: People) -> None:
    ladder(by("VA"), "L-1", at(25, "14:30"))
    (row,) = due_tasks(by=by("VA"), at=at(30, "09:30"))  # 5.5 + 11 + 11 + 8 + 0.5 hours
    assert row["overdue_minutes"] == 36 * 60
    said = [overdue(minutes) for minutes in (0, 15, 200, 36 * 60)]
    assert said == ["just due", "15 min late", "3 h 20 min late", "36 h late"]


@pytest.mark.parametrize(("clock", "late"), [("09:05", 0), ("10:49", 0), ("10:51", 1)])
def test_late_is_counted_alike_everywhere(
    by: People, boss: User, client: Client, clock: str, late: int
) -> None:
    """A text message that was due at 19:50 is two allowed hours late at 10:50 of the next day."""
    made = ladder(by("VA"), "L-1", at(25, "19:50")).tasks[0]
    when = at(26, clock)
    with time_machine.travel(when, tick=False):
        client.force_login(boss)
        admin = client.get("/admin/followups/followuptask/?overdue=late").content.decode()
        page = client.get("/followups/").content.decode()
    shown = beside(by=by("MANAGER"), at=when, size=50)
    listed = [row["late"] for group in shown.allowed for row in group.rows]
    assert {shown.late, sum(listed), work_waiting(when)["late"], board_figures(when)["tasks_late"]} == {late}
    assert (f"/{made.pk}/change/" in admin) is bool(late)
    assert f"<strong>{late}</strong> more than 2 h late" in page
    assert sla_of(at=when)["sla"]["overdue_open"] == late
    assert escalate_overdue(when) == late
    drain_outbox(when)
    assert len(mail.outbox) == late

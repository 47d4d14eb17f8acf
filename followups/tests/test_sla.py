"""How quickly tasks are answered: the figures, their groups and clocks, late tasks and the daily snapshot."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from followups.models import FollowUpTask, SlaSnapshot
from followups.services import escalate_overdue, skip_task, sla_of, snapshot_sla, snooze_task, stop_ladder
from followups.tests.factories import DAY, HOUR, MINUTE, NOW, at, finish, ladder, set_policy
from governance.core.actors import Actor
from governance.models import KpiEvent, OutboxMessage, User

pytestmark = [pytest.mark.both, pytest.mark.django_db]
People = Callable[..., Actor]


def one(by: People, lead_id: str, minutes: int | None = None, start: Any = NOW, **other: Any) -> FollowUpTask:
    """A ladder's first step, completed so many minutes late, or left open; the rest is cancelled."""
    made = ladder(by("MANAGER"), lead_id, start=start, **other)
    if minutes is not None:
        finish(made.tasks[0], by("MANAGER"), start + minutes * MINUTE)
        stop_ladder(made.ladder.pk, by=by("MANAGER"), at=start, reason="x")
    else:
        FollowUpTask.objects.filter(ladder=made.ladder, step__gt=1).update(status="CANCELLED")
    return made.tasks[0]


def test_the_figures(by: People) -> None:
    for number, minutes in enumerate((3, 10, 60, 150, None, None)):
        one(by, f"L-{number}", minutes, phone=f"416 555 {number:04d}")
    found = sla_of(at=at(25, "17:30"))["sla"]
    assert found == {
        "count": 6,
        "within_5m": Decimal("0.1667"),
        "within_30m": Decimal("0.3333"),
        "within_2h": Decimal("0.5"),
        "median_minutes": Decimal("35.00"),
        "p90_minutes": Decimal("123.00"),
        "overdue_open": 2,
    }


def test_no_tasks_no_fractions(by: People) -> None:
    found = sla_of(at=NOW)["sla"]
    assert (found["count"], found["within_2h"], found["median_minutes"]) == (0, None, None)


def test_skipped_and_cancelled_tasks_and_those_of_the_future_do_not_count(by: People) -> None:
    made = ladder(by("VA"))
    skip_task(made.tasks[0].pk, by=by("VA"), at=NOW, reason="x")
    assert sla_of(at=NOW)["sla"]["count"] == 0
    stop_ladder(made.ladder.pk, by=by("MANAGER"), at=NOW, reason="x")
    assert sla_of(at=NOW + 30 * DAY)["sla"]["count"] == 0


def test_a_task_put_aside_is_late_all_the_same(by: People) -> None:
    task = one(by, "L-1")
    snooze_task(task.pk, by=by("VA"), at=NOW, until=NOW + DAY)
    assert sla_of(at=NOW + 3 * HOUR)["sla"]["overdue_open"] == 1


def test_the_allowed_clock_rests_at_night_and_the_wall_clock_does_not(by: People) -> None:
    one(by, "L-1", 14 * 60, start=at(25, "19:30"))  # completed at 09:30, after 60 allowed minutes
    one(by, "L-2", start=at(25, "19:30"))
    allowed = sla_of(at=at(26, "10:29"), clock="allowed")["sla"]
    wall = sla_of(at=at(26, "10:29"), clock="wall")["sla"]
    assert (allowed["within_2h"], allowed["median_minutes"], allowed["overdue_open"]) == (1, 60, 0)
    assert (wall["within_2h"], wall["median_minutes"], wall["overdue_open"]) == (0, 840, 1)


def test_groups(by: People) -> None:
    by("VA", "gus")
    one(by, "L-1", 1, owner="Gus")
    one(by, "L-2", 150, province="QC", city="Montreal")
    one(by, "L-3", None, province="QC", city="Montreal")
    when = at(25, "17:30")
    found = sla_of(at=when, group_by="province")
    assert [(group["province"], group["count"], group["within_2h"]) for group in found["groups"]] == [
        ("ON", 1, 1),
        ("QC", 2, 0),
    ]
    assert [group["owner"] for group in sla_of(at=when, group_by="owner")["groups"]] == ["", "gus"]
    assert [group["channel"] for group in sla_of(at=when, group_by="channel")["groups"]] == ["SMS"]
    assert [group["step"] for group in sla_of(at=when, group_by="step")["groups"]] == ["1"]
    assert sla_of(at=when)["groups"] == []


def test_the_newest_due_tasks_or_those_of_a_time(by: People) -> None:
    for number in range(4):
        one(by, f"L-{number}", 1, start=NOW - number * HOUR, phone=f"416 555 {number:04d}")
    assert sla_of(at=NOW + HOUR, last=3)["sla"]["count"] == 3
    assert sla_of(at=NOW + HOUR, since=NOW - 2 * HOUR)["sla"]["count"] == 3
    assert sla_of(at=NOW + HOUR, since=NOW - 2 * HOUR, until=NOW)["sla"]["count"] == 2


# --- late tasks -------------------------------------------------------------------------------------------


def with_managers(by: People, *names: str) -> None:
    for name in names:
        by("MANAGER", name)
        User.objects.filter(username=name).update(email=f"{name}@example.ca")


def test_a_task_past_its_limit_is_missed_once(by: People) -> None:
    one(by, "L-1")
    assert escalate_overdue(NOW + 2 * HOUR) == 0
    assert escalate_overdue(NOW + 2 * HOUR + MINUTE) == 1
    assert escalate_overdue(NOW + 3 * HOUR) == 0
    event = KpiEvent.objects.get(metric="followup_sla")
    assert (event.success, event.actor) == (False, "followups.escalate_overdue")


def test_completing_it_afterwards_counts_no_second_time(by: People) -> None:
    task = one(by, "L-1")
    escalate_overdue(NOW + 3 * HOUR)
    finish(task, by("VA"), NOW + 4 * HOUR)
    assert KpiEvent.objects.filter(metric="followup_sla").count() == 1
    assert KpiEvent.objects.filter(metric="followup_completed").count() == 1


def test_the_night_makes_nothing_late(by: People) -> None:
    one(by, "L-1", start=at(25, "19:30"))
    assert escalate_overdue(at(26, "10:30")) == 0
    assert escalate_overdue(at(26, "10:31")) == 1


def test_each_manager_gets_one_digest_an_hour_with_the_oldest_five(by: People) -> None:
    with_managers(by, "mia", "max")
    for number in range(7):
        one(by, f"L-{number}", start=NOW - number * MINUTE)
    three = at(25, "17:00")
    assert escalate_overdue(three) == 7
    one(by, "L-8", start=NOW + MINUTE)
    assert escalate_overdue(three + 30 * MINUTE) == 1
    digests = list(OutboxMessage.objects.order_by("to"))
    assert [message.to for message in digests] == ["max@example.ca", "mia@example.ca"]
    assert digests[0].body.startswith("7 ")
    assert [line.split()[1] for line in digests[0].body.splitlines()[2:]] == [
        "L-6",
        "L-5",
        "L-4",
        "L-3",
        "L-2",
    ]
    one(by, "L-9", start=NOW + 2 * MINUTE)
    escalate_overdue(three + HOUR)
    assert OutboxMessage.objects.count() == 4


def test_where_nothing_is_late_nobody_is_written_to(by: People) -> None:
    with_managers(by, "mia")
    one(by, "L-1")
    escalate_overdue(NOW + HOUR)
    assert not OutboxMessage.objects.exists()


def test_held_tasks_are_never_late(by: People) -> None:
    set_policy(by("MANAGER"), rules={"contact_windows_local": []})
    one(by, "L-1")
    assert escalate_overdue(NOW + 60 * DAY) == 0


def test_many_late_tasks_are_counted_in_batches(by: People) -> None:
    for number in range(3):
        one(by, f"L-{number}")
    when = NOW + 3 * HOUR
    assert [escalate_overdue(when, limit=2) for _run in range(3)] == [2, 1, 0]


# --- the day's figures ------------------------------------------------------------------------------------


def test_yesterdays_figures_are_kept_and_twice_is_the_same(by: People) -> None:
    one(by, "L-1", 10)
    one(by, "L-2", 200, province="QC", city="Montreal")
    one(by, "L-3", 1, start=NOW - DAY)  # the day before
    when = at(26, "00:10")
    assert snapshot_sla(when) == 1 + 1 + 2 + 1 + 1
    before = list(SlaSnapshot.objects.order_by("id").values())
    snapshot_sla(when)
    assert list(SlaSnapshot.objects.order_by("id").values()) == before
    whole = SlaSnapshot.objects.get(dimension="ALL")
    assert (whole.day, whole.count, whole.within_2h) == (NOW.date(), 2, Decimal("0.5"))
    assert SlaSnapshot.objects.get(dimension="PROVINCE", value="QC").within_2h == 0


def test_a_day_is_torontos(by: People) -> None:
    one(by, "L-1", 1, start=at(25, "19:55", zone="America/Vancouver"), province="BC", city="Vancouver")
    snapshot_sla(at(26, "00:10"))
    assert SlaSnapshot.objects.get(dimension="ALL").count == 1  # 21:55 in Toronto
    assert snapshot_sla(at(26, "00:10") + timedelta(days=5)) == 1  # nothing was due

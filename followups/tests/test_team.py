"""The day of a VA beside the team's, and the manager's view of who works on what."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from followups import services
from followups.models import FollowUpTask
from followups.services.team import day_of, team_at
from followups.tests.scenes import NOW, begin, many
from governance.models import Absence
from valhalla.testing import make_by, make_person

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)
LATER = NOW + timedelta(hours=3)


@pytest.fixture(autouse=True)
def clock() -> Iterator[None]:
    with time_machine.travel(LATER, tick=False):
        yield


def signed_in(role: str = "MANAGER", name: str = "") -> Client:
    client = Client()
    client.force_login(make_person(role, name))
    return client


def text(answer: Any) -> str:
    return str(answer.content.decode())


def finish(task: FollowUpTask, name: str, outcome: str = "SENT", at: Any = NOW + MINUTE) -> None:
    services.complete_task(task.pk, services.Completion(outcome=outcome), by=make_by("VA", name), at=at)


def test_the_day_counts_what_she_did_beside_the_median_of_those_who_worked() -> None:
    tasks = many(9)
    for task in tasks[:5]:
        finish(task, "vera")
    finish(tasks[5], "vera", "REPLIED", at=LATER)  # three hours late
    for task in tasks[6:8]:
        finish(task, "otto")
    make_person("VA", "idle")
    day = day_of(make_by("VA", "vera"), LATER)
    assert (day.mine.done, day.mine.replied, day.mine.reached) == (6, 1, 0)
    assert day.mine.sla == Decimal(5) / 6
    assert (day.team.done, day.people) == (4, 2)  # of 6 and 2
    shown = text(signed_in("VA", "vera").get("/followups/day/"))
    for words in ("done 6 (team 4)", "replied 1 (team 0)", "within 2 h 83 % (team 92 %)"):
        assert words in shown, words


def test_yesterday_and_programs_do_not_count() -> None:
    one, two = many(2)
    finish(one, "vera")
    services.complete_task(two.pk, services.Completion(), by=make_by("SERVICE", "dialer"), at=NOW + MINUTE)
    tomorrow = day_of(make_by("VA", "vera"), NOW + timedelta(days=1))
    assert (tomorrow.mine.done, tomorrow.people) == (0, 0)
    assert day_of(make_by("VA", "vera"), LATER).people == 1


def test_a_corrected_outcome_counts_as_corrected() -> None:
    (task,) = many(1)
    finish(task, "vera", "REPLIED")
    vera = make_by("VA", "vera")
    services.correct_task(
        task.pk, services.Completion(outcome="SENT"), by=vera, at=NOW + 2 * MINUTE, reason="wrong key"
    )
    assert day_of(vera, LATER).mine.replied == 0


def test_the_manager_sees_who_works_on_what_and_what_waits_longest() -> None:
    otto = make_person("VA", "otto")
    make_person("VA", "vera")
    oldest = begin("L-old", name="Olga Old", owner="otto", at=NOW - timedelta(hours=1))
    begin("L-free", name="Fred Free", phone="416 555 0101")
    services.start_task(oldest.pk, by=make_by("VA", "otto"), at=LATER - 5 * MINUTE)
    Absence.objects.create(
        user=make_person("VA", "anna"), starts_at=NOW, ends_at=NOW + timedelta(days=2)
    )  # fmt: skip
    team = {member.name: member for member in team_at(LATER).members}
    assert [claim["pk"] for claim in team["otto"].holds] == [oldest.pk]
    assert (team["otto"].due, team["vera"].due, team_at(LATER).unowned) == (1, 0, 1)
    assert team["anna"].absent_until is not None
    shown = text(signed_in().get("/followups/team/"))
    for words in (
        "Olga Old",
        "in contact, 5 min",
        "Fred Free",
        "absent until Thu 26 Nov, 10:00 EST",
        "away now",
    ):
        assert words in shown, words
    assert otto.username in shown


def test_the_team_costs_the_same_queries_whatever_its_size() -> None:
    client = signed_in()

    def cost() -> int:
        with CaptureQueriesContext(connection) as caught:
            assert client.get("/followups/team/").status_code == 200
        return len(caught)

    begin("L-0", owner="va0")
    few = cost()
    for n in range(12):
        make_person("VA", f"va{n}")
        task = begin(f"M-{n}", phone=f"416 556 {n:04d}", owner=f"va{n}")
        services.start_task(task.pk, by=make_by("VA", f"va{n}"), at=LATER)
    assert cost() <= few + 1  # of the oldest ones there were none before
    assert few <= 11


def test_all_of_a_persons_tasks_change_hands_for_a_reason() -> None:
    make_person("VA", "otto")
    make_person("VA", "vera")
    for n in range(3):
        begin(f"L-{n}", owner="otto", phone=f"416 555 {n:04d}")
    client = signed_in()
    wrong = client.post("/followups/team/give/", {"whose": "otto", "owner": "otto", "reason": "ill"})
    assert wrong.status_code == 400
    assert "Name another person" in text(wrong)
    assert (
        client.post("/followups/team/give/", {"whose": "otto", "owner": "vera", "reason": ""}).status_code
        == 400
    )
    answer = client.post(
        "/followups/team/give/", {"whose": "otto", "owner": "vera", "reason": "ill"}, follow=True
    )
    assert "18 tasks changed hands." in text(answer)
    assert set(FollowUpTask.objects.values_list("owner", flat=True)) == {"vera"}
    assert signed_in("VA", "vera").get("/followups/team/").status_code == 403


def test_one_task_is_given_to_somebody_else_from_its_card() -> None:
    task = begin("L-1", name="Anne Roy", owner="otto")
    make_person("VA", "otto")
    client = signed_in()
    address = f"/followups/task/{task.pk}/reassign/"
    assert client.post(address, {"owner": "vera", "reason": ""}).status_code == 400
    assert "Anne Roy: given to vera." in text(
        client.post(address, {"owner": "vera", "reason": "French"}, follow=True)
    )
    task.refresh_from_db()
    assert task.owner == "vera"

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
from followups.services.team import day_of, last_done, team_at
from followups.tests.scenes import NOW, begin, many
from followups.timeline import timeline
from governance.models import Absence
from valhalla.testing import make_by, make_person

pytestmark = [pytest.mark.both, pytest.mark.django_db]
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
    Absence.objects.create(user=make_person("VA", "anna"), starts_at=NOW, ends_at=NOW + timedelta(days=2))
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
        "off today",
    ):
        assert words in shown, words
    assert otto.username in shown


def test_late_is_counted_in_allowed_hours_on_the_teams_page() -> None:
    make_person("VA", "otto")
    begin("L-own", owner="otto", at=NOW + timedelta(hours=9, minutes=50))  # 19:50 in Toronto
    begin("L-free", phone="416 555 0101", at=NOW + timedelta(hours=9, minutes=40))
    with time_machine.travel(NOW + timedelta(hours=23, minutes=5), tick=False):  # 09:05 of the next day
        shown = text(signed_in().get("/followups/team/"))
    assert "15 min late" in shown
    assert "25 min late" in shown
    assert "13 h" not in shown


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
    assert cost() <= few + 5  # of the oldest ones there were none before
    assert few <= 11


def test_all_of_a_persons_tasks_change_hands_for_a_reason() -> None:
    make_person("VA", "otto")
    make_person("VA", "vera")
    for n in range(3):
        begin(f"L-{n}", owner="otto", phone=f"416 555 {n:04d}")
    client = signed_in()
    wrong = client.post("/followups/team/give/", {"whose": "otto", "owner": "otto", "reason": "ill"})
    assert wrong.status_code == 400
    assert "Choose somebody other" in text(wrong)
    assert (
        client.post("/followups/team/give/", {"whose": "otto", "owner": "vera", "reason": ""}).status_code
        == 400
    )
    answer = client.post(
        "/followups/team/give/", {"whose": "otto", "owner": "vera", "reason": "ill"}, follow=True
    )
    assert "18 tasks were reassigned." in text(answer)
    assert set(FollowUpTask.objects.values_list("owner", flat=True)) == {"vera"}
    assert signed_in("VA", "vera").get("/followups/team/").status_code == 403


def test_one_task_is_given_to_somebody_else_from_its_card() -> None:
    task = begin("L-1", name="Anne Roy", owner="otto")
    make_person("VA", "otto")
    client = signed_in()
    address = f"/followups/task/{task.pk}/reassign/"
    assert client.post(address, {"owner": "vera", "reason": ""}).status_code == 400
    assert "Anne Roy: reassigned to vera." in text(
        client.post(address, {"owner": "vera", "reason": "French"}, follow=True)
    )
    task.refresh_from_db()
    assert task.owner == "vera"


# --- my last 20 -----------------------------------------------------------------------------------------


def done_by_vera(count: int) -> list[FollowUpTask]:
    vera = make_by("VA", "vera")
    tasks = many(count)
    for number, task in enumerate(tasks):
        services.complete_task(
            task.pk, services.Completion(outcome="SENT"), by=vera, at=NOW + number * timedelta(seconds=10)
        )
    return tasks


def test_my_day_shows_what_i_did_last_the_newest_first() -> None:
    tasks = done_by_vera(22)
    otto = make_by("VA", "otto")
    services.complete_task(
        begin("L-his", phone="416 555 0999").pk, services.Completion(outcome="SENT"), by=otto, at=NOW
    )
    assert [task.pk for task in last_done(make_by("VA", "vera"))] == [task.pk for task in tasks[:1:-1]]
    shown = text(signed_in("VA", "vera").get("/followups/day/"))
    assert shown.count('id="last-') == 20 + 1  # and the heading
    assert f"/followups/task/{tasks[-1].pk}/?correct=1" in shown
    assert "L-his" not in shown


def test_the_page_of_my_day_takes_one_more_query_however_much_was_done() -> None:
    tasks = done_by_vera(12)
    FollowUpTask.objects.filter(pk__in=[task.pk for task in tasks[2:]]).update(completed_by="nobody")
    client = signed_in("VA", "vera")
    client.get("/followups/day/")
    counts = []
    for names in ("nobody", "vera"):
        FollowUpTask.objects.filter(completed_by="nobody").update(completed_by=names)
        with CaptureQueriesContext(connection) as captured:
            client.get("/followups/day/")
        counts.append(len(captured.captured_queries))
    assert counts[0] == counts[1]


def test_each_line_opens_its_task_with_the_correction() -> None:
    (task,) = done_by_vera(1)
    make_person("VA", "otto")
    FollowUpTask.objects.filter(pk=task.pk).update(owner="otto", owner_key="otto")  # given away since
    client = signed_in("VA", "vera")
    shown = text(client.get(f"/followups/task/{task.pk}/?correct=1"))
    assert '<details class="scope" id="correct" open>' in shown
    assert client.post(f"/followups/task/{task.pk}/correct/", {"said": "WRONG_NUMBER"}).status_code == 302
    assert "wrong number" in text(client.get("/followups/day/")).lower()
    assert signed_in("VA", "eve").get(f"/followups/task/{task.pk}/").status_code == 404


def test_a_corrected_outcome_is_shown_corrected_everywhere() -> None:
    (task,) = done_by_vera(1)
    vera = make_by("VA", "vera")
    services.correct_task(
        task.pk, services.Completion(outcome="REPLIED"), by=vera, at=LATER, reason="the wrong key"
    )
    client = signed_in("VA", "vera")
    assert "Replied <em>(corrected)</em>" in " ".join(text(client.get("/followups/day/")).split())
    found = text(client.post("/followups/find/", {"q": "L-1"}))
    assert ": Replied, by vera" in found  # the last contact
    assert "<strong>Text message</strong> · replied<small>" in found  # the history
    (looked_up,) = services.look_up(by=vera, at=LATER, lead_id="L-1")
    assert looked_up["last_contact"]["outcome"] == "REPLIED"
    assert "sent, corrected to replied" in text(client.get(f"/followups/task/{task.pk}/"))
    told = [entry.text for entry in timeline("L-1") if entry.model == "followups.followuptask"]
    assert any("Replied" in entry for entry in told)
    assert not any("Sent" in entry for entry in told)
    manager = signed_in("MANAGER", "mia")
    listed = text(manager.get("/admin/followups/followuptask/?outcome=REPLIED"))
    assert "field-outcome_standing" in listed
    assert "replied" in listed
    assert "field-outcome_standing" not in text(manager.get("/admin/followups/followuptask/?outcome=SENT"))
    (row,) = client.get("/api/followups/tasks?outcome=SENT").json()["results"]
    assert (row["outcome"], row["corrected_to"]) == ("SENT", "REPLIED")

"""Thirty-two clients at once: one completion per task, one holder per claim, one ladder per lead."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction

from followups.models import FollowUpTask, Ladder, Lead
from followups.services import (
    Completion,
    claim_due,
    complete_task,
    free_expired_claims,
    skip_task,
    start_task,
    stop_ladder,
)
from followups.services.rescheduling import realign_leads
from followups.tests.factories import HOUR, MINUTE, NOW, PointFactory, finish, ladder
from governance.core.actors import Actor
from governance.core.errors import Refused
from governance.kpi.services import emit_kpi
from governance.models import KpiEvent, Suppression
from valhalla.testing import CLIENTS, at_once

pytestmark = [pytest.mark.both, pytest.mark.django_db(transaction=True)]
People = Callable[..., Actor]


def first_steps(who: Actor, count: int) -> list[int]:
    """Begin so many ladders and return the ids of their first steps."""
    with transaction.atomic():
        return [
            ladder(who, f"L-{number}", start=NOW - HOUR, phone=f"416 555 {number:04d}").tasks[0].pk
            for number in range(count)
        ]


def code(answer: Any) -> str:
    return answer.code if isinstance(answer, Refused) else "ok"


# --- completing ---------------------------------------------------------------------------------------------


def complete_each_four_times(who: Actor, calls: int, chance: random.Random) -> None:
    tasks = first_steps(who, calls // 4)
    work = tasks * 4
    chance.shuffle(work)

    def complete(task_id: int) -> tuple[int, dict[str, Any]]:
        return task_id, complete_task(task_id, Completion(), by=who, at=NOW).as_answer()

    answers = at_once(complete, work)
    assert sum(not answer.pop("already_completed") for _task, answer in answers) == len(tasks)
    assert len({(task, str(answer)) for task, answer in answers}) == len(tasks)  # the same to all four
    for metric in ("followup_completed", "followup_sla", "contact_compliance"):
        events = KpiEvent.objects.filter(metric=metric).values_list("detail", flat=True)
        assert sorted(detail["task"] for detail in events) == sorted(tasks)
    assert FollowUpTask.objects.filter(status="COMPLETED").count() == len(tasks)
    assert FollowUpTask.objects.filter(is_current=True, step=2).count() == len(tasks)


def test_of_completions_three_in_four_repeated_each_task_is_counted_once(
    by: People, chance: random.Random
) -> None:
    complete_each_four_times(by("MANAGER"), 12 * CLIENTS, chance)


@pytest.mark.long
@pytest.mark.parametrize("part", range(5))
def test_ten_thousand_completions_in_five_parts_count_each_task_once(
    by: People, chance: random.Random, part: int
) -> None:
    complete_each_four_times(by("MANAGER"), 2000, chance)


def test_reading_first_and_saving_then_would_count_twice(by: People) -> None:
    """What must not be written: the variant against which the tests above have been seen to fail."""
    who = by("MANAGER")
    (task_id,) = first_steps(who, 1)
    all_have_read = threading.Barrier(4)

    def complete_naively(_number: int) -> None:
        task = FollowUpTask.objects.get(pk=task_id)
        all_have_read.wait(60)
        if task.status == "OPEN":
            task.status, task.is_current, task.outcome, task.completed_at = "COMPLETED", False, "SENT", NOW
            task.save()
            emit_kpi("WHOLESALE", "followup_completed", by=who, at=NOW)

    at_once(complete_naively, range(4))
    assert KpiEvent.objects.filter(metric="followup_completed").count() == 4


def test_of_completing_skipping_and_stopping_at_once_one_wins(by: People) -> None:
    manager = by("MANAGER")
    tasks = list(FollowUpTask.objects.filter(pk__in=first_steps(manager, 40)).order_by("pk"))
    verbs: list[tuple[str, FollowUpTask]] = [
        (verb, task) for task in tasks for verb in ("complete", "skip", "stop")
    ]

    def do(item: tuple[str, FollowUpTask]) -> Any:
        verb, task = item
        if verb == "complete":
            return finish(task, manager)
        if verb == "skip":
            return skip_task(task.pk, by=manager, at=NOW, reason="x")
        return stop_ladder(task.ladder_id or 0, by=manager, at=NOW, reason="x")

    answers = dict(zip(verbs, at_once(do, verbs), strict=True))
    seen: Counter[str] = Counter()
    for task in tasks:
        done, skipped, stopped = (code(answers[verb, task]) for verb in ("complete", "skip", "stop"))
        task.refresh_from_db()
        seen[task.status] += 1
        assert stopped == "ok"
        assert (done, skipped) == {
            "COMPLETED": ("ok", "task_closed"),
            "SKIPPED": ("task_closed", "ok"),
            "CANCELLED": ("task_closed", "task_closed"),
        }[task.status]
    assert KpiEvent.objects.filter(metric="followup_completed").count() == seen["COMPLETED"]
    assert not FollowUpTask.objects.filter(status="OPEN").exists()


# --- claims -------------------------------------------------------------------------------------------------


def claim_all(people: list[Actor], tasks: int, meanwhile: Callable[[], object]) -> None:
    def claim(who: Actor) -> list[int]:
        mine: list[int] = []
        empty = 0
        while empty < 5:  # an empty answer says only that others hold the rest at this moment
            if who is people[0]:
                meanwhile()
            _token, ids, _until = claim_due(by=who, at=NOW)
            mine += ids
            empty = 0 if ids else empty + 1
        return mine

    claimed = at_once(claim, people)
    assert Counter(pk for mine in claimed for pk in mine).most_common(1)[0][1] == 1
    assert sum(map(len, claimed)) == tasks
    holders = dict(FollowUpTask.objects.exclude(claimed_by="").values_list("pk", "claimed_by"))
    assert holders == {pk: who.username for who, mine in zip(people, claimed, strict=True) for pk in mine}


def test_thirty_two_claimers_never_hold_the_same_task(by: People) -> None:
    people = [by("VA", f"va-{number}") for number in range(CLIENTS)]
    first_steps(by("MANAGER"), 130)
    leads = list(Lead.objects.values_list("pk", flat=True))

    def others_at_work() -> None:  # what else writes tasks must not write claims over
        realign_leads_in_a_transaction(leads[:20])
        free_expired_claims(NOW)

    claim_all(people, 130, others_at_work)


def realign_leads_in_a_transaction(leads: list[int]) -> None:
    with transaction.atomic():
        realign_leads(leads, at=NOW, by=Actor.system("test"))


@pytest.mark.long
def test_thirty_two_claimers_of_three_thousand_never_hold_the_same_task(by: People) -> None:
    people = [by("VA", f"va-{number}") for number in range(CLIENTS)]
    first_steps(by("MANAGER"), 3000)
    claim_all(people, 3000, lambda: None)


def test_reading_what_is_free_and_saving_then_would_give_it_to_many(by: People) -> None:
    """What must not be written: the variant against which the tests above have been seen to fail."""
    first_steps(by("MANAGER"), 10)
    all_have_read = threading.Barrier(4)

    def claim_naively(number: int) -> list[int]:
        free = list(FollowUpTask.objects.due(NOW).unclaimed(NOW)[:10])
        all_have_read.wait(60)
        for task in free:
            task.claimed_by, task.claim_token, task.claim_until = f"va-{number}", str(number), NOW + HOUR
            task.save()
        return [task.pk for task in free]

    claimed = at_once(claim_naively, range(4))
    assert sum(map(len, claimed)) == 40


def test_a_start_and_a_claim_at_once_give_the_task_to_one(by: People) -> None:
    starter, claimer = by("VA", "starter"), by("VA", "claimer")
    for task_id in first_steps(by("MANAGER"), 25):

        def do(who: Actor, task_id: int = task_id) -> Any:
            if who is starter:
                return start_task(task_id, by=who, at=NOW)["ok"] and [task_id]
            return list(claim_due(by=who, at=NOW, filters={"pk": task_id})[1])

        started, claimed = at_once(do, [starter, claimer])
        holder = FollowUpTask.objects.get(pk=task_id).claimed_by
        if isinstance(started, Refused):
            assert (started.code, claimed, holder) == ("claimed_by_other", [task_id], "claimer")
        else:
            assert (claimed, holder) == ([], "starter")


# --- ladders ------------------------------------------------------------------------------------------------


def create_for_one_lead(who: Actor, calls: int) -> None:
    answers = at_once(lambda _number: ladder(who).ladder.pk, range(calls))
    (made,) = (answer for answer in answers if not isinstance(answer, Refused))
    refusals = [answer for answer in answers if isinstance(answer, Refused)]
    assert Counter(map(code, refusals)) == {"ladder_active": calls - 1}
    assert {refusal.extra["ladder_id"] for refusal in refusals} == {made}
    assert (Lead.objects.count(), Ladder.objects.count(), FollowUpTask.objects.count()) == (1, 1, 6)
    assert KpiEvent.objects.filter(metric="ladder_created").count() == 1


def test_a_hundred_creates_for_one_lead_make_one_ladder(by: People) -> None:
    create_for_one_lead(by("SERVICE"), 100)


@pytest.mark.long
def test_a_thousand_creates_for_one_lead_make_one_ladder(by: People) -> None:
    create_for_one_lead(by("SERVICE"), 1000)


# --- opt-outs -----------------------------------------------------------------------------------------------


def test_opt_outs_at_once_of_leads_that_share_numbers_all_take(by: People) -> None:
    who = by("MANAGER")
    for turn in range(8):
        numbers = [f"+1416555{turn}{n}00" for n in range(3)]
        tasks = []
        for n in range(3):
            lead = PointFactory.create(lead__external_id=f"T{turn}-{n}", value=numbers[n]).lead
            PointFactory.create(lead=lead, value=numbers[(n + 1) % 3], order=1)
            tasks.append(ladder(who, lead.external_id, phone="").tasks[0])
        answers = at_once(lambda task: finish(task, who, outcome="OPTED_OUT"), tasks)
        assert [code(answer) for answer in answers] == ["ok"] * 3
    assert set(Ladder.objects.values_list("status", flat=True)) == {"STOPPED"}
    assert not FollowUpTask.objects.filter(status="OPEN").exists()
    assert set(Lead.objects.values_list("status", flat=True)) == {"DEAD"}
    assert Suppression.objects.values("point_digest").distinct().count() == 8 * (3 + 3)  # numbers and leads


def test_an_opt_out_and_completions_at_once_leave_nothing_open(by: People) -> None:
    who = by("MANAGER")
    for number in range(10):
        made = ladder(who, f"L-{number}", phone=f"+141655501{number:02d}")

        def do(outcome: str, made: Any = made) -> Any:
            return finish(made.tasks[0], who, NOW + MINUTE, outcome=outcome)

        opted_out, completed = at_once(do, ["OPTED_OUT", "SENT"])
        assert code(opted_out) == "ok"
        assert code(completed) in ("ok", "outcome_differs")
    assert not FollowUpTask.objects.filter(status="OPEN").exists()
    assert set(Ladder.objects.values_list("status", flat=True)) == {"STOPPED"}


# --- waiting ------------------------------------------------------------------------------------------------


def test_a_verb_outlasts_a_writer_that_holds_the_database_longer_than_its_timeout(by: People) -> None:
    """SQLite passes its writers in no order; PostgreSQL waits for as long as it takes."""
    who = by("MANAGER")
    (task_id,) = first_steps(who, 1)
    holding = threading.Event()

    def hold() -> None:
        try:
            with transaction.atomic():
                Lead.objects.update(name="Anne")
                holding.set()
                time.sleep(0.4)
        finally:
            connection.close()

    holder = threading.Thread(target=hold)
    holder.start()
    holding.wait(60)
    try:
        if connection.vendor == "sqlite":
            connection.cursor().execute("PRAGMA busy_timeout = 200")
        assert complete_task(task_id, Completion(), by=who, at=NOW).task.status == "COMPLETED"
    finally:
        holder.join()
        connection.close()


# --- two tabs that disagree ---------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["REPLIED", "WRONG_NUMBER", "OPTED_OUT"])
def test_of_two_tabs_at_once_what_the_person_did_stands_whole(by: People, what: str) -> None:
    who = by("MANAGER")
    tasks = first_steps(who, 12)
    said = [(task, outcome) for task in tasks for outcome in ("SENT", what)]

    def record(tab: tuple[int, str]) -> object:
        return complete_task(tab[0], Completion(outcome=tab[1]), by=who, at=NOW)

    codes = [code(answer) for answer in at_once(record, said)]
    assert set(codes) <= {"ok", "outcome_differs"}
    assert codes[1::2] == ["ok"] * 12
    done = FollowUpTask.objects.filter(pk__in=tasks)
    assert [task.standing_outcome for task in done] == [what] * 12
    assert set(Ladder.objects.values_list("status", flat=True)) <= {"COMPLETED", "STOPPED"}
    left = FollowUpTask.objects.filter(status="OPEN").values_list("kind", flat=True)
    assert list(left) == (["HANDOVER"] * 12 if what == "REPLIED" else [])
    assert KpiEvent.objects.filter(metric="followup_completed").count() == 12

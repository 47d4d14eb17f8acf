"""The same person under two lead ids is followed up once: the later ladder waits for the one that runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from followups.models import ContactPoint, FollowUpTask, Ladder, Lead
from followups.services import (
    Completion,
    NewLadder,
    bring_back_held,
    claim_due,
    complete_task,
    correct_task,
    doubled_ladders,
    due_tasks,
    mark_shared,
    save_lead,
    settle_points,
    start_task,
    stop_ladder,
    work_waiting,
)
from followups.services.opt_outs import presses_to_undo, undo_opt_out
from followups.services.waiting import holders_of, release_after
from followups.tests.factories import DAY, EMAIL, MINUTE, NOW, PHONE, finish, fresh, ladder, steps_of
from governance.contact.services import suppress
from governance.core.actors import Actor
from governance.core.errors import Forbidden, Refused
from valhalla.testing import at_once

pytestmark = [pytest.mark.both, pytest.mark.django_db]
People = Callable[..., Actor]
ANNE = "Anne Tremblay"


def held(made: NewLadder) -> list[str]:
    return [task.held_reason for task in steps_of(made)]


def two(by: Actor, **second: object) -> tuple[NewLadder, NewLadder]:
    """Begin the ladders of two leads with one phone and, unless another is said, one name."""
    return ladder(by, "L-1", name=ANNE), ladder(by, "L-2", NOW + MINUTE, **{"name": ANNE, **second})


# --- who waits ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [ANNE, "", "ANNE  TREMBLAY", "anné tremblay "])
def test_the_later_lead_of_the_same_person_waits(by: People, name: str) -> None:
    first, second = two(by("VA"), name=name)
    assert held(first) == [""] * 6
    assert held(second) == ["person_active"] * 6
    assert {task.due_at for task in steps_of(second)} == {None}
    assert second.ladder.status == Ladder.Status.ACTIVE


def test_a_first_lead_without_a_name_lets_a_named_one_wait(by: People) -> None:
    ladder(by("VA"), "L-1", name="")
    assert held(ladder(by("VA"), "L-2", name=ANNE)) == ["person_active"] * 6


def test_another_name_begins_and_is_warned_of(by: People) -> None:
    first, second = two(by("VA"), name="Marc Tremblay")
    assert held(second) == [""] * 6
    assert second.as_answer()["warnings"] == ["number_shared"]
    assert second.as_answer()["waiting_for"] is None
    assert first.as_answer()["warnings"] == []


def test_another_number_neither_waits_nor_warns(by: People) -> None:
    _first, second = two(by("VA"), phone="416 555 0177")
    assert (held(second), second.as_answer()["warnings"]) == ([""] * 6, [])


def test_whom_it_waits_for_is_named_to_those_who_may_see_that_lead_alone(by: People) -> None:
    manager, va, other = by("MANAGER"), by("VA"), by("VA", "vera")
    first = ladder(manager, "L-1", name=ANNE, owner=va.username)
    seen = ladder(va, "L-2", name=ANNE).as_answer()["waiting_for"]
    assert seen == {"lead_id": "L-1", "ladder_id": first.ladder.pk}
    unseen = ladder(other, "L-3", name=ANNE, owner=other.username).as_answer()["waiting_for"]
    assert unseen == {"lead_id": None, "ladder_id": None}


def test_the_api_answers_201_with_whom_it_waits_for(api: Callable[..., APIClient]) -> None:
    def create(lead_id: str) -> Any:
        body = {"lead_id": lead_id, "province": "ON", "name": ANNE, "phone": PHONE}
        return api("VA").post("/api/followups/ladder/create", body, format="json")

    first, second = create("L-1"), create("L-2")
    assert (first.status_code, second.status_code) == (201, 201)
    assert (first.json()["waiting_for"], first.json()["warnings"]) == (None, [])
    assert second.json()["waiting_for"] == {"lead_id": "L-1", "ladder_id": first.json()["ladder_id"]}
    assert {task["due_at"] for task in second.json()["tasks"]} == {None}


def test_waiting_steps_are_in_no_queue_and_cannot_be_started_or_completed(by: People) -> None:
    _first, second = two(by("VA"))
    later = NOW + 2 * MINUTE
    assert [row["lead_id"] for row in due_tasks(by=by("MANAGER"), at=later)] == ["L-1"]
    assert len(claim_due(by=by("VA"), at=later)[1]) == 1
    for act in (
        lambda: start_task(second.tasks[0].pk, by=by("VA"), at=later),
        lambda: finish(second.tasks[0], by("VA"), later),
    ):
        with pytest.raises(Refused) as refusal:
            act()
        assert refusal.value.code == "person_active"


def test_what_the_person_did_is_recorded_on_a_waiting_step(by: People) -> None:
    _first, second = two(by("VA"))
    finish(second.tasks[0], by("VA"), NOW + 2 * MINUTE, "REPLIED")
    assert fresh(second.tasks[0]).status == FollowUpTask.Status.COMPLETED


# --- a channel with a point of its own ----------------------------------------------------------------------


@pytest.fixture
def mails_second(db: None) -> None:
    from followups.models import LadderTemplate

    template = LadderTemplate.objects.get(province="")
    template.steps[1]["channel"] = "EMAIL"
    LadderTemplate.objects.filter(pk=template.pk).update(steps=template.steps)


@pytest.mark.usefixtures("mails_second")
def test_steps_whose_channel_has_a_point_of_its_own_run_on(by: People) -> None:
    first, second = two(by("VA"), email=EMAIL)
    assert held(second) == ["person_active", "", *["person_active"] * 4]
    mail = second.tasks[1]
    assert fresh(mail).is_current
    assert mail.due_at is not None
    finish(mail, by("VA"), mail.due_at)
    assert [task.is_current for task in steps_of(second)] == [True, *[False] * 5]
    stop_ladder(first.ladder.pk, by=by("MANAGER"), at=mail.due_at + MINUTE, reason="for a test")
    assert held(second) == [""] * 6
    assert steps_of(second)[0].due_at == mail.due_at + MINUTE


@pytest.mark.usefixtures("mails_second")
def test_a_shared_address_lets_the_mails_wait_and_the_calls_run_on(by: People) -> None:
    first = ladder(by("VA"), "L-1", name=ANNE, email=EMAIL)
    second = ladder(by("VA"), "L-2", NOW + MINUTE, name=ANNE, email=EMAIL.upper(), phone="416 555 0177")
    assert held(second) == ["", "person_active", *[""] * 4]
    assert second.as_answer()["waiting_for"] == {"lead_id": "L-1", "ladder_id": first.ladder.pk}
    for number in (0, 2):
        due = steps_of(second)[number].due_at
        assert due is not None
        finish(steps_of(second)[number], by("VA"), due)
    stop_ladder(first.ladder.pk, by=by("MANAGER"), at=NOW + DAY, reason="for a test")
    assert held(second) == [""] * 6
    assert fresh(second.tasks[1]).is_current


def test_a_ladder_of_mails_waits_for_another_with_the_address(by: People) -> None:
    from followups.models import LadderTemplate

    steps = [{"channel": "EMAIL", "delay": {"days": day}} for day in range(3)]
    LadderTemplate.objects.filter(province="").update(steps=steps)
    first = ladder(by("VA"), "L-1", name=ANNE, email=EMAIL, phone="")
    second = ladder(by("VA"), "L-2", NOW + MINUTE, name="", email=EMAIL, phone="416 555 0177")
    assert (held(first), held(second)) == ([""] * 3, ["person_active"] * 3)
    finish(first.tasks[0], by("VA"), NOW + MINUTE, "REPLIED")
    assert held(second) == [""] * 3


@pytest.mark.usefixtures("mails_second")
def test_a_released_step_before_the_one_that_ran_on_is_the_next(by: People) -> None:
    first, second = two(by("VA"), email=EMAIL)
    stop_ladder(first.ladder.pk, by=by("MANAGER"), at=NOW + 2 * MINUTE, reason="for a test")
    assert [task.is_current for task in steps_of(second)] == [True, *[False] * 5]


# --- going on -----------------------------------------------------------------------------------------------

ENDS: dict[str, Callable[[NewLadder, Actor], object]] = {
    "stopped": lambda first, by: stop_ladder(first.ladder.pk, by=by, at=NOW + DAY, reason="for a test"),
    "reached": lambda first, by: finish(first.tasks[0], by, NOW + DAY, "REACHED", next="NOT_INTERESTED"),
    "replied": lambda first, by: finish(first.tasks[0], by, NOW + DAY, "REPLIED"),
    "wrong number": lambda first, by: finish(first.tasks[0], by, NOW + DAY, "WRONG_NUMBER"),
    "all steps done": lambda first, by: [
        complete_task(task.pk, Completion("NO_ANSWER", happened=True), by=by, at=NOW + DAY)
        for task in first.tasks
    ],
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_it_goes_on_in_the_transaction_that_ends_the_first(
    by: People, end: Callable[[NewLadder, Actor], object]
) -> None:
    first, second = two(by("VA"))
    end(first, by("MANAGER"))
    assert held(second) == [""] * 6
    assert fresh(second.tasks[0]).is_current


def test_its_cadence_begins_when_it_goes_on(by: People) -> None:
    first, second = two(by("VA"))
    later = NOW + 14 * DAY
    stop_ladder(first.ladder.pk, by=by("MANAGER"), at=later, reason="for a test")
    away = [task.due_at - later for task in steps_of(second) if task.due_at]
    planned = [task.due_at - NOW for task in first.tasks if task.due_at]
    assert away == planned  # the same weekday and hour, two weeks later


def test_an_opt_out_of_the_first_stops_the_one_that_waits(by: People) -> None:
    first, second = two(by("VA"))
    finish(first.tasks[0], by("VA"), NOW + 2 * MINUTE, "OPTED_OUT")
    second.ladder.refresh_from_db()
    assert second.ladder.status == Ladder.Status.STOPPED


def test_an_opt_out_that_is_taken_back_leaves_them_in_their_order(by: People) -> None:
    first, second = two(by("VA"))
    said = Completion("OPTED_OUT", by_key=True)
    complete_task(first.tasks[0].pk, said, by=by("VA"), at=NOW + 2 * MINUTE)
    (press,) = presses_to_undo(by("VA"), NOW + 3 * MINUTE)
    undo_opt_out(press.pk, by=by("VA"), at=NOW + 3 * MINUTE)
    assert set(held(first)[1:]) == {""}
    assert held(second) == ["person_active"] * 6


def test_an_opt_out_lets_go_on_who_shared_another_number_alone(by: People) -> None:
    from followups.points import read_point

    ladder(by("VA"), "L-1", name=ANNE, email=EMAIL)
    second = ladder(by("VA"), "L-2", name=ANNE)
    suppress([read_point("EMAIL", EMAIL)[1]], by=by("VA"), at=NOW + MINUTE)
    assert held(second) == [""] * 6


def test_erasing_the_first_lets_the_second_go_on(by: People) -> None:
    from followups.retention import Leads

    first, second = two(by("VA"))
    person = Leads().read(first.ladder.lead_id)
    assert person is not None
    Leads().stop(person, by=by("MANAGER"), at=NOW + DAY)
    assert held(second) == [""] * 6


def test_a_number_that_was_taken_away_by_hand_lets_it_go_on_with_the_next_job(by: People) -> None:
    first, second = two(by("VA"))
    ContactPoint.objects.filter(lead=first.ladder.lead).delete()
    bring_back_held(NOW + DAY)
    assert held(second) == [""] * 6


def test_of_three_they_go_on_one_after_another(by: People) -> None:
    first, second = two(by("VA"))
    third = ladder(by("VA"), "L-3", NOW + 2 * MINUTE, name="")
    stop_ladder(first.ladder.pk, by=by("MANAGER"), at=NOW + DAY, reason="for a test")
    assert (held(second)[0], held(third)[0]) == ("", "person_active")
    stop_ladder(second.ladder.pk, by=by("MANAGER"), at=NOW + 2 * DAY, reason="for a test")
    assert held(third)[0] == ""


def test_one_that_waits_can_be_stopped_and_nobody_else_moves(by: People) -> None:
    first, second = two(by("VA"))
    third = ladder(by("VA"), "L-3", NOW + 2 * MINUTE, name=ANNE)
    stop_ladder(second.ladder.pk, by=by("MANAGER"), at=NOW + DAY, reason="for a test")
    assert (held(first)[0], held(third)[0]) == ("", "person_active")


def test_a_ladder_that_a_correction_begins_again_waits_for_the_one_that_went_on(by: People) -> None:
    first, second = two(by("VA"))
    done = first.tasks[0]
    finish(done, by("VA"), NOW + 2 * MINUTE, "REPLIED", next="NOT_INTERESTED")
    correct_task(done.pk, Completion("SENT"), by=by("MANAGER"), at=NOW + 3 * MINUTE, reason="a slip")
    assert held(second) == [""] * 6
    assert held(first) == ["", *["person_active"] * 5]
    stop_ladder(second.ladder.pk, by=by("MANAGER"), at=NOW + DAY, reason="for a test")
    assert held(first) == [""] * 6


def test_a_number_typed_by_hand_makes_the_later_ladder_wait(by: People) -> None:
    first, second = two(by("VA"), phone="416 555 0177")
    settle = by("MANAGER")
    point = ContactPoint.objects.get(lead__external_id="L-2")
    ContactPoint.objects.filter(pk=point.pk).update(
        value=PHONE, digest=ContactPoint.objects.get(lead=first.ladder.lead).digest
    )
    settle_points(second.ladder.lead_id, by=settle, at=NOW + 2 * MINUTE)  # somebody typed the first's number
    assert held(second) == ["person_active"] * 6


def test_a_name_typed_later_lets_it_go_on(by: People) -> None:
    _first, second = two(by("VA"), name="")
    lead = Lead.objects.get(external_id="L-2")
    lead.name = "Marc Tremblay"
    save_lead(lead, by=by("MANAGER"), at=NOW + DAY)
    assert held(second) == [""] * 6


def test_ladders_from_before_are_not_stopped_but_come_first(by: People) -> None:
    first, second = two(by("VA"), name="Marc Tremblay")
    Ladder.objects.update(queued_at=None)
    Lead.objects.update(name=ANNE)
    settle_points(second.ladder.lead_id, by=by("MANAGER"), at=NOW + 2 * MINUTE)
    assert (held(first), held(second)) == ([""] * 6, [""] * 6)
    assert held(ladder(by("VA"), "L-3", NOW + 3 * MINUTE, name=ANNE)) == ["person_active"] * 6


# --- shared numbers -----------------------------------------------------------------------------------------


def phone_of(lead_id: str) -> ContactPoint:
    return ContactPoint.objects.get(lead__external_id=lead_id)


def test_a_number_marked_as_shared_lets_no_lead_wait(by: People) -> None:
    _first, second = two(by("VA"))
    mark_shared(phone_of("L-1").pk, "AGENT", by=by("MANAGER"), at=NOW + DAY)
    assert held(second) == [""] * 6
    third = ladder(by("VA"), "L-3", NOW + DAY, name=ANNE)
    assert (held(third), third.warnings) == ([""] * 6, ["number_shared"])


def test_the_mark_is_on_the_number_and_so_on_every_lead_that_holds_it(by: People) -> None:
    two(by("VA"))
    mark_shared(phone_of("L-2").pk, "ESTATE", by=by("MANAGER"), at=NOW + DAY)
    assert {phone_of("L-1").shared_as, phone_of("L-2").shared_as} == {"ESTATE"}
    mark_shared(phone_of("L-1").pk, "", by=by("MANAGER"), at=NOW + 2 * DAY)
    assert phone_of("L-2").shared_as == ""


def test_a_mark_taken_back_lets_the_later_one_wait_again(by: People) -> None:
    _first, second = two(by("VA"))
    for mark in ("AGENT", ""):
        mark_shared(phone_of("L-1").pk, mark, by=by("MANAGER"), at=NOW + MINUTE)
    assert held(second) == ["person_active"] * 6


def test_a_va_marks_no_number(by: People) -> None:
    two(by("VA"))
    with pytest.raises(Forbidden):
        mark_shared(phone_of("L-1").pk, "AGENT", by=by("VA"), at=NOW + DAY)


# --- ladders from before ------------------------------------------------------------------------------------


def test_ladders_that_double_are_listed_until_one_of_them_ends(by: People) -> None:
    first, second = two(by("VA"), name="Marc Tremblay")
    assert doubled_ladders() == []
    Ladder.objects.update(queued_at=None)
    Lead.objects.update(name=ANNE)
    third = ladder(by("VA"), "L-3", NOW + MINUTE, name=ANNE)
    assert held(third)[0] == "person_active"
    assert doubled_ladders() == [first.ladder.pk, second.ladder.pk]
    stop_ladder(first.ladder.pk, by=by("MANAGER"), at=NOW + DAY, reason="for a test")
    assert doubled_ladders() == []


def test_waiting_tasks_are_counted_apart_from_held_ones(by: People) -> None:
    two(by("VA"))
    waiting = work_waiting(NOW + MINUTE)
    assert (waiting["held"], waiting["person_active"]) == (0, 6)


# --- what it costs ------------------------------------------------------------------------------------------


def test_who_holds_a_number_is_one_query_and_ending_alone_costs_two(
    by: People, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    first = ladder(by("VA"), "L-1", name=ANNE)
    digest = phone_of("L-1").digest
    manager = by("MANAGER")
    locks = 1 if connection.vendor == "postgresql" else 0
    with django_assert_num_queries(1):
        holders_of([digest])
    with transaction.atomic(), django_assert_num_queries(2 + locks):
        release_after([first.ladder.lead_id], by=manager, at=NOW)


@pytest.mark.parametrize("others", [1, 12])
def test_letting_go_on_costs_the_same_however_many_wait(
    by: People, others: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    first = ladder(by("VA"), "L-0", name=ANNE)
    for number in range(others):
        ladder(by("VA"), f"L-{number + 1}", name=ANNE)
    Ladder.objects.filter(pk=first.ladder.pk).update(status="STOPPED")
    manager = by("MANAGER")
    with CaptureQueriesContext(connection) as captured, transaction.atomic():
        release_after([first.ladder.lead_id], by=manager, at=NOW)
    reads = [q["sql"] for q in captured.captured_queries if q["sql"].startswith("SELECT")]
    assert len(reads) <= 10, "\n".join(reads)


# --- at once ------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_of_many_created_at_once_for_one_number_one_runs(by: People) -> None:
    who = by("MANAGER")
    for round_ in range(5):
        leads = [f"L-{round_}-{n}" for n in range(12)]
        phone = f"416 555 01{round_:02d}"

        def begin(lead_id: str, phone: str = phone) -> NewLadder:
            return ladder(who, lead_id, name=ANNE, phone=phone)

        at_once(begin, leads)
        tasks = FollowUpTask.objects.filter(lead__external_id__startswith=f"L-{round_}-", step=1)
        assert sorted(tasks.values_list("held_reason", flat=True)) == [""] + ["person_active"] * 11


@pytest.mark.django_db(transaction=True)
def test_whoever_is_created_while_the_first_ends_goes_on(by: People) -> None:
    who = by("MANAGER")
    for round_ in range(10):
        phone = f"416 555 02{round_:02d}"
        first = ladder(who, f"A-{round_}", name=ANNE, phone=phone)

        def work(part: str, first: NewLadder = first, phone: str = phone, round_: int = round_) -> object:
            if part == "end":
                return stop_ladder(first.ladder.pk, by=who, at=NOW + MINUTE, reason="for a test")
            return ladder(who, f"B-{round_}", NOW + MINUTE, name=ANNE, phone=phone)

        at_once(work, ["end", "create"])
        tasks = FollowUpTask.objects.filter(lead__external_id=f"B-{round_}")
        assert set(tasks.values_list("held_reason", flat=True)) == {""}


@pytest.mark.django_db(transaction=True)
def test_ladders_that_end_and_begin_around_one_number_never_deadlock(by: People) -> None:
    who = by("MANAGER")
    made = [ladder(who, f"L-{n}", name=ANNE, email=f"a{n % 3}@example.ca") for n in range(16)]

    def work(number: int) -> object:
        if number % 2:
            return ladder(who, f"M-{number}", name=ANNE, email=f"a{number % 3}@example.ca")
        if number % 4:
            return stop_ladder(made[number].ladder.pk, by=who, at=NOW + MINUTE, reason="for a test")
        return finish(made[number].tasks[0], who, NOW + MINUTE, "REPLIED", next="NOT_INTERESTED")

    at_once(work, list(range(16)))
    bring_back_held(NOW + 2 * MINUTE)
    running = FollowUpTask.objects.filter(ladder__status="ACTIVE", step=1, status="OPEN", held_reason="")
    assert running.count() == 1

"""An opt-out by key and its undo: ten minutes, by whoever pressed it, that stop alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import product
from typing import Any

import pytest
from django.db import transaction

from followups.models import FollowUpTask, Ladder, LadderTemplate, Lead, OptOutPress, TaskCorrection
from followups.pages.card import instead
from followups.points import lead_digest
from followups.services import Completion, complete_task, correct_task, presses_to_undo, record_inbound
from followups.services import undo_opt_out as undo
from followups.services.corrections import may_be_corrected
from followups.tests.factories import (
    DAY,
    HOUR,
    MINUTE,
    NOW,
    PHONE,
    PointFactory,
    finish,
    fresh,
    ladder,
    steps_of,
)
from governance.contact import digests
from governance.contact.models import Suppression
from governance.contact.services import can_contact, suppress
from governance.core.actors import Actor
from governance.core.errors import Forbidden, NotFound, Refused

pytestmark = [pytest.mark.both, pytest.mark.django_db]
People = Callable[..., Actor]
SOON = NOW + MINUTE


def press(task: FollowUpTask, who: Actor, when: Any = NOW) -> OptOutPress:
    complete_task(task.pk, Completion(outcome="OPTED_OUT", by_key=True), by=who, at=when)
    return OptOutPress.objects.latest("pk")


def is_stopped(lead_id: str = "L-1") -> bool:
    answers = (can_contact(channel=channel, at=NOW + HOUR, lead_id=lead_id) for channel in ("CALL", "SMS"))
    return {answer.verdict.reason for answer in answers} == {"suppressed"}


def statuses(made: Any) -> list[str]:
    return [task.status for task in steps_of(made)]


def test_the_undo_ends_the_stop_and_the_ladder_goes_on(by: People) -> None:
    made = ladder(by("VA"))
    before = [task.due_at for task in steps_of(made)]
    pressed = press(made.tasks[0], by("VA"))
    assert is_stopped()
    assert [one.pk for one in presses_to_undo(by("VA"), SOON)] == [pressed.pk]
    undo(pressed.pk, by=by("VA"), at=SOON)
    assert not is_stopped()
    assert statuses(made) == ["COMPLETED", *["OPEN"] * 5]
    assert [task.is_current for task in steps_of(made)] == [False, True, *[False] * 4]
    assert [task.due_at for task in steps_of(made)[1:]] == before[1:]
    made.ladder.refresh_from_db()
    assert (made.ladder.status, made.ladder.stop_reason, made.ladder.ended_at) == ("ACTIVE", "", None)
    task = fresh(made.tasks[0])
    assert (task.outcome, task.standing_outcome) == ("OPTED_OUT", "SENT")
    assert list(TaskCorrection.objects.values_list("from_outcome", "to_outcome")) == [("OPTED_OUT", "SENT")]
    rows = list(Suppression.objects.order_by("id").values_list("action", "press"))
    assert rows == [("SUPPRESS", pressed.token)] * 2 + [("LIFT", pressed.token)] * 2
    assert presses_to_undo(by("VA"), SOON) == []


def test_a_ladder_of_two_steps_that_shares_the_number_goes_on_from_its_first(by: People) -> None:
    template = LadderTemplate.objects.get(province="", market_key="ALL")
    template.steps = template.steps[:2]
    template.save()
    pressed_on, shares = (ladder(by("VA"), lead_id, name=lead_id) for lead_id in ("L-1", "L-2"))
    pressed = press(pressed_on.tasks[0], by("VA"))
    assert statuses(shares) == ["CANCELLED"] * 2
    undo(pressed.pk, by=by("VA"), at=SOON)
    assert statuses(shares) == ["OPEN"] * 2
    assert [task.is_current for task in steps_of(shares)] == [True, False]


def test_pressed_twice_it_writes_nothing_more(by: People) -> None:
    made = ladder(by("VA"))
    pressed = press(made.tasks[0], by("VA"))
    undo(pressed.pk, by=by("VA"), at=SOON)
    tables: list[Any] = [Suppression, TaskCorrection, FollowUpTask, Ladder, Lead, OptOutPress]
    before = [list(model.objects.order_by("pk").values()) for model in tables]
    undo(pressed.pk, by=by("VA"), at=NOW + HOUR)
    assert [list(model.objects.order_by("pk").values()) for model in tables] == before


def test_an_opt_out_after_the_undo_stops_again_and_has_an_undo_of_its_own(by: People) -> None:
    made = ladder(by("VA"))
    undo(press(made.tasks[0], by("VA")).pk, by=by("VA"), at=SOON)
    second = press(made.tasks[0], by("VA"), SOON + MINUTE)
    assert is_stopped()
    undo(second.pk, by=by("VA"), at=SOON + 2 * MINUTE)
    assert not is_stopped()
    assert fresh(made.tasks[0]).standing_outcome == "SENT"


@pytest.mark.parametrize("again", [0, 1])
def test_a_double_click_makes_one_press(by: People, again: int) -> None:
    made = ladder(by("VA"))
    press(made.tasks[0], by("VA"))
    complete_task(
        made.tasks[0].pk, Completion(outcome="OPTED_OUT", by_key=True), by=by("VA"), at=NOW + again * MINUTE
    )
    assert (OptOutPress.objects.count(), Suppression.objects.count()) == (1, 2)


@pytest.mark.parametrize(("seconds", "late"), [(0, False), (599, False), (600, True), (86_400, True)])
def test_it_lasts_ten_minutes(by: People, seconds: int, late: bool) -> None:
    made = ladder(by("VA"))
    pressed = press(made.tasks[0], by("VA"))
    then = NOW + timedelta(seconds=seconds)
    assert bool(presses_to_undo(by("VA"), then)) is not late
    if late:
        with pytest.raises(Refused) as refusal:
            undo(pressed.pk, by=by("VA"), at=then)
        assert refusal.value.code == "undo_over"
    else:
        undo(pressed.pk, by=by("VA"), at=then)
    assert is_stopped() is late


def test_nobody_else_takes_it_back_not_even_a_manager(by: People) -> None:
    made = ladder(by("VA"))
    pressed = press(made.tasks[0], by("VA"))
    for other in (by("VA", "eve"), by("CLOSER"), by("MANAGER")):
        with pytest.raises(NotFound):
            undo(pressed.pk, by=other, at=SOON)
        assert presses_to_undo(other, SOON) == []
    for role in ("AUDITOR", "SERVICE"):
        with pytest.raises(Forbidden):
            undo(pressed.pk, by=by(role), at=SOON)
    with pytest.raises(NotFound):
        undo(987_654_321, by=by("VA"), at=SOON)
    assert is_stopped()


def a_word_of_the_person(by: People) -> None:
    record_inbound("L-1", by=by("SERVICE"), at=SOON, channel="SMS", outcome="OPTED_OUT")


def another_persons_press(by: People) -> None:
    task = FollowUpTask.objects.get(step=1, lead__external_id="L-1")
    press(task, by("VA", "eve"), SOON)


def a_dialers_report(by: People) -> None:
    task = FollowUpTask.objects.get(step=1, lead__external_id="L-1")
    complete_task(task.pk, Completion(outcome="OPTED_OUT"), by=by("SERVICE"), at=SOON)


def a_managers_stop(by: People) -> None:
    suppress([lead_digest("L-1")], by=by("MANAGER"), at=SOON, source="MANAGER")


def our_own_list(by: People) -> None:
    points = [digests.digest(digests.PHONE, PHONE)]
    suppress(points, by=by("MANAGER"), at=SOON, source="INTERNAL_LIST")


OTHERS = [a_word_of_the_person, another_persons_press, a_dialers_report, a_managers_stop, our_own_list]


@pytest.mark.parametrize("other", OTHERS)
def test_a_stop_of_any_other_origin_stays(by: People, other: Callable[[People], None]) -> None:
    made = ladder(by("VA"))
    pressed = press(made.tasks[0], by("VA"))
    other(by)
    undo(pressed.pk, by=by("VA"), at=SOON + MINUTE)
    assert is_stopped()
    assert statuses(made) == ["COMPLETED", *["CANCELLED"] * 5]
    assert fresh(made.tasks[0]).standing_outcome == "OPTED_OUT"
    assert Lead.objects.get().status == "DEAD"


@pytest.mark.parametrize("other", [a_managers_stop, our_own_list])
def test_a_stop_that_was_there_before_stays(by: People, other: Callable[[People], None]) -> None:
    made = ladder(by("VA"))
    other(by)
    pressed = press(made.tasks[0], by("VA"), SOON + MINUTE)
    undo(pressed.pk, by=by("VA"), at=SOON + 2 * MINUTE)
    assert is_stopped()


def test_a_stop_of_one_channel_stays_and_holds_its_steps(by: People) -> None:
    made = ladder(by("VA"))
    points = [digests.digest(digests.PHONE, PHONE)]
    suppress(points, by=by("MANAGER"), at=NOW, channel="CALL", source="NATIONAL_LIST")
    undo(press(made.tasks[0], by("VA"), SOON).pk, by=by("VA"), at=SOON + MINUTE)
    assert statuses(made) == ["COMPLETED", *["OPEN"] * 5]
    assert [task.held_reason for task in steps_of(made)] == ["", "suppressed"] * 3


def test_every_lead_that_has_the_number_goes_on(by: People) -> None:
    made, other = ladder(by("VA"), "L-1"), ladder(by("VA"), "L-2", email="b@example.ca")
    call = finish(
        ladder(by("VA"), "L-3").tasks[0], by("VA"), outcome="REACHED", next="CALLBACK", next_at=NOW + DAY
    ).next_task
    later = NOW + 90 * DAY
    finish(ladder(by("VA"), "L-4").tasks[0], by("VA"), outcome="REACHED", next="NOT_NOW", next_at=later)
    assert call is not None
    pressed = press(made.tasks[0], by("VA"))
    assert set(Lead.objects.values_list("status", flat=True)) == {"DEAD"}
    undo(pressed.pk, by=by("VA"), at=SOON)
    assert statuses(made) == ["COMPLETED", *["OPEN"] * 5]
    assert statuses(other) == ["OPEN"] * 6
    assert steps_of(other)[0].is_current
    assert (fresh(call).status, fresh(call).is_current, fresh(call).due_at) == ("OPEN", True, NOW + DAY)
    leads = Lead.objects.order_by("external_id").values_list("status", "follow_up_at")
    assert list(leads) == [("WORKING", None)] * 3 + [("NOT_NOW", later)]


def test_a_lead_whose_own_stop_stands_stays_stopped_while_the_others_go_on(by: People) -> None:
    made, other = ladder(by("VA"), "L-1"), ladder(by("VA"), "L-2")
    pressed = press(made.tasks[0], by("VA"))
    suppress([lead_digest("L-2")], by=by("MANAGER"), at=SOON, source="MANAGER")
    undo(pressed.pk, by=by("VA"), at=SOON)
    assert statuses(made) == ["COMPLETED", *["OPEN"] * 5]
    assert statuses(other) == ["CANCELLED"] * 6


def test_pressed_on_a_closed_task_the_undo_leaves_what_it_said(by: People) -> None:
    made = ladder(by("VA"))
    call = finish(made.tasks[0], by("VA"), outcome="REACHED", next="CALLBACK", next_at=NOW + DAY).next_task
    assert call is not None
    pressed = press(made.tasks[0], by("VA"), SOON)
    undo(pressed.pk, by=by("VA"), at=SOON + MINUTE)
    task = fresh(made.tasks[0])
    assert (task.standing_outcome, task.next, task.next_at) == ("REACHED", "CALLBACK", NOW + DAY)
    assert fresh(call).status == "OPEN"
    assert statuses(made) == ["COMPLETED", *["CANCELLED"] * 5]
    assert Lead.objects.get().status == "WORKING"


def test_what_was_recorded_after_the_press_is_left_alone(by: People) -> None:
    made = ladder(by("VA"))
    pressed = press(made.tasks[0], by("VA"))
    correct_task(
        made.tasks[0].pk,
        Completion(outcome="REACHED", next="NOT_INTERESTED"),
        by=by("MANAGER"),
        at=SOON,
        reason="she only asked who we are",
    )
    undo(pressed.pk, by=by("VA"), at=SOON + MINUTE)
    assert fresh(made.tasks[0]).standing_outcome == "REACHED"
    assert statuses(made) == ["COMPLETED", *["CANCELLED"] * 5]
    assert Lead.objects.get().status == "DEAD"


def test_a_program_records_opt_outs_that_have_no_undo(by: People) -> None:
    made = ladder(by("VA"))
    complete_task(made.tasks[0].pk, Completion(outcome="OPTED_OUT"), by=by("SERVICE"), at=NOW)
    assert not OptOutPress.objects.exists()
    assert not Suppression.objects.exclude(press=None).exists()


# --- what correcting offers -------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", FollowUpTask.Outcome.values)
@pytest.mark.parametrize("other", ["", "ladder"])
def test_a_correction_is_offered_where_it_is_taken_and_nowhere_else(
    by: People, outcome: str, other: str
) -> None:
    made = ladder(by("VA"))
    finish(made.tasks[0], by("VA"), outcome=outcome)
    if other and outcome in ("REACHED", "REPLIED", "WRONG_NUMBER"):
        PointFactory.create(lead=made.ladder.lead, value="+14165550123", order=1)
        ladder(by("VA"), start=NOW, phone="")
    to = "LEFT_MESSAGE" if outcome != "LEFT_MESSAGE" else "SENT"
    for role, when in product(("VA", "CLOSER", "MANAGER", "AUDITOR", "SERVICE"), (SOON, NOW + 3 * DAY)):
        who = by(role)
        offered = may_be_corrected(fresh(made.tasks[0]), who, when)
        with transaction.atomic():
            try:
                correct_task(made.tasks[0].pk, Completion(outcome=to), by=who, at=when, reason="x")
                taken = True
            except Refused:
                taken = False
            transaction.set_rollback(True)
        assert offered is taken, (role, when)


@pytest.mark.parametrize("outcome", FollowUpTask.Outcome.values)
@pytest.mark.parametrize("step", [0, 1], ids=["SMS", "CALL"])
def test_every_choice_that_a_correction_offers_is_taken(by: People, outcome: str, step: int) -> None:
    made = ladder(by("VA"))
    for earlier in made.tasks[:step]:
        finish(earlier, by("VA"))
    task, when = made.tasks[step], NOW + step * HOUR
    finish(task, by("VA"), when, outcome=outcome)
    for who in (by("VA"), by("MANAGER")):
        choices = instead(fresh(task)) if may_be_corrected(fresh(task), who, when + MINUTE) else []
        assert bool(choices) is (outcome != "OPTED_OUT" or who.role == "MANAGER")
        for choice in choices:
            to, _colon, then = choice["said"].partition(":")
            with transaction.atomic():
                said = Completion(outcome=to, next=then)
                done = correct_task(task.pk, said, by=who, at=when + MINUTE, reason="the wrong key")
                assert done.task.standing_outcome == to
                transaction.set_rollback(True)

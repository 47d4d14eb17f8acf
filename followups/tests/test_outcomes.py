"""What follows from an outcome: callbacks, handovers, retired numbers, opt-outs that nothing refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pytest_django import Settings

from followups import wording
from followups.models import ContactPoint, FollowUpTask, Ladder, Lead, TaskCorrection
from followups.pages import card
from followups.rules import ADVANCING, STOPPING
from followups.services import (
    Completion,
    LeadDetails,
    complete_task,
    correct_task,
    create_ladder,
    skip_task,
    start_task,
    stop_ladder,
)
from followups.services.locked_task import lock_task
from followups.services.plans import effects
from followups.services.reading import look_at
from followups.services.reversal import replace_outcome
from followups.tests.factories import (
    DAY,
    HOUR,
    MINUTE,
    NOW,
    PHONE,
    TORONTO,
    PointFactory,
    at,
    finish,
    fresh,
    kpis,
    ladder,
    local_times,
    steps_of,
)
from followups.timeline import timeline
from governance.contact.services import lift_suppression
from governance.core.actors import Actor
from governance.core.errors import Forbidden, Invalid, NotFound, Refused
from governance.golive.services import set_kill_switch
from governance.models import ContactDecision, KpiEvent, Suppression

pytestmark = [pytest.mark.both, pytest.mark.django_db]
People = Callable[..., Actor]
NIGHT = at(26, "03:00")


# --- every outcome --------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", FollowUpTask.Outcome.values)
def test_no_outcome_but_an_opt_out_stops_contact(by: People, outcome: str) -> None:
    made = ladder(by("VA"))
    finish(made.tasks[0], by("VA"), outcome=outcome)
    assert Suppression.objects.exists() is (outcome == "OPTED_OUT")
    assert fresh(made.tasks[0]).outcome == outcome


@pytest.mark.parametrize("outcome", FollowUpTask.Outcome.values)
def test_every_outcome_can_be_reversed_and_is_described(by: People, outcome: str) -> None:
    made = ladder(by("VA"))
    finish(made.tasks[0], by("VA"), outcome=outcome)
    other = "SENT" if outcome != "SENT" else "LEFT_MESSAGE"
    correct_task(made.tasks[0].pk, Completion(outcome=other), by=by("MANAGER"), at=NOW + MINUTE, reason="x")
    assert steps_of(made)[1].status == "OPEN"
    look = look_at(steps_of(made)[1].pk, by=by("VA"), at=NOW + MINUTE)
    assert card._follows(outcome, look, NOW + MINUTE)


@pytest.mark.parametrize("outcome", FollowUpTask.Outcome.values)
def test_every_outcome_is_of_one_kind(outcome: str) -> None:
    kinds = [outcome in ADVANCING, outcome in STOPPING, outcome in ("WRONG_NUMBER", "OPTED_OUT")]
    assert kinds.count(True) == 1
    assert outcome in wording.OUTCOMES


def test_an_outcome_that_no_rule_names_has_no_effects(by: People) -> None:
    made = ladder(by("VA"))
    desk = lock_task(made.tasks[0].pk, by=by("VA"), at=NOW)
    for change in (
        lambda: effects(desk, Completion(outcome="DECEASED")),
        lambda: replace_outcome(desk, Completion(outcome="SENT"), "x", undoes="DECEASED"),
    ):
        with pytest.raises(ValueError, match="DECEASED"):
            change()
    assert not Suppression.objects.exists()
    assert {task.status for task in steps_of(made)} == {"OPEN"}


# --- reached, replied -----------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", ["REACHED", "REPLIED"])
def test_who_was_reached_is_handed_to_a_closer_within_an_allowed_hour(by: People, outcome: str) -> None:
    made = ladder(by("VA"))
    done = finish(made.tasks[0], by("VA"), outcome=outcome)
    handover = done.next_task
    assert handover is not None
    assert (handover.kind, handover.channel, handover.owner, handover.is_current) == (
        "HANDOVER",
        "CALL",
        "",
        True,
    )
    assert (handover.due_at, handover.deadline_at) == (NOW, NOW + HOUR)
    assert handover.sla_2h_at == NOW + 2 * HOUR
    assert [task.status for task in steps_of(made)] == ["COMPLETED", *["CANCELLED"] * 5]
    made.ladder.refresh_from_db()
    assert (made.ladder.status, made.ladder.stop_reason) == ("COMPLETED", outcome)
    assert Lead.objects.get().status == "HANDED_OVER"
    assert finish(made.tasks[0], by("VA"), outcome=outcome).next_task == handover


@pytest.mark.parametrize(
    ("begun", "deadline"),
    [
        ("19:30", "Thu 26 09:30"),
        ("19:00", "Wed 25 20:00"),
        ("18:59", "Wed 25 19:59"),
        ("22:15", "Thu 26 10:00"),
    ],
)
def test_a_handover_is_due_at_once_and_its_hour_is_one_of_allowed_time(
    by: People, begun: str, deadline: str
) -> None:
    made = ladder(by("VA"))
    handover = finish(made.tasks[0], by("VA"), at(25, begun), outcome="REPLIED").next_task
    assert handover is not None
    assert handover.due_at == at(25, begun)
    assert handover.deadline_at is not None
    assert f"{handover.deadline_at.astimezone(TORONTO):%a %d %H:%M}" == deadline


def test_a_callback_is_a_task_at_its_lawful_time_of_whoever_promised_it(by: People) -> None:
    made = ladder(by("VA"))
    task = finish(
        made.tasks[0], by("VA"), outcome="REACHED", next="CALLBACK", next_at=at(26, "08:15")
    ).next_task
    assert task is not None
    assert (task.kind, task.owner, task.scheduled_for) == ("CALLBACK", "a-va", at(26, "08:15"))
    assert local_times([task]) == ["Thu 26 09:00"]
    assert Lead.objects.get().status == "WORKING"
    assert not Lead.objects.nobodys().exists()


def test_a_program_promises_callbacks_in_nobodys_name(by: People) -> None:
    made = ladder(by("VA"))
    task = finish(
        made.tasks[0], by("SERVICE"), outcome="REPLIED", next="CALLBACK", next_at=NOW + HOUR
    ).next_task
    assert task is not None
    assert task.owner == ""


def test_not_now_keeps_the_date(by: People) -> None:
    made = ladder(by("VA"))
    done = finish(made.tasks[0], by("VA"), outcome="REACHED", next="NOT_NOW", next_at=NOW + 90 * DAY)
    lead = Lead.objects.get()
    assert (done.next_task, lead.status, lead.follow_up_at) == (None, "NOT_NOW", NOW + 90 * DAY)
    assert not Lead.objects.nobodys().exists()


@pytest.mark.parametrize("what", ["NOT_INTERESTED", "SOLD_OR_LISTED"])
def test_no_interest_ends_it(by: People, what: str) -> None:
    made = ladder(by("VA"))
    assert finish(made.tasks[0], by("VA"), outcome="REACHED", next=what).next_task is None
    assert Lead.objects.get().status == "DEAD"
    assert not Lead.objects.nobodys().exists()


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        ({"outcome": "SENT", "next": "CALLBACK", "next_at": NOW + HOUR}, "next"),
        ({"outcome": "REACHED", "next": "LATER"}, "next"),
        ({"outcome": "REACHED", "next": "CALLBACK"}, "next_at"),
        ({"outcome": "REACHED", "next": "NOT_NOW", "next_at": NOW - HOUR}, "next_at"),
        ({"outcome": "REACHED", "next": "NOT_NOW", "next_at": NOW + 731 * DAY}, "next_at"),
        ({"outcome": "SINGING"}, "outcome"),
    ],
)
def test_a_next_that_cannot_be_is_refused(by: People, said: dict[str, Any], wrong: str) -> None:
    made = ladder(by("VA"))
    with pytest.raises(Invalid) as refusal:
        finish(made.tasks[0], by("VA"), **said)
    assert list(refusal.value.errors) == [wrong]
    assert fresh(made.tasks[0]).status == "OPEN"


def test_a_lead_without_open_task_and_date_is_nobodys(by: People) -> None:
    made = ladder(by("VA"))
    call = finish(made.tasks[0], by("VA"), outcome="REACHED", next="CALLBACK", next_at=NOW + HOUR).next_task
    assert call is not None
    assert not Lead.objects.nobodys().exists()
    assert finish(call, by("VA"), NOW + HOUR).next_task is None
    assert Lead.objects.nobodys().count() == 1


def test_a_reply_to_a_message_of_before_stops_the_ladder_that_runs(by: People) -> None:
    made = ladder(by("VA"))
    finish(made.tasks[0], by("VA"))
    done = finish(made.tasks[0], by("VA"), NIGHT, outcome="REPLIED")
    made.ladder.refresh_from_db()
    assert (done.already_completed, made.ladder.status) == (False, "COMPLETED")
    assert (done.task.outcome, done.task.corrected_to) == ("SENT", "REPLIED")
    assert done.next_task is not None
    assert done.next_task.kind == "HANDOVER"


def test_a_reply_that_comes_twice_makes_one_handover(by: People) -> None:
    made = ladder(by("VA"))
    finish(made.tasks[0], by("VA"))
    nexts = {
        finish(made.tasks[0], by("VA"), NOW + number * HOUR, outcome="REPLIED").next_task
        for number in range(3)
    }
    assert len(nexts) == 1
    assert FollowUpTask.objects.filter(kind="HANDOVER").count() == 1


def test_a_callback_promised_anew_replaces_the_old_one(by: People) -> None:
    made = ladder(by("VA"))
    finish(made.tasks[0], by("VA"))
    for hours in (1, 2, 2):
        finish(made.tasks[0], by("VA"), outcome="REPLIED", next="CALLBACK", next_at=NOW + hours * HOUR)
    calls = FollowUpTask.objects.filter(kind="CALLBACK").order_by("id")
    assert [(call.status, call.due_at) for call in calls] == [
        ("CANCELLED", NOW + HOUR),
        ("OPEN", NOW + 2 * HOUR),
    ]


def test_a_reply_to_an_old_ladder_stops_the_new_one(by: People) -> None:
    old = ladder(by("VA"))
    finish(old.tasks[0], by("VA"))
    stop_ladder(old.ladder.pk, by=by("MANAGER"), at=NOW, reason="pause")
    new = ladder(by("VA"), start=NOW + HOUR)
    finish(old.tasks[0], by("VA"), NOW + HOUR, outcome="REPLIED")
    new.ladder.refresh_from_db()
    assert new.ladder.status == "STOPPED"  # none of its own steps was completed
    assert {task.status for task in steps_of(new)} == {"CANCELLED"}


# --- two tabs that disagree -----------------------------------------------------------------------

EVERY = FollowUpTask.Outcome.values


@pytest.mark.parametrize("second", ["REPLIED", "WRONG_NUMBER", "OPTED_OUT"])
@pytest.mark.parametrize("first", EVERY)
def test_what_the_person_did_is_recorded_whole_after_any_outcome(by: People, first: str, second: str) -> None:
    made = ladder(by("VA"))
    finish(made.tasks[0], by("VA"), outcome=first, note="first tab")
    done = finish(made.tasks[0], by("CLOSER"), NIGHT, outcome=second, note="second tab")
    task = fresh(made.tasks[0])
    assert (task.status, task.outcome, task.standing_outcome) == ("COMPLETED", first, second)
    made.ladder.refresh_from_db()
    if first == second:
        assert done.already_completed
        assert not TaskCorrection.objects.exists()
        return
    assert not done.already_completed
    assert task.note == "first tab\nsecond tab"
    row = TaskCorrection.objects.get()
    assert (row.from_outcome, row.to_outcome, row.actor) == (first, second, "a-closer")
    assert kpis(metric="followup_corrected") == [("followup_corrected", None)]
    assert kpis(metric="followup_completed") == [("followup_completed", True)]
    is_wrong = second == "WRONG_NUMBER" or (first, second) == ("WRONG_NUMBER", "OPTED_OUT")
    assert (ContactPoint.objects.get().status == "WRONG") is is_wrong
    assert Suppression.objects.exists() is ("OPTED_OUT" in (first, second))  # a stop stays
    if second == "REPLIED":
        assert done.next_task is not None
        assert done.next_task.kind == "HANDOVER"
        assert bool(done.next_task.held_reason) is (first == "OPTED_OUT")
        assert task.next == "HANDOVER"
    open_kinds = set(FollowUpTask.objects.filter(status="OPEN").values_list("kind", flat=True))
    assert open_kinds == ({"HANDOVER"} if second == "REPLIED" else set())
    assert made.ladder.status != "ACTIVE"


@pytest.mark.parametrize("second", ["SENT", "NO_ANSWER", "LEFT_MESSAGE", "REACHED"])
@pytest.mark.parametrize("first", EVERY)
def test_any_other_second_outcome_changes_nothing(by: People, first: str, second: str) -> None:
    made = ladder(by("VA"))
    finish(made.tasks[0], by("VA"), outcome=first)
    tables: list[Any] = [FollowUpTask, Ladder, Lead, ContactPoint, Suppression, TaskCorrection, KpiEvent]
    before = [list(model.objects.order_by("pk").values()) for model in tables]
    if first == second:
        assert finish(made.tasks[0], by("VA"), NOW + MINUTE, outcome=second).already_completed
    else:
        with pytest.raises(Refused) as refusal:
            finish(made.tasks[0], by("VA"), NOW + MINUTE, outcome=second, note="second tab")
        assert (refusal.value.code, refusal.value.extra["outcome"]) == ("outcome_differs", first)
    assert [list(model.objects.order_by("pk").values()) for model in tables] == before


def test_another_tab_promises_another_thing_and_it_is_kept(by: People) -> None:
    made = ladder(by("VA"))
    finish(made.tasks[0], by("VA"), outcome="REPLIED")
    done = finish(made.tasks[0], by("VA"), outcome="REPLIED", next="CALLBACK", next_at=NOW + DAY)
    assert done.next_task is not None
    assert (done.next_task.kind, done.next_task.due_at) == ("CALLBACK", NOW + DAY)
    assert list(FollowUpTask.objects.filter(kind="HANDOVER").values_list("status", flat=True)) == [
        "CANCELLED"
    ]
    again = finish(made.tasks[0], by("VA"), outcome="REPLIED", next="CALLBACK", next_at=NOW + DAY)
    assert (again.already_completed, again.next_task) == (True, done.next_task)


@pytest.mark.parametrize(
    "then", [{"outcome": "REPLIED", "next": "NOT_INTERESTED"}, {"outcome": "WRONG_NUMBER"}]
)
def test_a_step_on_which_a_reply_was_recorded_late_is_never_open_again(
    by: People, then: dict[str, Any]
) -> None:
    """They answer the first text, then the last message of the same ladder, and take that answer further."""
    made = ladder(by("VA"))
    finish(made.tasks[0], by("VA"), outcome="REPLIED")
    finish(made.tasks[-1], by("VA"), NOW + MINUTE, outcome="REPLIED")
    finish(made.tasks[-1], by("VA"), NOW + 2 * MINUTE, **then)
    last = fresh(made.tasks[-1])
    assert (last.status, last.is_current, last.standing_outcome) == ("CANCELLED", False, then["outcome"])
    assert not FollowUpTask.objects.filter(kind="LADDER", status="OPEN").exists()
    assert not Ladder.objects.filter(status="ACTIVE").exists()


def test_a_correction_leaves_a_step_closed_on_which_a_reply_was_recorded_late(by: People) -> None:
    made = ladder(by("VA"))
    finish(made.tasks[0], by("VA"), outcome="REPLIED")
    finish(made.tasks[2], by("VA"), NOW + MINUTE, outcome="REPLIED")
    correct_task(
        made.tasks[0].pk, Completion(outcome="SENT"), by=by("MANAGER"), at=NOW + 2 * MINUTE, reason="x"
    )
    assert [task.status for task in steps_of(made)] == [
        "COMPLETED",
        "OPEN",
        "CANCELLED",
        "OPEN",
        "OPEN",
        "OPEN",
    ]


@pytest.mark.parametrize("state", ["skipped", "cancelled"])
@pytest.mark.parametrize("second", ["REPLIED", "WRONG_NUMBER", "OPTED_OUT"])
def test_a_closed_task_says_what_the_person_did(by: People, state: str, second: str) -> None:
    made = ladder(by("VA"))
    {"skipped": skipped, "cancelled": cancelled}[state](made, by)
    finish(made.tasks[0], by("VA"), NOW + MINUTE, outcome=second, note="she rang")
    task = fresh(made.tasks[0])
    assert (task.status, task.outcome) == (state.upper(), "")
    assert (task.standing_outcome, task.note) == (second, "she rang")
    assert list(TaskCorrection.objects.values_list("from_outcome", "to_outcome")) == [("", second)]
    assert [entry.text for entry in timeline("L-1") if entry.model == "followups.taskcorrection"]


def test_a_reply_takes_the_place_of_reached_where_another_ladder_runs(by: People) -> None:
    old = ladder(by("VA"))
    finish(old.tasks[0], by("VA"), outcome="REACHED", next="NOT_INTERESTED")
    new = ladder(by("VA"), start=NOW + HOUR)
    done = finish(old.tasks[0], by("VA"), NOW + HOUR, outcome="REPLIED")
    new.ladder.refresh_from_db()
    assert new.ladder.status == "STOPPED"
    assert done.next_task is not None
    assert done.next_task.kind == "HANDOVER"


def test_who_was_on_the_task_records_the_reply_after_it_was_given_away(by: People) -> None:
    by("VA", "gus")
    made = ladder(by("VA"))
    finish(made.tasks[0], by("VA"))
    FollowUpTask.objects.filter(pk=made.tasks[0].pk).update(owner="gus", owner_key="gus")
    assert finish(made.tasks[0], by("VA"), outcome="REPLIED").task.standing_outcome == "REPLIED"
    with pytest.raises(NotFound):
        finish(made.tasks[0], by("VA", "eve"), outcome="WRONG_NUMBER")


# --- wrong numbers --------------------------------------------------------------------------------


def two_phones(by: People) -> Any:
    lead = PointFactory.create(lead__external_id="L-1").lead
    PointFactory.create(lead=lead, value="+14165550123", order=1)
    return ladder(by("VA"), phone="")


def test_a_wrong_number_is_retired_and_the_next_one_used(by: People) -> None:
    made = two_phones(by)
    done = finish(made.tasks[0], by("VA"), NIGHT, outcome="WRONG_NUMBER")
    assert list(ContactPoint.objects.order_by("order").values_list("status", flat=True)) == [
        "WRONG",
        "USABLE",
    ]
    tasks = steps_of(made)
    assert {task.contact_point.value for task in tasks[1:] if task.contact_point} == {"+14165550123"}
    assert [task.status for task in tasks] == ["COMPLETED", *["OPEN"] * 5]
    assert done.next_task == tasks[1]
    assert kpis(metric="contact_compliance") == []  # the gate was not asked


def test_a_promised_callback_moves_to_the_next_number_too(by: People) -> None:
    made = two_phones(by)
    call = finish(made.tasks[0], by("VA"), outcome="REACHED", next="CALLBACK", next_at=NOW + HOUR).next_task
    assert call is not None
    finish(steps_of(made)[1], by("VA"), NOW + MINUTE, outcome="WRONG_NUMBER")  # another step's reply
    point = fresh(call).contact_point
    assert point is not None
    assert point.value == "+14165550123"


def test_without_another_number_the_steps_are_skipped_and_the_ladder_ends(by: People) -> None:
    made = ladder(by("VA"))
    done = finish(made.tasks[0], by("VA"), outcome="WRONG_NUMBER")
    made.ladder.refresh_from_db()
    assert [(task.status, task.closed_reason) for task in steps_of(made)[1:]] == [
        ("SKIPPED", "no_contact_point")
    ] * 5
    assert (done.next_task, made.ladder.status, made.ladder.stop_reason) == (
        None,
        "COMPLETED",
        "no_contact_point",
    )
    assert Lead.objects.nobodys().count() == 1


def test_a_wrong_number_on_a_lead_without_numbers_goes_on(by: People) -> None:
    made = create_ladder("L-1", by=by("VA"), at=NOW, province="ON", details=LeadDetails(city="Toronto"))
    assert finish(made.tasks[0], by("VA"), outcome="WRONG_NUMBER").next_task == made.tasks[1]


def test_a_wrong_number_reported_later_pushes_nothing(by: People) -> None:
    made = two_phones(by)
    finish(made.tasks[0], by("VA"))
    before = local_times(steps_of(made))
    finish(made.tasks[0], by("VA"), NOW + 29 * MINUTE, outcome="WRONG_NUMBER")
    assert local_times(steps_of(made)) == before


# --- opt-outs -------------------------------------------------------------------------------------


def opted_out(task: FollowUpTask, who: Actor) -> None:
    """Record an opt-out at three in the night and see that it took."""
    complete_task(task.pk, Completion(outcome="OPTED_OUT"), by=who, at=NIGHT)
    lead = fresh(task).lead
    assert lead.status == "DEAD"
    assert not FollowUpTask.objects.filter(lead=lead, status="OPEN").exists()
    assert not Ladder.objects.filter(lead=lead, status="ACTIVE").exists()
    digests = set(Suppression.objects.values_list("point_digest", flat=True))
    assert set(lead.points.values_list("digest", flat=True)) <= digests


def as_it_is(made: object, by: People) -> None: ...


def completed(made: Any, by: People) -> None:
    finish(made.tasks[0], by("VA"))


def completed_otherwise(made: Any, by: People) -> None:
    finish(made.tasks[0], by("VA"), outcome="REPLIED")


def skipped(made: Any, by: People) -> None:
    skip_task(made.tasks[0].pk, by=by("VA"), at=NOW, reason="by hand")


def cancelled(made: Any, by: People) -> None:
    stop_ladder(made.ladder.pk, by=by("MANAGER"), at=NOW, reason="pause")


def claimed_by_another(made: Any, by: People) -> None:
    start_task(made.tasks[0].pk, by=by("VA", "gus"), at=NOW)
    FollowUpTask.objects.filter(pk=made.tasks[0].pk).update(claim_until=NIGHT + HOUR)


@pytest.mark.parametrize(
    "state", [as_it_is, completed, completed_otherwise, skipped, cancelled, claimed_by_another]
)
@pytest.mark.parametrize("role", ["VA", "CLOSER", "MANAGER", "SERVICE"])
def test_an_opt_out_is_recorded_in_any_state_of_the_task(
    by: People, settings: Settings, role: str, state: Callable[[object, People], None]
) -> None:
    made = ladder(by("VA"))
    state(made, by)
    set_kill_switch(True, by=by("MANAGER"), at=NOW, reason="stop everything")
    settings.GO_LIVE_ENFORCE = True
    opted_out(made.tasks[0], by(role))


def test_an_opt_out_is_recorded_out_of_sequence_and_on_anothers_task(by: People) -> None:
    by("VA", "gus")
    made = ladder(by("MANAGER"), owner="gus")
    with pytest.raises(NotFound):
        finish(made.tasks[0], by("VA"))
    opted_out(made.tasks[4], by("VA"))
    with pytest.raises(Forbidden):
        finish(made.tasks[4], by("AUDITOR"), outcome="OPTED_OUT")


def test_an_opt_out_stops_every_lead_that_holds_the_number(by: People) -> None:
    made, other = ladder(by("VA"), "L-1"), ladder(by("VA"), "L-2", email="b@example.ca")
    unconcerned = ladder(by("VA"), "L-3", phone="+14165550123")
    call = finish(
        ladder(by("VA"), "L-4").tasks[0], by("VA"), outcome="REACHED", next="CALLBACK", next_at=NOW + DAY
    )
    opted_out(made.tasks[0], by("VA"))
    assert list(Ladder.objects.order_by("lead__external_id").values_list("status", flat=True)) == [
        "STOPPED",
        "STOPPED",
        "ACTIVE",
        "COMPLETED",
    ]
    assert {task.status for task in steps_of(other)} == {"CANCELLED"}
    assert {task.status for task in steps_of(unconcerned)} == {"OPEN"}
    assert call.next_task is not None
    assert fresh(call.next_task).status == "CANCELLED"
    assert set(Lead.objects.filter(status="DEAD").values_list("external_id", flat=True)) == {
        "L-1",
        "L-2",
        "L-4",
    }


def test_an_opt_out_covers_all_points_of_that_person(by: People) -> None:
    lead = PointFactory.create(lead__external_id="L-1").lead
    PointFactory.create(lead=lead, value="+14165550123", order=1)
    PointFactory.create(lead=lead, kind="EMAIL", value="a@example.ca", order=2)
    husband = PointFactory.create(lead=lead, value="+14165550124", order=3, whose="husband")
    wrong = PointFactory.create(lead=lead, value="+14165550125", order=4, status="WRONG")
    elsewhere = ladder(by("VA"), "L-2", phone=wrong.value)  # rightly hers, wrongly L-1's
    made = ladder(by("VA"), phone="")
    complete_task(made.tasks[0].pk, Completion(outcome="OPTED_OUT"), by=by("VA"), at=NIGHT)
    stopped = set(Suppression.objects.values_list("point_digest", flat=True))
    hers = set(lead.points.exclude(pk__in=[husband.pk, wrong.pk]).values_list("digest", flat=True))
    assert hers < stopped
    assert not {husband.digest, wrong.digest} & stopped
    assert {task.status for task in steps_of(elsewhere)} == {"OPEN"}


def test_after_an_opt_out_no_ladder_begins(by: People) -> None:
    made = ladder(by("VA"))
    opted_out(made.tasks[0], by("VA"))
    for lead_id in ("L-1", "L-2"):  # she herself, and whoever has her number
        with pytest.raises(Refused) as refusal:
            ladder(by("VA"), lead_id)
        assert refusal.value.extra["reason"] == "suppressed"
    with pytest.raises(Refused) as refusal:
        ladder(by("VA"), "L-1", phone="+14165550123")
    assert refusal.value.extra["reason"] == "suppressed"


def test_someone_without_numbers_is_remembered_by_her_id(by: People) -> None:
    made = create_ladder("L-1", by=by("VA"), at=NOW, province="ON", details=LeadDetails(city="Toronto"))
    opted_out(made.tasks[0], by("VA"))
    made.ladder.refresh_from_db()
    assert (made.ladder.status, made.ladder.stop_reason) == ("STOPPED", "OPTED_OUT")
    with pytest.raises(Refused):
        ladder(by("VA"), "L-1", phone="+14165550123")


def test_a_manager_may_end_the_stop_for_a_reason(by: People) -> None:
    made = ladder(by("VA"))
    opted_out(made.tasks[0], by("VA"))
    stopped = list(Suppression.objects.values_list("point_digest", flat=True))
    lift_suppression(
        stopped, by=by("MANAGER"), at=NIGHT + DAY, reason="she wrote that she wants to hear from us"
    )
    assert ladder(by("VA"), start=NIGHT + 2 * DAY).ladder.status == "ACTIVE"


def test_an_opt_out_after_a_lawful_start_keeps_its_compliance(by: People) -> None:
    made = ladder(by("VA"))
    start_task(made.tasks[0].pk, by=by("VA"), at=NOW)
    finish(made.tasks[0], by("VA"), NOW + MINUTE, outcome="OPTED_OUT")
    assert kpis(metric="contact_compliance") == [("contact_compliance", True)]
    assert ContactDecision.objects.count() == 1


def test_the_same_opt_out_again_writes_nothing(by: People) -> None:
    made = ladder(by("VA"))
    opted_out(made.tasks[0], by("VA"))
    before = (Suppression.objects.count(), kpis())
    again = complete_task(made.tasks[0].pk, Completion(outcome="OPTED_OUT"), by=by("VA"), at=NIGHT + HOUR)
    assert again.already_completed
    assert (Suppression.objects.count(), kpis()) == before


def test_a_second_opt_out_after_the_first_was_lifted_counts_again(by: People) -> None:
    made = ladder(by("VA"))
    opted_out(made.tasks[0], by("VA"))
    stopped = list(Suppression.objects.values_list("point_digest", flat=True))
    lift_suppression(stopped[:1], by=by("MANAGER"), at=NIGHT + HOUR, reason="she wrote")
    again = finish(made.tasks[0], by("VA"), NIGHT + 2 * HOUR, outcome="OPTED_OUT")
    assert again.already_completed
    assert Suppression.objects.count() == 2 + 1 + 2
    with pytest.raises(Refused):
        ladder(by("VA"), start=NIGHT + DAY)


def test_a_stop_of_one_channel_holds_its_steps_and_no_more(by: People) -> None:
    from governance.contact.services import suppress

    made = ladder(by("VA"))
    point = ContactPoint.objects.get(value=PHONE)
    suppress([point.digest], by=by("MANAGER"), at=NOW, channel="CALL", source="NATIONAL_LIST")
    tasks = steps_of(made)
    assert [task.held_reason for task in tasks] == ["", "suppressed"] * 3
    assert local_times(tasks)[0] == f"{NOW.astimezone(TORONTO):%a %d %H:%M}"
    made.ladder.refresh_from_db()
    assert made.ladder.status == "ACTIVE"

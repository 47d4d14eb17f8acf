"""A lead who answered no step rests, then a short ladder asks again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from importlib import import_module

import pytest
from django.apps import apps
from pytest_django import Settings

from followups.models import FollowUpTask, Ladder, LadderTemplate, Lead, OptOutPress
from followups.services import (
    Completed,
    Completion,
    Rest,
    complete_task,
    correct_task,
    create_ladder,
    save_lead,
    save_template,
    skip_task,
    start_nurture,
    stop_ladder,
    undo_opt_out,
)
from followups.tests.factories import DAY, NOW, ladder, set_policy, steps_of
from governance.core.actors import Actor
from governance.core.errors import Forbidden
from governance.golive.models import GoLiveState
from governance.models import KpiEvent

pytestmark = [pytest.mark.both, pytest.mark.django_db]
People = Callable[..., Actor]
THEN = NOW + 90 * DAY


def finish(by: Actor, *, until: int | None = None, last: str = "", at: datetime = NOW) -> Completed:
    """Complete the steps of the running ladder, each when it is due; the last with `last`."""
    done = None
    steps = list(FollowUpTask.objects.filter(ladder__status="ACTIVE").order_by("step"))[:until]
    for task in steps:
        task.refresh_from_db()
        due = task.due_at
        assert due is not None
        outcome = last if task is steps[-1] else ""
        done = complete_task(task.pk, Completion(outcome=outcome), by=by, at=max(due, at))
    assert done is not None
    return done


def lead() -> Lead:
    return Lead.objects.get()


def ended_at() -> datetime:
    at = Ladder.objects.latest("pk").ended_at
    assert at is not None
    return at


@pytest.fixture
def rested(by: People) -> Lead:
    ladder(by("VA"), owner="a-va")
    finish(by("VA"))
    return lead()


def test_an_unanswered_ladder_lets_its_lead_rest_for_ninety_days(rested: Lead) -> None:
    until = ended_at() + timedelta(days=90)
    assert (rested.status, rested.follow_up_at, rested.nurture_at) == ("NOT_NOW", until, until)
    assert not Lead.objects.nobodys().exists()


def test_after_the_rest_a_short_ladder_starts_once(rested: Lead) -> None:
    assert start_nurture(THEN) == 0  # the ladder ended a week after it began
    after = rested.nurture_at
    assert after is not None
    assert (start_nurture(after), start_nurture(after), start_nurture(after + DAY)) == (1, 0, 0)
    second = Ladder.objects.latest("pk")
    assert (second.nurture, second.owner, second.actor) == (True, "a-va", "followups.dispatch_due")
    assert [(task.step, task.channel) for task in second.tasks.order_by("step")] == [
        (1, "SMS"),
        (2, "CALL"),
        (3, "SMS"),
    ]
    assert (lead().status, lead().follow_up_at, lead().nurture_at) == ("WORKING", None, None)
    assert KpiEvent.objects.filter(metric="ladder_created").count() == 2


def test_a_nurture_ladder_that_is_not_answered_lets_its_lead_rest_again(by: People, rested: Lead) -> None:
    after = rested.nurture_at
    assert after is not None
    start_nurture(after)
    finish(by("VA"), at=after)
    assert (lead().status, lead().nurture_at) == ("NOT_NOW", ended_at() + timedelta(days=90))


@pytest.mark.parametrize(
    ("last", "status"),
    [("REACHED", "HANDED_OVER"), ("OPTED_OUT", "DEAD"), ("WRONG_NUMBER", "WORKING")],
)
def test_who_answered_or_cannot_be_reached_does_not_rest(by: People, last: str, status: str) -> None:
    ladder(by("VA"))
    finish(by("VA"), last=last)
    assert (lead().status, lead().nurture_at) == (status, None)


def test_a_ladder_of_which_nothing_was_done_leaves_its_lead_to_people(by: People) -> None:
    for task in steps_of(ladder(by("VA"))):
        skip_task(task.pk, by=by("VA"), at=NOW, reason="fax")
    assert (lead().status, lead().nurture_at) == ("WORKING", None)


def test_skipping_the_last_step_ends_a_ladder_that_was_worked(by: People) -> None:
    made = ladder(by("VA"))
    finish(by("VA"), until=5)
    skip_task(steps_of(made)[5].pk, by=by("VA"), at=NOW + 8 * DAY, reason="fax")
    assert lead().status == "NOT_NOW"


def test_a_ladder_that_a_manager_stops_leaves_its_lead_to_people(by: People) -> None:
    made = ladder(by("VA"))
    finish(by("VA"), until=2)
    stop_ladder(made.ladder.pk, by=by("MANAGER"), at=NOW + DAY, reason="Bought elsewhere")
    assert (lead().status, lead().nurture_at) == ("WORKING", None)


def test_a_correction_of_the_last_step_takes_the_rest_back(by: People, rested: Lead) -> None:
    last = FollowUpTask.objects.get(step=6)
    correct_task(
        last.pk,
        Completion(outcome="REACHED", next="NOT_INTERESTED"),
        by=by("VA"),
        at=ended_at(),
        reason="oops",
    )
    assert (lead().status, lead().follow_up_at, lead().nurture_at) == ("DEAD", None, None)


# --- what managers decide -----------------------------------------------------------------------------------


def set_rest(by: Actor, rest: Rest | None, **changes: object) -> LadderTemplate:
    general = LadderTemplate.objects.get(province="")
    how = {"enabled": True, "steps": general.steps, **changes}
    return save_template("ON", "ALL", by=by, at=NOW, reason="a test", rest=rest, **how)


def test_zero_days_turn_it_off_for_a_market(by: People) -> None:
    set_rest(by("MANAGER"), Rest(days=0))
    ladder(by("VA"))
    finish(by("VA"))
    assert (lead().status, lead().nurture_at) == ("WORKING", None)
    assert Lead.objects.nobodys().exists()


def test_a_market_has_its_own_days_and_steps(by: People) -> None:
    set_rest(
        by("MANAGER"), Rest(30, [{"channel": "CALL", "delay": {"minutes": 0}, "script_en": "Hello again"}])
    )
    set_rest(by("MANAGER"), None)  # changing the rest of a template keeps both
    ladder(by("VA"))
    finish(by("VA"))
    after = ended_at() + 30 * DAY
    assert lead().nurture_at == after
    assert start_nurture(after) == 1
    (task,) = Ladder.objects.get(nurture=True).tasks.all()
    assert (task.channel, Ladder.objects.get(nurture=True).steps[0]["script_en"]) == ("CALL", "Hello again")


def test_only_managers_change_it(by: People) -> None:
    with pytest.raises(Forbidden):
        set_rest(by("CLOSER"), Rest(days=0))


# --- what stands in its way ---------------------------------------------------------------------------------


@pytest.mark.parametrize("switch", ["go_live_enabled", "kill_switch_engaged"])
def test_nothing_starts_while_a_switch_stops_ladders_and_a_later_run_goes_on(
    rested: Lead, settings: Settings, switch: str
) -> None:
    settings.GO_LIVE_ENFORCE = True
    GoLiveState.objects.update(go_live_enabled=switch != "go_live_enabled", kill_switch_engaged=False)
    GoLiveState.objects.filter(go_live_enabled=True).update(kill_switch_engaged=True)
    after = rested.nurture_at
    assert after is not None
    assert start_nurture(after) == 0
    assert lead().nurture_at == after
    GoLiveState.objects.update(go_live_enabled=True, kill_switch_engaged=False)
    assert start_nurture(after + DAY) == 1


def test_who_may_not_be_contacted_is_asked_about_again_a_week_later(by: People, rested: Lead) -> None:
    set_policy(by("MANAGER"), enabled=False)
    after = rested.nurture_at
    assert after is not None
    assert start_nurture(after) == 0
    assert (lead().nurture_at, lead().follow_up_at) == (after + 7 * DAY, after + 7 * DAY)
    set_policy(by("MANAGER"), enabled=True)
    assert (start_nurture(after + DAY), start_nurture(after + 7 * DAY)) == (0, 1)


def test_another_date_that_somebody_gave_stands(by: People, rested: Lead) -> None:
    rested.follow_up_at = NOW + 400 * DAY
    save_lead(rested, by=by("MANAGER"), at=NOW)
    assert start_nurture(NOW + 500 * DAY) == 0
    assert lead().status == "NOT_NOW"


def test_a_ladder_that_somebody_began_takes_its_place(by: People, rested: Lead) -> None:
    create_ladder("L-1", by=by("VA"), at=NOW + 20 * DAY)
    assert (lead().nurture_at, start_nurture(NOW + 200 * DAY)) == (None, 0)


def test_leads_that_ended_unanswered_before_rest_from_the_update_on(by: People, rested: Lead) -> None:
    Lead.objects.update(status="WORKING", follow_up_at=None, nurture_at=None)
    steps = import_module("followups.migrations.0015_rest_and_nurture_unanswered_leads")
    steps.let_unanswered_leads_rest(apps, None)
    assert lead().status == "NOT_NOW"
    assert lead().nurture_at == lead().follow_up_at is not None
    steps.wake_resting_leads(apps, None)
    assert (lead().status, lead().follow_up_at) == ("WORKING", None)


# --- an answer that was none, a stop that was taken back ----------------------------------------------------


@pytest.mark.parametrize("last", ["REACHED", "WRONG_NUMBER"])
def test_a_last_step_corrected_to_unanswered_lets_its_lead_rest(by: People, last: str) -> None:
    ladder(by("VA"))
    finish(by("VA"), last=last)
    step = FollowUpTask.objects.get(step=6)
    at = ended_at() + timedelta(minutes=5)
    correct_task(step.pk, Completion(outcome="NO_ANSWER"), by=by("VA"), at=at, reason="Mixed up")
    assert (lead().status, lead().nurture_at) == ("NOT_NOW", at + 90 * DAY)
    assert not FollowUpTask.objects.filter(status="OPEN").exists()
    assert start_nurture(at + 90 * DAY) == 1


def test_a_handoff_that_somebody_worked_is_not_put_to_rest_by_a_correction(by: People) -> None:
    ladder(by("VA"))
    finish(by("VA"), last="REACHED")
    handoff = FollowUpTask.objects.get(kind="HANDOVER")
    at = ended_at() + timedelta(minutes=5)
    complete_task(handoff.pk, Completion(outcome="REACHED", next="HANDOVER"), by=by("CLOSER"), at=at)
    FollowUpTask.objects.filter(status="OPEN").update(status="CANCELLED", is_current=False)
    step = FollowUpTask.objects.get(step=6)
    correct_task(step.pk, Completion(outcome="NO_ANSWER"), by=by("VA"), at=at, reason="Mixed up")
    assert (lead().status, lead().nurture_at) == ("HANDED_OVER", None)


def test_an_opt_out_taken_back_lets_a_resting_lead_rest_as_before(by: People, rested: Lead) -> None:
    other = ladder(by("VA"), "L-2")  # the same number
    at = NOW + 30 * DAY
    pressed = Completion(outcome="OPTED_OUT", by_key=True)
    complete_task(other.tasks[0].pk, pressed, by=by("VA"), at=at)
    rested.refresh_from_db()
    assert (rested.status, rested.nurture_at) == ("DEAD", None)
    press = OptOutPress.objects.get()
    undo_opt_out(press.pk, by=by("VA"), at=at + timedelta(minutes=1))
    rested.refresh_from_db()
    assert rested.status == "NOT_NOW"
    assert rested.follow_up_at == rested.nurture_at == ended_of_first() + 90 * DAY


def test_an_opt_out_on_the_last_step_taken_back_lets_its_lead_rest(by: People) -> None:
    ladder(by("VA"))
    finish(by("VA"), until=5)
    last = FollowUpTask.objects.get(step=6)
    at = last.due_at
    assert at is not None
    complete_task(last.pk, Completion(outcome="OPTED_OUT", by_key=True), by=by("VA"), at=at)
    undo_opt_out(OptOutPress.objects.get().pk, by=by("VA"), at=at + timedelta(minutes=1))
    assert lead().status == "NOT_NOW"
    assert lead().nurture_at == at + timedelta(days=90, minutes=1)


def ended_of_first() -> datetime:
    at = Ladder.objects.earliest("pk").ended_at
    assert at is not None
    return at


def test_a_lead_whom_somebody_works_on_keeps_no_date_that_would_hide_it(by: People, rested: Lead) -> None:
    after = rested.nurture_at
    assert after is not None
    FollowUpTask.objects.filter(step=6).update(status="OPEN", completed_at=None, outcome="")
    assert start_nurture(after) == 0
    assert (lead().follow_up_at, lead().nurture_at) == (None, None)
    FollowUpTask.objects.update(status="SKIPPED")
    assert Lead.objects.nobodys().exists()


def test_a_lead_that_cannot_be_begun_stops_nobody_behind_it(
    by: People, rested: Lead, monkeypatch: pytest.MonkeyPatch
) -> None:
    after = rested.nurture_at
    assert after is not None
    second = Lead.objects.create(
        external_id="L-9",
        province="ON",
        status="NOT_NOW",
        follow_up_at=after,
        nurture_at=after,
        created_at=NOW,
        updated_at=NOW,
    )
    Lead.objects.filter(pk=rested.pk).update(province="ZZ")  # what no list of places knows
    assert start_nurture(after) == 1
    assert Ladder.objects.latest("pk").lead_id == second.pk
    rested.refresh_from_db()
    assert rested.nurture_at == after + 7 * DAY

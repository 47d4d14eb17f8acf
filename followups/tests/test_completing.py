"""Starting and completing a step: in order, under the gate, and once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from followups.models import FollowUpTask, Lead
from followups.services import Completion, complete_task, start_task
from followups.tests.factories import (
    DAY,
    HOUR,
    MINUTE,
    NOW,
    at,
    finish,
    fresh,
    kpis,
    ladder,
    local_times,
    set_policy,
    steps_of,
)
from governance.contact.services import judge_again
from governance.core.actors import Actor
from governance.core.errors import Forbidden, Invalid, NotFound, Refused, Unavailable
from governance.golive.services import set_go_live, set_kill_switch
from governance.models import Closure, ContactDecision, OutboxMessage, User

pytestmark = [pytest.mark.both, pytest.mark.django_db]
People = Callable[..., Actor]
EVENING = at(25, "19:50")
NIGHT = at(25, "22:30")


def denied(call: Callable[[], Any]) -> Refused:
    with pytest.raises(Refused) as refusal:
        call()
    assert refusal.value.code == "contact_denied"
    return refusal.value


# --- completing -----------------------------------------------------------------------------------


def test_completing_makes_the_next_step_current_and_one_event_of_each_metric(by: People) -> None:
    made = ladder(by("VA"))
    done = finish(made.tasks[0], by("VA"), NOW + MINUTE)
    task = fresh(made.tasks[0])
    assert (task.status, task.outcome, task.contacted_at, task.completed_by) == (
        "COMPLETED",
        "SENT",
        NOW + MINUTE,
        "a-va",
    )
    assert done.next_task is not None
    assert (done.next_task.step, fresh(done.next_task).is_current) == (2, True)
    assert kpis() == [
        ("ladder_created", True),
        ("followup_completed", True),
        ("followup_sla", True),
        ("contact_compliance", True),
    ]
    decision = ContactDecision.objects.get()
    assert (decision.door, decision.ok, decision.task_id, decision.at) == (
        "COMPLETE",
        True,
        task.pk,
        NOW + MINUTE,
    )
    assert judge_again(decision).reason == "within_window"


@pytest.mark.parametrize(("channel_step", "outcome"), [(0, "SENT"), (1, "NO_ANSWER")])
def test_the_usual_outcome_is_that_of_the_channel(by: People, channel_step: int, outcome: str) -> None:
    made = ladder(by("VA"))
    for number in range(channel_step + 1):
        done = finish(made.tasks[number], by("VA"), NOW + number * HOUR)
    assert done.task.outcome == outcome


def test_the_same_again_answers_the_same_and_writes_nothing(by: People) -> None:
    made = ladder(by("VA"))
    first = finish(made.tasks[0], by("VA")).as_answer()
    before = list(FollowUpTask.objects.order_by("id").values())
    closer = by("CLOSER")
    with CaptureQueriesContext(connection) as captured:
        second = finish(made.tasks[0], closer, NOW + DAY).as_answer()
    assert second == {**first, "already_completed": True}
    assert list(FollowUpTask.objects.order_by("id").values()) == before
    assert not [q for q in captured.captured_queries if q["sql"].startswith(("INSERT", "UPDATE", "DELETE"))]


def test_another_outcome_afterwards_is_refused(by: People) -> None:
    made = ladder(by("VA"))
    finish(made.tasks[0], by("VA"))
    with pytest.raises(Refused) as refusal:
        finish(made.tasks[0], by("VA"), outcome="NO_ANSWER")
    assert refusal.value.code == "outcome_differs"


def test_the_third_step_waits_for_the_first_two(by: People) -> None:
    made = ladder(by("VA"))
    for call in (
        lambda: finish(made.tasks[2], by("VA")),
        lambda: start_task(made.tasks[2].pk, by=by("VA"), at=NOW),
    ):
        with pytest.raises(Refused) as refusal:
            call()
        assert refusal.value.code == "out_of_sequence"
        assert refusal.value.extra["open_task_id"] == made.tasks[0].pk
    assert fresh(made.tasks[2]).status == "OPEN"
    assert not ContactDecision.objects.exists()


def test_a_step_may_be_completed_before_it_is_due_and_nothing_moves(by: People) -> None:
    made = ladder(by("VA"))
    before = local_times(steps_of(made))
    finish(made.tasks[0], by("VA"))
    finish(made.tasks[1], by("VA"), NOW + MINUTE)  # due at 15:00
    task = fresh(made.tasks[1])
    assert [task.response_minutes, task.response_wall_minutes] == [0, 0]
    assert local_times(steps_of(made)) == before


def test_late_completion_pushes_the_following_by_the_gaps(by: People) -> None:
    made = ladder(by("VA"))
    scheduled = [task.scheduled_for for task in steps_of(made)]
    finish(made.tasks[0], by("VA"), at(25, "17:20"))
    assert local_times(steps_of(made)) == [
        "Wed 25 14:30",
        "Wed 25 17:50",
        "Wed 25 18:20",
        "Thu 26 14:30",
        "Sat 28 14:30",
        "Wed 02 14:30",
    ]
    finish(
        made.tasks[1], by("VA"), at(26, "14:00")
    )  # a day late: the third step is 30 minutes, the fourth 2 hours off
    assert local_times(steps_of(made))[2:] == ["Thu 26 14:30", "Thu 26 16:30", "Sat 28 14:30", "Wed 02 14:30"]
    assert [task.scheduled_for for task in steps_of(made)] == scheduled


def test_what_is_pushed_out_of_the_day_waits_for_the_next_window(by: People) -> None:
    made = ladder(by("VA"))
    finish(made.tasks[0], by("VA"), at(25, "19:45"))
    assert local_times(steps_of(made))[1:3] == ["Thu 26 09:00", "Thu 26 09:30"]


def test_the_gap_counts_over_steps_that_were_skipped_from_the_start(by: People) -> None:
    from followups.models import LadderTemplate

    steps = [
        {"channel": "SMS"},
        {"channel": "EMAIL", "delay": {"minutes": 20}},
        {"channel": "CALL", "delay": {"minutes": 40}},
    ]
    LadderTemplate.objects.create(province="ON", steps=steps, changed_by="m", updated_at=NOW)
    made = ladder(by("VA"))
    finish(made.tasks[0], by("VA"), NOW + HOUR)
    assert (
        fresh(made.tasks[2]).due_at == NOW + HOUR + 20 * MINUTE
    )  # the gap is never more than the steps' distance


def test_response_time_is_kept_in_allowed_minutes_and_by_the_wall(by: People) -> None:
    made = ladder(by("VA"), start=at(25, "19:50"))
    finish(made.tasks[0], by("VA"), at(26, "09:20"))
    task = fresh(made.tasks[0])
    assert [task.response_minutes, task.response_wall_minutes] == [30, 13 * 60 + 30]
    assert kpis(metric="followup_sla") == [("followup_sla", True)]


def test_more_than_two_allowed_hours_miss_the_target(by: People) -> None:
    made = ladder(by("VA"))
    finish(made.tasks[0], by("VA"), NOW + 2 * HOUR + timedelta(seconds=1))
    assert kpis(metric="followup_sla") == [("followup_sla", False)]


def test_the_last_step_completes_the_ladder(by: People) -> None:
    made = ladder(by("VA"))
    for number, task in enumerate(made.tasks):
        done = finish(task, by("VA"), NOW + (number + 2 * (number > 2)) * timedelta(days=1))
    made.ladder.refresh_from_db()
    assert (made.ladder.status, done.next_task) == ("COMPLETED", None)
    lead = Lead.objects.get()
    assert (lead.status, lead.follow_up_at) == ("NOT_NOW", NOW + timedelta(days=7 + 90))
    assert not Lead.objects.nobodys().exists()


def test_a_closed_task_is_not_completed(by: People) -> None:
    from followups.services import skip_task, stop_ladder

    made = ladder(by("VA"))
    skip_task(made.tasks[0].pk, by=by("VA"), at=NOW, reason="sent by hand")
    stop_ladder(made.ladder.pk, by=by("MANAGER"), at=NOW, reason="sold")
    for task in made.tasks[:2]:
        with pytest.raises(Refused) as refusal:
            finish(task, by("VA"))
        assert refusal.value.code == "task_closed"


# --- whose task -----------------------------------------------------------------------------------


def test_anothers_task_does_not_exist_for_a_va_and_is_refused_to_a_closer(by: People) -> None:
    by("VA", "gus")
    made = ladder(by("MANAGER"), owner="Gus")
    for call in (
        lambda who: finish(made.tasks[0], who),
        lambda who: start_task(made.tasks[0].pk, by=who, at=NOW),
        lambda who: finish(made.tasks[0], who, outcome="REPLIED"),
    ):
        with pytest.raises(NotFound):
            call(by("VA"))
        with pytest.raises(Forbidden):
            call(by("CLOSER"))
    assert finish(made.tasks[0], by("VA", "gus")).task.status == "COMPLETED"
    assert finish(made.tasks[1], by("SERVICE"), NOW + HOUR).task.status == "COMPLETED"
    assert finish(made.tasks[2], by("MANAGER"), NOW + 2 * HOUR).task.status == "COMPLETED"


def test_a_task_of_nobody_we_know_is_anybodys(by: People) -> None:
    made = ladder(by("MANAGER"), owner="someone who left")
    assert finish(made.tasks[0], by("VA")).task.status == "COMPLETED"


def test_an_auditor_completes_nothing(by: People) -> None:
    made = ladder(by("VA"))
    with pytest.raises(Forbidden):
        finish(made.tasks[0], by("AUDITOR"))


# --- when the contact was -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("back", "note", "wrong"),
    [
        (-MINUTE, "", "contacted_at"),
        (24 * HOUR + MINUTE, "why", "contacted_at"),
        (16 * MINUTE, "", "note"),
        (16 * MINUTE, " ", "note"),
    ],
)
def test_a_time_of_contact_that_cannot_be_is_refused(
    by: People, back: timedelta, note: str, wrong: str
) -> None:
    made = ladder(by("VA"), start=at(24, "10:00"))
    with pytest.raises(Invalid) as refusal:
        finish(made.tasks[0], by("VA"), NOW, contacted_at=NOW - back, note=note)
    assert list(refusal.value.errors) == [wrong]
    assert fresh(made.tasks[0]).status == "OPEN"


@pytest.mark.parametrize(
    ("back", "note", "late"),
    [(15 * MINUTE, "", False), (16 * MINUTE, "forgot", True), (24 * HOUR, "x", True)],
)
def test_a_contact_of_before_is_entered_late(by: People, back: timedelta, note: str, late: bool) -> None:
    made = ladder(by("VA"), start=at(24, "10:00"))
    task = finish(made.tasks[0], by("VA"), NOW, contacted_at=NOW - back, note=note).task
    assert (task.contacted_at, task.entered_late, task.contact_source) == (NOW - back, late, "TYPED")
    assert fresh(task).completed_at == NOW


def test_a_contact_cannot_precede_that_of_the_step_before(by: People) -> None:
    made = ladder(by("VA"))
    finish(made.tasks[0], by("VA"), NOW)
    with pytest.raises(Invalid) as refusal:
        finish(made.tasks[1], by("VA"), NOW + 10 * MINUTE, contacted_at=NOW - MINUTE)
    assert list(refusal.value.errors) == ["contacted_at"]


def test_the_gate_judges_the_time_of_the_contact(by: People) -> None:
    made = ladder(by("VA"))
    task = finish(
        made.tasks[0], by("VA"), at(25, "20:30"), contacted_at=at(25, "19:55"), note="forgot to log"
    ).task
    assert (task.gate_allowed, task.entered_late) == (True, True)
    assert (
        denied(lambda: finish(made.tasks[1], by("VA"), at(25, "20:31"))).extra["reason"]
        == "outside_contact_window"
    )


# --- starting -------------------------------------------------------------------------------------


def test_a_start_keeps_the_decision_and_holds_the_task_for_an_hour(by: People) -> None:
    made = ladder(by("VA"))
    answer = start_task(made.tasks[0].pk, by=by("VA"), at=NOW)
    decision = ContactDecision.objects.get()
    assert (answer["ok"], answer["decision_id"], answer["valid_until"]) == (
        True,
        decision.pk,
        NOW + 5 * MINUTE,
    )
    assert (decision.door, decision.ok, decision.phone_digest != "") == ("START", True, True)
    task = fresh(made.tasks[0])
    assert (task.claimed_by, task.claim_until, task.started_by) == ("a-va", NOW + HOUR, "a-va")
    assert kpis() == [("ladder_created", True)]  # begun is not made


def test_a_call_begun_in_time_and_logged_later_is_lawful(by: People) -> None:
    made = ladder(by("VA"))
    finish(made.tasks[0], by("VA"))
    begun = at(25, "19:58")
    start_task(made.tasks[1].pk, by=by("VA"), at=begun)
    task = finish(made.tasks[1], by("VA"), at(25, "20:15"), outcome="LEFT_MESSAGE").task
    assert (task.contacted_at, task.gate_allowed, task.entered_late) == (begun, True, False)
    assert task.contact_source == "PAGE_BUTTON"
    assert kpis(metric="contact_compliance") == [("contact_compliance", True)] * 2
    assert ContactDecision.objects.filter(task_id=task.pk).count() == 1  # asked once, at the start


def test_anothers_start_that_came_to_nothing_says_nothing_of_this_contact(by: People) -> None:
    made = ladder(by("VA"))
    start_task(made.tasks[0].pk, by=by("VA", "gus"), at=at(25, "18:00"))
    assert (
        denied(lambda: finish(made.tasks[0], by("VA"), at(25, "20:15"))).extra["reason"]
        == "outside_contact_window"
    )


def test_a_dialers_start_serves_whoever_logs_the_call(by: People) -> None:
    made = ladder(by("VA"))
    start_task(made.tasks[0].pk, by=by("SERVICE"), at=EVENING, source="DIALER")
    late = at(25, "20:55")
    task = finish(made.tasks[0], by("VA"), late).task
    assert (task.contacted_at, task.contact_source, task.gate_allowed) == (EVENING, "DIALER", True)


def test_a_start_is_refused_at_night_with_the_decision_kept_and_nothing_else(by: People) -> None:
    made = ladder(by("VA"))
    before = list(FollowUpTask.objects.order_by("id").values())
    refusal = denied(lambda: start_task(made.tasks[0].pk, by=by("VA"), at=NIGHT))
    assert refusal.extra["reason"] == "outside_contact_window"
    assert refusal.extra["next_allowed_at"] == at(26, "09:00")
    assert "09:00" in str(refusal)
    assert list(FollowUpTask.objects.order_by("id").values()) == before
    decision = ContactDecision.objects.get()
    assert (decision.ok, decision.reason, decision.task_id) == (
        False,
        "outside_contact_window",
        made.tasks[0].pk,
    )


def test_a_completion_is_refused_at_night_with_the_decision_kept_and_nothing_else(by: People) -> None:
    made = ladder(by("VA"))
    finish(made.tasks[0], by("VA"))
    before = (list(FollowUpTask.objects.order_by("id").values()), kpis())
    refusal = denied(lambda: finish(made.tasks[1], by("VA"), NIGHT))
    assert refusal.extra["reason"] == "outside_statutory_hours"  # a call at 22:30
    assert refusal.extra["next_allowed_at"] == at(26, "09:00")
    assert "CRTC" in refusal.extra["citation"]
    assert (list(FollowUpTask.objects.order_by("id").values()), kpis()) == before
    assert list(ContactDecision.objects.order_by("id").values_list("ok", "reason")) == [
        (True, "within_window"),
        (False, "outside_statutory_hours"),
    ]


# --- overriding and recording what happened -------------------------------------------------------


def closed_by_us(people: People) -> None:
    Closure.objects.create(province="ON", date=NOW.date(), name="Staff day")


def closed_by_law(people: People) -> None:
    Closure.objects.create(province="ON", date=NOW.date(), name="Day of rest", citation="Retail Act")


def no_windows(people: People) -> None:
    set_policy(people("MANAGER"), rules={"contact_windows_local": []})


def switched_off(people: People) -> None:
    set_policy(people("MANAGER"), enabled=False)


def no_texts(people: People) -> None:
    set_policy(people("MANAGER"), rules={"channels_allowed": ["CALL"]})


def consent_needed(people: People) -> None:
    set_policy(people("MANAGER"), rules={"consent_required_channels": ["SMS"]})


def low_score(people: People) -> None:
    Lead.objects.update(score=Decimal("0.1"))


def nothing(people: People) -> None: ...


@pytest.mark.parametrize(
    ("prepare", "when", "reason", "liftable"),
    [
        (nothing, at(25, "20:00"), "outside_contact_window", True),
        (no_windows, NOW, "no_windows_defined", True),
        (low_score, NOW, "lead_score_below_minimum", True),
        (closed_by_us, NOW, "holiday", True),
        (closed_by_law, NOW, "holiday", False),
        (switched_off, NOW, "policy_disabled", False),
        (no_texts, NOW, "channel_not_allowed", False),
        (consent_needed, NOW, "consent_missing", False),
    ],
)
@pytest.mark.parametrize("role", ["CLOSER", "MANAGER"])
def test_an_override_lifts_our_own_policy_and_nothing_else(
    by: People, role: str, prepare: Callable[[People], None], when: Any, reason: str, liftable: bool
) -> None:
    made = ladder(by("VA"))
    prepare(by)
    refusal = denied(lambda: finish(made.tasks[0], by(role), when))
    assert refusal.extra["reason"] == reason
    if not liftable:
        assert (
            denied(lambda: finish(made.tasks[0], by(role), when, override_reason="she asked")).extra["reason"]
            == reason
        )
        return
    task = finish(made.tasks[0], by(role), when, override_reason="she asked").task
    assert (task.gate_allowed, task.override_reason) == (False, "she asked")
    assert kpis(metric="contact_compliance") == [("contact_compliance", False)]
    decision = ContactDecision.objects.order_by("-id").first()
    assert decision is not None
    assert (decision.ok, decision.reason, decision.overridden) == (False, reason, True)


def test_nobody_overrides_the_hours_of_the_law(by: People) -> None:
    made = ladder(by("VA"))
    finish(made.tasks[0], by("VA"))
    reason = denied(lambda: finish(made.tasks[1], by("MANAGER"), NIGHT, override_reason="she asked")).extra[
        "reason"
    ]
    assert reason == "outside_statutory_hours"


def test_nobody_overrides_a_suppression(by: People) -> None:
    from followups.points import lead_digest
    from governance.contact.services import suppress

    made = ladder(by("VA"), phone="")
    suppress([lead_digest("L-1")], by=by("VA"), at=NOW)
    reason = denied(lambda: finish(made.tasks[0], by("MANAGER"), override_reason="she asked")).extra["reason"]
    assert reason == "suppressed"


def test_a_va_and_a_program_override_nothing_and_the_refusal_is_kept(by: People) -> None:
    made = ladder(by("VA"))
    for role in ("VA", "SERVICE"):
        with pytest.raises(Forbidden):
            finish(made.tasks[0], by(role), at(25, "20:00"), override_reason="she asked")
    assert fresh(made.tasks[0]).status == "OPEN"
    assert ContactDecision.objects.filter(ok=False, overridden=False).count() == 2


def test_a_contact_that_took_place_all_the_same_is_recorded_and_managers_are_told_once(by: People) -> None:
    by("MANAGER")
    User.objects.filter(role="MANAGER").update(email="boss@example.ca")
    made = ladder(by("VA"))
    done = finish(made.tasks[0], by("VA"), NIGHT, happened=True)
    assert (done.task.status, done.task.gate_allowed) == ("COMPLETED", False)
    assert finish(made.tasks[0], by("VA"), NIGHT, happened=True).already_completed
    assert kpis(metric="contact_compliance") == [("contact_compliance", False)]
    decision = ContactDecision.objects.get()
    assert (decision.ok, decision.happened, decision.overridden) == (False, True, False)
    message = OutboxMessage.objects.get()
    assert (message.to, message.kind) == ("boss@example.ca", "contact_against_gate")
    assert "L-1" in message.body
    assert "416" not in message.body


def test_what_happened_inside_the_hours_is_an_ordinary_contact(by: People) -> None:
    by("MANAGER")
    User.objects.filter(role="MANAGER").update(email="boss@example.ca")
    made = ladder(by("VA"))
    assert finish(made.tasks[0], by("VA"), NOW, happened=True).task.gate_allowed is True
    assert not OutboxMessage.objects.exists()


def test_what_happened_is_recorded_out_of_sequence_and_the_first_step_stays_current(by: People) -> None:
    made = ladder(by("VA"))
    done = finish(made.tasks[2], by("VA"), NOW + HOUR, happened=True)
    assert done.next_task is not None
    assert (done.task.status, done.next_task.step) == ("COMPLETED", 1)
    assert [task.is_current for task in steps_of(made)] == [True, False, False, False, False, False]


# --- go-live --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("unblocked")
def test_while_go_live_is_enforced_production_verbs_wait_for_it(by: People, settings: Any) -> None:
    from followups.services import claim_due, skip_task, snooze_task, stop_ladder

    made = ladder(by("VA"))
    settings.GO_LIVE_ENFORCE = True
    for call in (
        lambda: ladder(by("VA"), "L-2"),
        lambda: start_task(made.tasks[0].pk, by=by("VA"), at=NOW),
        lambda: finish(made.tasks[0], by("VA")),
        lambda: claim_due(by=by("VA"), at=NOW),
    ):
        with pytest.raises(Unavailable) as refusal:
            call()
        assert refusal.value.code == "go_live_disabled"
    snooze_task(made.tasks[0].pk, by=by("VA"), at=NOW, until=NOW + HOUR)
    skip_task(made.tasks[0].pk, by=by("VA"), at=NOW, reason="done by hand")
    finish(made.tasks[1], by("VA"), NIGHT, happened=True)
    set_go_live(True, by=by("MANAGER"), at=NOW, reason="ready")
    finish(made.tasks[2], by("VA"), NOW + HOUR)
    set_kill_switch(True, by=by("MANAGER"), at=NOW, reason="stop")
    with pytest.raises(Unavailable) as refusal:
        finish(made.tasks[3], by("VA"), NOW + 2 * HOUR)
    assert refusal.value.code == "kill_switch_engaged"
    stop_ladder(made.ladder.pk, by=by("MANAGER"), at=NOW, reason="stop")


# --- what it costs --------------------------------------------------------------------------------


@pytest.mark.parametrize("start_first", [False, True])
def test_completing_takes_a_bounded_number_of_statements(by: People, start_first: bool) -> None:
    who = by("VA")
    made = ladder(who)
    if start_first:
        start_task(made.tasks[0].pk, by=who, at=NOW)
    with CaptureQueriesContext(connection) as captured:
        complete_task(made.tasks[0].pk, Completion(), by=who, at=NOW + 3 * HOUR)
    statements = [q["sql"] for q in captured.captured_queries if "SAVEPOINT" not in q["sql"]]
    assert len(statements) <= 13, statements  # the token takes one or two more

"""What follows from an outcome, decided on plain values: no database is asked."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from followups.rules import ADVANCING, DEFAULT_STEPS, HAPPENED, NEXT, STOPPING
from followups.rules.completion import (
    Asked,
    Claim,
    Completion,
    Record,
    Recorder,
    check_completion,
    contact_time,
    decide_completion,
    decide_start,
    is_overdue,
)
from followups.rules.outcomes import (
    NO_POINT,
    OPEN,
    PERSON_ACTIVE,
    Cancelled,
    Case,
    Ended,
    LadderState,
    Snooze,
    TaskState,
    Wanted,
    decide_advance,
    decide_outcome,
    decide_skip,
    decide_snooze,
    decide_waiting,
    is_inquiry,
    may_rest,
    needs_gate,
    next_open,
)
from followups.tests.cases import HOME, MOBILE, MORNING, case_of, done, gate_at, step
from followups.tests.factories import DAY, HOUR, MINUTE, NOW, at
from governance.contact.national_list import AreaList, ListedNumber
from governance.contact.rules import ConsentRow
from governance.contact.services import GateContext
from governance.core.errors import Invalid
from governance.core.places import ALL
from governance.market.rules import DEFAULT_RULES
from governance.market.timeline import PolicyRow

pytestmark = pytest.mark.once
OUTCOMES = sorted({*ADVANCING, *STOPPING, *HAPPENED})
ANNE = Recorder("anne", "anne")


# --- the next step ----------------------------------------------------------------------------------------


def test_the_next_step_becomes_current_and_keeps_its_time() -> None:
    plan = decide_outcome(case_of(done(1), step(2), step(3)), Wanted("SENT"), just_done=True)
    assert (plan.next_id, plan.changes, plan.lead, plan.ended) == (2, {2: {"is_current": True}}, {}, None)


def test_what_would_come_too_soon_is_pushed_back_one_after_the_other() -> None:
    late = NOW + 2 * HOUR
    plan = decide_outcome(case_of(done(1), step(2), step(3), when=late), Wanted("SENT"), just_done=True)
    assert [plan.changes[number]["due_at"] for number in (2, 3)] == [late + 30 * MINUTE, late + HOUR]
    assert plan.changes[2]["sla_2h_at"] == late + 2 * HOUR + 30 * MINUTE


def test_what_is_pushed_out_of_the_day_waits_for_the_next_window() -> None:
    evening = at(25, "19:50")
    plan = decide_outcome(case_of(done(1), step(2), when=evening), Wanted("SENT"), just_done=True)
    assert plan.changes[2]["due_at"] == MORNING


def test_planned_contacts_count_for_the_steps_after_them() -> None:
    rules = DEFAULT_RULES.as_json() | {"max_contacts_per_day": 1}
    policy = PolicyRow(1, "ON", ALL, ALL, True, rules, "", 1)
    gate = gate_at(NOW, MOBILE)
    gate = replace(gate, book=GateContext(NOW, {("ON", ALL): (policy,)}, [], []))
    skipped = step(2, status="SKIPPED")  # out of turn: the first step is still to be done today
    case = case_of(step(1, is_current=True), skipped, step(3), number=2, gate=gate)
    plan = decide_advance(case, case.task)
    assert plan.changes[3]["due_at"] >= MORNING


def test_a_step_that_waits_for_another_lead_is_passed_over_while_one_is_free() -> None:
    waits = step(2, held_reason=PERSON_ACTIVE, due_at=None)
    assert decide_outcome(case_of(done(1), waits, step(3)), Wanted("SENT"), just_done=True).next_id == 3
    plan = decide_outcome(case_of(done(1), waits), Wanted("SENT"), just_done=True)
    assert (plan.next_id, plan.changes) == (2, {2: {"is_current": True}})


@pytest.mark.parametrize(
    ("more", "rests"),
    [
        ({}, True),
        ({"rest_days": 0}, False),
        ({"rest_days": None}, False),
        ({"lead_status": "NOT_NOW"}, False),
    ],
)
def test_a_lead_who_answered_nothing_rests(more: dict[str, Any], rests: bool) -> None:
    case = replace(case_of(done(1), rest_days=90), **more)
    plan = decide_outcome(case, Wanted("SENT"), just_done=True)
    assert plan.ended == Ended("COMPLETED", "")
    then = NOW + 90 * DAY
    assert plan.lead == (
        {"status": "NOT_NOW", "follow_up_at": then, "nurture_at": then, "updated_at": NOW} if rests else {}
    )


def test_nobody_rests_while_something_is_open_or_a_later_ladder_was_begun() -> None:
    callback = TaskState(9, "CALLBACK", "CALL", OPEN, NOW)
    case = case_of(done(1), rest_days=90)
    assert may_rest(case, Wanted("SENT"), newer_ladder=False)
    assert not may_rest(case, Wanted("SENT"), newer_ladder=True)
    assert not may_rest(case, Wanted("REACHED"), newer_ladder=False)
    beside = replace(case, tasks=(*case.tasks, callback))
    assert not may_rest(beside, Wanted("SENT"), newer_ladder=False)
    assert decide_outcome(beside, Wanted("SENT"), just_done=True).lead == {}


def test_a_ladder_without_a_completed_step_is_stopped() -> None:
    plan = decide_advance(case_of(step(1, status="SKIPPED")), None, reason="x")
    assert plan.ended == Ended("STOPPED", "x")


# --- reached and replied ----------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", sorted(STOPPING))
@pytest.mark.parametrize(
    ("kind", "status", "makes"),
    [
        ("", "HANDED_OVER", "HANDOVER"),
        ("HANDOVER", "HANDED_OVER", "HANDOVER"),
        ("CALLBACK", "WORKING", "CALLBACK"),
        ("NOT_NOW", "NOT_NOW", ""),
        ("NOT_INTERESTED", "DEAD", ""),
        ("SOLD_OR_LISTED", "DEAD", ""),
    ],
)
def test_who_was_reached_gets_what_they_asked_for(outcome: str, kind: str, status: str, makes: str) -> None:
    then = NOW + DAY if kind in ("CALLBACK", "NOT_NOW") else None
    wanted = Wanted(outcome, kind, then, owner="anne")
    plan = decide_outcome(case_of(done(1), step(2)), wanted, just_done=True)
    assert plan.cancelled == (Cancelled(outcome, ("LADDER",)),)
    assert plan.ended == Ended("COMPLETED", outcome)
    assert plan.lead["status"] == status
    assert plan.lead["follow_up_at"] == (then if kind == "NOT_NOW" else None)
    created = plan.created or {"kind": ""}
    assert created["kind"] == makes
    if makes == "CALLBACK":
        assert (created["owner"], created["due_at"], created["contact_point_id"]) == ("anne", then, 1)
    if makes == "HANDOVER":
        assert (created["owner"], created["due_at"], created["deadline_at"]) == ("", NOW, NOW + HOUR)


def test_what_waits_already_is_kept_and_what_was_for_another_time_is_replaced() -> None:
    then = NOW + DAY
    waiting = TaskState(9, "CALLBACK", "CALL", OPEN, then, is_current=True)
    same = decide_outcome(case_of(done(1), waiting), Wanted("REACHED", "CALLBACK", then), just_done=True)
    assert (same.next_id, same.created) == (9, None)
    other = decide_outcome(
        case_of(done(1), waiting), Wanted("REACHED", "CALLBACK", then + HOUR), just_done=True
    )
    assert Cancelled("replaced", ("CALLBACK",)) in other.cancelled
    assert other.created is not None


@pytest.mark.parametrize(
    ("next", "note", "inquires"),
    [
        ("HANDOVER", "", True),
        ("", "I want to sell my house.", True),
        ("CALLBACK", "Who is this?", False),
        ("", "", False),
    ],
)
def test_what_is_an_inquiry(next: str, note: str, inquires: bool) -> None:
    assert is_inquiry(next, note) is inquires


def test_an_inquiry_counts_for_the_call_that_is_planned_with_it() -> None:
    """The national list of the number is too old; who inquired of us may be called all the same."""
    old = ListedNumber("mobile", AreaList("416", (NOW - 60 * DAY).date(), NOW - 60 * DAY))
    gate = gate_at(NOW, MOBILE)
    gate = replace(gate, questions={n: replace(q, numbers=(old,)) for n, q in gate.questions.items()})
    wanted = Wanted("REPLIED", "HANDOVER")
    plan = decide_outcome(case_of(done(1), gate=gate), wanted, just_done=True)
    assert plan.created is not None
    assert (plan.created["held_reason"], plan.inquiry) == ("dncl_stale", False)
    inquiry = ConsentRow(0, "mobile", "SMS", "INQUIRY", NOW, NOW + 180 * DAY)
    plan = decide_outcome(case_of(done(1), gate=gate), replace(wanted, inquiry=inquiry), just_done=True)
    assert plan.created is not None
    assert (plan.created["due_at"], plan.created["held_reason"], plan.inquiry) == (NOW, "", True)


def test_who_called_and_waits_gets_a_callback_now() -> None:
    case = case_of(step(1))
    plan = decide_waiting(case, Wanted("", owner="anne"))
    assert plan.created is not None
    assert (plan.created["kind"], plan.created["due_at"], plan.created["owner"]) == ("CALLBACK", NOW, "anne")
    assert plan.ended is None


# --- wrong number, opt-out --------------------------------------------------------------------------------


def test_a_wrong_number_is_replaced_by_the_next_one() -> None:
    promised = TaskState(9, "CALLBACK", "CALL", OPEN, NOW, point=MOBILE)
    tasks = (done(1), step(2), step(3), promised)
    case = case_of(*tasks, points=(MOBILE, HOME), gate_without=gate_at(NOW, HOME))
    plan = decide_outcome(case, Wanted("WRONG_NUMBER"), just_done=True)
    assert (plan.retired, plan.repointed, plan.repointed_to, plan.rejudges) == (1, (9,), 2, True)
    assert [plan.changes[number]["contact_point_id"] for number in (2, 3)] == [2, 2]
    assert plan.next_id == 2


def test_steps_without_another_number_are_skipped_and_the_ladder_ends() -> None:
    case = case_of(done(1), step(2, is_current=True), gate=None)
    plan = decide_outcome(case, Wanted("WRONG_NUMBER"), just_done=True)
    assert plan.changes[2]["status"] == "SKIPPED"
    assert (plan.changes[2]["closed_reason"], plan.changes[2]["is_current"]) == (NO_POINT, False)
    assert plan.ended == Ended("COMPLETED", NO_POINT)
    assert plan.lead == {}  # it did not end by itself


def test_an_opt_out_cancels_everything_and_asks_nothing() -> None:
    case = case_of(done(1), step(2), TaskState(9, "CALLBACK", "CALL", OPEN, NOW), gate=None)
    plan = decide_outcome(case, Wanted("OPTED_OUT"), just_done=True)
    assert plan.cancelled == (Cancelled("OPTED_OUT"),)
    assert plan.ended == Ended("STOPPED", "OPTED_OUT", stopped=True)
    assert plan.suppresses
    assert plan.lead["status"] == "DEAD"
    assert next_open(case, plan) is None


# --- the contact ------------------------------------------------------------------------------------------


DIALED = Record(started_at=NOW - HOUR, started_by="gus", source="DIALER")
AFTER_ANOTHER = Record(earlier=(NOW - MINUTE,))


@pytest.mark.parametrize(
    ("record", "completion", "actor", "contact"),
    [
        (Record(), Completion(), ANNE, (NOW, False)),
        (Record(started_at=NOW - HOUR, started_by="anne"), Completion(), ANNE, (NOW - HOUR, False)),
        (Record(started_at=NOW - HOUR, started_by="gus"), Completion(), ANNE, (NOW, False)),
        (DIALED, Completion(), ANNE, (NOW - HOUR, False)),
        (
            Record(started_at=NOW - HOUR, started_by="gus"),
            Completion(),
            Recorder("dialer", "dialer", is_program=True),
            (NOW - HOUR, False),
        ),
        (Record(started_at=NOW - 25 * HOUR, started_by="anne"), Completion(), ANNE, (NOW, False)),
        (Record(), Completion(contacted_at=NOW - HOUR, note="x"), ANNE, (NOW - HOUR, True)),
        (Record(), Completion(contacted_at=NOW + timedelta(seconds=4)), ANNE, (NOW, False)),
        (Record(), Completion(contacted_at=NOW - HOUR), ANNE, "note"),
        (Record(), Completion(contacted_at=NOW + MINUTE), ANNE, "contacted_at"),
        (Record(), Completion(contacted_at=NOW - 25 * HOUR, note="x"), ANNE, "contacted_at"),
        (AFTER_ANOTHER, Completion(contacted_at=NOW - HOUR, note="x"), ANNE, "contacted_at"),
    ],
)
def test_when_the_contact_was(
    record: Record, completion: Completion, actor: Recorder, contact: object
) -> None:
    case = case_of(step(1))
    if isinstance(contact, str):
        with pytest.raises(Invalid) as refusal:
            contact_time(case, record, completion, actor)
        assert list(refusal.value.errors) == [contact]
    else:
        assert contact_time(case, record, completion, actor) == contact


NIGHT = at(25, "22:30")
BOSS = Recorder("boss", "boss", may_override=True)


@pytest.mark.parametrize(
    ("completion", "actor", "facts"),
    [
        (Completion("SENT"), ANNE, {"is_refused": True, "may_not_override": False}),
        (Completion("SENT", override_reason="why"), ANNE, {"is_refused": True, "may_not_override": True}),
        (Completion("SENT", override_reason="why"), BOSS, {"is_overridden": True, "allowed": False}),
        (Completion("SENT", happened=True), ANNE, {"allowed": False, "is_refused": False}),
        (Completion("REPLIED"), ANNE, {"allowed": None, "verdict": None}),
        (Completion("OPTED_OUT"), ANNE, {"allowed": None, "verdict": None}),
    ],
)
def test_the_gate_at_night(completion: Completion, actor: Recorder, facts: dict[str, object]) -> None:
    case = case_of(step(1), when=NIGHT)
    wanted = Wanted(completion.outcome)
    plan = decide_completion(case, Asked(Record(), completion, actor, wanted, NIGHT))
    assert {name: getattr(plan.contact, name) for name in facts} == facts
    assert bool(plan.values) is not plan.contact.is_refused


def test_what_the_gate_allowed_at_the_start_is_not_asked_again() -> None:
    record = Record(started_at=NOW, started_by="anne", is_decided=True)
    case = case_of(step(1), when=NIGHT)
    plan = decide_completion(case, Asked(record, Completion("SENT"), ANNE, Wanted("SENT"), NOW))
    assert (plan.contact.allowed, plan.contact.verdict) == (True, None)
    assert [event.metric for event in plan.outcome.events] == [
        "followup_completed",
        "followup_sla",
        "contact_compliance",
    ]


STARTED = Record(started_at=NOW - MINUTE, started_by="anne", is_decided=True)
HELD = Claim("anne", "anne", NOW + HOUR, is_held=True)


@pytest.mark.parametrize(
    ("record", "claim", "repeats"),
    [
        (STARTED, HELD, True),
        (STARTED, replace(HELD, started_by="gus"), False),
        (STARTED, replace(HELD, claimed_by="gus", is_held=False), False),
        (STARTED, replace(HELD, until=NOW, is_held=False), False),
        (replace(STARTED, started_at=NOW - 5 * MINUTE), HELD, False),
        (replace(STARTED, started_at=NOW + MINUTE), HELD, False),
        (Record(), Claim(), False),
    ],
)
def test_a_second_start_within_five_minutes_changes_nothing(
    record: Record, claim: Claim, repeats: bool
) -> None:
    case = case_of(step(1, point=None))
    plan = decide_start(case, record, claim, ANNE, source="DIALER", new_token="t")
    assert plan.verdict.ok
    assert (not plan.values) is repeats
    if not repeats:
        assert (plan.values["started_at"], plan.values["contact_point_id"]) == (NOW, MOBILE.id)
        assert plan.values["claim_until"] == max(claim.until or NOW, NOW + HOUR)
        assert ("claim_token" in plan.values) is not claim.is_held


def test_a_start_at_night_is_refused_whatever_was_started_before() -> None:
    record = replace(STARTED, started_at=NIGHT)
    case = case_of(step(1), when=NIGHT)
    plan = decide_start(case, record, replace(HELD, until=NIGHT + HOUR), ANNE, source="", new_token="t")
    assert (plan.verdict.ok, plan.values) == (False, {})


# --- skipping and snoozing --------------------------------------------------------------------------------


def test_skipping_makes_the_next_step_current_and_the_last_one_stops_the_ladder() -> None:
    plan = decide_skip(case_of(step(1, is_current=True), step(2)), "not needed")
    assert plan.changes[1]["status"] == "SKIPPED"
    assert (plan.changes[1]["closed_reason"], plan.changes[1]["claim_token"]) == ("not needed", "")
    assert (plan.next_id, plan.changes[2]["is_current"]) == (2, True)
    alone = case_of(step(1, is_current=True), gate=None)
    last = decide_skip(alone, "x" * 300)
    assert (last.ended, last.lead, next_open(alone, last)) == (Ended("STOPPED", ""), {}, None)
    assert len(last.changes[1]["closed_reason"]) == 200


@pytest.mark.parametrize(
    ("until", "snooze"),
    [
        (NOW + HOUR, Snooze(NOW + HOUR)),
        (NIGHT, Snooze(MORNING)),
        (NOW + 20 * DAY, Snooze(NOW + 20 * DAY, "within_window", ("America/Toronto",))),
    ],
)
def test_a_task_is_put_aside_until_an_allowed_time(until: datetime, snooze: Snooze) -> None:
    assert decide_snooze(case_of(step(1)), until, NOW + 14 * DAY) == snooze


# --- nothing is asked that was not loaded -----------------------------------------------------------------

points = st.sampled_from([None, MOBILE, HOME])
tasks = st.builds(
    lambda n, kind, status, due, held, point, ladder: TaskState(
        id=n, kind=kind, channel="CALL" if n % 2 else "SMS", status=status, scheduled_for=NOW,
        step=n if ladder else None, ladder_id=ladder, due_at=due, held_reason=held, point=point,
    ),
    st.just(0), st.sampled_from(["LADDER", "CALLBACK", "HANDOVER"]),
    st.sampled_from(["OPEN", "OPEN", "COMPLETED", "SKIPPED", "CANCELLED"]),
    st.sampled_from([None, NOW - HOUR, NOW, NOW + HOUR]), st.sampled_from(["", PERSON_ACTIVE]), points,
    st.sampled_from([7, 7, 7, 8, None]),
)  # fmt: skip


@given(
    st.lists(tasks, min_size=1, max_size=7), st.integers(0, 6), st.sampled_from(OUTCOMES),
    st.sampled_from(["", *NEXT]), st.booleans(), st.sampled_from([None, 7, 8]), st.booleans(), st.booleans(),
)  # fmt: skip
def test_deciding_asks_the_gate_only_where_it_was_loaded(
    drawn: list[TaskState], chosen: int, outcome: str, then: str, just_done: bool, runs: int | None,
    started: bool, happened: bool,
) -> None:  # fmt: skip
    """A gate that is missing where it is asked fails; that is what the service relies on."""
    all_tasks = tuple(
        replace(task, id=n, step=n if task.ladder_id else None) for n, task in enumerate(drawn, start=1)
    )
    number = chosen % len(all_tasks) + 1
    ladder = LadderState(runs, "ACTIVE", DEFAULT_STEPS * 2) if runs else None
    case = case_of(*all_tasks, number=number, ladder=ladder, points=(MOBILE, HOME), gate=None, hours=None)
    wanted = Wanted(outcome, then if outcome in STOPPING else "", NOW + DAY)

    def loaded(case: Case, *, done: bool) -> Case:
        if not needs_gate(case, wanted, just_done=done):
            return case
        if outcome == "WRONG_NUMBER" and case.task.point is not None:
            return replace(case, gate_without=gate_at(NOW, MOBILE, HOME))
        return replace(case, gate=gate_at(NOW, MOBILE, HOME))

    closed = case.having(replace(case.task, status="COMPLETED"))
    decide_outcome(loaded(closed, done=just_done), wanted, just_done=just_done)

    record = Record(started_at=NOW if started else None, started_by="anne", is_decided=started)
    completion = Completion(outcome, wanted.next, wanted.next_at, happened=happened)
    case, asked = check_completion(case, record, completion, ANNE, wanted)
    whole = loaded(case, done=True)
    if asked.needs_gate:
        whole = replace(whole, gate=gate_at(NOW, MOBILE, HOME))
    if is_overdue(case):
        whole = replace(whole, hours=gate_at(NOW).of(case.task.channel))
    decide_completion(whole, asked)

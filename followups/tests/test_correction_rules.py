"""One outcome in the place of another, decided on plain values: no database is asked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from followups.rules import DEFAULT_STEPS
from followups.rules.completion import Completion
from followups.rules.correction import (
    CLOSED_BY,
    decide_correction,
    decide_resume,
    decide_resumption,
    decide_reversal,
    decide_wording,
    ladder_in_the_way,
    to_reopen,
)
from followups.rules.outcomes import (
    NO_POINT,
    Case,
    Correction,
    Ended,
    LadderState,
    Plan,
    TaskState,
    Wanted,
)
from followups.tests.cases import HOME, MOBILE, MORNING, case_of, done, gate_at, step
from followups.tests.factories import DAY, HOUR, MINUTE, NOW

pytestmark = pytest.mark.once
LATER = NOW + DAY
OTHER = LadderState(8, "ACTIVE", DEFAULT_STEPS)


def closed(number: int, reason: str = "REPLIED", **more: object) -> TaskState:
    return step(number, **{"status": "CANCELLED", "closed_reason": reason, **more})


def ended(*tasks: TaskState, reason: str = "REPLIED", **more: Any) -> Case:
    """The case of the first task, whose outcome ended its ladder."""
    more = {"queue_end": LATER, "lead_status": "HANDED_OVER", **more}
    status = more.pop("lead_status")
    case = case_of(*tasks, ladder=more.pop("running", None), **more)
    own = LadderState(7, "COMPLETED", DEFAULT_STEPS, reason)
    return replace(case, own_ladder=own, lead_status=status)


def replied(**more: object) -> TaskState:
    return done(1, outcome="REPLIED", completed_at=NOW, **more)


# --- what is opened again ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "reasons", "steps"),
    [
        (ended(replied(), closed(2), closed(3)), {"REPLIED"}, [2, 3]),
        (ended(replied(), closed(2, status="SKIPPED"), closed(3, "later")), {"REPLIED"}, [2]),
        (ended(replied(), closed(2, outcome="REPLIED"), closed(3)), {"REPLIED"}, [3]),
        (ended(replied(), closed(2), reason="stopped by hand"), {"REPLIED"}, []),
        (ended(replied(), closed(2)), {"REACHED"}, []),
        (case_of(replied(), closed(2, NO_POINT), step(3)), {NO_POINT}, [2]),  # it still runs
        (case_of(replied(), closed(2), own_ladder=None, ladder=None), {"REPLIED"}, []),
        (ended(replied(), step(2), closed(3, ladder_id=8)), {"REPLIED"}, []),
    ],
)
def test_which_steps_are_opened_again(case: Case, reasons: set[str], steps: list[int]) -> None:
    assert [task.id for task in to_reopen(case, reasons)] == steps


def test_the_ladder_goes_on_last_in_its_queue_and_its_steps_keep_their_gaps() -> None:
    late = NOW + 2 * HOUR
    case = ended(done(1, outcome="REPLIED", completed_at=late), closed(2), closed(3), when=late)
    plan = decide_resume(case, {"REPLIED"})
    assert plan.own_ladder == {"status": "ACTIVE", "stop_reason": "", "ended_at": None, "queued_at": LATER}
    assert [plan.changes[number]["due_at"] for number in (2, 3)] == [late + 30 * MINUTE, late + HOUR]
    assert [plan.changes[number]["status"] for number in (2, 3)] == ["OPEN", "OPEN"]
    assert (plan.changes[2]["is_current"], "is_current" in plan.changes[3]) == (True, False)
    assert (plan.lead["status"], plan.lead["updated_at"]) == ("WORKING", late)


def test_a_step_opens_with_the_first_usable_number_and_at_an_allowed_time() -> None:
    case = ended(replied(), closed(2, point=MOBILE, due_at=NOW + 8 * HOUR), points=(HOME,))
    plan = decide_resume(replace(case, gate=gate_at(NOW, HOME)), {"REPLIED"})
    assert (plan.changes[2]["contact_point_id"], plan.changes[2]["due_at"]) == (HOME.id, MORNING)
    assert plan.changes[2]["held_reason"] == ""


@pytest.mark.parametrize(("keeps", "named"), [(True, False), (False, True)])
def test_what_an_undo_brings_back_keeps_its_place(keeps: bool, named: bool) -> None:
    plan = decide_resume(ended(replied(), closed(2)), {"REPLIED"}, keep_place=keeps)
    assert ("queued_at" in plan.own_ladder) is named


def test_where_another_ladder_runs_nothing_is_opened() -> None:
    case = ended(replied(), closed(2), running=OTHER, gate=None)
    plan = decide_resume(case, {"REPLIED"})
    assert (plan.changes, plan.own_ladder, plan.lead) == ({}, {}, {})
    assert ladder_in_the_way(case, "REPLIED") == 8
    assert ladder_in_the_way(case, "SENT") is None
    assert ladder_in_the_way(ended(replied(), running=OTHER), "REPLIED") is None  # nothing would be opened
    assert ladder_in_the_way(case_of(replied(), closed(2)), "REPLIED") is None  # it is its own that runs


@pytest.mark.parametrize(
    ("more", "ladder"),
    [
        ({}, {"status": "COMPLETED", "stop_reason": ""}),
        ({"is_promise_kept": True}, {}),
        ({"lead_status": "WON"}, {}),
        ({"running": OTHER}, {}),
        ({"reason": "stopped by hand"}, {}),
    ],
)
def test_a_ladder_of_which_no_step_is_left_has_ended_by_itself(
    more: dict[str, Any], ladder: dict[str, str]
) -> None:
    kept = more.pop("is_promise_kept", False)
    case = replace(ended(replied(), gate=None, **more), is_promise_kept=kept)
    plan = decide_resume(case, {"REPLIED"})
    assert plan.own_ladder == ladder
    assert plan.lead.get("status") == ("WORKING" if ladder else None)


def test_without_a_completed_step_it_is_stopped() -> None:
    task = step(1, status="SKIPPED", outcome="REPLIED")
    assert decide_resume(ended(task, gate=None), {"REPLIED"}).own_ladder["status"] == "STOPPED"


# --- what is taken back -----------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", ["SENT", "NO_ANSWER", "LEFT_MESSAGE"])
def test_of_an_outcome_after_which_the_ladder_went_on_nothing_is_taken_back(outcome: str) -> None:
    case = case_of(done(1), step(2))
    assert decide_reversal(case, outcome) == Plan(gate=case.gate)


@pytest.mark.parametrize("outcome", ["REACHED", "REPLIED"])
def test_what_was_promised_is_cancelled_while_it_is_open(outcome: str) -> None:
    promised = TaskState(9, "CALLBACK", "CALL", "OPEN", LATER, is_current=True, origin_id=1)
    others = replace(promised, id=10, origin_id=5), replace(promised, id=11, status="COMPLETED")
    plan = decide_reversal(ended(replied(), promised, *others, gate=None, reason="x"), outcome)
    assert plan.changes == {9: {"status": "CANCELLED", "is_current": False, "closed_reason": "corrected"}}


def test_a_number_that_was_right_is_used_again() -> None:
    case = ended(done(1, outcome="WRONG_NUMBER"), closed(2, NO_POINT, point=None), reason=NO_POINT)
    plan = decide_reversal(case, "WRONG_NUMBER")
    assert (plan.restored, plan.changes[2]["contact_point_id"]) == (MOBILE.id, MOBILE.id)
    nowhere = replace(case, task=replace(case.task, point=None))
    assert decide_reversal(nowhere, "WRONG_NUMBER").restored is None


def test_an_opt_out_ends_for_the_reason_that_is_given() -> None:
    case = ended(done(1, outcome="OPTED_OUT"), closed(2, "suppressed"), reason="suppressed")
    plan = decide_reversal(case, "OPTED_OUT", "misheard")
    assert (plan.lifts, plan.changes[2]["status"]) == ("misheard", "OPEN")
    assert decide_reversal(ended(replied(), closed(2)), "REPLIED", "misheard").lifts is None


def test_an_outcome_that_no_rule_names_is_not_taken_back() -> None:
    with pytest.raises(ValueError, match="DECEASED"):
        decide_reversal(case_of(done(1)), "DECEASED")
    assert not {"SENT", "NO_ANSWER", "LEFT_MESSAGE"} & CLOSED_BY.keys()


def test_a_ladder_that_an_undo_finds_without_steps_rests() -> None:
    case = ended(done(1, outcome="SENT"), reason="OPTED_OUT", lead_status="DEAD", rest_days=90, gate=None)
    plan = decide_resumption(case)
    assert (plan.own_ladder["status"], plan.lead["status"]) == ("COMPLETED", "NOT_NOW")
    assert plan.lead["nurture_at"] == NOW + 90 * DAY
    goes_on = decide_resumption(ended(done(1), closed(2, "OPTED_OUT"), reason="OPTED_OUT", rest_days=90))
    assert (goes_on.changes[2]["status"], goes_on.lead["status"]) == ("OPEN", "WORKING")


# --- what the task says -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("completion", "note", "said"),
    [
        (Completion("SENT"), "", ("", None, "", "SENT")),
        (Completion("REACHED"), "first", ("HANDOVER", None, "first", "REACHED")),
        (Completion("REACHED", "CALLBACK", LATER, "second"), "", ("CALLBACK", LATER, "second", "REACHED")),
        (Completion("SENT", note="second"), "first", ("", None, "first\nsecond", "SENT")),
    ],
)
def test_the_task_says_the_second_outcome_with_both_notes(
    completion: Completion, note: str, said: tuple[object, ...]
) -> None:
    plan = decide_wording(case_of(replied()), completion, " why ", note=note)
    values = plan.changes[1]
    assert tuple(values[name] for name in ("next", "next_at", "note", "corrected_to")) == said
    assert plan.correction == Correction("REPLIED", completion.outcome, "why")
    (event,) = plan.events
    assert (event.metric, event.success) == ("followup_corrected", None)
    assert event.detail == {"task": 1, "from": "REPLIED", "to": completion.outcome}


def test_the_same_outcome_with_another_next_corrects_nothing() -> None:
    plan = decide_wording(case_of(replied()), Completion("REPLIED", "CALLBACK", LATER), "x", note="")
    assert (plan.changes[1]["next"], plan.correction, plan.events) == ("CALLBACK", None, ())


# --- the whole of it --------------------------------------------------------------------------------------


def correct(case: Case, outcome: str, *, undoes: str, **said: Any) -> Plan:
    completion = Completion(outcome, **said)
    wanted = Wanted(outcome, completion.next, completion.next_at)
    return decide_correction(case, wanted, completion, "x", note="", undoes=undoes)


def test_a_reply_that_was_none_lets_the_ladder_go_on() -> None:
    promised = TaskState(9, "HANDOVER", "CALL", "OPEN", NOW, is_current=True, origin_id=1)
    plan = correct(ended(replied(), closed(2), closed(3), promised), "SENT", undoes="REPLIED")
    assert plan.next_id == 2
    assert [plan.changes[n]["status"] for n in (2, 3, 9)] == ["OPEN", "OPEN", "CANCELLED"]
    assert plan.changes[1]["corrected_to"] == "SENT"
    assert (plan.ended, plan.own_ladder["status"], plan.lead["status"]) == (None, "ACTIVE", "WORKING")
    assert plan.rejudges


def test_reached_in_the_place_of_a_reply_ends_the_ladder_that_was_opened() -> None:
    plan = correct(ended(replied(), closed(2)), "REACHED", undoes="REPLIED", next="CALLBACK", next_at=LATER)
    assert plan.ended == Ended("COMPLETED", "REACHED")
    assert plan.own_ladder["queued_at"] == LATER
    assert [gone.kinds for gone in plan.cancelled] == [("LADDER",)]
    assert plan.created is not None
    assert (plan.created["kind"], plan.created["due_at"]) == ("CALLBACK", LATER)
    assert plan.lead["status"] == "WORKING"


def test_where_nothing_is_taken_back_the_outcome_is_replaced_all_the_same() -> None:
    case = ended(done(1, outcome="OPTED_OUT"), closed(2, "OPTED_OUT"), reason="OPTED_OUT", lead_status="DEAD")
    plan = correct(case, "REPLIED", undoes="")
    assert (plan.own_ladder, plan.lifts, set(plan.changes)) == ({}, None, {1})
    assert plan.created is not None
    assert plan.lead["status"] == "HANDED_OVER"


def test_the_last_step_corrected_to_unanswered_lets_the_lead_rest() -> None:
    case = ended(replied(), rest_days=90)
    plan = correct(case, "NO_ANSWER", undoes="REPLIED")
    assert (plan.own_ladder["status"], plan.lead["status"]) == ("COMPLETED", "NOT_NOW")
    assert correct(replace(case, rest_days=0), "NO_ANSWER", undoes="REPLIED").lead["status"] == "WORKING"


def test_an_opt_out_in_the_place_of_a_reply_stops_what_was_opened() -> None:
    plan = correct(ended(replied(), closed(2)), "OPTED_OUT", undoes="REPLIED")
    assert plan.ended == Ended("STOPPED", "OPTED_OUT", stopped=True)
    assert (plan.suppresses, plan.lead["status"]) == (True, "DEAD")
    assert [gone.kinds for gone in plan.cancelled] == [()]


def test_of_two_plans_what_follows_counts() -> None:
    first = Plan(
        changes={1: {"a": 1, "b": 1}, 2: {"a": 1}}, lead={"status": "WORKING"}, restored=4, lifts="x"
    )
    second = Plan(changes={1: {"b": 2}, 3: {"a": 3}}, lead={"status": "DEAD"}, next_id=3)
    both = first.then(second)
    assert both.changes == {1: {"a": 1, "b": 2}, 2: {"a": 1}, 3: {"a": 3}}
    assert (both.lead, both.restored, both.lifts, both.next_id) == ({"status": "DEAD"}, 4, "x", 3)

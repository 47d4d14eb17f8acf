"""Every verb has an execution class, and the switches stop it before it does anything: found, not listed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from governance.core.errors import Unavailable
from governance.core.verbs import Execution
from governance.golive.models import GoLiveState
from valhalla.tests.verbs import (
    door_functions,
    execution_of,
    name_of,
    named_in,
    of_class,
    reached_from,
    verbs,
)

PROD, SANDBOX, OBSERVE = Execution.PROD_EXEC, Execution.SANDBOX_EXEC, Execution.OBSERVE_ONLY

# Functions with `by` and `at` that are no verbs. Whoever adds a function puts `@verb` on it, or a line here.

# they read, or compare what was read
READS = {
    "followups.services.task_list.beside",
    "followups.services.task_list.mark",
    "followups.services.closers.closers_for",
    "followups.services.guards.require_claim",
    "followups.services.corrections.may_be_corrected",
    "followups.services.locked_task.task_for_lead",
    "followups.services.guards.holds",
    "followups.services.guards.may_work",
    "followups.services.guards.require_object",
    "followups.services.due.due_tasks",
    "followups.services.due.overdue_of",
    "followups.services.presses.presses_of_others",
    "followups.services.opt_outs.presses_to_undo",
    "followups.services.reading.held_claims",
    "followups.services.claims.handovers_now",
    "followups.services.queue.most_urgent",
    "followups.services.reading.look_at",
    "followups.services.sharing.leads_with_number",
    "followups.services.next_steps.next_step_of",
    "followups.services.team.day_of",
    "followups.services.waiting.waiting_for",
    "governance.core.rest.exports.export",
    "governance.core.spreadsheets.log_export",  # the record of what was read
}
# they run inside a verb's transaction, which was checked when it began
STEPS = {
    "followups.services.lookup_limits.check_lookups",
    "followups.services.claims.lease",
    "followups.services.closing.settle_lead",
    "followups.services.locked_task.lock_task",
    "followups.services.ladders.begin",
    "followups.services.ladders.begin_all",
    "followups.services.plans.emit_events",
    "followups.services.ladders.stop_ladders_of",
    "followups.services.ladders.stop_running",
    "followups.services.leads.save_changed",
    "followups.services.leads.take_tasks_along",
    "followups.services.upserts.merge",
    "followups.services.leads.fill_in",
    "followups.services.leads.find_or_create",
    "followups.services.leads.stop_for_suppressed",
    "followups.services.rescheduling.realign_leads",
    "followups.services.rescheduling.realign_locked",
    "followups.services.rescheduling.request_realigning",
    "followups.services.waiting.rejudge",
    "followups.services.waiting.release_after",
    "governance.contact.services.decision",
    "governance.heimdall.services.verdicts.tell",
    "governance.heimdall.services.recommendations.mark_used",
    "governance.heimdall.services.recommendations.use_recommendation",
    "governance.risk.services.reservations.record_answer",
    "governance.core.versions.revise",
    "offers.services.fees.release_fee",
    "offers.services.fees.reserve_fee",
    "offers.services.fees.settle_fee",
}
# they do nothing but call verbs, one after another or one of several
WHOLES = {
    "governance.contact.do_not_call.import_do_not_call",
    "governance.runbook.backups.back_up",
    "buyers.services.rebuild_liquidity",
    "buyers.services.refresh_activity",
    "followups.intake.services.import_leads",
    "followups.services.completing.complete_task",
    "followups.services.ladders.create_ladder",
    "followups.services.opt_outs.undo_opt_out",
    "followups.services.sharing.complete_for",
    "governance.retention.services.remove_expired",
    "governance.risk.services.settlement.release_stale",
    "governance.tripwire.services.evaluation.evaluate_tripwires",
}
# rooms below go-live: they keep figures, messages and people, and can set nothing in motion
BELOW = ("governance.kpi.", "governance.outbox.", "governance.accounts.")


def without_class() -> set[str]:
    return {name for name, function in verbs().items() if execution_of(function) is None}


@pytest.mark.once
def test_every_verb_has_an_execution_class() -> None:
    unknown = without_class() - READS - STEPS - WHOLES
    assert sorted(name for name in unknown if not name.startswith(BELOW)) == [], (
        "put @verb(Execution.…) of governance.core.verbs on these, or say here why they need none"
    )


@pytest.mark.once
def test_every_exception_is_still_one() -> None:
    assert sorted((READS | STEPS | WHOLES) - without_class()) == []


@pytest.mark.once
def test_the_verbs_that_everybody_knows_are_found_with_their_class() -> None:
    of = {name.rpartition(".")[2]: execution_of(function) for name, function in verbs().items()}
    stopped = {"_create", "claim_due", "start_task", "_complete", "record_feedback", "reserve_exposure"}
    assert {of[name] for name in stopped} == {PROD}
    assert of["compute_offer"] == SANDBOX
    recorded = {"record_inbound", "_record", "correct_task", "suppress", "record_consent", "release_claim"}
    slowing = {
        "stop_ladder",
        "skip_task",
        "snooze_task",
        "set_kill_switch",
        "save_reference",
        "record_outcome",
    }
    assert {of[name] for name in recorded | slowing} == {OBSERVE}
    assert len(verbs()) > 50


def a_new_verb(task_id: int, *, by: object, at: object) -> None:
    """A verb that somebody wrote without a class."""


@pytest.mark.once
def test_a_new_verb_without_a_class_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    import followups.services.planning as room

    monkeypatch.setattr(a_new_verb, "__module__", room.__name__)
    monkeypatch.setattr(room, "a_new_verb", a_new_verb, raising=False)

    assert "followups.services.planning.a_new_verb" in without_class()
    with pytest.raises(AssertionError, match="a_new_verb"):
        test_every_verb_has_an_execution_class()


@pytest.mark.once
def test_what_does_nothing_but_call_verbs_does_call_them() -> None:
    found = verbs()
    for name in WHOLES:
        assert any(execution_of(other) for other in reached_from(found[name]).values()), name


@pytest.mark.once
def test_no_door_takes_a_step_outside_of_a_verb() -> None:
    """A step asks no switch itself: named by a door it would pass them."""
    realigning = "followups.services.rescheduling.request_realigning"  # it asks for a job, and moves nothing
    found = {
        (name_of(function), name_of(step))
        for function in door_functions()
        for step in named_in(function)
        if name_of(step) in STEPS - {realigning}
    }
    assert found == set()


# --- the switches -------------------------------------------------------------------------------------------


def answer_of(function: Callable[..., object]) -> str:
    """Call a verb with nothing at all: what the switches stop never learns of it."""
    try:
        function()
    except Unavailable as refusal:
        return refusal.code
    except TypeError:
        return "let in"
    return "done"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("live", "killed", "expected"),
    [
        (False, False, {PROD: "go_live_disabled", SANDBOX: "let in", OBSERVE: "let in"}),
        (True, False, {PROD: "let in", SANDBOX: "let in", OBSERVE: "let in"}),
        (True, True, {PROD: "kill_switch_engaged", SANDBOX: "kill_switch_engaged", OBSERVE: "let in"}),
        (False, True, {PROD: "kill_switch_engaged", SANDBOX: "kill_switch_engaged", OBSERVE: "let in"}),
    ],
    ids=["go-live off", "live", "live and killed", "off and killed"],
)
def test_each_verb_is_stopped_or_let_in_as_its_class_says(
    settings: Settings, live: bool, killed: bool, expected: dict[Execution, str]
) -> None:
    settings.GO_LIVE_ENFORCE = True
    GoLiveState.objects.update(go_live_enabled=live, kill_switch_engaged=killed)

    told = {
        name: (answer_of(function), expected[cls])
        for name, function in verbs().items()
        if (cls := execution_of(function)) is not None
    }

    assert {name: both for name, both in told.items() if both[0] != both[1]} == {}


def asked_by(function: Callable[..., object]) -> list[str]:
    """Return which of the lock and the switches a verb's statements ask, in order."""
    with CaptureQueriesContext(connection) as captured:
        assert answer_of(function) == "let in"
    asks = {"lock": "pg_advisory_xact_lock_shared", "switches": "governance_golivestate"}
    return [
        "+".join(found)
        for query in captured.captured_queries
        if (found := [name for name, text in asks.items() if text in query["sql"]])
    ]


@pytest.mark.postgres
@pytest.mark.django_db
def test_what_a_switch_stops_shares_its_lock_in_a_statement_before_it_reads_them(settings: Settings) -> None:
    settings.GO_LIVE_ENFORCE = True
    GoLiveState.objects.update(go_live_enabled=True, kill_switch_engaged=False)
    expected: dict[object, list[str]] = {
        PROD: ["lock", "switches"],
        SANDBOX: ["lock", "switches"],
        OBSERVE: [],
    }

    seen = {name: (asked_by(function), expected[cls]) for name, (function, cls) in _classed().items()}

    assert {name: both for name, both in seen.items() if both[0] != both[1]} == {}
    assert sum(wanted != [] for _asked, wanted in seen.values()) >= 10


def _classed() -> dict[str, tuple[Callable[..., object], Execution]]:
    return {
        name: (function, cls)
        for name, function in verbs().items()
        if (cls := execution_of(function)) is not None
    }


@pytest.mark.once
def test_what_slows_down_stops_or_records_calls_nothing_that_a_switch_stops() -> None:
    """Else an opt-out would fail under the kill switch, inside a verb that passes it."""
    moving = of_class(PROD, SANDBOX)
    assert moving
    found = {
        name: sorted(set(reached_from(function)) & set(moving))
        for name, function in of_class(OBSERVE).items()
    }

    assert {name: stopped for name, stopped in found.items() if stopped} == {}

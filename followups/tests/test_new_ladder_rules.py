"""A ladder that begins, decided on plain values: no database is asked."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from followups.rules import DEFAULT_STEPS, Step
from followups.rules.holders import Holder, Holders
from followups.rules.lead_gate import LeadGate, PointState
from followups.rules.new_ladder import Beginning, Decided, NewSteps, decide_ladder, refusal_of
from followups.tests.cases import HOME, MOBILE, MORNING, gate_at
from followups.tests.factories import DAY, HOUR, MINUTE, NOW, at
from governance.contact.frequency import ContactRow
from governance.contact.national_list import AreaList, ListedNumber
from governance.contact.rules import ConsentRow, SuppressionRow
from governance.contact.services import GateContext, Where
from governance.core.places import ALL, Place
from governance.market.rules import DEFAULT_RULES
from governance.market.timeline import PolicyRow

pytestmark = pytest.mark.once
MAIL = PointState(3, "EMAIL", "mail")
NOBODY = Holders({}, frozenset())
ANNE = Beginning(1, "Anne", "ON", DEFAULT_STEPS)
THEIRS = Holder("mobile", 2, "Anne", 5, NOW - HOUR)
MIXED = (Step("SMS"), Step("EMAIL", minutes=60), Step("CALL", days=1))


def begun(beginning: Beginning = ANNE, gate: LeadGate | None = None, holders: Holders = NOBODY) -> NewSteps:
    plan = decide_ladder(beginning, gate or gate_at(NOW, MOBILE), holders)
    assert plan.begun is not None
    return plan.begun


def values(new: NewSteps, name: str) -> list[Any]:
    return [step[name] for step in new.steps]


def held_by(*holders: Holder, shared: str = "") -> Holders:
    by_digest: dict[str, list[Holder]] = {}
    for holder in holders:
        by_digest.setdefault(holder.digest, []).append(holder)
    return Holders(by_digest, frozenset({shared} - {""}))


def stopped(gate: LeadGate, *channels: str, lifted: bool = False) -> LeadGate:
    stop = SuppressionRow(1, "mobile", "", False, NOW - HOUR)
    lift = (SuppressionRow(2, "mobile", "", True, NOW - MINUTE),) if lifted else ()
    questions = {
        channel: replace(question, suppressions=(stop, *lift)) if channel in channels else question
        for channel, question in gate.questions.items()
    }
    return replace(gate, questions=questions)


# --- when its steps are due -------------------------------------------------------------------------------


def test_its_steps_are_due_by_the_cadence_and_the_first_is_current() -> None:
    plan = decide_ladder(ANNE, gate_at(NOW, MOBILE), NOBODY)
    new = begun()
    assert values(new, "due_at")[:3] == [NOW, NOW + 30 * MINUTE, NOW + 3 * HOUR]
    assert values(new, "is_current") == [True, *[False] * 5]
    assert set(values(new, "contact_point_id")) == {MOBILE.id}
    assert plan.lead == {"status": "WORKING", "follow_up_at": None, "nurture_at": None, "updated_at": NOW}
    (event,) = plan.events
    assert (event.metric, event.success) == ("ladder_created", True)
    assert event.detail == {"province": "ON", "steps": 6, "nurture": False}


def test_at_night_the_first_step_waits_for_the_morning() -> None:
    night = at(25, "22:30")
    new = begun(gate=gate_at(night, MOBILE))
    assert (new.steps[0]["scheduled_for"], new.steps[0]["due_at"]) == (night, MORNING)
    assert new.steps[1]["due_at"] == MORNING + 30 * MINUTE


def test_the_cap_counts_the_steps_before() -> None:
    rules = DEFAULT_RULES.as_json() | {"max_contacts_per_day": 1}
    book = GateContext(NOW, {("ON", ALL): (PolicyRow(1, "ON", ALL, ALL, True, rules, "", 1),)}, [], [])
    new = begun(gate=replace(gate_at(NOW, MOBILE), book=book))
    assert new.steps[0]["due_at"] == NOW
    assert new.steps[1]["due_at"] == MORNING


def test_a_step_whose_list_is_too_old_is_held_and_the_rest_goes_on() -> None:
    old = ListedNumber("mobile", AreaList("416", (NOW - 60 * DAY).date(), NOW - 60 * DAY))
    gate = gate_at(NOW, MOBILE)
    gate = replace(
        gate, questions={**gate.questions, "CALL": replace(gate.questions["CALL"], numbers=(old,))}
    )
    assert refusal_of(gate, ["CALL"]) == ""
    new = begun(gate=gate)
    assert values(new, "held_reason") == ["", "dncl_stale"] * 3
    assert values(new, "due_at")[1] is None


@pytest.mark.parametrize(
    ("points", "statuses", "used"),
    [
        ((), ["OPEN", "OPEN", "OPEN"], [None, None, None]),
        ((MOBILE,), ["OPEN", "SKIPPED", "OPEN"], [1, None, 1]),
        ((MAIL,), ["SKIPPED", "OPEN", "SKIPPED"], [None, 3, None]),
        ((replace(MOBILE, usable=False), HOME, MAIL), ["OPEN", "OPEN", "OPEN"], [2, 3, 2]),
    ],
)
def test_steps_take_the_first_usable_point_of_their_channel(
    points: tuple[PointState, ...], statuses: list[str], used: list[int | None]
) -> None:
    new = begun(replace(ANNE, steps=MIXED), gate_at(NOW, *points))
    assert values(new, "status") == statuses
    assert values(new, "contact_point_id") == used
    assert [step["closed_reason"] for step in new.steps if step["status"] == "SKIPPED"] == [
        "no_contact_point" for status in statuses if status == "SKIPPED"
    ]
    assert [step["is_current"] for step in new.steps].index(True) == statuses.index("OPEN")


# --- who may begin one ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gate", "channels", "reason"),
    [
        (gate_at(NOW, MOBILE), ["SMS", "CALL"], ""),
        (gate_at(NOW), ["SMS"], ""),  # nobody's numbers are known: somebody else keeps them
        (gate_at(at(25, "23:00"), MOBILE), ["SMS"], ""),  # another hour changes that
        (gate_at(NOW, MAIL), ["SMS", "CALL"], "no_contact_point"),
        (gate_at(NOW, replace(MOBILE, usable=False)), ["SMS"], "no_contact_point"),
        (stopped(gate_at(NOW, MOBILE), "SMS"), ["SMS", "CALL"], "suppressed"),
        (stopped(gate_at(NOW, MOBILE), "SMS", lifted=True), ["SMS", "CALL"], ""),
        (stopped(gate_at(NOW, MAIL), "SMS"), ["SMS", "EMAIL"], ""),  # no step would reach the number
    ],
)
def test_what_refuses_a_whole_ladder(gate: LeadGate, channels: list[str], reason: str) -> None:
    assert refusal_of(gate, channels) == reason


def test_a_lifted_stop_ends_and_one_that_is_newer_stands() -> None:
    gate = stopped(gate_at(NOW, MOBILE), "SMS", "CALL")
    assert refusal_of(gate.lifted(NOW), ["SMS", "CALL"]) == ""
    assert refusal_of(gate.lifted(NOW - 2 * HOUR), ["SMS"]) == "suppressed"


# --- many leads at once -----------------------------------------------------------------------------------


def with_rules(gate: LeadGate, **rules: object) -> LeadGate:
    policy = PolicyRow(1, "ON", ALL, ALL, True, DEFAULT_RULES.as_json() | rules, "", 1)
    return replace(gate, book=GateContext(gate.at, {("ON", ALL): (policy,)}, [], []))


def with_questions(gate: LeadGate, channel: str = "", **values: Any) -> LeadGate:
    questions = {
        name: replace(question, **values) if channel in ("", name) else question
        for name, question in gate.questions.items()
    }
    return replace(gate, questions=questions)


def listed(gate: LeadGate, digest: str, days: int) -> LeadGate:
    area = AreaList("416", (NOW - days * DAY).date(), NOW - days * DAY)
    return with_questions(gate, "CALL", numbers=(ListedNumber(digest, area, digest),))


CONSENT = ConsentRow(1, "mobile", "SMS", "EXPRESS", NOW - DAY, None)
ASKS_CONSENT = {"consent_required_channels": ["SMS"]}
DIFFERENT: dict[str, LeadGate] = {
    "a phone": gate_at(NOW, MOBILE),
    "a later instant": gate_at(NOW + MINUTE, MOBILE),
    "at night": gate_at(at(25, "22:30"), MOBILE),
    "an address": gate_at(NOW, MAIL),
    "both": gate_at(NOW, MOBILE, MAIL),
    "both, the other way round": gate_at(NOW, MAIL, MOBILE),
    "two phones": gate_at(NOW, MOBILE, HOME),
    "the first of two is wrong": gate_at(NOW, replace(MOBILE, usable=False), HOME),
    "nothing": gate_at(NOW),
    "another zone": replace(gate_at(NOW, MOBILE), where=Where(Place("ON"), "America/Winnipeg")),
    "a cap": with_rules(gate_at(NOW, MOBILE), max_contacts_per_day=1),
    "one channel": with_rules(gate_at(NOW, MOBILE), channels_allowed=["SMS"]),
    "a high minimum": with_rules(gate_at(NOW, MOBILE), min_lead_score_to_contact=0.85),
    "a low score": with_questions(gate_at(NOW, MOBILE), score=Decimal("0.1")),
    "no score": with_questions(gate_at(NOW, MOBILE), score=None),
    "no consent": with_rules(gate_at(NOW, MOBILE), **ASKS_CONSENT),
    "a consent": with_questions(with_rules(gate_at(NOW, MOBILE), **ASKS_CONSENT), consents=(CONSENT,)),
    "a stop": stopped(gate_at(NOW, MOBILE), "SMS", "CALL"),
    "a contact": with_questions(
        with_rules(gate_at(NOW, MOBILE), max_contacts_per_day=1),
        contacts=(ContactRow(1, "mobile", "CALL", NOW - HOUR),),
    ),
    "a list": listed(gate_at(NOW, MOBILE, HOME), "mobile", 3),
    "an old list": listed(gate_at(NOW, MOBILE, HOME), "mobile", 60),
    "an old list of the other number": listed(gate_at(NOW, MOBILE, HOME), "home", 60),
    "no policy": replace(gate_at(NOW, MOBILE), book=GateContext(NOW, {}, [], [])),
}


def test_what_is_decided_once_for_many_is_what_is_decided_for_each() -> None:
    decided = Decided()
    for _again in range(2):
        for who, gate in DIFFERENT.items():
            for steps in (DEFAULT_STEPS, MIXED):
                one = replace(ANNE, steps=steps)
                channels = [step.channel for step in steps]
                assert refusal_of(gate, channels, decided) == refusal_of(gate, channels), who
                for holders in (NOBODY, held_by(THEIRS)):
                    alone = decide_ladder(one, gate, holders)
                    assert decide_ladder(one, gate, holders, decided) == alone, who


def test_leads_whom_the_gate_treats_alike_are_decided_once_each_with_their_own_point() -> None:
    decided = Decided()
    other = PointState(9, "PHONE", "another")
    first = decide_ladder(ANNE, gate_at(NOW, MOBILE), NOBODY, decided).begun
    better = with_questions(gate_at(NOW, other), score=Decimal("0.95"))
    second = decide_ladder(ANNE, replace(better, book=gate_at(NOW).book), NOBODY, decided).begun
    assert first is not None
    assert second is not None
    assert len(decided.steps) == 1
    assert (set(values(first, "contact_point_id")), set(values(second, "contact_point_id"))) == ({1}, {9})


# --- whom it waits for ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("holders", "waits", "is_shared"),
    [
        (NOBODY, False, False),
        (held_by(THEIRS), True, False),
        (held_by(replace(THEIRS, name="")), True, False),
        (held_by(replace(THEIRS, name="ANNE ")), True, False),
        (held_by(replace(THEIRS, name="Bob")), False, True),
        (held_by(replace(THEIRS, lead_id=1)), False, False),  # their own
        (held_by(THEIRS, shared="mobile"), False, True),
        (held_by(replace(THEIRS, digest="home")), False, False),
        (held_by(replace(THEIRS, queued_at=None)), True, False),
        (held_by(replace(THEIRS, queued_at=NOW + HOUR)), True, False),  # of a clock that is ahead
    ],
)
def test_whose_ladder_it_waits_for(holders: Holders, waits: bool, is_shared: bool) -> None:
    new = begun(holders=holders)
    assert {*values(new, "held_reason")} == ({"person_active"} if waits else {""})
    assert (new.behind is not None, new.is_shared) == (waits, is_shared)
    if waits:
        assert set(values(new, "due_at")) == {None}
        assert values(new, "is_current") == [True, *[False] * 5]


def test_a_channel_with_a_point_of_its_own_runs_on() -> None:
    new = begun(replace(ANNE, steps=MIXED), gate_at(NOW, MOBILE, MAIL), held_by(THEIRS))
    assert values(new, "held_reason") == ["person_active", "", "person_active"]
    assert values(new, "is_current") == [False, True, False]
    other = begun(gate=gate_at(NOW, MOBILE, HOME), holders=held_by(THEIRS))
    assert (set(values(other, "contact_point_id")), other.behind) == ({HOME.id}, None)


def test_it_comes_after_all_that_run_for_its_numbers_and_the_next_one_after_it() -> None:
    ahead = replace(THEIRS, queued_at=NOW + MINUTE)
    first = begun(holders=held_by(ahead, replace(THEIRS, digest="home", queued_at=NOW + HOUR)))
    assert first.mine.queued_at == NOW + MINUTE + timedelta(microseconds=1)
    then = NOBODY.having(begun().mine, [MOBILE, replace(HOME, usable=False)])
    assert [*then.by_digest] == ["mobile"]
    second = begun(replace(ANNE, lead_id=2), holders=then)
    assert second.mine.queued_at == NOW + timedelta(microseconds=1)
    assert second.behind is not None
    assert second.behind.lead_id == 1

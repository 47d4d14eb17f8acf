"""How often a number or address is contacted: our own cap, over all leads and channels."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given, settings
from hypothesis import strategies as st

from followups.models import FollowUpTask, LadderTemplate, Lead
from followups.rules import DEFAULT_STEPS, due_times
from followups.rules.lead_gate import with_contact
from followups.services import (
    Completion,
    correct_task,
    due_tasks,
    record_inbound,
    start_task,
)
from followups.services.rescheduling import realign_leads
from followups.tests.factories import (
    DAY,
    EMAIL,
    HOUR,
    MINUTE,
    PHONE,
    TORONTO,
    LeadFactory,
    PointFactory,
    at,
    finish,
    fresh,
    ladder,
    local_times,
    set_policy,
    steps_of,
)
from governance.contact.rules import Calendar, OpenHours, Question, judge, next_allowed
from governance.contact.services import can_contact, judge_again
from governance.core.actors import Actor
from governance.core.errors import Refused
from governance.core.places import ZONES
from governance.market.rules import DEFAULT_RULES
from governance.models import ContactDecision, OutboxMessage, User

People = Callable[..., Actor]
pytestmark = [pytest.mark.both, pytest.mark.django_db]

MORNING = at(25, "09:30")  # a Wednesday
ALL_ZONES = [(province, zone) for province, zones in sorted(ZONES.items()) for zone in zones]


def contacted(
    when: datetime, *, phone: str = PHONE, email: str = "", channel: str = "SMS", **other: object
) -> FollowUpTask:
    """Write a contact that another lead's ladder made."""
    lead = LeadFactory.create(external_id=f"other-{Lead.objects.count()}")
    kind = "EMAIL" if email else "PHONE"
    point = PointFactory.create(lead=lead, kind=kind, value=email or phone)
    values = {"kind": "LADDER", "status": "COMPLETED", "outcome": "SENT", "gate_allowed": True, **other}
    return FollowUpTask.objects.create(
        lead=lead, channel=channel, province="ON", market_key="ALL", contact_point=point, zone="x",
        scheduled_for=when, created_at=when, contacted_at=when, completed_at=when, **values,
    )  # fmt: skip


def reason(when: datetime, channel: str = "SMS", **other: Any) -> str:
    place = {"province": "ON", "market": "TORONTO", "phone": PHONE, **other}
    return can_contact(channel=channel, at=when, **place).verdict.reason


# --- what counts ------------------------------------------------------------------------------------------


def test_the_fourth_contact_of_a_local_day_comes_too_soon_whatever_lead_and_channel() -> None:
    contacted(MORNING)
    contacted(MORNING + HOUR, channel="CALL", outcome="NO_ANSWER")
    assert reason(MORNING + 2 * HOUR, "CALL") == "within_window"
    contacted(MORNING + 2 * HOUR)
    answer = can_contact(channel="CALL", at=MORNING + 3 * HOUR, province="ON", market="TORONTO", phone=PHONE)
    assert (answer.verdict.reason, answer.verdict.overridable) == ("too_soon", True)
    assert answer.next_allowed_at == at(26, "09:00")
    assert answer.verdict.checks[-1].as_json() == {
        "check": "frequency",
        "result": "fail",
        "reason": "too_soon",
    }
    assert reason(MORNING + 3 * HOUR, phone="+14165550123") == "within_window"
    assert reason(MORNING + 3 * HOUR, "EMAIL", phone="", email=EMAIL) == "within_window"


def test_an_address_is_counted_as_a_number_is() -> None:
    for hours in range(3):
        contacted(MORNING + hours * HOUR, email=EMAIL, channel="EMAIL")
    assert reason(MORNING + 4 * HOUR, "EMAIL", phone="", email=EMAIL) == "too_soon"
    assert reason(MORNING + 4 * HOUR) == "within_window"


def test_the_day_is_the_local_one() -> None:
    for clock in ("15:30", "15:45", "16:00"):
        contacted(at(24, clock, zone="America/Vancouver"))
    there = {"province": "BC", "market": "VANCOUVER"}
    assert reason(at(24, "19:30", zone="America/Vancouver"), **there) == "too_soon", "it is the 25th in UTC"
    assert reason(at(25, "09:00", zone="America/Vancouver"), **there) == "within_window"


def test_the_seventh_contact_of_seven_local_days_comes_too_soon() -> None:
    for day in range(19, 25):
        contacted(at(day, "12:00"))
    answer = can_contact(channel="SMS", at=MORNING, province="ON", market="TORONTO", phone=PHONE)
    assert answer.verdict.reason == "too_soon"
    assert answer.next_allowed_at == at(26, "09:00"), "the contact of the 19th is seven days back"
    assert reason(at(26, "09:00")) == "within_window"


@pytest.mark.parametrize(
    "other",
    [
        {"kind": "CALLBACK"},
        {"kind": "HANDOVER"},
        {"outcome": "WRONG_NUMBER"},
        {"outcome": "NO_ANSWER", "corrected_to": "WRONG_NUMBER"},
        {"outcome": "REPLIED", "gate_allowed": None},
        {"status": "CANCELLED", "gate_allowed": None},
    ],
)
def test_what_is_no_unprompted_contact_does_not_count(other: dict[str, Any]) -> None:
    for minutes in (0, 30):
        contacted(MORNING + minutes * MINUTE)
    contacted(MORNING + HOUR, **other)
    assert reason(MORNING + 2 * HOUR) == "within_window"


def test_a_wrong_number_that_was_none_counts() -> None:
    for minutes in (0, 30):
        contacted(MORNING + minutes * MINUTE)
    contacted(
        MORNING + HOUR, channel="CALL", outcome="WRONG_NUMBER", corrected_to="NO_ANSWER", gate_allowed=None
    )
    assert reason(MORNING + 2 * HOUR) == "too_soon"


def test_calls_within_ten_minutes_count_once() -> None:
    for minutes in (0, 5, 10, 60, 66):
        contacted(MORNING + minutes * MINUTE, channel="CALL", outcome="NO_ANSWER")
    assert reason(MORNING + 2 * HOUR) == "within_window"
    contacted(MORNING + 2 * HOUR, channel="CALL", outcome="NO_ANSWER")
    assert reason(MORNING + 2 * HOUR + 10 * MINUTE, "CALL") == "within_window", "the same attempt"
    assert reason(MORNING + 2 * HOUR + 11 * MINUTE, "CALL") == "too_soon"
    assert reason(MORNING + 2 * HOUR + 5 * MINUTE, "SMS") == "too_soon", "a text is not a redial"


def test_answers_within_a_day_neither_count_nor_are_refused(by: People) -> None:
    for hours in range(3):
        contacted(MORNING + hours * HOUR)
    assert reason(MORNING + 4 * HOUR) == "too_soon"
    record_inbound(
        Lead.objects.order_by("pk")[0].external_id, by=by("VA"), at=MORNING + 4 * HOUR, channel="CALL"
    )
    assert reason(MORNING + 5 * HOUR) == "within_window"
    contacted(MORNING + 5 * HOUR)
    set_policy(by("MANAGER"), rules={"max_contacts_per_day": 4})
    assert reason(MORNING + 29 * HOUR) == "within_window"
    assert reason(at(26, "19:00")) == "within_window", "the answer did not count"


def test_the_policy_says_how_often(by: People) -> None:
    contacted(MORNING)
    rules = {"max_contacts_per_day": 1, "max_contacts_per_7_days": 2}
    set_policy(by("MANAGER"), MORNING, rules=rules)
    assert reason(MORNING + HOUR) == "too_soon"
    assert reason(at(26, "10:00")) == "within_window"


# --- tasks ------------------------------------------------------------------------------------------------


def capped(by: People, lead_id: str = "L-1") -> FollowUpTask:
    """Return the first task of a ladder whose number was contacted three times that morning."""
    for minutes in (0, 20, 40):
        contacted(MORNING + minutes * MINUTE)
    return ladder(by("VA"), lead_id, start=at(25, "11:00")).tasks[0]


def test_a_ladder_begins_all_the_same_and_its_steps_wait_for_the_next_day(by: People) -> None:
    task = capped(by)
    assert local_times([task]) == ["Thu 26 09:00"]


def test_a_refusal_names_the_next_time_and_a_closer_overrides_it(by: People) -> None:
    task = capped(by)
    with pytest.raises(Refused) as refusal:
        start_task(task.pk, by=by("VA"), at=at(25, "12:00"))
    assert (refusal.value.code, refusal.value.extra["reason"]) == ("contact_denied", "too_soon")
    assert refusal.value.extra["next_allowed_at"] == at(26, "09:00")
    finish(task, by("CLOSER"), at(25, "12:00"), override_reason="she asked for the text")
    kept = ContactDecision.objects.get(overridden=True)
    assert (kept.reason, len(kept.basis["contacts"])) == ("too_soon", 3)


def test_a_contact_that_took_place_is_recorded_and_managers_are_told(by: People) -> None:
    by("MANAGER", "mona")
    User.objects.filter(username="mona").update(email="mona@example.ca")
    finish(capped(by), by("VA"), at(25, "12:00"), happened=True)
    assert ContactDecision.objects.get(happened=True).reason == "too_soon"
    assert OutboxMessage.objects.filter(kind="contact_against_gate").exists()


def test_a_decision_is_judged_again_to_the_same_answer_after_corrections(by: People) -> None:
    task = capped(by)
    finish(task, by("CLOSER"), at(25, "12:00"), override_reason="she asked for the text")
    FollowUpTask.objects.filter(contacted_at__lt=at(25, "12:00")).update(corrected_to="WRONG_NUMBER")
    for kept in ContactDecision.objects.all():
        verdict = judge_again(kept)
        assert (verdict.ok, verdict.reason, verdict.basis) == (kept.ok, kept.reason, kept.basis)


def test_correcting_a_contact_to_a_wrong_number_takes_it_out(by: People) -> None:
    made = ladder(by("VA"), start=MORNING)
    done = finish(made.tasks[0], by("VA"), MORNING)
    for minutes in (30, 60):
        contacted(MORNING + minutes * MINUTE)
    assert reason(at(25, "12:00")) == "too_soon"
    correct_task(
        done.task.pk, Completion(outcome="WRONG_NUMBER"), by=by("VA"), at=at(25, "11:00"), reason="typo"
    )
    assert reason(at(25, "12:00")) == "within_window"


def test_a_callback_and_a_handover_are_not_held_back(by: People) -> None:
    for minutes in (0, 20):
        contacted(MORNING + minutes * MINUTE)
    made = ladder(by("VA"), start=at(25, "10:30"))
    done = finish(made.tasks[0], by("VA"), at(25, "10:30"))
    assert done.next_task is not None
    done = finish(
        done.next_task,
        by("CLOSER"),
        at(25, "11:00"),
        "REACHED",
        next="CALLBACK",
        next_at=at(25, "15:00"),
        override_reason="she answers now",
    )
    assert done.next_task is not None
    assert done.next_task.due_at == at(25, "15:00")
    start_task(done.next_task.pk, by=by("CLOSER"), at=at(25, "15:00"))


def test_a_ladder_that_is_a_week_late_does_not_pack_its_steps_into_one_day(by: People) -> None:
    made = ladder(by("VA"), phone=PHONE, email=EMAIL, start=at(2, "09:30"))
    now, days = at(23, "09:00"), []
    task: FollowUpTask | None = made.tasks[0]
    while task is not None:
        task = fresh(task)
        answer = can_contact(channel=task.channel, at=max(now, task.due_at or now), lead_id="L-1")
        assert answer.next_allowed_at is not None
        now = answer.next_allowed_at
        days.append(now.astimezone(TORONTO).date())
        task = finish(task, by("VA"), now).next_task
        now += MINUTE
    assert len(days) == 6
    phoned = [day for day, done in zip(days, steps_of(made), strict=True) if done.channel != "EMAIL"]
    assert max(phoned.count(day) for day in phoned) <= 3


def test_planned_steps_count_for_those_after_them(by: People) -> None:
    template = LadderTemplate.objects.get(province="")
    steps = [{"channel": "SMS", "delay": {"minutes": 40 * n}} for n in range(6)]
    LadderTemplate.objects.filter(pk=template.pk).update(steps=steps)
    made = ladder(by("VA"), start=MORNING)
    planned = ["Wed 25 09:30", "Wed 25 10:10", "Wed 25 10:50", "Thu 26 09:00", "Thu 26 09:30", "Thu 26 10:00"]
    assert local_times(steps_of(made)) == planned
    realign_leads([made.ladder.lead_id], at=MORNING + MINUTE, by=by("MANAGER"))
    assert local_times(steps_of(made)) == planned
    finish(made.tasks[0], by("VA"), MORNING + 2 * MINUTE)
    assert local_times(steps_of(made)[1:]) == planned[1:]
    contacted(MORNING + 5 * MINUTE)
    finish(made.tasks[1], by("VA"), at(25, "10:10"))
    assert local_times(steps_of(made)[2:])[0] == "Thu 26 09:00", "another lead's contact moves the next step"


def test_a_planned_step_counts_for_the_number_that_it_goes_to(by: People) -> None:
    """The first number is another ladder's, so the steps go to the second, which was contacted twice."""
    ladder(by("VA"), "L-1", name="Anne Tremblay", start=MORNING)
    second = "+14165550123"
    for minutes in (0, 20):
        contacted(MORNING + minutes * MINUTE, phone=second)
    lead = LeadFactory.create(external_id="L-2", name="Anne Tremblay")
    for order, number in enumerate((PHONE, second)):
        PointFactory.create(lead=lead, value=number, order=order)
    made = ladder(by("VA"), "L-2", name="", phone="", start=at(25, "11:00"))
    planned = local_times(steps_of(made))
    assert planned[:3] == ["Wed 25 11:00", "Thu 26 09:00", "Thu 26 09:30"]
    realign_leads([made.ladder.lead_id], at=at(25, "10:59"), by=by("MANAGER"))
    assert local_times(steps_of(made)) == planned


def test_the_queue_says_who_waits_for_the_cap_in_one_query(by: People) -> None:
    first = capped(by)
    others = [ladder(by("VA"), f"L-x{n}", phone=f"416555{n:04d}", start=MORNING) for n in range(5)]
    FollowUpTask.objects.filter(pk=first.pk).update(due_at=MORNING)
    with CaptureQueriesContext(connection) as few:
        rows = {row["lead_id"]: row["contact"] for row in due_tasks(by=by("VA"), at=at(25, "12:00"))}
    assert rows["L-1"]["reason"] == "too_soon"
    assert rows["L-1"]["next_allowed_at"] == at(26, "09:00")
    assert len(others) == 5
    assert sum("followups_inboundcontact" in query["sql"] for query in few.captured_queries) == 1


# --- the default ladder -----------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(
    province=st.sampled_from(sorted(ZONES)),
    every_zone=st.booleans(),
    minutes=st.integers(0, 3 * 366 * 1440),
)
def test_the_default_ladder_as_it_is_planned_never_meets_the_cap(
    province: str, every_zone: bool, minutes: int
) -> None:
    zones = ZONES[province] if every_zone else ZONES[province][-1:]
    hours = OpenHours(Calendar(province, DEFAULT_RULES, (), ()), zones)
    asked = {name: Question(name, personal=True, has_points=True) for name in ("SMS", "CALL")}

    def first_allowed(channel: str, when: datetime) -> datetime | None:
        verdict = judge(asked[channel], hours.calendar, "", zones, when)
        due = next_allowed(asked[channel], verdict, hours, when)
        if due is not None:
            assert judge(asked[channel], hours.calendar, "", zones, due).ok
        return due

    def planned_at(channel: str, when: datetime) -> datetime | None:
        nonlocal asked
        due = first_allowed(channel, when)
        if due is not None:
            asked = with_contact(asked, channel, "seller", due)
        return due

    start = datetime(2026, 1, 1, tzinfo=UTC) + minutes * MINUTE
    planned = due_times(DEFAULT_STEPS, start, zones[0], planned_at)
    for zone in zones:
        days = [step.due_at.astimezone(ZoneInfo(zone)).date() for step in planned if step.due_at]
        assert len(days) == 6
        assert max(days.count(day) for day in days) <= DEFAULT_RULES.per_day
        for first, _second in pairwise(days):
            in_week = [day for day in days if first <= day < first + 7 * DAY]
            assert len(in_week) <= DEFAULT_RULES.per_7_days


@settings(max_examples=300, deadline=None)
@given(zone=st.sampled_from(ALL_ZONES), minutes=st.integers(0, 3 * 366 * 1440))
def test_on_one_clock_the_default_ladder_needs_no_cap(zone: tuple[str, str], minutes: int) -> None:
    province, clock = zone
    hours = OpenHours(Calendar(province, DEFAULT_RULES, (), ()), [clock])
    start = datetime(2026, 1, 1, tzinfo=UTC) + minutes * MINUTE
    planned = due_times(DEFAULT_STEPS, start, clock, lambda _channel, when: hours.next_open(when))
    days = [step.due_at.astimezone(ZoneInfo(clock)).date() for step in planned if step.due_at]
    assert len(days) == 6
    assert max(days.count(day) for day in days) <= DEFAULT_RULES.per_day
    assert all(
        sum(first <= day < first + 7 * DAY for day in days) <= DEFAULT_RULES.per_7_days for first in days
    )


def test_contacts_are_found_by_an_index() -> None:
    with CaptureQueriesContext(connection) as captured:
        reason(MORNING)
    (sql,) = [query["sql"] for query in captured.captured_queries if "inboundcontact" in query["sql"]]
    postgres = connection.vendor == "postgresql"
    with connection.cursor() as cursor:
        if postgres:  # else it walks through tables as small as these
            cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"EXPLAIN {'' if postgres else 'QUERY PLAN'} {sql}")
        plan = " / ".join(str(row[0 if postgres else 3]) for row in cursor.fetchall())
    # on PostgreSQL test_plans.py asks which one, with a volume: a table as small as this has no best index
    assert postgres or "task_contacts" in plan
    assert ("Seq Scan on followups" if postgres else "SCAN followups") not in plan

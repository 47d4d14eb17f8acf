"""The due queue: what can be done now, oldest or most urgent first, with the gate's word on each."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from followups.models import FollowUpTask, Lead
from followups.services import due_tasks, snooze_task, start_task
from followups.tests.factories import (
    DAY,
    EMAIL,
    HOUR,
    MINUTE,
    NOW,
    PHONE,
    PointFactory,
    at,
    finish,
    ladder,
    set_policy,
)
from governance.contact.services import suppress
from governance.core.actors import Actor
from governance.core.errors import Refused
from governance.models import Absence, ContactDecision, User

pytestmark = [pytest.mark.both, pytest.mark.django_db]
People = Callable[..., Actor]


def leads(by: Actor, when: Any = NOW, **other: Any) -> list[str]:
    return [row["lead_id"] for row in due_tasks(by=by, at=when, **other)]


def test_a_row_says_all_that_a_caller_needs(by: People) -> None:
    made = ladder(by("VA"), name="Anne", language="fr", city="Kenora", market="NORTH", owner="a-va")
    start_task(made.tasks[0].pk, by=by("VA"), at=NOW)
    (row,) = due_tasks(by=by("VA"), at=NOW + 10 * MINUTE)
    assert row == {
        "id": made.tasks[0].pk,
        "lead_id": "L-1",
        "lead": {
            "name": "Anne",
            "phone": PHONE,
            "email": None,
            "language": "fr",
            "local_time": "2026-11-25T14:40",
        },
        "province": "ON",
        "market": "NORTH",
        "zone": "America/Winnipeg",
        "channel": "SMS",
        "kind": "LADDER",
        "step": 1,
        "due_at": NOW,
        "deadline_at": None,
        "overdue_minutes": 10,
        "owner": "a-va",
        "claimed_by": "a-va",
        "contact": {"ok": True, "reason": "within_window", "next_allowed_at": NOW + 10 * MINUTE},
    }
    assert not ContactDecision.objects.exclude(door="START").exists()  # a list keeps nothing


def test_only_current_steps_that_are_due_oldest_first(by: People) -> None:
    for number, start in enumerate((NOW, NOW - HOUR, NOW - 2 * DAY, NOW + MINUTE)):
        ladder(by("VA"), f"L-{number}", start=start)
    assert leads(by("VA")) == ["L-2", "L-1", "L-0"]
    assert leads(by("VA"), limit=2) == ["L-2", "L-1"]
    assert leads(by("VA"), limit=1, offset=1) == ["L-1"]


def test_what_is_put_aside_is_hidden_until_then(by: People) -> None:
    made = ladder(by("VA"))
    snooze_task(made.tasks[0].pk, by=by("VA"), at=NOW, until=NOW + HOUR)
    assert leads(by("VA"), NOW + HOUR - MINUTE) == []
    assert leads(by("VA"), NOW + HOUR) == ["L-1"]


def test_a_va_sees_her_own_and_what_nobody_at_work_owns(by: People) -> None:
    by("VA", "gus")
    for number, owner in enumerate(("", "a-va", "Gus", "someone who left")):
        ladder(by("MANAGER"), f"L-{number}", owner=owner)
    assert leads(by("VA")) == ["L-0", "L-1", "L-3"]
    assert leads(by("VA", "gus")) == ["L-0", "L-2", "L-3"]
    for role in ("CLOSER", "MANAGER", "AUDITOR", "SERVICE"):
        assert len(leads(by(role))) == 4
    Absence.objects.create(user=User.objects.get(username="gus"), starts_at=NOW - DAY, ends_at=NOW + DAY)
    assert len(leads(by("VA"))) == 4
    User.objects.filter(username="gus").update(is_active=False)
    Absence.objects.all().delete()
    assert len(leads(by("VA"))) == 4


def test_filters(by: People) -> None:
    ladder(by("VA"), "L-1", owner="a-va")
    ladder(by("VA"), "L-2", province="QC", city="Montreal", market="Montréal")
    for wanted, found in (
        ({"province": "QC"}, ["L-2"]),
        ({"market_key": "MONTREAL"}, ["L-2"]),
        ({"owner_key": "a-va"}, ["L-1"]),
        ({"channel": "CALL"}, []),
    ):
        assert leads(by("VA"), filters=wanted) == found


def test_only_those_who_may_be_contacted_now_or_only_the_others(by: People) -> None:
    evening = at(25, "21:30")  # 19:30 in Vancouver, which no longer changes its clocks
    ladder(by("VA"), "L-1")
    ladder(by("VA"), "L-2", province="BC", city="Vancouver")
    assert leads(by("VA"), evening, contactable=True) == ["L-2"]
    assert leads(by("VA"), evening, contactable=False) == ["L-1"]
    (row,) = due_tasks(by=by("VA"), at=evening, contactable=False)
    assert row["contact"] == {
        "ok": False,
        "reason": "outside_contact_window",
        "next_allowed_at": at(26, "09:00"),
    }


def test_the_list_says_what_a_start_would_say(by: People) -> None:
    """A number that is added later and must not be called stops the person, not the number alone."""
    made = ladder(by("VA"))
    other = PointFactory.create(lead=made.ladder.lead, value="+14165550123", order=1)
    mail = PointFactory.create(lead=made.ladder.lead, kind="EMAIL", value=EMAIL, order=2)
    suppress([mail.digest], by=by("MANAGER"), at=NOW, channel="EMAIL")
    assert due_tasks(by=by("VA"), at=NOW)[0]["contact"]["ok"]
    Lead.objects.filter(pk=other.lead_id).update(status="WON")
    from governance.models import Suppression

    Suppression.objects.create(point_digest=other.digest, source="NATIONAL_LIST", at=NOW)
    assert due_tasks(by=by("VA"), at=NOW)[0]["contact"]["reason"] == "suppressed"
    with pytest.raises(Refused) as refusal:
        start_task(made.tasks[0].pk, by=by("VA"), at=NOW)
    assert refusal.value.extra["reason"] == "suppressed"


def test_a_number_found_later_serves_the_tasks_that_had_none(by: People) -> None:
    made = ladder(by("VA"), phone="")
    PointFactory.create(lead=made.ladder.lead)
    assert start_task(made.tasks[0].pk, by=by("VA"), at=NOW)["contact_point"] == PHONE
    assert due_tasks(by=by("VA"), at=NOW)[0]["lead"]["phone"] == PHONE


def test_the_most_urgent_first(by: People) -> None:
    """Promised callbacks; first steps of young leads; windows that close soon; then due time and score."""
    now = at(25, "19:15")
    old = ladder(by("VA"), "old", start=now - 5 * HOUR, score=Decimal("0.7"))
    ladder(by("VA"), "better", start=now - 5 * HOUR, score=Decimal("0.9"))
    ladder(by("VA"), "young", start=now - HOUR)
    ladder(by("VA"), "western", start=now - 6 * HOUR, province="BC", city="Vancouver")
    call = ladder(by("VA"), "call", start=now - 2 * DAY)
    finish(call.tasks[0], by("VA"), now - HOUR, outcome="REACHED", next="CALLBACK", next_at=now - 20 * MINUTE)
    assert leads(by("VA"), now, order="urgent") == ["call", "young", "better", "old", "western"]
    assert leads(by("VA"), now)[0] == "western"
    FollowUpTask.objects.filter(ladder=old.ladder).update(due_at=now - 3 * DAY)
    assert leads(by("VA"), now, order="urgent")[2] == "old"


@pytest.mark.parametrize("count", [1, 60])
def test_any_number_of_rows_takes_four_queries(by: People, count: int) -> None:
    who = by("VA")
    for number in range(count):
        ladder(who, f"L-{number}", province=("ON", "QC", "BC")[number % 3], city="")
    for extra in ({}, {"contactable": True}, {"order": "urgent"}):
        with CaptureQueriesContext(connection) as captured:
            assert len(due_tasks(by=who, at=NOW, limit=500, **extra)) == count
        assert len(captured) == 4, [q["sql"] for q in captured.captured_queries]


def test_a_policy_of_a_market_counts_for_its_leads_alone(by: People) -> None:
    from governance.core.places import Place
    from governance.market.services import upsert_policy

    ladder(by("VA"), "L-1")
    ladder(by("VA"), "L-2", market="NORTH")
    upsert_policy(Place("ON", "NORTH"), by=by("MANAGER"), at=NOW, enabled=False)
    assert [row["contact"]["reason"] for row in due_tasks(by=by("VA"), at=NOW)] == [
        "within_window",
        "policy_disabled",
    ]
    set_policy(by("MANAGER"), enabled=False)

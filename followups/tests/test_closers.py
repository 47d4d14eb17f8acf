"""Who takes a handoff: whether a closer is on shift, their free times, and handoffs for an agreed time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from followups.models import FollowUpTask, Lead
from followups.services import claim_due, due_tasks, look_up, next_task, record_inbound
from followups.services.closers import Closers, closers_for
from followups.services.reading import look_at
from followups.services.rescheduling import realign_due, request_realigning
from followups.services.task_list import beside
from followups.tests.factories import DAY, HOUR, MINUTE, NOW, at, finish, fresh, ladder, set_policy
from governance.core.actors import Actor
from governance.core.errors import Invalid
from governance.models import Absence, User, WorkProfile
from valhalla.testing import make_person

pytestmark = [pytest.mark.both, pytest.mark.django_db]
People = Callable[..., Actor]
WEEKDAYS = [{"days": [0, 1, 2, 3, 4], "start": "09:00", "end": "17:00"}]
NIGHT = at(25, "19:10")  # a Wednesday, calls are allowed until 20:00
JOB = Actor.system("tests")


def closer(name: str = "cleo", **profile: object) -> User:
    user = make_person("CLOSER", name)
    WorkProfile.objects.create(user=user, **{"shifts": WEEKDAYS, **profile})
    return user


def asked(by: People, when: datetime = NIGHT, *, role: str = "VA", lead: str = "L-1", **more: Any) -> Closers:
    """Return what a person sees on a lead's card."""
    found = FollowUpTask.objects.filter(lead__external_id=lead).first()
    task = found or ladder(by("VA"), lead, NOW, **more).tasks[0]
    look = look_at(task.pk, by=by("MANAGER"), at=when)
    return closers_for(look.task.lead, by=by(role), at=when, desk=lambda: look.desk)


def toronto(answer: Closers) -> list[str]:
    return [f"{when - 5 * HOUR:%a %d %H:%M}" for when in answer.times]  # November: five hours behind UTC


def test_while_a_closer_is_on_shift_no_times_are_offered(by: People) -> None:
    closer()
    assert asked(by, NOW) == Closers(True)


def test_a_closer_without_recorded_shifts_is_always_there(by: People) -> None:
    make_person("CLOSER", "cleo")
    assert asked(by) == Closers(True)


def test_after_their_shift_the_next_free_times_are_offered(by: People) -> None:
    closer()
    answer = asked(by)
    assert not answer.on_shift
    assert toronto(answer) == ["Thu 26 09:00", "Thu 26 11:00", "Thu 26 13:00"]


def test_shifts_are_on_the_closers_clock_and_times_are_lawful_there(by: People) -> None:
    closer(zone="America/Vancouver")
    assert asked(by, at(25, "12:05")) == Closers(True)
    # from 09:00 in Vancouver, which is two hours behind since it changes its clocks no more
    assert toronto(asked(by, at(25, "20:30"))) == ["Thu 26 11:00", "Thu 26 13:00", "Thu 26 15:00"]


def test_no_time_is_offered_at_which_the_lead_may_not_be_called(by: People) -> None:
    closer(shifts=[{"days": [0, 1, 2, 3, 4, 5, 6], "start": "06:00", "end": "08:30"}])
    assert asked(by) == Closers(False)


def test_who_is_away_is_not_there(by: People) -> None:
    user = closer()
    Absence.objects.create(user=user, starts_at=NOW - HOUR, ends_at=at(26, "13:00"))
    answer = asked(by, NOW)
    assert not answer.on_shift
    assert toronto(answer) == ["Thu 26 13:00", "Thu 26 15:00", "Fri 27 09:00"]


@pytest.mark.parametrize(
    "profile", [{"provinces": ["BC"]}, {"channels": ["SMS"]}, {"languages": ["fr"]}], ids=str
)
def test_who_does_not_take_the_lead_does_not_count(by: People, profile: dict[str, Any]) -> None:
    closer(**profile)
    assert asked(by, NOW, language="en") == Closers(False)


def test_nobody_inactive_and_no_other_role_counts(by: People) -> None:
    User.objects.filter(pk=closer().pk).update(is_active=False)
    make_person("MANAGER", "mia")
    assert asked(by, NOW) == Closers(False)


def test_a_closer_who_hands_over_is_there(by: People) -> None:
    assert asked(by, role="CLOSER") == Closers(True)


def promised(by: People, lead: str, when: datetime, said_at: datetime = NOW, **said: object) -> FollowUpTask:
    said = {"next": "HANDOVER", "next_at": when, **said}
    found = finish(ladder(by("VA"), lead, said_at).tasks[0], by("VA"), said_at, "REPLIED", **said).next_task
    assert found is not None
    return found


def test_a_booked_time_is_not_free_and_a_second_closer_makes_it_free(by: People) -> None:
    cleo = closer()
    promised(by, "L-8", at(26, "09:10"))
    callback = promised(by, "L-9", at(26, "11:30"), next="CALLBACK")
    FollowUpTask.objects.filter(pk=callback.pk).update(owner="Cleo", owner_key="cleo")
    assert toronto(asked(by)) == ["Thu 26 09:30", "Thu 26 12:00", "Thu 26 14:00"]
    assert cleo.username == "cleo"
    closer("carl")
    assert toronto(asked(by)) == ["Thu 26 09:00", "Thu 26 11:00", "Thu 26 13:00"]


def test_the_handoffs_that_wait_come_first(by: People) -> None:
    closer()
    for lead in ("L-7", "L-8"):
        finish(ladder(by("VA"), lead, at(25, "18:00")).tasks[0], by("VA"), at(25, "18:00"), "REPLIED")
    assert toronto(asked(by))[0] == "Thu 26 10:00"


def test_it_costs_one_query_while_a_closer_is_there_and_few_else(by: People) -> None:
    vera = by("VA")

    def cost(when: datetime) -> int:
        look = look_at(task.pk, by=vera, at=when)
        look.desk.first_allowed("CALL", when)
        with CaptureQueriesContext(connection) as caught:
            closers_for(look.task.lead, by=vera, at=when, desk=lambda: look.desk)
        return len(caught)

    task = ladder(by("VA")).tasks[0]
    for n in range(8):
        closer(f"closer{n}")
    assert (cost(NOW), cost(NIGHT)) == (1, 4)


# --- a handoff for an agreed time -------------------------------------------------------------------------


def test_a_handoff_for_an_agreed_time_is_due_then_with_its_own_hour(by: People) -> None:
    made = promised(by, "L-1", at(26, "11:00"))
    assert (made.kind, made.owner, made.scheduled_for, made.due_at, made.deadline_at, made.alert_at) == (
        "HANDOVER",
        "",
        at(26, "11:00"),
        at(26, "11:00"),
        at(26, "12:00"),
        at(26, "11:15"),
    )
    assert Lead.objects.get().status == "HANDED_OVER"
    before, then = at(26, "10:59"), at(26, "11:00")
    assert beside(by=by("CLOSER"), at=before, size=50).handovers == []
    assert [task.pk for task in beside(by=by("CLOSER"), at=before, size=50).soon] == [made.pk]
    assert next_task(by=by("CLOSER"), at=before) is None
    assert next_task(by=by("CLOSER"), at=then) == made.pk


def test_an_unlawful_time_is_moved_to_the_next_lawful_one(by: People) -> None:
    assert promised(by, "L-1", at(26, "07:00")).due_at == at(26, "09:00")


def test_a_time_that_is_over_means_at_once_and_one_too_far_is_refused(by: People) -> None:
    assert promised(by, "L-1", NOW - HOUR).due_at == NOW
    with pytest.raises(Invalid) as refusal:
        promised(by, "L-2", NOW + 15 * DAY)
    assert "next_at" in refusal.value.errors


def test_a_time_without_a_next_is_no_agreed_time(by: People) -> None:
    assert promised(by, "L-1", NOW + 700 * DAY, next="").due_at == NOW


def test_said_again_for_another_time_it_is_promised_anew_and_at_once_it_stays(by: People) -> None:
    made = promised(by, "L-1", at(26, "11:00"))
    said: dict[str, Any] = {
        "by": by("VA"),
        "at": NOW + HOUR,
        "channel": "CALL",
        "outcome": "REACHED",
        "next": "HANDOVER",
    }
    later = record_inbound("L-1", next_at=at(26, "15:00"), **said)[1]
    assert later is not None
    assert later.due_at == at(26, "15:00")
    assert (fresh(made).status, fresh(made).closed_reason) == ("CANCELLED", "replaced")
    assert record_inbound("L-1", **said)[1] == later
    assert FollowUpTask.objects.filter(kind="HANDOVER", status="OPEN").count() == 1


def test_realigning_keeps_an_agreed_time_unless_it_is_not_allowed_any_more(by: People) -> None:
    made = promised(by, "L-1", at(26, "11:00"))
    request_realigning("", JOB, NOW + MINUTE)
    realign_due(NOW + MINUTE)
    assert fresh(made).due_at == at(26, "11:00")
    windows = [{"days": [0, 1, 2, 3, 4], "start": "13:00", "end": "20:00"}]
    set_policy(by("MANAGER"), NOW + 2 * MINUTE, rules={"contact_windows_local": windows})
    realign_due(NOW + 3 * MINUTE)
    assert (fresh(made).due_at, fresh(made).deadline_at) == (at(26, "13:00"), at(26, "14:00"))


def test_an_inbound_call_takes_an_agreed_time_too(by: People) -> None:
    ladder(by("VA"))
    said: dict[str, Any] = {
        "channel": "CALL",
        "outcome": "REACHED",
        "next": "HANDOVER",
        "next_at": at(26, "11:00"),
    }
    following = record_inbound("L-1", by=by("VA"), at=NOW, **said)[1]
    assert following is not None
    assert following.due_at == at(26, "11:00")
    assert look_up(by=by("VA"), at=NOW, lead_id="L-1")[0]["current_task"]["due_at"] == at(26, "11:00")


# --- on the pages -----------------------------------------------------------------------------------------


@pytest.fixture
def evening() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NIGHT, tick=False) as traveller:
        yield traveller


def shown(client: Client, address: str, data: Any = None) -> str:
    answer = client.post(address, data) if data else client.get(address)
    return " ".join(answer.content.decode().split())


def va() -> Client:
    client = Client()
    client.force_login(make_person("VA", "vera"))
    return client


def test_the_card_says_before_the_choice_that_no_closer_is_there_and_offers_their_times(
    by: People, evening: time_machine.Traveller
) -> None:
    closer()
    task, client = ladder(by("VA"), start=NOW).tasks[0], va()
    card = shown(client, f"/followups/task/{task.pk}/")
    assert "No closer is on shift for this lead now. Offer one of their next free times." in card
    assert "Hand off anyway: a closer calls once they are on shift" in card
    assert "Hand off: a closer calls within the hour" not in card
    said = "REPLIED:HANDOVER:2026-11-26T11:00"
    assert f'name="said" value="{said}" data-key="5"><kbd>5</kbd> tomorrow 11:00' in card
    assert card.index("No closer is on shift") < card.index('value="REPLIED:HANDOVER"')
    answer = client.post(f"/followups/task/{task.pk}/complete/", {"said": said})
    assert answer.status_code == 302
    made = FollowUpTask.objects.get(kind="HANDOVER")
    assert (made.due_at, made.origin_id) == (at(26, "11:00"), task.pk)


def test_while_a_closer_is_there_the_card_promises_the_hour(by: People) -> None:
    closer()
    task = ladder(by("VA"), start=NOW).tasks[0]
    with time_machine.travel(NOW, tick=False):
        card = shown(va(), f"/followups/task/{task.pk}/")
    assert "Hand off: a closer calls within the hour" in card
    assert "No closer is on shift" not in card
    assert "-closer-1" not in card


def test_who_answers_a_call_back_sees_it_too(by: People, evening: time_machine.Traveller) -> None:
    closer()
    ladder(by("VA"), start=NOW)
    client = va()
    card = shown(client, "/followups/find/", {"q": "L-1"})
    assert "No closer is on shift for this lead now." in card
    assert 'value="REACHED:HANDOVER:2026-11-26T13:00">Spoken to · A closer calls tomorrow 13:00' in card
    pk = Lead.objects.get().pk
    said = {"channel": "CALL", "said": "REACHED:HANDOVER:2026-11-26T13:00"}
    assert client.post(f"/followups/lead/{pk}/inbound/", said).status_code == 302
    assert FollowUpTask.objects.get(kind="HANDOVER").due_at == at(26, "13:00")


def test_a_time_typed_beside_does_not_put_off_a_handoff_at_once(
    by: People, evening: time_machine.Traveller
) -> None:
    task = ladder(by("VA"), start=NOW).tasks[0]
    said = {"said": "REPLIED:HANDOVER", "next_at": "2026-11-30T10:00"}
    assert va().post(f"/followups/task/{task.pk}/complete/", said).status_code == 302
    assert FollowUpTask.objects.get(kind="HANDOVER").due_at == NIGHT


def test_without_any_closer_the_card_says_that_none_has_a_time(
    by: People, evening: time_machine.Traveller
) -> None:
    task = ladder(by("VA"), start=NOW).tasks[0]
    assert "None has a free time within 7 days." in shown(va(), f"/followups/task/{task.pk}/")


def test_a_program_agrees_a_time_as_well(by: People, api: Callable[..., Any]) -> None:
    task = ladder(by("VA"), start=NOW).tasks[0]
    with time_machine.travel(NOW, tick=False):
        said = {"outcome": "REPLIED", "next": {"kind": "HANDOVER", "at": "2026-11-26T16:00:00Z"}}
        answer = api("SERVICE").post(f"/api/followups/task/{task.pk}/complete", said, format="json")
    assert answer.status_code == 200
    assert answer.json()["next_task"]["due_at"] == "2026-11-26T16:00:00Z"
    assert due_tasks(by=by("CLOSER"), at=NOW) == []
    assert claim_due(by=by("CLOSER"), at=at(26, "10:59"))[1] == []

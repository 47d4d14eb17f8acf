"""Next: the most urgent task that may be contacted now, leased to whoever asks."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from followups import services
from followups.models import FollowUpTask, Lead
from followups.tests.scenes import NIGHT, NOW, begin, call_step, many
from governance.accounts.rules import by_user
from governance.core.actors import Actor
from governance.core.errors import Forbidden, Unavailable
from governance.models import Absence, User, WorkProfile
from valhalla.testing import at_once, make_by, make_person

pytestmark = pytest.mark.both

MINUTE = timedelta(minutes=1)


@pytest.fixture
def va(db: None) -> Actor:
    return make_by("VA", "vera")


def old(lead_id: str, **more: object) -> FollowUpTask:
    """A lead who is young no more, with a text message that is a day late."""
    task = begin(lead_id, at=NOW - timedelta(days=1), **more)  # type: ignore[arg-type]  # details of a lead
    Lead.objects.filter(pk=task.lead_id).update(created_at=NOW - timedelta(days=1))
    return task


def test_next_leases_the_oldest_task_for_fifteen_minutes(va: Actor) -> None:
    old("L-2", phone="416 555 0002")
    first = old("L-1", phone="416 555 0001")
    FollowUpTask.objects.filter(pk=first.pk).update(due_at=NOW - timedelta(days=3))
    assert services.next_task(by=va, at=NOW) == first.pk
    first.refresh_from_db()
    assert (first.claimed_by, first.claim_until) == ("vera", NOW + 15 * MINUTE)


def test_asking_twice_gives_the_same_task_and_finishing_it_the_next(va: Actor) -> None:
    one, two = many(2)
    assert services.next_task(by=va, at=NOW + MINUTE) == one.pk
    assert services.next_task(by=va, at=NOW + 2 * MINUTE) == one.pk
    services.complete_task(one.pk, services.Completion(), by=va, at=NOW + 3 * MINUTE)
    assert services.next_task(by=va, at=NOW + 3 * MINUTE) == two.pk
    services.complete_task(two.pk, services.Completion(), by=va, at=NOW + 4 * MINUTE)
    assert services.next_task(by=va, at=NOW + 4 * MINUTE) is None


def test_promised_callbacks_come_first_then_inbound_then_young_leads_then_what_closes(va: Actor) -> None:
    plain = old("L-plain", phone="416 555 0001")
    closing = old("L-closing", province="NL", city="St. John's", phone="709 555 0101")
    evening = NOW + timedelta(hours=8)  # 18:00 in Toronto, 19:30 in St. John's: half an hour remains there
    young = begin("L-young", at=evening - MINUTE, phone="416 555 0003")
    inbound = old("L-inbound", phone="416 555 0004")
    Lead.objects.filter(pk=inbound.lead_id).update(unanswered_since=evening)
    reached = old("L-callback", phone="416 555 0005")
    promised = services.complete_task(
        reached.pk,
        services.Completion(outcome="REACHED", next="CALLBACK", next_at=evening - MINUTE),
        by=va,
        at=NOW,
    ).next_task
    assert promised is not None
    given = []
    while (pk := services.next_task(by=va, at=evening)) is not None:
        given.append(pk)
        FollowUpTask.objects.filter(pk=pk).update(is_current=False, status="CANCELLED", claim_until=None)
    assert given == [promised.pk, inbound.pk, young.pk, closing.pk, plain.pk]


def test_what_may_not_be_contacted_now_is_never_given(va: Actor) -> None:
    begin("L-on")
    there = old("L-bc", province="BC", city="Vancouver", phone="604 555 0101")
    assert services.next_task(by=va, at=NIGHT - 2 * timedelta(hours=1)) is not None  # 19:35 in Toronto
    FollowUpTask.objects.update(claim_until=None, claimed_by="", claim_token="")
    assert services.next_task(by=va, at=NIGHT) == there.pk  # 21:35 in Toronto, 19:35 in Vancouver
    assert services.next_task(by=va, at=NIGHT + timedelta(hours=2)) is None


def test_one_that_may_be_contacted_is_found_behind_many_that_may_not(va: Actor) -> None:
    for n in range(8):  # those of St. John's are older
        old(f"L-{n}", province="NL", city="St. John's", phone=f"709 555 {n:04d}")
    labrador = begin("L-9", province="NL", city="Happy Valley-Goose Bay", phone="709 555 0100")
    Lead.objects.update(created_at=NOW - timedelta(days=2))
    late = NOW + timedelta(hours=8, minutes=45)  # 20:15 in St. John's, 19:45 in Labrador
    assert services.next_task(by=va, at=late) == labrador.pk


def test_the_work_profile_narrows_what_is_given_but_for_ones_own(va: Actor) -> None:
    person = User.objects.get(username="vera")
    WorkProfile.objects.create(user=person, provinces=["BC"], channels=[], languages=["fr"])
    vera = by_user(User.objects.get(pk=person.pk))
    old("L-on", phone="416 555 0001")
    old("L-en", province="BC", city="Vancouver", phone="604 555 0101", language="en")
    assert services.next_task(by=vera, at=NOW + timedelta(hours=3)) is None
    french = old("L-fr", province="BC", city="Vancouver", phone="604 555 0102", language="fr")
    own = old("L-own", phone="416 555 0004", owner="vera")
    given = services.next_task(by=vera, at=NOW + timedelta(hours=3))
    FollowUpTask.objects.filter(pk=given or 0).update(is_current=False, status="CANCELLED")
    assert {given, services.next_task(by=vera, at=NOW + timedelta(hours=3))} == {french.pk, own.pk}


def test_anothers_tasks_are_given_only_while_she_is_absent(va: Actor) -> None:
    otto = make_person("VA", "otto")
    task = old("L-1", owner="otto")
    assert services.next_task(by=va, at=NOW) is None
    Absence.objects.create(user=otto, starts_at=NOW - MINUTE, ends_at=NOW + timedelta(days=1))
    assert services.next_task(by=va, at=NOW) == task.pk


def test_filters_narrow_what_is_given(va: Actor) -> None:
    old("L-1")
    call = call_step("L-2", at=NOW - timedelta(hours=1), phone="416 555 0002")
    assert services.next_task(by=va, at=NOW, filters={"channel": "CALL"}) == call.pk


def test_the_outsider_and_the_kill_switch_are_refused(va: Actor, settings: Settings) -> None:
    begin("L-1")
    with pytest.raises(Forbidden):
        services.next_task(by=make_by("AUDITOR"), at=NOW)
    settings.GO_LIVE_ENFORCE = True
    with pytest.raises(Unavailable):
        services.next_task(by=va, at=NOW)
    assert not FollowUpTask.objects.exclude(claimed_by="").exists()


def test_next_costs_the_same_few_queries_however_many_are_due(va: Actor) -> None:
    def cost() -> int:
        with CaptureQueriesContext(connection) as caught:
            assert services.next_task(by=va, at=NOW + MINUTE)
        FollowUpTask.objects.update(claim_until=None, claimed_by="", claim_token="")
        return len([q for q in caught.captured_queries if "SAVEPOINT" not in q["sql"]])

    many(2)
    few = cost()
    for n in range(30):
        begin(f"M-{n}", phone=f"416 556 {n:04d}", email=f"m{n}@example.ca")
    assert cost() == few
    assert few <= 10  # and two for session and person


@pytest.mark.django_db(transaction=True)
def test_people_who_ask_at_once_never_get_the_same_task() -> None:
    tasks = many(30)
    people = [make_by("VA", f"va{n}") for n in range(16)]
    # each asks twice at the same moment, as a double click does
    given = at_once(lambda by: (by.username, services.next_task(by=by, at=NOW + MINUTE)), people * 2, 16)
    by_person: dict[str, set[int | None]] = {}
    for name, pk in given:
        by_person.setdefault(name, set()).add(pk)
    assert all(len(got) == 1 for got in by_person.values())
    assert len({pk for got in by_person.values() for pk in got}) == 16
    assert FollowUpTask.objects.filter(pk__in=[t.pk for t in tasks]).exclude(claimed_by="").count() == 16


def test_next_keeps_to_the_chosen_channel_also_while_another_task_is_held(va: Actor) -> None:
    text = begin("L-1", at=NOW, phone="416 555 0001")
    call = call_step("L-2", at=NOW - 31 * MINUTE, phone="416 555 0002")
    assert call.channel == "CALL"
    assert services.next_task(by=va, at=NOW + MINUTE, filters={"channel": "SMS"}) == text.pk
    assert services.next_task(by=va, at=NOW + MINUTE, filters={"channel": "CALL"}) == call.pk
    assert services.next_task(by=va, at=NOW + MINUTE, filters={"channel": "SMS"}) == text.pk
    assert services.next_task(by=va, at=NOW + MINUTE, filters={"channel": "EMAIL"}) is None

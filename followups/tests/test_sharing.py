"""The card lists every lead of a number, and one call's outcome is recorded on those that are ticked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from followups.models import FollowUpTask, Lead
from followups.services import Completion, NewLadder, complete_for, leads_with_number, start_task
from followups.tests.factories import MINUTE, NOW, fresh, kpis, ladder, steps_of
from governance.core.actors import Actor
from governance.core.errors import Invalid, Refused, Unavailable
from governance.models import ContactDecision

pytestmark = [pytest.mark.both, pytest.mark.django_db]
People = Callable[..., Actor]
ANNE = "Anne Tremblay"


def two(by: Actor, **second: object) -> tuple[NewLadder, NewLadder]:
    return ladder(by, "L-1", name=ANNE), ladder(by, "L-2", NOW + MINUTE, **{"name": ANNE, **second})


def record(first: NewLadder, second: NewLadder, by: Actor, outcome: str, **said: Any) -> None:
    also = [second.ladder.lead_id]
    complete_for(first.tasks[0].pk, Completion(outcome, **said), by=by, at=NOW + 2 * MINUTE, also=also)


def test_every_lead_of_the_number_is_listed_and_named_to_those_who_may_see_it(by: People) -> None:
    first, second = two(by("MANAGER"))
    Lead.objects.filter(pk=second.ladder.lead_id).update(status="WON")
    FollowUpTask.objects.filter(lead=second.ladder.lead_id).update(owner="vera", owner_key="vera")
    by("VA", "vera")
    (seen,) = leads_with_number(first.tasks[0].contact_point, by=by("MANAGER"), at=NOW)
    assert (seen.lead_id, seen.name, seen.waiting, seen.recordable) == ("L-2", ANNE, True, False)
    (unseen,) = leads_with_number(first.tasks[0].contact_point, by=by("VA"), at=NOW)
    assert (unseen.lead_id, unseen.name, unseen.id) == ("", "", seen.id)


def test_an_outcome_is_recorded_on_the_ticked_lead_too(by: People) -> None:
    first, second = two(by("VA"))
    record(first, second, by("VA"), "SENT", note="no reply yet")
    tasks = steps_of(second)
    assert (tasks[0].status, tasks[0].outcome, tasks[0].note) == ("COMPLETED", "SENT", "no reply yet")
    assert tasks[0].contacted_at == fresh(first.tasks[0]).contacted_at
    assert tasks[1].is_current
    assert tasks[1].held_reason == "person_active"
    assert kpis(metric="contact_compliance") == [("contact_compliance", True)]  # one contact
    assert ContactDecision.objects.filter(door="COMPLETE").count() == 1


def test_who_is_not_interested_is_so_under_both_ids(by: People) -> None:
    first, second = two(by("VA"))
    record(first, second, by("VA"), "REACHED", next="NOT_INTERESTED")
    assert set(Lead.objects.values_list("status", flat=True)) == {"DEAD"}
    assert not FollowUpTask.objects.filter(status="OPEN").exists()


def test_a_handover_is_made_once_and_the_other_lead_gets_its_date(by: People) -> None:
    first, second = two(by("VA"))
    record(first, second, by("VA"), "REPLIED")
    made = FollowUpTask.objects.get(kind="HANDOVER")
    assert made.lead_id == first.ladder.lead_id
    other = Lead.objects.get(pk=second.ladder.lead_id)
    assert (other.status, other.follow_up_at) == ("HANDED_OVER", made.due_at)
    assert not FollowUpTask.objects.filter(status="OPEN", lead=other).exists()


def test_a_wrong_number_is_retired_under_both_ids(by: People) -> None:
    first, second = two(by("VA"))
    record(first, second, by("VA"), "WRONG_NUMBER")
    assert {p.status for made in (first, second) for p in made.ladder.lead.points.all()} == {"WRONG"}


def test_recorded_twice_it_is_written_once(by: People) -> None:
    first, second = two(by("VA"))
    for _again in range(2):
        record(first, second, by("VA"), "SENT")
    assert FollowUpTask.objects.filter(status="COMPLETED").count() == 2


def test_a_lead_without_the_number_is_refused_whole(by: People) -> None:
    first, second = two(by("VA"), phone="416 555 0177")
    with pytest.raises(Invalid):
        record(first, second, by("VA"), "SENT")
    assert fresh(first.tasks[0]).status == "OPEN"


def test_the_card_shows_the_leads_and_records_on_those_that_are_ticked(
    client: Client, person: Callable[..., Any], time_machine: Any
) -> None:
    user = person("VA")
    by = Actor.system("tests")
    first, second = two(by)
    time_machine.move_to(NOW + 2 * MINUTE)
    client.force_login(user)
    page = client.get(reverse("followups:task", args=[first.tasks[0].pk])).content.decode()
    assert "Other leads with this number" in page
    assert "L-2" in page
    assert "waiting for this number" in page
    answer = client.post(
        reverse("followups:complete", args=[first.tasks[0].pk]),
        {"said": "SENT", "also": [str(second.ladder.lead_id), "x", "9" * 40]},
    )
    assert answer.status_code == 302
    assert fresh(second.tasks[0]).status == "COMPLETED"
    waiting = client.get(reverse("followups:task", args=[second.tasks[1].pk])).content.decode()
    assert "Another lead with this number or address is being followed up" in waiting


def test_a_step_that_somebody_else_is_on_is_not_completed_from_another_lead(by: People) -> None:
    first, second = two(by("VA"), name="Marc Tremblay")  # the wife's lead; both run
    start_task(second.tasks[0].pk, by=by("VA", "vera"), at=NOW + MINUTE)
    with pytest.raises(Refused) as refusal:
        record(first, second, by("VA"), "SENT")
    assert refusal.value.code == "claimed_by_other"
    assert {fresh(made.tasks[0]).status for made in (first, second)} == {"OPEN"}
    record(first, second, by("VA"), "REPLIED")  # what the person did is recorded all the same
    assert {fresh(made.tasks[0]).standing_outcome for made in (first, second)} == {"REPLIED"}


def test_what_the_kill_switch_stops_is_recorded_on_neither_lead(by: People, settings: Settings) -> None:
    first, second = two(by("VA"))
    settings.GO_LIVE_ENFORCE = True
    with pytest.raises(Unavailable):
        record(first, second, by("VA"), "SENT")
    assert {fresh(made.tasks[0]).status for made in (first, second)} == {"OPEN"}
    record(first, second, by("VA"), "WRONG_NUMBER")
    assert {fresh(made.tasks[0]).status for made in (first, second)} == {"COMPLETED"}

"""A ladder begins once, for a lead whom the gate lets us contact, with a task for each step."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from followups.models import ContactPoint, FollowUpTask, Ladder, LadderTemplate, Lead
from followups.points import lead_digest, read_point
from followups.services import LeadDetails, create_ladder
from followups.tests.factories import (
    EMAIL,
    NOW,
    PHONE,
    LeadFactory,
    PointFactory,
    kpis,
    ladder,
    local_times,
    set_policy,
    steps_of,
)
from governance.contact.services import suppress
from governance.core.actors import Actor
from governance.core.errors import Forbidden, Invalid, Refused

pytestmark = [pytest.mark.both, pytest.mark.django_db]
People = Callable[..., Actor]


def test_a_new_lead_gets_six_tasks(by: People) -> None:
    made = ladder(by("VA"), name="Anne", score=Decimal("0.9"), language="fr")
    tasks = steps_of(made)
    assert [(task.step, task.channel) for task in tasks] == [
        (1, "SMS"),
        (2, "CALL"),
        (3, "SMS"),
        (4, "CALL"),
        (5, "SMS"),
        (6, "CALL"),
    ]
    assert local_times(tasks) == [
        "Wed 25 14:30",
        "Wed 25 15:00",
        "Wed 25 17:30",
        "Thu 26 14:30",
        "Sat 28 14:30",
        "Wed 02 14:30",
    ]
    assert [task.is_current for task in tasks] == [True, False, False, False, False, False]
    assert {task.contact_point.value for task in tasks if task.contact_point} == {PHONE}
    lead = Lead.objects.get(external_id="L-1")
    assert (lead.name, lead.language, lead.score, lead.status) == ("Anne", "fr", Decimal("0.9"), "WORKING")
    assert kpis() == [("ladder_created", True)]
    assert made.as_answer()["tasks"][0] == {
        "id": tasks[0].pk,
        "due_at": NOW,
        "scheduled_for": NOW,
        "channel": "SMS",
        "step": 1,
    }


def test_every_row_names_who_made_it_and_in_which_call(by: People) -> None:
    made = ladder(by("SERVICE"))
    rows = [made.ladder, made.ladder.lead, *steps_of(made)]
    assert {(row.actor, row.correlation_id) for row in rows} == {("a-service", "test")}


def test_a_second_ladder_is_refused_and_names_the_one_that_runs(by: People) -> None:
    first = ladder(by("VA"))
    with pytest.raises(Refused) as refusal:
        ladder(by("VA"))
    assert refusal.value.code == "ladder_active"
    assert refusal.value.extra == {"ladder_id": first.ladder.pk, "kept": [], "warnings": []}
    assert (Ladder.objects.count(), FollowUpTask.objects.count(), len(kpis())) == (1, 6, 1)


def test_of_a_known_lead_only_blanks_are_filled(by: People) -> None:
    LeadFactory.create(external_id="L-1", name="Anne", city="", language="")
    ladder(by("VA"), name="Somebody Else", city="Kenora", language="en", score=Decimal("0.7"), market="NORTH")
    lead = Lead.objects.get()
    assert (lead.name, lead.city, lead.language, lead.score) == ("Anne", "Kenora", "en", Decimal("0.8"))
    assert (lead.market, lead.city_key) == ("NORTH", "KENORA")


def test_a_known_lead_in_another_province_is_a_wrong_input(by: People) -> None:
    LeadFactory.create(external_id="L-1", province="QC")
    with pytest.raises(Invalid) as refusal:
        ladder(by("VA"), province="ON")
    assert list(refusal.value.errors) == ["province"]
    assert not Ladder.objects.exists()


def test_a_known_lead_needs_no_province_and_a_new_one_does(by: People) -> None:
    LeadFactory.create(external_id="L-1")
    assert ladder(by("VA"), "L-1", province="").ladder.lead.province == "ON"
    with pytest.raises(Invalid) as refusal:
        ladder(by("VA"), "L-2", province="")
    assert list(refusal.value.errors) == ["province"]


def stop_phone(people: People) -> None:
    suppress([read_point("PHONE", PHONE)[1]], by=people("VA"), at=NOW)


def stop_lead(people: People) -> None:
    suppress([lead_digest("L-1")], by=people("VA"), at=NOW)


@pytest.mark.parametrize(
    ("reason", "prepare", "details"),
    [
        ("policy_disabled", {"enabled": False}, {}),
        ("channel_not_allowed", {"rules": {"channels_allowed": ["SMS"]}}, {}),
        ("suppressed", stop_phone, {}),
        ("suppressed", stop_lead, {}),
        ("consent_missing", {"rules": {"consent_required_channels": ["SMS"]}}, {}),
        ("lead_score_below_minimum", {}, {"score": Decimal("0.64")}),
    ],
)
def test_who_is_refused_by_checks_one_to_five_starts_no_ladder(
    by: People, reason: str, prepare: Any, details: dict[str, Any]
) -> None:
    prepare(by) if callable(prepare) else set_policy(by("MANAGER"), **prepare)
    with pytest.raises(Refused) as refusal:
        ladder(by("VA"), **details)
    assert (refusal.value.code, refusal.value.extra["reason"]) == ("contact_denied", reason)
    assert (Lead.objects.count(), ContactPoint.objects.count(), Ladder.objects.count(), kpis()) == (
        0,
        0,
        0,
        [],
    )


def test_a_missing_policy_refuses_too(by: People) -> None:
    from governance.models import MarketPolicy

    MarketPolicy.objects.filter(province="ON").delete()
    with pytest.raises(Refused) as refusal:
        ladder(by("VA"))
    assert refusal.value.extra["reason"] == "policy_missing"


def test_a_closed_hour_refuses_nothing_it_only_puts_the_first_step_later(by: People) -> None:
    made = ladder(by("VA"), start=NOW.replace(hour=3))
    assert local_times(steps_of(made))[0] == "Wed 25 09:00"


def test_a_lead_without_any_number_gets_a_ladder(by: People) -> None:
    made = create_ladder("L-1", by=by("VA"), at=NOW, province="ON", details=LeadDetails(city="Toronto"))
    tasks = steps_of(made)
    assert [task.status for task in tasks] == ["OPEN"] * 6
    assert {task.contact_point for task in tasks} == {None}


def test_a_lead_whom_no_step_can_reach_starts_none(by: People) -> None:
    with pytest.raises(Refused) as refusal:
        ladder(by("VA"), phone="", email=EMAIL)
    assert refusal.value.extra["reason"] == "no_contact_point"
    assert not Lead.objects.exists()


def test_a_lead_with_only_a_wrong_number_starts_none(by: People) -> None:
    PointFactory.create(lead__external_id="L-1", status="WRONG")
    with pytest.raises(Refused) as refusal:
        ladder(by("VA"), phone="")
    assert refusal.value.extra["reason"] == "no_contact_point"


def test_steps_whose_channel_has_no_number_are_skipped(by: People) -> None:
    steps = [
        {"channel": "EMAIL"},
        {"channel": "CALL", "delay": {"hours": 1}},
        {"channel": "EMAIL", "delay": {"days": 1}},
    ]
    LadderTemplate.objects.create(province="ON", steps=steps, changed_by="m", updated_at=NOW)
    tasks = steps_of(ladder(by("VA")))
    assert [(task.status, task.closed_reason) for task in tasks] == [
        ("SKIPPED", "no_contact_point"),
        ("OPEN", ""),
        ("SKIPPED", "no_contact_point"),
    ]
    assert tasks[1].is_current


def test_the_nearest_template_counts_and_a_disabled_one_refuses(by: People) -> None:
    LadderTemplate.objects.create(
        province="ON", steps=[{"channel": "CALL"}], version=3, changed_by="m", updated_at=NOW
    )
    made = ladder(by("VA"), "L-1")
    assert (len(made.tasks), made.ladder.template_version) == (1, 3)
    LadderTemplate.objects.create(
        province="ON", market="NORTH", market_key="NORTH", enabled=False, changed_by="m", updated_at=NOW
    )
    with pytest.raises(Refused) as refusal:
        ladder(by("VA"), "L-2", market="NORTH")
    assert refusal.value.code == "template_disabled"
    assert len(ladder(by("VA"), "L-3", province="QC").tasks) == 6


def test_a_running_ladder_keeps_the_steps_it_began_with(by: People) -> None:
    from followups.tests.factories import finish

    made = ladder(by("VA"))
    LadderTemplate.objects.update(steps=[{"channel": "EMAIL"}])
    assert finish(made.tasks[0], by("VA")).next_task == made.tasks[1]


def test_only_managers_and_programs_name_another_owner(by: People) -> None:
    for role in ("VA", "CLOSER"):
        with pytest.raises(Forbidden) as refusal:
            ladder(by(role), "L-1", owner="gus")
        assert refusal.value.code == "owner_mismatch"
    assert ladder(by("VA", "gus"), "L-1", owner=" Gus ").ladder.owner == "Gus"
    assert {task.owner_key for task in ladder(by("SERVICE"), "L-2", owner="Gus").tasks} == {"gus"}
    assert ladder(by("MANAGER"), "L-3", owner="nobody we know").ladder.owner == "nobody we know"


def test_an_auditor_starts_no_ladder(by: People) -> None:
    with pytest.raises(Forbidden):
        ladder(by("AUDITOR"))


def test_a_lead_who_was_reached_may_get_another_ladder_later(by: People) -> None:
    from followups.tests.factories import finish

    first = ladder(by("VA"))
    finish(first.tasks[0], by("VA"), outcome="REPLIED", next="NOT_INTERESTED")
    second = ladder(by("VA"))
    assert second.ladder.pk != first.ladder.pk
    assert Lead.objects.get().status == "WORKING"

"""Consent where it is heard: on the card by whoever talks with the person, and in an inquiry by itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import time_machine
from django.test import Client
from pytest_django import Settings

from followups.models import FollowUpTask, LadderTemplate
from followups.points import lead_digest
from followups.rules import Step, wants_to_sell
from followups.services import Completion, complete_task, record_heard_consent, record_inbound
from followups.tests.factories import EMAIL, NOW, finish, ladder, set_policy
from governance.contact.models import Consent, Suppression
from governance.contact.services import can_contact, record_consent, suppress
from governance.core.actors import Actor
from governance.core.errors import Forbidden, Invalid, NotFound, Refused
from governance.golive.models import GoLiveState
from governance.models import User

pytestmark = [pytest.mark.both, pytest.mark.django_db]
People = Callable[..., Actor]


def hear(task: FollowUpTask, who: Actor, **said: Any) -> Consent:
    given = {
        "channel": "SMS",
        "wording": "Yes, text me",
        "evidence": "RECORDING",
        "reference": "4711",
        **said,
    }
    return record_heard_consent(task.pk, by=who, at=NOW, **given)


@pytest.mark.parametrize("role", ["VA", "CLOSER", "MANAGER"])
def test_whoever_talks_with_the_person_records_consent(by: People, role: str) -> None:
    set_policy(by("MANAGER"), rules={"consent_required_channels": ["SMS"]})
    task = ladder_with_call(by)
    assert can_contact(channel="SMS", at=NOW, lead_id="L-2").verdict.reason == "consent_missing"
    row = hear(task, by(role))
    assert (row.kind, row.channel, row.expires_at, row.actor) == ("EXPRESS", "SMS", None, by(role).username)
    assert (row.obtained_how, row.evidence) == ("Yes, text me", "RECORDING: 4711")
    assert can_contact(channel="SMS", at=NOW, lead_id="L-2").verdict.ok


def ladder_with_call(by: People) -> FollowUpTask:
    """Begin a ladder of calls alone: it needs no consent for texts."""
    LadderTemplate.objects.filter(province="").update(steps=[Step("CALL").as_json()])
    return ladder(by("VA"), "L-2").tasks[0]


@pytest.mark.parametrize("role", ["AUDITOR", "SERVICE"])
def test_others_do_not_record_consent(by: People, role: str) -> None:
    task = ladder(by("VA")).tasks[0]
    with pytest.raises(Forbidden):
        hear(task, by(role))
    assert not Consent.objects.exists()


def test_vas_and_closers_record_no_other_kind(by: People) -> None:
    for role in ("VA", "CLOSER"):
        with pytest.raises(Forbidden):
            record_consent("x", "SMS", "BUSINESS", by=by(role), at=NOW, obtained_at=NOW, how="sold")
    assert not Consent.objects.exists()


def test_anothers_task_is_no_place_to_record_it(by: People) -> None:
    by("VA", "gus")
    task = ladder(by("MANAGER"), owner="gus").tasks[0]
    with pytest.raises(NotFound):
        hear(task, by("VA"))


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"channel": "FAX"}, "channel"),
        ({"wording": "  "}, "wording"),
        ({"wording": "x" * 101}, "wording"),
        ({"evidence": "MEMORY"}, "evidence"),
        ({"reference": ""}, "reference"),
        ({"reference": "a\0b"}, "reference"),
    ],
)
def test_what_proves_it_is_needed(by: People, said: dict[str, str], field: str) -> None:
    task = ladder(by("VA")).tasks[0]
    with pytest.raises(Invalid) as refusal:
        hear(task, by("VA"), **said)
    assert list(refusal.value.errors) == [field]
    assert not Consent.objects.exists()


def test_a_channel_that_reaches_nothing_of_the_person_is_refused(by: People) -> None:
    task = ladder(by("VA")).tasks[0]
    with pytest.raises(Refused) as refusal:
        hear(task, by("VA"), channel="EMAIL")
    assert refusal.value.code == "no_contact_point"
    assert hear(ladder(by("VA"), "L-2", email=EMAIL).tasks[0], by("VA"), channel="EMAIL").channel == "EMAIL"


# --- inquiries ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "inquires"),
    [
        ({"note": "I want to sell my house"}, True),
        ({"note": "Je veux vendre ma maison."}, True),
        ({"note": "Who is this?"}, False),
        ({"note": "who is this"}, False),
        ({"outcome": "REPLIED", "note": "who is this?"}, False),
        ({"outcome": "REPLIED", "next": "HANDOVER"}, True),
        ({"outcome": "REACHED", "next": "HANDOVER"}, True),
        ({"outcome": "REACHED", "next": "NOT_INTERESTED"}, False),
        ({"outcome": "OPTED_OUT", "note": "I want to sell, but not to you"}, False),
        ({}, False),
    ],
)
@pytest.mark.parametrize("role", ["VA", "CLOSER", "MANAGER", "SERVICE"])
def test_an_inbound_wish_to_sell_is_an_inquiry(
    by: People, role: str, said: dict[str, Any], inquires: bool
) -> None:
    ladder(by("VA"))
    row, _next = record_inbound("L-1", by=by(role), at=NOW, channel="SMS", **said)
    found = list(Consent.objects.values_list("kind", "channel", "evidence"))
    assert found == ([("INQUIRY", "SMS", f"inbound {row.pk}")] if inquires else [])
    if inquires:
        expires = Consent.objects.get().expires_at
        assert expires is not None
        assert (expires.month, expires.day) == (5, 25)  # six months


def test_a_reply_to_our_message_that_asks_for_a_closer_is_one_too(by: People) -> None:
    task = ladder(by("VA")).tasks[0]
    finish(task, by("VA"), outcome="REPLIED", next="HANDOVER")
    assert Consent.objects.get().evidence == f"task {task.pk}"
    finish(ladder(by("VA"), "L-2").tasks[0], by("VA"), outcome="REACHED", next="HANDOVER")  # we called
    complete_task(
        ladder(by("VA"), "L-3").tasks[0].pk,
        Completion(outcome="REPLIED", note="Who is this?"),
        by=by("VA"),
        at=NOW,
    )
    assert Consent.objects.count() == 1


def test_an_inquiry_ends_no_stop(by: People) -> None:
    ladder(by("VA"))
    suppress([lead_digest("L-1")], by=by("MANAGER"), at=NOW, source="MANAGER")
    record_inbound("L-1", by=by("VA"), at=NOW, channel="CALL", note="She wants to sell")
    assert Consent.objects.get().kind == "INQUIRY"
    assert can_contact(channel="CALL", at=NOW, lead_id="L-1").verdict.reason == "suppressed"
    assert Suppression.objects.filter(action="LIFT").count() == 0


@pytest.mark.parametrize(
    ("text", "wants"),
    [
        ("I want to sell", True),
        ("I’d like to sell the house in spring.", True),
        ("Hi! Yes, we are thinking of selling", True),
        ("She wants to sell by June; call after six", True),
        ("wants to sell", True),
        ("Nous pensons vendre au printemps", True),
        ("Elle souhaite vendre", True),
        ("Je suis intéressée à vendre", True),
        ("who is this?", False),
        ("How did you get my number", False),
        ("Do you want to sell something?", False),
        ("Do I want to sell? Ask my wife", False),
        ("I don't want to sell", False),
        ("I am not looking to sell", False),
        ("I never said I want to sell", False),
        ("Je ne veux pas vendre", False),
        ("Je n’ai jamais voulu vendre", False),
        ("STOP", False),
        ("", False),
        ("I want to sell STOP", False),
        ("arrêtez, je veux vendre seul", False),
        ("if I want to sell I will call you", False),
        ("I'll call you when I want to sell", False),
        ("asked if she wants to sell, she hung up", False),
        ("Quit asking whether they want to sell", False),
        ("Why would I want to sell", False),
        ("what makes you think I want to sell", False),
        ("Maybe I want to sell", False),
        ("I hardly want to sell", False),
        ("I want to sell it myself", False),
        ("I want to sell you solar panels", False),
        ("My neighbour wants to sell", False),
        ("They want to know who is selling", False),
        ("Est-ce que je veux vendre", False),
        ("Si je veux vendre je vous appelle", False),
        ("Qui a dit que je veux vendre", False),
        ("J'ai demandé si elle veut vendre", False),
        ("Je veux vous vendre des panneaux", False),
        ("Hello, I want to sell, who is this?", True),
        ("Who is this? I want to sell.", True),
        ("I want to sell you my house", True),
        ("We've decided to sell", True),
        ("I'd consider selling", True),
        ("My wife and I want to sell", True),
        ("The owner wants to sell his house", True),
        ("Je cherche à vendre", True),
        ("Je veux la vendre", True),
        ("Oui, intéressé à vendre", True),
        ("We sell windows", False),
    ],
)
def test_who_wants_to_sell_says_so(text: str, wants: bool) -> None:
    assert wants_to_sell(text) is wants


def test_consent_and_inquiry_are_recorded_while_nobody_may_be_contacted(
    by: People, settings: Settings
) -> None:
    task = ladder(by("VA")).tasks[0]
    settings.GO_LIVE_ENFORCE = True
    GoLiveState.objects.update(go_live_enabled=False, kill_switch_engaged=True)
    hear(task, by("VA"))
    record_inbound("L-1", by=by("VA"), at=NOW, channel="SMS", note="I want to sell")
    assert list(Consent.objects.order_by("pk").values_list("kind", flat=True)) == ["EXPRESS", "INQUIRY"]


def test_long_nonsense_is_read_in_no_time() -> None:
    for text in (
        "and " * 1000,
        "je suis " * 500,
        " " * 4000,
        "'m" * 2000,
        "," * 4000,
        "very " * 900 + "sell",
    ):
        began = time.process_time()
        assert not wants_to_sell(text)
        assert time.process_time() - began < 0.5


# --- the card -------------------------------------------------------------------------------------------


def test_the_card_takes_it_and_stays(by: People, person: Callable[..., User]) -> None:
    task = ladder(by("VA")).tasks[0]
    address = f"/followups/task/{task.pk}/"
    with time_machine.travel(NOW, tick=False):
        client = Client()
        client.force_login(person("VA"))
        assert "They agreed to be contacted" in client.get(address).content.decode()
        said = {
            "channel": "SMS",
            "wording": "May text her offers",
            "evidence": "REPLY",
            "reference": "25 Nov",
        }
        answer = client.post(f"{address}consent/", said)
        assert (answer.status_code, answer["Location"]) == (302, address)
        assert "consent recorded (Text message)" in client.get(address).content.decode()
        wrong = client.post(f"{address}consent/", {**said, "reference": ""})
        assert wrong.status_code == 400
        none = client.post(f"{address}consent/", {**said, "channel": "EMAIL"})
        assert none.status_code == 409
        assert "no usable number or address" in none.content.decode()
        auditor = Client()
        auditor.force_login(person("AUDITOR", "ava"))
        assert "They agreed to be contacted" not in auditor.get(address).content.decode()
        assert auditor.post(f"{address}consent/", said).status_code == 403
    assert Consent.objects.get().evidence == "REPLY: 25 Nov"

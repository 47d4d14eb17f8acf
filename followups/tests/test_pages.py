"""The due-task pages without a browser: who may what, what is shown, and clicks that come twice."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from followups import services
from followups.models import FollowUpTask, InboundContact, Ladder, Lead, LookupEvent, Property
from followups.tests.scenes import NIGHT, NOW, SOMEBODY, begin, call_step, many, with_scripts
from followups.wording import note_parts
from governance.accounts.rules import by_user
from governance.contact.models import ContactDecision, Suppression
from governance.golive.services import set_kill_switch
from governance.kpi.models import KpiEvent
from governance.models import User

pytestmark = pytest.mark.django_db
SignIn = Callable[..., Client]
LIST = "/followups/"
PART = {"HX-Request": "true", "HX-Target": "front"}


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOW + timedelta(minutes=1), tick=False) as traveller:
        yield traveller


@pytest.fixture
def sign_in(person: Callable[..., User]) -> SignIn:
    def make(role: str = "VA", name: str = "", **options: Any) -> Client:
        client = Client(**options)
        client.force_login(person(role, name))
        return client

    return make


def text(answer: Any) -> str:
    return str(answer.content.decode())


def page(task: FollowUpTask, action: str = "") -> str:
    return f"/followups/task/{task.pk}/" + (f"{action}/" if action else "")


# --- the list -----------------------------------------------------------------------------------------------


def test_a_stranger_is_sent_to_log_in() -> None:
    task = begin("L-1")
    for address in (LIST, page(task)):
        answer = Client().get(address)
        assert (answer.status_code, answer.headers["Location"]) == (302, f"/login/?next={address}")
    assert Client().post(page(task, "complete"), {"outcome": "SENT"}).status_code == 302
    task.refresh_from_db()
    assert task.status == "OPEN"


def test_the_list_says_who_where_what_when_and_whether_contact_is_allowed(sign_in: SignIn) -> None:
    begin("L-1", name="Anne Roy", owner="otto", phone="416 555 0133", market="Toronto West")
    shown = text(sign_in("MANAGER").get(LIST))
    for words in (
        "Anne Roy",
        "Toronto, Toronto West, Ontario",
        "Text message",
        "Step 1 of 6",
        "1 min late",
        "10:01 EST",
        "closes at 20:00 EST, in 9 h 59 min",
        "otto",
    ):
        assert words in shown, words


def test_outside_hours_the_list_says_why_not_and_when_next_and_offers_no_number(
    sign_in: SignIn, clock: time_machine.Traveller
) -> None:
    begin("L-1", phone="416 555 0133")
    clock.move_to(NIGHT)
    shown = text(sign_in().get(LIST))
    assert "It is outside our contact hours there." in shown
    assert "Contact is allowed again on Wednesday 25 November at 09:00 there." in shown
    assert "sms:" not in text(sign_in().get(page(FollowUpTask.objects.get(is_current=True))))


def test_a_va_sees_her_own_and_unowned_tasks(sign_in: SignIn, person: Callable[..., User]) -> None:
    person("VA", "otto")
    begin("L-hers", owner="vera", phone="416 555 0001")
    begin("L-free", phone="416 555 0002")
    others = begin("L-his", owner="otto", phone="416 555 0003")
    vera = sign_in("VA", "vera")
    shown = text(vera.get(LIST))
    assert "L-hers" in shown
    assert "L-free" in shown
    assert "L-his" not in shown
    assert vera.get(page(others)).status_code == 404
    for action in ("start", "complete", "skip", "snooze", "release", "opt-out"):
        said = {"outcome": "SENT", "reason": "no", "until": "2026-11-25T10:00"}
        assert vera.post(page(others, action), said).status_code == 404, action
    others.refresh_from_db()
    assert (others.status, others.started_at, others.snoozed_until) == ("OPEN", None, None)


def test_the_list_can_be_narrowed(sign_in: SignIn) -> None:
    begin("L-on", phone="416 555 0001")
    begin("L-bc", province="BC", city="Vancouver", phone="604 555 0101", at=NOW - timedelta(hours=20))
    call = call_step("L-call", phone="416 555 0004", at=NOW - timedelta(minutes=31))
    assert call.channel == "CALL"
    client = sign_in()

    def found(query: str) -> set[str]:
        shown = text(client.get(LIST + query))
        return {name for name in ("L-on", "L-bc", "L-call") if f"Lead {name}<" in shown}

    assert found("") == {"L-on", "L-bc", "L-call"}
    assert found("?province=BC") == {"L-bc"}
    assert found("?channel=CALL") == {"L-call"}
    assert found("?contactable=yes") == {"L-on", "L-call"}
    assert found("?contactable=no") == {"L-bc"}
    assert found("?whose=mine") == set()
    assert found("?province=XX&channel=%00&order=worst&page=-1") == {"L-on", "L-bc", "L-call"}


def test_the_list_is_paged_at_50(sign_in: SignIn) -> None:
    many(53)
    client = sign_in()
    first = text(client.get(LIST))
    assert first.count('id="open-') == 50
    assert "<strong>53</strong> due" in first
    assert 'href="/followups/?page=2"' in first
    second = text(client.get(LIST + "?page=2"))
    assert second.count('id="open-') == 3
    assert text(client.get(LIST + "?page=9999")).count('id="open-') == 3
    assert text(client.get(LIST + "?order=due&page=2")).count('id="open-') == 3


@pytest.mark.parametrize("query", ["", "?order=due&contactable=yes", "?province=ON"])
def test_the_list_costs_the_same_queries_whatever_the_number_of_rows(sign_in: SignIn, query: str) -> None:
    client = sign_in()

    def cost() -> int:
        with CaptureQueriesContext(connection) as caught:
            assert client.get(LIST + query).status_code == 200
        return len(caught)

    many(1)
    begin("L-qc", province="QC", city="Montréal", phone="514 555 0101")
    few = cost()
    begin("L-x", phone="416 555 9001", owner="otto")
    for n in range(30):
        begin(f"M-{n}", phone=f"416 556 {n:04d}", email=f"m{n}@example.ca")
    assert cost() == few
    assert few <= 12


def test_leads_without_a_number_are_listed_apart(sign_in: SignIn) -> None:
    begin("L-1", phone="")
    shown = text(sign_in().get(LIST))
    assert "No number here" in shown
    assert shown.count('class="group"') == 1


def test_names_and_notes_are_text_never_markup(sign_in: SignIn) -> None:
    task = begin("L-1", name="<script>alert(1)</script>", notes="<b>urgent</b>", city="<i>Toronto</i>")
    services.complete_task(task.pk, services.Completion(note="<img src=x>"), by=SOMEBODY, at=NOW)
    client = sign_in()
    for shown in (text(client.get(page(task))),):
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
        assert "&lt;b&gt;urgent&lt;/b&gt;" in shown
        assert "&lt;img src=x&gt;" in shown
        assert "<script>" not in shown
        assert "style=" not in shown


# --- claiming -----------------------------------------------------------------------------------------------


def test_next_puts_the_same_task_in_front_however_often_it_is_asked(sign_in: SignIn) -> None:
    first, second = many(2)
    client = sign_in("VA", "vera")
    for _again in range(2):
        answer = client.post("/followups/next/", follow=True)
        assert answer.redirect_chain == [(page(first), 302)]
    assert FollowUpTask.objects.filter(claimed_by="vera").count() == 1
    client.post(page(first, "complete"), {"said": "SENT"})
    assert client.post("/followups/next/").headers["Location"] == page(second)


def test_where_nothing_may_be_contacted_next_says_so(sign_in: SignIn, clock: time_machine.Traveller) -> None:
    begin("L-1")
    clock.move_to(NIGHT)
    assert "No lead in your work profile may be contacted now" in text(sign_in().post("/followups/next/"))


def test_what_is_held_can_be_given_back_and_is_kept_while_the_page_is_open(
    sign_in: SignIn, clock: time_machine.Traveller
) -> None:
    tasks = many(3)
    client = sign_in("VA", "vera")
    services.claim_due(by=by_user(User.objects.get(username="vera")), at=NOW + timedelta(minutes=1))
    client.post(page(tasks[0], "release"))
    assert FollowUpTask.objects.filter(claimed_by="vera").count() == 2
    assert "no longer had this task claimed" in text(client.post(page(tasks[0], "release"), follow=True))
    clock.shift(timedelta(minutes=10))
    assert client.post(page(tasks[1], "renew")).status_code == 204
    tasks[1].refresh_from_db()
    assert tasks[1].claim_until == NOW + timedelta(minutes=26)
    assert "2 tasks were released." in text(client.post("/followups/release/", follow=True))
    assert not FollowUpTask.objects.exclude(claimed_by="").exists()


def test_what_another_holds_is_shown_and_cannot_be_completed(sign_in: SignIn) -> None:
    task = begin("L-1")
    sign_in("VA", "otto").post(page(task, "start"))
    vera = sign_in("VA", "vera")
    assert "otto is working on it" in text(vera.get(LIST))
    answer = vera.post(page(task, "complete"), {"outcome": "SENT"})
    assert answer.status_code == 409
    assert "otto is working on this task until" in text(answer)


# --- starting and completing --------------------------------------------------------------------------------


def test_the_task_page_shows_the_script_in_the_leads_language(sign_in: SignIn) -> None:
    with_scripts()
    french = begin("L-fr", language="fr", phone="416 555 0001")
    english = begin("L-en", language="en", phone="416 555 0002")
    client = sign_in()
    assert 'lang="fr">Bonjour, pensez-vous toujours à vendre?' in text(client.get(page(french)))
    shown = text(client.get(page(english)))
    assert 'lang="en">Hello, are you still thinking of selling?' in shown
    assert "sms:+14165550002?body=Hello%2C%20are" in shown


def test_a_written_text_can_be_copied_and_a_callers_words_cannot(sign_in: SignIn) -> None:
    with_scripts()
    client = sign_in()
    assert "Copy the text and start" in text(client.get(page(begin("L-text", phone="416 555 0001"))))
    shown = text(client.get(page(call_step("L-call", at=NOW - timedelta(minutes=31), phone="416 555 0002"))))
    assert "Good morning, it is about your house." in shown
    assert "Copy the text and start" not in shown
    assert 'data-opens="tel:+14165550002"' in shown


def test_the_card_shows_all_there_is_of_the_lead_in_thirteen_queries(sign_in: SignIn) -> None:
    call = call_step("L-1", at=NOW - timedelta(minutes=31), notes="Blue door", owner="otto")
    Property.objects.create(
        lead=call.lead, address="12 King St W", asking_price=450_000, motivation="divorce"
    )
    client = sign_in("MANAGER")
    with CaptureQueriesContext(connection) as caught:
        shown = text(client.get(page(call), headers=PART))
    for words in (
        "12 King St W",
        "450,000 CAD",
        "divorce",
        "Blue door",
        "Step 2 of 6",
        "completed: sent",
        "otto",
    ):
        assert words in shown, words
    assert shown.count("Step ") >= 6
    assert len(caught) <= 13


def test_starting_twice_is_one_start(sign_in: SignIn, clock: time_machine.Traveller) -> None:
    task = begin("L-1")
    client = sign_in("VA", "vera")
    for seconds in (0, 2):
        clock.shift(timedelta(seconds=seconds))
        answer = client.post(page(task, "start"), follow=True)
        assert answer.redirect_chain[-1][0] == page(task)
        assert "Started at 10:01 EST: 5 minutes to begin, until 10:06 EST." in text(answer)
    assert ContactDecision.objects.filter(door="START").count() == 1
    task.refresh_from_db()
    assert (task.claimed_by, task.started_at) == ("vera", NOW + timedelta(minutes=1))


def test_starting_outside_hours_is_refused_with_the_next_lawful_time(
    sign_in: SignIn, clock: time_machine.Traveller
) -> None:
    task = begin("L-1")
    clock.move_to(NIGHT)
    answer = sign_in().post(page(task, "start"))
    assert answer.status_code == 409
    assert "Contact is allowed again on Wednesday 25 November at 09:00 there." in text(answer)
    assert ContactDecision.objects.get().ok is False


def test_completing_says_what_is_next_and_keeps_the_list_as_it_was_narrowed(sign_in: SignIn) -> None:
    task = begin("L-1", name="Anne Roy")
    answer = sign_in().post(page(task, "complete") + "?province=ON&evil=1", {"outcome": "SENT"}, follow=True)
    assert answer.redirect_chain == [(f"{LIST}?province=ON&done={task.pk}", 302)]
    assert "Anne Roy: recorded (sent). Next: step 2, call, due Tue 24 Nov, 10:31 EST (Toronto)." in text(
        answer
    )


def test_completing_twice_is_one_completion(sign_in: SignIn) -> None:
    task = begin("L-1")
    client = sign_in()
    for words in ("recorded (sent)", "this was recorded already (sent)"):
        answer = client.post(page(task, "complete"), {"outcome": "SENT", "note": "hello"}, follow=True)
        assert answer.status_code == 200
        assert words in text(answer)
    assert KpiEvent.objects.filter(metric="followup_completed").count() == 1


def test_another_outcome_for_a_completed_task_is_refused(sign_in: SignIn) -> None:
    task = call_step("L-1", at=NOW - timedelta(minutes=31))
    client = sign_in()
    client.post(page(task, "complete"), {"outcome": "NO_ANSWER"})
    answer = client.post(page(task, "complete"), {"outcome": "LEFT_MESSAGE"})
    assert answer.status_code == 409
    assert "correct it instead" in text(answer)


def test_a_callback_is_promised_in_the_leads_own_time(sign_in: SignIn) -> None:
    task = begin("L-1", province="BC", city="Vancouver", phone="604 555 0101", at=NOW - timedelta(days=1))
    said = {"outcome": "REPLIED", "next": "CALLBACK", "next_at": "2026-11-26T14:30", "note": "after work"}
    answer = sign_in().post(page(task, "complete"), said, follow=True)
    assert "Next: scheduled callback, due Thu 26 Nov, 14:30" in text(answer)
    made = FollowUpTask.objects.get(kind="CALLBACK")
    assert made.due_at is not None
    assert made.due_at.isoformat() == "2026-11-26T21:30:00+00:00"  # Vancouver is at -07:00


@pytest.mark.parametrize(
    ("said", "field", "words"),
    [
        ({"outcome": "REPLIED", "next": "CALLBACK"}, "next_at", "Enter a time."),
        (
            {"outcome": "SENT", "next": "CALLBACK", "next_at": "2026-11-26T14:30"},
            "next",
            "Only a lead you spoke with, or who replied",
        ),
        ({"outcome": "SENT", "contacted_at": "2026-11-24T23:00"}, "contacted_at", "in the future"),
        ({"outcome": "SENT", "contacted_at": "2026-11-24T09:30"}, "note", "needs a note"),
        ({"outcome": "SENT", "contacted_at": "soon"}, "contacted_at", "Enter a date and time"),
        ({"outcome": "FLEW"}, "outcome", "Select a valid choice"),
        ({"outcome": "SENT", "note": "a\0b"}, "note", "Null characters"),
    ],
)
def test_what_cannot_be_is_shown_at_its_field_and_what_was_typed_stays(
    sign_in: SignIn, said: dict[str, str], field: str, words: str
) -> None:
    task = begin("L-1", at=NOW - timedelta(hours=1))
    answer = sign_in().post(page(task, "complete"), {"note": "", **said})
    assert answer.status_code == 400
    errors = answer.context["complete"].errors
    assert words in str(errors[field])
    assert answer.context["complete"]["outcome"].value() == said["outcome"]
    task.refresh_from_db()
    assert task.status == "OPEN"


def test_an_hour_that_the_clocks_skip_is_refused(sign_in: SignIn) -> None:
    task = begin("L-1")
    answer = sign_in().post(
        page(task, "complete"), {"outcome": "REPLIED", "next": "CALLBACK", "next_at": "2027-03-14T02:30"}
    )
    assert answer.status_code == 400
    assert "This time does not exist there" in text(answer)


def test_a_refused_contact_keeps_the_form_and_can_be_recorded_as_having_taken_place(
    sign_in: SignIn, clock: time_machine.Traveller
) -> None:
    task = call_step("L-1")
    clock.move_to(NIGHT)
    client = sign_in()
    first = client.post(page(task, "complete"), {"outcome": "NO_ANSWER", "note": "rang twice"})
    assert first.status_code == 409
    shown = text(first)
    assert "The law does not allow this channel at that hour there." in shown
    assert "rang twice</textarea>" in shown
    assert "The contact took place anyway" in shown
    assert "overridden" not in shown  # a VA overrides nothing, nobody overrides the law
    again = client.post(
        page(task, "complete"), {"outcome": "NO_ANSWER", "note": "rang twice", "happened": "on"}, follow=True
    )
    assert "recorded (no answer)" in text(again)
    task.refresh_from_db()
    assert (task.status, task.gate_allowed) == ("COMPLETED", False)
    assert ContactDecision.objects.filter(happened=True).count() == 1


def test_only_those_who_may_override_are_asked_for_a_reason(
    sign_in: SignIn, clock: time_machine.Traveller
) -> None:
    task = begin("L-1")
    clock.move_to(NIGHT)
    assert "overridden" not in text(sign_in().post(page(task, "complete"), {"outcome": "SENT"}))
    closer = sign_in("CLOSER")
    assert "overridden" in text(closer.post(page(task, "complete"), {"outcome": "SENT"}))
    said = {"outcome": "SENT", "override_reason": "she asked for it"}
    assert sign_in().post(page(task, "complete"), said).status_code == 409
    assert closer.post(page(task, "complete"), said).status_code == 302
    task.refresh_from_db()
    assert task.override_reason == "she asked for it"


def test_an_opt_out_is_recorded_at_night_and_on_a_closed_task(
    sign_in: SignIn, clock: time_machine.Traveller
) -> None:
    task = begin("L-1")
    clock.move_to(NIGHT)
    client = sign_in()
    assert client.post(page(task, "complete"), {"outcome": "OPTED_OUT"}).status_code == 302
    assert Ladder.objects.get().status == "STOPPED"
    assert Lead.objects.get().status == "DEAD"
    assert Suppression.objects.exists()

    closed = begin("L-2", phone="416 555 0002")
    services.skip_task(closed.pk, by=SOMEBODY, at=NIGHT, reason="not today")
    assert "Record the opt-out" in text(client.get(page(closed)))
    before = Suppression.objects.count()
    assert client.post(page(closed, "opt-out")).status_code == 302
    assert Suppression.objects.count() > before
    assert not FollowUpTask.objects.filter(lead=closed.lead, status="OPEN").exists()


def test_two_tabs_that_disagree_leave_one_whole_record(sign_in: SignIn) -> None:
    task = begin("L-1")
    client = sign_in()
    assert client.post(page(task, "complete"), {"said": "SENT"}).status_code == 302
    answer = client.post(page(task, "complete"), {"said": "REPLIED:HANDOVER", "note": "likes the price"})
    assert answer.status_code == 302
    assert "recorded (replied)" in text(client.get(answer["Location"]))
    shown = text(client.get(page(task)))
    assert "sent, corrected to replied" in shown
    assert "likes the price" in shown
    refused = client.post(page(task, "complete"), {"said": "REACHED:NOT_INTERESTED"})
    assert refused.status_code == 409
    assert "correct it instead" in text(refused)
    assert Lead.objects.get().status == "HANDED_OVER"


def test_a_reply_that_comes_after_the_task_was_given_away_is_recorded(
    sign_in: SignIn, person: Callable[..., User]
) -> None:
    person("VA", "otto")
    task = begin("L-1", name="Anne Roy")
    client = sign_in("VA", "vera")
    assert client.post(page(task, "start")).status_code == 302
    services.release_claim(task.pk, by=SOMEBODY, at=NOW)
    services.reassign_tasks([task.pk], "otto", by=SOMEBODY, at=NOW, reason="more French")
    said = {"said": "REPLIED:CALLBACK:2026-11-26T14:30"}
    answer = client.post(page(task, "complete"), said)
    assert answer.status_code == 302
    assert "recorded (replied)" in text(client.get(answer["Location"]))
    call = FollowUpTask.objects.get(kind="CALLBACK")
    assert call.due_at == datetime(2026, 11, 26, 19, 30, tzinfo=UTC)


def test_a_later_step_says_which_comes_first(sign_in: SignIn) -> None:
    first = begin("L-1")
    second = FollowUpTask.objects.get(lead=first.lead, step=2)
    client = sign_in()
    assert "Step 1 comes first." in text(client.get(page(second)))
    answer = client.post(page(second, "complete"), {"outcome": "NO_ANSWER"})
    assert answer.status_code == 409
    assert "Step 1 of this lead comes first" in text(answer)


def test_skipping_and_putting_aside(sign_in: SignIn) -> None:
    first, other = many(2)
    client = sign_in()
    assert client.post(page(first, "skip"), {"reason": ""}).status_code == 400
    assert "Lead L-1: skipped. Next: step 2, call" in text(
        client.post(page(first, "skip"), {"reason": "busy"}, follow=True)
    )
    assert "skipped already" in text(client.post(page(first, "skip"), {"reason": "busy"}, follow=True))

    answer = client.post(page(other, "snooze"), {"until": "2026-11-24T22:00"}, follow=True)
    assert "Lead L-2: put aside until Wed 25 Nov, 09:00 EST (Toronto)." in text(answer)
    assert "L-2" not in text(client.get(LIST)).split('id="queue"')[1].split("<dialog")[0]
    wrong = client.post(page(other, "snooze"), {"until": "2027-01-24T22:00"})
    assert wrong.status_code == 400
    assert "within the next 14 days" in text(wrong)


# --- roles --------------------------------------------------------------------------------------------------


def test_an_auditor_reads_and_finds_no_button(sign_in: SignIn) -> None:
    task = begin("L-1", owner="vera")
    auditor = sign_in("AUDITOR")
    for address in (LIST, page(task)):
        shown = text(auditor.get(address)).split("<main")[1]
        assert "L-1" in shown
        assert 'method="post"' not in shown
    for action in ("start", "complete", "skip", "snooze", "release", "opt-out"):
        assert auditor.post(page(task, action), {"outcome": "SENT"}).status_code == 403, action
    assert auditor.post("/followups/next/").status_code == 403
    assert auditor.post("/followups/release/").status_code == 403
    task.refresh_from_db()
    assert task.status == "OPEN"


def test_a_closer_sees_anothers_task_and_is_told_whose_it_is(
    sign_in: SignIn, person: Callable[..., User]
) -> None:
    person("VA", "otto")
    task = begin("L-1", owner="otto")
    closer = sign_in("CLOSER")
    shown = text(closer.get(page(task)))
    assert "This task belongs to otto" in shown
    assert 'id="complete"' not in shown
    answer = closer.post(page(task, "complete"), {"outcome": "SENT"})
    assert answer.status_code == 403
    assert "a manager can reassign it" in text(answer)


def test_a_manager_works_on_anybodys_task(sign_in: SignIn, person: Callable[..., User]) -> None:
    person("VA", "otto")
    task = begin("L-1", owner="otto")
    assert sign_in("MANAGER").post(page(task, "complete"), {"outcome": "SENT"}).status_code == 302


def test_a_form_from_elsewhere_is_refused(sign_in: SignIn) -> None:
    task = begin("L-1")
    answer = sign_in(enforce_csrf_checks=True).post(page(task, "complete"), {"outcome": "SENT"})
    assert answer.status_code == 403
    task.refresh_from_db()
    assert task.status == "OPEN"


def test_coming_back_to_a_form_address_shows_the_task(sign_in: SignIn) -> None:
    task = begin("L-1")
    client = sign_in()
    for action in ("start", "complete", "skip", "snooze", "release", "opt-out"):
        assert client.get(page(task, action)).headers["Location"] == page(task)
    assert client.get("/followups/next/").headers["Location"] == LIST


@pytest.mark.parametrize("number", ["0", "999999", "9" * 30])
def test_a_task_that_does_not_exist_is_a_404(sign_in: SignIn, number: str) -> None:
    client = sign_in()
    assert client.get(f"/followups/task/{number}/").status_code == 404
    assert client.post(f"/followups/task/{number}/complete/", {"outcome": "SENT"}).status_code == 404
    assert client.post(f"/followups/task/{number}/start/").status_code == 404


def test_the_kill_switch_is_said_on_the_page(sign_in: SignIn, settings: Settings) -> None:
    settings.GO_LIVE_ENFORCE = True
    task = begin_while_open(settings)
    client = sign_in()
    for answer in (
        client.post(page(task, "start")),
        client.post(page(task, "complete"), {"outcome": "SENT"}),
        client.post("/followups/next/"),
    ):
        assert answer.status_code == 503
        assert "Go-live is off" in text(answer)


def begin_while_open(settings: Settings) -> FollowUpTask:
    settings.GO_LIVE_ENFORCE = False
    task = begin("L-1")
    settings.GO_LIVE_ENFORCE = True
    return task


# --- a seller calls back ------------------------------------------------------------------------------------


@pytest.mark.parametrize("sought", ["416-555-0133", "(416) 555 0133", "anne@example.ca", "L-1"])
def test_whoever_answers_finds_the_lead_whoever_owns_her(
    sign_in: SignIn, person: Callable[..., User], sought: str
) -> None:
    person("VA", "otto")
    task = begin("L-1", name="Anne Roy", phone="416 555 0133", email="anne@example.ca", owner="otto")
    services.complete_task(task.pk, services.Completion(note="blue door"), by=SOMEBODY, at=NOW)
    vera = sign_in("VA", "vera")
    shown = text(vera.post("/followups/find/", {"q": sought}))
    for words in ("Anne Roy", "otto", "blue door", "(416) 555-0133", "10:01 EST"):
        assert words in shown, words
    assert LookupEvent.objects.get().actor == "vera"


@pytest.mark.parametrize("sought", ["999", "a@b@c", "+1 000 000 0000", "\0", "x" * 5000, "L-404", "' OR 1=1"])
def test_what_finds_nobody_is_said(sign_in: SignIn, sought: str) -> None:
    answer = sign_in().post("/followups/find/", {"q": sought})
    assert answer.status_code in (200, 400)
    assert "No match for" in text(answer) or "not a phone number" in text(answer)


@pytest.mark.parametrize("task", ["0" * 6000, "0" * 20 + "9" * 30, "9" * 19, "\0"])
def test_a_task_that_cannot_be_is_no_way_back(sign_in: SignIn, task: str) -> None:
    begin("L-1")
    shown = sign_in().post("/followups/find/", {"q": "L-1", "task": task})
    assert (shown.status_code, shown.context["back"]) == (200, None)


def test_an_inbound_contact_is_recorded_once_however_often_its_form_is_sent(sign_in: SignIn) -> None:
    task = begin("L-1", owner="otto")
    form = {"said": "", "channel": "CALL", "note": "rang", "once": "a" * 32}
    vera = sign_in("VA", "vera")
    for _again in range(2):
        answer = vera.post(f"/followups/lead/{task.lead_id}/inbound/", form, follow=True)
        assert "inbound contact recorded (waits for an answer). Next: scheduled callback" in text(answer)
    assert InboundContact.objects.count() == 1
    form = {"said": "OPTED_OUT", "channel": "SMS", "once": "b" * 32, "task": str(task.pk)}
    answer = vera.post(f"/followups/lead/{task.lead_id}/inbound/", form)
    assert answer.headers["Location"] == page(task)
    assert Lead.objects.get().status == "DEAD"


def test_an_inbound_contact_that_cannot_be_is_shown_at_its_field(sign_in: SignIn) -> None:
    task = begin("L-1")
    for said in ({"said": "REACHED:CALLBACK"}, {"said": "SENT"}, {"said": "", "channel": "FAX"}):
        answer = sign_in().post(f"/followups/lead/{task.lead_id}/inbound/", {"channel": "CALL", **said})
        assert answer.status_code == 400
        assert 'role="alert"' in text(answer)
    assert not InboundContact.objects.exists()
    assert sign_in().post("/followups/lead/999999/inbound/", {"channel": "CALL"}).status_code == 404
    assert sign_in("AUDITOR").post(f"/followups/lead/{task.lead_id}/inbound/").status_code == 403


def test_a_long_note_is_kept_whole_and_shown_as_continued(sign_in: SignIn) -> None:
    task = begin("L-1")
    words = "word " * 2000 + "end"
    assert sign_in().post(page(task, "complete"), {"outcome": "SENT", "note": words}).status_code == 302
    task.refresh_from_db()
    assert (task.status, task.note) == ("COMPLETED", words)
    shown = text(sign_in("MANAGER").get(page(task)))
    assert shown.count("Note, continued") == 2
    assert shown.count("word ") + shown.count("word</p>") >= 2000


def test_a_note_is_parted_between_words_and_nothing_of_it_is_lost() -> None:
    for note in ("", "short", "x" * 9000, "é " * 5000, "line\n" * 3000):
        parts = note_parts(note)
        assert all(0 < len(part) <= 4000 for part in parts)
        assert "".join("".join(parts).split()) == "".join(note.split())


def test_at_night_the_list_says_when_and_where_work_opens_and_how_many_wait(
    sign_in: SignIn, clock: time_machine.Traveller
) -> None:
    begin("L-1", phone="416 555 0133")
    begin("L-2", phone="416 555 0134")
    begin("L-3", phone="604 555 0133", province="BC", city="Vancouver", at=NOW - timedelta(days=1))
    assert "Work resumes" not in text(sign_in("VA", "vera").get(LIST))
    clock.move_to(NIGHT + timedelta(hours=3, minutes=30))  # 01:05 in Toronto, 22:05 in Vancouver
    client = sign_in("VA", "otto")
    shown = text(client.get(LIST))
    assert "Work resumes today 09:00 (Toronto) with 2 tasks. 3 due tasks are waiting." in shown
    assert "Work resumes tomorrow 09:00 (Vancouver) with 1 task. 1 due task is waiting." in text(
        client.get(f"{LIST}?province=BC")
    )


def test_at_night_work_that_is_not_due_yet_opens_too(
    sign_in: SignIn, person: Callable[..., User], clock: time_machine.Traveller
) -> None:
    clock.move_to(NIGHT)  # what begins at 21:35 is due at 09:00
    begin("L-1", at=NIGHT, phone="416 555 0133")
    begin("L-2", at=NIGHT, phone="416 555 0134")
    begin("L-bc", at=NIGHT + timedelta(hours=7), phone="604 555 0133", province="BC", city="Vancouver")
    begin("L-his", at=NIGHT, phone="416 555 0135", owner=person("VA", "otto").username)
    client = sign_in("VA", "vera")
    shown = text(client.get(LIST))
    assert "Work resumes tomorrow 09:00 (Toronto) with 2 tasks." in shown
    assert "Nothing is due" in shown
    assert "waiting." not in shown.split("Work resumes")[1][:90]
    assert "with 3 tasks." in text(sign_in("MANAGER").get(LIST))
    assert "Work resumes tomorrow 09:00 (Vancouver) with 1 task." in text(client.get(f"{LIST}?province=BC"))
    assert "Work resumes" not in text(client.get(f"{LIST}?channel=EMAIL"))


def test_who_asks_for_a_task_at_night_is_told_when_work_opens(
    sign_in: SignIn, clock: time_machine.Traveller
) -> None:
    begin("L-1")
    clock.move_to(NIGHT)
    answer = text(sign_in("VA", "vera").post("/followups/next/", headers=PART))
    assert "No lead in your work profile may be contacted now" in answer
    assert "Work resumes tomorrow 09:00 (Toronto) with 1 task. 1 due task is waiting." in answer


def test_the_kill_switch_and_a_green_tick_never_stand_together(sign_in: SignIn, settings: Settings) -> None:
    task = begin("L-1")
    client = sign_in()
    for shown in (text(client.get(LIST)), text(client.get(page(task)))):
        assert 'class="yes' in shown
    settings.GO_LIVE_ENFORCE = True
    set_kill_switch(True, by=SOMEBODY, at=NOW, reason="drill")
    for shown in (text(client.get(LIST)), text(client.get(page(task)))):
        assert "The kill switch is engaged" in shown
        assert 'class="yes' not in shown
        assert "</strong> may be contacted now" not in shown


def test_what_already_happened_is_recorded_while_the_kill_switch_is_engaged(
    sign_in: SignIn, settings: Settings
) -> None:
    task = begin("L-1")
    client = sign_in()
    settings.GO_LIVE_ENFORCE = True
    set_kill_switch(True, by=SOMEBODY, at=NOW, reason="drill")
    assert client.post(page(task, "complete"), {"outcome": "SENT"}).status_code == 503
    shown = client.get(page(task))
    assert "Record what already happened" in text(shown)
    assert shown.context["complete"]["happened"].value() is True
    said = {"outcome": "SENT", "happened": "on"}
    assert client.post(page(task, "complete"), said).status_code == 302
    task.refresh_from_db()
    assert (task.status, task.outcome) == ("COMPLETED", "SENT")


def test_a_card_that_was_open_when_the_switch_was_engaged_records_with_the_second_press(
    sign_in: SignIn, settings: Settings
) -> None:
    """The first press is refused, for the page did not know of the switch; its answer ticks the box."""
    task = begin("L-1")
    client = sign_in()
    settings.GO_LIVE_ENFORCE = True
    set_kill_switch(True, by=SOMEBODY, at=NOW, reason="drill")
    refused = client.post(page(task, "complete"), {"outcome": "SENT", "note": "rang"}, headers=PART)
    assert refused.status_code == 503
    shown = text(refused)
    assert re.search(r'<input type="checkbox" name="happened"[^>]* checked', shown)
    assert re.search(r"<textarea[^>]*>\s*rang</textarea>", shown)
    assert client.post(page(task, "complete"), {"outcome": "SENT", "happened": "on"}).status_code == 302
    task.refresh_from_db()
    assert (task.status, task.gate_allowed) == ("COMPLETED", True)


def test_a_note_of_any_length_stops_nothing_on_a_page(sign_in: SignIn) -> None:
    task, client = begin("L-1"), sign_in()
    note = "é" * 100_000  # 600 KB on its way
    said = {"channel": "CALL", "said": "", "note": note}
    assert client.post(f"/followups/lead/{task.lead_id}/inbound/", said).status_code == 302
    assert client.post(page(task, "complete"), {"outcome": "SENT", "note": note}).status_code == 302
    task.refresh_from_db()
    assert (task.note, InboundContact.objects.get().note) == (note, note)
    assert text(client.post("/followups/find/", {"q": "L-1"})).count("Note, continued") == 24

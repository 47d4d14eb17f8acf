"""The due-task page as a VA uses it all day, in a real Chromium: by keyboard, by touch, and with bad luck."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Literal

import pytest
import time_machine
from axe_playwright_python.sync_playwright import Axe
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from playwright.sync_api import Browser, Dialog, Page, Route, expect
from playwright.sync_api import Error as PlaywrightError
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from followups import services
from followups.models import FollowUpTask, InboundContact, Ladder, Lead, Property
from followups.tests.scenes import NIGHT, NOW, SOMEBODY, begin, call_step, many, with_scripts
from governance.contact.models import Suppression
from governance.golive.models import GoLiveState
from governance.golive.services import set_kill_switch
from governance.kpi.models import KpiEvent
from governance.models import User, WorkProfile
from valhalla.testing import PASSWORD, make_person

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOW + timedelta(minutes=1), tick=True) as traveller:
        yield traveller


@pytest.fixture
def vera(transactional_db: None) -> User:
    return make_person("VA", "vera")


def log_in(page: Page, live_server: Any, name: str = "vera") -> Page:
    page.goto(f"{live_server.url}/login/")
    page.locator("[name=username]").fill(name)
    page.locator("[name=password]").fill(PASSWORD)
    page.locator("main button[type=submit]").click()
    expect(page.locator("h1").first).to_be_visible()
    return page


@pytest.fixture
def desk(page: Page, live_server: Any, vera: User) -> Page:
    """A browser in which vera is signed in."""
    return log_in(page, live_server)


def move_on(page: Page, clock: time_machine.Traveller, to: datetime, user: User) -> None:
    """Move the clock while no page is open that would ask and be put out, and let somebody be active then."""
    page.goto("about:blank")
    # before the clock moves: a question of the page that is still under way would find its person long away
    for row in Session.objects.all():
        session = SessionStore(row.session_key)
        if session.get("_auth_user_id") == str(user.pk):
            session["since"] = session["seen"] = int(to.timestamp())
            session.save()
    clock.move_to(to)


def show(page: Page, live_server: LiveServer, task: FollowUpTask | None = None, query: str = "") -> None:
    page.goto(live_server.url + (f"/followups/task/{task.pk}/" if task else "/followups/") + query)


def violations(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [f"{rule['id']}: {node['html'][:120]}" for rule in found for node in rule["nodes"]]


def is_too_wide(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth > window.innerWidth"))


def completed() -> int:
    return FollowUpTask.objects.filter(status="COMPLETED").count()


def in_front(page: Page) -> int:
    return int(page.locator("#in-front").input_value() or 0)


# --- a day's work -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tasks", [4, pytest.param(40, marks=pytest.mark.long)])
def test_a_va_completes_her_tasks_by_keyboard_alone(desk: Page, live_server: LiveServer, tasks: int) -> None:
    many(tasks)
    show(desk, live_server)
    desk.keyboard.press("n")
    done: set[int] = set()
    for n in range(tasks):
        expect(desk.locator("#card")).to_be_visible()
        now = in_front(desk)
        assert now not in done
        done.add(now)
        if n % 4 == 1:
            desk.keyboard.press("w")
            desk.keyboard.type(f"note 1 of {n}")  # what is typed there presses no key
            desk.keyboard.press("Escape")
        desk.keyboard.press("1")
        if n + 1 < tasks:
            expect(desk.locator("#in-front")).not_to_have_value(str(now))
            expect(desk.locator("#card")).to_be_visible()
    expect(desk.locator("#nothing")).to_contain_text("No lead in your work profile may be contacted now")
    assert completed() == tasks
    assert KpiEvent.objects.filter(metric="followup_completed").count() == tasks
    assert FollowUpTask.objects.filter(note__startswith="note 1 of").count() == tasks // 4


def test_a_key_at_the_very_moment_at_which_a_card_shows_is_not_too_early(
    desk: Page, live_server: LiveServer
) -> None:
    many(2)
    show(desk, live_server)
    desk.evaluate(
        """() => new MutationObserver((_changes, seen) => {
             const first = document.querySelector("#card [data-key='1']");
             if (first) { seen.disconnect(); first.click(); }
           }).observe(document.getElementById("front"), {childList: true, subtree: true})"""
    )
    desk.keyboard.press("n")
    expect(desk.locator("#said")).to_contain_text("recorded")
    expect(desk.locator("#card")).to_be_visible()
    assert completed() == 1
    assert "done=" not in desk.url  # the page was never left


def test_what_follows_is_said_before_and_a_mistake_is_corrected_by_two_keys(
    desk: Page, live_server: LiveServer
) -> None:
    call = call_step("L-1", name="Anne Roy", at=NOW - timedelta(minutes=31))
    begin("L-2", name="Bob Lee", phone="416 555 0134")
    show(desk, live_server, call)
    expect(desk.locator("#said-NO_ANSWER")).to_contain_text(
        "Next: step 3, text message, due Tue 24 Nov, 12:29 EST (Toronto)."
    )
    expect(desk.locator("#said-REACHED")).to_contain_text("The remaining 4 steps stop.")
    desk.keyboard.press("1")
    expect(desk.locator("#said")).to_contain_text("Anne Roy: recorded (no answer). Next: step 3")
    expect(desk.locator("#title")).to_have_text("Bob Lee")
    desk.keyboard.press("u")
    expect(desk.locator("#undo")).to_contain_text("Anne Roy was recorded as “No answer”")
    desk.keyboard.press("1")
    expect(desk.locator("#said")).to_contain_text("Corrected to “Left voicemail”.")
    expect(desk.locator("#title")).to_have_text("Bob Lee")
    call.refresh_from_db()
    assert (call.outcome, call.corrected_to) == ("NO_ANSWER", "LEFT_MESSAGE")


def test_a_lead_who_is_reached_is_promised_a_lawful_callback_by_two_keys(
    desk: Page, live_server: LiveServer
) -> None:
    call = call_step("L-1", province="BC", city="Vancouver", at=NOW - timedelta(hours=20))
    with time_machine.travel(NOW + timedelta(hours=4), tick=True):
        show(desk, live_server, call)
        desk.keyboard.press("3")
        expect(desk.locator("#said-REACHED-callback-2")).to_contain_text("today 17:30")
        desk.keyboard.press("5")
        expect(desk.locator("#said")).to_contain_text("scheduled callback, due Tue 24 Nov, 17:30")
    made = FollowUpTask.objects.get(kind="CALLBACK")
    assert made.due_at is not None
    assert made.due_at.isoformat() == "2026-11-25T00:30:00+00:00"  # Vancouver is at -07:00


def test_putting_aside_offers_lawful_times_only(desk: Page, live_server: LiveServer) -> None:
    task = begin("L-1")
    show(desk, live_server, task)
    desk.keyboard.press("p")
    expect(desk.locator("#aside-2")).to_contain_text("today 17:30")
    expect(desk.locator("#aside-3")).to_contain_text("tomorrow 09:00")
    desk.keyboard.press("3")
    expect(desk.locator("#said")).to_contain_text("put aside until Wed 25 Nov, 09:00 EST (Toronto)")


def test_a_start_is_asked_of_the_gate_and_the_text_is_copied(desk: Page, live_server: LiveServer) -> None:
    with_scripts()
    task = begin("L-1", name="Anne Roy", phone="416 555 0133")
    desk.context.grant_permissions(["clipboard-read", "clipboard-write"])
    show(desk, live_server, task)
    desk.keyboard.press("y")
    expect(desk.locator("#started")).to_contain_text("5 minutes to begin")
    assert desk.evaluate("navigator.clipboard.readText()") == "Hello, are you still thinking of selling?"
    task.refresh_from_db()
    assert (task.claimed_by, task.started_by) == ("vera", "vera")


@pytest.mark.parametrize("tasks", [8, pytest.param(60, marks=pytest.mark.long)])
def test_two_vas_work_the_same_queue_and_no_task_is_handled_twice(
    desk: Page, live_server: LiveServer, browser: Browser, tasks: int
) -> None:
    many(tasks)
    make_person("VA", "otto")
    other = log_in(browser.new_context(base_url=live_server.url).new_page(), live_server, "otto")
    both = [desk, other]
    for person in both:
        show(person, live_server)
        person.keyboard.press("n")
    rounds = tasks // 2
    for n in range(rounds):
        for person in both:  # both have a task in front at any time
            expect(person.locator("#card")).to_be_visible()
        assert in_front(desk) != in_front(other)
        before = [in_front(person) for person in both]
        for person in both:
            person.keyboard.press("1")
        for person, now in zip(both, before, strict=True):
            if n + 1 < rounds:
                expect(person.locator("#in-front")).not_to_have_value(str(now))
                expect(person.locator("#card")).to_be_visible()
            else:
                expect(person.locator("#ready")).to_be_visible()
    other.context.close()
    assert completed() == tasks
    assert KpiEvent.objects.filter(metric="followup_completed").count() == tasks
    by_person = FollowUpTask.objects.filter(status="COMPLETED").values_list("completed_by", flat=True)
    assert sorted(by_person) == ["otto"] * rounds + ["vera"] * rounds


def test_a_seller_who_calls_back_is_recorded_in_place_and_the_card_is_there_again(
    desk: Page, live_server: LiveServer
) -> None:
    make_person("VA", "otto")
    begin("L-his", name="Sam Seller", phone="416 555 0133", owner="otto")
    mine = begin("L-mine", name="Anne Roy", phone="416 555 0134")
    show(desk, live_server, mine)
    desk.keyboard.press("w")
    desk.keyboard.type("half a sen")
    desk.keyboard.press("Escape")
    desk.keyboard.press("f")
    desk.keyboard.type("416 555-0133")
    desk.keyboard.press("Enter")
    expect(desk.locator("#found")).to_contain_text("Sam Seller")
    assert violations(desk) == []
    desk.keyboard.press("1")
    expect(desk.locator("#said")).to_contain_text(
        "Sam Seller: inbound contact recorded (waits for an answer)"
    )
    expect(desk.locator("#title")).to_have_text("Anne Roy")
    expect(desk.get_by_label("Note")).to_have_value("half a sen")
    row = InboundContact.objects.get()
    assert (row.lead.external_id, row.actor, row.channel) == ("L-his", "vera", "CALL")


# --- it is live ---------------------------------------------------------------------------------------------


def test_news_comes_by_itself_and_an_open_note_the_focus_and_the_scroll_stay(
    desk: Page, live_server: LiveServer
) -> None:
    tasks = many(30)
    desk.set_viewport_size({"width": 1280, "height": 600})
    show(desk, live_server, tasks[0])
    desk.keyboard.press("w")
    desk.keyboard.type("she asked abou")
    desk.evaluate("document.getElementById('beside').scrollTop = 300")
    FollowUpTask.objects.filter(pk=tasks[20].pk).update(
        claimed_by="otto", claim_token="x", claim_until=NOW + timedelta(minutes=15)
    )
    expect(desk.locator(f"#task-{tasks[20].pk}")).to_contain_text("otto is working on it", timeout=5000)
    desk.keyboard.type("t the roof")
    expect(desk.get_by_label("Note")).to_have_value("she asked about the roof")
    assert desk.evaluate("document.getElementById('beside').scrollTop") == 300
    desk.locator(f"#open-{tasks[25].pk}").focus()
    begin("L-new", name="Nadia New", phone="416 555 0999", at=NOW)
    expect(desk.locator("#queue")).to_contain_text("Nadia New", timeout=5000)
    expect(desk.locator(f"#open-{tasks[25].pk}")).to_be_focused()


def test_news_keep_the_page_of_the_list_that_is_open(desk: Page, live_server: LiveServer) -> None:
    tasks = many(53)
    show(desk, live_server, query="?page=2")
    last = desk.locator(f"#task-{tasks[52].pk}")
    expect(last).to_be_visible()
    FollowUpTask.objects.filter(pk=tasks[52].pk).update(
        claimed_by="otto", claim_token="x", claim_until=NOW + timedelta(minutes=15)
    )
    expect(last).to_contain_text("otto is working on it", timeout=5000)


def test_when_the_window_closes_during_a_call_the_card_locks_and_the_call_is_recorded(
    desk: Page, live_server: LiveServer, vera: User, clock: time_machine.Traveller
) -> None:
    call = call_step("L-1", at=NOW - timedelta(hours=1))
    closing = NOW + timedelta(hours=10)  # 20:00 in Toronto
    move_on(desk, clock, closing - timedelta(seconds=4), vera)
    show(desk, live_server, call)
    # a Chromium without a telephone takes no more keys once it was told to ring one up
    expect(desk.locator("#start")).to_have_attribute("data-opens", "tel:+14165550100")
    desk.locator("#start").evaluate("button => button.removeAttribute('data-opens')")
    desk.locator("#start").click()
    expect(desk.locator("#started")).to_be_visible()
    expect(desk.locator("#window-closed")).to_contain_text(
        "The contact began at 19:59 EST: finish it", timeout=6000
    )
    expect(desk.locator("#contact a[href]")).to_have_count(0)
    clock.move_to(closing + timedelta(minutes=3))
    desk.keyboard.press("1")
    expect(desk.locator("#said")).to_contain_text("recorded (no answer)")
    call.refresh_from_db()
    assert (call.status, call.gate_allowed) == ("COMPLETED", True)


def test_at_the_windows_end_the_buttons_lock_and_the_server_refuses_in_any_case(
    desk: Page, live_server: LiveServer, vera: User, clock: time_machine.Traveller
) -> None:
    call = call_step("L-1", at=NOW - timedelta(hours=1))
    move_on(desk, clock, NOW + timedelta(hours=10) - timedelta(seconds=2), vera)
    show(desk, live_server, call)
    expect(desk.locator("#start")).to_be_enabled()
    desk.route("**/news/**", lambda route: route.fulfill(status=204))  # the card knows the time by itself
    expect(desk.locator("#window-closed")).to_be_visible(timeout=5000)
    expect(desk.locator("#window-closed")).to_contain_text("no contact may begin now")
    expect(desk.locator("#start")).to_be_disabled()
    desk.keyboard.press("1")
    expect(desk.locator("#refusal")).to_contain_text("It is outside our contact hours there.")
    call.refresh_from_db()
    assert call.status == "OPEN"


def test_the_kill_switch_is_seen_and_obeyed_within_five_seconds(
    desk: Page, live_server: LiveServer, settings: Settings
) -> None:
    task = begin("L-1")
    settings.GO_LIVE_ENFORCE = True
    GoLiveState.objects.update(go_live_enabled=True)
    show(desk, live_server, task)
    expect(desk.locator("#start")).to_be_enabled()
    set_kill_switch(True, by=SOMEBODY, at=NOW + timedelta(minutes=2), reason="drill")
    expect(desk.locator("#stopped")).to_contain_text("The kill switch is engaged", timeout=5000)
    expect(desk.locator("#switches")).to_contain_text("drill")
    expect(desk.locator("#start")).to_have_count(0)
    expect(desk.locator(".yes")).to_have_count(0)  # no green tick, on the card or the list
    desk.keyboard.press("1")
    expect(desk.locator("#refusal")).to_contain_text("The kill switch is engaged")
    expect(desk.get_by_label("The contact took place anyway")).to_be_checked()
    expect(desk.locator(".yes")).to_have_count(0)
    desk.keyboard.press("x")  # what she said is recorded all the same
    expect(desk.locator("#said")).to_contain_text("recorded (opted out)")
    assert Suppression.objects.exists()


def test_find_selects_its_text_and_a_long_note_is_counted(desk: Page, live_server: LiveServer) -> None:
    show(desk, live_server, begin("L-1"))
    desk.locator("#find").fill("416 555 0133")
    desk.locator("#title").click()
    desk.keyboard.press("f")
    desk.keyboard.type("604 555 0133")
    expect(desk.locator("#find")).to_have_value("604 555 0133")
    note = desk.get_by_label("Note")
    note.fill("x" * 3499)
    counter = desk.locator("#complete_note_count")
    expect(counter).to_be_hidden()
    note.press("y")
    expect(counter).to_have_text("3500 of 4000 characters")
    note.fill("x" * 5000)
    expect(counter).to_contain_text("5000 characters")
    desk.locator("#said-SENT").click()
    expect(desk.locator("#said")).to_contain_text("recorded")
    assert FollowUpTask.objects.get(status="COMPLETED").note == "x" * 5000
    desk.locator("#find").fill("L-1")
    desk.locator("#find").press("Enter")
    note = desk.locator("#found").get_by_label("Note")
    note.fill("x" * 4001)
    expect(desk.locator("#found [role=status]").first).to_contain_text("4001 characters")
    desk.keyboard.press("Escape")
    desk.locator("#found [data-key='1']").click()
    expect(desk.locator("#said")).to_contain_text("inbound contact recorded")
    assert InboundContact.objects.get().note == "x" * 4001


def test_who_searches_while_the_next_task_is_fetched_keeps_what_they_found(
    desk: Page, live_server: LiveServer
) -> None:
    begin("L-2", phone="604 555 0134")
    show(desk, live_server, begin("L-1"))
    fetching: list[Route] = []
    desk.route("**/followups/next/*", lambda route: fetching.append(route))
    desk.locator("#said-SENT").click()
    expect(desk.locator("#said")).to_contain_text("recorded")
    desk.locator("#find").fill("L-1")
    desk.locator("#find").press("Enter")
    expect(desk.locator("#found")).to_be_visible()
    assert fetching
    for route in fetching:
        with contextlib.suppress(PlaywrightError):  # the page gave the request up
            route.continue_()
    desk.wait_for_timeout(1500)
    expect(desk.locator("#found")).to_be_visible()


# What the browser itself would make heard or seen is noted down as well.
NOTED = """
  window.heard = 0; window.notices = [];
  const start = OscillatorNode.prototype.start;
  OscillatorNode.prototype.start = function (...when) { window.heard += 1; return start.apply(this, when); };
  const Shown = window.Notification;
  window.Notification = class extends Shown {
    constructor(text, more) { super(text, more); window.notices.push(text); }
  };
"""


def test_a_handoff_is_on_a_closers_open_page_within_five_seconds_at_night_and_rings_in_the_morning(
    page: Page, live_server: LiveServer, vera: User, clock: time_machine.Traveller
) -> None:
    cleo = make_person("CLOSER", "cleo")
    first = begin("L-1", name="Anne Roy")
    page.add_init_script(NOTED)
    page.context.grant_permissions(["notifications"])
    log_in(page, live_server, "cleo")
    move_on(page, clock, NIGHT, cleo)
    show(page, live_server)
    page.get_by_label("Show a browser notification").check()
    expect(page.locator("#nothing-due, #queue .group").first).to_be_visible()
    said = services.Completion(outcome="REPLIED")
    made = services.complete_task(first.pk, said, by=SOMEBODY, at=NIGHT).next_task
    assert made is not None
    row = page.locator(f"#handoffs #task-{made.pk}")
    expect(row).to_contain_text("Anne Roy", timeout=5000)
    expect(row).to_contain_text("Contact is allowed again on Wednesday 25 November at 09:00 there.")
    assert page.evaluate("[heard, notices]") == [0, []]
    move_on(page, clock, NIGHT.replace(hour=13, minute=59, second=57), cleo)  # 08:59:57 in Toronto
    show(page, live_server)
    assert page.evaluate("[heard, notices]") == [0, []]
    # the page learns by itself that the window has opened
    expect(page.locator("[data-rings]")).to_be_visible()
    assert page.evaluate("[heard, notices]") == [2, ["A handoff is waiting for your call."]]
    expect(row).not_to_contain_text("Contact is allowed again")
    page.reload()
    expect(row).to_be_visible()
    assert page.evaluate("[heard, notices]") == [0, []]  # once
    page.keyboard.press("n")
    expect(page.locator("#title")).to_have_text("Anne Roy")
    assert FollowUpTask.objects.get(pk=made.pk).claimed_by == "cleo"


def test_a_closer_turns_the_sound_off_and_it_stays_off(
    page: Page, live_server: LiveServer, transactional_db: None
) -> None:
    make_person("CLOSER", "cleo")
    first = begin("L-1", name="Anne Roy")
    page.add_init_script(NOTED)
    log_in(page, live_server, "cleo")
    show(page, live_server)
    page.get_by_label("Play a sound").uncheck()
    page.reload()
    expect(page.get_by_label("Play a sound")).not_to_be_checked()
    expect(page.get_by_label("Show a browser notification")).not_to_be_checked()  # until it is asked for
    at = NOW + timedelta(minutes=1)
    made = services.complete_task(first.pk, services.Completion(outcome="REPLIED"), by=SOMEBODY, at=at)
    assert made.next_task is not None
    expect(page.locator(f"#task-{made.next_task.pk}[data-rings]")).to_be_visible(timeout=5000)
    assert page.evaluate("[heard, notices]") == [0, []]
    assert violations(page) == []


def test_a_va_chooses_a_closers_free_time_by_two_keys_when_none_is_there(
    desk: Page, live_server: LiveServer
) -> None:
    cleo = make_person("CLOSER", "cleo")
    afternoons = [{"days": [0, 1, 2, 3, 4], "start": "13:00", "end": "17:00"}]
    WorkProfile.objects.create(user=cleo, shifts=afternoons)
    show(desk, live_server, begin("L-1", name="Anne Roy"))
    desk.keyboard.press("2")
    panel = desk.locator("#asks-REPLIED")
    expect(panel).to_contain_text("No closer is on shift for this lead now.")
    expect(panel.locator("#said-REPLIED-closer-1")).to_contain_text("today 13:00")
    sizes: tuple[tuple[int, Literal["light", "dark"]], ...] = ((1280, "light"), (390, "dark"))
    for width, scheme in sizes:
        desk.set_viewport_size({"width": width, "height": 900})
        desk.emulate_media(color_scheme=scheme)
        assert violations(desk) == []
        assert not is_too_wide(desk)
    desk.keyboard.press("4")
    expect(desk.locator("#said")).to_contain_text("due Tue 24 Nov, 13:00 EST")
    assert FollowUpTask.objects.get(kind="HANDOVER").due_at == NOW + timedelta(hours=3)


# --- bad luck -----------------------------------------------------------------------------------------------


def test_a_click_without_a_network_is_kept_and_sent_once(desk: Page, live_server: LiveServer) -> None:
    first, second = many(2)
    show(desk, live_server, first)
    desk.context.set_offline(True)
    desk.keyboard.press("1")
    expect(desk.locator("#trouble")).to_contain_text("Your click is kept")
    desk.keyboard.press("1")
    assert completed() == 0
    desk.context.set_offline(False)
    expect(desk.locator("#in-front")).to_have_value(str(second.pk), timeout=8000)
    assert completed() == 1
    assert KpiEvent.objects.filter(metric="followup_completed").count() == 1


def test_where_only_the_answer_was_lost_the_click_counts_once(desk: Page, live_server: LiveServer) -> None:
    first, second = many(2)
    show(desk, live_server, first)
    answers: list[int] = []

    def lose(route: Any) -> None:
        while 200 not in answers:  # a busy server says to come again, and has then done nothing yet
            answers.append(route.fetch(max_retries=3).status)
            assert answers[-1] in (200, 503)
        route.abort()

    desk.route("**/complete/", lose, times=1)
    desk.keyboard.press("1")
    expect(desk.locator("#in-front")).to_have_value(str(second.pk), timeout=8000)
    assert 200 in answers
    expect(desk.locator("#said")).to_contain_text("this was recorded already (sent)")
    assert KpiEvent.objects.filter(metric="followup_completed").count() == 1


def test_after_an_expired_session_she_is_back_at_the_same_card_with_her_note(
    desk: Page, live_server: LiveServer
) -> None:
    task = begin("L-1", name="Anne Roy")
    show(desk, live_server, task)
    desk.keyboard.press("w")
    desk.keyboard.type("call her son")
    desk.keyboard.press("Escape")
    desk.context.clear_cookies()
    desk.keyboard.press("1")
    desk.locator("#log-in-again").click()
    desk.locator("[name=username]").fill("vera")
    desk.locator("[name=password]").fill(PASSWORD)
    desk.locator("main button[type=submit]").click()
    expect(desk.locator("#title")).to_have_text("Anne Roy")
    expect(desk.get_by_label("Note")).to_have_value("call her son")
    desk.keyboard.press("1")
    expect(desk.locator("#said")).to_contain_text("recorded (sent)")
    task.refresh_from_db()
    assert task.note == "call her son"


def test_two_tabs_a_double_click_and_the_back_button_do_no_harm(desk: Page, live_server: LiveServer) -> None:
    first, _second = many(2)
    show(desk, live_server, first)
    tab = desk.context.new_page()
    show(tab, live_server, first)
    desk.locator("#said-SENT").dblclick()
    expect(desk.locator("#in-front")).not_to_have_value(str(first.pk))
    tab.locator("#said-SENT").click()
    expect(tab.locator("#said")).to_contain_text("this was recorded already (sent)")
    tab.close()
    expect(desk.locator("#card")).to_be_visible()
    desk.go_back()
    expect(desk.locator("#closed")).to_contain_text("This task is completed")
    expect(desk.locator("#said-SENT")).to_have_count(0)
    assert KpiEvent.objects.filter(metric="followup_completed").count() == 1


def test_outside_hours_the_refusal_is_a_sentence_and_the_note_stays(
    desk: Page, live_server: LiveServer, vera: User, clock: time_machine.Traveller
) -> None:
    call = call_step("L-1")
    move_on(desk, clock, NIGHT, vera)
    show(desk, live_server, call)
    expect(desk.locator("#gate")).to_contain_text("The law does not allow this channel at that hour there.")
    expect(desk.locator("#dial")).to_have_count(0)
    desk.get_by_label("Note").fill("rang twice")
    desk.locator("#said-NO_ANSWER").click()
    expect(desk.locator("#refusal")).to_contain_text("allowed again on Wednesday 25 November at 09:00 there")
    expect(desk.get_by_label("Note")).to_have_value("rang twice")
    desk.get_by_label("The contact took place anyway").check()
    desk.locator("#said-NO_ANSWER").click()
    expect(desk.locator("#said")).to_contain_text("recorded (no answer)")


def test_an_opt_out_is_one_key_at_night_and_on_a_later_step(
    desk: Page, live_server: LiveServer, vera: User, clock: time_machine.Traveller
) -> None:
    first = begin("L-1")
    later = FollowUpTask.objects.get(lead=first.lead, step=3)
    move_on(desk, clock, NIGHT, vera)
    show(desk, live_server, later)
    desk.keyboard.press("x")
    expect(desk.locator("#nothing")).to_contain_text("No lead in your work profile may be contacted now")
    expect(desk.locator("#said")).to_contain_text("opted out and will not be contacted again")
    assert Suppression.objects.exists()
    assert Lead.objects.get().status == "DEAD"


def test_an_opt_out_pressed_by_mistake_is_undone_by_a_key(desk: Page, live_server: LiveServer) -> None:
    first, second = many(2)
    show(desk, live_server, first)
    desk.keyboard.press("x")
    expect(desk.locator("#in-front")).to_have_value(str(second.pk))
    assert Lead.objects.get(pk=first.lead_id).status == "DEAD"
    expect(desk.locator("#undo-opt-out")).to_contain_text("Undo the opt-out (until 10:1")
    desk.keyboard.press("u")
    expect(desk.locator("#said")).to_contain_text("the opt-out was undone; the follow-up continues")
    expect(desk.locator("#presses form")).to_have_count(0)
    expect(desk.locator("#in-front")).to_have_value(str(second.pk))  # the task in front stays
    assert Lead.objects.get(pk=first.lead_id).status == "WORKING"
    assert Ladder.objects.filter(status="ACTIVE").count() == 2


def test_the_undo_stays_on_the_page_for_ten_minutes(
    desk: Page, live_server: LiveServer, vera: User, clock: time_machine.Traveller
) -> None:
    first, second, third = many(3)
    show(desk, live_server, first)
    desk.keyboard.press("x")
    expect(desk.locator("#in-front")).to_have_value(str(second.pk))
    desk.keyboard.press("1")
    expect(desk.locator("#in-front")).to_have_value(str(third.pk))
    expect(desk.locator("#presses")).to_contain_text("Lead L-1 opted out at 10:01 EST, recorded by you.")
    expect(desk.locator("#undo-opt-out")).to_have_count(0)  # its key corrects what was recorded last
    move_on(desk, clock, NOW + timedelta(minutes=10, seconds=55), vera)
    show(desk, live_server)
    expect(desk.locator("#presses form")).to_be_visible()
    expect(desk.locator("#presses form")).to_be_hidden()  # the page knows the time by itself
    desk.evaluate("document.querySelector('#presses form').hidden = false")
    move_on(desk, clock, NOW + timedelta(minutes=12), vera)
    show(desk, live_server)
    expect(desk.locator("#presses form")).to_have_count(0)
    assert Lead.objects.get(pk=first.lead_id).status == "DEAD"


def test_the_key_of_an_opt_out_does_nothing_while_a_panel_is_open(
    desk: Page, live_server: LiveServer
) -> None:
    task = call_step("L-1")
    show(desk, live_server, task)
    for opens in ("3", "p", "k", "?"):
        desk.keyboard.press(opens)
        desk.keyboard.press("Escape") if opens == "k" else None  # leaves the field, the panel stays
        desk.keyboard.press("x")
        desk.keyboard.press("Escape")
    desk.locator("#plan-more").click()
    desk.keyboard.press("x")
    desk.locator("#plan-more").click()
    expect(desk.locator("#card")).to_be_visible()
    assert not Suppression.objects.exists()
    desk.keyboard.press("x")
    expect(desk.locator("#said")).to_contain_text("recorded (opted out)")
    assert Suppression.objects.exists()


def test_the_key_of_an_opt_out_lies_away_from_the_others(desk: Page, live_server: LiveServer) -> None:
    """Those around it on the keyboard do nothing, and its button stands apart."""
    with_scripts()
    show(desk, live_server, begin("L-1", name="Anne Roy"))
    keys = desk.locator("[data-key]").evaluate_all("found => found.map((one) => one.dataset.key)")
    assert "x" in keys
    assert not {"z", "c", "s", "d"} & set(keys)
    button = desk.locator("#said-OPTED_OUT").bounding_box()
    above = [desk.locator(f"#said-{name}").bounding_box() for name in ("SENT", "WRONG_NUMBER")]
    assert button is not None
    assert all(box is not None and box["y"] + box["height"] + 24 <= button["y"] for box in above)
    desk.locator("#find").fill("L-1")
    desk.locator("#find").press("Enter")
    stop = desk.locator("#found [data-key=x]")
    expect(stop).to_be_visible()
    others = [
        one.bounding_box() for one in desk.locator("#found .choices [data-key]:not([data-key=x])").all()
    ]
    box = stop.bounding_box()
    assert box is not None
    assert all(other is not None and other["y"] + other["height"] + 24 <= box["y"] for other in others)


def test_markup_in_names_and_notes_is_shown_and_never_run(desk: Page, live_server: LiveServer) -> None:
    dialogs: list[str] = []

    def note(dialog: Dialog) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    desk.on("dialog", note)
    task = begin("L-1", name="<script>alert(1)</script>", notes="<b>urgent</b>")
    show(desk, live_server)
    expect(desk.locator(f"#open-{task.pk}")).to_have_text("<script>alert(1)</script>")
    desk.locator(f"#open-{task.pk}").click()
    expect(desk.locator("#title")).to_have_text("<script>alert(1)</script>")
    expect(desk.locator("#lead")).to_contain_text("<b>urgent</b>")
    desk.get_by_label("Note").fill("<img src=x onerror=alert(2)>")
    desk.locator("#said-SENT").click()
    expect(desk.locator("#said")).to_contain_text("<script>alert(1)</script>: recorded")
    show(desk, live_server, task)
    expect(desk.locator("#history")).to_contain_text("<img src=x onerror=alert(2)>")
    assert dialogs == []
    assert desk.locator("#history img").count() == 0


# --- for everybody ------------------------------------------------------------------------------------------


def test_a_french_phone_works_a_task_by_touch(browser: Browser, live_server: LiveServer, vera: User) -> None:
    with_scripts()
    begin("L-1", name="Anne Roy", language="fr", province="QC", city="Montréal", phone="514 555 0101")
    context = browser.new_context(
        base_url=live_server.url,
        locale="fr-CA",
        viewport={"width": 390, "height": 844},
        has_touch=True,
        is_mobile=True,
        color_scheme="dark",
    )
    phone = log_in(context.new_page(), live_server)
    expect(phone.locator("html")).to_have_attribute("lang", "fr")
    phone.locator("#next").tap()
    expect(phone.locator("#words")).to_contain_text("Bonjour, pensez-vous toujours à vendre?")
    expect(phone.locator("#gate")).to_contain_text("Jusqu’à 20:00 EST")
    assert not is_too_wide(phone)
    small = (
        "[...document.querySelectorAll('#front button:not(.plain)')].filter(b => b.getClientRects().length"
    )
    assert phone.evaluate(f"{small} && b.getBoundingClientRect().height < 44).map(b => b.id)") == []
    phone.locator("#said-SENT").tap()
    expect(phone.locator("#said")).to_contain_text("Anne Roy")
    assert violations(phone) == []
    context.close()
    assert completed() == 1


def test_the_help_lists_the_keys_and_can_turn_them_off(desk: Page, live_server: LiveServer) -> None:
    begin("L-1")
    show(desk, live_server)
    desk.keyboard.press("?")
    expect(desk.locator("#keys")).to_be_visible()
    assert violations(desk) == []
    desk.get_by_label("Use keyboard shortcuts").uncheck()
    desk.keyboard.press("Escape")
    desk.keyboard.press("n")
    expect(desk.locator("#ready")).to_be_visible()
    assert not FollowUpTask.objects.exclude(claimed_by="").exists()


@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        (1280, "light"),
        (390, "dark"),
        pytest.param(1280, "dark", marks=pytest.mark.long),
        pytest.param(390, "light", marks=pytest.mark.long),
    ],
)
def test_every_state_is_accessible_and_fits(
    desk: Page, live_server: LiveServer, scheme: Literal["light", "dark"], width: int
) -> None:
    with_scripts()
    tasks = many(3)
    late = begin("L-bc", province="BC", city="Vancouver", phone="604 555 0101", at=NOW - timedelta(days=3))
    begin(
        "L-long",
        name="Anne-Marie Lévesque-Tremblay de la Rochefoucauld-Montmorency",
        phone="416 555 0777",
        email="a-very-long-address-that-nobody-can-break@an-equally-long-domain.example.ca",
        owner="vera",
    )
    Property.objects.create(lead=tasks[0].lead, address="12 King St W", asking_price=450_000)
    FollowUpTask.objects.filter(pk=tasks[1].pk).update(contact_point=None)
    desk.emulate_media(color_scheme=scheme)
    desk.set_viewport_size({"width": width, "height": 900})

    def judge() -> None:
        assert violations(desk) == []
        assert not is_too_wide(desk)

    show(desk, live_server)
    judge()
    for task in (tasks[0], late):
        show(desk, live_server, task)
        judge()
    desk.keyboard.press("2")
    expect(desk.locator("#asks-REPLIED .choices")).to_be_visible()
    judge()
    desk.keyboard.press("Escape")
    desk.keyboard.press("p")
    desk.keyboard.press("k")
    judge()
    show(desk, live_server, tasks[0])
    desk.locator("#plan-more").click()
    desk.locator("#complete_next").select_option("CALLBACK")
    desk.locator("#complete").click()
    expect(desk.locator("#refusal")).to_be_visible()
    judge()
    show(desk, live_server, tasks[0])
    desk.keyboard.press("1")
    expect(desk.locator("#said")).to_contain_text("recorded")
    desk.keyboard.press("u")
    judge()
    show(desk, live_server, tasks[0])
    desk.keyboard.press("u")
    expect(desk.locator("#correct")).to_be_visible()
    judge()


def test_the_managers_view_of_the_team_is_accessible_and_fits(
    page: Page, live_server: LiveServer, transactional_db: None
) -> None:
    make_person("MANAGER", "mia")
    make_person("VA", "otto")
    begin("L-1", owner="otto")
    log_in(page, live_server, "mia")
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(f"{live_server.url}/followups/team/")
        expect(page.locator("#member-otto")).to_contain_text("Lead L-1")
        assert violations(page) == []
        assert not is_too_wide(page)


# --- quick also where the network is slow -------------------------------------------------------------------

WEIGHT = 150_000  # bytes, uncompressed, of a first visit without a cache
# A slow 4G network (1.6 Mbit/s, 150 ms), three times as wide: the test's server compresses nothing.
SLOW_PHONE = {"offline": False, "latency": 150, "downloadThroughput": 200_000 * 3, "uploadThroughput": 96_000}


def first_visit(
    browser: Browser, cookies: Any, live_server: LiveServer, task: FollowUpTask
) -> tuple[int, float]:
    """Return the bytes of a visit with an empty cache, and after how many milliseconds the card was shown.

    The server's own work is not counted: here it shares the machine with all other tests.
    """
    context = browser.new_context(viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True)
    context.add_cookies(cookies)
    phone = context.new_page()
    weights: dict[str, int] = {}
    phone.on("response", lambda answer: weights.update({answer.url: len(answer.body())}))
    session = context.new_cdp_session(phone)
    session.send("Network.enable")
    session.send("Network.emulateNetworkConditions", SLOW_PHONE)
    session.send("Emulation.setCPUThrottlingRate", {"rate": 2})
    show(phone, live_server, task)
    expect(phone.locator("#start")).to_be_visible()
    shown = phone.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    waited = phone.evaluate("(({responseStart: r, requestStart: q}) => r - q)(performance.timing)")
    phone.wait_for_load_state("networkidle")
    context.close()
    return sum(weights.values()), shown - max(0, waited - SLOW_PHONE["latency"])


def test_a_first_visit_is_light_and_shows_the_card_within_a_second_on_a_slow_phone(
    desk: Page, live_server: LiveServer, browser: Browser
) -> None:
    with_scripts()
    tasks = many(50)
    cookies = desk.context.cookies()
    fastest = 9999.0
    for _try in range(4):  # the machine that tests may be busy, the phone is not
        weight, shown = first_visit(browser, cookies, live_server, tasks[0])
        assert weight <= WEIGHT
        fastest = min(fastest, shown)
        if fastest < 1000:
            break
    assert fastest < 1000

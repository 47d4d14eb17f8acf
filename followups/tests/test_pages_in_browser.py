"""The due-task pages as a VA uses them all day: a real Chromium, and no script of ours."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Dialog, Page, expect

from followups.models import FollowUpTask, Lead, Property
from followups.tests.scenes import NIGHT, NOW, begin, call_step, many, with_scripts
from governance.contact.models import Suppression
from governance.models import User
from valhalla.testing import PASSWORD, make_person

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOW + timedelta(minutes=1), tick=True) as traveller:
        yield traveller


@pytest.fixture
def vera(transactional_db: None) -> User:
    return make_person("VA", "vera")


@pytest.fixture
def desk(page: Page, live_server: Any, vera: User) -> Page:
    """A browser in which vera is logged in, without the list yet."""
    errors: list[str] = []
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{live_server.url}/login/")
    page.get_by_label("Name").fill("vera")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Due tasks")).to_be_visible()
    return page


def show(page: Page, live_server: Any, task: FollowUpTask | None = None, query: str = "") -> None:
    page.goto(live_server.url + (f"/followups/task/{task.pk}/" if task else "/followups/") + query)


def violations(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [f"{rule['id']}: {node['html'][:120]}" for rule in found for node in rule["nodes"]]


def is_too_wide(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth > window.innerWidth"))


def test_a_va_works_off_her_first_task_and_sees_the_next(desk: Page, live_server: Any) -> None:
    with_scripts()
    call = call_step("L-1", name="Anne Roy", phone="416 555 0133", at=NOW - timedelta(minutes=31))
    begin("L-2", name="Bob Lee", phone="416 555 0134")
    show(desk, live_server)
    expect(desk.locator("#counts")).to_contain_text("2 due")
    expect(desk.locator(f"#task-{call.pk}")).to_contain_text("Anne Roy")

    desk.locator(f"#start-{call.pk}").click()
    expect(desk.locator("#started")).to_contain_text("5 minutes to begin")
    expect(desk.locator("#dial")).to_have_attribute("href", "tel:+14165550133")
    expect(desk.locator("#script")).to_contain_text("Good morning, it is about your house.")
    expect(desk.get_by_label("No answer")).to_be_checked()
    desk.locator("#complete").click()

    said = desk.get_by_role("status")
    expect(said).to_contain_text(
        "Anne Roy: recorded (no answer). Next: step 3, text message, due Tue 24 Nov, 12:29 EST"
    )
    expect(desk.locator("#counts")).to_contain_text("1 due")
    expect(desk.locator("tbody tr")).to_have_count(1)
    expect(desk.locator("tbody tr").first).to_contain_text("Bob Lee")


def test_a_lead_who_is_reached_is_promised_a_callback_in_her_own_time(desk: Page, live_server: Any) -> None:
    call = call_step(
        "L-1", province="BC", city="Vancouver", phone="604 555 0101", at=NOW - timedelta(hours=20)
    )
    with time_machine.travel(NOW + timedelta(hours=4), tick=True):
        show(desk, live_server, call)
        expect(desk.get_by_label("What did she ask for?")).to_be_hidden()
        desk.get_by_label("Reached: we talked").check()
        desk.get_by_label("What did she ask for?").select_option("CALLBACK")
        expect(desk.locator(".next")).to_contain_text("time in Vancouver")
        desk.get_by_label("When? (time in Vancouver)").fill("2026-11-26T14:30")
        desk.get_by_label("Note").fill("after work")
        desk.locator("#complete").click()
        expect(desk.get_by_role("status")).to_contain_text("promised callback, due Thu 26 Nov, 14:30")
    made = FollowUpTask.objects.get(kind="CALLBACK")
    assert made.due_at is not None
    assert made.due_at.isoformat() == "2026-11-26T21:30:00+00:00"


def test_outside_hours_the_refusal_is_a_sentence_and_the_note_stays(
    desk: Page, live_server: Any, clock: time_machine.Traveller
) -> None:
    call = call_step("L-1")
    clock.move_to(NIGHT)
    show(desk, live_server, call)
    expect(desk.locator("#gate")).to_contain_text("The law does not allow this channel at that hour there.")
    expect(desk.locator("#dial")).to_have_count(0)
    desk.get_by_label("Note").fill("rang twice")
    desk.locator("#complete").click()
    expect(desk.locator("#refusal")).to_contain_text("allowed again on Wednesday 25 November at 09:00 there")
    expect(desk.get_by_label("Note")).to_have_value("rang twice")
    desk.get_by_label("The contact took place all the same").check()
    desk.locator("#complete").click()
    expect(desk.get_by_role("status")).to_contain_text("recorded (no answer)")


def test_an_opt_out_at_night_is_recorded(desk: Page, live_server: Any, clock: time_machine.Traveller) -> None:
    task = begin("L-1")
    clock.move_to(NIGHT)
    show(desk, live_server, task)
    desk.get_by_label("Opted out: never contact again").check()
    desk.locator("#complete").click()
    expect(desk.get_by_role("status")).to_contain_text("recorded (opted out)")
    assert Suppression.objects.exists()
    assert Lead.objects.get().status == "DEAD"


def test_claiming_and_giving_back_by_keyboard_alone(desk: Page, live_server: Any) -> None:
    many(12)
    show(desk, live_server)
    desk.locator("#claim-next").focus()
    desk.keyboard.press("Enter")
    expect(desk.get_by_role("status")).to_contain_text("You hold 10 tasks")
    expect(desk.locator("tbody tr")).to_have_count(10)
    desk.locator("#release-all").focus()
    desk.keyboard.press("Enter")
    expect(desk.get_by_role("status")).to_contain_text("10 tasks were given back.")


def test_markup_in_names_and_notes_is_shown_and_never_run(desk: Page, live_server: Any) -> None:
    dialogs: list[str] = []

    def note(dialog: Dialog) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    desk.on("dialog", note)
    task = begin("L-1", name="<script>alert(1)</script>", notes="<b>urgent</b>")
    show(desk, live_server)
    expect(desk.locator(f"#open-{task.pk}")).to_have_text("<script>alert(1)</script>")
    show(desk, live_server, task)
    expect(desk.get_by_role("heading", level=1)).to_have_text("<script>alert(1)</script>")
    expect(desk.locator("#lead")).to_contain_text("<b>urgent</b>")
    desk.get_by_label("Note").fill("<img src=x onerror=alert(2)>")
    desk.locator("#complete").click()
    show(desk, live_server, task)
    expect(desk.locator("#history")).to_contain_text("<img src=x onerror=alert(2)>")
    assert dialogs == []
    assert desk.locator("#history img").count() == 0


def test_the_pages_come_in_french(desk: Page, live_server: Any) -> None:
    task = begin("L-1")
    show(desk, live_server, task)
    desk.get_by_role("button", name="Français").click()
    expect(desk.locator("html")).to_have_attribute("lang", "fr")
    expect(desk).to_have_url(f"{live_server.url}/followups/task/{task.pk}/")
    expect(desk.locator("#contact")).to_contain_text("mar 24 nov", ignore_case=True)
    expect(desk.locator("#start")).to_have_text("Commencer le texto")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_pages_are_accessible_and_fit(desk: Page, live_server: Any, scheme: Any, width: int) -> None:
    with_scripts()
    tasks = many(3)
    late = begin("L-bc", province="BC", city="Vancouver", phone="604 555 0101", at=NOW - timedelta(days=3))
    begin(
        "L-long", name="Anne-Marie Lévesque-Tremblay de la Rochefoucauld-Montmorency", phone="416 555 0777",
        email="a-very-long-address-that-nobody-can-break@an-equally-long-domain.example.ca", owner="vera",
    )  # fmt: skip
    Property.objects.create(lead=tasks[0].lead, address="12 King St W", asking_price=450_000)
    FollowUpTask.objects.filter(pk=tasks[1].pk).update(contact_point=None)
    desk.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    desk.set_viewport_size({"width": width, "height": 900})
    show(desk, live_server)
    desk.locator("#claim-next").click()
    show(desk, live_server)
    assert violations(desk) == []
    assert not is_too_wide(desk)
    for task in (tasks[0], late):
        show(desk, live_server, task)
        assert violations(desk) == []
        assert not is_too_wide(desk)
    desk.get_by_label("Replied").check()
    desk.get_by_label("What did she ask for?").select_option("CALLBACK")
    desk.locator("#complete").click()
    expect(desk.locator("#refusal")).to_be_visible()
    assert violations(desk) == []
    assert not is_too_wide(desk)

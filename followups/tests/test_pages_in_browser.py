"""The due-task pages as a VA uses them all day: a real Chromium, no script of ours."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from followups.models import FollowUpTask, Property
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
def va(transactional_db: None) -> User:
    return make_person("VA", "vera")


def log_in(page: Page, live_server: Any, name: str = "vera") -> None:
    page.goto(f"{live_server.url}/followups/")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()


def test_shots(page, live_server, va):
    with_scripts()
    t = many(14)
    begin("L-ann", name="Anne-Marie Lévesque-Tremblay", city="Gatineau", market="Outaouais", province="QC", language="fr", owner="vera")
    begin("L-bc", province="BC", city="Vancouver", phone="604 555 0101", at=NOW - timedelta(days=3))
    FollowUpTask.objects.filter(lead__external_id="L-4").update(claimed_by="otto", claim_token="x", claim_until=NOW+timedelta(minutes=9))
    FollowUpTask.objects.filter(lead__external_id="L-5").update(contact_point=None)
    Property.objects.create(lead=t[0].lead, address="12 King St W", property_type="SFR", beds=3, size_sqft=1400, asking_price=450000, motivation="divorce")
    t[0].lead.notes = "<b>urgent</b>\nCall after work"; t[0].lead.save()
    log_in(page, live_server)
    page.set_viewport_size({"width": 1280, "height": 900})
    page.screenshot(path="/tmp/pages/list.png", full_page=True)
    page.locator("#claim-next").click()
    page.screenshot(path="/tmp/pages/claimed.png", full_page=True)
    page.goto(f"{live_server.url}/followups/")
    page.emulate_media(color_scheme="dark")
    page.screenshot(path="/tmp/pages/list-dark.png", full_page=True)
    page.set_viewport_size({"width": 390, "height": 844})
    page.emulate_media(color_scheme="light")
    page.screenshot(path="/tmp/pages/list-phone.png", full_page=False)
    print(page.evaluate("[document.documentElement.scrollWidth, innerWidth]"))
    page.set_viewport_size({"width": 1280, "height": 900})
    page.goto(f"{live_server.url}/followups/task/{t[0].pk}/")
    page.screenshot(path="/tmp/pages/task.png", full_page=True)
    page.locator("#start").click()
    page.get_by_label("Replied").check()
    page.locator("#when").click()
    page.screenshot(path="/tmp/pages/task-started.png", full_page=True)
    page.locator("#complete_next").select_option("CALLBACK")
    page.locator("#complete").click()
    page.emulate_media(color_scheme="dark")
    page.screenshot(path="/tmp/pages/task-error-dark.png", full_page=True)
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 390, "height": 844})
    page.screenshot(path="/tmp/pages/task-phone.png", full_page=True)
    page.set_viewport_size({"width": 1280, "height": 900})
    page.get_by_role("button", name="Français").click()
    page.screenshot(path="/tmp/pages/task-fr.png", full_page=True)
    page.goto(f"{live_server.url}/followups/")
    page.screenshot(path="/tmp/pages/list-fr.png")

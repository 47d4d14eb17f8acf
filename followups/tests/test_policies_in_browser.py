"""A manager changes a market's hours in a real Chromium and sees what that does to open tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest
import time_machine
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from followups.models import LadderTemplate
from followups.services import realign_due
from followups.tests.factories import ladder, steps_of
from governance.core.actors import Actor
from governance.market.models import MarketPolicy
from governance.models import User
from governance.risk.models import RiskPolicy
from governance.tripwire.models import RegressionPolicy
from valhalla.testing import PASSWORD

pytestmark = pytest.mark.django_db(transaction=True)
FRIDAY = datetime(2026, 11, 28, 0, 50, tzinfo=UTC)  # 19:50 in Toronto; nobody is contacted after 20:00
ON_SATURDAY = [15, 15.5]  # 10:00 and 10:30 in Toronto


@pytest.fixture(autouse=True)
def clock() -> Iterator[None]:
    with time_machine.travel(FRIDAY + timedelta(minutes=1), tick=True):
        yield


def enter(page: Page, address: str) -> None:
    page.goto(f"{address}/admin/")
    page.fill("input[name=username]", "mona")
    page.fill("input[name=password]", PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{address}/admin/")


def serious(page: Page) -> list[str]:
    """Return what axe finds serious in our part of the page."""
    found = Axe().run(page, context="#content-main").response["violations"]
    return [
        f"{rule['id']}: {node['html'][:160]}"
        for rule in found
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]


def hours_of_saturday(made: Any) -> list[float]:
    due = [task.due_at for task in steps_of(made) if task.due_at and task.due_at > FRIDAY]
    return [at.hour + at.minute / 60 for at in due if at < FRIDAY + timedelta(days=1)]


def test_torontos_saturday_hours_are_changed_and_the_open_tasks_move(
    page: Page, live_server: LiveServer, person: Callable[..., User], by: Callable[..., Actor]
) -> None:
    person("MANAGER", "mona")
    made = ladder(by("VA"), start=FRIDAY, market="TORONTO")
    assert hours_of_saturday(made) == ON_SATURDAY
    ontario = MarketPolicy.objects.get(province="ON")
    enter(page, live_server.url)
    page.goto(f"{live_server.url}/admin/governance/marketpolicy/")
    assert serious(page) == []
    page.get_by_role("link", name="Ontario").first.click()
    page.get_by_role("link", name="Copy to a market").click()
    page.fill("input[name=market]", "Toronto")
    page.fill("input[name=week_5]", "noon")
    expect(page.locator("#live-id_week_5")).to_contain_text("is not valid")
    page.fill("input[name=week_5]", "12-18")
    expect(page.locator("#live-id_week_5 rect.open")).to_have_attribute("x", "720")
    expect(page.locator("#live-meaning")).to_contain_text("Saturday 12:00 to 18:00")
    page.get_by_role("button", name="What would change?").click()
    told = page.locator("#live-foreseen")
    expect(told).to_contain_text("2 are rescheduled, 0 are blocked and 0 are unblocked")
    expect(told).to_contain_text("Sat 28 Nov, 10:00 EST")
    assert serious(page) == []
    assert MarketPolicy.objects.filter(market="TORONTO").count() == 0, "asking saves nothing"
    page.fill("textarea[name=change_reason]", "nobody answers on Saturday morning")
    page.click("button[name=_save]")
    page.wait_for_url("**/marketpolicy/")
    realign_due(datetime.now(UTC))
    assert hours_of_saturday(made) == [17, 17.5]
    ontario.refresh_from_db()
    assert ontario.version == 1, "the rest of Ontario keeps its hours"


def test_a_ladders_steps_are_typed_row_by_row_and_drawn(
    page: Page, live_server: LiveServer, person: Callable[..., User]
) -> None:
    person("MANAGER", "mona")
    template = LadderTemplate.objects.get()
    enter(page, live_server.url)
    page.goto(f"{live_server.url}/admin/followups/laddertemplate/{template.pk}/change/")
    rows, rest = page.locator("#id_steps .step"), page.locator("#id_nurture_steps .step")
    expect(rest).to_have_count(2)  # none of its own, and two blank ones
    for number, days in enumerate(("0", "3", "5")):
        expect(rest).to_have_count(max(2, number + 1))  # there is always a blank one
        page.select_option(f"select[name=nurture_steps_{number}_channel]", "SMS")
        page.fill(f"input[name=nurture_steps_{number}_amount]", days)
        page.select_option(f"select[name=nurture_steps_{number}_unit]", "days")
    expect(rows).to_have_count(8)  # six and two blank ones
    page.select_option("select[name=steps_6_channel]", "EMAIL")
    page.fill("input[name=steps_6_amount]", "2")
    page.select_option("select[name=steps_6_unit]", "days")
    expect(page.locator("#live-line circle")).to_have_count(7)
    expect(page.locator("#live-line")).to_contain_text("5 E-mail, after 2 days")
    page.select_option("select[name=steps_7_channel]", "CALL")
    expect(rows).to_have_count(9)  # there is always a blank one
    page.fill("input[name=steps_7_amount]", "14")
    page.select_option("select[name=steps_7_unit]", "days")
    assert serious(page) == []
    page.fill("textarea[name=change_reason]", "a letter and a last call")
    page.click("button[name=_save]")
    page.wait_for_url("**/laddertemplate/")
    template.refresh_from_db()
    channels = [step["channel"] for step in template.steps]
    assert channels == ["SMS", "CALL", "SMS", "CALL", "EMAIL", "SMS", "CALL", "CALL"]
    assert template.nurture_steps is not None
    assert [(step["channel"], step["delay"]) for step in template.nurture_steps] == [
        ("SMS", {"minutes": 0}),
        ("SMS", {"days": 3}),
        ("SMS", {"days": 5}),
    ]


def test_nothing_serious_keeps_anybody_from_the_policies_forms(
    page: Page, live_server: LiveServer, person: Callable[..., User]
) -> None:
    person("MANAGER", "mona")
    schemes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
    enter(page, live_server.url)
    rows = {
        "governance/marketpolicy": MarketPolicy.objects.get(province="QC").pk,
        "governance/riskpolicy": RiskPolicy.objects.get(engine="WHOLESALE").pk,
        "governance/regressionpolicy": RegressionPolicy.objects.filter(enabled=True)[0].pk,
        "followups/laddertemplate": LadderTemplate.objects.get().pk,
    }
    for screen, pk in rows.items():
        page.goto(f"{live_server.url}/admin/{screen}/{pk}/change/")
        page.set_viewport_size({"width": 390, "height": 844})
        for scheme in schemes:
            page.emulate_media(color_scheme=scheme)
            assert serious(page) == [], (screen, scheme)
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{screen} is wider than a phone"
        page.set_viewport_size({"width": 1280, "height": 900})

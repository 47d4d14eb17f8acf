"""A manager enters a change from a date on, finds it in the list and cancels it, in a real browser."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page
from pytest_django.live_server_helper import LiveServer

from governance.market.models import MarketPolicy, ScheduledChange
from governance.models import User
from valhalla.testing import PASSWORD

pytestmark = pytest.mark.django_db(transaction=True)
SHOTS = os.environ.get("VALHALLA_SHOTS", "")


def look(page: Page, name: str) -> None:
    page.wait_for_load_state("networkidle")
    if not SHOTS:
        return
    for width in (1280, 390):
        for scheme in ("light", "dark"):
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=scheme)
            page.screenshot(path=str(Path(SHOTS) / f"{name}-{width}-{scheme}.png"), full_page=True)
    page.set_viewport_size({"width": 1280, "height": 900})


def test_a_change_is_scheduled_listed_and_cancelled(
    page: Page, live_server: LiveServer, person: Callable[..., User]
) -> None:
    person("MANAGER", "mona")
    page.goto(f"{live_server.url}/admin/")
    page.fill("input[name=username]", "mona")
    page.fill("input[name=password]", PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{live_server.url}/admin/")
    policy = MarketPolicy.objects.get(province="ON")
    form = f"{live_server.url}/admin/governance/marketpolicy/{policy.pk}/change/"
    page.goto(form)
    page.fill("#id_week_5", "10:00–15:00")
    start = (datetime.now(UTC) + timedelta(days=40)).strftime("%Y-%m-%dT00:00")
    page.fill("#id_effective_from", start)
    page.fill("#id_change_reason", "Shorter Saturdays from the new year on")
    look(page, "form")
    page.click("button[name=_save], input[name=_save]")
    page.wait_for_url("**/scheduledchange/")
    assert page.locator("#result_list").inner_text().count("Saturday 10:00 to 15:00") == 1
    look(page, "list")
    change = ScheduledChange.objects.get()
    page.goto(f"{live_server.url}/admin/governance/scheduledchange/{change.pk}/change/")
    look(page, "one")
    page.goto(f"{live_server.url}/admin/governance/marketpolicy/")
    look(page, "policies")
    page.goto(form)
    look(page, "policy")
    page.goto(f"{live_server.url}/admin/governance/scheduledchange/")
    page.check("input[name=_selected_action]")
    page.select_option("select[name=action]", "cancel")
    page.click("button[name=index]")
    page.fill("#id_reason", "The team stays")
    look(page, "why")
    page.click("#apply")
    page.wait_for_load_state("networkidle")
    assert ScheduledChange.objects.get().state == "CANCELLED"

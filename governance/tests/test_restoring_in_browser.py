"""A manager finds who changed Quebec's hours, and puts them back."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.utils import timezone
from playwright.sync_api import Page
from pytest_django.live_server_helper import LiveServer

from governance.core.actors import Actor
from governance.core.places import Place
from governance.market.models import MarketPolicy
from governance.market.services import upsert_policy
from governance.models import User
from governance.tests.test_admin_browser import complaints, enter, look

__all__ = ["complaints"]

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_manager_finds_who_changed_quebecs_hours_and_restores_them(
    page: Page,
    live_server: LiveServer,
    person: Callable[..., User],
    by: Callable[..., Actor],
    complaints: list[str],
) -> None:
    person("MANAGER", "mona")
    before = MarketPolicy.objects.get(province="QC", market="ALL")
    night = {"contact_windows_local": [{"days": [6], "start": "03:00", "end": "04:00"}]}
    upsert_policy(
        Place("QC", "ALL"), by=by("MANAGER", "otto"), at=timezone.now(), rules=night, reason="Trying nights"
    )
    enter(page, live_server.url, "mona")

    page.locator("#nav-sidebar-apps").get_by_role("link", name="Contact policies").click()
    look(page, "policies")
    page.locator("#result_list").get_by_role("link", name="Quebec").first.click()
    page.get_by_role("link", name="History").first.click()
    look(page, "versions")
    newest = page.locator(".versions li").first
    assert "otto" in newest.inner_text()
    assert "Trying nights" in newest.inner_text()
    assert "Sunday" in newest.inner_text()
    page.locator(".versions li").last.get_by_role("link").first.click()
    page.get_by_role("link", name="Restore this version").click()
    page.fill("textarea[name=change_reason]", "Back to the day")
    look(page, "restore")
    page.get_by_role("button", name="Restore").click()
    page.wait_for_url("**/history/")

    after = MarketPolicy.objects.get(pk=before.pk)
    assert (after.rules, after.version, after.changed_by) == (before.rules, 3, "mona")
    assert "Back to the day" in page.locator(".versions li").first.inner_text()
    page.set_viewport_size({"width": 390, "height": 844})
    look(page, "versions-phone")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert complaints == []

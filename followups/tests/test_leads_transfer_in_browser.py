"""A manager imports leads in Chromium on a phone, in French, and mends the row that was refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.conf import settings
from playwright.sync_api import Page
from pytest_django.live_server_helper import LiveServer

from followups.models import Lead
from governance.models import User
from governance.tests.test_admin_browser import enter, look

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_manager_imports_leads_and_mends_one(
    page: Page, live_server: LiveServer, person: Callable[..., User], tmp_path: Path
) -> None:
    file = tmp_path / "leads.csv"
    file.write_text("Lead ID,Phone,Province,City\nL-1,514 555 0123,QC,Laval\nL-2,12,QC,Laval\nL-3,,XX,\n")
    person("MANAGER", "mona")
    enter(page, live_server.url, "mona")
    page.context.add_cookies([{"name": settings.LANGUAGE_COOKIE_NAME, "value": "fr", "url": live_server.url}])
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{live_server.url}/admin/followups/lead/import/")
    page.set_input_files("input[type=file]", file)
    page.click("#read")
    page.wait_for_selector("#count-wrong")
    look(page, "leads-import")
    assert "Cellules illisibles" in page.content()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    found = Axe().run(page).response["violations"]
    assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []
    assert not Lead.objects.exists(), "nothing is written before it was seen"
    page.fill("[name=cell-3-1]", "514 555 0124")
    page.fill("[name=cell-4-2]", "Québec")
    page.click("#check")
    page.wait_for_function("document.querySelector('#count-wrong')?.innerText === '0'")
    page.click("#import")
    page.wait_for_url("**/admin/followups/lead/")
    assert Lead.objects.filter(province="QC").count() == 3
    assert Lead.objects.filter(points__value="+15145550124").count() == 1

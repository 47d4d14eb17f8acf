"""A manager without any superuser's right imports 150 buyers in Chromium and mends the twelve bad rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.conf import settings
from playwright.sync_api import Page
from pytest_django.live_server_helper import LiveServer

from buyers.models import Buyer
from governance.models import User
from governance.tests.test_admin_browser import enter, look

pytestmark = pytest.mark.django_db(transaction=True)
ROWS, BAD = 150, 12
WRONG = ("12", "no phone", "+1 555 01")  # telephone numbers that no plan has


def spreadsheet(folder: Path, rows: int = ROWS) -> Path:
    """Write buyers, every twelfth with a number that does not exist."""
    lines = ["Buyer id,Name,Phone,E-mail,Provinces,Property types,Price to (CAD)"]
    for number in range(1, rows + 1):
        is_bad = number % 12 == 0
        phone = WRONG[number // 12 % 3] if is_bad else f"416 555 {number:04d}"
        lines.append(f'B-{number},Buyer {number},{phone},b{number}@example.ca,"ON, QC",SFR,"${number},000"')
    path = folder / "buyers.csv"
    path.write_text("\n".join(lines))
    return path


def grave(page: Page) -> list[str]:
    """Return what axe finds serious or critical on the page."""
    found = Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {one['nodes'][0]['html']}" for one in found if one["impact"] in ("serious", "critical")
    ]


def count(page: Any, name: str) -> int:
    return int(page.inner_text(f"#count-{name}"))


def test_a_manager_imports_150_buyers_and_mends_twelve(
    page: Page, live_server: LiveServer, person: Callable[..., User], tmp_path: Path
) -> None:
    assert not person("MANAGER", "mona").is_superuser
    enter(page, live_server.url, "mona")
    page.goto(f"{live_server.url}/admin/buyers/buyer/")
    page.click("a[href='/admin/buyers/buyer/import/']")
    look(page, "import")
    assert grave(page) == []
    page.set_input_files("input[type=file]", spreadsheet(tmp_path))
    page.click("#read")
    page.wait_for_selector("#count-wrong")
    look(page, "import-seen")
    assert grave(page) == []
    assert (count(page, "new"), count(page, "wrong")) == (ROWS - BAD, BAD)
    assert not Buyer.objects.exists(), "nothing is written before it was seen"
    page.click("#import")
    page.wait_for_selector(f"text={ROWS - BAD} added")
    assert Buyer.objects.count() == ROWS - BAD
    assert (count(page, "new"), count(page, "wrong")) == (0, BAD)
    fields = page.locator("input[aria-invalid=true]")
    assert fields.count() == BAD
    for index in range(BAD):
        fields.nth(index).fill(f"514 555 {index:04d}" if index < BAD - 1 else "still none")
    page.focus("#check")
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('#count-wrong')?.innerText === '1'")
    look(page, "import-nearly")
    page.locator("input[aria-invalid=true]").fill("+1 514 555 0199")
    page.click("#check")
    page.wait_for_function("document.querySelector('#count-wrong')?.innerText === '0'")
    page.click("#import")
    page.wait_for_url("**/admin/buyers/buyer/")
    assert Buyer.objects.count() == ROWS
    assert Buyer.objects.get(external_id="B-144").phone == "+15145550199"


def test_the_page_fits_a_phone_in_french(
    page: Page, live_server: LiveServer, person: Callable[..., User], tmp_path: Path
) -> None:
    person("MANAGER", "mona")
    enter(page, live_server.url, "mona")
    page.context.add_cookies([{"name": settings.LANGUAGE_COOKIE_NAME, "value": "fr", "url": live_server.url}])
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{live_server.url}/admin/buyers/buyer/import/")
    page.set_input_files("input[type=file]", spreadsheet(tmp_path, rows=36))
    page.click("#read")
    page.wait_for_selector("#count-wrong")
    assert "Lignes à corriger" in page.content()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    schemes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
    for scheme in schemes:
        page.emulate_media(color_scheme=scheme)
        look(page, f"import-phone-{scheme}")
        assert grave(page) == [], scheme

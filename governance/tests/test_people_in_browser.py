"""A manager without a superuser's right plans three people's days off and ends a program's token."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import Page
from pytest_django.live_server_helper import LiveServer
from rest_framework.test import APIClient

from governance.models import Absence, ApiToken, User
from governance.tests.test_admin_browser import enter, look
from valhalla.testing import PASSWORD

pytestmark = pytest.mark.django_db(transaction=True)


def test_three_people_are_marked_away_in_one_go(
    page: Page, live_server: LiveServer, person: Callable[..., User]
) -> None:
    assert not person("MANAGER", "mona").is_superuser
    for name in ("amara", "ben", "chloe", "dan"):
        person("VA", name)
    enter(page, live_server.url, "mona")
    page.goto(f"{live_server.url}/admin/governance/user/")
    for name in ("amara", "ben", "chloe"):
        page.locator("tr", has_text=name).locator("input.action-select").check()
    page.select_option("select[name=action]", "mark_away")
    page.locator("button[name=index]").click()
    day = timezone.now().date()
    page.fill("input[name=first]", f"{day + timedelta(days=2)}")
    page.fill("input[name=last]", f"{day + timedelta(days=4)}")
    page.fill("textarea[name=reason]", "training")
    look(page, "away")
    page.click("#apply")
    page.get_by_text("3 people marked as off.").wait_for()
    look(page, "away-done")
    away = Absence.objects.values_list("user__username", "reason", "marked_by")
    assert sorted(away) == [(name, "training", "mona") for name in ("amara", "ben", "chloe")]


def confirm(page: Page) -> None:
    page.fill("#id_confirm_proof", PASSWORD)
    page.keyboard.press("Enter")


def test_a_token_is_issued_seen_once_used_and_revoked(
    page: Page, live_server: LiveServer, person: Callable[..., User]
) -> None:
    assert not person("MANAGER", "mona").is_superuser
    dialer = person("SERVICE", "dialer")
    enter(page, live_server.url, "mona")
    page.goto(f"{live_server.url}/admin/governance/apitoken/add/")
    page.evaluate(
        """key => {
            const select = document.querySelector('select[name=user]');
            select.append(new Option('dialer', key, true, true));
        }""",
        str(dialer.pk),
    )  # the list is asked for as somebody types, which other tests do
    page.fill("input[name=label]", "the dialer")
    page.click("button[name=_save]")
    confirm(page)
    secret = page.locator("#token").inner_text()
    look(page, "token-issued")
    program = APIClient()
    program.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    policies = "/api/governance/market/policies"
    assert program.get(policies).status_code == 200

    page.goto(f"{live_server.url}/admin/governance/apitoken/")
    assert secret not in page.content()
    page.locator("input.action-select").check()
    page.select_option("select[name=action]", "revoke")
    page.locator("button[name=index]").click()
    page.fill("textarea[name=reason]", "the dialer was sold")
    look(page, "token-revoke")
    page.click("#apply")
    confirm(page)
    page.get_by_text("1 token revoked.").wait_for()
    look(page, "token-revoked")

    assert program.get(policies).status_code == 401
    token = ApiToken.objects.get()
    assert (token.revoked_by, token.revoke_reason) == ("mona", "the dialer was sold")

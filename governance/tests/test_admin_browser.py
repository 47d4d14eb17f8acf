"""The managers' screens in a real browser: they load without a word in its console, and a change works."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from django_celery_beat.models import CrontabSchedule, PeriodicTask
from playwright.sync_api import Page
from pytest_django.live_server_helper import LiveServer

from governance.contact.services import suppress
from governance.market.models import MarketPolicy
from governance.models import User
from governance.tests.factories import ClosureFactory, ContactDecisionFactory, KpiEventFactory, phone_point
from valhalla.testing import PASSWORD

pytestmark = pytest.mark.django_db(transaction=True)
SHOTS = os.environ.get("VALHALLA_SHOTS", "")


@pytest.fixture
def complaints(page: Page) -> list[str]:
    """What the browser said in its console, and what it could not load."""
    said: list[str] = []
    page.on(
        "console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on(
        "response",
        lambda answer: said.append(f"{answer.status} {answer.url}") if answer.status >= 400 else None,
    )
    return said


def enter(page: Page, address: str, name: str) -> None:
    page.goto(f"{address}/admin/")
    page.fill("input[name=username]", name)
    page.fill("input[name=password]", PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{address}/admin/")


def look(page: Page, name: str) -> None:
    page.wait_for_load_state("networkidle")
    if SHOTS:
        page.screenshot(path=str(Path(SHOTS) / f"{name}.png"), full_page=True)


def fill_the_screens(by: Any) -> PeriodicTask:
    for number in range(6):
        ContactDecisionFactory.create(
            lead_id=f"L-{number}",
            ok=number % 3 != 0,
            reason="within_window" if number % 3 else "holiday",
            created_at=timezone.now() - timedelta(hours=number),
            actor="vera",
        )
        KpiEventFactory.create(created_at=timezone.now() - timedelta(hours=number))
    ClosureFactory.create()
    suppress([phone_point().digest], by=by("MANAGER"), at=timezone.now())
    crontab = CrontabSchedule.objects.create(minute="0", hour="6")
    task: PeriodicTask = PeriodicTask.objects.create(
        name="nightly", task="followups.realign_due", crontab=crontab
    )
    return task


def test_every_screen_loads_without_a_complaint_of_the_browser(
    page: Page, live_server: LiveServer, person: Callable[..., User], by: object, complaints: list[str]
) -> None:
    manager = person("MANAGER", "mona")
    task = fill_the_screens(by)
    policy = MarketPolicy.objects.get(province="ON")
    address = live_server.url
    enter(page, address, "mona")
    look(page, "index")
    screens = {
        "policies": "governance/marketpolicy/",
        "policy": f"governance/marketpolicy/{policy.pk}/change/",
        "policy-add": "governance/marketpolicy/add/",
        "policy-version": f"governance/marketpolicy/{policy.pk}/history/{policy.history.latest().pk}/",
        "decisions": "governance/contactdecision/",
        "kpi": "governance/kpievent/",
        "closures": "governance/closure/",
        "closure-add": "governance/closure/add/",
        "hours-add": "governance/statutoryhours/add/",
        "cities": "governance/cityzone/",
        "suppression-add": "governance/suppression/add/",
        "consent-add": "governance/consent/add/",
        "people": "governance/user/",
        "person": f"governance/user/{manager.pk}/change/",
        "person-add": "governance/user/add/",
        "token-add": "governance/apitoken/add/",
        "switches": "governance/golivestate/1/change/",
        "jobs": "django_celery_beat/periodictask/",
        "job": f"django_celery_beat/periodictask/{task.pk}/change/",
        "job-add": "django_celery_beat/periodictask/add/",
        "crontab": f"django_celery_beat/crontabschedule/{task.crontab_id}/change/",
        "roles": "auth/group/",
    }
    for name, path in screens.items():
        page.goto(f"{address}/admin/{path}")
        look(page, name)
        assert page.locator("#content, main").count() > 0, name
        assert complaints == [], name


def test_a_manager_changes_a_policy_and_reads_its_history(
    page: Page, live_server: LiveServer, person: Callable[..., User], complaints: list[str]
) -> None:
    person("MANAGER", "mona")
    policy = MarketPolicy.objects.get(province="ON")
    enter(page, live_server.url, "mona")
    page.goto(f"{live_server.url}/admin/governance/marketpolicy/{policy.pk}/change/")
    page.fill("input[name=week_0]", "22-6")
    page.fill("textarea[name=change_reason]", "we try nights")
    page.click("button[name=_save]")
    look(page, "policy-refused")
    assert "is not valid" in page.content()
    page.fill("input[name=week_0]", "10-16")
    page.click("button[name=_save]")
    page.wait_for_url("**/marketpolicy/")
    policy.refresh_from_db()
    assert (policy.version, policy.reason) == (2, "we try nights")
    page.goto(f"{live_server.url}/admin/governance/marketpolicy/{policy.pk}/history/")
    look(page, "history")
    assert "we try nights" in page.content()
    assert complaints == []

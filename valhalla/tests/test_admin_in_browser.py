"""Every page of admin, found by itself, in a real Chromium: in light, dark and on a phone.

CI looks at the pages that we drew ourselves and at some that the run's seed chooses; the long run at all.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.conf import settings
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from followups.models import FollowUpTask, Lead
from governance.core.actors import Actor
from governance.core.places import Place
from governance.market.models import MarketPolicy, ScheduledChange
from governance.market.services import cancel_scheduled, schedule_change
from governance.models import User
from governance.tripwire.models import RegressionFiring
from valhalla.tests.specimens import specimen
from valhalla.tests.test_admin_pages import MODELS, pages_of

pytestmark = pytest.mark.django_db(transaction=True)
PHONE, DESK = {"width": 375, "height": 812}, {"width": 1280, "height": 900}
CHOSEN, SHARES = 2, 12
AXE = Axe()


@pytest.fixture
def mona(page: Page, live_server: LiveServer, person: Callable[..., User]) -> Client:
    """Sign a manager in, in the browser and in a client that asks first what is a page."""
    client = Client()
    client.force_login(person("MANAGER", "mona"))
    cookie = client.cookies[settings.SESSION_COOKIE_NAME]
    page.context.add_cookies([{"name": cookie.key, "value": cookie.value, "url": live_server.url}])
    return client


def pages_that_span() -> Iterator[str]:
    lead = specimen(FollowUpTask).lead
    yield reverse("admin:index")
    yield f"{reverse('trace')}?id={lead.external_id}"
    yield f"{reverse('lead_line')}?lead={lead.external_id}"
    yield reverse("figures")
    yield f"{reverse('admin:followups_lead_changelist')}?q=nobody+is+called+so"


def is_a_page(client: Client, address: str) -> bool:
    """Tell whether this is something to look at: no file, no part of a page, nothing that is refused."""
    answer = client.get(address, follow=True)
    return answer.status_code == 200 and not answer.streaming and b"<html" in answer.content[:500]


def faults(page: Page) -> Iterator[str]:
    """Return what axe finds serious in the open page, in light and dark, and what a phone cuts off."""
    for scheme, size in (("light", DESK), ("dark", PHONE)):
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        page.set_viewport_size(size)  # type: ignore[arg-type]  # a width and a height
        page.evaluate("dark => document.documentElement.classList.toggle('dark', dark)", scheme == "dark")
        for rule in AXE.run(page, options={"resultTypes": ["violations"]}).response["violations"]:
            if rule["impact"] in ("serious", "critical"):
                yield from (f"{scheme} {rule['id']}: {node['html'][:200]}" for node in rule["nodes"])
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    if wide > 0:
        yield f"{wide} px wider than a phone"


def look_at(page: Page, base: str, client: Client, addresses: Iterable[str]) -> tuple[int, dict[str, Any]]:
    """Return how many pages were looked at, and the faults of those that have any."""
    seen, found = 0, {}
    for address in addresses:
        if is_a_page(client, address):
            page.goto(base + address)
            seen += 1
            if wrong := list(faults(page)):
                found[address] = wrong
    return seen, found


def test_our_own_pages_and_a_few_others_keep_nobody_out(
    page: Page, live_server: LiveServer, mona: Client, chance: random.Random
) -> None:
    policy, lead = pages_of(MarketPolicy), pages_of(Lead)
    ours = [
        *pages_that_span(),
        *(policy[f"governance_marketpolicy_{name}"] for name in ("changelist", "change")),
        *(lead[f"followups_lead_{name}"] for name in ("change", "erase")),
        pages_of(RegressionFiring)["governance_regressionfiring_change"],
    ]
    others = [chance.choice(list(pages_of(model).values())) for model in chance.sample(MODELS, CHOSEN)]
    seen, found = look_at(page, live_server.url, mona, [*ours, *others])
    assert found == {}
    assert seen >= len(ours)


def test_scheduled_changes_are_read_without_scrolling_sideways(
    page: Page, live_server: LiveServer, mona: Client
) -> None:
    now = timezone.now()
    rules = {"min_lead_score_to_contact": 0.7, "skip_holidays": False, "max_contacts_per_day": 2}
    for days, market in enumerate(("Dawson", "Whitehorse"), start=30):
        schedule_change(
            Place("YT", market),
            by=Actor.system("tests"),
            at=now,
            effective_from=now + timedelta(days=days),
            rules=rules,
            reason="Shorter days in the north until the end of the winter",
        )
    first = ScheduledChange.objects.earliest("pk")
    cancel_scheduled(first.pk, by=Actor.system("tests"), at=now, reason="The province decided otherwise")
    page.set_viewport_size(DESK)  # type: ignore[arg-type]  # a width and a height
    page.goto(f"{live_server.url}{reverse('admin:governance_scheduledchange_changelist')}")
    changes = page.locator("#result_list tbody .field-what")
    expect(changes).to_have_count(2)
    assert changes.first.evaluate("cell => cell.clientWidth") >= 256, "a tower of words"
    hidden = """table => {
      let widest = 0;
      for (let box = table; box; box = box.parentElement) {
        const scrolls = ["auto", "scroll"].includes(getComputedStyle(box).overflowX);
        if (scrolls) widest = Math.max(widest, box.scrollWidth - box.clientWidth);
      }
      return widest;
    }"""
    assert page.locator("#result_list").evaluate(hidden) <= 0


def test_the_side_bar_is_skipped_and_filters_open_by_keys_alone(
    page: Page, live_server: LiveServer, mona: Client
) -> None:
    page.goto(f"{live_server.url}{reverse('admin:followups_lead_changelist')}")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    filters = page.locator("main [role=button]", has_text="Filters")
    for _press in range(30):
        page.keyboard.press("Tab")
        if filters.evaluate("element => element === document.activeElement"):
            break
    expect(filters).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#changelist-filter")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#changelist-filter")).to_be_hidden()
    expect(filters).to_be_focused()


@pytest.mark.long
@pytest.mark.parametrize("share", range(SHARES))
def test_every_page_of_admin_keeps_nobody_out(
    page: Page, live_server: LiveServer, mona: Client, share: int
) -> None:
    models = MODELS[share::SHARES]
    everything = [address for model in models for address in pages_of(model).values()]
    seen, found = look_at(page, live_server.url, mona, everything)
    assert found == {}
    assert seen > 2 * len(models)

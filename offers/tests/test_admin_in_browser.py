"""A manager switches a market's offers on in a real Chromium, with the example in view."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from governance.models import User
from offers.models import OfferPolicy
from valhalla.testing import PASSWORD

pytestmark = pytest.mark.django_db(transaction=True)


def test_an_offer_policy_is_switched_on(
    page: Page, live_server: LiveServer, person: Callable[..., User]
) -> None:
    person("MANAGER", "mona")
    policy = OfferPolicy.objects.get(province="ON")
    screen = f"{live_server.url}/admin/offers/offerpolicy/{policy.pk}/change/"
    page.goto(screen)
    page.fill("input[name=username]", "mona")
    page.fill("input[name=password]", PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(screen)  # loaded, its scripts included: else nothing notices the switch
    example = page.locator("#live-example")
    expect(example).to_contain_text("we offer 252,500 CAD")
    expect(example).to_contain_text("Off: no offer")
    page.locator("input[name=enabled]").focus()
    page.keyboard.press("Space")
    expect(example).not_to_contain_text("Off: no offer")
    page.fill("input[name=max_arv_multiplier]", "0.65")
    expect(example).to_contain_text("we offer 230,000 CAD")
    serious = [
        f"{rule['id']}: {node['html'][:160]}"
        for rule in Axe().run(page, context="#content-main").response["violations"]
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]
    assert serious == []
    page.fill("textarea[name=change_reason]", "the market has buyers now")
    page.click("button[name=_save]")
    page.wait_for_url("**/offerpolicy/")
    policy.refresh_from_db()
    assert (policy.enabled, str(policy.max_arv_multiplier), policy.version) == (True, "0.6500", 2)

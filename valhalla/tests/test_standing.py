"""The switches in all their combinations: what verbs do, and what every page says that they do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.utils import translation
from pytest_django import Settings

from followups.tests.scenes import NOW, begin
from governance.golive.models import GoLiveState
from governance.tests.factories import SELLER_PHONE
from offers.tests.factories import switch_on
from valhalla.testing import make_client, make_person

pytestmark = pytest.mark.django_db

NOBODY, NO_OFFER = "nobody is contacted", "no contact, no offer"
# whether contacts and offers go through, and whether the switches are obeyed -> the light, the tile's figure,
# the banner's kind ("": none), what is said on every page, and what may be said nowhere
SAID = {
    (True, True, True): ("good", "On", "", "", [NOBODY, NO_OFFER, "not enforced"]),
    (False, True, True): ("watch", "Off", "off", NOBODY, [NO_OFFER, "not enforced"]),
    (False, False, True): ("bad", "Kill switch engaged", "killed", NO_OFFER, [NOBODY, "not enforced"]),
    (True, True, False): ("watch", "Not enforced", "unbound", "Nothing is stopped", [NOBODY, NO_OFFER]),
}


@pytest.fixture(autouse=True)
def clock() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


def passes(path: str, body: dict[str, Any]) -> bool:
    answer = make_client("MANAGER").post(path, body, format="json")
    assert answer.status_code in (200, 201, 503), answer.content
    return answer.status_code != 503


def read(text: str, pattern: str) -> str:
    found = re.findall(pattern, text, re.DOTALL)
    assert len(found) <= 1, found
    return " ".join(re.sub(r"<[^>]+>", " ", found[0]).split()) if found else ""


@pytest.mark.parametrize(("enforced", "live", "killed", "production"), list(product([True, False], repeat=4)))
def test_board_banner_and_due_page_say_what_the_switches_do(
    enforced: bool, live: bool, killed: bool, production: bool, settings: Settings
) -> None:
    switch_on()
    begin("L-1", phone=SELLER_PHONE)
    settings.GO_LIVE_ENFORCE, settings.PRODUCTION = enforced, production
    GoLiveState.objects.update(
        go_live_enabled=live, kill_switch_engaged=killed, changed_by="mona", reason="a fire", updated_at=NOW
    )

    contacts = passes("/api/followups/ladder/create", {"lead_id": "L-2", "province": "ON", "city": "Toronto"})
    offers = passes("/api/deals/offers/compute", {"province": "ON", "arv": 450_000, "repairs": 50_000})
    opt_out = {"channel": "CALL", "outcome": "OPTED_OUT"}
    assert passes("/api/followups/lead/L-1/inbound", opt_out), "what happened is always recorded"

    light, figure, kind, sentence, never = SAID[contacts, offers, enforced]
    if production and not enforced:
        light = "bad"
    manager, va = Client(), Client()
    manager.force_login(make_person("MANAGER"))
    va.force_login(make_person("VA"))
    board = manager.get("/admin/").content.decode()
    tile = read(board, r'<li class="tile \w+">\s*<h3><a href="/admin/governance/golivestate/">.*?</li>')
    assert tile.startswith(f"Go-live {figure} "), tile
    assert read(board, r'<li class="tile (\w+)">\s*<h3><a href="/admin/governance/golivestate/">') == light
    assert sentence in tile
    for page in (
        board,
        manager.get("/admin/governance/golivestate/1/change/").content.decode(),
        va.get("/followups/").content.decode(),
    ):
        banner = read(page, r'<aside[^>]*class="switches.*?</aside>')
        assert read(page, r'class="switches (\w+)"') == kind
        assert sentence in banner
        for words in never:
            assert words not in banner + tile, (words, banner, tile)
        if not enforced:
            assert ("engaged" in banner) is killed, "an engaged switch without effect is named"
    state = make_client("MANAGER").get("/api/governance/go-live/state").json()
    assert (state["enforced"], state["go_live_enabled"], state["kill_switch_engaged"]) == (
        enforced,
        live,
        killed,
    )


def test_the_board_says_it_in_french_too(settings: Settings) -> None:
    settings.GO_LIVE_ENFORCE = False
    GoLiveState.objects.update(kill_switch_engaged=True)
    manager = Client(headers={"Accept-Language": "fr"})
    manager.force_login(make_person("MANAGER"))
    with translation.override("fr"):
        page = manager.get("/admin/").content.decode()
    assert page.count("ne sont pas appliqués") == 2, "in the banner and in the tile"

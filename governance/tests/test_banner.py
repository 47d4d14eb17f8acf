"""What every page says of the switches, and the page on which closers stop everything."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from governance.golive.models import GoLiveState
from governance.models import User
from governance.tests.factories import NOW

pytestmark = pytest.mark.django_db
Person = Callable[..., User]
PAGES = ("/followups/", "/admin/", "/admin/governance/marketpolicy/", "/admin/governance/runbook/")
STATES = [
    # enforced, production, live, killed -> the banner's kind ("": none), the label of admin
    (True, True, False, True, "killed", "Kill switch"),
    (True, True, True, True, "killed", "Kill switch"),
    (True, True, False, False, "off", "Go-live off"),
    (True, True, True, False, "", "Live"),
    (False, False, False, False, "unbound", "Development"),
    (False, False, True, True, "unbound", "Development"),
    (False, True, True, False, "unbound", "Not enforced"),
]


@pytest.fixture
def sign_in(person: Person) -> Callable[..., Client]:
    def made(role: str = "MANAGER") -> Client:
        client = Client()
        client.force_login(person(role))
        return client

    return made


def turn(*, live: bool, killed: bool, reason: str = "a fire") -> None:
    GoLiveState.objects.update(
        go_live_enabled=live, kill_switch_engaged=killed, changed_by="mona", reason=reason, updated_at=NOW
    )


def banner(text: str) -> str:
    """The kind of the banner that a page shows; nothing where it shows none."""
    found = re.findall(r'class="switches ([a-z]+)"', text)
    assert len(found) <= 1, "one banner a page"
    return found[0] if found else ""


@pytest.mark.parametrize(("enforced", "production", "live", "killed", "kind", "label"), STATES)
def test_every_page_shows_how_the_switches_stand(
    enforced: bool, production: bool, live: bool, killed: bool, kind: str, label: str,
    sign_in: Callable[..., Client], settings: Settings,
) -> None:  # fmt: skip
    settings.GO_LIVE_ENFORCE, settings.PRODUCTION = enforced, production
    turn(live=live, killed=killed)
    manager = sign_in()
    for page in PAGES:
        text = manager.get(page).content.decode()
        assert banner(text) == kind, page
        if page.startswith("/admin/"):
            assert re.search(rf">\s*{label}\s*</span>", text), page


def test_an_engaged_kill_switch_says_who_and_why(sign_in: Callable[..., Client], settings: Settings) -> None:
    settings.GO_LIVE_ENFORCE = True
    turn(live=True, killed=True, reason="calls <at night>")
    for page in PAGES[:2]:
        text = sign_in("MANAGER").get(page).content.decode()
        assert "mona, 24 Nov. 2026, 10:00 EST: calls &lt;at night&gt;" in text


def test_whoever_is_not_signed_in_is_told_nothing(settings: Settings) -> None:
    settings.GO_LIVE_ENFORCE = True
    turn(live=False, killed=True)
    for page in ("/login/", "/admin/login/"):
        with CaptureQueriesContext(connection) as queries:
            text = Client().get(page).content.decode()
        assert banner(text) == ""
        assert "Kill switch" not in text
        assert not any("golivestate" in query["sql"] for query in queries)


def test_the_state_is_asked_once_a_page(sign_in: Callable[..., Client]) -> None:
    for page in PAGES[:3]:
        client = sign_in("MANAGER")
        client.get(page)
        with CaptureQueriesContext(connection) as queries:
            client.get(page)
        asked = [query["sql"] for query in queries if "kill_switch_engaged" in query["sql"]]
        assert len(asked) == 1, page


def test_the_banner_follows_the_switch_at_once(sign_in: Callable[..., Client], settings: Settings) -> None:
    settings.GO_LIVE_ENFORCE = True
    turn(live=True, killed=False)
    va = sign_in("VA")
    assert banner(va.get("/followups/").content.decode()) == ""
    turn(live=True, killed=True)
    assert banner(va.get("/followups/").content.decode()) == "killed"
    turn(live=True, killed=False)
    assert banner(va.get("/followups/").content.decode()) == ""


# --- the closers' page --------------------------------------------------------------------------------------


def test_a_closer_stops_everything_with_a_reason(sign_in: Callable[..., Client]) -> None:
    closer = sign_in("CLOSER")
    assert 'href="/go-live/"' in closer.get("/followups/").content.decode()
    assert closer.post("/go-live/", {"reason": "  "}).status_code == 200
    assert not GoLiveState.objects.get().kill_switch_engaged

    answer = closer.post("/go-live/", {"reason": "a wrong script"}, follow=True)

    now = GoLiveState.objects.get()
    assert (now.kill_switch_engaged, now.changed_by, now.reason) == (True, "a-closer", "a wrong script")
    assert answer.redirect_chain == [("/go-live/", 302)]
    text = answer.content.decode()
    assert "a wrong script" in text
    assert 'id="engage"' not in text, "a closer releases nothing"
    closer.post("/go-live/", {"reason": "again"})
    assert GoLiveState.objects.get().reason == "a wrong script"


@pytest.mark.parametrize("role", ["VA", "AUDITOR", "SERVICE"])
def test_nobody_else_sees_that_page(role: str, sign_in: Callable[..., Client]) -> None:
    client = sign_in(role)
    assert client.get("/go-live/").status_code == 403
    assert client.post("/go-live/", {"reason": "x"}).status_code == 403
    assert 'href="/go-live/"' not in client.get("/followups/").content.decode()
    assert not GoLiveState.objects.get().kill_switch_engaged

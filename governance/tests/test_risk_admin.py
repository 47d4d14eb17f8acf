"""Caps on the managers' screens: what is used of them, in bars and in words; changing one with a reason."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Page
from pytest_django import DjangoAssertNumQueries
from pytest_django.live_server_helper import LiveServer

from governance.models import User
from governance.risk.models import RiskPolicy, RiskThrottle
from governance.risk.services import throttle
from governance.tests.risking import ANYBODY, cap, reserve, reserved
from valhalla.testing import PASSWORD, make_person

LIST = "admin:governance_riskpolicy_changelist"
SHOTS = os.environ.get("VALHALLA_SHOTS", "")
CAPS = ("max_daily_loss", "max_daily_exposure", "max_open_risk", "max_actions_per_day")


@pytest.fixture
def desk(db: None) -> Callable[[str], Client]:
    def sign_in(role: str = "MANAGER") -> Client:
        client = Client()
        client.force_login(make_person(role, f"the-{role.lower()}"))
        return client

    return sign_in


def gauges(client: Client) -> dict[str, Any]:
    """Return the cards of the page by the engine's name."""
    return {card.title.split(":")[0]: card for card in client.get(reverse(LIST)).context["risk"]["engines"]}


def told(card: Any) -> dict[str, tuple[str, str, str]]:
    return {gauge.label: (gauge.figure, gauge.left, gauge.width) for gauge in card.gauges}


# --- the bars -----------------------------------------------------------------------------------------------


def test_the_page_shows_what_is_used_of_each_cap(desk: Any) -> None:
    cap("WHOLESALE", max_daily_loss=20_000, max_daily_exposure=100_000, max_actions_per_day=8)
    reserve("12000.50", at=timezone.now())
    reserve(1000, at=timezone.now() - timedelta(days=1))
    cards = gauges(desk("AUDITOR"))
    assert list(cards) == ["GLOBAL", "CAPITAL", "NOTIFY", "WHOLESALE"]
    assert told(cards["WHOLESALE"]) == {
        "Lost today or still open": ("13,000.50 of 20,000", "6,999.50 left", "65.0"),
        "Reserved today": ("12,000.50 of 100,000", "87,999.50 left", "12.0"),
        "Open now, of all days": ("13,000.50, no cap", "", ""),
        "Reservations today": ("1 of 8", "7 left", "12.5"),
    }
    assert (cards["WHOLESALE"].state, cards["WHOLESALE"].says) == ("good", "room under every cap")
    assert cards["NOTIFY"].says == "off: every reservation is denied"


@pytest.mark.parametrize(
    ("amount", "state", "says", "width"),
    [
        (89, "good", "room under every cap", "89.0"),
        (90, "watch", "a cap is nearly used up", "90.0"),
        (100, "bad", "a cap is used up", "100.0"),
    ],
)
def test_a_cap_that_runs_out_says_so(desk: Any, amount: int, state: str, says: str, width: str) -> None:
    cap("GLOBAL")
    cap("WHOLESALE", max_open_risk=100)
    reserve(amount, at=timezone.now())
    card = gauges(desk("MANAGER"))["WHOLESALE"]
    assert (card.state, card.says) == (state, says)
    assert told(card)["Open now, of all days"][2] == width


def test_a_cap_lowered_below_its_use_is_a_full_bar(desk: Any) -> None:
    cap("WHOLESALE", max_open_risk=100)
    reserve(100, at=timezone.now())
    cap("WHOLESALE", max_open_risk=40)
    card = gauges(desk("MANAGER"))["WHOLESALE"]
    assert told(card)["Open now, of all days"] == ("100 of 40", "used up", "100.0")


def test_a_throttled_engine_names_its_tripwire(desk: Any) -> None:
    throttle("WHOLESALE", "WHOLESALE/followup_sla", by=ANYBODY, at=timezone.now())
    card = gauges(desk("MANAGER"))["WHOLESALE"]
    assert (card.state, card.says) == ("bad", "held back by WHOLESALE/followup_sla")
    shown = desk("MANAGER").get(reverse("admin:governance_riskthrottle_changelist")).content.decode()
    assert "WHOLESALE/followup_sla" in shown


def test_the_page_speaks_french(desk: Any) -> None:
    client = desk("MANAGER")
    page = client.get(reverse(LIST), HTTP_ACCEPT_LANGUAGE="fr").content.decode()
    assert "Utilisation des plafonds" in page


def test_the_page_costs_the_same_however_many_engines(
    desk: Any, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    client = desk("MANAGER")
    for number in range(20):
        cap(f"ENGINE_{number}")
    with django_assert_max_num_queries(12):
        assert client.get(reverse(LIST)).status_code == 200


# --- the form -----------------------------------------------------------------------------------------------


def form(policy: RiskPolicy, **changes: Any) -> dict[str, Any]:
    given = {
        "enabled": "on" if policy.enabled else "",
        "max_daily_loss": policy.max_daily_loss,
        "max_daily_exposure": policy.max_daily_exposure,
        "max_open_risk": policy.max_open_risk,
        "max_actions_per_day": policy.max_actions_per_day,
        **{f"no_cap_{name}": "on" for name in CAPS if not getattr(policy, name)},
        "change_reason": "winter is quiet",
        "seen_version": policy.version,
    }
    sent = {key: value for key, value in {**given, **changes}.items() if value not in ("", 0)}
    return {key: value for key, value in sent.items() if not key.startswith("no_cap_") or key[7:] not in sent}


def change(client: Client, policy: RiskPolicy, **changes: Any) -> dict[str, Any]:
    """Send the form, and return its errors; none where it was saved."""
    answer = client.post(
        reverse("admin:governance_riskpolicy_change", args=[policy.pk]), form(policy, **changes)
    )
    assert answer.status_code in (200, 302)
    return {} if answer.status_code == 302 else dict(answer.context["adminform"].form.errors)


def test_a_manager_changes_a_cap_with_a_reason(desk: Any) -> None:
    policy = RiskPolicy.objects.get(engine="WHOLESALE")
    assert change(desk("MANAGER"), policy, max_daily_loss="12345.67") == {}
    policy.refresh_from_db()
    assert (str(policy.max_daily_loss), policy.max_open_risk) == ("12345.67", 100_000)
    assert (policy.version, policy.changed_by, policy.reason) == (2, "the-manager", "winter is quiet")
    assert policy.history.latest().history_change_reason == "winter is quiet"


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"change_reason": ""}, "change_reason"),
        ({"max_daily_loss": "-1"}, "max_daily_loss"),
        ({"max_open_risk": "0.001"}, "max_open_risk"),
        ({"max_open_risk": "1e99"}, "max_open_risk"),
        ({"max_daily_exposure": "NaN"}, "max_daily_exposure"),
        ({"max_actions_per_day": "-1"}, "max_actions_per_day"),
        ({"max_actions_per_day": "99999999999999999999"}, "max_actions_per_day"),
        ({"max_actions_per_day": "2147483648"}, "max_actions_per_day"),
    ],
    ids=str,
)
def test_what_cannot_be_a_cap_is_told_at_its_field(desk: Any, wrong: dict[str, str], field: str) -> None:
    policy = RiskPolicy.objects.get(engine="WHOLESALE")
    assert list(change(desk("MANAGER"), policy, **wrong)) == [field]
    assert RiskPolicy.objects.get(engine="WHOLESALE").version == 1


def test_somebody_who_was_faster_is_noticed(desk: Any) -> None:
    policy = RiskPolicy.objects.get(engine="WHOLESALE")
    cap("WHOLESALE", max_daily_loss=1)
    (errors,) = change(desk("MANAGER"), policy, max_daily_loss="5").values()
    assert "changed in the meantime" in str(errors)


def test_a_manager_adds_an_engine_once(desk: Any) -> None:
    client = desk("MANAGER")
    add = reverse("admin:governance_riskpolicy_add")
    given = {
        "engine": "MOONSHOT",
        "max_daily_loss": 1,
        "no_cap_max_daily_exposure": "on",
        "no_cap_max_open_risk": "on",
        "no_cap_max_actions_per_day": "on",
        "change_reason": "a new line of business",
        "seen_version": 0,
    }
    assert client.post(add, given).status_code == 302
    assert RiskPolicy.objects.get(engine="MOONSHOT").enabled is False
    again = client.post(add, given)
    assert "engine" in again.context["adminform"].form.errors
    small = client.post(add, {**given, "engine": "moonshot two"})
    assert "engine" in small.context["adminform"].form.errors


def test_an_auditor_looks_and_changes_nothing(desk: Any) -> None:
    policy = RiskPolicy.objects.get(engine="WHOLESALE")
    client = desk("AUDITOR")
    assert client.get(reverse("admin:governance_riskpolicy_change", args=[policy.pk])).status_code == 200
    answer = client.post(reverse("admin:governance_riskpolicy_change", args=[policy.pk]), form(policy))
    assert answer.status_code == 403


# --- in a browser -------------------------------------------------------------------------------------------


def fill_the_screens() -> None:
    now = timezone.now()
    cap("GLOBAL", max_daily_loss=25_000, max_daily_exposure=150_000, max_open_risk=150_000)
    cap(
        "WHOLESALE",
        max_daily_loss=20_000,
        max_daily_exposure=100_000,
        max_open_risk=100_000,
        max_actions_per_day=2,
    )
    cap("CAPITAL", max_daily_loss=15_000, max_daily_exposure=75_000, max_open_risk=5_000)
    reserved(10_000, at=now, purpose="offer")
    reserved("7500.25", at=now, purpose="offer")
    reserved(4_700, "CAPITAL", at=now)
    reserve(10_000, at=now)
    throttle("NOTIFY", "NOTIFY/delivery", by=ANYBODY, at=now)
    RiskThrottle.objects.create(
        engine="WHOLESALE",
        tripwire="WHOLESALE/followup_sla",
        since=now - timedelta(days=4),
        released_at=now - timedelta(days=3),
        released_by="mona",
        reason="phones were down",
    )


def enter(page: Page, address: str) -> None:
    page.goto(f"{address}/admin/")
    page.fill("input[name=username]", "mona")
    page.fill("input[name=password]", PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{address}/admin/")


@pytest.mark.django_db(transaction=True)
def test_the_bars_are_drawn_for_every_eye_and_width(
    page: Any, live_server: LiveServer, person: Callable[..., User]
) -> None:
    person("MANAGER", "mona")
    fill_the_screens()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    enter(page, live_server.url)
    page.goto(live_server.url + reverse(LIST))
    for scheme, width in product(("light", "dark"), (1280, 390)):
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_load_state("networkidle")
        if SHOTS:
            page.screenshot(path=str(Path(SHOTS) / f"risk-{scheme}-{width}.png"), full_page=True)
        bars = page.locator(".board .bar .done")
        assert bars.count() == 10
        for bar in bars.all():
            box, track = bar.bounding_box(), bar.locator("..").bounding_box()
            assert 0 < box["width"] <= track["width"] + 1
        card = page.locator(".board").bounding_box()
        assert card["x"] >= 0
        assert card["x"] + card["width"] <= width
        if width == 390:
            found = Axe().run(page, context=".board")
            assert found.violations_count == 0, found.generate_report()
    screens = (
        "riskpolicy/add",
        "riskledgerday",
        "riskreservation",
        "riskevent",
        "riskthrottle",
        "riskengine",
    )
    for screen in screens:
        page.set_viewport_size({"width": 1280, "height": 900})
        page.goto(f"{live_server.url}/admin/governance/{screen}/")
        page.wait_for_load_state("networkidle")
        if SHOTS:
            page.screenshot(path=str(Path(SHOTS) / f"{screen.replace('/', '-')}.png"), full_page=True)
    assert said == []


def test_caps_are_said_in_words_as_they_are_typed(desk: Any) -> None:
    policy = RiskPolicy.objects.get(engine="WHOLESALE")
    address = reverse("admin:governance_riskpolicy_change", args=[policy.pk])
    client = desk()
    page = client.get(address).content.decode()
    assert "WHOLESALE may lose at most 20,000 CAD a day, reserve at most 100,000 CAD a day" in page
    typed = {
        "enabled": "on",
        **{f"no_cap_{name}": "on" for name in CAPS},
        "seen_version": policy.version,
        "_draw": "1",
    }
    assert "No caps: every reservation is allowed" in client.post(address, typed).content.decode()
    policy.refresh_from_db()
    assert policy.version == 1


def test_engines_are_switched_off_together_with_a_reason(desk: Any) -> None:
    rows = RiskPolicy.objects.filter(engine__in=["WHOLESALE", "CAPITAL"])
    said = {"action": "switch_off", "_selected_action": [row.pk for row in rows], "apply": "1"}
    desk().post(reverse("admin:governance_riskpolicy_changelist"), {**said, "change_reason": "audit of 2026"})
    assert set(rows.values_list("enabled", "version", "reason")) == {(False, 2, "audit of 2026")}

"""Tripwires on the managers' screens: why one fired, in words and drawn, and its release."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any, Literal

import pytest
import time_machine
from axe_playwright_python.sync_playwright import Axe
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries
from pytest_django.live_server_helper import LiveServer

from governance.models import User
from governance.risk.models import RiskThrottle
from governance.tests.tripping import (
    DAY,
    LADDERS,
    SLA,
    happen_daily,
    look_on,
    six,
    watch,
    weekly,
)
from governance.tripwire.models import RegressionFiring, RegressionPolicy, RegressionState
from governance.tripwire.plot import plot_of
from valhalla.testing import PASSWORD, make_person

SHOTS = os.environ.get("VALHALLA_SHOTS", "")
FIRED_ON = date(2026, 9, 25)
LIST = "admin:governance_regressionstate_changelist"


@pytest.fixture
def desk(db: None) -> Callable[[str], Client]:
    def sign_in(role: str = "MANAGER") -> Client:
        client = Client()
        client.force_login(make_person(role, f"the-{role.lower()}"))
        return client

    return sign_in


@pytest.fixture
def _that_morning() -> Iterator[None]:
    with time_machine.travel(six(FIRED_ON)):
        yield


def fired() -> RegressionState:
    """Let 90 in 100 fall to 40 in 100."""
    watch()
    state = look_on(happen_daily(SLA, [(18, 2)] * 20 + [(8, 12)] * 5))
    assert state.triggered
    return state


def page_of(state: RegressionState) -> str:
    return reverse("admin:governance_regressionstate_change", args=[state.pk])


# --- why it fired -------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_that_morning")
def test_the_page_says_why_it_fired(desk: Any) -> None:
    answer = desk("AUDITOR").get(page_of(fired()))
    told = answer.context["firing"]
    assert told["sentences"] == [
        "40\xa0% in the 5 days with events from 20 September 2026 to 24 September 2026, 56\xa0% less than "
        "90\xa0% in the 20 days with events from 31 August 2026 to 19 September 2026.",
        "If nothing had changed, chance alone would make a drop this large less than once in a million "
        "checks.",
        "Reservations of WHOLESALE are denied until a manager resets the alert.",
    ]
    why = told["why"]
    assert (why.before.figure, why.before.told) == (
        "90\xa0%",
        "400 events, the 20 days with events from 31 August 2026 to 19 September 2026",
    )
    assert (why.now.figure, why.now.told.split(",")[0], why.change.figure, why.change.told) == (
        "40\xa0%",
        "100 events",
        "55.6\xa0%",
        "a drop counts from 20\xa0% on",
    )
    assert (why.chance.figure, why.chance.told) == (
        "below 1 in a million",
        "p is below 0.000001; it fires at 0.0005 or less",
    )
    page = answer.content.decode()
    assert "At this volume the smallest drop it can detect is" in page
    assert "It fired on 25 September 2026; a manager must reset the alert." in page
    assert answer.context["form"] is None, "an auditor reads"
    assert 'id="release"' not in page


@pytest.mark.usefixtures("_that_morning")
def test_the_plot_shows_baseline_window_and_limit_and_says_the_same(desk: Any) -> None:
    answer = desk().get(page_of(fired()))
    plot = answer.context["firing"]["why"].plot
    assert len(plot.points) == len(plot.rows) == 25
    assert [(band.kind, band.label.text) for band in plot.bands] == [
        ("before", "Baseline"),
        ("window", "Window"),
    ]
    assert [(line.kind, line.label.text) for line in plot.lines] == [
        ("before", "before: 90\xa0%"),
        ("floor", "limit: 72\xa0%"),
        ("now", "now: 40\xa0%"),
    ]
    before, floor, now = (float(line.y) for line in plot.lines)
    assert before < floor < now, "up is more"
    good, bad = float(plot.points[0][1]), float(plot.points[-1][1])
    assert good == pytest.approx(before, abs=0.1)
    assert bad == pytest.approx(now, abs=0.1)
    begin, end = (float(band.x) for band in plot.bands)
    assert begin < float(plot.points[0][0]) < end < float(plot.points[20][0])
    assert plot.told == (
        "The value of each day with events from 31 August 2026 to 24 September 2026. The baseline is "
        "90\xa0%; a fall to 72\xa0% or below counts as a drop. In the window it is 40\xa0%."
    )
    assert [(row.when, row.figure, row.events, row.sample) for row in plot.rows[19:21]] == [
        ("19 September 2026", "90\xa0%", 20, "baseline"),
        ("20 September 2026", "40\xa0%", 20, "window"),
    ]
    page = answer.content.decode()
    assert page.count("<circle") == 25
    assert plot.told in page


@pytest.mark.parametrize("scale", [1e-6, 0.03, 7, 12345.0, 9e8])
def test_a_plot_of_any_size_stays_inside_its_frame(scale: float) -> None:
    points = [[f"2026-09-{day:02}", scale * (1 + day % 3), 5] for day in range(1, 11)]
    seen = {
        "measure": "MEAN",
        "baseline": 2 * scale,
        "current": scale,
        "max_drop": 0.2,
        "samples": {"current": {"since": "2026-09-06", "until": "2026-09-10"}},
        "series": {"baseline": points[:5], "after": points[5:]},
    }
    plot = plot_of(seen)
    assert plot is not None
    heights = [float(y) for _x, y in plot.points] + [float(line.y) for line in plot.lines]
    assert min(heights) >= float(plot.top)
    assert max(heights) <= float(plot.bottom)
    assert 3 <= len(plot.ticks) <= 7
    assert len({tick.text for tick in plot.ticks}) == len(plot.ticks)


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.0), (-4.0, -1.0), (-2.0, 3.0)])
def test_figures_of_nothing_and_below_it_are_drawn_too(low: float, high: float) -> None:
    series = [["2026-09-01", low, 5], ["2026-09-02", high, 5]]
    plot = plot_of({"measure": "MEAN", "max_drop": 0.2, "series": {"baseline": [], "after": series}})
    assert plot is not None
    assert all(float(plot.top) <= float(y) <= float(plot.bottom) for _x, y in plot.points)


def test_a_volume_is_told_by_full_weeks_and_open_days(desk: Any) -> None:
    watch(LADDERS)
    day = happen_daily(LADDERS, weekly(20) * 5 + weekly(6))
    with time_machine.travel(six(day)):
        state = look_on(day, LADDERS)
        assert state.triggered
        why = desk().get(page_of(state)).context["firing"]["why"]
    assert why.before.figure.endswith(" per open day")
    assert why.now.told == "33 events, the week from 5 October 2026"
    assert [row.sample for row in why.plot.rows] == ["baseline"] * 4 + ["", "window"]
    assert why.plot.rows[0].when == "31 August 2026 – 6 September 2026"


def test_one_that_learns_says_when_it_arms(desk: Any) -> None:
    state = watch()
    assert "Not checked yet." in desk().get(page_of(state)).content.decode()
    day = happen_daily(SLA, [(18, 2)] * 10)
    look_on(day)
    with time_machine.travel(six(day)):
        answer = desk().get(page_of(state))
    assert "since 31 August 2026 and starts watching about 25 September 2026." in answer.content.decode()
    assert len(answer.context["now"].plot.points) == 10


@pytest.mark.usefixtures("_that_morning")
def test_the_page_speaks_french(desk: Any) -> None:
    page = desk().get(page_of(fired()), HTTP_ACCEPT_LANGUAGE="fr").content.decode()
    assert "Pourquoi elle s’est déclenchée" in page
    assert "soit 56\xa0% de moins que 90\xa0% pendant les 20 jours avec événements" in page
    assert "limite\xa0: 72\xa0%" in page


# --- its release --------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_that_morning")
def test_a_manager_releases_it_there_with_a_reason(desk: Any) -> None:
    state, client = fired(), desk()
    for reason in ("", "   "):
        answer = client.post(page_of(state), {"change_reason": reason})
        assert (answer.status_code, bool(answer.context["form"].errors)) == (200, True)
    assert RiskThrottle.objects.filter(released_at=None).exists()
    assert client.post(page_of(state), {"change_reason": "The phones are back"}).status_code == 302
    firing = RegressionFiring.objects.get()
    assert (firing.released_by, firing.reason) == ("the-manager", "The phones are back")
    assert not RiskThrottle.objects.filter(released_at=None).exists()
    after = client.get(page_of(state))
    assert (after.context["form"], after.context["firing"]) == (None, None)
    assert "reset by the-manager on 2026-09-25: The phones are back" in after.content.decode()


@pytest.mark.usefixtures("_that_morning")
@pytest.mark.parametrize("role", ["VA", "CLOSER", "AUDITOR"])
def test_nobody_else_releases_it(desk: Any, role: str) -> None:
    state = fired()
    assert desk(role).post(page_of(state), {"change_reason": "I want to"}).status_code in (302, 403)
    state.refresh_from_db()
    assert state.triggered


@pytest.mark.usefixtures("_that_morning")
def test_a_firing_is_kept_as_it_was_seen(desk: Any) -> None:
    state, client = fired(), desk()
    firing = RegressionFiring.objects.get()
    address = reverse("admin:governance_regressionfiring_change", args=[firing.pk])
    seen = client.get(address).context["why"]
    client.post(page_of(state), {"change_reason": "The phones are back"})
    answer = client.get(address)
    assert answer.context["why"] == seen
    assert "the-manager reset it on 25 Sept. 2026, 06:00 EDT: The phones are back" in answer.content.decode()
    assert client.post(address, {"reason": "another"}).status_code == 403
    assert client.get(reverse("admin:governance_regressionfiring_changelist")).status_code == 200


@pytest.mark.usefixtures("_that_morning")
def test_every_page_of_admin_names_what_fired_until_it_is_released(desk: Any) -> None:
    state, client = fired(), desk()
    elsewhere = reverse("admin:governance_marketpolicy_changelist")
    page = client.get(elsewhere).content.decode()
    assert "A tripwire fired and waits for a manager:" in page
    assert page_of(state) in page
    client.post(page_of(state), {"change_reason": "The phones are back"})
    assert "A tripwire fired" not in client.get(elsewhere).content.decode()


# --- lists, policies and what they cost ---------------------------------------------------------------------


@pytest.mark.usefixtures("_that_morning")
def test_the_list_says_how_each_stands_the_fired_first(
    desk: Any, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    fired()
    client = desk()
    client.get(reverse(LIST))
    with django_assert_num_queries(8):  # session, person, go-live, domains, counts, rows, banner
        page = client.get(reverse(LIST)).content.decode()
    told = [
        page.index(text) for text in ("Follow-ups within 2 hours", "Return on capital", "Offers computed")
    ]
    assert told == sorted(told)
    assert "Switched off: this metric is not monitored." in page
    in_french = desk().get(reverse(LIST), HTTP_ACCEPT_LANGUAGE="fr").content.decode()
    badges = set(re.findall(r"^\s*(Déclenchée|Désactivée|off|bad)$", in_french, re.M))
    assert badges == {"Déclenchée", "Désactivée"}, "a state without a colour shows its key"


def test_a_page_costs_the_same_however_long_it_watches(
    desk: Any, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    since = date(2026, 6, 1)
    state = watch(since=since)
    end = happen_daily(SLA, [(3, 1)] * 150, since=since)
    look_on(end)
    client = desk()
    with time_machine.travel(six(end)):
        client.get(page_of(state))
        # session, person, go-live, the tripwire, its firings, events, corrections, banner, history, side bar
        with django_assert_num_queries(10):
            answer = client.get(page_of(state))
    plot = answer.context["now"].plot
    assert len(plot.points) <= 20 + 120 + 40


def policy_form(policy: RegressionPolicy, **changes: object) -> dict[str, object]:
    names = (
        "measure", "max_drop_fraction", "max_false_alarm", "baseline_events", "window_events",
        "min_events_to_enforce", "action", "engine",
    )  # fmt: skip
    given = {name: getattr(policy, name) for name in names}
    enabled = {"enabled": "on"} if policy.enabled else {}
    return {
        **given,
        **enabled,
        "seen_version": policy.version,
        "change_reason": "as agreed on",
        **changes,
    }


def test_a_manager_changes_how_a_metric_is_watched_with_a_reason(desk: Any) -> None:
    policy, client = RegressionPolicy.objects.get(metric="followup_sla"), desk()
    address = reverse("admin:governance_regressionpolicy_change", args=[policy.pk])
    assert client.get(address).status_code == 200
    silent = client.post(address, policy_form(policy, max_drop_fraction="0.15", change_reason=""))
    assert silent.status_code == 200
    nobody = client.post(address, policy_form(policy, engine=""))
    assert "Say which engine it holds back." in nobody.content.decode()
    assert client.post(address, policy_form(policy, max_drop_fraction="0.15")).status_code == 302
    policy.refresh_from_db()
    assert (str(policy.max_drop_fraction), policy.version, policy.reason, policy.changed_by) == (
        "0.1500",
        2,
        "as agreed on",
        "the-manager",
    )
    again = client.post(address, policy_form(policy, seen_version=1, max_drop_fraction="0.3"))
    assert again.status_code in (200, 409)
    policy.refresh_from_db()
    assert policy.version == 2, "somebody was faster"


# --- in a browser -------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("scheme", "language"), [("light", "fr"), ("dark", "en")])
def test_the_page_can_be_read_by_every_eye_and_at_every_width(
    browser: Any,
    live_server: LiveServer,
    person: Callable[..., User],
    scheme: Literal["light", "dark"],
    language: str,
) -> None:
    person("MANAGER", "mona")
    state = fired()
    happen_daily(SLA, [(9, 11)] * 6, since=FIRED_ON)
    for metric in ("ladder_created", "offer_generated"):
        RegressionPolicy.objects.filter(metric=metric).update(enabled=True)
    look_on(FIRED_ON + 6 * DAY)
    said: list[str] = []
    page = browser.new_context(color_scheme=scheme, locale=language).new_page()
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.goto(f"{live_server.url}/admin/")
    page.fill("input[name=username]", "mona")
    page.fill("input[name=password]", PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{live_server.url}/admin/")
    policy = RegressionPolicy.objects.get(metric="followup_sla")
    screens = {
        "why": page_of(state),
        "firing": reverse("admin:governance_regressionfiring_change", args=[policy.firings.get().pk]),
        "list": reverse(LIST),
        "policy": reverse("admin:governance_regressionpolicy_change", args=[policy.pk]),
        "board": "/admin/",
    }
    for name, address in screens.items():
        page.goto(live_server.url + address)
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 900})
            page.wait_for_load_state("networkidle")
            if SHOTS:
                path = Path(SHOTS) / f"tripwire-{name}-{language}-{scheme}-{width}.png"
                page.screenshot(path=str(path), full_page=True)
            if name in ("why", "firing"):
                room = page.locator(".tripwire").bounding_box()
                assert room["x"] + room["width"] <= width
                assert page.locator(".plot").first.is_visible()
        if name in ("why", "firing"):
            found = Axe().run(page, context=".tripwire")
            assert found.violations_count == 0, found.generate_report()
    page.context.close()
    assert said == []

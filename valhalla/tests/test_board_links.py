"""Every number of the board is that of the rows behind it: each tile, link and light is followed."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.test import Client

from buyers.services import record_feedback
from followups.models import FollowUpTask
from followups.tests.factories import LeadFactory
from governance.core.actors import Actor
from governance.core.places import Place
from governance.kpi.services import emit_kpi
from governance.models import RiskThrottle
from governance.outbox.switching import switch_job
from governance.risk.services import reserve_exposure, throttle
from governance.tests.factories import AreaCodeListFactory, AreaCodeStatementFactory
from governance.tests.tripping import SLA, happen_daily, look_on, watch
from governance.tripwire.models import RegressionPolicy, RegressionState
from valhalla.schedules import make_missing
from valhalla.tasks import take_figures
from valhalla.testing import ClientResponse, make_by, make_person

pytestmark = pytest.mark.django_db

AT = datetime(2026, 11, 24, 17, 0, tzinfo=UTC)
SYSTEM = Actor.system("test")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture(autouse=True)
def clock() -> Iterator[None]:
    with time_machine.travel(AT, tick=False):
        yield


def task(**columns: Any) -> FollowUpTask:
    defaults = {
        "lead": LeadFactory(status="WORKING"), "kind": "CALLBACK", "channel": "CALL", "province": "ON",
        "market_key": "ALL", "zone": "America/Toronto", "scheduled_for": AT, "created_at": AT,
        "is_current": True,
    }  # fmt: skip
    return FollowUpTask.objects.create(**{**defaults, **columns})


def work() -> None:
    """Plant tasks, of each kind that a tile counts and of those that look alike and are not counted."""
    make_person("VA", "amara")
    late = {"due_at": AT - 5 * HOUR, "sla_2h_at": AT - 3 * HOUR}
    task(due_at=AT - HOUR, sla_2h_at=AT + HOUR, owner="Amara", owner_key="amara")
    for _n in range(2):
        task(**late)
    task(**late, snoozed_until=AT + HOUR)
    task(**late, is_current=False)
    task(**late, owner="Left", owner_key="left")
    task(due_at=AT + DAY, owner="Left", owner_key="left", is_current=False)
    task(due_at=AT + DAY, owner="Gone", owner_key="gone")
    for reason in ("no_windows_defined", "no_windows_defined", "person_active"):
        task(due_at=None, held_reason=reason)
    done = {
        "is_current": False,
        "status": "COMPLETED",
        "outcome": "SENT",
        "owner": "Left",
        "owner_key": "left",
    }
    for minutes in (30, 200, 90):
        due = AT - DAY
        task(
            due_at=due,
            sla_2h_at=due + 2 * HOUR,
            completed_at=due + timedelta(minutes=minutes),
            response_minutes=minutes,
            **done,
        )
    for status in ("NEW", "NOT_NOW", "WON"):
        LeadFactory(status=status)


def happened() -> None:
    """Plant events: well and badly, too old, corrected, and of another domain with the same name."""
    for metric, good, bad in (
        ("contact_compliance", 4, 1),
        ("offer_accept_rate", 2, 2),
        ("contract_rate", 1, 2),
    ):
        for number in range(good + bad):
            emit_kpi("WHOLESALE", metric, by=SYSTEM, at=AT - DAY, success=number < good)
        emit_kpi("WHOLESALE", metric, by=SYSTEM, at=AT - 31 * DAY, success=True)
        emit_kpi("WHOLESALE", metric, by=SYSTEM, at=AT - DAY)
        emit_kpi("CAPITAL", metric, by=SYSTEM, at=AT - DAY, success=False)
        wrong = emit_kpi("WHOLESALE", metric, by=SYSTEM, at=AT - DAY, success=True)
        emit_kpi("WHOLESALE", metric, by=SYSTEM, at=AT, success=False, detail={"corrects": wrong})
    by = make_by("MANAGER")
    for number, event in enumerate(["RESPONDED", "RESPONDED", "NO_RESPONSE", "BOUGHT", "PASSED"]):
        for kind, market, at in (
            ("SFR", "TORONTO", AT),
            ("CONDO", "TORONTO", AT),
            ("SFR", "LONDON", AT - 31 * DAY),
        ):
            record_feedback(
                Place("ON", market),
                kind,
                event,
                buyer_id=f"B{number}",
                deal_id=f"{kind}{market}{number}",
                by=by,
                at=at,
            )


def controls() -> None:
    """Plant throttles, caps in use, lists that end, a paused job, and more tripwires than have a tile."""
    assert reserve_exposure("WHOLESALE", Decimal(900), by=make_by("MANAGER"), at=AT).ok
    assert reserve_exposure("CAPITAL", Decimal(12_750), by=make_by("MANAGER"), at=AT).ok  # 85 %
    throttle("WHOLESALE", "WHOLESALE/followup_sla", by=SYSTEM, at=AT)
    throttle("NOTIFY", "NOTIFY/y", by=SYSTEM, at=AT)
    throttle("NOTIFY", "NOTIFY/x", by=SYSTEM, at=AT - DAY)
    RiskThrottle.objects.filter(tripwire="NOTIFY/x").update(released_at=AT, released_by="mona", reason="x")
    watch()
    look_on(happen_daily(SLA, [(18, 2)] * 20 + [(16, 4)] * 5))
    for number in range(14):
        policy = RegressionPolicy.objects.create(
            domain="NOTIFY", metric=f"m{number}", enabled=True, changed_by="t", updated_at=AT
        )
        RegressionState.objects.create(policy=policy, starts_at=AT)
    make_missing(AT)
    for code, days in (("416", 24), ("604", 32), ("514", 23), ("418", 40)):
        AreaCodeListFactory.create(area_code=code, list_date=(AT - days * DAY).date())
    AreaCodeStatementFactory.create(area_code="418")  # only exempt numbers are called there
    switch_job("buyers.refresh_activity", paused=True, by=make_by("MANAGER"), at=AT, reason="stock-taking")


@dataclass(frozen=True)
class Seen:
    """A tile as it is on the page."""

    title: str
    light: str
    figure: str
    url: str
    text: str


def tiles_of(page: str) -> list[Seen]:
    found = []
    for light, tile in re.findall(r'<li class="tile (\w+)">(.*?)</li>', page, re.DOTALL):
        url, title = re.findall(r'<h3><a href="([^"]+)">(.*?)</a></h3>', tile)[0]
        (figure,) = re.findall(r'<p class="figure">(.*?)</p>', tile)
        text = " ".join(re.sub(r"<[^>]+>", " ", tile).split())
        found.append(Seen(*map(html.unescape, (title, light, figure, url, text))))
    return found


def rows(answer: ClientResponse) -> int:
    return int(answer.context["cl"].result_count)


def number_in(text: str) -> int:
    (found,) = re.findall(r"[\d,]+", text)[:1]
    return int(found.replace(",", ""))


def is_count(tile: Seen, answer: Any) -> None:
    assert rows(answer) == number_in(tile.figure)
    assert rows(answer) > 0, "this proves nothing"


def rate_of(good: Callable[[Any], Any]) -> Callable[[Seen, Any], None]:
    """Return what holds for a rate: the rows are those it counts, and make the same rate."""

    def holds(tile: Seen, answer: Any) -> None:
        found = answer.context["cl"].queryset
        told = re.findall(r"of (?:the newest )?(\d+) ", tile.text)
        assert [str(rows(answer))] == told[:1], tile
        share = Decimal(100 * good(found).count()) / found.count()
        assert 0 < share < 100, "this proves nothing"
        assert tile.figure == f"{share.quantize(Decimal('0.1')).normalize():f}\u00a0%"

    return holds


def sla(tile: Seen, answer: Any) -> None:
    found = answer.context["cl"].queryset
    assert f"of the newest {rows(answer)} due tasks" in tile.text
    done = [row for row in found if row.status == "COMPLETED"]
    late = [row for row in found if row.status == "OPEN" and row.sla_2h_at < AT]
    within = [row for row in done if row.completed_at <= row.sla_2h_at]
    assert within, "this proves nothing"
    share = Decimal(100 * len(within)) / (len(done) + len(late))
    assert tile.figure == f"{share.quantize(Decimal('0.1')).normalize():f}\u00a0%"


def lines(heading: str) -> Callable[[Seen, object], None]:
    """Return what holds where a page lists what the tile counts under a heading."""

    def holds(tile: Seen, answer: Any) -> None:
        section = re.findall(rf'<h2 id="{heading}">.*?</section>', answer.content.decode(), re.DOTALL)[0]
        listed = len(re.findall(r'<li class="(?:bad|watch)">', section))
        assert listed == number_in(tile.figure) > 0

    return holds


def tripwire(tile: Seen, answer: ClientResponse) -> None:
    page = html.unescape(answer.content.decode())
    (light,) = re.findall(r'<section class="card (\w*)" id="verdict">', page)
    assert tile.light == (light or "unknown")
    assert tile.figure in page or tile.figure == "–", "nothing to compare yet"


def gauges(tile: Seen, answer: Any) -> None:
    page = html.unescape(answer.content.decode())
    cards = re.findall(r'<li class="tile (\w+)">\s*<h3>(\w+)(.*?)</li>', page, re.DOTALL)
    ((light, card),) = [(light, card) for light, title, card in cards if title == tile.title]
    if tile.light == "plain":
        assert light == "unknown"
        return
    assert light == tile.light, tile
    (used,) = re.findall(r"([\d,.]+ of [\d,.]+):", tile.text)
    assert used in card


COUNTS = {
    "Throttles", "Due now", "More than 2 allowed hours late", "Blocked: no permitted contact time",
    "Waiting for another lead", "Leads without a next step", "Tasks with an unknown owner", "All tripwires",
    "Do-not-call lists that end within 7 days",
}  # fmt: skip
SUCCESSES = rate_of(lambda found: found.filter(success=True))
BEHIND: dict[str, Callable[[Seen, object], None]] = {
    **dict.fromkeys(COUNTS, is_count),
    "Go-live": lambda tile, answer: None,  # test_standing.py
    "Runbook": lines("blockers"),
    "Jobs": lines("paused"),
    "Follow-ups within 2 hours": sla,
    "Contact compliance": SUCCESSES,
    "Offers accepted": SUCCESSES,
    "Accepted offers that become a contract": SUCCESSES,
    "Buyers who respond": rate_of(lambda found: found.filter(event="RESPONDED")),
    **dict.fromkeys(("GLOBAL", "WHOLESALE", "CAPITAL", "NOTIFY"), gauges),
}


@pytest.fixture
def everything() -> None:
    work()
    happened()
    controls()
    take_figures()


def client_of(role: str) -> Client:
    client = Client()
    client.force_login(make_person(role))
    return client


def test_every_tile_link_and_light_says_what_is_behind_it(everything: None) -> None:
    client = client_of("MANAGER")
    page = client.get("/admin/").content.decode()
    seen = tiles_of(page)
    assert {tile.title for tile in seen} >= set(BEHIND), "a tile is missing, or has no test"
    assert [tile.figure for tile in seen if tile.title == "NOTIFY/m0"] == ["–"]
    assert "80\u00a0%" in {tile.figure for tile in seen if "Before: 90 %" in tile.text}
    wrong = []
    for tile in seen:
        answer = client.get(tile.url, follow=True)
        assert answer.status_code == 200, tile
        of_state = re.search(r"/regressionstate/\d+/", tile.url)
        check = tripwire if of_state else BEHIND[tile.title]
        try:
            check(tile, answer)
        except AssertionError as problem:
            wrong.append(f"{tile.title} {tile.figure} {tile.url}: {str(problem)[:200]}")
    assert wrong == []


def links_in(page: str) -> set[str]:
    content = page[page.index('<div class="board">') :]
    return {html.unescape(url) for url in re.findall(r'href="(/[^"]*)"', content)}


def test_an_auditor_sees_the_board_of_a_manager_and_opens_every_screen_it_leads_to(everything: None) -> None:
    auditor = client_of("AUDITOR")
    page, managers = (client.get("/admin/").content.decode() for client in (auditor, client_of("MANAGER")))
    assert tiles_of(page) == tiles_of(managers)
    assert links_in(page) <= links_in(managers)
    screens = {url.partition("?")[0] for url in (*links_in(page), *(tile.url for tile in tiles_of(page)))}
    assert len(screens) > 5
    for screen in screens:
        assert auditor.get(screen, follow=True).status_code == 200, screen


def test_what_waits_beside_a_screen_and_behind_a_province_is_what_its_link_lists(everything: None) -> None:
    client = client_of("MANAGER")
    answer = client.get("/admin/")
    items = [
        item
        for section in answer.context["sidebar_navigation"]
        for item in section["items"]
        if item.get("badge")
    ]
    assert len(items) == 3
    for item in items:
        assert rows(client.get(item["link"])) == number_in(item["badge"]) > 0, item
    page = answer.content.decode()
    provinces = re.findall(
        r'<th scope="row"><a href="([^"]+)">.*?</a></th>\s*<td class="number">.*?</td>\s*'
        r'<td class="number">(\d+)</td>\s*<td class="number">(\d+)</td>',
        page,
        re.DOTALL,
    )
    assert len(provinces) == 13
    for url, markets, answers in provinces:
        listed = client.get(html.unescape(url))
        assert rows(listed) == int(markets), url
        assert sum(node.events for node in listed.context["cl"].queryset) == int(answers), url
    assert sum(int(markets) for _url, markets, _answers in provinces) == 3
    for url in links_in(page):
        assert client.get(url, follow=True).status_code == 200, url


@pytest.mark.parametrize("role", ["CLOSER", "VA"])
def test_who_has_no_board_gets_none_and_every_link_of_their_own_page_opens(
    role: str, everything: None
) -> None:
    client = client_of(role)
    board = client.get("/admin/", follow=True)
    assert 'class="board"' not in board.content.decode()
    page = client.get("/", follow=True)
    assert page.request["PATH_INFO"] == "/followups/"
    links = {html.unescape(url) for url in re.findall(r'href="(/[^"#]*)"', page.content.decode())}
    assert len(links) > 5
    for url in sorted(links):
        if not url.startswith("/static/"):
            assert client.get(url, follow=True).status_code == 200, url


def test_a_metric_without_its_domain_still_narrows_the_list(everything: None) -> None:
    answer = client_of("MANAGER").get("/admin/governance/kpievent/?metric__exact=contract_rate")
    assert {event.metric for event in answer.context["cl"].queryset} == {"contract_rate"}

"""The operations board: what it shows, beside which target, and what it costs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from followups.models import FollowUpTask
from followups.tests.factories import LeadFactory
from governance.core.actors import Actor, Role
from governance.golive.services import set_kill_switch, state
from governance.kpi.figures import keep_figures, take_figures
from governance.kpi.querysets import figures, rate_since
from governance.kpi.services import emit_kpi
from governance.models import Figure, User
from governance.risk.services import reserve_exposure, throttle
from governance.tests.factories import AreaCodeListFactory
from governance.tests.tripping import SLA, happen_daily, look_on, watch
from governance.tripwire.models import RegressionPolicy, RegressionState
from governance.tripwire.querysets import standing_tripwires
from valhalla.pages.board import Tile, board_at
from valhalla.schedules import make_missing
from valhalla.tasks import take_figures as job

pytestmark = [pytest.mark.both, pytest.mark.django_db]

AT = datetime(2026, 11, 24, 17, 0, tzinfo=UTC)
SYSTEM = Actor.system("test")


def task(**columns: Any) -> FollowUpTask:
    """Make an open task that is its lead's current one."""
    lead = LeadFactory()
    return FollowUpTask.objects.create(
        **{
            "lead": lead, "kind": "CALLBACK", "channel": "CALL", "province": "ON", "market_key": "ALL",
            "scheduled_for": AT, "created_at": AT, "is_current": True, **columns,
        }
    )  # fmt: skip


def tiles(at: datetime = AT) -> dict[str, Tile]:
    return {tile.title: tile for section in board_at(at, state())["sections"] for tile in section.tiles}


def test_what_was_never_counted_is_unknown_and_never_good() -> None:
    for title in ("Follow-ups within 2 hours", "Leads without a next step", "Offers accepted"):
        assert tiles()[title].state == "unknown"
        assert tiles()[title].figure == "–"


def test_a_rate_stands_beside_its_target_with_what_is_missing() -> None:
    keep_figures({"followup_sla": {"value": 0.75, "counted": 400}}, AT)
    tile = tiles()["Follow-ups within 2 hours"]
    assert (tile.figure, tile.state) == ("75\u00a0%", "bad")
    assert tile.says == "15 points below"
    assert "90" in tile.target
    keep_figures({"followup_sla": {"value": 0.9, "counted": 400}}, AT + timedelta(minutes=5))
    assert tiles()["Follow-ups within 2 hours"].state == "good"


def test_a_rate_of_nothing_is_not_good() -> None:
    keep_figures({"buyer_response": {"value": None, "counted": 0}}, AT)
    assert tiles()["Buyers who respond"].state == "unknown"


def test_due_late_and_held_tasks_are_counted_at_once() -> None:
    task(due_at=AT - timedelta(minutes=5), sla_2h_at=AT + timedelta(minutes=115))
    task(due_at=AT - timedelta(hours=5), sla_2h_at=AT - timedelta(hours=3))
    task(due_at=AT + timedelta(hours=5), sla_2h_at=AT + timedelta(hours=7))
    task(due_at=None, held_reason="no_windows_defined")
    found = tiles()
    assert found["Due now"].figure == "2"
    assert (
        found["More than 2 allowed hours late"].figure,
        found["More than 2 allowed hours late"].state,
    ) == ("1", "bad")
    assert (
        found["Blocked: no permitted contact time"].figure,
        found["Blocked: no permitted contact time"].state,
    ) == (
        "1",
        "watch",
    )


def test_lists_that_end_soon_are_counted_with_their_area_codes(client: Client, person: Any) -> None:
    title = "Do-not-call lists that end within 7 days"
    assert (tiles()[title].figure, tiles()[title].state) == ("0", "good")
    AreaCodeListFactory.create(area_code="604", list_date=date(2026, 11, 23))
    AreaCodeListFactory.create(area_code="416", list_date=date(2026, 10, 31))
    tile = tiles()[title]
    assert (tile.figure, tile.state, tile.note) == ("1", "watch", "Import newer lists: 416")
    AreaCodeListFactory.create(area_code="514", list_date=date(2026, 10, 23))
    tile = tiles()[title]
    assert (tile.figure, tile.state) == ("2", "bad")
    assert tile.note.endswith("514, 416")
    client.force_login(person(Role.MANAGER, "mona"))
    with time_machine.travel(AT, tick=False):
        page = client.get(tile.url)
    assert [row.area_code for row in page.context["cl"].result_list] == ["514", "416"]
    assert "too old: calls are blocked" in page.content.decode()


def test_nobodys_leads_and_tasks_with_an_unknown_owner_are_counted_by_the_job(
    person: Callable[..., User],
) -> None:
    person(Role.VA, "amara")
    LeadFactory(status="NEW")
    task(owner="AMARA", owner_key="amara", due_at=AT)
    for _n in range(2):
        task(owner="Somebody who left", owner_key="somebody who left", due_at=AT)
    take_figures(AT)
    found = tiles()
    assert found["Leads without a next step"].figure == "1"
    assert found["Tasks with an unknown owner"].figure == "2"
    assert "1 owner is not an active user" in found["Tasks with an unknown owner"].note


def test_a_corrected_event_counts_as_what_it_was_corrected_to() -> None:
    emit_kpi("WHOLESALE", "offer_accept_rate", by=SYSTEM, at=AT, success=True)
    wrong = emit_kpi("WHOLESALE", "offer_accept_rate", by=SYSTEM, at=AT, success=True)
    emit_kpi("WHOLESALE", "offer_accept_rate", by=SYSTEM, at=AT, success=False, detail={"corrects": wrong})
    rate = rate_since("WHOLESALE", "offer_accept_rate", AT - timedelta(days=30))
    assert (rate.good, rate.counted) == (1, 2)


def test_an_older_count_never_takes_the_place_of_a_newer_one() -> None:
    keep_figures({"nobodys_leads": 5}, AT)
    keep_figures({"nobodys_leads": 9}, AT - timedelta(minutes=5))
    assert figures()["nobodys_leads"].value == 5


def test_the_kill_switch_is_the_first_thing_seen(by: Callable[..., Actor], settings: Settings) -> None:
    settings.GO_LIVE_ENFORCE = True
    set_kill_switch(True, by=by(Role.MANAGER), at=AT, reason="Wrong list")
    first = board_at(AT, state())["sections"][0].tiles[0]
    assert (first.figure, first.state) == ("Kill switch engaged", "bad")


def test_an_enforced_go_live_that_is_off_says_that_nobody_is_contacted(settings: Settings) -> None:
    settings.GO_LIVE_ENFORCE = True
    assert tiles()["Go-live"].note.startswith("Go-live is off: nobody is contacted.")


@pytest.mark.parametrize(
    ("blockers", "warnings", "told"),
    [
        (0, 0, ("Clear", "good", "")),
        (0, 2, ("Clear", "watch", "2 warnings.")),
        (1, 0, ("1 blocker", "bad", "")),
        (3, 1, ("3 blockers", "bad", "1 warning.")),
    ],
)
def test_the_runbooks_light_is_the_worst_that_it_found(
    blockers: int, warnings: int, told: tuple[str, str, str]
) -> None:
    assert tiles()["Runbook"].state == "unknown"
    keep_figures({"runbook": {"blockers": blockers, "warnings": warnings}}, AT)
    tile = tiles()["Runbook"]
    assert (tile.figure, tile.state, tile.note) == told
    assert tile.url == "/admin/governance/runbook/"


def test_a_tripwire_stands_beside_what_was_and_what_counts_as_a_drop() -> None:
    watch()
    look_on(happen_daily(SLA, [(18, 2)] * 20 + [(16, 4)] * 5))
    steady = tripwire_tiles()["Follow-ups within 2 hours"]
    assert (steady.figure, steady.state, steady.says, steady.target) == (
        "80\xa0%",
        "good",
        "steady",
        "Before: 90\xa0%, limit: 72\xa0%",
    )
    assert (steady.share, steady.aim) == (0.8, "72.0")
    assert steady.note.startswith("At this volume the smallest drop it can detect is")


def test_tripwires_come_with_the_gravest_first_and_the_many_in_one() -> None:
    fired = RegressionState.objects.get(policy__metric="roi_event")
    RegressionState.objects.filter(pk=fired.pk).update(triggered=True, last_triggered=AT)
    RegressionState.objects.filter(policy__metric="offer_generated").update(verdict="WARNING")
    first, second, *others = tripwire_tiles().items()
    assert (first[0], first[1].state, first[1].url) == (
        "Return on capital",
        "bad",
        f"/admin/governance/regressionstate/{fired.pk}/change/",
    )
    assert (second[0], second[1].state, {tile.state for _title, tile in others}) == (
        "Offers computed",
        "watch",
        {"unknown"},
    )
    for number in range(10):
        policy = RegressionPolicy.objects.create(
            domain="NOTIFY", metric=f"m{number}", enabled=True, changed_by="t", updated_at=AT
        )
        RegressionState.objects.create(policy=policy, starts_at=AT)
    assert len(tripwire_tiles()) == 13
    assert (tripwire_tiles()["All tripwires"].figure, tripwire_tiles()["All tripwires"].note) == (
        "16",
        "4 more are watching.",
    )


def test_a_board_without_tripwires_says_so() -> None:
    RegressionPolicy.objects.update(enabled=False)
    assert tripwire_tiles()["Tripwires"].note == "No tripwire is watching a metric."


def tripwire_tiles() -> dict[str, Tile]:
    board = board_at(AT, state(), standing_tripwires())
    (section,) = [section for section in board["sections"] if section.title == "Tripwires"]
    return {tile.title: tile for tile in section.tiles}


def test_every_province_has_its_line_also_without_a_market() -> None:
    take_figures(AT)
    rows = board_at(AT, state())["liquidity"]
    assert len(rows) == 13
    assert {row["best"] for row in rows} == {"–"}
    assert len({(row["x"], row["y"]) for row in rows}) == 13, "two tiles lie on each other"


def test_the_map_shades_the_hottest_province_darkest_and_says_which_it_is(
    client: Client, person: Callable[..., User]
) -> None:
    rows = [("ON", 60.0), ("QC", 31.0), ("BC", 2.5)]
    counted = [{"province": code, "best": best, "markets": 1, "answers": 9} for code, best in rows]
    keep_figures({"liquidity": counted}, timezone.now())
    board = board_at(timezone.now(), state())
    shades = {row["code"]: row["shade"] for row in board["liquidity"]}
    assert (shades["ON"], shades["QC"], shades["BC"], shades["YT"]) == (4, 3, 1, 0)
    client.force_login(person(Role.AUDITOR))
    page = client.get("/admin/").content.decode()
    assert "The hottest market is in Ontario, with a cautious score of 60.0." in page
    assert "10 provinces and territories have no market with a score yet." in page
    assert "<title>Quebec: 31.0</title>" in page


def test_old_figures_are_called_old(client: Client, person: Callable[..., User]) -> None:
    client.force_login(person(Role.MANAGER))
    keep_figures({"nobodys_leads": 0}, timezone.now() - timedelta(hours=1))
    assert "This is out of date" in client.get("/admin/").content.decode()
    keep_figures({"nobodys_leads": 0}, timezone.now())
    assert "This is out of date" not in client.get("/admin/").content.decode()


def test_admin_opens_on_the_board_for_manager_and_auditor_in_their_language(
    client: Client, person: Callable[..., User]
) -> None:
    for role in (Role.MANAGER, Role.AUDITOR):
        client.force_login(person(role))
        assert "Open work" in client.get("/admin/").content.decode()
    page = client.get("/admin/", headers={"Accept-Language": "fr"}).content.decode()
    assert "Travail à faire" in page


@pytest.mark.parametrize("tasks", [1, 40])
def test_the_board_costs_the_same_queries_however_much_there_is(
    client: Client, person: Callable[..., User], django_assert_num_queries: DjangoAssertNumQueries, tasks: int
) -> None:
    client.force_login(person(Role.MANAGER))
    for _n in range(tasks):
        task(due_at=timezone.now() - timedelta(hours=1))
    take_figures(timezone.now())
    client.get("/admin/")
    # session, person, go-live, figures, targets, do-not-call lists, due and late, held;
    # of risk engines, day, throttles, policies; and the tripwires
    with django_assert_num_queries(14):
        client.get("/admin/")


def test_the_job_counts_every_figure_that_the_board_asks_for() -> None:
    make_missing(timezone.now())
    job()
    asked = set(figures())
    assert {
        "nobodys_leads", "owners_nobody", "tasks_of_nobody", "followup_sla", "lookup_bursts",
        "contact_compliance", "buyer_response", "liquidity", "offers_computed", "offer_accept_rate",
        "contract_rate", "runbook",
    } <= asked  # fmt: skip
    assert Figure.objects.count() == len(asked)
    assert all(tile.figure != "" for tile in tiles(timezone.now()).values())


def test_a_backlog_longer_than_ten_thousand_is_not_counted_to_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("followups.services.figures.COUNTED_TO", 2)
    monkeypatch.setattr("valhalla.pages.board.COUNTED_TO", 2)
    for _n in range(4):
        task(due_at=AT - timedelta(hours=1))
    task(due_at=AT - timedelta(hours=4), sla_2h_at=AT - timedelta(hours=2))
    assert tiles()["Due now"].figure == "more than 2"
    assert tiles()["More than 2 allowed hours late"].figure == "at least 1"


def test_risk_shows_the_cap_that_is_met_first(by: Callable[..., Actor]) -> None:
    assert tiles()["WHOLESALE"].figure == "0\u00a0%"
    assert tiles()["NOTIFY"].note == "Nothing is reserved for it: its policy is off."
    reserved = reserve_exposure("WHOLESALE", Decimal(18_000), by=by(Role.MANAGER), at=AT)
    assert reserved.ok
    found = tiles()
    # of 20,000 that WHOLESALE may lose a day
    assert (found["WHOLESALE"].figure, found["WHOLESALE"].state) == ("90\u00a0%", "watch")
    assert "18,000 of 20,000" in found["WHOLESALE"].note
    assert found["GLOBAL"].figure == "72\u00a0%"


def test_an_open_throttle_misses_its_target_and_names_its_tripwire(by: Callable[..., Actor]) -> None:
    assert tiles()["Throttles"].state == "good"
    throttle("WHOLESALE", "WHOLESALE/followup_sla", by=SYSTEM, at=AT)
    found = tiles()["Throttles"]
    assert (found.figure, found.state) == ("1", "bad")
    assert "WHOLESALE/followup_sla" in found.note

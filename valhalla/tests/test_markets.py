"""A market has one spelling, wherever it is stored, listed, grouped or exported."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import time_machine
from django.apps import apps
from django.db import connection
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from buyers.models import BuyerLiquidityNode
from followups.intake.services import import_leads
from followups.models import LadderTemplate, Lead
from followups.pages.card import where
from followups.services.templates import save_template
from followups.tests.scenes import NOW
from governance.core.places import Place, fold
from governance.kpi.models import KpiEvent
from governance.market.models import MarketName, MarketPolicy
from governance.market.names import spelled, spellings
from offers.models import OfferEvidence, OfferPolicy
from offers.tests.factories import switch_on
from valhalla.tasks import take_figures
from valhalla.testing import at_once, make_by, make_client, make_person

pytestmark = [pytest.mark.both, pytest.mark.django_db]

CITY = ("Montréal", "MONTREAL", " montreal ")  # the table of cities writes MONTRÉAL
AREA = ("Côte-Nord Ouest", "COTE-NORD OUEST", "cote-nord  ouest")  # no city: the first spelling counts
PAGES = (
    "/admin/followups/lead/",
    "/admin/offers/offerevidence/",
    "/admin/offers/offerpolicy/",
    "/admin/buyers/buyerliquiditynode/",
    "/admin/buyers/buyerfeedbackevent/",
    "/admin/governance/marketpolicy/",
    "/admin/governance/marketname/",
    "/admin/followups/laddertemplate/",
    "/admin/figures/",
)
LISTS = (
    "/api/followups/leads",
    "/api/deals/offers/evidence",
    "/api/deals/offers/policies",
    "/api/buyers/liquidity/nodes",
    "/api/buyers/feedback-events",
    "/api/governance/market/policies",
)


@pytest.fixture(autouse=True)
def clock() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


def store_everywhere(spellings: tuple[str, str, str], tmp_path: Path) -> None:
    """Name a market through every entry point that stores one, each time in another spelling."""
    first, second, third = spellings
    client = make_client("MANAGER")

    def post(path: str, **body: Any) -> None:
        answer = client.post(path, body, format="json")
        assert answer.status_code in (200, 201), answer.content

    for number, market in enumerate(spellings):
        place = {"province": "QC", "market": market}
        post("/api/followups/ladder/create", lead_id=f"L-{number}", city="Lévis", **place)
        kind = ("SFR", "CONDO", "TOWNHOUSE")[number]
        post(
            "/api/buyers/liquidity/feedback",
            event="RESPONDED",
            buyer_id=f"B-{number}",
            property_type=kind,
            **place,
        )
    post("/api/governance/market/policies/upsert", province="QC", market=second, enabled=True)
    post("/api/deals/offers/policies/upsert", province="QC", market=third, enabled=True)
    for market in spellings:
        post("/api/deals/offers/compute", province="QC", market=market, arv=450_000, repairs=50_000)
    save_template("QC", first, by=make_by("MANAGER"), at=NOW, enabled=True, steps=steps(), reason="x")
    sheet = tmp_path / "leads.csv"
    sheet.write_text(f"Lead ID,Full Name,Phone,Prov/Territory,City\nW-1,Anne Roy,514-555-0101,QC,{second}\n")
    import_leads(sheet, by=make_by("MANAGER"), at=NOW)


def steps() -> Any:
    return LadderTemplate.objects.get(province="").steps


def written_in(text: str, key: str) -> set[str]:
    """Return the ways in which a text writes the market, letter case aside."""
    plain = html.unescape(text).replace("\\u00c9", "É").replace("\\u00d4", "Ô")
    pattern = key.replace("E", "[EÉ]").replace("O", "[OÔ]")
    return {found.upper() for found in re.findall(pattern, plain, re.IGNORECASE)}


@pytest.mark.parametrize(
    ("spellings", "key", "name"),
    [
        (CITY, "MONTREAL", "MONTRÉAL"),
        (CITY[1:] + CITY[:1], "MONTREAL", "MONTRÉAL"),
        (AREA, "COTE-NORD OUEST", "CÔTE-NORD OUEST"),
        (AREA[1:] + AREA[:1], "COTE-NORD OUEST", "COTE-NORD OUEST"),
    ],
)
def test_a_market_is_written_one_way_everywhere(
    spellings: tuple[str, str, str], key: str, name: str, tmp_path: Path
) -> None:
    switch_on(Place("QC"))
    store_everywhere(spellings, tmp_path)
    take_figures()
    for model in (Lead, BuyerLiquidityNode, MarketPolicy, OfferPolicy, OfferEvidence, MarketName):
        rows = set(model._default_manager.filter(market_key=key).values_list("market", flat=True))
        assert rows == {name}, model
    told = [event.detail["market"] for event in KpiEvent.objects.filter(metric="buyer_feedback")]
    assert told == [name] * 3
    manager, client = Client(), make_client("MANAGER")
    manager.force_login(make_person("MANAGER"))
    for page in PAGES:
        answer = manager.get(page)
        assert answer.status_code == 200, page
        # a lead's city is told as it came
        text = re.sub(r"<td[^>]*field-city.*?</td>", "", answer.content.decode(), flags=re.DOTALL)
        assert written_in(text, key) == {name}, page
    for path in LISTS:
        listed = client.get(path)
        assert listed.status_code == 200, path
        text = re.sub(r'"city":"[^"]*"', "", listed.content.decode())
        assert written_in(text, key) == {name}, path


def test_a_kept_evidence_shows_the_name_though_it_holds_another_spelling() -> None:
    switch_on(Place("QC"))
    client = make_client("MANAGER")
    body = {"province": "QC", "market": "Laval Ouest", "arv": 450_000, "repairs": 50_000}
    evidence = client.post("/api/deals/offers/compute", body, format="json").json()["evidence_id"]
    MarketName.objects.update(market="LÀVAL OUEST")  # as if it had been computed before there were names
    manager = Client()
    manager.force_login(make_person("MANAGER"))
    for text in (
        manager.get("/admin/offers/offerevidence/").content.decode(),
        manager.get(f"/admin/offers/offerevidence/{evidence}/change/").content.decode(),
        client.get(f"/api/deals/offers/evidence/{evidence}").content.decode(),
    ):
        assert "LÀVAL OUEST" in text
        assert "LAVAL OUEST" not in text


def test_a_dry_run_stores_no_name() -> None:
    switch_on(Place("QC"))
    body = {"province": "QC", "market": "Laval Ouest", "arv": 450_000, "repairs": 50_000, "dry_run": True}
    assert make_client("MANAGER").post("/api/deals/offers/compute", body, format="json").status_code == 200
    assert not MarketName.objects.exists()


def test_city_and_market_of_one_name_are_told_once() -> None:
    assert where("QC", "MONTREAL", "Montréal") == where("QC", "MONTRÉAL", "Montréal")
    assert "Montreal" not in where("QC", "MONTREAL", "Montréal")


def test_rows_of_before_take_the_name_in_the_migration() -> None:
    from importlib import import_module

    migration = import_module("governance.migrations.0036_one_spelling_per_market")
    at = {"created_at": NOW, "updated_at": NOW}
    for number, market in enumerate(("MONTREAL", "MONTRÉAL")):
        Lead.objects.create(external_id=f"L-{number}", province="QC", market=market, **at)
        BuyerLiquidityNode.objects.create(
            province="QC",
            market=market,
            property_type=("SFR", "CONDO")[number],
            active_since=NOW - timedelta(days=90),
            updated_at=NOW,
        )
        Lead.objects.create(
            external_id=f"A-{number}", province="ON", market=("NORD-EST", "NÔRD-EST")[number], **at
        )
    for _again in range(2):
        migration.unify(apps, SimpleNamespace(connection=connection))
    assert set(Lead.objects.filter(province="QC").values_list("market", flat=True)) == {"MONTRÉAL"}
    assert set(BuyerLiquidityNode.objects.values_list("market", flat=True)) == {"MONTRÉAL"}
    assert set(Lead.objects.filter(province="ON").values_list("market", flat=True)) == {"NORD-EST"}
    assert set(MarketName.objects.values_list("province", "market")) == {
        ("QC", "MONTRÉAL"),
        ("ON", "NORD-EST"),
    }


def test_many_new_markets_ask_as_many_questions_as_one(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    cities = ["Montreal", "Levis", "Quebec"]
    for places in ([Place("QC", "Laval Ouest")], [Place("QC", name) for name in [*cities, *"ABCDEFGH"]]):
        with django_assert_num_queries(4):  # what is stored, the cities, store, what is stored
            named = spellings(places, keep=True)
    assert [named["QC", fold(name)] for name in cities] == ["MONTRÉAL", "LÉVIS", "QUÉBEC"]
    assert named["QC", "A"] == "A"


@pytest.mark.django_db(transaction=True)
def test_two_spellings_that_come_together_become_one() -> None:
    def name(number: int) -> str:
        return spelled(Place("QC", ("NORD-ÉST", "NORD-EST")[number % 2])).market

    assert len(set(at_once(name, range(16), clients=8))) == 1
    assert MarketName.objects.count() == 1

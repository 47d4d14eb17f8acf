"""The admin screens: managers edit buyers, nobody edits what feedback says."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from buyers.models import Buyer, BuyerFeedbackEvent, BuyerLiquidityNode
from buyers.tests.factories import BuyerFactory, feedback
from governance.core.actors import Role
from governance.core.places import Place
from governance.models import User

pytestmark = pytest.mark.django_db
People = Callable[..., User]

SCREENS = ("buyer", "buyerliquiditynode", "buyerfeedbackevent")
TYPED = {
    "external_id": " B-1 ",
    "name": "Ana Tremblay",
    "phone": "(514) 555-0123",
    "email": "Ana@Example.com",
    "provinces": ["QC", "ON"],
    "markets": "Montréal, Lévis , montréal",
    "property_types": ["SFR"],
    "price_min": "100000",
    "price_max": "450000",
    "proof_of_funds": "",
    "proof_of_funds_on": "",
}


@pytest.fixture
def signed_in(client: Client, person: People) -> Callable[[str], Client]:
    def sign_in(role: str) -> Client:
        client.force_login(person(role))
        return client

    return sign_in


def save(client: Client, **changes: Any) -> Any:
    return client.post("/admin/buyers/buyer/add/", {**TYPED, **changes})


def test_a_manager_types_a_buyer_and_it_is_kept_normalised(signed_in: Callable[[str], Client]) -> None:
    assert save(signed_in(Role.MANAGER)).status_code == 302
    buyer = Buyer.objects.get()
    assert (buyer.external_id, buyer.phone, buyer.email) == ("B-1", "+15145550123", "ana@example.com")
    assert sorted(buyer.provinces) == ["ON", "QC"]
    assert (buyer.markets, buyer.property_types) == (["MONTRÉAL", "LÉVIS"], ["SFR"])
    assert (buyer.price_min, buyer.proof_of_funds) == (Decimal(100000), None)
    assert buyer.created_at == buyer.updated_at


def test_changing_a_buyer_keeps_when_she_was_created(signed_in: Callable[[str], Client]) -> None:
    buyer = BuyerFactory.create()
    response = signed_in(Role.MANAGER).post(
        f"/admin/buyers/buyer/{buyer.pk}/change/", {**TYPED, "name": "Eve"}
    )
    assert response.status_code == 302
    changed = Buyer.objects.get()
    assert (changed.name, changed.created_at) == ("Eve", buyer.created_at)
    assert changed.updated_at != buyer.updated_at


@pytest.mark.parametrize(
    "wrong",
    [
        {"external_id": ""}, {"external_id": "b" * 65}, {"external_id": "a\0b"}, {"phone": "call me"},
        {"email": "ana@"}, {"markets": "<b>"}, {"markets": "M" * 41}, {"provinces": ["XX"]},
        {"property_types": ["CASTLE"]}, {"price_min": "500000"}, {"price_min": "-1"}, {"price_max": "NaN"},
        {"proof_of_funds": "1e400"}, {"name": "\0"},
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_kept_is_shown_and_not_stored(
    signed_in: Callable[[str], Client], wrong: dict[str, object]
) -> None:
    assert save(signed_in(Role.MANAGER), **wrong).status_code == 200
    assert not Buyer.objects.exists()


def test_one_id_names_one_buyer(signed_in: Callable[[str], Client]) -> None:
    BuyerFactory.create(external_id="B-1")
    assert save(signed_in(Role.MANAGER)).status_code == 200
    assert Buyer.objects.count() == 1


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("role", [Role.MANAGER, Role.AUDITOR])
def test_managers_and_auditors_see_every_screen(
    signed_in: Callable[[str], Client], role: str, screen: str
) -> None:
    feedback("RESPONDED", buyer="B-1", place=Place.read("QC", "Montréal"))
    client = signed_in(role)
    for path in (f"/admin/buyers/{screen}/", f"/admin/buyers/{screen}/?q=MONTREAL"):
        assert client.get(path).status_code == 200
    row = {
        "buyer": Buyer,
        "buyerliquiditynode": BuyerLiquidityNode,
        "buyerfeedbackevent": BuyerFeedbackEvent,
    }[screen]
    page = client.get(f"/admin/buyers/{screen}/{row._default_manager.get().pk}/change/")
    assert page.status_code == 200


def test_the_node_screen_shows_its_rank_among_all_markets_in_as_many_queries_for_any_number(
    signed_in: Callable[[str], Client],
) -> None:
    client = signed_in(Role.MANAGER)

    def listed(query: str) -> tuple[int, str]:
        with CaptureQueriesContext(connection) as captured:
            page = client.get(f"/admin/buyers/buyerliquiditynode/{query}")
        return len(captured), page.content.decode()

    feedback("RESPONDED", buyer="B-1", place=Place.read("ON", "Ajax"))
    few, _page = listed("")
    for market in ("Barrie", "Cobourg", "Delta"):
        feedback("PASSED", place=Place.read("BC", market))
    many, _page = listed("")
    assert many == few
    nodes = BuyerLiquidityNode.objects.ranked()
    assert nodes.filter(province="BC").values_list("rank", flat=True).distinct().get() == 2


@pytest.mark.parametrize("screen", ["buyerliquiditynode", "buyerfeedbackevent"])
def test_nobody_changes_what_feedback_says(
    signed_in: Callable[[str], Client], person: People, screen: str
) -> None:
    feedback("RESPONDED", buyer="B-1")
    boss = person(Role.MANAGER)
    boss.is_superuser = True
    boss.save()
    client = signed_in(Role.MANAGER)
    row = {"buyerliquiditynode": BuyerLiquidityNode, "buyerfeedbackevent": BuyerFeedbackEvent}[screen]
    before = row._default_manager.values().get()
    for path in ("add/", f"{before['id']}/delete/", f"{before['id']}/change/"):
        assert (
            client.post(f"/admin/buyers/{screen}/{path}", {"post": "yes", "event": "PASSED"}).status_code
            == 403
        )
    assert row._default_manager.values().get() == before


def test_an_auditor_changes_no_buyer_and_a_buyer_is_never_deleted(
    signed_in: Callable[[str], Client],
) -> None:
    buyer = BuyerFactory.create()
    assert save(signed_in(Role.AUDITOR)).status_code == 403
    assert (
        signed_in(Role.MANAGER).post(f"/admin/buyers/buyer/{buyer.pk}/delete/", {"post": "yes"}).status_code
        == 403
    )
    assert Buyer.objects.get() == buyer

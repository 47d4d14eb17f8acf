"""Recording feedback: what counts, what is a repeat, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from buyers.models import Buyer, BuyerActivity, BuyerFeedbackEvent, BuyerLiquidityNode
from buyers.services import liquidity_score, rebuild_liquidity, record_feedback
from buyers.tests.factories import ANYBODY, AT, TORONTO, BuyerFactory, feedback
from governance.core import hooks
from governance.core.actors import Actor, Role
from governance.core.append_only import Unchangeable
from governance.core.errors import Forbidden, Invalid, Unavailable
from governance.core.places import Place
from governance.models import KpiEvent

pytestmark = [pytest.mark.both, pytest.mark.django_db]


def kpis() -> list[tuple[str, str, bool | None]]:
    return list(KpiEvent.objects.order_by("pk").values_list("domain", "metric", "success"))


def differences(**options: Any) -> list[str]:
    return [str(found) for found in rebuild_liquidity(by=ANYBODY, at=AT, **options).differences]


def test_the_first_feedback_makes_the_node_and_a_bare_buyer() -> None:
    recorded = feedback("RESPONDED", buyer="B-1")
    assert recorded.node == BuyerLiquidityNode.objects.get()
    assert (recorded.node.responded, recorded.node.buyer_count, recorded.node.active_buyer_count) == (1, 1, 1)
    assert recorded.node.score == Decimal("50.5")
    assert Buyer.objects.get().external_id == "B-1"
    assert kpis() == [("BUYER_MATCH", "buyer_feedback", True)]


def test_what_is_answered_is_what_is_stored() -> None:
    for event in ("RESPONDED", "NO_RESPONSE", "BOUGHT", "PASSED"):
        answered = feedback(event, buyer="B-1").node
        stored = BuyerLiquidityNode.objects.get()
        for field in BuyerLiquidityNode._meta.concrete_fields:
            assert getattr(answered, field.name) == getattr(stored, field.name), field.name


@pytest.mark.parametrize(
    ("event", "success"), [("RESPONDED", True), ("NO_RESPONSE", False), ("BOUGHT", True), ("PASSED", True)]
)
def test_every_kind_of_feedback_is_one_kpi_event(event: str, success: bool) -> None:
    feedback(event)
    assert kpis() == [("BUYER_MATCH", "buyer_feedback", success)]


def test_without_a_buyer_id_only_the_rates_count() -> None:
    node = feedback("RESPONDED").node
    assert (node.responded, node.buyer_count, node.active_buyer_count) == (1, 0, 0)
    assert not Buyer.objects.exists()


def test_a_buyer_who_only_passed_is_seen_but_not_active() -> None:
    node = feedback("PASSED", buyer="B-1").node
    assert (node.buyer_count, node.active_buyer_count) == (1, 0)
    node = feedback("BOUGHT", buyer="B-1").node
    assert (node.buyer_count, node.active_buyer_count) == (1, 1)


def test_a_known_buyer_is_not_made_again() -> None:
    known = BuyerFactory.create(external_id="B-7", name="Ana")
    feedback("PASSED", buyer=" B-7 ")
    assert BuyerFeedbackEvent.objects.get().buyer == known
    assert Buyer.objects.get().name == "Ana"


def test_markets_are_one_however_their_accents_are_typed() -> None:
    first = feedback("RESPONDED", place=Place.read("QC", "Montréal"))
    second = feedback("PASSED", place=Place.read("qc", " montreal "))
    assert first.node.pk == second.node.pk
    assert second.node.market == "MONTRÉAL"


def test_each_property_type_has_a_node_of_its_own() -> None:
    assert feedback("BOUGHT", property_type="SFR").node.pk != feedback("BOUGHT", property_type="land").node.pk


@pytest.mark.parametrize("event", ["RESPONDED", "BOUGHT"])
def test_a_repeat_for_the_same_buyer_and_deal_answers_the_first_and_writes_nothing(event: str) -> None:
    first = feedback(event, buyer="B-1", deal="D-1")
    again = feedback(event, buyer="B-1", deal="D-1", at=AT + timedelta(hours=1))
    assert (again.event_id, again.repeated) == (first.event_id, True)
    assert BuyerFeedbackEvent.objects.count() == 1
    assert len(kpis()) == 1
    assert again.node.events == 1


def test_a_repeat_that_names_another_place_makes_no_node_there() -> None:
    first = feedback("BOUGHT", buyer="B-1", deal="D-1")
    again = feedback("BOUGHT", buyer="B-1", deal="D-1", place=Place.read("BC", "Kelowna"))
    assert again.node == first.node
    assert BuyerLiquidityNode.objects.count() == 1


def test_responding_and_buying_count_once_each() -> None:
    feedback("RESPONDED", buyer="B-1", deal="D-1")
    node = feedback("BOUGHT", buyer="B-1", deal="D-1").node
    assert (node.responded, node.bought) == (1, 1)


@pytest.mark.parametrize(
    ("event", "buyer", "deal"),
    [("PASSED", "B-1", "D-1"), ("NO_RESPONSE", "B-1", "D-1"), ("BOUGHT", "", "D-1"), ("BOUGHT", "B-1", "")],
)
def test_everything_else_counts_every_time(event: str, buyer: str, deal: str) -> None:
    feedback(event, buyer=buyer, deal=deal)
    assert feedback(event, buyer=buyer, deal=deal).node.events == 2
    assert len(kpis()) == 2


def test_buyers_fall_out_after_ninety_days_with_the_next_feedback() -> None:
    feedback("RESPONDED", buyer="B-1", at=AT - timedelta(days=90))
    assert feedback("PASSED", buyer="B-2", at=AT - timedelta(seconds=1)).node.active_buyer_count == 1
    node = feedback("PASSED", buyer="B-2", at=AT).node
    assert (node.buyer_count, node.active_buyer_count) == (2, 0)
    assert feedback("BOUGHT", buyer="B-1", at=AT).node.active_buyer_count == 1
    assert differences() == []


def test_feedback_from_longer_ago_than_the_last_makes_nobody_active() -> None:
    feedback("PASSED", buyer="B-1", at=AT)
    node = feedback("RESPONDED", buyer="B-2", at=AT - timedelta(days=91)).node
    assert (node.buyer_count, node.active_buyer_count, node.updated_at) == (2, 0, AT)
    assert differences() == []


def test_an_older_answer_does_not_take_a_buyers_later_one_away() -> None:
    feedback("RESPONDED", buyer="B-1", at=AT)
    node = feedback("RESPONDED", buyer="B-1", at=AT - timedelta(days=80)).node
    assert node.active_buyer_count == 1
    assert BuyerActivity.objects.get().last_active_at == AT


def test_the_event_keeps_who_wrote_it_for_whom_and_in_which_call() -> None:
    by = Actor(
        "dialer", Role.SERVICE, frozenset({"buyers.record_feedback"}), acting_for="Ana", correlation_id="c-1"
    )
    feedback("RESPONDED", buyer="B-1", by=by, detail={"price": 450000})
    event = BuyerFeedbackEvent.objects.get()
    assert (event.actor, event.acting_for, event.correlation_id) == ("dialer", "Ana", "c-1")
    assert event.detail == {"price": 450000}
    assert KpiEvent.objects.get().correlation_id == "c-1"


def test_whoever_lacks_the_right_is_refused_and_nothing_is_written(by: Callable[..., Actor]) -> None:
    with pytest.raises(Forbidden):
        feedback("RESPONDED", buyer="B-1", by=by(Role.AUDITOR))
    assert not BuyerFeedbackEvent.objects.exists()


def test_all_that_is_wrong_is_named_at_once_and_nothing_is_written() -> None:
    with pytest.raises(Invalid) as refused:
        record_feedback(
            TORONTO,
            "CASTLE",
            "LIKED",
            buyer_id="b" * 65,
            deal_id="1 Main St",
            detail={"note": "a b"},
            by=ANYBODY,
            at=AT,
        )
    assert set(refused.value.errors) == {"property_type", "event", "buyer_id", "deal_id", "detail"}
    assert not BuyerLiquidityNode.objects.exists()
    assert not Buyer.objects.exists()


def test_go_live_and_kill_switch_stop_feedback(settings: Settings) -> None:
    settings.GO_LIVE_ENFORCE = True
    with pytest.raises(Unavailable):
        feedback("RESPONDED")
    assert not BuyerFeedbackEvent.objects.exists()


def test_an_event_is_never_changed_or_deleted() -> None:
    feedback("RESPONDED", buyer="B-1")
    event = BuyerFeedbackEvent.objects.get()
    for change in (event.save, event.delete, BuyerFeedbackEvent.objects.all().delete):
        with pytest.raises(Unchangeable):
            change()


def test_asking_makes_no_node() -> None:
    assert liquidity_score(TORONTO) is None
    assert hooks.liquidity_of.first(TORONTO, "SFR") is None
    assert not BuyerLiquidityNode.objects.exists()


def test_offers_learn_a_markets_liquidity_from_the_hook_and_never_from_all() -> None:
    feedback("RESPONDED", buyer="B-1", place=Place.read("ON"))
    node = feedback("BOUGHT", buyer="B-1").node
    assert hooks.liquidity_of.first(TORONTO, "sfr") == hooks.Liquidity(node.score, node.score_low, 1)
    assert hooks.liquidity_of.first(TORONTO, "LAND") is None
    assert hooks.liquidity_of.first(Place.read("ON", "Ottawa"), "SFR") is None


def test_feedback_takes_few_statements() -> None:
    feedback("RESPONDED", buyer="B-1", deal="D-1")
    with CaptureQueriesContext(
        connection,
    ) as known:
        feedback("PASSED", buyer="B-1")
    with CaptureQueriesContext(connection) as repeat:
        feedback("RESPONDED", buyer="B-1", deal="D-1")
    # a savepoint and its release around what this test's own transaction holds
    assert len(known) <= 8 + 2, [query["sql"] for query in known]
    assert len(repeat) <= 1 + 2, [query["sql"] for query in repeat]

"""The node equals a recount of its events: the nightly job, the command, and 32 clients at once."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from buyers import rules
from buyers.models import Buyer, BuyerActivity, BuyerFeedbackEvent, BuyerLiquidityNode
from buyers.rules import COUNTED_IN
from buyers.services import rebuild_liquidity, recount_node, refresh_activity
from buyers.tasks import refresh_buyer_activity
from buyers.tests.factories import ANYBODY, AT, TORONTO, feedback
from governance.core.places import Place
from governance.models import JobSlot, KpiEvent
from valhalla import testing
from valhalla.testing import CLIENTS

pytestmark = pytest.mark.both

DAY = timedelta(days=1)


def differing(**options: Any) -> set[str]:
    return {found.figure for found in rebuild_liquidity(by=ANYBODY, at=AT, **options).differences}


def spoil(**wrong: object) -> None:
    BuyerLiquidityNode.objects.update(**wrong)


# --- nightly -----------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_at_night_buyers_fall_out_whose_ninety_days_are_over() -> None:
    feedback("RESPONDED", buyer="B-1", at=AT - 95 * DAY)
    feedback("BOUGHT", buyer="B-2", at=AT - 10 * DAY)
    feedback("RESPONDED", buyer="B-3", at=AT - 60 * DAY, place=Place.read("BC", "Kelowna"))
    done = refresh_activity(by=ANYBODY, at=AT + 25 * DAY)
    assert (done.nodes, done.fell_out, done.differences) == (2, 1, ())
    done = refresh_activity(by=ANYBODY, at=AT + 30 * DAY)
    assert done.fell_out == 1
    kelowna = BuyerLiquidityNode.objects.get(province="BC")
    assert (kelowna.buyer_count, kelowna.active_buyer_count) == (1, 0)
    assert (kelowna.score, kelowna.updated_at) == (Decimal(50), AT + 30 * DAY)
    assert differing() == set()


@pytest.mark.django_db
def test_refreshing_again_or_out_of_turn_changes_nothing_more() -> None:
    feedback("RESPONDED", buyer="B-1", at=AT - 89 * DAY)
    refresh_activity(by=ANYBODY, at=AT + DAY)
    before = BuyerLiquidityNode.objects.values().get()
    refresh_activity(by=ANYBODY, at=AT + DAY)
    refresh_activity(by=ANYBODY, at=AT)  # a run that comes late
    assert BuyerLiquidityNode.objects.values().get() == before


@pytest.mark.django_db
def test_the_job_runs_once_a_day() -> None:
    feedback("RESPONDED", buyer="B-1", at=AT - 200 * DAY)
    assert refresh_buyer_activity() == {"nodes": 1, "fell_out": 1, "repaired": 0}
    assert refresh_buyer_activity() is None
    assert JobSlot.objects.get().job == "buyers.refresh_activity"


@pytest.mark.django_db
def test_what_differs_is_mended_at_night() -> None:
    feedback("RESPONDED", buyer="B-1")
    spoil(responded=7)
    assert {found.figure for found in refresh_activity(by=ANYBODY, at=AT).differences} == {"responded"}
    assert differing() == set()


# --- the command -------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    "wrong",
    [{"responded": 2}, {"no_response": 1}, {"bought": 1}, {"passed": 9}, {"buyer_count": 5},
     {"active_buyer_count": 0}, {"score": 1}, {"score_low": 1}],
)  # fmt: skip
def test_the_command_finds_and_mends_every_figure(
    wrong: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    feedback("RESPONDED", buyer="B-1")
    spoil(**wrong)
    with pytest.raises(CommandError):
        call_command("rebuild_liquidity")
    assert f"ON/TORONTO single-family house: {next(iter(wrong))} is" in capsys.readouterr().out
    assert BuyerLiquidityNode.objects.filter(**wrong).exists()
    call_command("rebuild_liquidity", "--repair")
    assert "repaired" in capsys.readouterr().out
    call_command("rebuild_liquidity")
    assert "1 nodes recounted, 0 differences." in capsys.readouterr().out


@pytest.mark.django_db
@pytest.mark.parametrize("harm", ["missing", "surplus", "wrong"])
def test_the_command_mends_who_was_seen_and_active(harm: str) -> None:
    node = feedback("RESPONDED", buyer="B-1").node
    feedback("PASSED", buyer="B-2")
    rows = BuyerActivity.objects.filter(buyer__external_id="B-2")
    if harm == "missing":
        rows.delete()
    elif harm == "surplus":
        stranger = Buyer.objects.create(external_id="B-3", created_at=AT, updated_at=AT)
        BuyerActivity.objects.create(node=node, buyer=stranger, last_active_at=AT)
    else:
        rows.update(last_active_at=AT)
    assert differing() == {"activity rows that are wrong"}
    differing(repair=True)
    assert differing() == set()
    assert BuyerActivity.objects.count() == 2


@pytest.mark.django_db
def test_proving_writes_nothing() -> None:
    feedback("RESPONDED", buyer="B-1", at=AT - 200 * DAY)
    before = BuyerLiquidityNode.objects.values().get()
    rebuild_liquidity(by=ANYBODY, at=AT)
    assert BuyerLiquidityNode.objects.values().get() == before


# --- any order of events -----------------------------------------------------------------------------------


@pytest.mark.django_db
def test_any_mixture_of_feedback_and_refreshing_leaves_the_node_equal_to_its_events(
    chance: random.Random,
) -> None:
    for _step in range(150):
        at = AT + chance.randint(-150, 150) * DAY
        if chance.random() < 0.05:
            refresh_activity(by=ANYBODY, at=at)
            continue
        feedback(
            chance.choice(list(COUNTED_IN)),
            buyer=chance.choice(["", *(f"B-{number}" for number in range(12))]),
            deal=chance.choice(["", "D-1", "D-2", "D-3"]),
            place=chance.choice([TORONTO, Place.read("ON")]),
            at=at,
        )
    assert differing() == set()
    for node in BuyerLiquidityNode.objects.all():
        events = list(
            BuyerFeedbackEvent.objects.filter(node=node).values_list("event", "buyer", "created_at")
        )
        active = {
            buyer
            for event, buyer, at in events
            if buyer and event in ("RESPONDED", "BOUGHT") and at > node.active_since
        }
        assert node.events == len(events)
        assert node.buyer_count == len({buyer for _event, buyer, _at in events if buyer})
        assert node.active_buyer_count == len(active)


# --- 32 clients at once ------------------------------------------------------------------------------------


at_once = partial(testing.at_once, kept=())


@pytest.mark.django_db(transaction=True)
def test_under_thirty_two_clients_with_repeats_the_node_equals_a_recount(chance: random.Random) -> None:
    fresh = [
        {
            "event": chance.choice(list(COUNTED_IN)),
            "buyer": f"B-{chance.randint(1, 40)}",
            "deal": f"D-{number}" if number % 3 else "",
            "place": chance.choice([TORONTO, TORONTO, Place.read("ON")]),
        }
        for number in range(100)
    ]
    work = fresh * 2  # each comes twice, at the same time
    chance.shuffle(work)
    work += [{"refresh": True}] * 6

    def do(item: dict[str, Any]) -> Any:
        if "refresh" in item:
            return refresh_activity(by=ANYBODY, at=AT).differences
        done = feedback(**item)
        return (item["buyer"], item["deal"], item["event"]), done.event_id, done.repeated

    done = at_once(do, work)
    assert [found for found in done if found == ()] == [()] * 6  # no refresh saw a difference
    answers = [found for found in done if found]
    events = BuyerFeedbackEvent.objects.count()
    assert events == len({event_id for _key, event_id, _repeated in answers})
    assert events == KpiEvent.objects.filter(metric="buyer_feedback").count()
    assert events == len(answers) - sum(repeated for _key, _id, repeated in answers)
    counts_once = [given for given in fresh if given["deal"] and given["event"] in rules.ACTIVE_KINDS]
    for key in {(given["buyer"], given["deal"], given["event"]) for given in counts_once}:
        assert len({event_id for found, event_id, _repeated in answers if found == key}) == 1
    assert sum(node.events for node in BuyerLiquidityNode.objects.all()) == events
    assert differing() == set()


@pytest.mark.django_db(transaction=True)
def test_thirty_two_first_feedbacks_make_one_node_and_one_buyer() -> None:
    at_once(lambda _item: feedback("RESPONDED", buyer="B-1", deal="D-1"), list(range(CLIENTS)))
    node = BuyerLiquidityNode.objects.get()
    assert (node.events, node.buyer_count, node.active_buyer_count) == (1, 1, 1)
    assert Buyer.objects.count() == BuyerFeedbackEvent.objects.count() == KpiEvent.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_recounting_while_feedback_comes_in_sees_no_difference() -> None:
    feedback("PASSED", buyer="B-0")
    seen: list[str] = []

    def do(number: int) -> None:
        if number % 8 == 0:
            seen.extend(differing())
        else:
            feedback("PASSED", buyer=f"B-{number % 50}")

    at_once(do, list(range(160)))
    assert seen == []
    assert BuyerLiquidityNode.objects.get().passed == 1 + 160 - 20


def record_naively(node_id: int, at: datetime) -> None:
    """What must not be written: the node read without holding it, then saved."""
    with transaction.atomic():
        node = BuyerLiquidityNode.objects.get(pk=node_id)
        BuyerFeedbackEvent.objects.bulk_create([BuyerFeedbackEvent(node=node, event="PASSED", created_at=at)])
        node.passed += 1
        node.save(update_fields=["passed"])


@pytest.mark.django_db(transaction=True)
def test_reading_and_saving_without_holding_the_node_loses_feedback() -> None:
    node = feedback("PASSED").node
    at_once(lambda _item: record_naively(node.pk, AT), list(range(320)))
    found, _fell_out = recount_node(node.pk, repair=False, fall_out=False, by=ANYBODY, at=AT)
    lost = "passed" in {difference.figure for difference in found}
    # on SQLite an IMMEDIATE transaction holds the whole database
    assert lost == (connection.vendor == "postgresql")

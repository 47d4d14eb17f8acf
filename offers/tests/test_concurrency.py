"""Many computations for one lead at once: exactly one offer stays live."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from governance.core.errors import Refused
from governance.models import KpiEvent
from offers.models import Offer, OfferEvidence, OfferOutcome, OfferPolicy
from offers.querysets import OfferQuerySet
from offers.rules import LIVE_STATES
from offers.tests.factories import AT, kept, outcome, switch_on
from valhalla import testing
from valhalla.testing import CLIENTS

pytestmark = pytest.mark.both


def at_once(call: Callable[[int], object], clients: int = CLIENTS) -> list[Any]:
    """Call once from each client; refusals and broken constraints are answers too."""
    return testing.at_once(call, range(clients), clients, kept=(Refused, IntegrityError))


def compute_many(each: int) -> list[object]:
    def call(number: int) -> int:
        for turn in range(each):
            kept("L-1", arv=Decimal(400_000 + number * 1000 + turn))
        return each

    return at_once(call)


def assert_one_live(computed: int) -> None:
    assert OfferEvidence.objects.count() == Offer.objects.count() == computed
    assert KpiEvent.objects.filter(metric="offer_generated").count() == computed
    states = Counter(Offer.objects.values_list("state", flat=True))
    assert states == {"SUPERSEDED": computed - 1, "OPEN": 1}
    newest = OfferEvidence.objects.order_by("-id").first()
    assert newest is not None
    assert newest.offer.state == "OPEN"


@pytest.fixture
def policy(transactional_db: None) -> OfferPolicy:
    return switch_on()


def test_one_offer_of_a_lead_stays_live_and_it_is_the_newest(policy: OfferPolicy) -> None:
    assert compute_many(6) == [6] * CLIENTS
    assert_one_live(CLIENTS * 6)


@pytest.mark.long
def test_one_offer_of_a_lead_stays_live_under_6400_computations(policy: OfferPolicy) -> None:
    assert compute_many(200) == [200] * CLIENTS
    assert_one_live(CLIENTS * 200)


def test_without_holding_the_lead_computations_would_collide(
    policy: OfferPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read what is live, then write: only the constraint keeps that from two live offers."""
    monkeypatch.setattr(OfferQuerySet, "hold_lead", lambda self, lead_id: None)
    read = threading.Barrier(CLIENTS)
    evidence = [kept(f"other-{number}") for number in range(CLIENTS)]

    def naive(number: int) -> None:
        live = list(Offer.objects.filter(lead_id="L-1", state__in=LIVE_STATES))
        connection.close()
        read.wait()
        with transaction.atomic():
            for offer in live:
                offer.state = "SUPERSEDED"
                offer.save()
            Offer.objects.filter(pk=evidence[number]).update(lead_id="L-1")

    answers = at_once(naive)
    assert sum(isinstance(answer, IntegrityError) for answer in answers) == CLIENTS - 1


def test_an_outcome_told_many_times_at_once_is_recorded_once(policy: OfferPolicy) -> None:
    offer = kept("L-1")
    answers = at_once(lambda number: outcome(offer, "CONTRACTED"))
    assert Counter(answer.already_recorded for answer in answers) == {True: CLIENTS - 1, False: 1}
    assert OfferOutcome.objects.count() == 2
    assert KpiEvent.objects.exclude(metric="offer_generated").count() == 2


def test_a_yes_and_a_no_at_once_leave_one_of_them(policy: OfferPolicy) -> None:
    offer = kept("L-1")
    names = ("ACCEPTED", "REJECTED")
    answers = at_once(lambda number: outcome(offer, names[number % 2]).outcome.outcome)
    said = {answer for answer in answers if isinstance(answer, str)}
    assert len(said) == 1
    refused = [answer for answer in answers if not isinstance(answer, str)]
    assert {answer.code for answer in refused} == {"outcome_out_of_order"}
    assert KpiEvent.objects.filter(metric="offer_accept_rate").count() == 1


def test_an_outcome_and_a_new_computation_at_once_leave_one_live_offer(policy: OfferPolicy) -> None:
    offer = kept("L-1")

    def call(number: int) -> object:
        return outcome(offer, "ACCEPTED") if number % 2 else kept("L-1")

    at_once(call)
    assert Offer.objects.filter(lead_id="L-1", state__in=LIVE_STATES).count() == 1
    newest = Offer.objects.order_by("-pk").first()
    assert newest is not None
    assert newest.state == "OPEN"
    assert OfferOutcome.objects.count() <= 1


def test_two_who_create_a_market_policy_at_once_make_one(transactional_db: None) -> None:
    from offers.tests.factories import TORONTO

    switch_on()
    answers = at_once(lambda number: switch_on(TORONTO, default_fees_buffer=Decimal(3000)).version, clients=8)
    made = [answer for answer in answers if isinstance(answer, int)]
    assert made
    assert {answer.code for answer in answers if not isinstance(answer, int)} <= {"stale_version"}
    policy = OfferPolicy.objects.get(market_key="TORONTO")
    assert policy.version == OfferPolicy.history.filter(market_key="TORONTO").count() == 1
    assert policy.updated_at == AT

"""Offers and the risk guard: the fee is reserved with the offer or neither is kept, and both end together."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries, Settings
from rest_framework.test import APIClient

from governance.core.actors import Actor
from governance.core.errors import Refused, Unavailable
from governance.golive.services import set_go_live
from governance.models import KpiEvent
from governance.risk.models import RiskEvent, RiskReservation
from governance.risk.services import recount, release, release_stale, throttle
from governance.tests.risking import break_at, cad, cap, open_risk
from offers.models import Offer, OfferEvidence
from offers.services import Figures, correct_outcome
from offers.tests.factories import ANYBODY, AT, compute, kept, outcome, switch_on
from offers.tests.test_concurrency import at_once

pytestmark = [pytest.mark.both, pytest.mark.django_db]
Api = Callable[..., APIClient]
ASSIGNED: dict[str, object] = {"buyer": "B-1", "buyer_price": Decimal(255_000)}
DAY = timedelta(days=1)
WALKS = ("ACCEPTED", "REJECTED", "CONTRACTED", "CONTRACTED", "ASSIGNED", "ASSIGNED", "FELL_THROUGH")


@pytest.fixture(autouse=True)
def _room_for_ten_fees(db: None) -> None:
    switch_on()
    cap("GLOBAL")
    cap("WHOLESALE", max_open_risk=100_000)


def of(evidence_id: int) -> RiskReservation:
    """Return what an offer reserved."""
    number = Offer.objects.get(pk=evidence_id).reservation_id
    assert number is not None
    return RiskReservation.objects.get(pk=number)


def state(evidence_id: int) -> tuple[str, Any, str]:
    row = of(evidence_id)
    return row.state, row.realized_loss, row.close_code


def denial(lead_id: str = "L-1", **other: object) -> Refused:
    with pytest.raises(Refused) as refused:
        compute(lead_id, reserve=True, **other)
    return refused.value


# --- reserving ----------------------------------------------------------------------------------------------


def test_an_offer_reserves_its_assignment_fee() -> None:
    computed = compute("L-1", reserve=True)
    row = RiskReservation.objects.get()
    assert computed.reservation_id == row.pk
    assert computed.evidence is not None
    assert computed.evidence.offer.reservation_id == row.pk
    assert (row.engine, row.amount, row.purpose, row.state) == ("WHOLESALE", 10_000, "offer", "PENDING")
    assert open_risk() == open_risk("GLOBAL") == 10_000


def test_without_reserve_nothing_is_reserved() -> None:
    assert compute("L-1").reservation_id is None
    assert not RiskEvent.objects.exists()


def test_a_dry_run_reserves_nothing() -> None:
    assert compute("L-1", reserve=True, dry_run=True).reservation_id is None
    assert not RiskEvent.objects.exists()


def test_a_denied_reservation_keeps_the_denial_and_nothing_else() -> None:
    first = kept("L-1", reserve=True)
    cap("WHOLESALE", max_open_risk=Decimal("9999.99"))
    before = (OfferEvidence.objects.count(), KpiEvent.objects.count(), open_risk())
    refusal = denial()
    assert (refusal.code, refusal.status, refusal.extra) == ("risk_denied", 409, {"reason": "max_open_risk"})
    assert "WHOLESALE may have 9,999.99 CAD open" in str(refusal)
    assert (OfferEvidence.objects.count(), KpiEvent.objects.count(), open_risk()) == before
    assert (Offer.objects.get().pk, Offer.objects.get().state) == (first, "OPEN")
    assert of(first).state == "PENDING"  # what it would have superseded stands, and so does its reservation
    event = RiskEvent.objects.get(kind="DENIED")
    assert (event.amount, event.code, event.purpose, event.actor) == (
        10_000,
        "max_open_risk",
        "offer",
        "test",
    )
    assert recount() == []


def test_a_throttled_engine_denies_an_offer_with_the_tripwires_name() -> None:
    throttle("WHOLESALE", "WHOLESALE/followup_sla", by=ANYBODY, at=AT)
    refusal = denial()
    assert refusal.extra == {"reason": "throttled"}
    assert "WHOLESALE/followup_sla" in str(refusal)
    assert RiskEvent.objects.get(kind="DENIED").tripwire == "WHOLESALE/followup_sla"
    assert compute("L-1").evidence is not None


def test_an_offer_of_nothing_cannot_be_reserved() -> None:
    assert denial(repairs=Decimal(400_000)).code == "no_offer"
    assert not RiskEvent.objects.exists()
    assert not OfferEvidence.objects.exists()


@pytest.mark.usefixtures("unblocked")
def test_an_offer_needs_no_go_live_and_its_reservation_does(
    by: Callable[..., Actor], settings: Settings
) -> None:
    settings.GO_LIVE_ENFORCE = True
    assert kept("L-1")
    with pytest.raises(Unavailable) as refused:
        compute("L-2", reserve=True)
    assert refused.value.code == "go_live_disabled"
    assert OfferEvidence.objects.count() == 1
    set_go_live(True, by=by("MANAGER"), at=AT, reason="x")
    assert kept("L-2", reserve=True)


# --- how it ends --------------------------------------------------------------------------------------------


def test_a_newer_computation_releases_what_its_predecessor_reserved() -> None:
    cap("WHOLESALE", max_open_risk=10_000)  # room for one: the old one must be free before the new one asks
    first, second = kept("L-1", reserve=True), kept("L-1", reserve=True)
    assert state(first) == ("RELEASED", None, "SUPERSEDED")
    assert of(second).state == "PENDING"
    kept("L-1")
    assert state(second) == ("RELEASED", None, "SUPERSEDED")
    assert open_risk() == 0


def test_the_offers_of_other_leads_keep_their_reservations() -> None:
    first, loose = kept("L-1", reserve=True), kept(reserve=True)
    kept("L-2", reserve=True)
    kept(reserve=True)
    assert of(first).state == of(loose).state == "PENDING"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["ACCEPTED"], ("PENDING", None, "")),
        (["CONTRACTED"], ("PENDING", None, "")),
        (["REJECTED"], ("RELEASED", None, "REJECTED")),
        (["CONTRACTED", "FELL_THROUGH"], ("RELEASED", None, "FELL_THROUGH")),
    ],
)
def test_an_outcome_ends_the_reservation_where_it_ends_the_offer(
    names: list[str], expected: tuple[str, object, str]
) -> None:
    offer = kept("L-1", reserve=True)
    for name in names:
        outcome(offer, name)
    assert state(offer) == expected
    assert recount() == []


@pytest.mark.parametrize(
    ("earned", "lost"), [(10_000, 0), (12_000, 0), (9_000, 1_000), (0, 10_000), ("9999.99", "0.01")]
)
def test_an_assignment_settles_what_its_fee_fell_short_of(earned: object, lost: object) -> None:
    offer = kept("L-1", reserve=True)
    outcome(offer, "CONTRACTED")
    outcome(offer, "ASSIGNED", fee_earned=cad(earned), **ASSIGNED)
    assert state(offer) == ("SETTLED", cad(lost), "")
    assert open_risk() == 0
    assert recount() == []


def test_told_again_an_outcome_ends_nothing_twice() -> None:
    offer = kept("L-1", reserve=True)
    for _turn in range(2):
        outcome(offer, "REJECTED")
    assert RiskEvent.objects.filter(kind="RELEASED").count() == 1


@pytest.mark.parametrize("name", ["REJECTED", "ASSIGNED"])
@pytest.mark.parametrize("how", ["expired", "released"])
def test_what_happened_is_recorded_whatever_became_of_the_reservation(name: str, how: str) -> None:
    offer = kept("L-1", reserve=True)
    if how == "expired":
        assert release_stale(by=ANYBODY, at=AT + 3 * DAY) == 1
    else:
        release(of(offer).pk, by=ANYBODY, at=AT)
    before = state(offer)
    if name == "ASSIGNED":
        outcome(offer, "CONTRACTED")
    outcome(offer, name)
    assert Offer.objects.get(pk=offer).state == name
    assert state(offer) == before
    assert recount() == []


def test_an_offer_that_reserved_nothing_ends_all_the_same() -> None:
    offer = kept("L-1")
    outcome(offer, "REJECTED")
    assert not RiskEvent.objects.exists()


def test_whatever_statement_fails_offer_and_reservation_are_whole_or_not_there() -> None:
    first = kept("L-1", reserve=True)
    statement = 0
    while break_at(statement, lambda: kept("L-1", reserve=True)):
        assert (OfferEvidence.objects.count(), KpiEvent.objects.count()) == (1, 1), statement
        assert (Offer.objects.get().state, of(first).state) == ("OPEN", "PENDING"), statement
        assert_only_live_offers_hold_risk()
        statement += 1
    assert statement >= 20
    assert of(first).state == "RELEASED"
    assert_only_live_offers_hold_risk()


# --- corrections --------------------------------------------------------------------------------------------


def correct(offer: int, name: str, *, void: bool = False, **figures: Any) -> None:
    correct_outcome(offer, name, figures=Figures(**figures), void=void, reason="typo", by=ANYBODY, at=AT)


def test_a_correction_that_ends_the_offer_releases() -> None:
    offer = kept("L-1", reserve=True)
    outcome(offer, "ACCEPTED")
    correct(offer, "REJECTED")
    assert state(offer) == ("RELEASED", None, "REJECTED")


def test_a_correction_takes_up_nothing_again_and_a_new_computation_does() -> None:
    offer = kept("L-1", reserve=True)
    outcome(offer, "REJECTED")
    correct(offer, "ACCEPTED")
    assert Offer.objects.get(pk=offer).state == "ACCEPTED"
    assert (state(offer), open_risk()) == (("RELEASED", None, "REJECTED"), 0)
    assert of(kept("L-1", reserve=True)).state == "PENDING"


def test_a_settled_reservation_stays_settled_whatever_is_corrected() -> None:
    offer = kept("L-1", reserve=True)
    outcome(offer, "CONTRACTED")
    outcome(offer, "ASSIGNED", fee_earned=cad(9_000), **ASSIGNED)
    correct(offer, "FELL_THROUGH")
    assert state(offer) == ("SETTLED", 1_000, "")
    correct(offer, "FELL_THROUGH", void=True)
    outcome(offer, "ASSIGNED", fee_earned=cad(5_000), **ASSIGNED)
    assert state(offer) == ("SETTLED", 1_000, "")
    assert recount() == []


def test_the_correction_of_a_superseded_offer_finds_its_reservation_released() -> None:
    offer = kept("L-1", reserve=True)
    outcome(offer, "ACCEPTED")
    kept("L-1", reserve=True)
    correct(offer, "REJECTED")
    assert state(offer) == ("RELEASED", None, "SUPERSEDED")
    assert open_risk() == 10_000


def assert_only_live_offers_hold_risk() -> None:
    pending = set(RiskReservation.objects.pending().values_list("pk", flat=True))
    live = set(Offer.objects.live().exclude(reservation_id=None).values_list("reservation_id", flat=True))
    assert pending <= live
    named = list(Offer.objects.exclude(reservation_id=None).values_list("reservation_id", flat=True))
    assert sorted(named) == sorted(RiskReservation.objects.values_list("pk", flat=True))
    assert OfferEvidence.objects.count() == Offer.objects.count()
    assert recount() == []


def test_in_any_order_of_events_only_live_offers_hold_risk(chance: random.Random) -> None:
    made: list[int] = []
    seen: set[str] = set()
    at = AT
    settled = kept("L-10", reserve=True)  # a lead of its own: chance alone seldom takes one to its end
    outcome(settled, "CONTRACTED")
    outcome(settled, "ASSIGNED", fee_earned=cad(9_000), **ASSIGNED)
    for _step in range(200):
        at += chance.choice([timedelta(minutes=1), timedelta(minutes=1), timedelta(hours=5)])
        what = chance.choice(["compute", "compute", "outcome", "outcome", "outcome", "correct", "expire"])
        try:
            if what == "compute" or not made:
                lead = f"L-{chance.randint(1, 9)}"
                made.append(kept(lead, reserve=chance.random() < 0.8, at=at))
            elif what == "outcome":
                outcome(chance.choice(made[-6:]), chance.choice(WALKS), at=at)
            elif what == "correct":
                name = chance.choice(["ACCEPTED", "REJECTED", "FELL_THROUGH"])
                correct(chance.choice(made[-6:]), name, void=chance.random() < 0.3)
            else:
                release_stale(by=ANYBODY, at=at)
        except Refused as refusal:
            seen.add(refusal.code)
        assert_only_live_offers_hold_risk()
    assert {"outcome_out_of_order", "superseded"} <= seen
    kept("L-11", reserve=True, at=at)
    states = set(RiskReservation.objects.values_list("state", flat=True))
    assert {"PENDING", "SETTLED", "RELEASED"} <= states


# --- at once ------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_offers_at_the_cap_are_kept_with_their_reservation_or_not_at_all() -> None:
    answers = at_once(lambda number: kept(f"L-{number}", reserve=True))
    granted = [answer for answer in answers if isinstance(answer, int)]
    assert len(granted) == 10
    assert {answer.code for answer in answers if isinstance(answer, Refused)} == {"risk_denied"}
    assert OfferEvidence.objects.count() == RiskReservation.objects.count() == 10
    assert RiskEvent.objects.filter(kind="DENIED").count() == len(answers) - 10
    assert open_risk() == 100_000
    assert_only_live_offers_hold_risk()


@pytest.mark.django_db(transaction=True)
def test_offers_of_the_same_leads_and_their_outcomes_at_once_leave_only_live_ones_reserved() -> None:
    first = [kept(f"L-{number}", reserve=True) for number in range(4)]

    def work(number: int) -> Any:
        lead = number % 4
        if number % 3 == 0:
            return outcome(first[lead], "REJECTED")
        if number % 3 == 1:
            return release(of(first[lead]).pk, by=ANYBODY, at=AT)
        return kept(f"L-{lead}", reserve=True)

    at_once(work)
    assert_only_live_offers_hold_risk()
    assert open_risk() == 40_000


# --- over REST ----------------------------------------------------------------------------------------------

EXAMPLE = {"province": "ON", "arv": 450_000, "repairs": 50_000, "lead_id": "L-1", "reserve": True}


def test_over_rest_the_answer_names_the_reservation(api: Api) -> None:
    body = api("CLOSER").post("/api/deals/offers/compute", EXAMPLE, format="json").json()
    assert body["reservation_id"] == RiskReservation.objects.get().pk


def test_over_rest_a_denial_is_a_problem_that_may_be_tried_again_under_its_key(api: Api) -> None:
    cap("WHOLESALE", max_open_risk=5)
    client = api("SERVICE")

    def post() -> Any:
        return client.post("/api/deals/offers/compute", EXAMPLE, format="json", HTTP_IDEMPOTENCY_KEY="k")

    answer = post()
    assert (answer.status_code, answer.json()["code"], answer.json()["reason"]) == (
        409,
        "risk_denied",
        "max_open_risk",
    )
    assert RiskEvent.objects.filter(kind="DENIED").count() == 1
    cap("WHOLESALE")
    assert post().status_code == 200
    assert OfferEvidence.objects.count() == 1


def test_what_reserving_adds_to_a_computation(django_assert_max_num_queries: DjangoAssertNumQueries) -> None:
    kept("L-1", reserve=True)  # the day's first also makes the ledger's rows
    plain = 9
    with django_assert_max_num_queries(plain + 9):
        kept("L-2", reserve=True)
    with django_assert_max_num_queries(plain + 1 + 9):  # supersedes, and releases
        kept("L-1")
    with django_assert_max_num_queries(plain + 1):
        kept("L-1")
    with django_assert_max_num_queries(plain):
        kept("L-3")

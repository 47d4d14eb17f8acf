"""Computing offers: what is kept, what is refused, what is superseded."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from pytest_django import Settings

from governance.core import hooks
from governance.core.actors import Actor
from governance.core.append_only import Unchangeable
from governance.core.errors import Forbidden, Invalid, Refused, Unavailable
from governance.core.hooks import Liquidity
from governance.core.places import Place
from governance.golive.services import set_kill_switch
from governance.models import KpiEvent
from offers import rules
from offers.models import Offer, OfferEvidence
from offers.tests.factories import ANYBODY, AT, ONTARIO, TORONTO, OfferPolicyFactory, compute, kept, switch_on

pytestmark = [pytest.mark.both, pytest.mark.django_db]


def refusal(**changes: Any) -> str:
    with pytest.raises(Refused) as refused:
        compute(**changes)
    assert not OfferEvidence.objects.exists()
    assert not KpiEvent.objects.exists()
    return refused.value.code


@pytest.fixture
def market(monkeypatch: pytest.MonkeyPatch) -> dict[str, Liquidity]:
    """Answers of the hook by property type; nothing is asked of the buyers' pack."""
    answers: dict[str, Liquidity] = {}
    monkeypatch.setattr(hooks.liquidity_of, "_answerers", [lambda place, kind: answers.get(kind)])
    return answers


def test_the_example_of_the_defaults() -> None:
    policy = switch_on()
    got = compute(
        lead_id="L-1",
        recommendation_id="rec-7",
        by=Actor("ann", "CLOSER", frozenset({"offers.compute_offer"}), correlation_id="c1"),
    )
    evidence = OfferEvidence.objects.get()
    assert got.evidence == evidence
    assert (evidence.mao, evidence.recommended_offer) == (Decimal(262_500), Decimal(252_500))
    assert (evidence.binding, evidence.floored, evidence.comps_grade) == ("formula", False, "D")
    assert (evidence.policy_id, evidence.policy_version) == (policy.pk, 2)
    assert evidence.policy_values["max_arv_multiplier"] == "0.7000"
    assert (evidence.lead_id, evidence.recommendation_id) == ("L-1", "rec-7")
    assert (evidence.actor, evidence.correlation_id, evidence.liquidity) == ("ann", "c1", None)
    assert (evidence.offer.state, evidence.offer.reservation_id) == ("OPEN", None)
    event = KpiEvent.objects.get()
    assert (event.domain, event.metric, event.value) == ("WHOLESALE", "offer_generated", Decimal(252_500))


def test_comps_and_assumptions_are_kept_with_their_statistics() -> None:
    switch_on()
    comps = rules.read_comps(
        [
            {"price": price, "sqft": 1500, "distance_miles": 0.3, "months_ago": 2}
            for price in (440_000, 450_000, 460_000)
        ],
        today=AT.date(),
    )
    kept(comps=comps, assumptions={"subject_sqft": "1450", "vacant": True})
    evidence = OfferEvidence.objects.get()
    assert evidence.comps[0] == {
        "price": "440000.00",
        "sqft": "1500",
        "distance_miles": "0.3",
        "months_ago": "2",
    }
    assert evidence.assumptions == {"subject_sqft": "1450", "vacant": True}
    assert (evidence.comps_statistics["median"], evidence.comps_grade) == ("450000.00", "B")


def test_a_disabled_policy_refuses() -> None:
    assert refusal() == "offer_policy_disabled"


def test_a_more_specific_disabled_policy_refuses_and_never_falls_through() -> None:
    switch_on(ONTARIO)
    OfferPolicyFactory(enabled=False)
    assert refusal(place=TORONTO) == "offer_policy_disabled"


def test_a_missing_policy_is_a_disabled_one() -> None:
    from offers.models import OfferPolicy

    OfferPolicy.objects.filter(province="ON").delete()
    assert refusal() == "offer_policy_disabled"


@pytest.mark.parametrize(
    ("low", "code"), [(None, "market_too_cold"), ("19.99", "market_too_cold"), ("20", None)]
)
def test_the_cautious_score_decides_whether_a_market_is_warm_enough(
    market: dict[str, Liquidity], low: str | None, code: str | None
) -> None:
    switch_on(min_liquidity_score=Decimal(20))
    if low is not None:
        market["CONDO"] = Liquidity(score=Decimal("61.5"), score_low=Decimal(low), events=12)
    if code is not None:
        assert refusal(property_type="CONDO") == code
        return
    kept(property_type="CONDO")
    assert OfferEvidence.objects.get().liquidity == {"score": "61.5", "score_low": "20", "events": 12}


def test_a_dry_run_answers_the_same_and_stores_nothing() -> None:
    switch_on()
    real = compute("L-1")
    rows = [OfferEvidence.objects.count(), Offer.objects.count(), KpiEvent.objects.count()]
    dry = compute("L-1", dry_run=True, reserve=True)
    assert (dry.calculation, dry.evidence, dry.reservation_id) == (real.calculation, None, None)
    assert [OfferEvidence.objects.count(), Offer.objects.count(), KpiEvent.objects.count()] == rows
    assert Offer.objects.get().state == "OPEN"


def test_a_newer_computation_supersedes_the_live_offer_of_its_lead_alone() -> None:
    switch_on()
    first, other, loose = kept("L-1"), kept("L-2"), kept()
    second = kept("L-1", at=AT + timedelta(hours=1))
    kept()
    states = dict(Offer.objects.values_list("pk", "state"))
    assert (states[first], states[second], states[other], states[loose]) == (
        "SUPERSEDED",
        "OPEN",
        "OPEN",
        "OPEN",
    )


def test_the_database_refuses_a_second_live_offer() -> None:
    switch_on()
    kept("L-1")
    second = kept("L-1")
    first = Offer.objects.exclude(pk=second).get()
    with pytest.raises(IntegrityError), transaction.atomic():
        Offer.objects.filter(pk=first.pk).update(state="ACCEPTED")


@pytest.mark.parametrize("amount", ["-1", "1000000000", "0.001", "NaN", "Infinity"])
@pytest.mark.parametrize("name", ["arv", "repairs"])
def test_amounts_that_are_none_are_refused_by_name(name: str, amount: str) -> None:
    switch_on()
    with pytest.raises(Invalid) as refused:
        compute("L-1", **{name: Decimal(amount)})
    assert set(refused.value.errors) == {name}


@pytest.mark.parametrize("role", ["VA", "AUDITOR"])
def test_others_compute_no_offer(role: str, by: Callable[..., Actor]) -> None:
    switch_on()
    with pytest.raises(Forbidden):
        compute(by=by(role))


@pytest.mark.parametrize("role", ["CLOSER", "MANAGER", "SERVICE"])
def test_closers_managers_and_service_clients_compute(role: str, by: Callable[..., Actor]) -> None:
    switch_on()
    assert compute(by=by(role)).evidence is not None


def test_the_kill_switch_stops_computing_and_go_live_does_not(settings: Settings) -> None:
    settings.GO_LIVE_ENFORCE = True
    switch_on()
    kept()
    set_kill_switch(True, by=ANYBODY, at=AT, reason="test")
    with pytest.raises(Unavailable):
        compute()


def test_evidence_is_neither_changed_nor_deleted() -> None:
    switch_on()
    kept()
    evidence = OfferEvidence.objects.get()
    evidence.mao = Decimal(1)
    with pytest.raises(Unchangeable):
        evidence.save()
    with pytest.raises(Unchangeable):
        OfferEvidence.objects.all().delete()


def test_a_market_with_accents_is_the_same_market() -> None:
    switch_on(Place.read("QC", "Montréal"))
    kept(place=Place.read("QC", "montreal"))
    assert OfferEvidence.objects.get().policy.market == "MONTRÉAL"

"""Offers where the policy asks Heimdall: no offer without a recommendation that passes the gate now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from governance.core.errors import Refused
from governance.heimdall.services import promote, recommend, record_trial, upsert_policy
from governance.models import HeimdallEvent, KpiEvent
from offers.models import Offer, OfferEvidence
from offers.services.evidence import differences
from offers.tests.factories import ANYBODY, AT, compute, kept, switch_on
from offers.tests.test_concurrency import at_once
from offers.tests.test_evidence import tamper
from valhalla.testing import CLIENTS

pytestmark = [pytest.mark.both, pytest.mark.django_db]
OFFER = "WHOLESALE_OFFER"


@pytest.fixture
def asked(db: None) -> None:
    let_in()


def let_in() -> None:
    """A policy that asks Heimdall, and a machine that three trials let into production."""
    switch_on(require_heimdall=True)
    for domain in (OFFER, "BUYER_MATCH"):
        upsert_policy(domain, {"min_sandbox_trials": 3}, by=ANYBODY, at=AT)
        for _trial in range(3):
            record_trial(domain, success=True, by=ANYBODY, at=AT)
        promote(domain, by=ANYBODY, at=AT)


def recommended(confidence: str = "0.95", domain: str = OFFER, subject: str = "") -> str:
    return str(recommend(domain, Decimal(confidence), by=ANYBODY, at=AT, subject=subject)[0].pk)


def reason_of(lead_id: str = "L-1", **given: object) -> str:
    before = OfferEvidence.objects.count(), KpiEvent.objects.count()
    with pytest.raises(Refused) as refusal:
        compute(lead_id, **given)
    assert (refusal.value.status, refusal.value.code) == (409, "heimdall_refused")
    assert (OfferEvidence.objects.count(), KpiEvent.objects.count()) == before
    return str(refusal.value.extra["reason"])


def test_a_recommendation_that_passes_makes_an_offer_and_its_verdict_is_evidence(asked: None) -> None:
    number = recommended(subject="L-1")
    evidence = OfferEvidence.objects.get(pk=kept("L-1", recommendation_id=number))
    assert evidence.recommendation_id == number
    assert evidence.heimdall == {
        "reason": "gate_pass", "domain": OFFER, "confidence": "0.950000", "policy_version": 3,
        "min_confidence_prod": "0.9200", "min_sandbox_trials": 3, "min_sandbox_success_rate": "0.8200",
        "trials": 3, "successes": 3, "since": "2026-10-26",
    }  # fmt: skip
    used = HeimdallEvent.objects.get(kind="USED")
    assert (str(used.recommendation_id), used.correlation_id) == (number, evidence.correlation_id)
    assert differences(evidence) == []


@pytest.mark.parametrize("given", ["", "rec-7", "999999"])
def test_without_a_recommendation_there_is_no_offer(asked: None, given: str) -> None:
    assert reason_of(recommendation_id=given).startswith("recommendation_")


def test_a_recommendation_of_another_domain_or_lead_makes_no_offer(asked: None) -> None:
    assert reason_of(recommendation_id=recommended(domain="BUYER_MATCH")) == "other_domain"
    assert reason_of(recommendation_id=recommended(subject="L-2")) == "other_subject"
    assert reason_of("", recommendation_id=recommended(subject="L-2")) == "other_subject"


def test_the_gate_is_asked_at_the_moment_of_the_offer(asked: None) -> None:
    unsure, sure = recommended("0.91"), recommended()
    assert reason_of(recommendation_id=unsure) == "confidence_below_threshold"
    upsert_policy(OFFER, {"prod_use_enabled": False}, by=ANYBODY, at=AT)
    assert reason_of(recommendation_id=sure) == "prod_use_disabled"
    promote(OFFER, by=ANYBODY, at=AT)
    assert kept("L-1", recommendation_id=sure)


def test_a_recommendation_makes_one_offer(asked: None) -> None:
    number = recommended(subject="L-1")
    kept("L-1", recommendation_id=number)
    assert reason_of(recommendation_id=number) == "recommendation_used"
    assert Offer.objects.live().count() == 1


def test_a_dry_run_asks_and_uses_nothing_up(asked: None) -> None:
    number = recommended()
    for _again in range(2):
        assert compute("L-1", recommendation_id=number, dry_run=True).evidence is None
    assert reason_of(recommendation_id="", dry_run=True) == "recommendation_missing"
    assert not HeimdallEvent.objects.filter(kind__in=["USED", "REFUSED"]).exists()
    assert kept("L-1", recommendation_id=number)


def test_an_offer_that_fails_otherwise_leaves_the_recommendation_unused(asked: None) -> None:
    number = recommended()
    with pytest.raises(Refused) as refusal:
        compute("L-1", recommendation_id=number, repairs=Decimal(400_000), reserve=True)
    assert refusal.value.code == "no_offer"
    assert kept("L-1", recommendation_id=number)


def test_where_the_policy_does_not_ask_heimdall_is_not_asked() -> None:
    switch_on()
    evidence = OfferEvidence.objects.get(pk=kept(recommendation_id="rec-7"))
    assert (evidence.recommendation_id, evidence.heimdall) == ("rec-7", None)
    assert not HeimdallEvent.objects.exists()


@pytest.mark.parametrize(
    ("asks", "value"),
    [(True, '{"reason": "gate_pass"}'), (True, None), (False, '{"reason": "gate_pass"}'), (False, "{}")],
)
def test_a_verdict_is_neither_altered_added_nor_taken_away_unnoticed(
    asked: None, asks: bool, value: str | None
) -> None:
    switch_on(require_heimdall=asks)
    pk = kept("L-1", recommendation_id=recommended())
    assert differences(OfferEvidence.objects.get(pk=pk)) == []
    tamper(pk, "heimdall", value)
    assert differences(OfferEvidence.objects.get(pk=pk)) == ["digest"]


def test_the_refusal_over_http_says_why(asked: None, api: Callable[..., APIClient]) -> None:
    body = {"province": "ON", "arv": 450_000, "repairs": 50_000, "recommendation_id": recommended("0.9")}
    answer = api("CLOSER").post("/api/deals/offers/compute", body, format="json")
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (409, "heimdall_refused")
    assert problem["reason"] == "confidence_below_threshold"
    assert problem["detail"] == "The recommendation’s confidence is 0.9; at least 0.92 is required."
    assert HeimdallEvent.objects.get(kind="REFUSED").actor == "a-closer"


def test_asking_heimdall_costs_five_queries(asked: None) -> None:
    def queries(lead_id: str) -> int:
        number = recommended()
        with CaptureQueriesContext(connection) as counted:
            kept(lead_id, recommendation_id=number)
        return len(counted)

    with_heimdall = queries("L-1")
    switch_on(require_heimdall=False)
    # the recommendation with its use before, the policy with its scorecard; the use with its savepoint
    assert with_heimdall - queries("L-2") == 5


@pytest.mark.django_db(transaction=True)
def test_one_recommendation_named_by_many_at_once_makes_one_offer() -> None:
    let_in()
    number = recommended()
    answers = at_once(lambda client: kept(f"L-{client}", recommendation_id=number))
    refusals = [answer for answer in answers if isinstance(answer, Refused)]
    assert Counter(refusal.extra["reason"] for refusal in refusals) == {"recommendation_used": CLIENTS - 1}
    assert OfferEvidence.objects.count() == Offer.objects.count() == 1
    assert KpiEvent.objects.filter(metric="offer_generated").count() == 1

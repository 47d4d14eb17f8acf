"""What happens to offers: in order, once, counted once per lead, and corrected without losing the first."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, transaction
from pytest_django import Settings

from governance.core.actors import Actor
from governance.core.errors import Forbidden, Invalid, NotFound, Refused
from governance.models import KpiEvent
from offers.models import Offer, OfferOutcome
from offers.services import Figures, Recorded, correct_outcome
from offers.tests.factories import ANYBODY, AT, kept, outcome, switch_on

pytestmark = [pytest.mark.both, pytest.mark.django_db]

WALKS = ["ACCEPTED", "REJECTED", "CONTRACTED", "ASSIGNED", "FELL_THROUGH"]


@pytest.fixture(autouse=True)
def policy(db: None) -> None:
    switch_on()


def correct(evidence_id: int, name: str, **changes: Any) -> Recorded:
    by, void = changes.pop("by", ANYBODY), changes.pop("void", False)
    reason = changes.pop("reason", "typed wrongly")
    return correct_outcome(
        evidence_id, name, figures=Figures(**changes), void=void, reason=reason, by=by, at=AT
    )


def events() -> list[tuple[str, bool | None, int | None]]:
    """Return the rates' events: metric, success, and which earlier one (from 0) each corrects."""
    rows = list(KpiEvent.objects.exclude(metric="offer_generated").order_by("id"))
    place = {row.pk: number for number, row in enumerate(rows)}
    return [(row.metric, row.success, place.get(row.detail.get("corrects", 0))) for row in rows]


def counted(metric: str) -> list[bool | None]:
    """Return what a rate counts: events that no later one corrects."""
    rows = list(KpiEvent.objects.filter(metric=metric).order_by("id"))
    corrected = {row.detail.get("corrects") for row in rows}
    return [row.success for row in rows if row.pk not in corrected]


def state(evidence_id: int) -> str:
    return str(Offer.objects.get(pk=evidence_id).state)


def refusal(call: Callable[[], object]) -> str:
    before = (OfferOutcome.objects.count(), KpiEvent.objects.count())
    with pytest.raises(Refused) as refused:
        call()
    assert (OfferOutcome.objects.count(), KpiEvent.objects.count()) == before
    return refused.value.code


@pytest.mark.parametrize(
    ("before", "name", "rows"),
    [
        ("", "ACCEPTED", 1),
        ("", "REJECTED", 1),
        ("", "CONTRACTED", 2),  # implies ACCEPTED
        ("", "ASSIGNED", None),
        ("", "FELL_THROUGH", None),
        ("ACCEPTED", "REJECTED", None),
        ("ACCEPTED", "CONTRACTED", 2),
        ("ACCEPTED", "ASSIGNED", None),
        ("REJECTED", "ACCEPTED", None),
        ("REJECTED", "CONTRACTED", None),
        ("CONTRACTED", "REJECTED", None),
        ("CONTRACTED", "ASSIGNED", 3),
        ("CONTRACTED", "FELL_THROUGH", 3),
        ("CONTRACTED ASSIGNED", "FELL_THROUGH", None),
        ("CONTRACTED FELL_THROUGH", "ASSIGNED", None),
        ("CONTRACTED FELL_THROUGH", "REJECTED", None),
    ],
)
def test_outcomes_come_in_their_order(before: str, name: str, rows: int | None) -> None:
    offer = kept("L-1")
    for earlier in before.split():
        outcome(offer, earlier)
    if rows is None:
        assert refusal(lambda: outcome(offer, name)) == "outcome_out_of_order"
        return
    assert outcome(offer, name).state == state(offer) == name
    assert OfferOutcome.objects.filter(evidence_id=offer).count() == rows


def test_a_contract_without_an_acceptance_writes_both_with_one_event_each() -> None:
    offer = kept("L-1")
    outcome(offer, "CONTRACTED", agreed_price=Decimal(250_000))
    assert list(OfferOutcome.objects.order_by("id").values_list("outcome", "agreed_price")) == [
        ("ACCEPTED", Decimal(250_000)),
        ("CONTRACTED", Decimal(250_000)),
    ]
    assert events() == [("offer_accept_rate", True, None), ("contract_rate", True, None)]


def test_the_same_outcome_again_answers_the_first_and_counts_once() -> None:
    offer = kept("L-1")
    first = outcome(offer, "ACCEPTED", agreed_price=Decimal(250_000))
    again = outcome(offer, "ACCEPTED", agreed_price=Decimal("250000.00"))
    bare = outcome(offer, "ACCEPTED")
    assert (first.already_recorded, again.already_recorded, bare.already_recorded) == (False, True, True)
    assert first.outcome == again.outcome == bare.outcome
    assert events() == [("offer_accept_rate", True, None)]


def test_the_same_outcome_with_other_figures_is_not_swallowed() -> None:
    offer = kept("L-1")
    outcome(offer, "ACCEPTED", agreed_price=Decimal(250_000))
    assert refusal(lambda: outcome(offer, "ACCEPTED", agreed_price=Decimal(251_000))) == "outcome_differs"


def test_an_early_outcome_is_answered_after_later_ones() -> None:
    offer = kept("L-1")
    outcome(offer, "CONTRACTED")
    outcome(offer, "FELL_THROUGH")
    assert outcome(offer, "ACCEPTED").already_recorded


def test_only_the_newest_offer_of_a_lead_takes_an_outcome() -> None:
    first = kept("L-1")
    outcome(first, "ACCEPTED")
    second = kept("L-1")
    assert state(first) == "SUPERSEDED"
    assert refusal(lambda: outcome(first, "CONTRACTED")) == "superseded"
    assert outcome(first, "ACCEPTED").already_recorded
    assert outcome(second, "CONTRACTED").state == "CONTRACTED"


def test_an_ended_offer_stays_as_it_ended_when_a_newer_one_is_computed() -> None:
    first = kept("L-1")
    outcome(first, "REJECTED")
    kept("L-1")
    assert state(first) == "REJECTED"
    assert refusal(lambda: outcome(first, "CONTRACTED")) == "superseded"


def test_offers_without_a_lead_supersede_nothing_and_take_outcomes() -> None:
    first, second = kept(), kept()
    outcome(first, "ACCEPTED")
    outcome(second, "REJECTED")
    assert counted("offer_accept_rate") == [True, False]


def test_rates_count_a_lead_once_however_often_its_offer_is_computed() -> None:
    for name in ("REJECTED", "REJECTED", "ACCEPTED"):
        outcome(kept("L-1"), name)
    outcome(kept("L-2"), "REJECTED")
    assert events() == [
        ("offer_accept_rate", False, None),
        ("offer_accept_rate", False, 0),
        ("offer_accept_rate", True, 1),
        ("offer_accept_rate", False, None),
    ]
    assert counted("offer_accept_rate") == [True, False]


def test_a_contract_that_falls_through_counts_once_as_no_contract() -> None:
    offer = kept("L-1")
    outcome(offer, "CONTRACTED")
    outcome(offer, "FELL_THROUGH")
    assert events()[1:] == [("contract_rate", True, None), ("contract_rate", False, 1)]
    assert counted("contract_rate") == [False]


def test_an_assignment_keeps_buyer_price_and_fee_and_moves_no_rate() -> None:
    offer = kept("L-1")
    outcome(offer, "CONTRACTED")
    row = outcome(offer, "ASSIGNED").outcome
    assert (row.buyer, row.buyer_price, row.fee_earned) == ("B-1", Decimal(255_000), Decimal(9_000))
    assert len(events()) == 2


@pytest.mark.parametrize(
    ("name", "figures", "wrong"),
    [
        ("REJECTED", {"agreed_price": Decimal(1)}, {"agreed_price"}),
        ("FELL_THROUGH", {"fee_earned": Decimal(1)}, {"fee_earned"}),
        ("ACCEPTED", {"buyer": "B-1"}, {"buyer"}),
        ("ASSIGNED", {"buyer": "B-1"}, {"buyer_price", "fee_earned"}),
    ],
)
def test_figures_belong_to_their_outcome(name: str, figures: dict[str, object], wrong: set[str]) -> None:
    offer = kept("L-1")
    with pytest.raises(Invalid) as refused:
        outcome(offer, name, **figures)
    assert set(refused.value.errors) == wrong


# --- the price ---------------------------------------------------------------------------------------------

ABOVE = Decimal("262500.01")


def test_the_highest_allowable_offer_itself_can_be_agreed() -> None:
    assert outcome(kept("L-1"), "ACCEPTED", agreed_price=Decimal(262_500)).state == "ACCEPTED"


def test_a_price_above_it_needs_a_manager_with_a_reason(by: Callable[..., Actor]) -> None:
    offer = kept("L-1")
    for role, reason in (("CLOSER", "lovely garden"), ("MANAGER", ""), ("SERVICE", "lovely garden")):
        code = refusal(
            lambda: outcome(offer, "ACCEPTED", agreed_price=ABOVE, by=by(role), reason=reason)  # noqa: B023  # called at once
        )
        assert code == "price_above_mao"
    row = outcome(offer, "ACCEPTED", agreed_price=ABOVE, by=by("MANAGER"), reason="second parcel").outcome
    assert (row.agreed_price, row.reason_given.text) == (ABOVE, "second parcel")


# --- corrections -------------------------------------------------------------------------------------------


def test_a_correction_keeps_the_first_row_and_puts_the_rate_right() -> None:
    offer = kept("L-1")
    first = outcome(offer, "ACCEPTED").outcome
    done = correct(offer, "REJECTED")
    assert (done.state, done.outcome.corrects, done.outcome.reason_given.text) == (
        "REJECTED",
        first,
        "typed wrongly",
    )
    assert list(OfferOutcome.objects.order_by("id").values_list("outcome", flat=True)) == [
        "ACCEPTED",
        "REJECTED",
    ]
    assert events() == [("offer_accept_rate", True, None), ("offer_accept_rate", False, 0)]
    assert correct(offer, "REJECTED").already_recorded
    correct(offer, "ACCEPTED")
    assert counted("offer_accept_rate") == [True]


def test_correcting_a_figure_moves_no_rate() -> None:
    offer = kept("L-1")
    outcome(offer, "ACCEPTED", agreed_price=Decimal(205_000))
    assert correct(offer, "ACCEPTED", agreed_price=Decimal(250_000)).outcome.agreed_price == Decimal(250_000)
    assert len(events()) == 1
    assert outcome(offer, "ACCEPTED", agreed_price=Decimal(250_000)).already_recorded


def test_what_never_happened_is_taken_back_and_can_happen_later() -> None:
    offer = kept("L-1")
    outcome(offer, "CONTRACTED")
    assert correct(offer, "CONTRACTED", void=True).state == "ACCEPTED"
    assert correct(offer, "CONTRACTED", void=True).already_recorded
    assert counted("contract_rate") == [None]
    assert not outcome(offer, "CONTRACTED").already_recorded
    assert counted("contract_rate") == [True]
    assert state(offer) == "CONTRACTED"


def test_taking_back_the_newest_outcome_lets_the_lead_count_as_before() -> None:
    first, second = kept("L-1"), None
    outcome(first, "REJECTED")
    second = kept("L-1")
    outcome(second, "ACCEPTED")
    correct(second, "ACCEPTED", void=True)
    assert counted("offer_accept_rate") == [False]
    assert state(second) == "OPEN"


def test_how_a_contract_ended_can_be_corrected_both_ways() -> None:
    offer = kept("L-1")
    outcome(offer, "CONTRACTED")
    outcome(offer, "FELL_THROUGH")
    correct(offer, "ASSIGNED", buyer="B-1", buyer_price=Decimal(255_000), fee_earned=Decimal(9_000))
    assert counted("contract_rate") == [True]
    correct(offer, "FELL_THROUGH")
    assert (counted("contract_rate"), state(offer)) == ([False], "FELL_THROUGH")


def test_an_acceptance_under_a_contract_cannot_be_corrected_away() -> None:
    offer = kept("L-1")
    outcome(offer, "CONTRACTED")
    assert refusal(lambda: correct(offer, "REJECTED")) == "outcome_out_of_order"
    assert refusal(lambda: correct(offer, "ACCEPTED", void=True)) == "outcome_out_of_order"
    outcome(offer, "FELL_THROUGH")
    assert refusal(lambda: correct(offer, "CONTRACTED", void=True)) == "outcome_out_of_order"


def test_an_older_offers_correction_moves_the_rate_only_while_no_newer_one_decides_it() -> None:
    first = kept("L-1")
    outcome(first, "REJECTED")
    second = kept("L-1")
    assert correct(first, "ACCEPTED").state == "SUPERSEDED"
    assert counted("offer_accept_rate") == [True]
    outcome(second, "REJECTED")
    correct(first, "REJECTED")
    assert counted("offer_accept_rate") == [False]
    assert len(events()) == 3


def test_nothing_can_be_corrected_that_was_not_recorded() -> None:
    offer = kept("L-1")
    assert refusal(lambda: correct(offer, "ACCEPTED")) == "nothing_to_correct"
    outcome(offer, "REJECTED")
    assert refusal(lambda: correct(offer, "ACCEPTED", void=True)) == "nothing_to_correct"


def test_a_correction_needs_a_reason_and_a_manager(by: Callable[..., Actor]) -> None:
    offer = kept("L-1")
    outcome(offer, "REJECTED")
    assert refusal(lambda: correct(offer, "ACCEPTED", reason="")) == "invalid"
    for role in ("VA", "CLOSER", "AUDITOR", "SERVICE"):
        with pytest.raises(Forbidden):
            correct(offer, "ACCEPTED", by=by(role))
    assert correct(offer, "ACCEPTED", by=by("MANAGER")).state == "ACCEPTED"


# --- who, and the last guard -------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["VA", "AUDITOR"])
def test_others_record_no_outcome(role: str, by: Callable[..., Actor]) -> None:
    offer = kept("L-1")
    with pytest.raises(Forbidden):
        outcome(offer, "ACCEPTED", by=by(role))


@pytest.mark.parametrize("number", [10**6, 10**30])
def test_an_offer_that_does_not_exist_is_not_found(number: int) -> None:
    with pytest.raises(NotFound):
        outcome(number, "ACCEPTED")


def test_recording_what_happened_asks_no_switch(settings: Settings) -> None:
    offer = kept("L-1")
    settings.GO_LIVE_ENFORCE = True
    assert outcome(offer, "ACCEPTED").state == "ACCEPTED"


def test_the_database_takes_one_first_row_per_stage_and_one_correction_per_row() -> None:
    offer = kept("L-1")
    first = outcome(offer, "ACCEPTED").outcome
    correct(offer, "REJECTED")
    for corrects in (None, first):
        with pytest.raises(IntegrityError), transaction.atomic():
            OfferOutcome.objects.create(
                evidence_id=offer, outcome="ACCEPTED", stage=1, corrects=corrects, created_at=AT
            )


def test_the_database_itself_keeps_outcomes() -> None:
    outcome(kept("L-1"), "ACCEPTED")
    from django.db import connection

    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE offers_offeroutcome SET outcome = 'REJECTED'")

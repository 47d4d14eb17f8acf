"""Offer policies: seeds, the one in force, and changing one."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.apps import apps
from django.db import IntegrityError, transaction

from governance.core.actors import Actor
from governance.core.errors import Forbidden, Invalid, Refused
from governance.core.places import Province
from offers import seeds
from offers.models import OfferPolicy
from offers.services import get_effective_policy, upsert_policy
from offers.tests.factories import ANYBODY, AT, ONTARIO, TORONTO, OfferPolicyFactory, kept, switch_on

pytestmark = [pytest.mark.both, pytest.mark.django_db]


def get(name: str) -> Any:
    return apps.get_model("offers", name)


def test_thirteen_policies_are_seeded_switched_off_with_their_history() -> None:
    policies = OfferPolicy.objects.all()
    assert {policy.province for policy in policies} == set(Province.values)
    assert {policy.market for policy in policies} == {"ALL"}
    assert not any(policy.enabled for policy in policies)
    one = policies[0]
    assert (one.max_arv_multiplier, one.default_assignment_fee, one.default_fees_buffer) == (
        Decimal("0.70"),
        Decimal(10_000),
        Decimal(2_500),
    )
    assert (one.offer_net_of_assignment_fee, one.min_liquidity_score, one.require_heimdall) == (
        True,
        None,
        False,
    )
    assert OfferPolicy.history.filter(version=1).count() == 13


def test_seeding_again_adds_nothing() -> None:
    seeds.seed(get, AT)
    assert (OfferPolicy.objects.count(), OfferPolicy.history.count()) == (13, 13)


def test_the_way_back_leaves_what_somebody_changed_and_what_evidence_names() -> None:
    switch_on(ONTARIO)
    switch_on(TORONTO)
    kept(place=TORONTO)
    OfferPolicy.objects.filter(province="QC").update(default_fees_buffer=Decimal(3000))
    seeds.unseed(get)
    assert {str(policy) for policy in OfferPolicy.objects.all()} == {"ON/ALL", "ON/TORONTO", "QC/ALL"}


def test_the_way_back_leaves_a_seed_that_evidence_names() -> None:
    switch_on(ONTARIO)
    kept()
    OfferPolicy.objects.filter(province="ON").update(
        enabled=False, version=1, changed_by="seed", reason="seed"
    )
    seeds.unseed(get)
    assert [str(policy) for policy in OfferPolicy.objects.all()] == ["ON/ALL"]


def test_a_market_without_a_row_of_its_own_takes_that_of_all() -> None:
    assert str(get_effective_policy(TORONTO)) == "ON/ALL"
    OfferPolicyFactory()
    assert str(get_effective_policy(TORONTO)) == "ON/TORONTO"


def test_a_new_row_takes_what_is_left_out_from_the_effective_policy() -> None:
    switch_on(ONTARIO, default_fees_buffer=Decimal(4000), min_liquidity_score=Decimal(20))
    policy = upsert_policy(TORONTO, {"max_arv_multiplier": Decimal("0.65")}, by=ANYBODY, at=AT)
    assert (policy.version, policy.enabled, policy.default_fees_buffer) == (1, True, Decimal(4000))
    assert (policy.max_arv_multiplier, policy.min_liquidity_score) == (Decimal("0.65"), Decimal(20))


def test_what_is_left_out_keeps_its_value_and_null_blanks_the_score() -> None:
    switch_on(ONTARIO, min_liquidity_score=Decimal(20), default_fees_buffer=Decimal(4000))
    policy = upsert_policy(ONTARIO, {"min_liquidity_score": None}, by=ANYBODY, at=AT, reason="thin market")
    policy.refresh_from_db()
    assert (policy.version, policy.min_liquidity_score, policy.default_fees_buffer) == (
        3,
        None,
        Decimal(4000),
    )
    assert [row.history_change_reason for row in policy.history.all()][0] == "thin market"


def test_no_change_makes_no_version() -> None:
    switch_on()
    assert switch_on(max_arv_multiplier=Decimal("0.7")).version == 2
    assert OfferPolicy.history.filter(province="ON").count() == 2


@pytest.mark.parametrize("expected", [0, 2])
def test_a_stale_version_is_refused(expected: int) -> None:
    with pytest.raises(Refused) as refused:
        upsert_policy(ONTARIO, {"enabled": True}, by=ANYBODY, at=AT, expected_version=expected)
    assert (refused.value.code, refused.value.extra) == ("stale_version", {"version": 1})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_arv_multiplier", "0.4999"),
        ("max_arv_multiplier", "0.9001"),
        ("max_arv_multiplier", "0.70001"),
        ("max_arv_multiplier", "NaN"),
        ("default_assignment_fee", "-0.01"),
        ("default_fees_buffer", "1000000000"),
        ("min_liquidity_score", "-1"),
    ],
)
def test_values_out_of_bounds_are_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(Invalid) as refused:
        upsert_policy(ONTARIO, {name: Decimal(value)}, by=ANYBODY, at=AT)
    assert set(refused.value.errors) == {name}
    assert OfferPolicy.objects.get(province="ON").version == 1


@pytest.mark.parametrize("bound", ["0.50", "0.90"])
def test_the_bounds_themselves_are_allowed(bound: str) -> None:
    assert switch_on(max_arv_multiplier=Decimal(bound)).version == 2


@pytest.mark.parametrize("beyond", ["0.4999", "0.9001"])
def test_the_database_keeps_the_bounds_of_the_multiplier(beyond: str) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        OfferPolicy.objects.filter(province="ON").update(max_arv_multiplier=Decimal(beyond))


@pytest.mark.parametrize("role", ["VA", "CLOSER", "AUDITOR"])
def test_only_managers_change_policies(role: str, by: Callable[..., Actor]) -> None:
    with pytest.raises(Forbidden):
        upsert_policy(ONTARIO, {"enabled": True}, by=by(role), at=AT)


def test_a_service_client_needs_the_policy_scope(by: Callable[..., Actor]) -> None:
    with pytest.raises(Forbidden):
        upsert_policy(ONTARIO, {"enabled": True}, by=by("SERVICE", scopes=()), at=AT)
    assert upsert_policy(ONTARIO, {"enabled": True}, by=by("SERVICE"), at=AT).enabled

"""The admin screens: managers edit policies with a reason, nobody edits evidence."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings

from governance.models import User
from offers.models import OfferEvidence, OfferPolicy
from offers.services import Figures, correct_outcome
from offers.tests.factories import ANYBODY, AT, kept, outcome, switch_on

pytestmark = pytest.mark.django_db


@pytest.fixture
def sign_in(person: Callable[..., User], settings: Settings) -> Callable[[str], Client]:
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }

    def make(role: str) -> Client:
        client = Client()
        client.force_login(person(role), backend="valhalla.rest.RoleBackend")
        return client

    return make


def form(policy: OfferPolicy, **changes: Any) -> dict[str, Any]:
    values = {
        "enabled": "on" if policy.enabled else "",
        "max_arv_multiplier": policy.max_arv_multiplier,
        "default_assignment_fee": policy.default_assignment_fee,
        "default_fees_buffer": policy.default_fees_buffer,
        "offer_net_of_assignment_fee": "on" if policy.offer_net_of_assignment_fee else "",
        "min_liquidity_score": policy.min_liquidity_score or "",
        "require_heimdall": "",
        "change_reason": "spring review",
        "seen_version": policy.version,
        **changes,
    }
    return {name: value for name, value in values.items() if value != ""}


def url(policy: OfferPolicy) -> str:
    return f"/admin/offers/offerpolicy/{policy.pk}/change/"


def test_a_manager_changes_a_policy_with_a_reason(sign_in: Callable[[str], Client]) -> None:
    policy = OfferPolicy.objects.get(province="ON")
    answer = sign_in("MANAGER").post(url(policy), form(policy, enabled="on", max_arv_multiplier="0.68"))
    assert answer.status_code == 302, answer.content
    policy.refresh_from_db()
    assert (policy.enabled, policy.max_arv_multiplier, policy.version) == (True, Decimal("0.68"), 2)
    assert (policy.changed_by, policy.reason) == ("a-manager", "spring review")
    newest = policy.history.first()
    assert newest is not None
    assert (newest.history_change_reason, newest.history_user.username) == ("spring review", "a-manager")


def test_two_managers_do_not_overwrite_each_other(sign_in: Callable[[str], Client]) -> None:
    policy = OfferPolicy.objects.get(province="ON")
    said = form(policy, max_arv_multiplier="0.68")
    assert sign_in("MANAGER").post(url(policy), said).status_code == 302
    stale = sign_in("MANAGER").post(url(policy), {**said, "max_arv_multiplier": "0.66"})
    assert stale.status_code == 200
    policy.refresh_from_db()
    assert (policy.max_arv_multiplier, policy.version) == (Decimal("0.68"), 2)


def test_an_earlier_version_is_read_and_never_posted_to(sign_in: Callable[[str], Client]) -> None:
    policy = OfferPolicy.objects.get(province="ON")
    address = f"/admin/offers/offerpolicy/{policy.pk}/history/{policy.history.get().pk}/"
    for role in ("MANAGER", "AUDITOR"):
        assert sign_in(role).get(address).status_code == 200
        assert sign_in(role).post(address, form(policy)).status_code == 403


@pytest.mark.parametrize(
    "change", [{"change_reason": ""}, {"max_arv_multiplier": "0.95"}, {"default_fees_buffer": "-1"}]
)
def test_without_a_reason_or_out_of_bounds_nothing_is_saved(
    sign_in: Callable[[str], Client], change: dict[str, str]
) -> None:
    policy = OfferPolicy.objects.get(province="ON")
    answer = sign_in("MANAGER").post(url(policy), form(policy, enabled="on", **change))
    assert answer.status_code == 200
    policy.refresh_from_db()
    assert policy.version == 1


def test_a_manager_adds_a_markets_policy(sign_in: Callable[[str], Client]) -> None:
    template = OfferPolicy.objects.get(province="ON")
    answer = sign_in("MANAGER").post(
        "/admin/offers/offerpolicy/add/", form(template, province="ON", market="toronto", enabled="on")
    )
    assert answer.status_code == 302, answer.content
    assert OfferPolicy.objects.get(market="TORONTO").version == 1


def test_an_auditor_reads_policies_and_changes_none(sign_in: Callable[[str], Client]) -> None:
    policy = OfferPolicy.objects.get(province="ON")
    client = sign_in("AUDITOR")
    assert client.get(url(policy)).status_code == 200
    assert client.post(url(policy), form(policy, enabled="on")).status_code == 403


def test_evidence_is_shown_and_never_changed(sign_in: Callable[[str], Client]) -> None:
    switch_on()
    number = kept("L-1")
    outcome(number, "ACCEPTED", agreed_price=Decimal(250_000))
    correct_outcome(number, "REJECTED", figures=Figures(), reason="misheard", by=ANYBODY, at=AT)
    client = sign_in("MANAGER")
    for screen in ("offer", "offerevidence", "offeroutcome", "offerpolicy"):
        assert client.get(f"/admin/offers/{screen}/").status_code == 200
    page = client.get(f"/admin/offers/offerevidence/{number}/change/")
    assert page.status_code == 200
    assert OfferEvidence.objects.get(pk=number).digest in page.content.decode()
    assert "misheard" in page.content.decode()
    for screen in ("offer", "offerevidence"):
        assert client.post(f"/admin/offers/{screen}/{number}/change/", {"lead_id": "x"}).status_code == 403
        assert client.post(f"/admin/offers/{screen}/{number}/delete/", {"post": "yes"}).status_code == 403


def test_the_history_of_a_policy_can_be_read(sign_in: Callable[[str], Client]) -> None:
    policy = switch_on()
    page = sign_in("AUDITOR").get(f"/admin/offers/offerpolicy/{policy.pk}/history/")
    assert page.status_code == 200


def test_the_form_says_what_the_typed_values_give(sign_in: Callable[[str], Client]) -> None:
    policy = OfferPolicy.objects.get(province="ON")
    client = sign_in("MANAGER")
    page = client.get(url(policy)).content.decode()
    assert "the end buyer may pay 262,500 CAD at most, and we offer 252,500 CAD" in page
    said = {**form(policy, max_arv_multiplier="0.65", default_assignment_fee="12000.50"), "_draw": "1"}
    page = client.post(url(policy), said).content.decode()
    assert "the end buyer may pay 240,000 CAD at most, and we offer 227,999.50 CAD" in page
    page = client.post(url(policy), {**said, "default_fees_buffer": "300000"}).content.decode()
    assert "such a house gets no offer" in page
    policy.refresh_from_db()
    assert policy.version == 1


@pytest.mark.parametrize("wrong", ["NaN", "1e999", "-1", "0.95", "x" * 10_000, "\0"])
def test_no_example_is_made_of_what_cannot_be_used(sign_in: Callable[[str], Client], wrong: str) -> None:
    policy = OfferPolicy.objects.get(province="ON")
    said = {**form(policy), "max_arv_multiplier": wrong, "_draw": "1"}
    page = sign_in("MANAGER").post(url(policy), said).content.decode()
    assert "First correct the marked amounts" in page
    assert "we offer" not in page


def test_many_policies_are_switched_on_with_a_reason(sign_in: Callable[[str], Client]) -> None:
    rows = OfferPolicy.objects.filter(province__in=["ON", "QC"])
    said = {"action": "switch_on", "_selected_action": [row.pk for row in rows], "apply": "1"}
    listed = "/admin/offers/offerpolicy/"
    for role in ("AUDITOR", "MANAGER"):
        sign_in(role).post(listed, said)
    assert not OfferPolicy.objects.filter(enabled=True).exists(), "not without a reason"
    sign_in("AUDITOR").post(listed, {**said, "change_reason": "spring review"})
    assert not OfferPolicy.objects.filter(enabled=True).exists()
    sign_in("MANAGER").post(listed, {**said, "change_reason": "spring review"})
    switched = OfferPolicy.objects.filter(enabled=True).values_list("province", "version", "reason")
    assert set(switched) == {("ON", 2, "spring review"), ("QC", 2, "spring review")}


def test_the_list_opens_in_few_queries(
    sign_in: Callable[[str], Client], django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    client = sign_in("MANAGER")
    with django_assert_max_num_queries(10):
        client.get("/admin/offers/offerpolicy/")

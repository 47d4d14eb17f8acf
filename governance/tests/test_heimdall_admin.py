"""Heimdall on the managers' screens."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from governance.core.actors import Actor
from governance.heimdall.models import HeimdallPolicy, HeimdallScorecardDay
from governance.heimdall.services import promote, recommend, record_trial, use_recommendation
from governance.models import User
from valhalla.testing import ClientResponse

pytestmark = pytest.mark.django_db
OFFER = "WHOLESALE_OFFER"
SYSTEM = Actor.system("test")
LIST = "admin:governance_heimdallpolicy_changelist"


@pytest.fixture
def manager(person: Callable[..., User], client: Client) -> Client:
    client.force_login(person("MANAGER", "mona"))
    return client


def tried(trials: int, successes: int, domain: str = OFFER) -> None:
    HeimdallScorecardDay.objects.create(
        domain=domain, day=timezone.now().astimezone(UTC).date(), trials=trials, successes=successes
    )


def change(client: Client, **given: Any) -> ClientResponse:
    policy = HeimdallPolicy.objects.get(domain=OFFER)
    form = {
        "min_confidence_prod": policy.min_confidence_prod,
        "min_sandbox_trials": policy.min_sandbox_trials,
        "min_sandbox_success_rate": policy.min_sandbox_success_rate,
        "change_reason": "the review",
        "seen_version": policy.version,
        **({"prod_use_enabled": "on"} if policy.prod_use_enabled else {}),
        **given,
    }
    form = {name: value for name, value in form.items() if value is not None}
    return client.post(reverse("admin:governance_heimdallpolicy_change", args=[policy.pk]), form)


def errors_of(answer: ClientResponse) -> dict[str, list[str]]:
    assert answer.status_code == 200, answer.status_code
    return dict(answer.context["adminform"].form.errors)


def text(answer: Any) -> str:
    assert answer.status_code == 200, answer.status_code
    return " ".join(answer.content.decode().replace("\xa0", " ").split())


def test_each_domains_figures_stand_beside_what_is_asked(manager: Client) -> None:
    tried(74, 62)
    tried(50, 40, domain="BUYER_MATCH")
    tried(100, 84, domain="CAPITAL_ROUTE")
    tried(60, 60, domain="FOLLOWUP_NEXT_ACTION")
    promote("FOLLOWUP_NEXT_ACTION", by=SYSTEM, at=timezone.now())
    record_trial("FOLLOWUP_NEXT_ACTION", success=False, by=SYSTEM, at=timezone.now())
    shown = text(manager.get(reverse(LIST)))
    for told in ("74, required 75", "83.78 %, required 82 %", "can be promoted", "in the sandbox",
                 "84 %, required 85 %", "in production", "98.36 %, required 80 %",
                 "Wholesale offers"):  # fmt: skip
        assert told in shown, told
    HeimdallScorecardDay.objects.all().delete()
    shown = text(manager.get(reverse(LIST)))
    assert "held back: below the requirements" in shown
    assert "none yet, required 82 %" in shown


def test_the_list_costs_the_same_whatever_the_number_of_policies(
    manager: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    manager.get(reverse(LIST))
    with django_assert_num_queries(7):
        manager.get(reverse(LIST))
    for number in range(20):
        HeimdallPolicy.objects.create(domain=f"D{number}", changed_by="x", updated_at=timezone.now())
        tried(3, 2, domain=f"D{number}")
    with django_assert_num_queries(7):
        manager.get(reverse(LIST))


def test_a_change_asks_for_a_reason(manager: Client) -> None:
    answer = change(manager, min_sandbox_trials=80, change_reason="")
    assert list(errors_of(answer)) == ["change_reason"]
    assert change(manager, min_sandbox_trials=80).status_code == 302
    policy = HeimdallPolicy.objects.get(domain=OFFER)
    assert (policy.version, policy.min_sandbox_trials) == (2, 80)
    assert (policy.changed_by, policy.reason) == ("mona", "the review")


def test_ticking_production_use_promotes_or_says_what_lacks(manager: Client) -> None:
    tried(74, 74)
    told = errors_of(change(manager, prod_use_enabled="on", min_confidence_prod="0.99"))
    assert told["prod_use_enabled"] == ["Sandbox trials in the last 30 days: 74; required: 75."]
    assert HeimdallPolicy.objects.get(domain=OFFER).version == 1
    record_trial(OFFER, success=True, by=SYSTEM, at=timezone.now())
    assert change(manager, prod_use_enabled="on").status_code == 302
    assert HeimdallPolicy.objects.get(domain=OFFER).prod_use_enabled
    assert change(manager, prod_use_enabled=None).status_code == 302
    assert not HeimdallPolicy.objects.get(domain=OFFER).prod_use_enabled


@pytest.mark.parametrize(
    ("field", "value"),
    [("min_confidence_prod", "1.1"), ("min_confidence_prod", "x"), ("min_confidence_prod", "NaN"),
     ("min_sandbox_success_rate", "-1"), ("min_sandbox_trials", "-1"), ("min_sandbox_trials", "9" * 30),
     ("min_sandbox_trials", ""), ("change_reason", "r" * 501)],
)  # fmt: skip
def test_nonsense_is_told_at_its_field(manager: Client, field: str, value: str) -> None:
    assert list(errors_of(change(manager, **{field: value}))) == [field]
    assert HeimdallPolicy.objects.get(domain=OFFER).version == 1


def test_whoever_saw_an_earlier_version_is_told(manager: Client) -> None:
    change(manager, min_sandbox_trials=80)
    assert "Read it again first" in text(change(manager, min_sandbox_trials=90, seen_version=1))


def test_a_policy_of_a_new_domain_is_made_and_keeps_its_domain(manager: Client) -> None:
    new = {
        "domain": "PRICE_CHECK",
        "min_confidence_prod": "0.9",
        "min_sandbox_trials": "10",
        "min_sandbox_success_rate": "0.8",
        "change_reason": "a new machine",
    }
    address = reverse("admin:governance_heimdallpolicy_add")
    assert list(errors_of(manager.post(address, {**new, "domain": "price check"}))) == ["domain"]
    assert manager.post(address, new).status_code == 302
    made = HeimdallPolicy.objects.get(domain="PRICE_CHECK")
    assert (made.version, made.min_confidence_prod) == (1, Decimal("0.9"))
    assert list(errors_of(manager.post(address, new))) == ["domain"]
    change(manager, domain="OTHER", min_sandbox_trials=80)
    assert not HeimdallPolicy.objects.filter(domain="OTHER").exists()


def test_an_earlier_version_is_shown_as_it_was(manager: Client) -> None:
    change(manager, min_sandbox_trials=80)
    policy = HeimdallPolicy.objects.get(domain=OFFER)
    first = policy.history.earliest()
    page = reverse("admin:governance_heimdallpolicy_simple_history", args=[policy.pk, first.pk])
    shown = text(manager.get(page))
    assert "75" in shown
    assert "can be promoted" not in shown
    assert "in the sandbox" not in shown


def test_recommendations_say_whether_they_were_used_and_events_why_they_were_refused(manager: Client) -> None:
    tried(100, 100)
    now = timezone.now()
    promote(OFFER, by=SYSTEM, at=now)
    row, _verdict = recommend(OFFER, Decimal("0.95"), by=SYSTEM, at=now, subject="L-77")
    use_recommendation(str(row.pk), OFFER, by=SYSTEM, at=now, subject="L-77")
    shown = text(
        manager.get(reverse("admin:governance_heimdallrecommendation_changelist"), {"domain": OFFER})
    )
    assert "L-77" in shown
    assert re.search(r">used</td>", shown)
    assert re.search(r">95 %</td>", shown)
    shown = text(manager.get(reverse("admin:governance_heimdallevent_changelist"), {"domain": OFFER}))
    assert "recommendation used" in shown
    assert "may drive production" in shown
    days = text(
        manager.get(reverse("admin:governance_heimdallscorecardday_changelist"), {"domain": "BUYER_MATCH"})
    )
    assert "100 %" not in days


def test_an_auditor_looks_and_changes_nothing(person: Callable[..., User], client: Client) -> None:
    client.force_login(person("AUDITOR"))
    assert client.get(reverse(LIST)).status_code == 200
    assert change(client, min_sandbox_trials=80).status_code == 403
    assert HeimdallPolicy.objects.get(domain=OFFER).version == 1

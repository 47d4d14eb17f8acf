"""What a policy was, who changed it and why, and how an old version comes back as a new one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from governance.core.actors import Actor, Role
from governance.core.admin.base import HistoryAdmin
from governance.core.places import Place
from governance.core.versions import Versioned
from governance.market.models import MarketPolicy
from governance.market.services import upsert_policy
from governance.models import User

pytestmark = [pytest.mark.both, pytest.mark.django_db]

AT = datetime(2026, 3, 24, 17, 0, tzinfo=UTC)
NIGHTS = [{"days": [6], "start": "03:00", "end": "04:00"}]
QUEBEC = Place("QC", "ALL")


@pytest.fixture
def mona(client: Client, person: Callable[..., User]) -> Client:
    client.force_login(person(Role.MANAGER, "mona"))
    return client


@pytest.fixture
def changed(by: Callable[..., Actor]) -> MarketPolicy:
    """Quebec's policy after somebody put its hours into the night."""
    rules: dict[str, object] = {"contact_windows_local": NIGHTS}
    return upsert_policy(QUEBEC, by=by(Role.MANAGER, "otto"), at=AT, rules=rules, reason="Trying something")


def address(row: Any, version: Any = None) -> str:
    named = f"admin:{row._meta.app_label}_{row._meta.model_name}"
    if version is None:
        return reverse(f"{named}_history", args=[row.pk])
    return reverse(f"{named}_restore", args=[row.pk, version.pk])


def test_the_history_says_who_changed_the_hours_when_why_and_to_what(
    mona: Client, changed: MarketPolicy
) -> None:
    page = mona.get(address(changed)).content.decode()
    for text in ("otto", "Trying something", "24 March 2026, 13:00 EDT", "Sunday", "Version 2"):
        assert text in page, text


def test_an_old_version_comes_back_as_a_new_one_with_its_reason(mona: Client, changed: MarketPolicy) -> None:
    first = changed.history.order_by("history_id").first()

    asked = mona.get(address(changed, first)).content.decode()
    answer = mona.post(address(changed, first), {"seen_version": "2", "change_reason": "Back to the day"})

    assert "Sunday" in asked
    assert answer.status_code == 302
    changed.refresh_from_db()
    # the seeds' version is older than some rules, which keep their values
    assert {name: changed.rules[name] for name in first.rules} == first.rules
    assert (changed.version, changed.changed_by) == (3, "mona")
    assert changed.history.order_by("history_id").last().history_change_reason == "Back to the day"
    assert [row.version for row in changed.history.order_by("history_id")] == [1, 2, 3]


def test_without_a_reason_nothing_comes_back(mona: Client, changed: MarketPolicy) -> None:
    page = mona.post(
        address(changed, changed.history.order_by("history_id").first()),
        {"seen_version": "2", "change_reason": " "},
    )
    assert page.status_code == 200
    changed.refresh_from_db()
    assert changed.version == 2


def test_who_has_not_seen_the_newest_version_is_told(mona: Client, changed: MarketPolicy) -> None:
    page = mona.post(
        address(changed, changed.history.order_by("history_id").first()),
        {"seen_version": "1", "change_reason": "Back to the day"},
    )
    assert "This was changed in the meantime" in page.content.decode()
    changed.refresh_from_db()
    assert changed.version == 2


def test_an_auditor_reads_history_and_restores_nothing(
    client: Client, person: Callable[..., User], changed: MarketPolicy
) -> None:
    client.force_login(person(Role.AUDITOR, "ada"))
    first = changed.history.order_by("history_id").first()
    version = reverse("admin:governance_marketpolicy_simple_history", args=[changed.pk, first.pk])
    assert b"/restore/" not in client.get(version).content
    assert client.get(address(changed, first)).status_code == 403
    assert (
        client.post(
            address(changed, first), {"seen_version": "2", "change_reason": "as it was 1st"}
        ).status_code
        == 403
    )
    changed.refresh_from_db()
    assert changed.version == 2


def test_a_version_of_another_policy_or_of_none_restores_nothing(mona: Client, changed: MarketPolicy) -> None:
    other = MarketPolicy.objects.get(province="ON").history.earliest()
    for number in (other.pk, 10**30):
        named = f"/admin/governance/marketpolicy/{changed.pk}/history/{number}/restore/"
        assert mona.post(named, {"seen_version": "2", "change_reason": "as it was 1st"}).status_code == 302
    changed.refresh_from_db()
    assert changed.version == 2


VERSIONED = [
    model
    for model, screen in admin.site._registry.items()
    if isinstance(screen, HistoryAdmin) and issubclass(model, Versioned)
]


# of the first there are none, and a pause is ended on the schedules’ page, never by bringing back a version
OTHERS = ("ConsentStatement", "AreaCodeStatement", "JobSwitch")
SEEDED = [model for model in VERSIONED if model.__name__ not in OTHERS]


@pytest.mark.parametrize("model", SEEDED, ids=lambda model: model.__name__)
def test_every_versioned_screen_restores_through_its_own_verb(mona: Client, model: Any) -> None:
    row = model.objects.first()
    assert row is not None
    first = row.history.latest() if row.history.exists() else None
    if first is None:
        row.updated_at = AT
        row._history_date = AT
        row.save()
        first = row.history.latest()
    asked = mona.get(address(row, first))
    answer = mona.post(
        address(row, first), {"seen_version": str(row.version), "change_reason": "as it was 1st"}
    )
    row.refresh_from_db()
    assert (asked.status_code, answer.status_code) == (200, 302), answer.content.decode()[-3000:]
    assert row.version == first.version, "what is as it was makes no version"


def test_market_offer_ladder_risk_tripwire_and_heimdall_policies_are_all_restored() -> None:
    assert {
        "MarketPolicy",
        "OfferPolicy",
        "LadderTemplate",
        "RiskPolicy",
        "RegressionPolicy",
        "HeimdallPolicy",
    } <= {model.__name__ for model in VERSIONED}

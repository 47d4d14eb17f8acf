"""Changing caps: what is left out keeps its value, and every version is kept."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from governance.core.actors import Actor
from governance.core.errors import Forbidden, Invalid, Refused
from governance.risk.models import RiskEngine, RiskPolicy
from governance.risk.seeds import seed, unseed
from governance.risk.services import upsert_policy
from governance.tests.factories import NOW
from governance.tests.risking import ANYBODY, cad, reserve, reserved

MakeBy = Callable[..., Actor]
pytestmark = [pytest.mark.both, pytest.mark.django_db]


def upsert(engine: str = "WHOLESALE", expected: int | None = None, **changes: object) -> RiskPolicy:
    return upsert_policy(engine, changes, by=ANYBODY, at=NOW, reason="why", expected_version=expected)


def test_a_change_keeps_what_it_does_not_name_and_the_version_before() -> None:
    policy = upsert(max_daily_loss=cad(5_000))
    assert (policy.version, policy.changed_by, policy.reason) == (2, "test", "why")
    policy.refresh_from_db()
    assert (policy.max_daily_loss, policy.max_open_risk, policy.enabled) == (5_000, 100_000, True)
    kept = list(policy.history.order_by("version").values_list("version", "max_daily_loss"))
    assert kept == [(1, 20_000), (2, 5_000)]


def test_no_change_makes_no_version() -> None:
    assert upsert(max_daily_loss=Decimal("20000.0")).version == 1
    assert upsert().version == 1


def test_a_new_engine_is_off_and_has_no_caps_until_somebody_says_so() -> None:
    policy = upsert("moonshot", max_open_risk=cad(10))
    assert (policy.engine, policy.enabled, policy.max_daily_loss, policy.version) == ("MOONSHOT", False, 0, 1)
    assert reserve(10, "MOONSHOT").code == "policy_disabled"
    upsert("MOONSHOT", enabled=True)
    assert [reserve(10, "MOONSHOT").ok, reserve(1, "MOONSHOT").ok] == [True, False]


@pytest.mark.parametrize(("expected", "passes"), [(1, True), (0, False), (2, False), (None, True)])
def test_an_expected_version_notices_who_was_faster(expected: int | None, passes: bool) -> None:
    if passes:
        assert upsert(expected=expected, enabled=False).version == 2
        return
    with pytest.raises(Refused) as refused:
        upsert(expected=expected, enabled=False)
    assert (refused.value.code, refused.value.extra) == ("stale_version", {"version": 1})


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"max_daily_loss": Decimal("-1")}, "max_daily_loss"),
        ({"max_open_risk": Decimal("1000000000")}, "max_open_risk"),
        ({"max_daily_exposure": Decimal("0.001")}, "max_daily_exposure"),
        ({"max_actions_per_day": -1}, "max_actions_per_day"),
        ({"max_actions_per_day": 2**31}, "max_actions_per_day"),
    ],
    ids=str,
)
def test_a_cap_out_of_bounds_is_named_and_nothing_changes(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        upsert(**changes)
    assert list(refused.value.errors) == [field]
    assert RiskPolicy.objects.get(engine="WHOLESALE").version == 1


def test_an_engine_is_a_code() -> None:
    with pytest.raises(Invalid) as refused:
        upsert("W H")
    assert list(refused.value.errors) == ["engine"]


@pytest.mark.parametrize("role", ["VA", "CLOSER", "AUDITOR"])
def test_only_a_manager_changes_caps(role: str, by: MakeBy) -> None:
    with pytest.raises(Forbidden):
        upsert_policy("WHOLESALE", {"enabled": False}, by=by(role), at=NOW)


def test_a_service_client_needs_the_policy_scope(by: MakeBy) -> None:
    assert upsert_policy("WHOLESALE", {"enabled": False}, by=by("SERVICE"), at=NOW).version == 2
    with pytest.raises(Forbidden):
        upsert_policy("WHOLESALE", {"enabled": True}, by=by("SERVICE", "web", scopes=()), at=NOW)


# --- seeds --------------------------------------------------------------------------------------------------


def get(name: str) -> Any:
    from django.apps import apps

    return apps.get_model("governance", name)


def test_planting_the_seeds_again_changes_nothing() -> None:
    upsert(max_daily_loss=cad(1))
    seed(get, NOW)
    assert RiskPolicy.objects.count() == RiskEngine.objects.count() == 4
    assert RiskPolicy.objects.get(engine="WHOLESALE").max_daily_loss == 1


def test_the_way_back_removes_untouched_rows_only() -> None:
    upsert(max_daily_loss=cad(1))
    reserved(10, "CAPITAL")
    unseed(get)
    assert set(RiskPolicy.objects.values_list("engine", flat=True)) == {"WHOLESALE"}
    assert set(RiskEngine.objects.values_list("engine", flat=True)) == {"WHOLESALE", "CAPITAL", "GLOBAL"}
    seed(get, NOW)
    assert RiskPolicy.objects.count() == RiskEngine.objects.count() == 4
    assert RiskEngine.objects.get(engine="CAPITAL").open_risk == 10

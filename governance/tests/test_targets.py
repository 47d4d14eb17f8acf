"""Targets: the owner's to begin with, changed by managers with a reason, compared with figures."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal as D
from typing import Any

import pytest
from django.apps import apps
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse
from django.utils.translation import override

from governance.core.actors import Actor
from governance.core.errors import Forbidden, Invalid, NotFound, Refused
from governance.core.numbers import percent
from governance.kpi.models import Target
from governance.kpi.querysets import targets
from governance.kpi.rules import AT_LEAST, AT_MOST, MORE_THAN, gap, is_met
from governance.kpi.seeds import seed, unseed
from governance.kpi.targets import set_target
from governance.models import User
from governance.tests.factories import NOW

MakeBy = Callable[..., Actor]
pytestmark = [pytest.mark.both, pytest.mark.django_db]
CHANGE: dict[str, Any] = {"comparison": AT_LEAST, "value": D("0.95"), "at": NOW, "reason": "we can do better"}


def test_at_first_the_targets_are_the_owners() -> None:
    assert {name: target.told.replace("\xa0", " ") for name, target in targets().items()} == {
        "contact_compliance": "at least 100 %",
        "followup_sla": "at least 90 %",
        "buyer_response": "above 60 %",
        "offer_accept_rate": "above 40 %",
        "contract_rate": "above 25 %",
        "open_throttles": "at most 0",
    }


@pytest.mark.parametrize(
    ("comparison", "value", "figure", "met", "away"),
    [
        (AT_LEAST, "0.9", "0.9", True, "0"),
        (AT_LEAST, "0.9", "0.89", False, "-0.01"),
        (MORE_THAN, "0.6", "0.6", False, "0"),
        (MORE_THAN, "0.6", "0.61", True, "0.01"),
        (AT_MOST, "0", "0", True, "0"),
        (AT_MOST, "0", "2", False, "-2"),
    ],
)
def test_a_figure_meets_its_target_or_misses_it_by_so_much(
    comparison: str, value: str, figure: str, met: bool, away: str
) -> None:
    assert is_met(comparison, D(value), D(figure)) is met
    assert gap(comparison, D(value), D(figure)) == D(away)


def test_a_percentage_is_written_as_the_language_does() -> None:
    assert percent(D("0.9")) == "90\xa0%"
    assert percent(0.0005) == "0.05\xa0%"
    assert percent(1) == "100\xa0%"
    with override("fr"):
        assert percent(D("0.125"), 1) == "12,5\xa0%"


def test_a_manager_changes_a_target_and_the_earlier_one_is_kept(by: MakeBy) -> None:
    set_target("followup_sla", by=by("MANAGER", "mona"), expected_version=1, **CHANGE)
    set_target("followup_sla", by=by("MANAGER", "mona"), **CHANGE)
    target = targets()["followup_sla"]
    assert (target.value, target.version, target.changed_by, target.reason, target.updated_at) == (
        D("0.95"),
        2,
        "mona",
        "we can do better",
        NOW,
    )
    earlier = target.history.values_list("value", "history_change_reason")
    assert list(earlier) == [(D("0.95"), "we can do better"), (D("0.9"), "seed")]


def test_who_may_not_and_what_cannot_be(by: MakeBy) -> None:
    for role in ("VA", "CLOSER", "AUDITOR", "SERVICE"):
        with pytest.raises(Forbidden):
            set_target("followup_sla", by=by(role), **CHANGE)
    manager = by("MANAGER")
    for wrong in ({"value": D("1.01")}, {"value": D("-0.1")}, {"comparison": "NEAR"}, {"reason": " "}):
        with pytest.raises(Invalid):
            set_target("followup_sla", by=manager, **{**CHANGE, **wrong})
    with pytest.raises(Invalid):
        set_target("open_throttles", by=manager, **{**CHANGE, "value": D("0.5")})
    with pytest.raises(NotFound):
        set_target("weather", by=manager, **CHANGE)
    with pytest.raises(Refused) as stale:
        set_target("followup_sla", by=manager, expected_version=7, **CHANGE)
    assert (stale.value.code, stale.value.extra) == ("stale_version", {"version": 1})
    assert set(Target.objects.values_list("version", flat=True)) == {1}


def test_the_database_refuses_a_target_below_nothing() -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Target.objects.filter(metric="followup_sla").update(value=D("-1"))


def test_a_target_is_changed_on_its_screen_and_none_is_added(person: Callable[..., User]) -> None:
    client = Client()
    client.force_login(person("MANAGER", "mona"))
    target = targets()["buyer_response"]
    screen = reverse("admin:governance_target_change", args=[target.pk])
    form = {"comparison": MORE_THAN, "value": "0.65", "seen_version": "1"}
    assert "change_reason" in client.post(screen, form).context["adminform"].form.errors
    assert client.post(screen, {**form, "value": "7", "change_reason": "x"}).status_code == 200
    assert client.post(screen, {**form, "change_reason": "a good quarter"}).status_code == 302
    target.refresh_from_db()
    assert (target.value, target.changed_by, target.reason) == (D("0.65"), "mona", "a good quarter")
    assert client.get(reverse("admin:governance_target_add")).status_code == 403


def test_the_way_back_leaves_what_somebody_changed(by: MakeBy) -> None:
    def get(name: str) -> type:
        return apps.get_model("governance", name)

    set_target("followup_sla", by=by("MANAGER"), **CHANGE)
    unseed(get)
    assert list(targets()) == ["followup_sla"]
    seed(get, NOW)
    assert (len(targets()), targets()["followup_sla"].value) == (6, D("0.95"))

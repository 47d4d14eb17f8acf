"""Tripwires as managers set them up: what the typed values mean, and many switched together."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from governance.models import User
from governance.tripwire.models import RegressionPolicy
from governance.tripwire.services import POLICY_FIELDS

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk(person: Callable[..., User]) -> Callable[[str], Client]:
    def sign_in(role: str) -> Client:
        client = Client()
        client.force_login(person(role, f"the-{role.lower()}"))
        return client

    return sign_in


def typed(policy: RegressionPolicy, **changes: object) -> dict[str, object]:
    said = {name: getattr(policy, name) for name in POLICY_FIELDS if name != "enabled"}
    return {**said, "enabled": "on", "change_reason": "", "seen_version": policy.version, **changes}


def test_a_tripwire_is_said_in_words_as_it_is_typed(desk: Callable[[str], Client]) -> None:
    policy = RegressionPolicy.objects.get(domain="WHOLESALE", metric="followup_sla")
    address = reverse("admin:governance_regressionpolicy_change", args=[policy.pk])
    client = desk("MANAGER")
    page = client.get(address).content.decode()
    assert "It monitors the success rate of “Follow-ups within 2 hours”." in page
    assert "WHOLESALE is held back until a manager resets the alert" in page
    said = typed(policy, action="KILL_SWITCH", max_drop_fraction="0.35", _draw="1")
    page = client.post(address, said).content.decode()
    assert "If it falls by 35" in page
    assert "the kill switch is engaged" in page
    policy.refresh_from_db()
    assert policy.version == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"action": "FAX"},
        {"measure": "\0"},
        {"max_drop_fraction": "NaN"},
        {"max_drop_fraction": "7"},
        {"max_false_alarm": "0"},
        {"window_events": "9" * 50},
        {"engine": "x" * 5000},
    ],
)
def test_what_cannot_be_is_refused_in_the_form(desk: Callable[[str], Client], wrong: dict[str, str]) -> None:
    policy = RegressionPolicy.objects.get(domain="WHOLESALE", metric="followup_sla")
    address = reverse("admin:governance_regressionpolicy_change", args=[policy.pk])
    client = desk("MANAGER")
    for way in ({"_draw": "1"}, {"change_reason": "a try of mine"}):
        answer = client.post(address, {**typed(policy), **wrong, **way})
        assert answer.status_code == 200
        assert answer.context["adminform"].form.errors
    policy.refresh_from_db()
    assert policy.version == 1


def test_many_are_switched_off_with_a_reason(desk: Callable[[str], Client]) -> None:
    rows = RegressionPolicy.objects.filter(enabled=True)
    said = {"action": "switch_off", "_selected_action": list(rows.values_list("pk", flat=True)), "apply": "1"}
    assert len(said["_selected_action"]) == 5
    listed = reverse("admin:governance_regressionpolicy_changelist")
    desk("AUDITOR").post(listed, {**said, "change_reason": "holidays begin"})
    assert rows.count() == 5
    desk("MANAGER").post(listed, {**said, "change_reason": "holidays begin"})
    assert rows.count() == 0
    assert RegressionPolicy.objects.filter(reason="holidays begin", version=2).count() == 5

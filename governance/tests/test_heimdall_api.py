"""Heimdall's endpoints over HTTP, with real tokens."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, timedelta
from typing import Any

import pytest
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from governance.heimdall.models import (
    HeimdallEvent,
    HeimdallPolicy,
    HeimdallRecommendation,
    HeimdallScorecardDay,
)

Api = Callable[..., APIClient]
pytestmark = [pytest.mark.both, pytest.mark.django_db]
ROOT = "/api/governance/heimdall"
OFFER = "WHOLESALE_OFFER"
VERBS: dict[str, dict[str, object]] = {
    "sandbox/trial": {"domain": OFFER, "success": True},
    "recommend": {"domain": OFFER, "confidence": 1},
    "policies/upsert": {"domain": OFFER, "min_sandbox_trials": 9},
    "promote": {"domain": OFFER},
}


def post(client: APIClient, path: str, body: Any = None, **options: Any) -> Any:
    return client.post(f"{ROOT}/{path}", body if body is not None else {}, format="json", **options)


def tried(trials: int, successes: int, days_ago: int = 0, domain: str = OFFER) -> None:
    day = timezone.now().astimezone(UTC).date() - timedelta(days=days_ago)
    HeimdallScorecardDay.objects.create(domain=domain, day=day, trials=trials, successes=successes)


def stored() -> list[int]:
    rows: tuple[Any, ...] = (HeimdallEvent, HeimdallRecommendation, HeimdallScorecardDay)
    return [*(model.objects.count() for model in rows), HeimdallPolicy.history.count()]


def test_from_the_sandbox_to_production(api: Api) -> None:
    machine, manager = api("SERVICE", "robot"), api("MANAGER", "mona")
    policy = post(
        manager, "policies/upsert", {"domain": "wholesale_offer", "min_sandbox_trials": 3, "reason": "pilot"}
    ).json()["policy"]
    assert (policy["version"], policy["min_sandbox_trials"], policy["changed_by"]) == (2, 3, "mona")

    sure = {"domain": OFFER, "confidence": 0.95, "subject": "L-1", "detail": {"max_offer": 252500}}
    early = post(machine, "recommend", sure).json()
    assert (early["ok"], early["reason"]) == (False, "prod_use_disabled")

    refusal = post(manager, "promote", {"domain": OFFER})
    assert (refusal.status_code, refusal.json()["code"]) == (409, "promotion_refused")
    assert refusal.json()["reason"] == "insufficient_sandbox_trials"
    assert "0; required: 3." in refusal.json()["detail"]

    for _trial in range(3):
        counted = post(machine, "sandbox/trial", {"domain": OFFER, "success": True, "actor": "model-7"})
        assert counted.status_code == 200, counted.content
    assert (counted.json()["trials"], counted.json()["success_rate"]) == (3, 1)
    assert HeimdallEvent.objects.filter(kind="TRIAL").values_list("actor", "acting_for")[0] == (
        "robot",
        "model-7",
    )

    promoted = post(manager, "promote", {"domain": OFFER, "reason": "it works"}).json()["policy"]
    assert (promoted["prod_use_enabled"], promoted["version"], promoted["reason"]) == (True, 3, "it works")
    answer = post(machine, "recommend", sure).json()
    assert answer["recommendation_id"] == HeimdallRecommendation.objects.latest("id").pk
    assert (answer["ok"], answer["reason"], answer["confidence"]) == (True, "gate_pass", 0.95)
    assert (answer["trials"], answer["min_sandbox_trials"], answer["policy_version"]) == (3, 3, 3)


def test_existing_clients_send_the_query_string(api: Api) -> None:
    client = api("SERVICE")
    answer = client.post(f"{ROOT}/sandbox/trial?domain=buyer_match&success=false&correlation_id=c-1")
    assert (answer.status_code, answer.json()["trials"], answer.json()["success_rate"]) == (200, 1, 0)
    assert HeimdallEvent.objects.get().correlation_id == answer["X-Correlation-ID"] == "c-1"
    answer = client.post(f"{ROOT}/recommend?domain=BUYER_MATCH&confidence=0.5&detail=%7B%22rank%22%3A1%7D")
    assert (answer.status_code, answer.json()["ok"]) == (200, False)
    assert HeimdallRecommendation.objects.get().detail == {"rank": 1}


def test_the_scorecard_stands_beside_what_is_asked(api: Api) -> None:
    tried(60, 50, days_ago=1)
    tried(40, 31)
    tried(500, 0, days_ago=30)
    client = api("AUDITOR")
    answer = client.get(f"{ROOT}/scorecard").json()
    assert (answer["ok"], answer["days"]) == (True, 30)
    rows = {row["domain"]: row for row in answer["scorecard"]}
    assert list(rows) == ["BUYER_MATCH", "CAPITAL_ROUTE", "FOLLOWUP_NEXT_ACTION", OFFER]
    since = (timezone.now().astimezone(UTC).date() - timedelta(days=29)).isoformat()
    assert rows[OFFER] == {
        "domain": OFFER, "since": since, "trials": 100, "successes": 81, "success_rate": 0.81,
        "prod_use_enabled": False, "min_confidence_prod": 0.92, "min_sandbox_trials": 75,
        "min_sandbox_success_rate": 0.82, "shortfall": "sandbox_success_rate_below_threshold",
    }  # fmt: skip
    assert (rows["BUYER_MATCH"]["trials"], rows["BUYER_MATCH"]["success_rate"]) == (0, None)
    today = client.get(f"{ROOT}/scorecard/today", {"domain": "wholesale_offer"}).json()
    assert today["scorecard"] == [{"domain": OFFER, "trials": 40, "successes": 31, "success_rate": 0.775}]
    assert today["day"] == timezone.now().astimezone(UTC).date().isoformat()


@pytest.mark.parametrize("path", ["policies", "scorecard", "scorecard/today"])
def test_a_list_costs_the_same_whatever_it_finds(
    api: Api, path: str, django_assert_max_num_queries: Callable[..., CaptureQueriesContext]
) -> None:
    client = api("CLOSER")
    for days_ago in range(35):
        tried(3, 3, days_ago=days_ago)
    client.get(f"{ROOT}/{path}")
    with django_assert_max_num_queries(3):  # token, user, list
        assert client.get(f"{ROOT}/{path}").status_code == 200


@pytest.mark.parametrize(
    ("path", "most"), [("sandbox/trial", 7), ("recommend", 6), ("policies/upsert", 7), ("promote", 9)]
)
def test_what_a_verb_costs(
    api: Api, path: str, most: int, django_assert_num_queries: Callable[..., CaptureQueriesContext]
) -> None:
    tried(100, 100)
    client = api("MANAGER")
    post(client, "recommend", {"domain": "BUYER_MATCH", "confidence": 1})
    with django_assert_num_queries(most):
        assert post(client, path, VERBS[path]).status_code == 200


@pytest.mark.parametrize("path", VERBS)
def test_the_same_key_does_it_once(api: Api, path: str) -> None:
    tried(100, 100)
    client = api("MANAGER")
    first = post(client, path, VERBS[path], HTTP_IDEMPOTENCY_KEY="k-1")
    after = stored()
    again = post(client, path, VERBS[path], HTTP_IDEMPOTENCY_KEY="k-1")
    assert (first.status_code, again.status_code) == (200, 200)
    assert again["Idempotent-Replayed"] == "true"
    assert (again.json(), stored()) == (first.json(), after)
    other = post(client, path, {**VERBS[path], "domain": "BUYER_MATCH"}, HTTP_IDEMPOTENCY_KEY="k-1")
    assert other.status_code == 422


def test_a_stale_version_is_refused(api: Api) -> None:
    client = api("MANAGER")
    for path in ("policies/upsert", "promote"):
        answer = post(client, path, {"domain": OFFER, "expected_version": 7})
        assert (answer.status_code, answer.json()["code"]) == (409, "stale_version")
        assert answer.json()["version"] == 1


NONSENSE: dict[tuple[str, str], list[object]] = {
    **{
        (path, "domain"): [None, "", "two words", 7, ["A"], {"a": 1}, "É", "A" * 41, "a\0b"] for path in VERBS
    },
    ("sandbox/trial", "success"): [None, "", "perhaps", 2, [], {}],
    ("recommend", "confidence"): [None, "", "high", True, -0.1, 1.01, "NaN", [], {}],
    ("recommend", "detail"): [[], "text", {"note": "call her"}, {"a": {"b": 1}}],
    ("recommend", "subject"): [None, "s" * 65, ["L-1"], {}],
    ("policies/upsert", "min_confidence_prod"): [None, -1, 1.5, "x", 0.123456, []],
    ("policies/upsert", "min_sandbox_success_rate"): [None, 2, "x", []],
    ("policies/upsert", "min_sandbox_trials"): [None, -1, 1_000_001, 2**70, 1.5, "x", [], True],
    ("policies/upsert", "prod_use_enabled"): [None, "x", [], {}],
    **{(path, "expected_version"): [-1, 2**70, "x"] for path in ("policies/upsert", "promote")},
    **{(path, "reason"): ["r" * 501, []] for path in ("policies/upsert", "promote")},
}


@pytest.mark.parametrize(
    ("path", "field", "value"),
    [(path, field, value) for (path, field), values in NONSENSE.items() for value in values],
)
def test_nonsense_is_refused_by_its_field_and_nothing_is_kept(
    api: Api, path: str, field: str, value: object
) -> None:
    answer = post(api("MANAGER"), path, {**VERBS[path], field: value})
    assert answer.status_code == 400, answer.content
    assert list(answer.json()["errors"]) == [field]
    assert stored() == [0, 0, 0, 4]


@pytest.mark.parametrize("path", VERBS)
def test_a_key_that_does_not_exist_is_noticed(api: Api, path: str) -> None:
    answer = post(api("MANAGER"), path, {**VERBS[path], "domian": "X"})
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["domian"])


@pytest.mark.parametrize("path", ["policies", "scorecard", "scorecard/today"])
def test_a_list_of_a_domain_that_could_be_none_is_refused(api: Api, path: str) -> None:
    answer = api("CLOSER").get(f"{ROOT}/{path}", {"domain": "two words"})
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["domain"])
    assert api("CLOSER").get(f"{ROOT}/{path}", {"domain": "NOBODYS"}).status_code == 200

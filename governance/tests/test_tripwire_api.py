"""The tripwires over REST: shapes, refusals, keys, and what a call costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import time_machine
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from governance.kpi.models import KpiEvent
from governance.risk.models import RiskThrottle
from governance.tests.tripping import DAY, LADDERS, SLA, happen_daily, look_on, six, watch, weekly
from governance.tripwire.models import RegressionFiring, RegressionPolicy, RegressionState

Api = Callable[..., APIClient]
pytestmark = [pytest.mark.both, pytest.mark.django_db]
BASE = "/api/governance/regression"
NAMED = {"domain": "WHOLESALE", "metric": "followup_sla"}


def post(client: APIClient, what: str, key: str = "", **given: Any) -> Any:
    headers: dict[str, Any] = {"HTTP_IDEMPOTENCY_KEY": key} if key else {}
    return client.post(f"{BASE}/{what}", given, format="json", **headers)


def fired() -> Any:
    watch()
    return look_on(happen_daily(SLA, [(18, 2)] * 20 + [(8, 12)] * 5))


def test_the_policies_are_listed_by_domain_and_metric(api: Api) -> None:
    body = api("VA").get(f"{BASE}/policies").json()
    assert body["ok"] is True
    assert [policy["metric"] for policy in body["policies"]] == [
        "buyer_feedback", "match_success", "roi_event", "contract_rate", "followup_completed",
        "followup_sla", "ladder_created", "offer_accept_rate", "offer_generated",
    ]  # fmt: skip
    roi = body["policies"][2]
    assert {name: roi[name] for name in roi if name not in ("id", "updated_at")} == {
        "domain": "CAPITAL", "metric": "roi_event", "engine": "CAPITAL", "measure": "MEAN",
        "window_events": 50, "baseline_events": 200, "min_events_to_enforce": 50, "max_drop_fraction": 0.3,
        "max_false_alarm": 0.0005, "action": "KILL_SWITCH", "enabled": False, "version": 1,
        "changed_by": "seed", "reason": "seed",
    }  # fmt: skip
    enabled = api("VA").get(f"{BASE}/policies", {"enabled": "true", "domain": "wholesale"}).json()
    assert len(enabled["policies"]) == 4


def test_a_policy_is_made_and_changed_with_what_is_named(api: Api) -> None:
    client = api("MANAGER", "mona")
    made = post(client, "policies/upsert", domain="notify", metric="mail_sent", action="THROTTLE",
                engine="NOTIFY", max_false_alarm=5e-05, max_drop_fraction="0.25")  # fmt: skip
    assert made.status_code == 200
    policy = made.json()["policy"]
    assert (policy["domain"], policy["max_false_alarm"], policy["max_drop_fraction"], policy["enabled"]) == (
        "NOTIFY",
        0.00005,
        0.25,
        False,
    )
    assert (policy["reason"], policy["changed_by"], policy["version"]) == ("via API", "mona", 1)
    changed = post(
        client, "policies/upsert", domain="NOTIFY", metric="mail_sent", enabled=True, expected_version=1
    ).json()["policy"]
    assert (changed["enabled"], changed["engine"], changed["version"]) == (True, "NOTIFY", 2)
    stale = post(
        client, "policies/upsert", domain="NOTIFY", metric="mail_sent", enabled=False, expected_version=1
    )
    assert (stale.status_code, stale.json()["code"]) == (409, "stale_version")
    by_robot = post(api("SERVICE", "robot"), "policies/upsert", **NAMED, max_drop_fraction=0.3)
    assert by_robot.status_code == 200


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({}, "domain"),
        ({"domain": "WHOLESALE"}, "metric"),
        ({"domain": "WHOLE SALE", "metric": "x"}, "domain"),
        ({"domain": "X", "metric": "a-b"}, "metric"),
        ({"domain": "X", "metric": "x" * 61}, "metric"),
        ({"domain": ["X"], "metric": "x"}, "domain"),
        ({**NAMED, "max_drop_fraction": 2}, "max_drop_fraction"),
        ({**NAMED, "max_drop_fraction": 0.20001}, "max_drop_fraction"),
        ({**NAMED, "max_false_alarm": "NaN"}, "max_false_alarm"),
        ({**NAMED, "max_false_alarm": 0}, "max_false_alarm"),
        ({**NAMED, "window_events": -1}, "window_events"),
        ({**NAMED, "window_events": 10**12}, "window_events"),
        ({**NAMED, "measure": "MEDIAN"}, "measure"),
        ({**NAMED, "action": None}, "action"),
        ({**NAMED, "engine": ""}, "engine"),
        ({**NAMED, "engine": "é"}, "engine"),
        ({**NAMED, "enabled": "perhaps"}, "enabled"),
        ({**NAMED, "windows": 3}, "windows"),
    ],
)
def test_what_a_policy_cannot_be_is_told_per_field(given: dict[str, Any], field: str, api: Api) -> None:
    answer = post(api("MANAGER"), "policies/upsert", **given)
    assert (answer.status_code, field in answer.json()["errors"]) == (400, True), answer.content
    assert not RegressionPolicy.objects.filter(version__gt=1).exists()


def test_the_state_says_what_was_found(api: Api) -> None:
    state = fired()
    body = api("AUDITOR").get(f"{BASE}/state", NAMED).json()
    (found,) = body["states"]
    assert found == {
        "domain": "WHOLESALE", "metric": "followup_sla", "enabled": True, "verdict": "TRIPPED",
        "triggered": True, "baseline": 0.9, "current": 0.4, "drop_fraction": pytest.approx(5 / 9),
        "p_value": state.p_value, "dispersion": 1.0, "smallest_drop": state.smallest_drop,
        "power": found["power"], "starts_at": "2026-08-31T04:00:00Z", "arms_on": None,
        "last_checked": "2026-09-25T10:00:00Z", "last_triggered": "2026-09-25T10:00:00Z",
        "note": "It fired on 25 September 2026; a manager must reset the alert.",
        "samples": {
            "baseline": {
                "since": "2026-08-31", "until": "2026-09-19", "days": 20, "events": 400, "figure": 0.9,
            },
            "current": {
                "since": "2026-09-20", "until": "2026-09-24", "days": 5, "events": 100, "figure": 0.4,
            },
        },
    }  # fmt: skip
    assert found["power"].startswith("At this volume the smallest drop it can detect is 2")
    assert len(api("CLOSER").get(f"{BASE}/state").json()["states"]) == 9


def test_a_learning_state_says_when_it_arms(api: Api) -> None:
    watch()
    look_on(happen_daily(SLA, [(18, 2)] * 10))
    found = api("AUDITOR").get(f"{BASE}/state", NAMED).json()["states"][0]
    assert (found["verdict"], found["arms_on"], found["p_value"], found["power"]) == (
        "LEARNING",
        "2026-09-25",
        None,
        "",
    )
    assert found["note"].startswith("It has been recomputing its baseline since 31 August 2026")
    assert found["note"].endswith("and starts watching about 25 September 2026.")


def test_one_or_all_are_evaluated(api: Api) -> None:
    watch()
    day = happen_daily(SLA, [(18, 2)] * 20 + [(8, 12)] * 5)
    client = api("SERVICE", "robot")
    with time_machine.travel(six(day), tick=False):
        one = post(client, "evaluate", **NAMED)
        every = post(client, "evaluate")
    assert (one.status_code, one.json()["state"]["triggered"], "states" in one.json()) == (200, True, False)
    assert [state["metric"] for state in every.json()["states"]] == ["followup_sla"]
    assert RegressionFiring.objects.count() == 1
    off = post(client, "evaluate", domain="CAPITAL", metric="roi_event")
    assert (off.status_code, off.json()["code"]) == (409, "tripwire_disabled")
    assert post(client, "evaluate", domain="CAPITAL", metric="weather").status_code == 404
    half = post(client, "evaluate", domain="CAPITAL")
    assert (half.status_code, list(half.json()["errors"])) == (400, ["metric"])


def test_an_event_is_recorded_once_per_key(api: Api) -> None:
    client = api("SERVICE", "robot")
    given = {"domain": "CAPITAL", "metric": "roi_event", "value": 0.125, "success": True,
             "detail": {"deal": "D-7"}, "actor": "carl", "correlation_id": "deal-7"}  # fmt: skip
    first, again = post(client, "kpi", "k1", **given), post(client, "kpi", "k1", **given)
    event = KpiEvent.objects.get()
    assert (first.status_code, first.json()) == (201, {"ok": True, "event_id": event.pk})
    assert again.json() == first.json()
    assert (event.actor, event.acting_for, event.correlation_id, str(event.value), event.success) == (
        "robot",
        "carl",
        "deal-7",
        "0.1250",
        True,
    )
    plain = post(client, "kpi", domain="CAPITAL", metric="roi_event")
    assert plain.status_code == 201


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"value": "1e400"}, "value"),
        ({"value": 12345678901}, "value"),
        ({"value": 0.12345}, "value"),
        ({"value": True}, "value"),
        ({"success": "perhaps"}, "success"),
        ({"detail": {"note": "called Anne Roy"}}, "detail"),
        ({"detail": ["x"]}, "detail"),
        ({"detail": {"corrects": 7}}, "detail"),
        ({"metric": "\x00"}, "metric"),
        ({"created_at": "2026-01-01"}, "created_at"),
    ],
)
def test_what_is_no_event_is_told_per_field(given: dict[str, Any], field: str, api: Api) -> None:
    answer = post(api("CLOSER"), "kpi", **{"domain": "CAPITAL", "metric": "roi_event", **given})
    assert (answer.status_code, field in answer.json()["errors"]) == (400, True), answer.content
    assert not KpiEvent.objects.exists()


def test_a_release_needs_a_reason_and_answers_the_new_state(api: Api) -> None:
    fired()
    client = api("MANAGER", "mona")
    for given in ({}, {"reason": "  "}):
        refused = post(client, "release", **NAMED, **given)
        assert (refused.status_code, list(refused.json()["errors"])) == (400, ["reason"])
    done = post(client, "release", **NAMED, reason="phones back").json()["state"]
    assert (done["triggered"], done["verdict"], done["baseline"]) == (False, "LEARNING", None)
    assert RiskThrottle.objects.get().released_by == "mona"
    assert post(client, "release", **NAMED, reason="again").status_code == 200
    assert post(client, "release", domain="X", metric="y", reason="x").status_code == 404


def test_a_client_without_the_policy_scope_changes_no_policy(api: Api) -> None:
    answer = post(api("SERVICE", "robot", scopes=()), "policies/upsert", **NAMED, enabled=False)
    assert answer.status_code == 403


def test_notes_speak_the_callers_language(api: Api) -> None:
    fired()
    answer = api("AUDITOR").get(f"{BASE}/state", NAMED, HTTP_ACCEPT_LANGUAGE="fr")
    assert "25 septembre 2026" in answer.json()["states"][0]["note"]


# --- what it costs ------------------------------------------------------------------------------------------


def known(client: APIClient) -> APIClient:
    """A client whose token was just used: the first call of a minute notes that."""
    client.get(f"{BASE}/policies")
    return client


def test_lists_cost_the_same_however_many_there_are(
    api: Api, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client = known(api("AUDITOR"))
    with django_assert_num_queries(2):  # the token with its user, the policies
        client.get(f"{BASE}/policies")
    with django_assert_num_queries(2):
        client.get(f"{BASE}/state")


def test_a_look_at_a_rate_reads_its_events_twice_at_most(
    api: Api, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    """Again it reads the newest days alone: the baseline is kept."""
    watch()
    day = happen_daily(SLA, [(18, 2)] * 60)
    look_on(day)
    client = known(api("SERVICE"))
    with django_assert_num_queries(8), time_machine.travel(six(day + DAY), tick=False):
        # the token, the tripwire, a savepoint, its row held, events, corrections, the row kept, the savepoint
        assert post(client, "evaluate", **NAMED).status_code == 200


def test_a_look_at_a_volume(api: Api, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    watch(LADDERS)
    day = happen_daily(LADDERS, weekly(20) * 8)
    look_on(day, LADDERS)
    client = known(api("SERVICE"))
    with django_assert_num_queries(12), time_machine.travel(six(day + DAY), tick=False):
        # besides: policies and closures for the open days, throttles of the engine and of all
        assert post(client, "evaluate", domain=LADDERS[0], metric=LADDERS[1]).status_code == 200


def test_a_tripwire_that_nobody_looked_at_says_so(api: Api) -> None:
    watch()
    assert api("AUDITOR").get(f"{BASE}/state", NAMED).json()["states"][0]["last_checked"] is None
    post(api("SERVICE"), "evaluate", **NAMED)
    assert RegressionState.objects.get(policy__metric="followup_sla").last_checked is not None

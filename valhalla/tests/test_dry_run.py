"""`dry_run=true` on every address that writes: it is answered as if it were done, and nothing is written.

Every address is found in the router. One without a walk below fails; each walk is also done in earnest, so
that a walk which would change nothing anyway is noticed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from pytest_django import Settings
from rest_framework.test import APIClient

from followups import services
from followups.models import FollowUpTask, Lead
from followups.tests.scenes import NOW, SOMEBODY, begin
from governance.core.transactions import is_rehearsal
from governance.models import GoLiveState, IdempotentAnswer, RegressionFiring, ScheduledChange
from governance.tests.factories import SELLER_PHONE
from governance.tests.risking import reserved
from offers.tests.factories import kept, switch_on
from valhalla.testing import make_by, make_client
from valhalla.tests.specimens import specimen
from valhalla.tests.test_access import API, addresses

pytestmark = [pytest.mark.both, pytest.mark.django_db]
MINUTE = timedelta(minutes=1)
Row = tuple[object, ...]


@pytest.fixture(autouse=True)
def clock() -> Iterator[None]:
    with time_machine.travel(NOW + MINUTE, tick=False):
        yield


def everything() -> dict[str, list[Row]]:
    """Return every row of every table."""
    found = {}
    with connection.cursor() as cursor:
        for table in sorted(connection.introspection.table_names(cursor)):
            cursor.execute(f'SELECT * FROM "{table}"')
            found[table] = sorted(cursor.fetchall(), key=repr)
    return found


@dataclass(frozen=True)
class Walk:
    """A call in earnest: its path and body, and how a refusal begins if it cannot but be refused here."""

    path: str
    body: dict[str, Any]
    role: str = "MANAGER"
    refused: int = 0
    changes: bool = True


def _task(action: str, role: str = "MANAGER", claimed: bool = False, **body: Any) -> Walk:
    task = begin("L-1", phone=SELLER_PHONE)
    if claimed:
        token, _ids, _until = services.claim_due(by=make_by(role), at=NOW + MINUTE, limit=1)
        body["claim_token"] = token
    return Walk(f"followups/task/{task.pk}/{action}", body, role)


def _completed() -> Walk:
    task = begin("L-1", phone=SELLER_PHONE)
    services.complete_task(task.pk, services.Completion(outcome="SENT"), by=SOMEBODY, at=NOW + MINUTE)
    return Walk(f"followups/task/{task.pk}/correct", {"outcome": "WRONG_NUMBER", "reason": "typo"})


def _scheduled() -> Walk:
    body = {"province": "ON", "enabled": False, "effective_from": "2026-12-20T12:00:00Z"}
    assert (
        make_client("MANAGER").post("/api/governance/market/policies/upsert", body, "json").status_code < 300
    )
    return Walk("governance/market/policies/cancel", {"id": ScheduledChange.objects.get().pk, "reason": "no"})


def _ladder() -> Walk:
    ladder_id = begin("L-1", phone=SELLER_PHONE).ladder_id
    return Walk(f"followups/ladder/{ladder_id}/stop", {"reason": "asked"})


def _reservation(action: str, **body: Any) -> Walk:
    return Walk(f"governance/risk/{action}", {"reservation_id": reserved(), **body})


def _switched(path: str, **state: bool) -> Walk:
    GoLiveState.objects.update(**state)
    return Walk(f"governance/go-live/{path}", {"reason": "test"})


def _offer(path: str, body: dict[str, Any]) -> Walk:
    switch_on()
    return Walk(path.format(evidence=kept("L-1") if "evidence" in path else 0), body)


def _reassigned(path: str, **body: Any) -> Walk:
    task = begin("L-1", phone=SELLER_PHONE)
    body |= {"owner": "vera", "reason": "test"}
    return Walk(path.format(task=task.pk), body | ({} if "task" in path else {"ids": [task.pk]}))


def _fired() -> Walk:
    specimen(RegressionFiring)
    return Walk("governance/regression/release", {**TRIPWIRE, "reason": "seen"})


def _lead(path: str, **body: Any) -> Walk:
    task = begin("L-1", phone=SELLER_PHONE)
    return Walk(path.format(lead=task.lead_id, point=task.contact_point_id), body)


TRIPWIRE = {"domain": "WHOLESALE", "metric": "followup_sla"}
TRIAL = {"domain": "WHOLESALE_OFFER", "success": True}
WALKS: dict[str, Callable[[], Walk]] = {
    "governance/market/policies/upsert": lambda: Walk(
        "governance/market/policies/upsert", {"province": "ON", "enabled": False}
    ),
    "governance/market/policies/cancel": _scheduled,
    "governance/market/simulate": lambda: Walk(
        "governance/market/simulate", {"province": "ON", "enabled": False}, changes=False
    ),
    "governance/go-live/enable": lambda: Walk("governance/go-live/enable", {"reason": "x"}, refused=412),
    "governance/go-live/disable": lambda: _switched("disable", go_live_enabled=True),
    "governance/go-live/kill-switch/engage": lambda: _switched("kill-switch/engage"),
    "governance/go-live/kill-switch/release": lambda: _switched(
        "kill-switch/release", kill_switch_engaged=True
    ),
    "governance/risk/policies/upsert": lambda: Walk(
        "governance/risk/policies/upsert", {"engine": "WHOLESALE", "max_daily_loss": 1}
    ),
    "governance/risk/check-and-reserve": lambda: Walk(
        "governance/risk/check-and-reserve", {"engine": "WHOLESALE", "amount": 10}
    ),
    "governance/risk/settle": lambda: _reservation("settle", realized_loss=1),
    "governance/risk/release": lambda: _reservation("release"),
    "governance/heimdall/policies/upsert": lambda: Walk(
        "governance/heimdall/policies/upsert", {"domain": "WHOLESALE_OFFER", "min_sandbox_trials": 80}
    ),
    "governance/heimdall/sandbox/trial": lambda: Walk("governance/heimdall/sandbox/trial", TRIAL),
    "governance/heimdall/recommend": lambda: Walk(
        "governance/heimdall/recommend", {"domain": "WHOLESALE_OFFER", "confidence": 0.95}
    ),
    "governance/heimdall/promote": lambda: Walk(
        "governance/heimdall/promote", {"domain": "WHOLESALE_OFFER", "reason": "x"}, refused=409
    ),
    "governance/regression/policies/upsert": lambda: Walk(
        "governance/regression/policies/upsert", {**TRIPWIRE, "max_drop_fraction": 0.3}
    ),
    "governance/regression/evaluate": lambda: Walk("governance/regression/evaluate", {}),
    "governance/regression/kpi": lambda: Walk("governance/regression/kpi", {**TRIPWIRE, "success": True}),
    "governance/regression/release": _fired,
    "followups/ladder/create": lambda: Walk(
        "followups/ladder/create",
        {"lead_id": "L-9", "province": "ON", "city": "Toronto", "phone": SELLER_PHONE, "market": "New one"},
    ),
    "followups/ladder/<int:pk>/stop": _ladder,
    "followups/due/claim": lambda: Walk(
        "followups/due/claim", {"limit": begin("L-1", phone=SELLER_PHONE).step or 1}
    ),
    "followups/task/<int:pk>/start": lambda: _task("start"),
    "followups/task/<int:pk>/complete": lambda: _task("complete", outcome="OPTED_OUT"),
    "followups/task/<int:pk>/renew": lambda: _task("renew", claimed=True),
    "followups/task/<int:pk>/release": lambda: _task("release", claimed=True),
    "followups/task/<int:pk>/snooze": lambda: _task("snooze", until="2026-11-27T15:00:00Z"),
    "followups/task/<int:pk>/skip": lambda: _task("skip", reason="busy"),
    "followups/task/<int:pk>/correct": _completed,
    "followups/task/<int:pk>/reassign": lambda: _reassigned("followups/task/{task}/reassign"),
    "followups/reassign": lambda: _reassigned("followups/reassign"),
    "followups/lead/<str:lead_id>/inbound": lambda: Walk(
        f"followups/lead/{begin('L-1', phone=SELLER_PHONE).lead.external_id}/inbound",
        {"channel": "CALL", "outcome": "REACHED", "next": "NOT_INTERESTED"},
    ),
    "followups/leads": lambda: Walk(
        "followups/leads", {"lead_id": "L-9", "province": "ON", "phone": SELLER_PHONE, "ladder": True}
    ),
    "followups/leads/<int:pk>": lambda: _lead("followups/leads/{lead}", name="Anne Roy"),
    "followups/leads/<int:pk>/won": lambda: _lead("followups/leads/{lead}/won"),
    "followups/leads/<int:pk>/dead": lambda: _lead("followups/leads/{lead}/dead", reason="sold"),
    "followups/leads/<int:pk>/not-now": lambda: _lead("followups/leads/{lead}/not-now", until="2027-03-01"),
    "followups/leads/<int:pk>/contact-points": lambda: _lead(
        "followups/leads/{lead}/contact-points", phone="416 555 0111"
    ),
    "followups/leads/<int:pk>/contact-points/<int:point_id>/retire": lambda: _lead(
        "followups/leads/{lead}/contact-points/{point}/retire"
    ),
    "followups/leads/bulk": lambda: Walk(
        "followups/leads/bulk", {"items": [{"lead_id": "L-9", "province": "ON", "phone": SELLER_PHONE}]}
    ),
    "followups/ladders/bulk": lambda: Walk(
        "followups/ladders/bulk", {"items": [{"lead_id": "L-9", "province": "ON", "phone": SELLER_PHONE}]}
    ),
    "buyers/feedback/bulk": lambda: Walk(
        "buyers/feedback/bulk", {"items": [{"province": "ON", "event": "RESPONDED", "buyer_id": "B-1"}]}
    ),
    "buyers/liquidity/feedback": lambda: Walk(
        "buyers/liquidity/feedback", {"province": "ON", "event": "RESPONDED", "buyer_id": "B-1"}
    ),
    "deals/offers/policies/upsert": lambda: Walk(
        "deals/offers/policies/upsert", {"province": "ON", "enabled": True}
    ),
    "deals/offers/compute": lambda: _offer(
        "deals/offers/compute", {"province": "ON", "arv": 450_000, "repairs": 50_000, "lead_id": "L-1"}
    ),
    "deals/offers/<int:evidence_id>/outcome": lambda: _offer(
        "deals/offers/{evidence}/outcome", {"outcome": "ACCEPTED"}
    ),
}
WRITES = {"post", "put", "patch", "delete"}
# these only answer; they take a POST so that no number stands in a URL
QUESTIONS = {"api/governance/market/can-contact", "api/followups/lookup"}


def test_every_address_that_writes_has_a_walk() -> None:
    there = {address for address, _pattern in addresses()}
    writing = {address for address, row in API.items() if WRITES & set(row) and address in there}
    assert sorted(writing - QUESTIONS - {f"api/{address}" for address in WALKS}) == []


def sent(client: APIClient, walk: Walk, **more: Any) -> Any:
    method = getattr(client, more.pop("method", "post"))
    headers = {"If-Match": "*", **more.pop("headers", {})}
    return method(
        f"/api/{walk.path}", {**walk.body, **more.pop("body", {})}, format="json", headers=headers, **more
    )


@pytest.mark.parametrize("address", WALKS)
def test_a_dry_run_answers_as_if_it_were_done_and_writes_nothing(address: str) -> None:
    walk = WALKS[address]()
    method = next(iter(WRITES & set(API[f"api/{address}"])))
    client = make_client(walk.role)
    client.get("/api/governance/go-live/state")  # the token is used for the first time
    before = everything()

    dry = sent(client, walk, method=method, body={"dry_run": True}, headers={"Idempotency-Key": "k-1"})
    assert everything() == before
    in_query = sent(client, replace(walk, path=f"{walk.path}?dry_run=1"), method=method)
    assert everything() == before
    done = sent(client, walk, method=method)

    assert dry.status_code == done.status_code == in_query.status_code, (dry.json(), done.json())
    if walk.refused:
        assert done.status_code == walk.refused
        return
    assert done.status_code < 300, done.json()
    assert (everything() != before) is walk.changes
    if address != "deals/offers/compute":  # whose dry run is older, and answers without an evidence_id
        assert dry.headers["Dry-Run"] == "true"
        assert "Dry-Run" not in done.headers
        assert set(dry.json()) == {*done.json(), "dry_run"}
        assert dry.json()["dry_run"] is True


def test_a_dry_run_neither_uses_up_a_key_nor_replays_one() -> None:
    client, walk = make_client("MANAGER"), WALKS["buyers/liquidity/feedback"]()
    key = {"Idempotency-Key": "k-1"}
    assert "dry_run" in sent(client, walk, body={"dry_run": "true"}, headers=key).json()
    assert not IdempotentAnswer.objects.exists()
    assert "dry_run" not in sent(client, walk, headers=key).json()
    after = everything()
    again = sent(client, walk, body={"dry_run": "true"}, headers=key)
    assert (again.status_code, "Idempotent-Replayed" in again.headers) == (200, False)
    assert everything() == after


def test_a_dry_run_asks_the_switches_as_the_call_itself_would(settings: Settings) -> None:
    settings.GO_LIVE_ENFORCE = True
    walk = WALKS["buyers/liquidity/feedback"]()
    answer = sent(make_client("MANAGER"), walk, body={"dry_run": True})
    assert (answer.status_code, answer.json()["code"]) == (503, "go_live_disabled")


def test_a_dry_run_keeps_nothing_of_a_refusal_either() -> None:
    """The gate's decision about a refused contact is stored after the rollback, in a call that is meant."""
    task = begin("L-1", phone=SELLER_PHONE)
    walk = Walk(f"followups/task/{task.pk}/start", {})
    client = make_client("MANAGER")
    with time_machine.travel(NOW + 12 * timedelta(hours=1), tick=False):
        client.get("/api/governance/go-live/state")  # the token is used for the first time
        before = everything()
        refused = sent(client, walk, body={"dry_run": True})
        assert (refused.status_code, refused.json()["code"]) == (409, "contact_denied")
        assert everything() == before
        assert sent(client, walk).status_code == 409
        assert everything() != before


@pytest.mark.parametrize("value", ["maybe", [], {}, 2, ""])
def test_what_is_neither_yes_nor_no_is_refused(value: object) -> None:
    walk = WALKS["followups/ladder/create"]()
    answer = sent(make_client("MANAGER"), walk, body={"dry_run": value})
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["dry_run"])
    assert not Lead.objects.exists()


def test_a_call_with_dry_run_false_is_meant() -> None:
    task = begin("L-1", phone=SELLER_PHONE)
    answer = sent(make_client("MANAGER"), Walk(f"followups/task/{task.pk}/skip", {"reason": "busy"}),
                  body={"dry_run": False})  # fmt: skip
    assert answer.status_code == 200
    assert FollowUpTask.objects.get(pk=task.pk).status == "SKIPPED"
    assert not is_rehearsal()

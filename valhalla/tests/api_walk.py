"""One walk through every call of the API, with what it sends and gets: the examples of the schema.

`make api-examples` writes them again.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import time_machine
from rest_framework.test import APIClient

from valhalla.tests.documented import written_schema

AT = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)  # a Tuesday, 10:00 in Toronto
MOST_ROWS = 2  # of a list in an example


class Walk:
    """Makes the calls and keeps each operation's first as its example."""

    def __init__(self, client: APIClient) -> None:
        self.client = client
        self.examples: dict[str, dict[str, Any]] = {}
        self.places = {
            operation["operationId"]: (method, path)
            for path, methods in written_schema()["paths"].items()
            for method, operation in methods.items()
        }

    def call(
        self,
        operation: str,
        body: dict[str, Any] | None = None,
        *,
        query: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        **path: Any,
    ) -> Any:
        """Make a call, which must succeed, and return its answer."""
        method, place = self.places[operation]
        address = place.format(**path)
        if method == "get":
            response = self.client.get(address, query or {}, headers=headers or {})
        else:
            response = getattr(self.client, method)(address, body or {}, format="json", headers=headers or {})
        assert response.status_code < 300, (operation, response.status_code, response.content)
        is_json = "json" in response["Content-Type"]
        answer = json.loads(response.content) if is_json else response.content.decode()
        example: dict[str, Any] = {"path": path, "query": query or {}}
        if method != "get":
            example["request"] = body or {}
        self.examples.setdefault(
            operation, {**example, "status": response.status_code, "answer": _short(answer)}
        )
        return response if headers is not None else answer


def _short(answer: Any) -> Any:
    """Return an answer with at most two rows in each list, and the beginning of a text."""
    if isinstance(answer, list):
        return [_short(item) for item in answer[:MOST_ROWS]]
    if isinstance(answer, dict):
        return {key: _short(value) for key, value in answer.items()}
    return answer[:400] if isinstance(answer, str) else answer


def walk_through(client: APIClient) -> dict[str, dict[str, Any]]:
    """Make every call of the API as a manager, and return the examples."""
    with time_machine.travel(AT, tick=False) as clock:
        walk = Walk(client)
        _policies(walk)
        _leads(walk)
        _tasks(walk, clock)
        _buyers_and_offers(walk)
        _risk_and_machines(walk)
        _switches(walk)
    return walk.examples


def _policies(walk: Walk) -> None:
    toronto = {"province": "ON", "market": "Toronto"}
    walk.call("market_policies", query={"province": "ON"})
    walk.call("market_effective", query=toronto)
    change = {**toronto, "enabled": True, "timezone": "America/Toronto"}
    walk.call("market_policy_simulate", change)
    walk.call("market_policy_upsert", {**change, "reason": "Opening the Toronto market"})
    later = {
        **toronto,
        "enabled": False,
        "effective_from": "2027-01-01T05:00:00Z",
        "reason": "Pause in January",
    }
    scheduled = walk.call("market_policy_upsert", later)["scheduled"]
    walk.call("market_policy_cancel", {"id": scheduled[0]["id"], "reason": "We stay open after all"})
    walk.call("can_contact", query={**toronto, "channel": "CALL", "weekday": 1, "hhmm": "10:30"})
    walk.call("can_contact_by_post", {**toronto, "channel": "SMS", "phone": "+14165550142"})


def _leads(walk: Walk) -> None:
    ann = {"lead_id": "crm-1001", "name": "Ann Tremblay", "phone": "+14165550142", "email": "ann@example.ca"}
    place = {"province": "ON", "market": "Toronto", "city": "Toronto"}
    lead = walk.call("leads_upsert", {**ann, **place, "score": 0.9, "source": "webform"})
    bob = {"lead_id": "crm-1002", "name": "Bob Roy", "phone": "+14165550143", **place}
    walk.call("leads_bulk", {"items": [bob, {"lead_id": "crm-1003", "name": "Cem Aydin", **place}]})
    walk.call("leads", query={"province": "ON", "page_size": 2})
    walk.call("lead", id=lead["id"])
    tag = walk.call("lead", id=lead["id"], headers={})["ETag"]
    walk.call("lead_change", {"name": "Ann Tremblay-Roy"}, id=lead["id"], headers={"If-Match": tag})
    more = walk.call("contact_points", {"phone": "+14165550199", "whose": "Luc Roy"}, id=lead["id"])
    walk.call("contact_point_retire", id=lead["id"], point_id=more["contact_point"]["id"])
    walk.call("lookup_by_post", {"phone": "+14165550142"})
    walk.call("lookup", query={"lead_id": "crm-1001"})
    for number, operation, body in (
        (4, "lead_won", {}),
        (5, "lead_dead", {"reason": "Sold to a neighbour"}),
        (6, "lead_not_now", {"until": "2027-03-01", "reason": "After the winter"}),
    ):
        new = {"lead_id": f"crm-100{number}", "name": f"Lead {number}", **place}
        walk.call(operation, body, id=walk.call("leads_upsert", new)["id"])


def _tasks(walk: Walk, clock: Any) -> None:
    place = {"province": "ON", "market": "Toronto"}
    new = walk.call("ladder_create", {"lead_id": "crm-1001", **place, "owner": "mona"})
    walk.call("lead_next", id=walk.call("lookup", query={"lead_id": "crm-1001"})["leads"][0]["id"])
    more = [{"lead_id": f"crm-20{number}", "name": f"Nia {number}", "phone": f"+1416555020{number}", **place}
            for number in range(7)]  # fmt: skip
    walk.call("ladders_bulk", {"items": more})
    clock.shift(timedelta(minutes=30))
    walk.call("due", query={"limit": 10, "order": "urgent"})
    claimed = walk.call("claim", {"limit": 5, "province": "ON"})
    first, second, third, fourth, fifth = claimed["tasks"][:5]
    mine = {"claim_token": claimed["claim_token"]}
    walk.call("task_renew", mine, id=first["id"])
    walk.call("task_start", mine, id=first["id"])
    walk.call(
        "task_complete",
        {**mine, "outcome": "REACHED" if first["channel"] == "CALL" else "REPLIED", "next": "CALLBACK",
         "next_at": "2026-11-26T16:00:00Z", "note": "Prefers mornings"},
        id=first["id"],
    )  # fmt: skip
    walk.call(
        "task_correct",
        {"outcome": "WRONG_NUMBER", "reason": "It was a neighbour who answered"},
        id=first["id"],
    )
    walk.call("task_snooze", {**mine, "until": "2026-11-25T15:00:00Z"}, id=second["id"])
    walk.call("task_skip", {**mine, "reason": "Already spoke with them today"}, id=third["id"])
    walk.call("task_release", mine, id=fourth["id"])
    walk.call("task_reassign", {"owner": "mona", "reason": "Mona knows them"}, id=fifth["id"])
    walk.call("reassign", {"of_owner": "mona", "owner": "", "reason": "Mona is on holiday", "province": "ON"})
    walk.call("inbound", {"channel": "CALL", "outcome": "REACHED"}, lead_id="crm-206")
    walk.call("sla", query={"last": 500, "group_by": "channel"})
    walk.call("tasks", query={"province": "ON", "page_size": 2})
    walk.call("task", id=first["id"])
    walk.call("contact_decisions", query={"page_size": 2})
    decision = walk.call("contact_decisions")["results"][0]["id"]
    walk.call("contact_decision", id=decision)
    walk.call(
        "ladder_stop", {"reason": "The house was sold"}, id=walk.call("task", id=fifth["id"])["ladder_id"]
    )
    walk.call("kpi_events", query={"page_size": 2})
    walk.call("kpi_event", id=walk.call("kpi_events")["results"][0]["id"])
    assert new["ok"]


def _buyers_and_offers(walk: Walk) -> None:
    place = {"province": "ON", "market": "Toronto"}
    feedback = {**place, "property_type": "SFR", "event": "RESPONDED", "buyer_id": "B-7", "deal_id": "D-1"}
    walk.call("liquidity_feedback", feedback)
    walk.call("feedback_bulk", {"items": [{**feedback, "event": "BOUGHT"}, {**feedback, "buyer_id": "B-8"}]})
    walk.call("liquidity_score", query={**place, "property_type": "SFR"})
    walk.call("liquidity_nodes", query={"province": "ON"})
    buyers = walk.call("buyers", query={"page_size": 2})
    walk.call("buyer", id=buyers["results"][0]["id"])
    events = walk.call("feedback_events", query={"page_size": 2})
    walk.call("feedback_event", id=events["results"][0]["id"])
    walk.call("offer_policies", query={"province": "ON"})
    walk.call("offer_policy_upsert", {**place, "enabled": True, "reason": "The numbers are known"})
    walk.call("offer_quote", query={**place, "arv": 450000, "repairs": 50000})
    house = {**place, "property_type": "SFR", "arv": 450000, "repairs": 50000, "lead_id": "crm-1001"}
    offer = walk.call("offer_compute", house)["evidence_id"]
    walk.call("offer_outcome", {"outcome": "ACCEPTED", "agreed_price": 250000}, evidence_id=offer)
    walk.call("offer_evidence_list", query={"lead_id": "crm-1001"})
    walk.call("offer_evidence", id=offer)


def _risk_and_machines(walk: Walk) -> None:
    walk.call("risk_policies", query={"engine": "WHOLESALE"})
    walk.call(
        "risk_policy_upsert",
        {"engine": "WHOLESALE", "max_daily_loss": 18000, "reason": "Smaller losses in winter"},
    )
    first, second = (
        walk.call("risk_reserve", {"engine": "WHOLESALE", "amount": 5000, "purpose": "assignment_fee"})
        for _time in range(2)
    )
    walk.call("risk_settle", {"reservation_id": first["reservation_id"], "realized_loss": 1200})
    walk.call("risk_release", {"reservation_id": second["reservation_id"], "reason": "deal_fell_through"})
    walk.call("risk_snapshot")
    walk.call("risk_ledger_today")
    walk.call("risk_event", id=walk.call("risk_events", query={"page_size": 2})["results"][0]["id"])
    domain = {"domain": "BUYER_MATCH"}
    walk.call("heimdall_policies", query=domain)
    walk.call(
        "heimdall_policy_upsert",
        {**domain, "min_sandbox_trials": 1, "reason": "A first promotion by hand"},
    )
    walk.call("heimdall_trial", {**domain, "success": True})
    walk.call("heimdall_scorecard", query=domain)
    walk.call("heimdall_scorecard_today", query=domain)
    walk.call("heimdall_promote", {**domain, "reason": "The trial was convincing"})
    walk.call("heimdall_recommend", {**domain, "confidence": 0.96, "subject": "crm-1001"})
    tripwire = walk.call("regression_policies")["policies"][0]
    named = {"domain": tripwire["domain"], "metric": tripwire["metric"]}
    walk.call(
        "regression_policy_upsert", {**named, "max_drop_fraction": 0.2, "reason": "Narrower than before"}
    )
    walk.call("regression_state", query=named)
    walk.call("regression_evaluate", named)
    walk.call("regression_release", {**named, "reason": "We know the cause"})
    walk.call("regression_kpi", {"domain": "DIALER", "metric": "answer_rate", "success": True})


def _switches(walk: Walk) -> None:
    walk.call("go_live_state")
    walk.call("go_live_checklist")
    walk.call("runbook_status")
    walk.call("runbook_markdown")
    walk.call("go_live_enable", {"reason": "Everything on the checklist is done"})
    walk.call("kill_switch_engage", {"reason": "Complaints about calls at night"})
    walk.call("kill_switch_release", {"reason": "The cause was found and mended"})
    walk.call("go_live_disable", {"reason": "Maintenance tonight"})

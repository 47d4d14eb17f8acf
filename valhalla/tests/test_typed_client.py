"""A typed client, generated from the schema as a stranger would, goes a lead's way.

It is generated into a temporary folder and not kept.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.test import Client
from pytest_django.live_server_helper import LiveServer

from governance.core.actors import Role
from governance.models import ApiToken, User
from valhalla.management.commands.openapi import DOCS
from valhalla.tests.api_walk import AT

NAME = "valhalla_client"


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Any]]:
    """Generate the client, and return what imports its modules."""
    folder = tmp_path_factory.mktemp("generated")
    config = folder / "config.yaml"
    config.write_text("literal_enums: true\npost_hooks: []\n")
    done = subprocess.run(
        [
            *(Path(sys.executable).parent / "openapi-python-client", "generate", "--meta", "none"),
            *("--path", DOCS / "openapi.json", "--output-path", folder / NAME, "--config", config),
            "--fail-on-warning",
        ],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    sys.path.insert(0, str(folder))
    try:
        yield lambda module: importlib.import_module(f"{NAME}.{module}")
    finally:
        sys.path.remove(str(folder))
        for module in [module for module in sys.modules if module.split(".")[0] == NAME]:
            del sys.modules[module]


class Program:
    """A program of another company: it knows the generated client and a token, and nothing of the project."""

    def __init__(self, generated: Callable[[str], Any], url: str, token: str) -> None:
        self.generated = generated
        self.client = generated("client").AuthenticatedClient(base_url=url, token=token)

    def shape(self, shape: str, /, **given: Any) -> Any:
        return getattr(self.generated("models"), shape).from_dict(given)

    def call(self, group: str, operation: str, **given: Any) -> Any:
        """Make a call and return its typed answer."""
        module = self.generated(f"api.{group}.{operation}")
        response = module.sync_detailed(client=self.client, **given)
        assert response.status_code < 300, response.content
        return response.parsed


@pytest.fixture
def program(
    generated: Callable[[str], Any], live_server: LiveServer, person: Callable[..., User]
) -> Iterator[Program]:
    _token, text = ApiToken.objects.create(user=person(Role.MANAGER, "mona"), expiry=timedelta(days=3650))
    with time_machine.travel(AT, tick=True):
        yield Program(generated, live_server.url, text)


@pytest.mark.once
@pytest.mark.django_db(transaction=True)
def test_a_lead_goes_its_way_through_the_typed_client(program: Program) -> None:
    place = {"province": "ON", "market": "Toronto"}
    policies = program.call("market_policies", "market_policies", province="ON")
    assert "ON" in {policy.province for policy in policies}

    verdict = program.call("contact_gate", "can_contact", channel="SMS", province="ON", market="Toronto")
    assert verdict.ok, verdict.reason

    lead = program.shape(
        "UpsertLeadInput", lead_id="crm-1", name="Ann Roy", phone="+14165550142", campaign="autumn", **place
    )
    stored = program.call("follow_ups", "leads_upsert", body=lead)
    assert (stored.created, stored.warnings) == (True, ["unknown_field:campaign"])

    ladder = program.call(
        "follow_ups", "ladder_create", body=program.shape("CreateLadderInput", lead_id="crm-1", **place)
    )
    assert ladder.tasks[0].step == 1

    (task, *_later) = program.call("follow_ups", "due", limit=5).due
    assert (task.lead_id, task.contact.ok) == ("crm-1", True)

    done = program.call(
        "follow_ups",
        "task_complete",
        id=task.id,
        body=program.shape("CompleteInput", outcome="REPLIED", next="HANDOVER"),
        idempotency_key="k-1",
    )
    assert (done.task.outcome, done.already_completed) == ("REPLIED", False)
    assert done.next_task.due_at.tzinfo is not None

    feedback = program.shape("BuyerFeedbackInput", event="RESPONDED", buyer_id="B-1", **place)
    assert program.call("buyers", "liquidity_feedback", body=feedback).ok
    score = program.call("buyers", "liquidity_score", province="ON", market="Toronto").score
    assert score.found
    assert score.buyer_count == 1

    program.call(
        "offers", "offer_policy_upsert", body=program.shape("OfferUpsertInput", enabled=True, **place)
    )
    house = program.shape("OfferComputeInput", arv=450000, repairs=50000, lead_id="crm-1", **place)
    offer = program.call("offers", "offer_compute", body=house)
    assert offer.calc.recommended_offer == 252500
    assert offer.evidence_id


@pytest.mark.once
@pytest.mark.django_db(transaction=True)
def test_a_refusal_is_typed_too(program: Program) -> None:
    module = program.generated("api.follow_ups.task_complete")
    response = module.sync_detailed(
        client=program.client, id=987654321, body=program.shape("CompleteInput", outcome="REPLIED")
    )
    assert response.status_code == 404
    assert (response.parsed.code, response.parsed.status) == ("task_not_found", 404)


def test_the_schema_that_is_served_is_the_one_that_was_generated_from(client: Client) -> None:
    assert client.get("/api/schema").content == (DOCS / "openapi.json").read_bytes()

"""An AI assistant works with a token: with its permissions, by the same verbs, and sees masked names."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from typing import Any

import anyio
import pytest
import time_machine
from django.core import signals
from django.core.management import CommandError, call_command
from django.db import close_old_connections
from mcp import Client, StdioServerParameters, stdio_client
from mcp.types import CallToolResult, TextContent
from pytest_django import Settings

from conftest import manage
from followups.models import FollowUpTask, InboundContact, LookupEvent
from followups.tests.scenes import NIGHT, NOW, begin, call_step
from governance.accounts.models import MOST_CALLS
from governance.models import ApiToken, GoLiveState, Suppression
from offers.models import OfferEvidence
from offers.tests.factories import switch_on
from valhalla.mcp.calls import Api, Refusal
from valhalla.mcp.masking import mask_email, mask_name, mask_phone
from valhalla.mcp.server import READS, WRITES, Tools
from valhalla.testing import make_person
from valhalla.tests.processes import ask
from valhalla.tests.serving import MANAGE, ROOT

HOUR = timedelta(hours=1)
SELLER: dict[str, Any] = {"name": "Marie Tremblay", "phone": "+14165550123", "email": "marie@tremblay.ca"}
Acting = Callable[..., Tools]


@pytest.fixture
def clock() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def one_connection(db: None) -> Iterator[None]:
    """Let calls leave the test's connection open, as Django's own test client does."""
    for signal in (signals.request_started, signals.request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (signals.request_started, signals.request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def acting(one_connection: None, clock: None) -> Acting:
    """Return the tools of a new token of somebody with a role."""

    def make(role: str, name: str = "", *, scopes: tuple[str, ...] = (), calls: int = MOST_CALLS) -> Tools:
        _row, text = ApiToken.objects.create(
            user=make_person(role, name),
            expiry=timedelta(days=1),
            scopes=list(scopes),
            calls_per_minute=calls,
        )
        return Tools(Api(text))

    return make


@pytest.mark.parametrize(
    ("name", "masked"),
    [
        ("Marie Tremblay", "M. T."),
        ("émile  de la Roche fils", "É. D. L. R."),
        ("4165550123", "•••"),
        (" ", ""),
    ],
)
def test_a_name_is_masked_as_initials(name: str, masked: str) -> None:
    assert mask_name(name) == masked


@pytest.mark.parametrize(
    ("phone", "masked"),
    [("+14165550123", "+1 416 ••• ••23"), ("+33612345678", "••• ••78"), ("+12345", "••• ••"), ("", "")],
)
def test_a_phone_number_keeps_its_area_code_and_two_digits(phone: str, masked: str) -> None:
    assert mask_phone(phone) == masked


@pytest.mark.parametrize(
    ("address", "masked"), [("marie@tremblay.ca", "m•••@•••.ca"), ("marie", "•••"), ("", "")]
)
def test_an_address_keeps_its_first_letter_and_its_end(address: str, masked: str) -> None:
    assert mask_email(address) == masked


@pytest.mark.parametrize("tool", READS)
def test_no_reading_tool_names_a_person(acting: Acting, tool: str) -> None:
    begin("L-1", **SELLER)
    switch_on()
    manager = acting("MANAGER")
    asked: dict[str, dict[str, Any]] = {
        "find_lead": {"phone": SELLER["phone"]},
        "contact_status": {"channel": "CALL", "lead_id": "L-1"},
        "offer_estimate": {"province": "ON", "arv": 450_000, "repairs": 50_000},
    }
    text = getattr(manager, tool)(**asked.get(tool, {})).model_dump_json()
    for secret in ("Marie", "Tremblay", "tremblay", "5550123"):
        assert secret not in text


def test_a_look_up_is_masked_and_logged(acting: Acting) -> None:
    begin("L-1", **SELLER)
    found = acting("VA").find_lead(phone="(416) 555-0123")
    lead = found.leads[0]
    assert (found.masked, lead.lead_id, lead.name) == (True, "L-1", "M. T.")
    assert [point.value for point in lead.points] == ["+1 416 ••• ••23", "m•••@•••.ca"]
    assert lead.contact["SMS"].ok
    assert (LookupEvent.objects.get().actor, LookupEvent.objects.get().found) == ("a-va", 1)


def test_the_scope_personal_shows_names_and_numbers(acting: Acting) -> None:
    begin("L-1", **SELLER)
    personal = acting("VA", scopes=("personal",))
    lead = personal.find_lead(lead_id="L-1").leads[0]
    assert (lead.name, lead.points[0].value) == (SELLER["name"], SELLER["phone"])
    queued = personal.my_queue()
    assert (queued.masked, queued.tasks[0].lead.name) == (False, SELLER["name"])


def test_look_ups_are_limited_as_on_the_page(acting: Acting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("followups.services.lookup_limits.NOTICED", 1)
    monkeypatch.setattr("followups.services.lookup_limits.MOST", 1)
    va = acting("VA")
    va.find_lead(lead_id="L-1")
    with pytest.raises(Refusal) as refused:
        va.find_lead(lead_id="L-2")
    assert refused.value.code == "too_many_lookups"
    assert refused.value.more["retry_after_seconds"] > 0  # type: ignore[operator]  # a number


def test_at_night_a_call_is_refused_with_the_next_instant(acting: Acting) -> None:
    begin("L-1", **SELLER)
    answer = acting("AUDITOR").contact_status("CALL", lead_id="L-1", at=NIGHT)
    assert (answer.ok, answer.reason) == (False, "outside_statutory_hours")
    assert answer.next_allowed_at is not None
    assert answer.next_allowed_at > NIGHT
    assert any(check.result == "fail" for check in answer.checks)


def test_a_va_gets_their_own_and_unowned_tasks_and_a_manager_all(acting: Acting) -> None:
    for lead_id, owner in (("L-1", "a-va"), ("L-2", ""), ("L-3", "gus")):
        make_person("VA", "gus")
        begin(lead_id, owner=owner, phone=f"416 555 010{lead_id[-1]}")
    assert {task.lead_id for task in acting("VA").my_queue().tasks} == {"L-1", "L-2"}
    assert {task.lead_id for task in acting("MANAGER").my_queue().tasks} == {"L-1", "L-2", "L-3"}


def test_the_board_has_a_verdict_and_is_not_for_vas(acting: Acting) -> None:
    board = acting("AUDITOR").board()
    assert board.verdict in ("bad", "watch")
    assert [section.title for section in board.sections][:2] == ["Contact status", "Open work"]
    with pytest.raises(Refusal, match="not_allowed"):
        acting("VA").board()


def test_an_estimate_stores_nothing_and_is_not_for_vas(acting: Acting) -> None:
    switch_on()
    asked: dict[str, Any] = {"province": "ON", "arv": 450_000, "repairs": 50_000}
    assert acting("CLOSER").offer_estimate(**asked).calc.recommended_offer > 0
    assert not OfferEvidence.objects.exists()
    with pytest.raises(Refusal, match="not_allowed"):
        acting("VA").offer_estimate(**asked)


def test_a_task_is_snoozed_in_the_name_of_the_tokens_person(acting: Acting) -> None:
    task = call_step("L-1", **SELLER)
    rehearsed = acting("VA").snooze_task(task.pk, NOW + 3 * HOUR, dry_run=True)
    assert rehearsed.dry_run
    task.refresh_from_db()
    assert task.snoozed_until is None
    acting("VA").snooze_task(task.pk, NOW + 3 * HOUR)
    task.refresh_from_db()
    assert task.snoozed_until == NOW + 3 * HOUR


def test_a_step_is_skipped_with_its_reason(acting: Acting) -> None:
    task = begin("L-1", **SELLER)
    skipped = acting("VA").skip_task(task.pk, "number of the neighbours")
    assert (skipped.task.status, skipped.next_task is not None) == ("SKIPPED", True)


@pytest.mark.parametrize("tool", WRITES)
def test_an_auditor_records_nothing(acting: Acting, tool: str) -> None:
    task = begin("L-1", **SELLER)
    auditor = acting("AUDITOR")
    asked: dict[str, tuple[Any, ...]] = {
        "snooze_task": (task.pk, NOW + 3 * HOUR),
        "skip_task": (task.pk, "why not"),
        "record_callback": ("L-1", "CALL", NOW + 3 * HOUR),
        "record_opt_out": ("L-1", "CALL"),
    }
    with pytest.raises(Refusal, match="not_allowed: "):
        getattr(auditor, tool)(*asked[tool])
    assert FollowUpTask.objects.get(pk=task.pk).status == "OPEN"
    assert not InboundContact.objects.exists()


def test_a_va_cannot_skip_somebody_elses_task(acting: Acting) -> None:
    make_person("VA", "gus")
    task = begin("L-1", owner="gus", **SELLER)
    with pytest.raises(Refusal):
        acting("VA").skip_task(task.pk, "not mine")
    assert FollowUpTask.objects.get(pk=task.pk).status == "OPEN"


def test_a_callback_is_recorded_once_per_key(acting: Acting) -> None:
    begin("L-1", **SELLER)
    va = acting("VA")
    asked: dict[str, Any] = {"at": NOW + 26 * HOUR, "note": "after work", "idempotency_key": "k-1"}
    first, again = (va.record_callback("L-1", "CALL", **asked) for _ in range(2))
    assert first.inbound_id == again.inbound_id == InboundContact.objects.get().pk
    callback = FollowUpTask.objects.get(kind="CALLBACK")
    assert callback.due_at == NOW + 26 * HOUR
    assert InboundContact.objects.get().actor == "a-va"
    assert InboundContact.objects.get().token_id is not None


def test_the_kill_switch_stops_an_estimate_but_never_an_opt_out(acting: Acting, settings: Settings) -> None:
    begin("L-1", **SELLER)
    switch_on()
    settings.GO_LIVE_ENFORCE = True
    GoLiveState.objects.update(go_live_enabled=True, kill_switch_engaged=True)
    manager = acting("MANAGER")
    with pytest.raises(Refusal, match="kill_switch_engaged: The kill switch is engaged"):
        manager.offer_estimate(province="ON", arv=Decimal(450_000), repairs=Decimal(50_000))
    manager.record_opt_out("L-1", "SMS", "please stop")
    assert Suppression.objects.exists()
    assert manager.contact_status("SMS", lead_id="L-1").ok is False


def test_an_unknown_lead_is_refused_by_name(acting: Acting) -> None:
    with pytest.raises(Refusal, match="lead_not_found"):
        acting("VA").record_opt_out("é-1", "SMS")


def test_invalid_input_names_its_field(acting: Acting) -> None:
    with pytest.raises(Refusal) as refused:
        acting("VA").find_lead(phone="12")
    assert refused.value.code == "invalid"
    assert "phone" in refused.value.more["errors"]  # type: ignore[operator]  # a mapping


def test_a_token_is_limited_to_its_parts_and_its_calls_per_minute(acting: Acting) -> None:
    with pytest.raises(Refusal, match="not_allowed"):
        acting("MANAGER", scopes=("offers",)).my_queue()
    limited = acting("SERVICE", "slow", calls=1)
    limited.my_queue()
    with pytest.raises(Refusal, match="throttled"):
        limited.my_queue()


@pytest.mark.parametrize("host", ["valhalla.example.ca", ".example.ca", "*"])
def test_calls_work_where_programs_must_use_https(acting: Acting, settings: Settings, host: str) -> None:
    settings.SECURE_SSL_REDIRECT, settings.ALLOWED_HOSTS = True, [host]
    assert acting("VA").my_queue().tasks == []


def test_a_revoked_or_expired_token_is_refused_at_the_next_call(acting: Acting) -> None:
    for change in ({"revoked_at": NOW}, {"expiry": NOW - HOUR}):
        va = acting("VA")
        va.my_queue()
        ApiToken.objects.update(**change)
        with pytest.raises(Refusal, match="authentication_failed"):
            va.my_queue()
        ApiToken.objects.all().delete()


@pytest.mark.once
def test_without_a_token_the_command_says_where_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VALHALLA_TOKEN", raising=False)
    with pytest.raises(CommandError, match="VALHALLA_TOKEN"):
        call_command("mcp")


@pytest.mark.once
def test_without_its_packages_the_command_says_how_to_install_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("valhalla.management.commands.mcp.find_spec", lambda name: None)
    with pytest.raises(CommandError, match=r"pip install -r requirements-mcp\.txt"):
        call_command("mcp")


PREPARE = """
from datetime import timedelta
from django.utils import timezone
from followups.services import LeadDetails, create_ladder
from governance.core.actors import Actor
from governance.models import ApiToken, User
user = User.objects.create(username="vera", role="VA")
details = LeadDetails(name="Marie Tremblay", city="Toronto", phone="+14165550123")
create_ladder("L-1", by=Actor.system("test"), at=timezone.now(), province="ON", details=details)
print(ApiToken.objects.create(user=user, expiry=timedelta(days=1), scopes=[])[1])
"""


@pytest.mark.once
@pytest.mark.xdist_group("start")
def test_a_client_works_over_stdio_until_the_token_is_revoked(migrated_url: str, tmp_path: Any) -> None:
    token = manage(migrated_url, "shell", "--no-imports", "-c", PREPARE).strip()
    program = StdioServerParameters(
        command=MANAGE[0],
        args=MANAGE[1:] + ["mcp"],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": migrated_url, "VALHALLA_TOKEN": token},
    )

    async def session() -> None:
        with (tmp_path / "printed").open("w") as printed:
            async with Client(stdio_client(program, errlog=printed)) as client:
                assert client.instructions is not None
                assert "never follow" in client.instructions
                tools = {tool.name: tool for tool in (await client.list_tools()).tools}
                assert set(tools) == {*READS, *WRITES}
                for tool in tools.values():
                    assert tool.description
                    assert tool.output_schema
                    assert tool.annotations is not None
                found = await client.call_tool("find_lead", {"phone": "416 555 0123"})
                assert found.structured_content is not None
                assert found.structured_content["leads"][0]["name"] == "M. T."
                done = await client.call_tool("record_opt_out", {"lead_id": "L-1", "channel": "SMS"})
                assert not done.is_error
                status = await client.call_tool("contact_status", {"lead_id": "L-1", "channel": "CALL"})
                assert status.structured_content is not None
                assert status.structured_content["reason"] == "suppressed"
                assert "not_allowed: " in refused(await client.call_tool("board", {}))
                assert "channel" in refused(await client.call_tool("contact_status", {"channel": "FAX"}))
                ask(migrated_url, "UPDATE governance_apitoken SET revoked_at = created")
                assert "authentication_failed: " in refused(await client.call_tool("my_queue", {}))

    # a thread of its own: a browser's event loop may be running in this one
    with ThreadPoolExecutor(1) as thread:
        thread.submit(anyio.run, session).result()
    assert (tmp_path / "printed").read_text() == ""


def refused(result: CallToolResult) -> str:
    assert result.is_error
    content = result.content[0]
    assert isinstance(content, TextContent)
    return content.text

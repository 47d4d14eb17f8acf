"""Go-live and the kill switch at every door: the API, the pages, admin, commands and jobs.

Which doors lead to a verb that a switch stops is found in the code (`verbs.doors_to`). How each is walked
through is told below, with the switches against it and with them out of the way. A new door without a walk
fails.
"""

from __future__ import annotations

import html
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from followups import services
from followups.models import FollowUpTask, Ladder, Lead
from followups.tasks import dispatch_due
from followups.tests.scenes import NOW, SOMEBODY, begin
from governance.contact.models import Consent, Suppression
from governance.core.actors import Actor
from governance.core.verbs import Execution
from governance.golive.models import GoLiveState
from governance.golive.services import set_kill_switch
from governance.heimdall.models import HeimdallScorecardDay
from governance.kpi.models import KpiEvent
from governance.risk.models import RiskEvent
from governance.tests.factories import SELLER_PHONE
from governance.tests.risking import reserved
from offers.tests.factories import compute, switch_on
from valhalla.celery import app
from valhalla.schedules import SCHEDULES
from valhalla.testing import make_client, make_person
from valhalla.tests.test_access import addresses, filled
from valhalla.tests.verbs import doors_to

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.xdist_group("switches"),  # the doors are looked for once, which takes seconds
]
PROD, SANDBOX = Execution.PROD_EXEC, Execution.SANDBOX_EXEC
MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOW + MINUTE, tick=False) as traveller:
        yield traveller


@dataclass(frozen=True)
class Scene:
    """Work that is waiting: a due task, a market in which offers are made, a spreadsheet."""

    task: FollowUpTask
    sheet: Path

    def api(self, path: str, body: dict[str, Any], role: str = "MANAGER") -> str:
        answer = make_client(role).post(path, body, format="json")
        return "ok" if answer.status_code < 300 else f"{answer.status_code} {answer.json()['code']}"

    def page(self, path: str, body: dict[str, Any], role: str = "VA") -> str:
        client = Client()
        client.force_login(make_person(role))
        answer = client.post(path, body)
        said = answer.content.decode()
        if answer.status_code < 400:
            return "ok"
        known = {"Go-live is off": "go_live_disabled", "The kill switch is engaged": "kill_switch_engaged"}
        return f"{answer.status_code} {next(code for text, code in known.items() if text in said)}"

    def spreadsheet(self) -> str:
        """Import the spreadsheet with its ladders on the managers' screen."""
        client, address = Client(), reverse("admin:followups_lead_import_rows")
        client.force_login(make_person("MANAGER"))
        with self.sheet.open("rb") as file:
            seen = client.post(address, {"file": file}).content.decode()
        found = re.search(r'name="rows" value="([^"]*)"', seen)
        assert found, seen[:500]
        answer = client.post(address, {"rows": html.unescape(found[1]), "_import": "1", "ladders": "on"})
        said = answer.content.decode()
        known = {"Go-live is off": "go_live_disabled", "The kill switch is engaged": "kill_switch_engaged"}
        return next((f"503 {code}" for text, code in known.items() if f"{text}" in said), "ok")

    def command(self, *words: str) -> str:
        try:
            call_command(*words, verbosity=0, stdout=(self.sheet.parent / "said").open("w"))
        except CommandError as refusal:
            known = {"Go-live is off": "go_live_disabled", "The kill switch": "kill_switch_engaged"}
            return f"503 {next(code for text, code in known.items() if text in str(refusal))}"
        return "ok"


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    switch_on()
    sheet = tmp_path / "leads.csv"
    sheet.write_text(
        "Lead ID,Full Name,Phone,Prov/Territory,City\nW-1,Anne Roy,416-555-0101,Ontario,Toronto\n"
    )
    return Scene(begin("L-1", phone=SELLER_PHONE), sheet)


TASKS, PAGES = "/api/followups/task", "/followups/task"
OFFER = {"province": "ON", "arv": 450_000, "repairs": 50_000, "reserve": True}
WALKS: dict[str, Callable[[Scene], str]] = {
    "buyers.api.viewsets.LiquidityViewSet.feedback_one": lambda scene: scene.api(
        "/api/buyers/liquidity/feedback", {"province": "ON", "event": "RESPONDED", "buyer_id": "B-1"}
    ),
    "governance.heimdall.api.viewsets.HeimdallViewSet.trial": lambda scene: scene.api(
        "/api/governance/heimdall/sandbox/trial", {"domain": "WHOLESALE_OFFER", "success": True}
    ),
    "followups.api.viewsets.LadderViewSet.create_one": lambda scene: scene.api(
        "/api/followups/ladder/create", {"lead_id": "L-2", "province": "ON", "city": "Toronto"}
    ),
    "followups.api.viewsets.TaskViewSet.claim": lambda scene: scene.api("/api/followups/due/claim", {}),
    "followups.api.viewsets.TaskViewSet.start": lambda scene: scene.api(f"{TASKS}/{scene.task.pk}/start", {}),
    "followups.api.viewsets.TaskViewSet.complete": lambda scene: scene.api(
        f"{TASKS}/{scene.task.pk}/complete", {"outcome": "SENT"}
    ),
    "followups.management.commands.import_leads.Command.handle": lambda scene: scene.command(
        "import_leads", str(scene.sheet), "--ladder", f"--report={scene.sheet.parent}"
    ),
    "followups.admin.transfer.TransfersLeads.look": lambda scene: scene.spreadsheet(),
    "followups.admin.transfer.TransfersLeads.write": lambda scene: scene.spreadsheet(),
    "followups.pages.desk.next_one": lambda scene: scene.page("/followups/next/", {}),
    "followups.pages.acts.start": lambda scene: scene.page(f"{PAGES}/{scene.task.pk}/start/", {}),
    "followups.pages.acts.complete": lambda scene: scene.page(
        f"{PAGES}/{scene.task.pk}/complete/", {"outcome": "SENT"}
    ),
    "governance.risk.api.viewsets.RiskViewSet.reserve": lambda scene: scene.api(
        "/api/governance/risk/check-and-reserve", {"engine": "WHOLESALE", "amount": 100}
    ),
    "offers.api.viewsets.OfferViewSet.compute": lambda scene: scene.api("/api/deals/offers/compute", OFFER),
}
# jobs answer nobody: each does what a switch stops, without a word, in a later run
JOBS: dict[str, Callable[[Scene], int]] = {
    "followups.tasks.dispatch_due": lambda scene: dispatch_due()["nurture_started"],
}
# doors whose verb of a stopped class is not reached by what comes in by them: why
OPEN_ALL_THE_SAME = {
    "offers.api.viewsets.OfferViewSet.quote": "reserves nothing; the kill switch: offers/tests/test_api.py",
    "followups.pages.acts.opt_out": "completes with OPTED_OUT alone, recorded whatever the switches say",
}


def switch(*, live: bool, killed: bool) -> None:
    GoLiveState.objects.update(go_live_enabled=live, kill_switch_engaged=killed)


def footprint() -> list[object]:
    """What a walk through a door would have changed."""
    tasks = FollowUpTask.objects.order_by("pk").values_list("status", "claim_token", "started_at")
    rows = (KpiEvent, Ladder, RiskEvent, HeimdallScorecardDay)
    return [*(model._default_manager.count() for model in rows), *tasks]


# --- what is stopped ----------------------------------------------------------------------------------------


def test_every_door_to_what_a_switch_stops_is_walked_through_here() -> None:
    found = set(doors_to(PROD, SANDBOX))
    known = set(WALKS) | set(JOBS) | set(OPEN_ALL_THE_SAME)
    assert sorted(found - known) == [], "say in WALKS or JOBS how these are used"
    assert sorted(known - found) == [], "no door is called that"


def test_a_new_door_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    import followups.tasks as room

    def assign_all(at: Any) -> None:
        services.claim_due(by=SOMEBODY, at=at)

    monkeypatch.setattr(assign_all, "__module__", room.__name__)
    monkeypatch.setattr(assign_all, "__qualname__", "assign_all")
    monkeypatch.setattr(room, "assign_all", assign_all, raising=False)

    with pytest.raises(AssertionError, match=r"followups\.tasks\.assign_all"):
        test_every_door_to_what_a_switch_stops_is_walked_through_here()


@pytest.mark.parametrize("door", WALKS)
def test_a_door_refuses_while_go_live_is_off_and_opens_when_it_is_on(
    door: str, scene: Scene, settings: Settings
) -> None:
    settings.GO_LIVE_ENFORCE = True
    switch(live=False, killed=False)
    before = footprint()

    stops = PROD in doors_to(PROD, SANDBOX)[door]
    assert WALKS[door](scene) == ("503 go_live_disabled" if stops else "ok")
    assert not stops or footprint() == before

    switch(live=True, killed=False)
    assert WALKS[door](scene) == "ok"
    assert footprint() != before


@pytest.mark.parametrize("door", WALKS)
def test_a_door_refuses_while_the_kill_switch_is_engaged(door: str, scene: Scene, settings: Settings) -> None:
    settings.GO_LIVE_ENFORCE = True
    switch(live=True, killed=True)
    before = footprint()

    assert WALKS[door](scene) == "503 kill_switch_engaged"
    assert footprint() == before


@pytest.mark.parametrize("door", WALKS)
def test_no_switch_stops_anything_where_they_are_not_enforced(door: str, scene: Scene) -> None:
    switch(live=False, killed=True)
    assert WALKS[door](scene) == "ok"


@pytest.mark.both
@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize(("live", "killed"), [(False, False), (True, True)])
def test_a_job_leaves_what_a_switch_stops_for_a_later_run(
    job: str, live: bool, killed: bool, scene: Scene, settings: Settings, clock: time_machine.Traveller
) -> None:
    Lead.objects.create(
        external_id="W-2",
        province="ON",
        status="NOT_NOW",
        follow_up_at=NOW,
        nurture_at=NOW,
        created_at=NOW,
        updated_at=NOW,
    )
    settings.GO_LIVE_ENFORCE = True
    switch(live=live, killed=killed)
    before = footprint()

    assert JOBS[job](scene) == 0
    assert footprint() == before

    clock.shift(MINUTE)
    switch(live=True, killed=False)
    assert JOBS[job](scene) == 1
    assert footprint() != before


def test_an_import_without_ladders_passes(scene: Scene, settings: Settings) -> None:
    settings.GO_LIVE_ENFORCE = True
    switch(live=False, killed=True)
    assert scene.command("import_leads", str(scene.sheet), f"--report={scene.sheet.parent}") == "ok"


# --- what has already happened ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "live", "killed"),
    [("VA", False, False), ("VA", True, True), ("CLOSER", False, True), ("SERVICE", False, True)],
)
@pytest.mark.parametrize(
    "said",
    [
        {"outcome": "OPTED_OUT"},
        {"outcome": "WRONG_NUMBER"},
        {"outcome": "REPLIED"},
        {"outcome": "SENT", "happened": True},
    ],
    ids=lambda said: str(said["outcome"]),
)
def test_what_has_happened_is_recorded_whatever_the_switches_say(
    said: dict[str, object], role: str, live: bool, killed: bool, scene: Scene, settings: Settings
) -> None:
    settings.GO_LIVE_ENFORCE = True
    switch(live=live, killed=killed)

    assert scene.api(f"{TASKS}/{scene.task.pk}/complete", said, role) == "ok"

    scene.task.refresh_from_db()
    assert (scene.task.status, scene.task.outcome) == ("COMPLETED", said["outcome"])
    assert Suppression.objects.exists() is (said["outcome"] == "OPTED_OUT")


def test_an_opt_out_passes_at_every_page_and_on_the_telephone(scene: Scene, settings: Settings) -> None:
    settings.GO_LIVE_ENFORCE = True
    switch(live=False, killed=True)

    assert scene.page(f"{PAGES}/{scene.task.pk}/opt-out/", {}) == "ok"
    told = Suppression.objects.count()
    assert told > 0
    other = begin_in_spite_of_switches("L-3", phone="416 555 0103")
    assert scene.page(f"{PAGES}/{other.pk}/complete/", {"outcome": "OPTED_OUT"}) == "ok"
    assert Suppression.objects.count() > told
    third = begin_in_spite_of_switches("L-4", phone="416 555 0104")
    inbound = {"channel": "CALL", "outcome": "OPTED_OUT"}
    assert scene.api(f"/api/followups/lead/{third.lead.external_id}/inbound", inbound, "VA") == "ok"
    assert not Ladder.objects.filter(status="ACTIVE").exists()


def begin_in_spite_of_switches(lead_id: str, **details: Any) -> FollowUpTask:
    """Begin another ladder, as if it had been there before the switches were turned."""
    before = GoLiveState.objects.get()
    switch(live=True, killed=False)
    task = begin(lead_id, **details)
    switch(live=before.go_live_enabled, killed=before.kill_switch_engaged)
    return task


def test_corrections_releases_and_whatever_slows_down_pass(scene: Scene, settings: Settings) -> None:
    settings.GO_LIVE_ENFORCE = True
    switch(live=True, killed=False)
    assert scene.api("/api/followups/due/claim", {}) == "ok"
    other = begin("L-5", phone="416 555 0105")
    done = begin("L-6", phone="416 555 0106")
    services.complete_task(done.pk, services.Completion(), by=SOMEBODY, at=NOW + MINUTE)
    offer = compute("L-1").evidence
    assert offer is not None
    lost, kept = reserved(100), reserved(100)
    switch(live=False, killed=True)

    why = {"reason": "the switch is engaged"}
    assert scene.api(f"{TASKS}/{scene.task.pk}/release", {}) == "ok"
    assert scene.api(f"{TASKS}/{scene.task.pk}/snooze", {"until": "2026-11-25T16:00:00Z"}) == "ok"
    assert scene.api(f"{TASKS}/{scene.task.pk}/skip", why) == "ok"
    assert scene.api(f"{TASKS}/{done.pk}/correct", {"outcome": "REPLIED", **why}) == "ok"
    assert scene.api(f"{TASKS}/{other.pk}/reassign", {"owner": "vera", **why}) == "ok"
    assert scene.api(f"/api/followups/ladder/{other.ladder_id}/stop", why) == "ok"
    assert scene.api("/api/followups/lead/L-1/inbound", {"channel": "CALL"}) == "ok"
    assert scene.api(f"/api/deals/offers/{offer.pk}/outcome", {"outcome": "REJECTED"}) == "ok"
    policy = {"province": "ON", "enabled": False, **why}
    assert scene.api("/api/governance/market/policies/upsert", policy) == "ok"
    assert scene.api("/api/deals/offers/policies/upsert", policy) == "ok"
    settled = {"reservation_id": lost, "realized_loss": 1}
    assert scene.api("/api/governance/risk/settle", settled, "CLOSER") == "ok"
    assert scene.api("/api/governance/risk/release", {"reservation_id": kept}, "CLOSER") == "ok"
    assert scene.api("/api/governance/risk/policies/upsert", {"engine": "NOTIFY", "enabled": True}) == "ok"
    figure = {"domain": "WHOLESALE", "metric": "followup_sla"}
    assert scene.api("/api/governance/regression/kpi", {**figure, "success": False}, "CLOSER") == "ok"
    assert scene.api("/api/governance/regression/policies/upsert", {**figure, "enabled": True}) == "ok"
    assert scene.api("/api/governance/regression/evaluate", {}, "SERVICE") == "ok"
    assert scene.api("/api/governance/regression/release", {**figure, **why}) == "ok"


def test_a_suppression_and_a_withdrawn_consent_pass_in_admin(settings: Settings) -> None:
    settings.GO_LIVE_ENFORCE = True
    switch(live=False, killed=True)
    client = Client()
    client.force_login(make_person("MANAGER"))

    stop = {"point": SELLER_PHONE, "action": "SUPPRESS", "channel": "", "source": "OPT_OUT", "reason": ""}
    assert client.post(reverse("admin:governance_suppression_add"), stop).status_code == 302
    withdrawn = {
        "point": SELLER_PHONE,
        "channel": "SMS",
        "kind": "WITHDRAWN",
        "obtained_how": "she wrote",
        "at_0": "2026-11-24",
        "at_1": "07:00:00",
    }
    assert client.post(reverse("admin:governance_consent_add"), withdrawn).status_code == 302
    assert (Suppression.objects.count(), Consent.objects.count()) == (2, 1)


# --- what stays open ----------------------------------------------------------------------------------------


def test_everything_can_be_read_under_any_switch(scene: Scene, settings: Settings) -> None:
    """Every page of every screen of admin is opened under them in test_admin_pages.py."""
    settings.GO_LIVE_ENFORCE = True
    switch(live=False, killed=True)
    client, browser = make_client("MANAGER"), Client()
    browser.force_login(make_person("MANAGER"))

    asked = [address for address, pattern in addresses() if "get" in getattr(pattern.callback, "actions", {})]
    answers = {address: client.get(filled(address)).status_code for address in asked}
    pages = ["/livez", "/readyz", "/followups/", f"{PAGES}/{scene.task.pk}/", "/admin/"]
    answers |= {path: browser.get(path, follow=True).status_code for path in pages}

    assert len(answers) > 40
    assert {path: status for path, status in answers.items() if status not in (200, 400, 404)} == {}
    assert {answers[path] for path in pages} == {200}


@pytest.mark.both
def test_every_job_runs_under_any_switch(scene: Scene, settings: Settings) -> None:
    settings.GO_LIVE_ENFORCE = True
    switch(live=False, killed=True)
    app.loader.import_default_modules()

    for schedule in SCHEDULES:
        app.tasks[schedule.name]()  # raises whatever a verb refuses


# --- at once ------------------------------------------------------------------------------------------------


@pytest.mark.both
@pytest.mark.django_db(transaction=True)
def test_nothing_that_begins_after_the_kill_switch_was_engaged_gets_through(settings: Settings) -> None:
    """Twelve threads claim all the time; the switch is engaged in the middle of it."""
    settings.GO_LIVE_ENFORCE = True
    switch(live=True, killed=False)
    began: list[tuple[bool, str]] = []
    engaged, stop = threading.Event(), threading.Event()

    def claim_all_the_time(name: str) -> None:
        try:
            while not stop.is_set():
                after = engaged.is_set()
                by = Actor.system(name)
                try:
                    services.claim_due(by=by, at=NOW)
                    began.append((after, "ok"))
                except Exception as refusal:
                    began.append((after, getattr(refusal, "code", type(refusal).__name__)))
        finally:
            connection.close()

    threads = [threading.Thread(target=claim_all_the_time, args=(f"v{n}",)) for n in range(12)]
    for thread in threads:
        thread.start()
    while len(began) < 50:
        stop.wait(0.01)
    set_kill_switch(True, by=Actor.system("tests"), at=NOW, reason="fire")
    engaged.set()
    count = len(began)
    while len(began) < count + 50:
        stop.wait(0.01)
    stop.set()
    for thread in threads:
        thread.join(30)

    assert {code for after, code in began if after} == {"kill_switch_engaged"}
    assert sum(after for after, _code in began) >= 20
    assert (False, "ok") in began

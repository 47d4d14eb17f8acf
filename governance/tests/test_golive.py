"""Go-live and the kill switch: who turns them, what they stop, and what a refusal leaves behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import pytest
from django.db import IntegrityError, transaction
from pytest_django import Settings
from rest_framework.response import Response
from rest_framework.test import APIClient, APIRequestFactory, force_authenticate

from governance.core import hooks
from governance.core.actors import Actor
from governance.core.errors import Forbidden, Invalid, Refused, Unavailable
from governance.core.hooks import ChecklistLine
from governance.core.rest.viewsets import ServiceViewSet
from governance.core.verbs import Execution, verb
from governance.golive.models import GoLiveState
from governance.golive.services import set_go_live, set_kill_switch, state
from governance.kpi.models import KpiEvent
from governance.kpi.services import emit_kpi
from governance.models import User
from governance.tests.factories import NOW

Api = Callable[..., APIClient]
MakeBy = Callable[..., Actor]
pytestmark = [pytest.mark.both, pytest.mark.django_db]
BASE = "/api/governance/go-live"
TURNS = ["enable", "disable", "kill-switch/engage", "kill-switch/release"]


def test_at_first_both_switches_are_off(api: Api) -> None:
    answer = api("VA").get(f"{BASE}/state").json()
    assert (answer["go_live_enabled"], answer["kill_switch_engaged"]) == (False, False)
    assert set(answer) == {
        "go_live_enabled",
        "kill_switch_engaged",
        "enforced",
        "changed_by",
        "reason",
        "updated_at",
    }


@pytest.mark.usefixtures("unblocked")
def test_each_switch_is_turned_and_says_who_and_why(api: Api) -> None:
    client = api("MANAGER", "mona")

    def turn(what: str) -> tuple[bool, bool]:
        response = client.post(f"{BASE}/{what}", {"reason": "first day"}, format="json")
        assert response.status_code == 200, response.content
        answer = response.json()
        assert (answer["changed_by"], answer["reason"]) == ("mona", "first day")
        return answer["go_live_enabled"], answer["kill_switch_engaged"]

    assert turn("enable") == (True, False)
    assert turn("kill-switch/engage") == (True, True)
    assert turn("kill-switch/release") == (True, False)
    assert turn("disable") == (False, False)
    assert GoLiveState.history.count() == 5, "the seed and four turns"


def test_turning_to_what_it_is_changes_nothing(api: Api) -> None:
    api("MANAGER", "mona").post(f"{BASE}/kill-switch/engage", {"reason": "fire"}, format="json")
    again = api("CLOSER", "carl").post(f"{BASE}/kill-switch/engage", {"reason": "?"}, format="json").json()
    assert (again["changed_by"], again["reason"]) == ("mona", "fire")
    assert GoLiveState.history.count() == 2


@pytest.mark.parametrize("reason", [None, "", "  "])
def test_the_kill_switch_is_released_for_a_reason_only(api: Api, reason: str | None) -> None:
    client = api("MANAGER")
    client.post(f"{BASE}/kill-switch/engage", {}, format="json")
    given = {} if reason is None else {"reason": reason}
    response = client.post(f"{BASE}/kill-switch/release", given, format="json")
    assert (response.status_code, list(response.json()["errors"])) == (400, ["reason"])
    assert state().kill_switch_engaged


LINES = [
    ChecklistLine("backup", "There is a backup", False, "There is none.", {"newest": None}),
    ChecklistLine("jobs", "Jobs are running", True),
]


def test_blockers_keep_go_live_off_until_they_are_gone(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks.checklist, "_answerers", [lambda at: LINES, lambda at: []])
    response = api("MANAGER").post(f"{BASE}/enable", {}, format="json")
    body = response.json()
    assert (response.status_code, body["code"], body["blockers"]) == (
        412,
        "blocked",
        [{"id": "backup", "severity": "BLOCKER", "message": "There is none.", "detail": {"newest": None}}],
    )
    assert not state().go_live_enabled

    monkeypatch.setattr(hooks.checklist, "_answerers", [lambda at: LINES[1:]])
    assert api("MANAGER").post(f"{BASE}/enable", {}, format="json").status_code == 200
    assert state().go_live_enabled


def test_blockers_keep_nobody_from_switching_off(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks.checklist, "_answerers", [lambda at: LINES])
    GoLiveState.objects.update(go_live_enabled=True)
    assert api("MANAGER").post(f"{BASE}/disable", {}, format="json").status_code == 200
    assert not state().go_live_enabled


def test_the_checklist_says_what_is_in_order_and_what_is_not(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks.checklist, "_answerers", [lambda at: LINES])
    assert api("CLOSER").get(f"{BASE}/checklist").json() == {
        "ok_to_enable_go_live": False,
        "checklist": [
            {
                "id": "backup",
                "title": "There is a backup",
                "ok": False,
                "message": "There is none.",
                "detail": {"newest": None},
            },
            {"id": "jobs", "title": "Jobs are running", "ok": True, "message": "", "detail": {}},
        ],
    }
    monkeypatch.setattr(hooks.checklist, "_answerers", [lambda at: LINES[1:]])
    assert api("CLOSER").get(f"{BASE}/checklist").json()["ok_to_enable_go_live"] is True


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        ("VA", set()),
        ("CLOSER", {"kill-switch/engage"}),
        ("MANAGER", set(TURNS)),
        ("AUDITOR", set()),
        ("SERVICE", set()),
    ],
)
@pytest.mark.usefixtures("unblocked")
def test_who_may_turn_what(api: Api, role: str, allowed: set[str]) -> None:
    client = api(role)
    assert client.get(f"{BASE}/state").status_code == 200
    for what in TURNS:
        response = client.post(f"{BASE}/{what}", {"reason": "because"}, format="json")
        assert response.status_code == (200 if what in allowed else 403), what


def test_nobody_turns_or_reads_without_signing_in(db: None) -> None:
    assert APIClient().get(f"{BASE}/state").status_code == 401
    for what in TURNS:
        assert APIClient().post(f"{BASE}/{what}", {"reason": "x"}, format="json").status_code == 401


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"reason": "r" * 501}, "reason"),
        ({"reason": ["x"]}, "reason"),
        ({"enabled": True}, "enabled"),
        ({"correlation_id": "a b"}, "correlation_id"),
    ],
    ids=str,
)
def test_bad_input_names_its_field_and_turns_nothing(api: Api, given: dict[str, object], field: str) -> None:
    for what in TURNS:
        response = api("MANAGER").post(f"{BASE}/{what}", given, format="json")
        assert response.status_code == 400
        assert field in response.json()["errors"]
    assert GoLiveState.history.count() == 1


def test_services_ask_for_the_right_themselves(by: MakeBy) -> None:
    for role in ("VA", "AUDITOR", "SERVICE"):
        with pytest.raises(Forbidden):
            set_kill_switch(True, by=by(role), at=NOW, reason="x")
    for role in ("VA", "CLOSER", "AUDITOR", "SERVICE"):
        with pytest.raises(Forbidden):
            set_go_live(True, by=by(role), at=NOW, reason="x")
        with pytest.raises(Forbidden):
            set_kill_switch(False, by=by(role), at=NOW, reason="x")
    with pytest.raises(Invalid):
        set_kill_switch(False, by=by("MANAGER"), at=NOW, reason="")


def test_there_is_one_row_of_it() -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        GoLiveState.objects.create(pk=2, updated_at=NOW)


# --- execution classes --------------------------------------------------------------------------------------


@verb(Execution.PROD_EXEC)
def produce() -> str:
    return "done"


@verb(Execution.SANDBOX_EXEC)
def try_out() -> str:
    return "done"


@verb(Execution.OBSERVE_ONLY)
def record() -> str:
    return "done"


def outcome(action: Callable[[], str]) -> str:
    try:
        return action()
    except Unavailable as refusal:
        return refusal.code


@pytest.mark.parametrize(
    ("enforced", "live", "killed", "expected"),
    [
        (True, False, False, ("go_live_disabled", "done", "done")),
        (True, True, False, ("done", "done", "done")),
        (True, True, True, ("kill_switch_engaged", "kill_switch_engaged", "done")),
        (True, False, True, ("kill_switch_engaged", "kill_switch_engaged", "done")),
        (False, False, True, ("done", "done", "done")),
    ],
)
def test_the_switches_stop_what_sets_something_in_motion(
    settings: Settings, enforced: bool, live: bool, killed: bool, expected: tuple[str, str, str]
) -> None:
    settings.GO_LIVE_ENFORCE = enforced
    GoLiveState.objects.update(go_live_enabled=live, kill_switch_engaged=killed)
    assert (outcome(produce), outcome(try_out), outcome(record)) == expected


def test_without_the_row_nothing_goes_live(settings: Settings) -> None:
    settings.GO_LIVE_ENFORCE = True
    GoLiveState.objects.all().delete()
    assert outcome(produce) == "go_live_disabled"


# --- what a refusal keeps -----------------------------------------------------------------------------------


@verb(Execution.OBSERVE_ONLY)
def write_and_refuse(by: Actor) -> None:
    emit_kpi("TEST", "undone", by=by, at=NOW)
    raise Refused("no", "No.", keep=lambda: void(emit_kpi("TEST", "kept", by=by, at=NOW)))


def void(_value: object) -> None:
    return None


@verb(Execution.OBSERVE_ONLY)
def call_it(by: Actor) -> None:
    write_and_refuse(by)


@pytest.mark.parametrize("action", [write_and_refuse, call_it])
def test_a_refused_verb_leaves_what_it_must_and_nothing_else(
    by: MakeBy, action: Callable[[Actor], None]
) -> None:
    with pytest.raises(Refused):
        action(by("VA"))
    kept = list(KpiEvent.objects.values_list("metric", flat=True))
    assert "undone" not in kept
    assert kept == ["kept"]


class RefusingDoor(ServiceViewSet):
    """A door whose verb refuses and keeps something."""

    rights: ClassVar[dict[str, str]] = {"go": "governance.view_operations"}

    def go(self, request: object) -> Response:
        write_and_refuse(self.by())
        return Response({})


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "k-1"}], ids=["without a key", "with a key"])
def test_what_a_refusal_keeps_outlives_the_idempotency_key(
    person: Callable[..., User], headers: dict[str, str]
) -> None:
    request = APIRequestFactory().post("/", {}, format="json", headers=headers)
    force_authenticate(request, person("VA"))
    response = RefusingDoor.as_view({"post": "go"})(request)
    assert response.status_code == 409
    assert list(KpiEvent.objects.values_list("metric", flat=True)) == ["kept"]

"""The runbook itself: what it says of what its checks find, and that nothing a check does makes it fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, transaction
from django.test import Client
from django.utils import translation
from rest_framework.test import APIClient

from governance.core.actors import Actor
from governance.core.errors import Refused
from governance.golive.services import set_go_live
from governance.models import User
from governance.runbook import registry
from governance.runbook.registry import Check, Finding, Severity, check
from governance.runbook.services import checklist, markdown, status
from governance.tests.factories import NOW

pytestmark = [pytest.mark.both, pytest.mark.django_db]
Api = Callable[..., APIClient]
BASE, PAGE = "/api/governance/runbook", "/admin/governance/runbook/"
BLOCKER, WARN, INFO = Severity.BLOCKER, Severity.WARN, Severity.INFO


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> dict[str, Check]:
    """The registry, empty at first; the product's own checks are out of the way for the test."""
    own: dict[str, Check] = {}
    monkeypatch.setattr(registry, "_checks", own)
    return own


def add(id: str, severity: Severity, *found: Finding) -> None:
    @check(id, severity, f"{id} is in order")
    def ask(at: datetime) -> list[Finding]:
        return list(found)


@pytest.fixture
def some(checks: dict[str, Check]) -> None:
    """Checks of each kind, some with nothing to say."""
    add("a.warning", WARN, Finding("Look at this.", {"since": NOW}))
    add("b.blocker", BLOCKER, Finding("First.", {"n": 1}), Finding("Second *and* <b>last</b>."))
    add("c.fine", BLOCKER)
    add("d.calm", WARN, Finding("Nothing is set up.", {}, INFO))


# --- what it says -------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("some")
def test_the_status_sorts_what_was_found_by_severity(api: Api) -> None:
    answer = api("CLOSER").get(f"{BASE}/status").json()
    assert answer.pop("generated_at").endswith("Z")
    assert answer == {
        "blockers": [
            {"id": "b.blocker", "severity": "BLOCKER", "message": "First.", "detail": {"n": 1}},
            {"id": "b.blocker", "severity": "BLOCKER", "message": "Second *and* <b>last</b>.", "detail": {}},
        ],
        "warnings": [
            {
                "id": "a.warning",
                "severity": "WARN",
                "message": "Look at this.",
                "detail": {"since": "2026-11-24 15:00:00+00:00"},
            }
        ],
        "info": [{"id": "d.calm", "severity": "INFO", "message": "Nothing is set up.", "detail": {}}],
        "ok_to_enable_go_live": False,
    }


def test_warnings_and_information_keep_nobody_from_going_live(api: Api, checks: dict[str, Check]) -> None:
    add("a", WARN, Finding("Look."))
    add("b", BLOCKER, Finding("By the way.", {}, INFO))
    answer = api("MANAGER").get(f"{BASE}/status").json()
    assert (answer["ok_to_enable_go_live"], len(answer["warnings"]), len(answer["info"])) == (True, 1, 1)


@pytest.mark.usefixtures("some")
def test_the_markdown_is_for_people(api: Api) -> None:
    answer = api("AUDITOR").get(f"{BASE}/markdown")
    assert answer["Content-Type"] == "text/markdown; charset=utf-8"
    text = answer.content.decode()
    assert text.startswith("# Runbook\n\nGo-live stays off until its blockers are gone.\n")
    assert "- **b.blocker**: Second \\*and\\* \\<b\\>last\\</b\\>.\n" in text
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings == ["## What keeps go-live off", "## To review", "## Good to know", "## In order"]
    assert text.index("## In order") < text.index("- c.fine is in order")
    assert "a.warning is in order" not in text
    assert "d.calm is in order" not in text


@pytest.mark.usefixtures("some")
def test_the_page_says_the_same(client: Client, person: Callable[..., User]) -> None:
    client.force_login(person("AUDITOR"))
    text = client.get(PAGE).content.decode()
    assert "2 blockers keep go-live off." in text
    assert "Second *and* &lt;b&gt;last&lt;/b&gt;." in text
    for words in ("Look at this.", "Nothing is set up.", "c.fine is in order"):
        assert words in text


@pytest.mark.usefixtures("some")
def test_the_checklist_has_what_can_block_alone() -> None:
    told = [(line.id, line.ok, line.message) for line in checklist(NOW)]
    assert told == [
        ("b.blocker", False, "First."),
        ("b.blocker", False, "Second *and* <b>last</b>."),
        ("c.fine", True, ""),
    ]


@pytest.mark.usefixtures("some")
def test_whoever_reads_french_reads_french(api: Api) -> None:
    with translation.override("en"):  # whatever the request switches to ends with it
        text = api("MANAGER").get(f"{BASE}/markdown", headers={"Accept-Language": "fr"}).content.decode()
    assert "## Ce qui empêche la mise en production" in text


def test_the_light_is_the_worst_of_what_was_found(checks: dict[str, Check]) -> None:
    assert status(NOW).light == INFO
    add("a", WARN, Finding("Look."))
    assert status(NOW).light == WARN
    add("b", BLOCKER, Finding("Stop."))
    assert status(NOW).light == BLOCKER


# --- whatever a check does ----------------------------------------------------------------------------------


def broken_sql(at: datetime) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM no_such_table")


def broken_inside_a_transaction(at: datetime) -> None:
    with transaction.atomic():
        broken_sql(at)


def swallows_its_error(at: datetime) -> None:
    try:
        broken_sql(at)
    except Exception:
        User.objects.count()  # PostgreSQL answers nothing more in this transaction


def raises(problem: BaseException) -> Callable[[datetime], None]:
    def ask(at: datetime) -> None:
        raise problem

    return ask


def generates_and_fails(at: datetime) -> Iterator[Finding]:
    yield Finding("One is found.")
    raise KeyError("and then")


class Unspeakable:
    def __str__(self) -> str:
        raise ValueError("no words")


BROKEN: dict[str, Callable[[datetime], Any]] = {
    "sql": broken_sql,
    "sql in a transaction": broken_inside_a_transaction,
    "raises": raises(ZeroDivisionError()),
    "asserts": raises(AssertionError()),
    "is not set up": raises(ImproperlyConfigured()),
    "refuses": raises(Refused("no", "No.")),
    "recurses": raises(RecursionError()),
    "generates and fails": generates_and_fails,
    "answers a text": lambda at: "fine",
    "answers a number": lambda at: 7,
    "answers texts": lambda at: ["fine"],
    "has no words": lambda at: Finding(Unspeakable()),
    "has unspeakable detail": lambda at: Finding("x", {"a": Unspeakable()}),
    "has an unknown severity": lambda at: Finding("x", {}, "FATAL"),  # type: ignore[arg-type]  # on purpose
}


@pytest.mark.parametrize("severity", [BLOCKER, WARN, INFO])
@pytest.mark.parametrize("how", BROKEN)
def test_a_check_that_fails_is_a_blocker_and_the_others_are_asked(
    how: str, severity: Severity, checks: dict[str, Check], caplog: pytest.LogCaptureFixture
) -> None:
    check("broken", severity, "never in order")(BROKEN[how])

    @check("after", BLOCKER, "asks the database")
    def ask(at: datetime) -> Finding:
        return Finding(f"There are {User.objects.count()} people.")

    found = {one.id: one for one in status(NOW).blockers}

    assert set(found) == {"broken", "after"}
    assert "could not be checked" in found["broken"].message
    assert found["broken"].detail["error"]
    assert found["after"].message == "There are 0 people."
    assert "broken" in caplog.text
    with transaction.atomic():  # what was around it goes on too
        assert User.objects.count() == 0


def test_a_check_that_swallows_its_error_does_no_harm_either(checks: dict[str, Check]) -> None:
    check("broken", WARN, "never in order")(swallows_its_error)
    add("after", WARN, Finding("Asked."))

    assert [one.message for one in status(NOW).warnings] == ["Asked."]
    assert User.objects.count() == 0


def test_the_page_the_markdown_and_the_switches_show_a_check_that_fails(
    api: Api, client: Client, person: Callable[..., User], by: Callable[..., Actor], checks: dict[str, Check]
) -> None:
    check("broken", INFO, Unspeakable())(broken_sql)
    manager = api("MANAGER")
    client.force_login(person("MANAGER"))

    for text in (
        manager.get(f"{BASE}/status").content.decode(),
        manager.get(f"{BASE}/markdown").content.decode(),
        client.get(PAGE).content.decode(),
        client.get("/admin/governance/golivestate/1/change/").content.decode(),
    ):
        assert "could not be checked" in text
    with pytest.raises(Refused, match="blockers"):
        set_go_live(True, by=by("MANAGER"), at=NOW, reason="first day")
    assert manager.post("/api/governance/go-live/enable", {}, format="json").status_code == 412


def test_two_checks_cannot_have_one_name(checks: dict[str, Check]) -> None:
    add("a", WARN)
    with pytest.raises(ValueError, match="two checks called a"):
        add("a", WARN)


# --- who may read it ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("some")
@pytest.mark.parametrize("role", ["VA", "CLOSER", "MANAGER", "AUDITOR", "SERVICE"])
def test_everybody_but_a_va_reads_it(role: str, api: Api) -> None:
    for path in (f"{BASE}/status", f"{BASE}/markdown", "/api/governance/go-live/checklist"):
        assert api(role).get(path).status_code == (403 if role == "VA" else 200)


@pytest.mark.usefixtures("some")
def test_nobody_changes_it(client: Client, person: Callable[..., User]) -> None:
    root = person("MANAGER")
    root.is_superuser = True
    root.save()
    client.force_login(root)
    assert client.get(f"{PAGE}1/change/").status_code in (302, 403, 404)
    assert client.post(f"{PAGE}1/change/", {}).status_code in (302, 403)
    assert client.post(f"{PAGE}add/", {}).status_code == 403
    assert client.post(f"{PAGE}1/delete/", {"post": "yes"}).status_code in (302, 403)


def test_what_is_asked_is_asked_anew_each_time(checks: dict[str, Check], api: Api) -> None:
    add("a", BLOCKER, Finding("Stop."))
    assert not api("MANAGER").get(f"{BASE}/status").json()["ok_to_enable_go_live"]
    checks.clear()
    assert api("MANAGER").get(f"{BASE}/status").json()["ok_to_enable_go_live"]


def test_markdown_is_one_line_a_finding() -> None:
    from governance.runbook.services import Asked, Found, Status

    found = Found("a", "BLOCKER", "Two\nlines\n# and a heading")
    text = markdown(Status(NOW, (Asked("a", "title", "BLOCKER", (found,)),)))
    assert "- **a**: Two lines \\# and a heading\n" in text

"""The schema of the API: it is that of the code, describes every call, and never breaks a client."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from io import StringIO
from pathlib import Path
from typing import Any, ClassVar

import pytest
from django.conf import settings
from django.core.management import call_command
from django.urls import path
from django.utils import timezone
from rest_framework.response import Response

from governance.core.rest.describe import Deprecated, docs_of
from governance.core.rest.viewsets import ServiceViewSet
from valhalla.management.commands.openapi import DOCS, as_text, schema
from valhalla.tests.contract import breaking_changes
from valhalla.tests.documented import written_schema
from valhalla.tests.test_access import addresses

ROOT = Path(settings.BASE_DIR)
RELEASED = DOCS / "openapi.released.json"
TODAY = date(2026, 12, 1)


@pytest.fixture(scope="session")
def built() -> dict[str, Any]:
    """The schema of the code as it is, built once."""
    return schema()


def served() -> dict[str, dict[str, tuple[type, str]]]:
    """Every route of the API: its viewset and action by method."""
    found: dict[str, dict[str, tuple[type, str]]] = {}
    for address, pattern in addresses():
        actions = getattr(pattern.callback, "actions", None)
        if address.startswith("api/") and actions:
            view = getattr(pattern.callback, "cls")  # noqa: B009  # of DRF's as_view
            found[f"/{address}"] = {
                method: (view, action) for method, action in actions.items() if method != "head"
            }
    return found


def operations(found: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{method.upper()} {path}", operation)
        for path, methods in found["paths"].items()
        for method, operation in methods.items()
    ]


# --- it is that of the code ---------------------------------------------------------------------------------


def test_the_written_schema_is_that_of_the_code(built: dict[str, Any]) -> None:
    written = (DOCS / "openapi.json").read_text()
    assert as_text(built) == written, "the API has changed: `make openapi` writes its schema"


def test_every_route_of_the_api_is_in_the_schema(built: dict[str, Any]) -> None:
    described = {name.split(" ")[0] + " " + _shape(name.split(" ")[1]) for name, _op in operations(built)}
    routes = {
        f"{method.upper()} {_shape(route)}" for route, methods in served().items() for method in methods
    }
    assert routes == described
    assert len(routes) > 60


def _shape(path: str) -> str:
    """Return a path without the names of its variables, which a route and the schema write differently."""
    return "/".join("*" if part[:1] in ("<", "{") else part for part in path.split("/"))


def test_every_description_is_that_of_an_action() -> None:
    described = {
        (view, name)
        for methods in served().values()
        for view, action in methods.values()
        for name in [f"{view.__name__}.{action}"]
    }
    modules = {docs_of(view) for view, _name in described}
    assert None not in modules
    written = {name for module in modules if module is not None for name in module.DOCS}
    assert written == {name for _view, name in described}


def test_drf_spectacular_finds_the_schema_valid(built: dict[str, Any]) -> None:
    from drf_spectacular.validation import validate_schema

    assert built["openapi"].startswith("3.1")
    validate_schema(built)


def test_generateschema_writes_the_same_schema(built: dict[str, Any]) -> None:
    out = StringIO()
    call_command("generateschema", format="openapi-json", stdout=out)
    assert json.loads(out.getvalue())["paths"].keys() == built["paths"].keys()


def test_processes_import_neither_drf_spectacular_nor_the_descriptions() -> None:
    program = (
        "import django, sys; django.setup()\n"
        "from django.urls import get_resolver\n"
        "from valhalla.wsgi import application\n"
        "get_resolver().url_patterns\n"
        "import governance.urls, followups.api.urls\n"
        "print([m for m in sys.modules if m.startswith('drf_spectacular.') or m.endswith('api.docs')])"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.strip() == "[]"


# --- it describes every call --------------------------------------------------------------------------------


def test_every_call_says_what_it_does_needs_and_refuses(built: dict[str, Any]) -> None:
    lacking = []
    for name, operation in operations(built):
        responses = operation["responses"]
        good = next(response for status, response in responses.items() if int(status) < 300)
        lacking += [
            f"{name}: {what}"
            for what, there in (
                ("summary", operation.get("summary")),
                ("description", operation.get("description")),
                ("tag", operation.get("tags")),
                ("permission", operation.get("x-permission") and operation.get("x-roles")),
                ("security", operation.get("security")),
                ("refusals", {"401", "403", "429", "503"} <= set(responses)),
                ("answer", good.get("content")),
                ("limits", {"RateLimit", "RateLimit-Policy"} <= set(good.get("headers", ()))),
            )
            if not there
        ]
    assert lacking == []


def test_every_group_is_described(built: dict[str, Any]) -> None:
    named = {tag["name"] for tag in built["tags"] if tag["description"]}
    assert named == {tag for _name, operation in operations(built) for tag in operation["tags"]}


def test_a_call_that_stores_its_answer_takes_an_idempotency_key(built: dict[str, Any]) -> None:
    takes = {
        operation["operationId"]
        for _name, operation in operations(built)
        if "Idempotency-Key" in {parameter["name"] for parameter in operation.get("parameters", ())}
    }
    assert "task_complete" in takes
    assert not takes & {"due", "lookup_by_post", "can_contact_by_post", "regression_evaluate"}


def test_only_what_stores_unknown_members_takes_them(built: dict[str, Any]) -> None:
    shapes = built["components"]["schemas"]
    assert shapes["CreateLadderInput"]["additionalProperties"] == {}
    assert shapes["CompleteInput"]["additionalProperties"] is False


class _Leaving(ServiceViewSet):
    rights: ClassVar[dict[str, str]] = {"leave": "governance.view_operations"}
    deprecated: ClassVar[dict[str, Deprecated]] = {
        "leave": Deprecated(since=date(2026, 1, 2), removal=date(2027, 7, 1), instead="POST /api/new")
    }

    def leave(self, request: object) -> Response:
        return Response({})


def test_one_declaration_marks_a_deprecated_call_in_the_schema() -> None:
    from drf_spectacular.generators import SchemaGenerator

    patterns = [path("api/leave", _Leaving.as_view({"get": "leave"}), name="leave")]
    found = SchemaGenerator(patterns=patterns).get_schema(request=None, public=True)
    operation = found["paths"]["/api/leave"]["get"]
    assert operation["deprecated"] is True
    assert operation["x-removal"] == "2027-07-01"
    assert "Call POST /api/new instead" in operation["description"]
    assert {"Deprecation", "Sunset"} <= set(operation["responses"]["200"]["headers"])


# --- it never breaks a client -------------------------------------------------------------------------------


def test_nothing_that_was_released_is_taken_away(built: dict[str, Any]) -> None:
    released = json.loads(RELEASED.read_text())
    assert breaking_changes(released, built, timezone.now().date()) == [], (
        "clients of the released API would break: deprecate first, with a day of removal"
    )


def test_the_same_schema_breaks_nobody() -> None:
    assert breaking_changes(written_schema(), written_schema(), TODAY) == []


Change = Callable[[dict[str, Any]], None]
COMPLETE = "/api/followups/task/{id}/complete"


def _input(found: dict[str, Any]) -> dict[str, Any]:
    return dict(found["components"]["schemas"])["CompleteInput"]  # type: ignore[no-any-return]  # JSON


def _answer(found: dict[str, Any]) -> dict[str, Any]:
    return dict(found["components"]["schemas"])["Completed"]  # type: ignore[no-any-return]  # JSON


def _due(found: dict[str, Any]) -> list[dict[str, Any]]:
    return found["paths"]["/api/followups/due"]["get"]["parameters"]  # type: ignore[no-any-return]  # JSON


def _of(found: dict[str, Any], name: str) -> dict[str, Any]:
    return next(parameter for parameter in _due(found) if parameter["name"] == name)


BREAKS: dict[str, tuple[Change, str]] = {
    "a path": (lambda s: s["paths"].pop(COMPLETE), f"POST {COMPLETE} was removed"),
    "a method": (
        lambda s: s["paths"]["/api/followups/lookup"].pop("post"),
        "POST /api/followups/lookup was removed",
    ),
    "an operation's name": (
        lambda s: s["paths"][COMPLETE]["post"].update(operationId="finish"),
        "operationId task_complete was renamed to finish",
    ),
    "a parameter": (lambda s: _due(s).remove(_of(s, "owner")), "parameter owner was removed"),
    "a parameter's freedom": (lambda s: _of(s, "owner").update(required=True), "owner became required"),
    "a parameter's value": (lambda s: _of(s, "order")["schema"]["enum"].remove("urgent"), "'urgent'"),
    "a new required parameter": (
        lambda s: _due(s).append({"in": "query", "name": "team", "required": True, "schema": {}}),
        "the new parameter team is required",
    ),
    "the body": (lambda s: s["paths"][COMPLETE]["post"].pop("requestBody"), "the body was removed"),
    "the body's freedom": (
        lambda s: s["paths"][COMPLETE]["post"]["requestBody"].update(required=True),
        "the body became required",
    ),
    "a body's media type": (
        lambda s: s["paths"][COMPLETE]["post"]["requestBody"]["content"].clear(),
        "the body can no longer be application/json",
    ),
    "a field of the input": (lambda s: _input(s)["properties"].pop("note"), "body.note was removed"),
    "a value of the input": (
        lambda s: _input(s)["properties"]["outcome"]["enum"].remove("REACHED"),
        "body.outcome can no longer be 'REACHED'",
    ),
    "a new required field": (
        lambda s: _input(s).update(
            required=["why"], properties={**_input(s)["properties"], "why": {"type": "string"}}
        ),
        "body.why is new and required",
    ),
    "a field that becomes required": (
        lambda s: _input(s).update(required=["outcome"]),
        "body.outcome became required",
    ),
    "a type of the input": (
        lambda s: _input(s)["properties"]["note"].update(type="integer"),
        "body.note can no longer be string",
    ),
    "a length of the input": (
        lambda s: _input(s)["properties"]["note"].update(maxLength=100),
        "body.note has the new bound maxLength 100",
    ),
    "a bound of a parameter": (
        lambda s: _of(s, "limit")["schema"].update(minimum=5),
        "parameter limit has the new bound minimum 5",
    ),
    "any value of a text": (
        lambda s: _input(s)["properties"]["note"].update(enum=["A"]),
        "body.note is limited to some values",
    ),
    "a new pattern": (lambda s: _input(s)["properties"]["note"].update(pattern="^x"), "has a new pattern"),
    "other members": (
        lambda s: s["components"]["schemas"]["CreateLadderInput"].update(additionalProperties=False),
        "body no longer takes other members",
    ),
    "a status": (
        lambda s: s["paths"][COMPLETE]["post"]["responses"].update(
            {"201": s["paths"][COMPLETE]["post"]["responses"].pop("200")}
        ),
        "it no longer answers 200",
    ),
    "an answer's media type": (
        lambda s: s["paths"][COMPLETE]["post"]["responses"]["200"]["content"].clear(),
        "it no longer answers application/json",
    ),
    "a member of the answer": (
        lambda s: _answer(s)["properties"].pop("next_task"),
        "answer.next_task was removed",
    ),
    "a member deep in the answer": (
        lambda s: s["components"]["schemas"]["PlannedTask"]["properties"].pop("due_at"),
        "answer.next_task.due_at was removed",
    ),
    "a member of a list's rows": (
        lambda s: s["components"]["schemas"]["Lead"]["properties"].pop("lead_id"),
        "answer.results[].lead_id was removed",
    ),
    "that a member is always there": (
        lambda s: _answer(s)["required"].remove("task"),
        "answer.task is no longer always there",
    ),
    "that a member is never null": (
        lambda s: s["components"]["schemas"]["Stopped"]["properties"]["ok"].update(type=["boolean", "null"]),
        "answer.ok can now be null",
    ),
    "a value of the answer": (
        lambda s: s["components"]["schemas"]["Task"]["properties"]["status"]["enum"].remove("OPEN"),
        "status is never again 'OPEN'",
    ),
}


@pytest.mark.parametrize("what", BREAKS)
def test_taking_something_away_is_noticed(what: str) -> None:
    change, sentence = BREAKS[what]
    changed = copy.deepcopy(written_schema())
    change(changed)
    found = breaking_changes(written_schema(), changed, TODAY)
    assert any(sentence in line for line in found), found


HARMLESS: dict[str, Change] = {
    "a path": lambda s: s["paths"].update({"/api/new": {"get": {"operationId": "new", "responses": {}}}}),
    "an optional parameter": lambda s: _due(s).append({"in": "query", "name": "team", "schema": {}}),
    "an optional field": lambda s: _input(s)["properties"].update(why={"type": "string"}),
    "a value of the input": lambda s: _input(s)["properties"]["outcome"]["enum"].append("FAXED"),
    "a wider bound": lambda s: _of(s, "limit")["schema"].update(maximum=5000),
    "a member of the answer": lambda s: _answer(s)["properties"].update(why={"type": "string"}),
    "another description": lambda s: _input(s).update(description="Other words."),
    "another refusal": lambda s: s["paths"][COMPLETE]["post"]["responses"].update(
        {"418": {"description": ""}}
    ),
}


@pytest.mark.parametrize("what", HARMLESS)
def test_adding_something_breaks_nobody(what: str) -> None:
    changed = copy.deepcopy(written_schema())
    HARMLESS[what](changed)
    assert breaking_changes(written_schema(), changed, TODAY) == []


@pytest.mark.parametrize(("removal", "breaks"), [("2026-11-30", False), ("2026-12-02", True), (None, True)])
def test_a_deprecated_call_may_go_on_its_day(removal: str | None, breaks: bool) -> None:
    old, new = copy.deepcopy(written_schema()), copy.deepcopy(written_schema())
    old["paths"][COMPLETE]["post"] |= {"deprecated": True} | ({"x-removal": removal} if removal else {})
    del new["paths"][COMPLETE]
    assert bool(breaking_changes(old, new, TODAY)) is breaks


def test_bounds_are_numbers(built: dict[str, Any]) -> None:
    shapes = built["components"]["schemas"]
    assert shapes["OfferComputeInput"]["properties"]["arv"]["maximum"] == 999999999.99
    texts = [
        name
        for name, shape in shapes.items()
        for field in shape.get("properties", {}).values()
        if isinstance(field.get("maximum", 0), str) or isinstance(field.get("minimum", 0), str)
    ]
    assert texts == []

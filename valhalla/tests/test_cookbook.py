"""The examples of the schema are real calls, and the cookbook is written from them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from governance.core.actors import Role
from valhalla.management.commands.openapi import DOCS, EXAMPLES
from valhalla.tests.api_walk import walk_through
from valhalla.tests.documented import complaints, resolved, written_schema

WRITES = os.environ.get("VALHALLA_WRITE_EXAMPLES", "") == "1"


def operations() -> dict[str, dict[str, Any]]:
    return {
        operation["operationId"]: operation
        for methods in written_schema()["paths"].values()
        for operation in methods.values()
    }


def examples() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads(EXAMPLES.read_text())
    return found


@pytest.mark.django_db
def test_every_call_of_the_examples_succeeds(api: Callable[..., APIClient], unblocked: None) -> None:
    walked = walk_through(api(Role.MANAGER, "mona"))
    if WRITES:
        EXAMPLES.write_text(json.dumps(walked, indent=1, ensure_ascii=False) + "\n")
    assert set(walked) == set(operations()), "valhalla/tests/api_walk.py makes every call"
    written = examples()
    sent = {name: _sent(example) for name, example in walked.items()}
    assert sent == {name: _sent(example) for name, example in written.items()}, (
        "`make api-examples` writes them again"
    )


def _sent(example: dict[str, Any]) -> dict[str, Any]:
    """Return what an example sends, without the ids and tokens that the walk was given."""
    return {
        "path": sorted(example["path"]),
        "query": sorted(example["query"]),
        "request": sorted(example.get("request", {})),
        "status": example["status"],
    }


def test_every_example_is_one_of_its_call() -> None:
    wrong = []
    for name, example in examples().items():
        operation = operations()[name]
        good = resolved(operation["responses"][str(example["status"])])
        for media, content in good["content"].items():
            if media == "application/json" and isinstance(example["answer"], dict | list):
                wrong += [
                    f"{name} answer {what}" for what in complaints(content["schema"], example["answer"])
                ]
        for content in operation.get("requestBody", {}).get("content", {}).values():
            wrong += [f"{name} body {what}" for what in complaints(content["schema"], example["request"])]
        parameters = {parameter["name"]: parameter for parameter in operation.get("parameters", ())}
        for key, value in {**example["path"], **example["query"]}.items():
            wrong += [f"{name} {key} {what}" for what in complaints(parameters[key]["schema"], value)]
    assert wrong == []


def test_the_schema_shows_the_examples() -> None:
    shown = examples()
    for name, operation in operations().items():
        (status,) = [status for status in operation["responses"] if status == str(shown[name]["status"])]
        contents = operation["responses"][status]["content"].values()
        assert shown[name]["answer"] in [content.get("example") for content in contents], name


def test_the_cookbook_is_written_from_the_examples() -> None:
    from valhalla.management.commands.openapi import cookbook

    assert cookbook(written_schema()) == (DOCS / "cookbook.md").read_text(), "`make openapi` writes it"


def test_the_cookbook_has_every_call() -> None:
    text = (DOCS / "cookbook.md").read_text()
    for methods in written_schema()["paths"].values():
        for operation in methods.values():
            assert f"### {operation['summary']}" in text

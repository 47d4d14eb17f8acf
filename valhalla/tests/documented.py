"""Compares what the API answers with what docs/openapi.json promises, for every call of a test client."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from django.conf import settings
from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012
from rest_framework.test import APIClient

# Documented once for the whole API, or no answer of ours at all.
EVERYWHERE = {405, 406, 500}
CODES = {"bad_request", "tls_required"}


@cache
def written_schema() -> dict[str, Any]:
    """Return docs/openapi.json."""
    found: dict[str, Any] = json.loads((Path(settings.BASE_DIR) / "docs" / "openapi.json").read_text())
    return found


@cache
def operations() -> dict[tuple[str, str], dict[str, Any]]:
    """Return the operations by method and route: the operation id of its GET, or of its only method."""
    return {
        (method, methods.get("get", operation)["operationId"]): operation
        for methods in written_schema()["paths"].values()
        for method, operation in methods.items()
    }


@cache
def _registry() -> Registry[Any]:
    document = DRAFT202012.create_resource(written_schema())
    registry: Registry[Any] = Registry()
    registry = registry.with_resource("urn:api", document)
    return registry


def _absolute(node: Any) -> Any:
    """Return a shape whose references name the document that they are in."""
    if isinstance(node, dict):
        return {
            key: f"urn:api{value}" if key == "$ref" and value.startswith("#") else _absolute(value)
            for key, value in node.items()
        }
    return [_absolute(item) for item in node] if isinstance(node, list) else node


@cache
def _validator(shape: str) -> Draft202012Validator:
    return Draft202012Validator(_absolute(json.loads(shape)), registry=_registry())


def complaints(shape: dict[str, Any], value: object) -> list[str]:
    """Return what in a value contradicts a shape of the schema."""
    return [
        f"{error.json_path}: {error.message[:300]}"
        for error in _validator(json.dumps(shape)).iter_errors(value)
    ]


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    """Return a response, following its reference into the components."""
    if "$ref" not in node:
        return node
    found: Any = written_schema()
    for part in node["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return dict(found)


def contradictions(response: Any) -> list[str]:
    """Return in what an answer contradicts the schema; nothing for what the schema does not describe."""
    request = response.wsgi_request
    name = getattr(getattr(request, "resolver_match", None), "view_name", None) or ""
    operation = operations().get((request.method.lower(), name.removeprefix("api-").replace("-", "_")), None)
    if operation is None or response.status_code in EVERYWHERE:
        return []
    status = str(response.status_code)
    documented = operation["responses"].get(status)
    if documented is None:
        return [
            f"{operation['operationId']} answered {status}, which is not documented: {response.content!r}"
        ]
    described = resolved(documented)
    if response.status_code == 304:
        return [] if not response.content else ["a body came with 304"]
    kind = response.headers.get("Content-Type", "").partition(";")[0]
    content = described.get("content", {}).get(kind)
    if content is None:
        return [f"{operation['operationId']} answered {status} as {kind}, which is not documented"]
    if "json" not in kind:
        return []
    if response.streaming:
        return []
    body = json.loads(response.content)
    found = complaints(content["schema"], body)
    if "fields" in request.GET:  # fewer members than the shape requires, as the caller asked
        found = [said for said in found if not said.endswith("is a required property")]
    if (
        response.status_code >= 400
        and body["code"] not in CODES
        and f"`{body['code']}`" not in described["description"]
    ):
        found.append(f"the code {body['code']} is not documented for {status}")
    return [f"{operation['operationId']}: {what}" for what in found]


class DocumentedClient(APIClient):
    """A test client whose every call fails the test if the schema does not describe its answer.

    `compares` is turned off by tests that put answers of their own in place of the API's.
    """

    compares = True

    def request(self, **kwargs: Any) -> Any:
        response = super().request(**kwargs)
        found = contradictions(response) if self.compares else []
        assert not found, (
            "docs/openapi.json says otherwise (api/docs.py, then `make openapi`):\n" + "\n".join(found)
        )
        return response

"""Write the API's schema, docs/openapi.json, which is served at /api/schema.

With --released it also becomes the promise to clients, docs/openapi.released.json: a later change that breaks
one of them fails the tests.
"""

from __future__ import annotations

import json
import shlex
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.utils import translation

DOCS = Path(settings.BASE_DIR) / "docs"
EXAMPLES = DOCS / "api-examples.json"


def schema() -> dict[str, Any]:
    """Return the schema of the API as it is now, in English."""
    from drf_spectacular.generators import SchemaGenerator  # a second of imports that other commands save

    with translation.override("en"):
        found = SchemaGenerator().get_schema(request=None, public=True)
        return json.loads(json.dumps(found, default=_plain))  # type: ignore[no-any-return]  # an object


def _plain(value: object) -> float | str:
    """Return what JSON has no type for: a bound as a number, a lazy text as a text."""
    return float(value) if isinstance(value, Decimal) else str(value)


def as_text(found: dict[str, Any]) -> str:
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


INTRODUCTION = """\
# Cookbook

A call for every task, with curl. `make openapi` writes this page from the same examples as the
[schema](openapi.json); the tests make each of these calls. What holds for all of them is in [REST](api.md).
First:

```sh
HOST=https://valhalla.example
TOKEN=$(manage.py issue_token crm --role service --scopes policy --days 90)
```

Some calls need a person's rights, such as a manager's: their permission is in the reference, `/api/docs`.
Ids come from the answers of earlier calls.
"""


def cookbook(found: dict[str, Any]) -> str:
    """Return the page with a curl command for each operation of a schema that has an example."""
    shown = json.loads(EXAMPLES.read_text()) if EXAMPLES.exists() else {}
    parts = [INTRODUCTION]
    for tag in found["tags"]:
        parts.append(f"\n## {tag['name']}\n\n{tag['description']}\n")
        for path, methods in found["paths"].items():
            for method, operation in methods.items():
                if tag["name"] in operation["tags"] and operation["operationId"] in shown:
                    parts.append(_recipe(method, path, operation, shown[operation["operationId"]]))
    return "".join(parts)


def _recipe(method: str, path: str, operation: dict[str, Any], example: dict[str, Any]) -> str:
    query = "&".join(f"{name}={value}" for name, value in example["query"].items())
    address = path.format(**example["path"]) + (f"?{query}" if query else "")
    lines = [f'curl -H "Authorization: Bearer $TOKEN" "$HOST{address}"']
    if method != "get":
        lines[0] = f'curl -X {method.upper()} -H "Authorization: Bearer $TOKEN" "$HOST{address}"'
        headers = {
            parameter["name"] for parameter in operation.get("parameters", ()) if parameter["in"] == "header"
        }
        if "Idempotency-Key" in headers:
            lines.append('-H "Idempotency-Key: $(uuidgen)"')
        if "If-Match" in headers:
            lines.append('-H "If-Match: $ETAG"')
        body = json.dumps(example["request"], ensure_ascii=False)
        lines.append('-H "Content-Type: application/json"')
        lines.append(f"-d {shlex.quote(body)}")
    command = " \\\n  ".join(lines)
    return f"\n### {operation['summary']}\n\n```sh\n{command}\n```\n"


def promises(node: Any) -> Any:
    """Return what clients may rely on in a schema, without its texts."""
    if isinstance(node, list):
        return [promises(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {}
    for key, value in node.items():
        if key == "properties":  # of which one may be called like one of the texts
            kept[key] = {name: promises(shape) for name, shape in value.items()}
        elif key == "responses" and "operationId" in node:
            kept[key] = {status: promises(answer) for status, answer in value.items() if status < "300"}
        elif key not in TEXTS:
            kept[key] = promises(value)
    return kept


TEXTS = {"description", "summary", "title", "example", "headers", "tags", "info", "x-roles"}


class Command(BaseCommand):
    help = "Write the API's schema to docs/openapi.json, and docs/cookbook.md."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--released", action="store_true", help="it is released: promise it to clients")

    def handle(self, *, released: bool, **options: object) -> None:
        found = schema()
        (DOCS / "openapi.json").write_text(as_text(found))
        (DOCS / "cookbook.md").write_text(cookbook(found))
        if released:
            found["components"].pop("responses")
            (DOCS / "openapi.released.json").write_text(as_text(promises(found)))

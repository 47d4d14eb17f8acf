"""Write the API's schema, docs/openapi.json, which is served at /api/schema.

With --released it also becomes the promise to clients, docs/openapi.released.json: a later change that breaks
one of them fails the tests.
"""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.utils import translation

DOCS = Path(settings.BASE_DIR) / "docs"


def schema() -> dict[str, Any]:
    """Return the schema of the API as it is now, in English."""
    from drf_spectacular.generators import SchemaGenerator  # a second of imports that other commands save

    with translation.override("en"):
        found = SchemaGenerator().get_schema(request=None, public=True)
        return json.loads(json.dumps(found, default=_plain))  # type: ignore[no-any-return]  # an object


def _plain(value: object) -> object:
    """Return a field's limit as the number that it is, any other value as text."""
    return float(value) if isinstance(value, Decimal) else str(value)


def as_text(found: dict[str, Any]) -> str:
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


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
    help = "Write the API's schema to docs/openapi.json."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--released", action="store_true", help="it is released: promise it to clients")

    def handle(self, *, released: bool, **options: object) -> None:
        found = schema()
        (DOCS / "openapi.json").write_text(as_text(found))
        if released:
            found["components"].pop("responses")
            (DOCS / "openapi.released.json").write_text(as_text(promises(found)))

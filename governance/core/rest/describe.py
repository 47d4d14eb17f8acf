"""How endpoints are described: what the code does not declare by itself is in each package's `api/docs.py`.

That module holds `TAG`, `REFUSALS` (code -> status and meaning) and `DOCS` ("ViewSet.action" -> Doc). It is
imported only to write the schema, so that descriptions cost a web process nothing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from importlib import import_module
from types import MappingProxyType, ModuleType
from typing import Any

from rest_framework import serializers

NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Tag:
    """A group of operations, as documentation shows them."""

    name: str
    description: str


@dataclass(frozen=True, slots=True)
class Doc:
    """What one action's documentation says beyond what its code declares.

    `answer` is the shape of the body of a successful response, `many` says that it is a list of it; actions
    of collections need neither. `refusals` are the codes of this action's own refusals, and `fields`
    describes fields of the input: their meaning and unit.
    """

    summary: str
    description: str = ""
    answer: type[serializers.Serializer[Any]] | None = None
    many: bool = False
    status: int = 200
    media: str = "application/json"
    refusals: Sequence[str] = ()
    fields: Mapping[str, str] = field(default_factory=lambda: NOTHING)


@dataclass(frozen=True, slots=True)
class Deprecated:
    """An action that clients should stop calling.

    `since` and `removal` are days (UTC); `instead` says what to call, for people. Responses carry the headers
    Deprecation (RFC 9745) and, with a `removal`, Sunset (RFC 8594), and the schema marks the operation.
    """

    since: dt.date
    instead: str
    removal: dt.date | None = None

    def headers(self) -> dict[str, str]:
        headers = {"Deprecation": f"@{int(_midnight(self.since).timestamp())}"}
        if self.removal is not None:
            headers["Sunset"] = format_datetime(_midnight(self.removal), usegmt=True)
        return headers


def _midnight(day: dt.date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


class Answer(serializers.Serializer[Any]):
    """The base of the shapes of responses, which only describe what the `as_…` functions return."""


def docs_of(view: type) -> ModuleType | None:
    """Return the module `docs` of a viewset's package; None if there is none, as for views of libraries."""
    package = view.__module__.rpartition(".")[0]
    try:
        return import_module(f"{package}.docs")
    except ModuleNotFoundError as missing:
        if missing.name != f"{package}.docs":
            raise
        return None

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

from governance.core.rest.input import OF_THE_CALL

NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Tag:
    """A group of operations, as documentation shows them; `prefix` begins the names of its shapes."""

    name: str
    description: str
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class Doc:
    """What one action's documentation says beyond what its code declares.

    `answer` is the shape of the body of a successful response, `many` says that it is a list of it; actions
    of collections need neither. `also` are other statuses with the same body. `refusals` are the codes of
    this action's own refusals, and `fields` describes fields of the input: their meaning and unit.
    """

    summary: str
    description: str = ""
    answer: type[serializers.Serializer[Any]] | None = None
    many: bool = False
    status: int = 200
    also: Sequence[int] = ()
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


def ok() -> serializers.BooleanField:
    return serializers.BooleanField(help_text="Always true in a successful response.")


class ItemOfBulk(serializers.Serializer[Any]):
    """Put before the input of a single call, it describes that input as an item of a bulk call."""

    def get_fields(self) -> Any:
        fields = super().get_fields()
        for name in OF_THE_CALL:
            del fields[name]
        key = serializers.CharField(
            required=False,
            max_length=64,
            help_text="Identifies the item in this call; by default its position.",
        )
        return {"key": key, **fields}


class BulkResult(Answer):
    """What became of an item: the `answer` of the single call, or its `problem`."""

    index = serializers.IntegerField()
    key = serializers.CharField()
    status = serializers.IntegerField(help_text="As the single call answers it.")
    replayed = serializers.BooleanField(help_text="true: an earlier call with the key did it.")
    answer = serializers.DictField(required=False)
    problem = serializers.DictField(required=False, help_text="See the schema Problem.")


class BulkAnswer(Answer):
    """What became of each item, in their order."""

    ok = ok()
    succeeded = serializers.IntegerField()
    failed = serializers.IntegerField()
    replayed = serializers.IntegerField()
    results = BulkResult(many=True)


BULK = (
    "Up to 1,000 items a call, in transactions of at most 25; each has its own result, and a refused one "
    "stops no other. Under an Idempotency-Key each item is done once: after a lost answer send the same call "
    "again. With `all_or_nothing` up to 25 items are stored together, or none (`nothing_stored`). A dry run "
    "rehearses each part by itself."
)
BULK_FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "items": "At most 1,000.",
        "all_or_nothing": "true: store all items, at most 25, or none.",
    }
)
# What any action may refuse with: code -> status and meaning. `REFUSALS` of `api/docs.py` adds to it.
COMMON: Mapping[str, tuple[int, str]] = MappingProxyType(
    {
        "invalid": (400, "Some values are not valid; `errors` names each field."),
        "unknown_field": (400, "There is no such parameter or filter; `errors` names it."),
        "parse_error": (400, "The form cannot be read."),
        "not_authenticated": (401, "No token was sent, and there is no session."),
        "authentication_failed": (401, "The token is unknown, revoked or expired."),
        "not_allowed": (403, "The role or the token's scopes do not allow this call."),
        "actor_mismatch": (403, "A person named somebody else as `actor`."),
        "fresh_authentication_required": (
            403,
            "Only for a browser session: enter the password or a code again. Calls with a token never need "
            "it.",
        ),
        "token_required": (403, "A stream needs a token; people export in admin, where they give a reason."),
        "exports_busy": (503, "Two streams run already; `Retry-After` says when to try again."),
        "not_found": (404, "There is no such object, or you may not see it."),
        "stale_version": (
            409,
            "Somebody changed it since: `expected_version` is not the stored version. Read it, and try "
            "again.",
        ),
        "nothing_stored": (
            409,
            "Items are refused, and all or none were to be stored; `results` names them.",
        ),
        "key_in_use": (409, "The first call with this Idempotency-Key is still running; try again soon."),
        "body_too_large": (413, "The body exceeds 64 KB (1 MB for bulk calls and those with a note)."),
        "unsupported_media_type": (415, "Send JSON or a form."),
        "key_reused": (422, "This Idempotency-Key was used for another request."),
        "throttled": (429, "Rate limit exceeded; `Retry-After` says when to call again."),
        "unavailable": (503, "The database does not answer; `Retry-After` says when to try again."),
        "busy": (503, "Too many writes at once; try again."),
        "go_live_disabled": (503, "Go-live is off: nothing that reaches people or money is done."),
        "kill_switch_engaged": (
            503,
            "The kill switch is engaged: nothing that reaches people or money is done.",
        ),
    }
)
# Actions with an effect on people or money, which the two switches stop.
SWITCHES = ("go_live_disabled", "kill_switch_engaged")


def cad(**options: Any) -> serializers.FloatField:
    return serializers.FloatField(help_text=str(options.pop("help_text", "CAD.")), **options)


def fraction(**options: Any) -> serializers.FloatField:
    return serializers.FloatField(help_text=str(options.pop("help_text", "A fraction, 0 to 1.")), **options)


def codes(**options: Any) -> serializers.ListField:
    """Return a list of texts."""
    return serializers.ListField(child=serializers.CharField(), **options)


class Written(Answer):
    """Who wrote a row, for whom, and in which call."""

    actor = serializers.CharField()
    acting_for = serializers.CharField(help_text="Whom the service client acted for; blank for people.")
    correlation_id = serializers.CharField()
    token_id = serializers.CharField(allow_null=True, help_text="The token's id; null in a browser.")
    created_at = serializers.DateTimeField()


def docs_of(view: type) -> ModuleType | None:
    """Return the module `docs` of a viewset's package; None if there is none, as for views of libraries."""
    package = view.__module__.rpartition(".")[0]
    try:
        return import_module(f"{package}.docs")
    except ModuleNotFoundError as missing:
        if missing.name != f"{package}.docs":
            raise
        return None

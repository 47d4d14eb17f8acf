"""The OpenAPI 3.1 description of the API, derived from what viewsets declare and from `api/docs.py`.

Nothing imports this module while calls are served: `make openapi` writes docs/openapi.json, which is served.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from django.conf import settings
from django.urls import URLPattern, URLResolver, get_resolver
from drf_spectacular.contrib.django_filters import DjangoFilterExtension
from drf_spectacular.extensions import OpenApiAuthenticationExtension, OpenApiSerializerFieldExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import build_parameter_type
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from rest_framework import serializers

from governance.core import hooks
from governance.core.actors import Role
from governance.core.places import Province
from governance.core.rest.bulk import BulkViewSet
from governance.core.rest.describe import COMMON, Answer, Doc, Tag, docs_of
from governance.core.rest.exports import CSVRenderer, NDJSONRenderer
from governance.core.rest.fields import JSONObjectField
from governance.core.rest.filters import IdsFilter, YesNoFilter
from governance.core.rest.input import Input
from governance.core.rest.problems import PROBLEM
from governance.core.rest.viewsets import CollectionViewSet, ServiceViewSet

EXAMPLES = Path(settings.BASE_DIR) / "docs" / "api-examples.json"
JSON = "application/json"

DESCRIPTION = """\
Valhalla's back office: leads and their follow-ups, buyers, offers, and the rules that hold for all of
them.

**Start**: create a token with `manage.py issue_token NAME --role service --days 90`, or on the page *Your
tokens*, and send it as `Authorization: Bearer TOKEN`. The cookbook, docs/cookbook.md, has a call for
every task.

**Input**: the body of a POST is JSON; a form or the query string works too, and the body wins. An unknown
key in a JSON body is refused, except where a call stores it. Codes such as a province or channel may be
in any case. Bodies: 64 KB; 1 MB for bulk calls and those with a note.

**Units**: money is CAD and rates are 0 to 1; both are JSON numbers. Instants are ISO 8601 with an offset;
responses are in UTC with `Z`. Clients must ignore members that they do not know.

**Errors** are `application/problem+json` (RFC 9457), the schema *Problem*: read `code`, never `detail`.
These are not repeated for each call: 400 `bad_request`, 403 `tls_required`, 405 `method_not_allowed`, 406
`not_acceptable` and 500 `server_error`.

**Repeating a call**: send an `Idempotency-Key` with a POST, and for 24 hours the same call returns the
stored response (header `Idempotent-Replayed`). Refusals are not stored and can be retried.

**Tracing**: `X-Correlation-ID` identifies a call. Send your own, or take that of the response; it is
stored on every row that the call writes.

**Limits**: each token and each person has a number of calls a minute. Every response says in `RateLimit`
how many are left, and a 429 in `Retry-After` when to call again.

**Changes**: within this version nothing that a client may rely on is removed. An operation that will go
is marked deprecated and sends the headers `Deprecation` (RFC 9745) and `Sunset` (RFC 8594) long before.
"""

HEADERS: dict[str, dict[str, Any]] = {
    "X-Correlation-ID": {"description": "Identifies the call.", "schema": {"type": "string"}},
    "RateLimit-Policy": {
        "description": 'Quotas: `"token";q=600;w=60` allows 600 calls in 60 seconds.',
        "schema": {"type": "string"},
    },
    "RateLimit": {
        "description": 'What is left of each: `"token";r=599;t=42`, for the next 42 seconds.',
        "schema": {"type": "string"},
    },
    "Retry-After": {"description": "Seconds until the next call.", "schema": {"type": "integer"}},
    "Idempotent-Replayed": {
        "description": "`true` if this is the stored response of an earlier call with the same key.",
        "schema": {"type": "string"},
    },
    "Dry-Run": {"description": "`true` if nothing was stored.", "schema": {"type": "string"}},
    "ETag": {
        "description": "Names this answer, for `If-None-Match`; of a row, its version, for `If-Match`.",
        "schema": {"type": "string"},
    },
    "Deprecation": {
        "description": "When the operation was deprecated, as `@` and a Unix time (RFC 9745).",
        "schema": {"type": "string"},
    },
    "Sunset": {"description": "When it will be gone, as a date (RFC 8594).", "schema": {"type": "string"}},
}
# what means the same in every input and collection
FIELDS = {
    "actor": "Whom a service client acts for. A person may only name themselves.",
    "changed_by": "The same as `actor`.",
    "dry_run": "Answers what the call would do, with `dry_run` true, and stores nothing.",
    "correlation_id": "The same as the header X-Correlation-ID.",
    "province": "A province or territory.",
    "market": "A market's name, such as Toronto; blank or omitted means ALL.",
    "lead_id": "The lead's id in its source.",
    "reason": "Why, for the history.",
    "expected_version": "Refuses the change with `stale_version` unless this is still the stored version.",
    "since": "Only what was created at or after this instant.",
    "until": "Only what was created before this instant.",
    "page_size": "Rows per page: 50 by default, 500 at most.",
    "cursor": "Take the whole URL from `next` or `previous` instead of writing this yourself.",
    "id__in": "Only these rows: up to 100 ids, separated by commas.",
    "created_after": "Only what was created at or after this instant.",
    "created_before": "Only what was created before this instant.",
    "updated_after": "Only what last changed at or after this instant, the oldest change first.",
    "updated_before": "Only what last changed before this instant.",
    "fields": "Only these members of each row, separated by commas.",
    "format": "All rows as one stream of lines, in place of pages. It needs a token and is logged.",
}
_OF_COLLECTIONS = {"ordering", "page_size", "cursor"}
STREAMS = (NDJSONRenderer, CSVRenderer)


class Problem(Answer):
    """Why a call was refused (RFC 9457). Some codes add members, which their description names."""

    type = serializers.CharField(help_text="`urn:valhalla:problem:` and the code.")
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField(help_text="A sentence for people, in the language of Accept-Language.")
    code = serializers.CharField(help_text="What programs decide by; it never changes.")
    correlation_id = serializers.CharField()
    reason = serializers.CharField(required=False, help_text="More exactly why, for codes that say so.")
    next_allowed_at = serializers.DateTimeField(
        required=False, allow_null=True, help_text="With `contact_denied`: when contact is allowed again."
    )

    def get_fields(self) -> Any:  # `errors` is a property of serializers
        return {**super().get_fields(), "errors": serializers.DictField(help_text="By field: what is wrong.")}


def examples() -> dict[str, Any]:
    """Return the example of each operation, by its id: `path`, `query`, `request`, `status` and `answer`."""
    found: dict[str, Any] = json.loads(EXAMPLES.read_text()) if EXAMPLES.exists() else {}
    return found


@lru_cache(maxsize=1)
def _names() -> dict[str, str]:
    """Return the names of all routes, by their route from the root."""

    def walk(entries: list[Any], before: str) -> Iterator[tuple[str, str]]:
        for entry in entries:
            here = before + str(entry.pattern)
            if isinstance(entry, URLResolver):
                yield from walk(entry.url_patterns, here)
            elif isinstance(entry, URLPattern) and entry.name:
                yield here, entry.name

    return dict(walk(get_resolver().url_patterns, ""))


class Schema(AutoSchema):
    """Describes an action by its viewset's declarations, and by the Doc that `api/docs.py` has for it."""

    view: Any  # a viewset of ours

    def _docs(self) -> Any:
        return docs_of(type(self.view))

    def _doc(self) -> Doc:
        found = getattr(self._docs(), "DOCS", {}).get(f"{type(self.view).__name__}.{self.view.action}")
        return found or Doc(summary="")

    def _input(self) -> type[serializers.Serializer[Any]] | None:
        found: type[serializers.Serializer[Any]] | None = getattr(self.view, "inputs", {}).get(
            self.view.action
        )
        return found

    def _is_collection(self) -> bool:
        return isinstance(self.view, CollectionViewSet) and self.view.action in ("list", "retrieve")

    def _is_bulk(self) -> bool:
        return isinstance(self.view, BulkViewSet) and self.view.action in self.view.bulks

    def _stores_answers(self) -> bool:
        view = self.view
        return (
            self.method == "POST"
            and isinstance(view, ServiceViewSet)
            and view.action not in view.questions | view.repeatable
        )

    def _is_list(self) -> bool:
        return isinstance(self.view, CollectionViewSet) and self.view.action == "list"

    def _is_tagged(self) -> bool:
        return self.method == "GET" and self.view.action in self.view.tagged

    # what the operation is

    def get_operation_id(self) -> str:
        name = _names().get(self.path_regex.lstrip("/"))
        if name is None:
            return str(super().get_operation_id())
        served = getattr(self.view, "action_map", None) or {}
        if len(set(served.values())) > 1 and self.method != "GET":
            return f"{name.removeprefix('api-').replace('-', '_')}_{self.view.action}"
        also_get = len(served) > 1 and self.method == "POST"
        return name.removeprefix("api-").replace("-", "_") + ("_by_post" if also_get else "")

    def get_tags(self) -> list[str]:
        tag: Tag | None = getattr(self._docs(), "TAG", None)
        return [tag.name] if tag else []

    def get_summary(self) -> str:
        return self._doc().summary

    def get_description(self) -> str:  # type: ignore[override]  # the base is untyped
        old = self.view.deprecated.get(self.view.action)
        right = self.view.rights.get(self.view.action, "")
        holders = ", ".join(str(role.label) for role in _holders(right)) or "nobody"
        parts = [self._doc().description]
        if old is not None:
            gone = f" It will be gone on {old.removal.isoformat()}." if old.removal else ""
            parts.append(f"**Deprecated since {old.since.isoformat()}.** Call {old.instead} instead.{gone}")
        parts.append(f"Permission `{right}`: {holders}{_by_scope(right)}.")
        return "\n\n".join(filter(None, parts))

    def is_deprecated(self) -> bool:
        return self.view.action in self.view.deprecated

    def get_extensions(self) -> dict[str, Any]:
        right = self.view.rights.get(self.view.action, "")
        old = self.view.deprecated.get(self.view.action)
        return {
            "x-permission": right,
            "x-roles": [role.value for role in _holders(right)],
            **({"x-removal": old.removal.isoformat()} if old and old.removal else {}),
        }

    # what goes in

    def get_override_parameters(self) -> list[Any]:
        parameters: list[Any] = []
        shape = self._input()
        if shape is not None and self.method == "GET":
            parameters.append(shape)
        if self._is_collection():
            parameters.append(OpenApiParameter("fields", str))
        if self._is_list():
            streams = [render.format for render in STREAMS]
            parameters.append(OpenApiParameter("format", str, enum=["json", *streams]))
        if self._is_tagged():
            told = "The ETag of the response that you have: 304 if it is still the same."
            parameters.append(
                OpenApiParameter("If-None-Match", str, OpenApiParameter.HEADER, description=told)
            )
        if self._stores_answers() or self._is_bulk():
            parameters.append(
                OpenApiParameter(
                    "Idempotency-Key",
                    str,
                    OpenApiParameter.HEADER,
                    description="Runs the call once: for 24 hours the same call returns the stored response.",
                    pattern="^[!-~]{1,128}$",
                )
            )
        if self.method == "PATCH":
            parameters.append(
                OpenApiParameter(
                    "If-Match",
                    str,
                    OpenApiParameter.HEADER,
                    required=True,
                    description="The `ETag` that you read; * for any version.",
                )
            )
        return parameters

    def get_request_serializer(self) -> Any:
        return self._input()

    def map_parsers(self) -> list[str]:
        return [JSON]

    def map_renderers(self, attribute: str) -> list[str]:
        return ["json"] if attribute == "format" else [JSON]

    # what comes out

    def get_response_serializers(self) -> Any:
        doc = self._doc()
        shape: Any = doc.answer
        if self._is_collection():
            shape = self.view.get_serializer_class()
        elif doc.many and shape is not None:
            shape = shape(many=True)
        elif shape is None:
            shape = {"type": "string"} if doc.media != JSON else None
        found: dict[Any, Any] = {
            (str(status), doc.media): OpenApiResponse(shape, description="Success.")
            for status in sorted({doc.status, *doc.also})
        }
        if self._is_list():
            for render in STREAMS:
                line = OpenApiResponse({"type": "string"}, description="Success.")
                found[str(doc.status), render.media_type] = line
        if self._is_tagged():
            found["304"] = OpenApiResponse(description="Nothing changed since the response with that ETag.")
        for status, meanings in self._refusals().items():
            lines = "\n".join(f"- `{code}`: {meaning}" for code, meaning in meanings.items())
            found[str(status), PROBLEM] = OpenApiResponse(Problem, description=lines)
        return found

    def _refusals(self) -> dict[int, dict[str, str]]:
        """Return the codes that the action may refuse with and their meanings, by status."""
        doc, shape = self._doc(), self._input()
        codes = ["not_authenticated", "authentication_failed", "not_allowed", "throttled", "unavailable"]
        if shape is not None or self._is_collection():
            codes += ["invalid", "unknown_field"]
        if shape is not None and issubclass(shape, Input):
            codes.append("actor_mismatch")
        if self._is_collection():
            codes.append("not_found")  # for a list, an invalid cursor
        if self._is_list():
            codes += ["token_required", "exports_busy"]
        if self.method != "GET":
            codes += ["parse_error", "body_too_large", "unsupported_media_type", "busy"]
        if self._stores_answers():
            codes += ["key_reused", "key_in_use"]
        if self._is_bulk():
            codes.append("nothing_stored")
        known = {**COMMON, **getattr(self._docs(), "REFUSALS", {})}
        found: dict[int, dict[str, str]] = {}
        for code in dict.fromkeys((*doc.refusals, *codes)):
            status, meaning = known[code]
            found.setdefault(status, {})[code] = meaning
        return dict(sorted(found.items()))

    # how shapes are described

    def get_serializer_name(self, serializer: Any, direction: Any) -> str:
        name = type(serializer).__name__.removesuffix("Serializer")
        prefix = getattr(getattr(docs_of(type(serializer)), "TAG", None), "prefix", "")
        return name if name.startswith(prefix) else prefix + name

    def _map_serializer_field(self, field: Any, direction: Any, bypass_extensions: bool = False) -> Any:
        """Describe a field by `SHAPES` of `api/docs.py` where its own type does not say what it holds."""
        return super()._map_serializer_field(_shape_of(field) or field, direction, bypass_extensions)

    def _insert_field_validators(self, field: Any, schema: Any) -> None:
        if _shape_of(field) is None:
            super()._insert_field_validators(field, schema)

    def _map_basic_serializer(self, serializer: Any, direction: Any) -> Any:
        schema = super()._map_basic_serializer(serializer, direction)
        if isinstance(serializer, Input):
            if getattr(serializer, "keeps_unknown", False):
                schema["additionalProperties"] = {}
            elif self.method != "GET":
                schema["additionalProperties"] = False
            described = {**FIELDS, **self._doc().fields}
            if self.method == "GET" or self.view.action in self.view.questions:
                schema.get("properties", {}).pop("dry_run", None)  # there is nothing to rehearse
            for name, field in schema.get("properties", {}).items():
                if name in described and (name in self._doc().fields or "description" not in field):
                    field["description"] = described[name]
        elif isinstance(serializer, Problem):
            schema["additionalProperties"] = {}
        if not type(serializer).__doc__:
            schema.pop("description", None)  # that of the base, which describes bases
        return schema

    def get_operation(self, *args: Any, **kwargs: Any) -> Any:
        operation = super().get_operation(*args, **kwargs)
        if operation is None:
            return None
        for parameter in operation.get("parameters", ()):
            if parameter["in"] == "query":
                self._describe_parameter(parameter)
        for status, response in operation["responses"].items():
            if names := self._headers(int(status)):
                response["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in names}
        _exemplify(operation, examples().get(operation["operationId"], {}))
        return operation

    def _describe_parameter(self, parameter: dict[str, Any]) -> None:
        name, shape = parameter["name"], parameter["schema"]
        shape.pop("title", None)
        if isinstance(shape.get("type"), list):
            shape["type"] = shape["type"][0]  # a query string has no null
        described = FIELDS.get(name)
        if name == "ordering":
            names = dict.fromkeys([*self.view.ordering_fields, "updated_at"])
            fields = ", ".join(f"`{field}`" for field in names)
            described = f"Orders by one of {fields}; with - in front, descending."
        if described and (name in _OF_COLLECTIONS or not parameter.get("description")):
            parameter["description"] = described

    def _headers(self, status: int) -> list[str]:
        if status != 429 and status >= 400:
            return ["Retry-After"] if status == 503 else []
        names = ["X-Correlation-ID", "RateLimit", "RateLimit-Policy"]
        if status == 429:
            names.append("Retry-After")
        if self._is_tagged() or (status < 300 and self.view.action in self.view.versioned):
            names.append("ETag")
        if status < 300 and self._stores_answers():
            names += ["Idempotent-Replayed", "Dry-Run"]
        if status < 300 and self._is_bulk():
            names.append("Dry-Run")
        old = self.view.deprecated.get(self.view.action)
        if old is not None:
            names += old.headers()
        return names


def _shape_of(field: Any) -> Any:
    parent = getattr(field, "parent", None)
    shapes = getattr(docs_of(type(parent)), "SHAPES", {}) if parent is not None else {}
    return shapes.get(f"{type(parent).__name__}.{getattr(field, 'field_name', '')}")


def _holders(right: str) -> list[Role]:
    return [role for role in Role if right in hooks.rights_of_role(role)]


def _by_scope(right: str) -> str:
    """Return who else has a permission: service clients by the scope of their token, if it adds that one."""
    client = SimpleNamespace(is_active=True, is_anonymous=False, is_superuser=False, role=Role.SERVICE)
    added = hooks.rights_at(client, SimpleNamespace(scopes=["policy"]), "/api/")
    if right not in added - hooks.rights_of_role(Role.SERVICE):
        return ""
    return ", and a service client whose token has the scope `policy`"


def _exemplify(operation: dict[str, Any], example: Mapping[str, Any]) -> None:
    """Put the example's values where the operation describes them."""
    given = {**example.get("path", {}), **example.get("query", {})}
    for parameter in operation.get("parameters", ()):
        if parameter["in"] != "header" and parameter["name"] in given:
            parameter["example"] = given[parameter["name"]]
    for content in operation.get("requestBody", {}).get("content", {}).values():
        if "request" in example:
            content["example"] = example["request"]
    if example:
        contents = operation["responses"][str(example["status"])].get("content", {})
        contents[JSON if JSON in contents else next(iter(contents))]["example"] = example["answer"]


class _Bearer(OpenApiAuthenticationExtension):
    target_class = "governance.accounts.authentication.BearerToken"
    name = "token"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "A token. With scopes such as `followups` it reaches only those parts of the API, "
            "with `followups:read` only to read.",
        }


class _Session(OpenApiAuthenticationExtension):
    target_class = "governance.accounts.authentication.SessionLogin"
    name = "session"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        return {
            "type": "apiKey",
            "in": "cookie",
            "name": "sessionid",
            "description": "A signed-in browser; a POST also needs the header X-CSRFToken.",
        }


class _ProvinceField(OpenApiSerializerFieldExtension):
    target_class = "governance.core.rest.fields.ProvinceField"

    def map_serializer_field(self, auto_schema: object, direction: object) -> dict[str, Any]:
        return {"type": "string", "enum": list(Province.values)}


class _FractionField(OpenApiSerializerFieldExtension):
    target_class = "governance.core.rest.fields.FractionField"
    match_subclasses = True

    def map_serializer_field(self, auto_schema: object, direction: object) -> dict[str, Any]:
        return {"type": "number", "minimum": 0, "maximum": 1, "description": "A fraction, 0 to 1."}


class _NumberField(OpenApiSerializerFieldExtension):
    target_class = "governance.core.rest.fields.NumberField"
    match_subclasses = True

    def map_serializer_field(self, auto_schema: object, direction: object) -> dict[str, Any]:
        schema: dict[str, Any] = {"type": "number"}
        if self.target.min_value is not None:
            schema["minimum"] = float(self.target.min_value)
        if self.target.max_value is not None:
            schema["maximum"] = float(self.target.max_value)
        return schema


class _MoneyField(_NumberField):
    target_class = "governance.core.rest.fields.MoneyField"
    priority = 1

    def map_serializer_field(self, auto_schema: object, direction: object) -> dict[str, Any]:
        return {**super().map_serializer_field(auto_schema, direction), "description": "CAD."}


class _InstantField(OpenApiSerializerFieldExtension):
    target_class = "governance.core.rest.fields.InstantField"
    match_subclasses = True

    def map_serializer_field(self, auto_schema: object, direction: object) -> dict[str, Any]:
        return {
            "type": "string",
            "format": "date-time",
            "description": "An instant with its offset, 2000 to 2099.",
        }


class _JSONObjectField(OpenApiSerializerFieldExtension):
    target_class = "governance.core.rest.fields.JSONObjectField"

    def map_serializer_field(self, auto_schema: object, direction: object) -> dict[str, Any]:
        field: JSONObjectField = self.target
        if field.kind is list:
            return {"type": "array", "items": {}}
        return {"type": "object", "additionalProperties": {}}


class _Filters(DjangoFilterExtension):
    """Describes yes/no filters and lists of ids as what they are, whatever their column."""

    target_class = "governance.core.rest.filters.StrictFilters"
    priority = 1

    def resolve_filter_field(
        self, auto_schema: Any, model: Any, filterset_class: Any, field_name: str, filter_field: Any
    ) -> Any:
        if isinstance(filter_field, IdsFilter):
            schema: dict[str, Any] = {"type": "string", "pattern": "^ *[0-9]+( *, *[0-9]+)* *$"}
            return [build_parameter_type(name=field_name, schema=schema, location=OpenApiParameter.QUERY)]
        if not isinstance(filter_field, YesNoFilter):
            return super().resolve_filter_field(auto_schema, model, filterset_class, field_name, filter_field)
        words = [str(word) for word, _label in getattr(filter_field, "extra")["choices"]]  # noqa: B009  # of the base
        schema = {"type": "string", "enum": words} if "null" in words else {"type": "boolean"}
        return [build_parameter_type(name=field_name, schema=schema, location=OpenApiParameter.QUERY)]


def finish(result: dict[str, Any], generator: Any, **kwargs: object) -> dict[str, Any]:
    """Add what belongs to no operation: the general rules, the groups, the headers, the shared refusals."""
    result["info"]["description"] = DESCRIPTION
    tags: dict[str, str] = {}
    for _path, _regex, _method, view in generator._get_paths_and_endpoints():
        tag: Tag | None = getattr(docs_of(type(view)), "TAG", None)
        if tag is not None:
            tags[tag.name] = tag.description
    result["tags"] = [{"name": name, "description": tags[name]} for name in sorted(tags)]
    result["components"]["headers"] = HEADERS
    result["components"]["responses"] = _share_refusals(result["paths"])
    _tidy(result)
    return result


def _share_refusals(paths: Mapping[str, Any]) -> dict[str, Any]:
    """Move refusals to the components, named by their codes, and return these."""
    shared: dict[str, Any] = {}
    for operation in (operation for methods in paths.values() for operation in methods.values()):
        for status, response in operation["responses"].items():
            if PROBLEM in response.get("content", {}):
                codes = re.findall(r"^- `([a-z_]+)`", response["description"], re.M)
                name = ".".join([status, *codes])
                shared[name] = response
                operation["responses"][status] = {"$ref": f"#/components/responses/{name}"}
    return dict(sorted(shared.items()))


def _tidy(node: Any) -> None:
    """Remove drf-spectacular's own marks, and lists of choices whose labels say what the codes say."""
    if isinstance(node, list):
        for item in node:
            _tidy(item)
    elif isinstance(node, dict):
        node.pop("x-spec-enum-id", None)
        described = node.get("description")
        if isinstance(described, str) and "* `" in described:
            node["description"] = CHOICE.sub(_without_obvious_label, described).strip()
            if not node["description"]:
                del node["description"]
        for item in node.values():
            _tidy(item)


CHOICE = re.compile(r"^\* `(.*?)` - (.*)$\n?", re.M)


def _without_obvious_label(choice: re.Match[str]) -> str:
    code, label = choice.groups()
    obvious = code in Province.values or code.lower().replace("_", " ") == label.lower()
    return "" if obvious else choice.group()

"""JSON in and out: strict when read, decimals as numbers and instants in UTC when written."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import msgspec
from django.utils.translation import gettext as _
from rest_framework import parsers, renderers
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.request import Request
from rest_framework.utils.encoders import JSONEncoder

from governance.core.errors import Invalid
from governance.core.strict_json import UnreadableJSON, read_json


class StrictJSONParser(parsers.JSONParser):
    """JSON in UTF-8 with finite numbers, at most 32 levels deep, without NUL and lone surrogates."""

    def parse(self, stream: Any, media_type: object = None, parser_context: object = None) -> Any:
        try:
            text = stream.read().decode("utf-8")
            return read_json(text) if text.strip() else {}
        except UnreadableJSON as wrong:
            raise Invalid({wrong.field[:60] or "body": [str(wrong)]}) from None
        except UnicodeDecodeError:
            raise Invalid({"body": [_("The body must be JSON in UTF-8.")]}) from None


class _Encoder(JSONEncoder):
    """Decimals as numbers, instants in UTC with Z."""

    def default(self, obj: object) -> object:
        if isinstance(obj, Decimal):
            return int(obj) if obj == obj.to_integral_value() else float(obj)
        if isinstance(obj, dt.datetime) and obj.tzinfo is not None:
            return obj.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
        return super().default(obj)


def _plain(value: object) -> object:
    """Return a value that msgspec does not write as one that it does."""
    return value[:] if isinstance(value, str) else _Encoder().default(value)  # a copy is no SafeString


def _as_told(value: Any) -> Any:
    """Return an answer as it goes out: decimals as the shortest numbers (1 and 2.5), instants in UTC."""
    kind = type(value)
    if kind is Decimal:
        return int(value) if value == value.to_integral_value() else float(value)
    if kind is dt.datetime:
        return value if value.tzinfo in (None, dt.UTC) else value.astimezone(dt.UTC)
    if isinstance(value, dict):
        return {name: _as_told(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_told(item) for item in value]
    return value


_encode = msgspec.json.Encoder(enc_hook=_plain).encode


class JSONRenderer(renderers.JSONRenderer):
    """JSON only; there is no browsable page. msgspec writes it, in a tenth of the time of Python's encoder.

    Decimals are numbers, instants are in UTC with Z.
    """

    encoder_class = _Encoder

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None
    ) -> bytes:
        """Return compact JSON, or indented as the caller asks in the Accept header."""
        if data is None or (accepted_media_type and ";" in accepted_media_type):
            return super().render(data, accepted_media_type, renderer_context)
        return _encode(_as_told(data))


class Negotiation(DefaultContentNegotiation):
    """Chooses JSON, the first, at once for callers that accept it or anything, as nearly all do."""

    _PLAIN = frozenset({"*/*", "application/json"})

    def select_renderer(self, request: Request, renderers: Any, format_suffix: Any = None) -> object:
        plain = request.META.get("HTTP_ACCEPT", "*/*") in self._PLAIN
        if plain and not format_suffix and "format" not in request.query_params:
            return renderers[0], renderers[0].media_type
        return super().select_renderer(request, renderers, format_suffix)

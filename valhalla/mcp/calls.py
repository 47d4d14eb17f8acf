"""Calls of the REST API in this process, through the same middlewares and views as those over HTTP.

So a call by MCP has the permissions, limits, refusals and records of the same call by REST.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.core import signals
from django.core.handlers.base import BaseHandler
from django.core.handlers.wsgi import WSGIRequest

from governance.accounts.rules import PERSONAL
from governance.core.http import Next

URLS = "valhalla.mcp.urls"
# What a refusal's `extra` may add to its sentence: no text that somebody wrote.
TOLD = ("next_allowed_at", "reason", "wait")


class Refusal(Exception):
    """The API refused a call: `code` for a program, the sentence for a person, and what else helps."""

    def __init__(self, code: str, sentence: str, more: Mapping[str, object]) -> None:
        self.code, self.sentence, self.more = code, sentence, dict(more)
        super().__init__(self.code, self.sentence)

    def __str__(self) -> str:
        more = f" {json.dumps(self.more, ensure_ascii=False)}" if self.more else ""
        return f"{self.code}: {self.sentence}{more}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API answered; `is_open` if the call's token may see names and numbers."""

    data: dict[str, Any]
    is_open: bool


@dataclass(slots=True)
class Api:
    """The API as a token may use it. Every call checks the token again: it may be revoked meanwhile."""

    token: str
    _chain: Next = field(init=False, repr=False)

    def __post_init__(self) -> None:
        handler = BaseHandler()
        handler.load_middleware()
        self._chain = handler.get_response

    def get(self, path: str, **params: object) -> Answer:
        """Return the answer of a GET; parameters that are None are left out. Raises Refusal."""
        given = {name: _as_text(value) for name, value in params.items() if value is not None}
        return self._call("GET", path, query=urlencode(given))

    def post(self, path: str, body: Mapping[str, object], *, key: str | None = None) -> Answer:
        """Return the answer of a POST; values that are None are left out. Raises Refusal.

        `key` is its Idempotency-Key, by which a repeated call is done once.
        """
        given = {name: value for name, value in body.items() if value is not None}
        headers = {"HTTP_IDEMPOTENCY_KEY": key} if key else {}
        return self._call("POST", path, body=json.dumps(given).encode(), headers=headers)

    def _call(
        self,
        method: str,
        path: str,
        *,
        query: str = "",
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "PATH_INFO": path.encode().decode("latin1"),  # as WSGI servers pass it
            "QUERY_STRING": query,
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_ACCEPT": "application/json",
            "HTTP_AUTHORIZATION": f"Bearer {self.token}",
            "HTTP_HOST": _own_host(),
            "HTTP_USER_AGENT": "valhalla-mcp",
            "REMOTE_ADDR": "",  # as on a Unix socket: nothing came over a network
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "443",
            "wsgi.url_scheme": "https",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": io.StringIO(),
            **(headers or {}),
        }
        signals.request_started.send(sender=type(self), environ=environ)
        request = WSGIRequest(environ)
        request.urlconf = URLS
        response = self._chain(request)
        try:
            text = getattr(response, "content", b"")
        finally:
            response.close()  # sends request_finished, which gives up broken connections
        data = json.loads(text) if text else {}
        if response.status_code >= 400:
            raise _refusal(data, response.headers.get("Retry-After"))
        token = getattr(request, "auth", None)  # as this very call found it
        return Answer(data, PERSONAL in getattr(token, "scopes", ()))


def _as_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _own_host() -> str:
    """Return a host that this installation serves."""
    host = settings.ALLOWED_HOSTS[0]
    return "localhost" if host == "*" else host.lstrip(".")


def _refusal(problem: Mapping[str, Any], retry_after: str | None) -> Refusal:
    more: dict[str, object] = {name: problem[name] for name in TOLD if problem.get(name)}
    if problem.get("errors"):
        more["errors"] = problem["errors"]
    if retry_after:
        more["retry_after_seconds"] = int(retry_after)
    return Refusal(str(problem.get("code", "refused")), str(problem.get("detail", "")), more)

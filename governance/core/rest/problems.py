"""Every refusal as a problem (RFC 9457): `code` and `errors` for a program, `detail` for a person."""

from __future__ import annotations

import json
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, PermissionDenied
from django.core.exceptions import ValidationError as DjangoValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from rest_framework import exceptions
from rest_framework.response import Response

from governance.core.errors import NO_RIGHT, NOT_ALLOWED, Refused

PROBLEM = "application/problem+json"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Promise | exceptions.ErrorDetail) else value


def problem(
    status: int, code: str, detail: Any, *, errors: Any = None, extra: Any = None, correlation_id: str = ""
) -> dict[str, Any]:
    """Return an RFC 9457 problem: `code` and `errors` for a program, `detail` for a person."""
    body: dict[str, Any] = {
        "type": f"urn:valhalla:problem:{code}",
        "title": code.replace("_", " "),
        "status": status,
        "detail": str(detail),
        "code": code,
        "errors": _plain(errors or {}),
        "correlation_id": correlation_id,
    }
    return body | {key: value for key, value in _plain(extra or {}).items() if key not in body}


def problem_response(exc: Exception, context: dict[str, Any]) -> Response | None:
    """Answer a view's exception with a problem; None lets anything that is not a refusal propagate."""
    request = context["request"]
    correlation_id = str(getattr(request._request, "correlation_id", ""))
    headers: dict[str, str] = {}
    if isinstance(exc, Refused):
        status, code, detail, errors, extra = exc.status, exc.code, exc.message, exc.errors, exc.extra
        if code == "invalid" and errors:
            detail = _sentence(errors)
        if hasattr(exc, "wait"):
            headers["Retry-After"] = str(exc.wait)
    elif isinstance(exc, exceptions.ValidationError):
        status, code, extra = 400, "invalid", {}
        errors = exc.detail if isinstance(exc.detail, dict) else {"body": exc.detail}
        detail = _sentence(errors)
    elif isinstance(exc, DjangoValidationError):
        status, code, extra = 400, "invalid", {}
        errors = exc.message_dict if hasattr(exc, "error_dict") else {NON_FIELD_ERRORS: exc.messages}
        detail = _sentence(errors)
    elif isinstance(exc, Http404):
        status, code, detail, errors, extra = 404, "not_found", _("There is no such thing here."), {}, {}
    elif isinstance(exc, PermissionDenied | exceptions.PermissionDenied):
        status, code, errors, extra = 403, NOT_ALLOWED, {}, {}
        detail = NO_RIGHT
        if "CSRF" in str(exc):
            detail = _("The page is too old to be used; load it again.")
    elif isinstance(exc, exceptions.APIException):
        status, detail, errors, extra = exc.status_code, exc.detail, {}, {}
        code = str(exc.get_codes()) if isinstance(exc.get_codes(), str) else "refused"
        if getattr(exc, "auth_header", None):
            headers["WWW-Authenticate"] = str(exc.auth_header)  # type: ignore[attr-defined]  # set by DRF's view
        if getattr(exc, "wait", None):
            headers["Retry-After"] = str(int(exc.wait))  # type: ignore[attr-defined]  # Throttled has it
    else:
        return None
    body = problem(status, code, detail, errors=errors, extra=extra, correlation_id=correlation_id)
    return Response(body, status=status, headers=headers, content_type=PROBLEM)


def _sentence(errors: Any) -> str:
    """Return the first field error as one sentence that names its field."""
    for field, messages in _plain(errors).items():
        first = messages
        while isinstance(first, list | dict):
            first = next(iter(first.values() if isinstance(first, dict) else first), "")
        return f"{field}: {first}"
    return _("Some values are not valid.")


def problem_text(status: int, code: str, detail: Any, correlation_id: str = "") -> str:
    """Return a problem as JSON text, for responses outside of a view."""
    return json.dumps(problem(status, code, detail, correlation_id=correlation_id))


def problem_http(request: HttpRequest, status: int, code: str, detail: str) -> HttpResponse:
    """Return a problem response for an API call that never reached its view."""
    correlation_id = str(getattr(request, "correlation_id", ""))
    return HttpResponse(
        problem_text(status, code, detail, correlation_id), status=status, content_type=PROBLEM
    )

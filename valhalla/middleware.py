"""Middleware for every request."""

from __future__ import annotations

import re
import uuid
from typing import ClassVar

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone
from django.utils.translation import gettext as _

from governance.accounts.services import DEFAULT_ZONE
from governance.core.current import current_correlation_id
from governance.core.http import Next, is_api
from governance.core.request_values import CORRELATION_ID, correlation_id_of
from governance.core.rest.input import CORRELATION
from governance.core.rest.problems import problem_http


class Correlation:
    """Takes the correlation id from the header, or creates one, and returns it in the header."""

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        given = request.headers.get("X-Correlation-ID", "")
        made = given if CORRELATION.fullmatch(given) else uuid.uuid4().hex
        CORRELATION_ID.put(request, made)  # read by input.who
        token = current_correlation_id.set(made)
        try:
            response = self.get_response(request)
            response["X-Correlation-ID"] = correlation_id_of(request)
            return response
        finally:
            current_correlation_id.reset(token)


class LocalTimes:
    """Shows times, and reads those typed in, in the time zone of the signed-in user."""

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if is_api(request):
            return self.get_response(request)
        profile = getattr(request.user, "work_profile", None)
        with timezone.override(profile.zone if profile else DEFAULT_ZONE):
            return self.get_response(request)


class NoTrailingSlash:
    """Accepts an API path with a trailing slash too, without a redirect that loses the body."""

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if is_api(request) and request.path_info.endswith("/"):
            request.path_info = request.path_info.rstrip("/")
            request.path = request.path.rstrip("/")
        return self.get_response(request)


class BodyLimits:
    """Refuses a body above 64 KB (1 MB for bulk routes and those with a note) before reading it."""

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if is_api(request):
            bulk = request.path_info in settings.BULK_PATHS or re.fullmatch(
                settings.NOTE_PATHS, request.path_info, re.ASCII
            )
            limit = settings.BULK_BODY_LIMIT_BYTES if bulk else settings.BODY_LIMIT_BYTES
            length = request.META.get("CONTENT_LENGTH") or "0"
            if not re.fullmatch(r"[0-9]{1,12}", length) or int(length) > limit:
                detail = _("The body may have at most %(limit)s bytes.") % {"limit": limit}
                return problem_http(request, 413, "body_too_large", detail)
        return self.get_response(request)


class ErrorsAsProblems:
    """Answers API calls that Django refused (no route, bad host, bad request) with a problem document."""

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        kind = response.headers.get("Content-Type", "")
        if response.status_code < 400 or not is_api(request) or "json" in kind:
            return response
        known = {
            400: ("bad_request", _("The request cannot be read.")),
            404: ("not_found", _("There is no such address.")),
        }
        code, detail = known.get(
            response.status_code, ("server_error", _("Something went wrong on our side."))
        )
        answer = problem_http(request, response.status_code, code, detail)
        if response.has_header("X-Correlation-ID"):
            answer["X-Correlation-ID"] = response["X-Correlation-ID"]
        return answer


class AdminPolicy:
    """Allows only admin screens what unfold needs: evaluating expressions, inline styles."""

    NEEDS: ClassVar[dict[str, list[str]]] = {
        "script-src": ["'unsafe-eval'"],
        "style-src": ["'unsafe-inline'"],
    }

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if request.path_info.startswith("/admin/"):
            response._csp_update = self.NEEDS  # type: ignore[attr-defined]  # read by csp.middleware
        return response

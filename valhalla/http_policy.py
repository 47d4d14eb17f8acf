"""Rules for every request and response, whatever the view: methods, TLS for programs, headers."""

from __future__ import annotations

from http import HTTPStatus

from django.conf import settings
from django.db import DataError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils.translation import gettext as _

from governance.accounts.hashing import Busy, busy_page
from governance.core.errors import NotFound, Refused, Unavailable
from governance.core.http import Next, is_api
from governance.core.rest.problems import problem_http
from governance.core.rest.rate_limit import LIMITS

PAGE_METHODS = ("GET", "HEAD", "POST")
API_METHODS = (*PAGE_METHODS, "PUT", "PATCH", "DELETE", "OPTIONS")
# Browser features that no page of ours uses; injected scripts cannot use them either.
PERMISSIONS = (
    "accelerometer", "autoplay", "browsing-topics", "camera", "display-capture", "geolocation",
    "gyroscope", "hid", "magnetometer", "microphone", "midi", "payment", "serial", "usb",
)  # fmt: skip
HEADERS = {
    "Permissions-Policy": ", ".join(f"{name}=()" for name in PERMISSIONS),
    "Cross-Origin-Resource-Policy": "same-origin",
}


class KnownMethods:
    """Refuses with 405 methods that no view supports: a page reads and posts, and nothing answers TRACE."""

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        allowed = API_METHODS if is_api(request) else PAGE_METHODS
        if request.method in allowed:
            return self.get_response(request)
        status, detail = HTTPStatus.METHOD_NOT_ALLOWED, _("This address does not support this method.")
        if is_api(request):
            answer = problem_http(request, status, "method_not_allowed", detail)
        else:
            answer = HttpResponse(f"{detail}\n", status=status, content_type="text/plain; charset=utf-8")
        answer["Allow"] = ", ".join(allowed)
        return answer


class ReadableRequests:
    """Refuses a page's path that contains a NUL, and drops cookies with one: nothing of ours has it.

    PostgreSQL cannot search for NUL. An API call gets an error for the field instead.
    """

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        for name in [name for name, value in request.COOKIES.items() if "\0" in value]:
            del request.COOKIES[name]
        if "\0" in request.path_info and not is_api(request):
            return _unreadable()
        return self.get_response(request)


def _unreadable() -> HttpResponse:
    detail = _("This address contains a character that cannot be used.")
    status = HTTPStatus.BAD_REQUEST
    return HttpResponse(f"{detail}\n", status=status, content_type="text/plain; charset=utf-8")


class TlsForPrograms:
    """Refuses an API call over plain HTTP instead of redirecting it.

    A redirected program would keep sending its token unencrypted, and nobody would notice.
    """

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if settings.SECURE_SSL_REDIRECT and is_api(request) and not request.is_secure():
            detail = _(
                "Call this address with https. This token was sent in the clear: revoke it if others "
                "could listen."
            )
            return problem_http(request, HTTPStatus.FORBIDDEN, "tls_required", detail)
        return self.get_response(request)


class RefusalsAsPages:
    """Answers a refusal that a page did not expect with its sentence.

    API calls have their problem document already. A URL that PostgreSQL cannot search for is refused with
    400.
    """

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if isinstance(exception, DataError) and "%00" in request.META.get("QUERY_STRING", ""):
            # an admin list was filtered by a NUL, which no form sends and PostgreSQL cannot search for
            return _unreadable()
        if is_api(request) or not isinstance(exception, Refused) or isinstance(exception, Unavailable):
            return None  # a client may retry what is unavailable: the error handler says so
        if isinstance(exception, Busy):
            return busy_page(request, exception)
        if isinstance(exception, NotFound):
            return render(request, "404.html", status=exception.status)
        return render(request, "403.html", {"sentence": str(exception)}, status=exception.status)


class AnswerHeaders:
    """Sets the headers of every response. A response without caching headers is not stored anywhere.

    Static files say how long they may be cached; everything else can hold personal information.
    """

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        answer = self.get_response(request)
        for name, value in HEADERS.items():
            answer.headers.setdefault(name, value)
        answer.headers.setdefault("Cache-Control", "no-store")
        limits = LIMITS.of(request)
        if limits is not None and limits.policies:
            limits.put_on(answer)
        return answer

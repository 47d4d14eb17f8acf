"""The short way of an API call without a session: past the middlewares that only people's pages need.

Middlewares before `ApiCalls` in settings serve every request, those after it only pages and API calls of a
browser that is signed in.
"""

from __future__ import annotations

from typing import cast

from csp.middleware import CSPMiddleware
from django.conf import settings
from django.core.handlers.base import BaseHandler
from django.core.handlers.exception import convert_exception_to_response
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.common import CommonMiddleware
from django.middleware.locale import LocaleMiddleware
from django.middleware.security import SecurityMiddleware
from django.urls import ResolverMatch
from django.utils.cache import patch_vary_headers
from simple_history.middleware import HistoryRequestMiddleware

from governance.core.http import Next, is_api
from valhalla.http_policy import RefusalsAsPages


class ApiCalls:
    """Takes an API call without a session cookie to its view, through three middlewares instead of twenty.

    A program proves itself by its token in the view, so that sessions, forms, messages and fresh
    authentication do not concern it. Its answer has the headers of any other.
    """

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response
        # the host and the length; the language of texts; who is named in histories
        chain = CommonMiddleware(LocaleMiddleware(HistoryRequestMiddleware(_Views().get_view())))
        self.short_way = cast(Next, chain)
        self._headers = {secure: _headers_by_settings(secure) for secure in (False, True)}

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not is_api(request) or settings.SESSION_COOKIE_NAME in request.COOKIES:
            return self.get_response(request)
        answer = self.short_way(request)
        for name, value in self._headers[request.is_secure()].items():
            answer.headers.setdefault(name, value)
        patch_vary_headers(answer, ("Cookie",))
        return answer


class _Views(BaseHandler):
    """Django's handler with no middleware around the views, which looks up routes without parameters once."""

    def __init__(self) -> None:
        super().__init__()
        self._routes: dict[str, ResolverMatch] = {}

    def resolve_request(self, request: HttpRequest) -> ResolverMatch:
        found = self._routes.get(request.path_info)
        if found is None:
            found = super().resolve_request(request)
            if not found.args and not found.kwargs:  # there are as many as routes, and no more
                self._routes[request.path_info] = found
        request.resolver_match = found
        return found

    def load_middleware(self, is_async: bool = False) -> None:
        self._view_middleware: list[object] = []
        self._template_response_middleware: list[object] = []
        self._exception_middleware = [RefusalsAsPages(self.get_response).process_exception]

    def get_view(self) -> Next:
        self.load_middleware()
        return cast(Next, convert_exception_to_response(self._get_response))  # type: ignore[attr-defined]  # not in the stubs


def _headers_by_settings(secure: bool) -> dict[str, str]:
    """Return the headers that middlewares of pages give each answer, which depend on settings alone."""
    request = HttpRequest()
    request.path = request.path_info = "/api/schema"
    request.META = {"HTTP_X_FORWARDED_PROTO": "https"} if secure else {}
    chain = SecurityMiddleware(CSPMiddleware(XFrameOptionsMiddleware(lambda _request: HttpResponse())))
    answer = cast(Next, chain)(request)
    return {name: value for name, value in answer.headers.items() if name != "Content-Type"}

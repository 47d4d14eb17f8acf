"""What every middleware needs: its type, and whether a request is an API call."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase

Next = Callable[[HttpRequest], HttpResponseBase]


# What people read under /api/, with their session and language: the start page and the reference.
PAGES_OF_API = frozenset({"/api/", "/api/docs", "/api/docs/"})


def is_api(request: HttpRequest) -> bool:
    return request.path_info.startswith("/api/") and request.path_info not in PAGES_OF_API

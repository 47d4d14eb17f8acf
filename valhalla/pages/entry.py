"""Access control for the pages among the admin's screens."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

from django.contrib import admin
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

View = Callable[[HttpRequest], HttpResponse]


def for_managers(view: View) -> View:
    """Let users in whom admin lets in, managers and auditors, for viewing only."""

    @wraps(view)
    def guarded(request: HttpRequest) -> HttpResponse:
        if not admin.site.has_permission(request):
            raise PermissionDenied
        return require_safe(view)(request)

    return login_required(guarded)

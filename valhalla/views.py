"""Health checks, the home page and error pages."""

from __future__ import annotations

import sys

from django.contrib.auth.decorators import login_required
from django.db import DatabaseError, InterfaceError, OperationalError, connection
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template import loader
from django.utils.translation import gettext as _

from governance.contact.services import hash_key_problem
from governance.core.errors import Unavailable
from governance.core.http import is_api
from governance.core.request_values import correlation_id_of
from governance.core.rest.problems import problem_http
from governance.models import SecondFactorKey
from governance.runbook import schema
from valhalla import disk
from valhalla.supervision import processes_down


def livez(request: HttpRequest) -> HttpResponse:
    """Answer that the process is alive."""
    return HttpResponse("ok\n", content_type="text/plain")


def readyz(request: HttpRequest) -> HttpResponse:
    """Answer whether the database is reachable and matches this program, and the disk has space.

    The database also has to know this contact key. "degraded" says that part of the work waits while pages
    work: a load balancer must not take this machine out for that.
    """
    problem = ""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        ready = not (hash_key_problem() or disk.is_full() or schema.of_a_newer_release())
        problem = SecondFactorKey.problem()
    except (DatabaseError, OSError):
        ready = False
    if not ready:
        return HttpResponse("not ready\n", status=503, content_type="text/plain")
    text = "degraded\n" if problem or processes_down() else "ok\n"
    return HttpResponse(text + (f"{problem}\n" if problem else ""), content_type="text/plain; charset=utf-8")


@login_required
def home(request: HttpRequest) -> HttpResponse:
    """Redirect managers and auditors to admin, everybody else to the due tasks."""
    return redirect("admin:index" if getattr(request.user, "is_staff", False) else "followups:due")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if is_api(request):
        return problem_http(request, 404, "not_found", _("There is no such address."))
    return render(request, "404.html", status=404)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer 503 while the database cannot be reached, which a client may retry, and 500 otherwise."""
    away = isinstance(sys.exception(), (OperationalError, InterfaceError, Unavailable))
    answer = _failed(request, 503 if away else 500)
    if away:
        answer["Retry-After"] = "5"
    return answer


def _failed(request: HttpRequest, status: int) -> HttpResponse:
    # Without the request's context: whatever failed must not fail again here.
    number = correlation_id_of(request)
    if status == 503 and is_api(request):
        return problem_http(
            request, 503, "unavailable", _("The database is not responding; try again in a moment.")
        )
    try:
        return HttpResponse(loader.render_to_string("500.html", {"correlation_id": number}), status=status)
    except Exception:  # the page itself may be what fails, for instance without its style sheet
        return HttpResponse(
            f"Something went wrong on our side. ({number})\n", status=status, content_type="text/plain"
        )


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    return render(request, "403_csrf.html", {"reason": reason}, status=403)


def forbidden(request: HttpRequest, exception: object = None) -> HttpResponse:
    return render(request, "403.html", status=403)

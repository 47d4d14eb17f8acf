"""Where a stranger starts with the API: a page that says how, the reference, and the schema for programs."""

from __future__ import annotations

import gzip
import hashlib
import json
from functools import lru_cache
from pathlib import Path

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.shortcuts import render
from django.urls import reverse
from django.utils.cache import patch_vary_headers
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt, ensure_csrf_cookie
from django.views.decorators.http import require_safe

from governance.accounts.services import ISSUE_OWN
from governance.core.rest.problems import problem_http

SCHEMA = Path(settings.BASE_DIR) / "docs" / "openapi.json"


@require_safe
def api_start(request: HttpRequest) -> HttpResponse:
    """Show how to connect; a program that prefers JSON gets the addresses instead."""
    if request.get_preferred_type(["application/json", "text/html"]) == "text/html":
        user = request.user
        context = {
            "base": request.build_absolute_uri("/api"),
            "areas": _areas(),
            "may_issue": user.is_authenticated and user.has_perm(ISSUE_OWN),
        }
        answer = render(request, "api/start.html", context)
    else:
        body = {
            "name": "Valhalla API",
            "schema": request.build_absolute_uri(reverse("api_schema")),
            "docs": request.build_absolute_uri(reverse("api_reference")),
            "authentication": "Authorization: Bearer TOKEN",
        }
        answer = HttpResponse(json.dumps(body), content_type="application/json")
    patch_vary_headers(answer, ("Accept",))
    return answer


def _areas() -> list[tuple[str, str, str]]:
    """Return the parts of the API: their names, where they begin and what they hold."""
    return [
        (
            _("Follow-ups"),
            "/api/followups/",
            _("Leads, their tasks, the due list, calls and messages received"),
        ),
        (_("Buyers"), "/api/buyers/", _("Buyers, their feedback, each market’s liquidity")),
        (_("Offers"), "/api/deals/offers/", _("Offers, their evidence and outcomes")),
        (
            _("Governance"),
            "/api/governance/",
            _("May this person be contacted, risk, KPIs, policies, switches"),
        ),
    ]


@require_safe
@ensure_csrf_cookie
def api_reference(request: HttpRequest) -> HttpResponse:
    """Show every call, to be tried out, in Swagger UI."""
    return render(request, "api/reference.html")


@lru_cache(maxsize=1)
def _written_schema() -> tuple[bytes, bytes, str]:
    """Return the schema, the same compressed, and its ETag."""
    text = SCHEMA.read_bytes()
    return text, gzip.compress(text, 9, mtime=0), f'"{hashlib.sha256(text).hexdigest()[:32]}"'


@csrf_exempt
def api_schema(request: HttpRequest) -> HttpResponse:
    """Return the OpenAPI schema as `make openapi` wrote it, to anybody: it holds no data."""
    if request.method not in ("GET", "HEAD"):
        answer = problem_http(
            request, 405, "method_not_allowed", _("This address does not support this method.")
        )
        answer["Allow"] = "GET, HEAD"
        return answer
    text, compressed, etag = _written_schema()
    if request.headers.get("If-None-Match", "") == etag:
        answer = HttpResponseNotModified()
    elif "gzip" in request.headers.get("Accept-Encoding", ""):
        answer = HttpResponse(
            compressed, content_type="application/json", headers={"Content-Encoding": "gzip"}
        )
    else:
        answer = HttpResponse(text, content_type="application/json")
    answer["ETag"], answer["Cache-Control"] = etag, "no-cache"
    patch_vary_headers(answer, ("Accept-Encoding",))
    return answer

"""Five wrong passwords lock a name at an address for 15 minutes. Settings name these to django-axes."""

from __future__ import annotations

from ipaddress import ip_address
from math import ceil
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.crypto import salted_hmac

from governance.models import User


def typed_name(request: HttpRequest, credentials: dict[str, Any] | None = None) -> str:
    """Return the name as failures are counted: a person's own, whatever capitals were typed.

    A name that nobody has is kept as a digest: people type passwords and addresses into the wrong field.
    """
    given = str((credentials or request.POST).get("username") or "").replace("\0", "")[:150]
    if not hasattr(request, "counted_names"):
        request.counted_names = {}  # type: ignore[attr-defined]  # axes asks several times a request
    names: dict[str, str] = request.counted_names  # type: ignore[attr-defined]  # set above
    if given not in names:
        found = User.objects.filter(username__iexact=given).values_list("username", flat=True).first()
        names[given] = (found or "? " + salted_hmac("lockout", given.lower()).hexdigest()[:16]).lower()
    return names[given]


def address(request: HttpRequest) -> str | None:
    """Return the caller's address: behind the proxy the one that it saw itself, the last in its header."""
    seen = request.META.get("REMOTE_ADDR", "")
    if settings.TLS:
        seen = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip() or seen
    try:
        return str(ip_address(seen))
    except ValueError:  # a socket of the machine's own has none
        return None


def locked(request: HttpRequest, response: Any = None, credentials: Any = None) -> HttpResponse:
    """Answer whoever is locked out: a page that says for how long at most."""
    seconds = ceil(settings.AXES_COOLOFF_TIME.total_seconds())
    answer = render(request, "registration/locked.html", {"minutes": seconds // 60}, status=429)
    answer["Retry-After"] = str(seconds)
    answer["Cache-Control"] = "no-store"
    return answer

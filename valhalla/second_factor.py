"""Who is past the second page of the login: a mark in the session says so, beside the password's own.

Somebody who still owes a code is nobody to every page and to the API; only the two pages of the second factor
know her, as `request.half_in`. Tokens are not concerned.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth import logout
from django.contrib.auth.models import AnonymousUser
from django.contrib.auth.signals import user_logged_in
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponseBase
from django.urls import reverse
from django_otp.plugins.otp_totp.models import TOTPDevice

from governance.actors import Role

# In the session: a code is owed since the password; the device (its id) whose code was right.
OWED, PASSED = "code_owed", "code_passed"


@receiver(user_logged_in)
def ask_for_a_code(sender: Any, request: HttpRequest, user: Any, **kwargs: Any) -> None:
    request.session.pop(PASSED, None)
    if device_of(user) is not None:
        request.session[OWED] = True


def device_of(user: Any) -> TOTPDevice | None:
    """Return the person's device that codes come from, if she has enrolled one."""
    return TOTPDevice.objects.filter(user_id=user.pk, confirmed=True).order_by("pk").first()


def must_have_one(user: Any) -> bool:
    """Say whether somebody may not go on without a second factor."""
    return settings.SECOND_FACTOR_FORCED and (user.is_superuser or user.role in (Role.MANAGER, Role.AUDITOR))


class SecondFactor:
    """Lets nobody in with the password alone who has a second factor or must have one.

    Costs a query in the sessions that a code opened, and none in the others.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request.half_in = None  # type: ignore[attr-defined]  # read by the pages of the second factor
        user = request.user
        if not user.is_authenticated:
            return self.get_response(request)
        passed = request.session.get(PASSED)
        if passed is not None:
            device = device_of(user)
            if device is None or device.pk != passed:  # reset since: what its code opened is closed
                logout(request)
            return self.get_response(request)
        if OWED not in request.session and not must_have_one(user):
            return self.get_response(request)
        request.half_in = user  # type: ignore[attr-defined]  # as above
        request.user = AnonymousUser()
        return _to_second_page(self.get_response(request))


def _to_second_page(response: HttpResponseBase) -> HttpResponseBase:
    """Send on to the second page whom a page sends to the login because she is nobody to it."""
    for header in ("Location", "X-Login"):
        place, _mark, asked = response.headers.get(header, "").partition("?")
        if asked and place in (reverse("login"), reverse("admin:login")):
            response[header] = f"{reverse('second_factor')}?{asked}"
    return response

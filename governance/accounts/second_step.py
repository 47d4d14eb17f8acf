"""The second step of the sign-in: a mark in the session, besides the password's own, says who has passed it.

People who still owe a code or passkey are anonymous to every page and to the API; only the pages of the
second factor know them, as `request.pending_user`. Tokens are not affected.
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
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp_webauthn.models import WebAuthnCredential

from governance.accounts.models import Authenticator, User
from governance.accounts.passkeys import passkeys_of
from governance.core.actors import Role
from governance.core.request_values import RequestValue

# In the session: a second factor is owed since the password; the mark of the one that was right.
OWED, PASSED = "code_owed", "code_passed"
# For the app its id; for a passkey, and for backup codes without an app, its kind and its id.
Mark = int | str
_KINDS = {"passkey": WebAuthnCredential, "codes": StaticDevice}


@receiver(user_logged_in)
def ask_for_a_code(sender: object, request: HttpRequest, user: object, **kwargs: object) -> None:
    request.session.pop(PASSED, None)
    if has_one(user) or must_have_one(user):
        request.session[OWED] = True


def device_of(user: Any) -> Authenticator | None:
    """Return the person's device that produces codes, if they have enrolled one."""
    found: Authenticator | None = (
        Authenticator.objects.filter(user_id=user.pk, confirmed=True).order_by("pk").first()
    )
    return found


def has_passkey(user: Any) -> bool:
    return bool(passkeys_of(user.pk).exists())


def has_one(user: object) -> bool:
    """Return whether the person has a second factor: the app, or a passkey."""
    return device_of(user) is not None or has_passkey(user)


def mark_of(device: Authenticator | StaticDevice | WebAuthnCredential) -> Mark:
    """Return the mark that a session stores for the second factor that opened it."""
    kind = next((name for name, model in _KINDS.items() if isinstance(device, model)), None)
    return f"{kind}:{device.pk}" if kind else int(device.pk)


def is_there(user: Any, mark: Mark) -> bool:
    """Return whether the person still has the second factor of this mark."""
    if isinstance(mark, int):
        device = device_of(user)
        return device is not None and device.pk == mark
    kind, _colon, number = mark.partition(":")
    return bool(_KINDS[kind].objects.filter(user_id=user.pk, confirmed=True, pk=number).exists())


def other_mark(user: Any) -> Mark | None:
    """Return the mark of a second factor that the person has; None if there is none."""
    device = device_of(user) or passkeys_of(user.pk).last()
    return None if device is None else mark_of(device)


def must_have_one(user: Any) -> bool:
    """Return whether somebody who signs in now must have a second factor."""
    return always_needs_one(user) or user.role in settings.SECOND_FACTOR_ROLES


def always_needs_one(user: Any) -> bool:
    """Return whether somebody may not continue without a second factor, even in an earlier session."""
    forced = user.is_superuser or user.role in (Role.MANAGER, Role.AUDITOR)
    return bool(settings.SECOND_FACTOR_FORCED and forced)


# who stays anonymous: known to the pages of the second factor, and to that of the password
PENDING_USER: RequestValue[User | None] = RequestValue("pending_user")
OWES_PASSWORD: RequestValue[User | None] = RequestValue("owes_password")


class SecondFactor:
    """Keeps out people who have or must have a second factor and entered only the password.

    People who signed in with a password that somebody else set first choose their own: until then they are
    anonymous too, and the password's page knows them as `request.owes_password`.

    Costs a query in the sessions that a code opened, and none in the others.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        PENDING_USER.put(request, None)
        OWES_PASSWORD.put(request, None)
        user = request.user
        if not user.is_authenticated:
            return self.get_response(request)
        passed = request.session.get(PASSED)
        if passed is not None:
            if not is_there(user, passed):  # reset or removed since: the sessions that it opened have ended
                logout(request)
                return self.get_response(request)
            return self._with_own_password(request)
        if OWED not in request.session and not always_needs_one(user):
            return self._with_own_password(request)
        PENDING_USER.put(request, user)
        request.user = AnonymousUser()
        return _sent_on(self.get_response(request), "second_factor")

    def _with_own_password(self, request: HttpRequest) -> HttpResponseBase:
        user = request.user
        if not (isinstance(user, User) and user.password_set_by):
            return self.get_response(request)
        OWES_PASSWORD.put(request, user)
        request.user = AnonymousUser()
        return _sent_on(self.get_response(request), "password")


def _sent_on(response: HttpResponseBase, page: str) -> HttpResponseBase:
    """Redirect users whom another page sends to the sign-in page because they are anonymous to it."""
    for header in ("Location", "X-Login"):
        place, _mark, asked = response.headers.get(header, "").partition("?")
        if asked and place in (reverse("login"), reverse("admin:login")):
            response[header] = f"{reverse(page)}?{asked}"
    return response

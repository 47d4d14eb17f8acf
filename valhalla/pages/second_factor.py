"""The second page of the sign-in, and the page on which somebody enrols their authenticator app."""

from __future__ import annotations

import io
import logging
import time
from base64 import b32encode
from typing import Any

import segno
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render, resolve_url
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.utils.safestring import mark_safe
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods
from django_otp.oath import TOTP

from governance.accounts import security_log
from governance.accounts import totp_seeds as seeds
from governance.accounts.backup_codes import create_codes, has_codes
from governance.accounts.proof import WRONG_CODE, check_code, is_from_application, typed_code, use_passkey
from governance.accounts.second_step import (
    OWED,
    PASSED,
    PENDING_USER,
    Mark,
    device_of,
    has_one,
    has_passkey,
    mark_of,
    must_have_one,
)
from governance.accounts.webauthn import are_possible
from governance.core.errors import Refused, Unavailable
from governance.models import Authenticator, SecondFactorKey, User
from valhalla.fresh import note_proof

log = logging.getLogger(__name__)

KEY = "code_key"  # in the session: the encrypted seed of an app that has not produced a right code yet

page = require_http_methods(["GET", "HEAD", "POST"])


@page
@never_cache
@sensitive_post_parameters("code", "passkey")
def second_page(request: HttpRequest) -> HttpResponse:
    """Ask for a passkey, a code from the app or one of the backup codes, whatever the person has."""
    user = person_of(request)
    if user is None:
        return redirect_to_login(next_page(request))
    if not is_pending(request):
        return redirect(next_page(request))
    with_app, with_passkey = device_of(user) is not None, has_passkey(user)
    if not (with_app or with_passkey):
        if must_have_one(user):
            return redirect(f"{reverse('second_factor_new')}?{urlencode({'next': next_page(request)})}")
        request.session.pop(OWED, None)  # it was reset since the password was entered
        return redirect(next_page(request))
    wrong: object = ""
    status = 200
    if request.method == "POST":
        try:
            mark, kind, wrong = _given(request, user)
        except Unavailable as refusal:
            mark, kind, wrong, status = None, "", str(refusal), refusal.status
        if mark is not None:
            let_in(request, mark)
            security_log.note("second_factor_passed", request, user=user.username, user_id=user.pk, kind=kind)
            return redirect(next_page(request))
    context = {
        "wrong": wrong,
        "next": next_page(request),
        "with_app": with_app,
        "with_passkey": with_passkey,
        "possible": are_possible(request),
    }
    return render(request, "registration/second_factor.html", context, status=status)


def _given(request: HttpRequest, user: User) -> tuple[Mark | None, str, object]:
    """Check the proof; return its session mark if it is right, its kind, and otherwise why it is not."""
    passkey = request.POST.get("passkey", "")
    if passkey:
        try:
            return use_passkey(request, user, passkey), "passkey", ""
        except Refused as refusal:
            return None, "passkey", str(refusal)
    code = typed_code(request.POST.get("code", ""))
    mark = check_code(request, user, code)
    if mark is None:
        log.warning("%s typed a wrong code", user.username)
        security_log.note("second_factor_failed", request, user=user.username, user_id=user.pk)
    return mark, "application" if is_from_application(code) else "backup code", WRONG_CODE


@page
@never_cache
@sensitive_post_parameters("code")
def enrol(request: HttpRequest) -> HttpResponse:
    """Show a new secret until its app produces a right code; then the backup codes, once."""
    user = person_of(request)
    if user is None:
        return redirect_to_login(request.get_full_path())
    if is_pending(request) and has_one(user):  # an existing second factor has to be used first
        return redirect(f"{reverse('second_factor')}?{urlencode({'next': next_page(request)})}")
    if device_of(user) is not None:
        return redirect("second_factors")
    context: dict[str, object] = {
        "next": next_page(request),
        "must": is_pending(request) and must_have_one(user),
        "possible": are_possible(request),
        "has_passkey": has_passkey(user),
    }
    made = None
    try:
        sealed = _waiting_seed(request, user)
        if request.method == "POST":
            code = typed_code(request.POST.get("code", ""))
            made = _enrolled(user, sealed, code, first=is_pending(request))
    except Unavailable as refusal:
        log.error("%s cannot enrol a second factor: %s", user.username, refusal)
        context["refusal"] = str(refusal)
        return render(request, "registration/second_factor_new.html", context, status=refusal.status)
    if request.method == "POST":
        if made is not None:
            device, codes = made
            request.session.pop(KEY, None)
            let_in(request, mark_of(device))
            log.info("%s enrolled a second factor", user.username)
            security_log.note("second_factor_enrolled", request, user=user.username, user_id=user.pk)
            if codes:
                return render(request, "registration/backup_codes.html", {**context, "codes": codes})
            messages.success(request, gettext("Authenticator application set up."))
            return redirect("second_factors")
        context["wrong"] = True
    device = Authenticator(user=user, key=sealed)
    text = b32encode(device.bin_key).decode()
    context["secret"] = " ".join(text[start : start + 4] for start in range(0, len(text), 4))
    context["picture"] = _picture(device.config_url)
    return render(request, "registration/second_factor_new.html", context)


def is_pending(request: HttpRequest) -> bool:
    return PENDING_USER.of(request) is not None


def person_of(request: HttpRequest) -> User | None:
    """Return who entered their password, whether or not they still owe a second factor."""
    user: Any = PENDING_USER.of(request) or request.user
    return user if user.is_authenticated else None


def next_page(request: HttpRequest) -> str:
    """Return the path in `next`, if it is one of this site's; a bare word would name a view."""
    given = request.POST.get("next") or request.GET.get("next") or ""
    own = given.startswith("/") and url_has_allowed_host_and_scheme(
        given, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return given if own else resolve_url(settings.LOGIN_REDIRECT_URL)


def _waiting_seed(request: HttpRequest, user: User) -> str:
    """Return the encrypted seed in the session; a new one if it has none that can be decrypted.

    Raises Unavailable if nothing can be encrypted.
    """
    SecondFactorKey.require()
    sealed = str(request.session.get(KEY, ""))
    if not seeds.is_sealed(sealed) or seeds.open_or_none(sealed, user.pk) is None:
        sealed = request.session[KEY] = seeds.new_seed(user.pk)
    return sealed


@transaction.atomic
def _enrolled(user: User, sealed: str, code: str, *, first: bool) -> tuple[Authenticator, list[str]] | None:
    """Store the device and backup codes if the code is right and they have no device; else return None.

    `first`: only without any other second factor. Backup codes that the person already has stay valid.
    """
    if not is_from_application(code):
        return None
    User.objects.select_for_update().get(pk=user.pk)
    if device_of(user) is not None or (first and has_one(user)):
        return None
    device = Authenticator(user=user, key=sealed, name="application")
    totp = TOTP(device.bin_key, device.step, device.t0, device.digits, device.drift)
    totp.time = time.time()
    if not totp.verify(int(code), device.tolerance):
        return None
    device.last_t, device.drift = totp.t(), totp.drift
    device.save()
    return device, create_codes(user) if not has_codes(user) else []


def let_in(request: HttpRequest, mark: Mark) -> None:
    """Open the session after a right second factor with this mark."""
    request.session.cycle_key()
    request.session.pop(OWED, None)
    request.session[PASSED] = mark
    note_proof(request)


def _picture(address: str) -> str:
    """Return the QR code as SVG, dark on light in either colour scheme, since cameras need it so."""
    out = io.BytesIO()
    segno.make(address, micro=False).save(
        out, kind="svg", scale=5, border=4, dark="#000", light="#fff", xmldecl=False, svgclass="qr",
        lineclass=None,
    )  # fmt: skip
    return mark_safe(out.getvalue().decode())  # drawn from our own text, without user input

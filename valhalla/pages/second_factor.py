"""The second page of the login, and the page on which somebody enrols her authenticator application."""

from __future__ import annotations

import io
import logging
import time
from base64 import b32encode
from typing import Any

import segno
from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render, resolve_url
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.utils.safestring import mark_safe
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods
from django_otp.oath import TOTP
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice, default_key

from governance.models import User
from valhalla.second_factor import OWED, PASSED, device_of, must_have_one

log = logging.getLogger(__name__)

BACKUP_CODES = 10
KEY = "code_key"  # in the session: the secret of an application that has not shown a right code yet
DIGITS = 6

page = require_http_methods(["GET", "HEAD", "POST"])


@page
@never_cache
@sensitive_post_parameters("code")
def second_page(request: HttpRequest) -> HttpResponse:
    """Ask for a code of the application or for one of the backup codes."""
    user = _person(request)
    if user is None:
        return redirect_to_login(_next(request))
    if not _half_in(request):
        return redirect(_next(request))
    if device_of(user) is None:
        if must_have_one(user):
            return redirect(f"{reverse('second_factor_new')}?{urlencode({'next': _next(request)})}")
        request.session.pop(OWED, None)  # it was reset since the password
        return redirect(_next(request))
    wrong = False
    if request.method == "POST":
        device = _checked(user, _typed(request))
        if device is not None:
            _let_in(request, device)
            return redirect(_next(request))
        log.warning("%s typed a wrong code", user.username)
        wrong = True
    return render(request, "registration/second_factor.html", {"wrong": wrong, "next": _next(request)})


@page
@never_cache
@sensitive_post_parameters("code")
def enrol(request: HttpRequest) -> HttpResponse:
    """Show a new secret until its application shows a right code; then the backup codes, once."""
    user = _person(request)
    if user is None:
        return redirect_to_login(request.get_full_path())
    context: dict[str, Any] = {"next": _next(request), "must": must_have_one(user)}
    if device_of(user) is not None:
        if _half_in(request):
            return redirect(f"{reverse('second_factor')}?{urlencode({'next': _next(request)})}")
        return render(request, "registration/second_factor_kept.html", context)
    key = request.session.get(KEY)
    if key is None:
        key = request.session[KEY] = default_key()
    if request.method == "POST":
        made = _enrolled(user, key, _typed(request))
        if made is not None:
            device, codes = made
            request.session.pop(KEY, None)
            _let_in(request, device)
            log.info("%s enrolled a second factor", user.username)
            return render(request, "registration/backup_codes.html", {**context, "codes": codes})
        context["wrong"] = True
    device = TOTPDevice(user=user, key=key)
    text = b32encode(device.bin_key).decode()
    context["secret"] = " ".join(text[start : start + 4] for start in range(0, len(text), 4))
    context["picture"] = _picture(device.config_url)
    return render(request, "registration/second_factor_new.html", context)


def _half_in(request: HttpRequest) -> bool:
    return getattr(request, "half_in", None) is not None


def _person(request: HttpRequest) -> User | None:
    """Return who gave her password, whether or not she still owes a code."""
    user: Any = getattr(request, "half_in", None) or request.user
    return user if user.is_authenticated else None


def _next(request: HttpRequest) -> str:
    given = request.POST.get("next") or request.GET.get("next") or ""
    own = url_has_allowed_host_and_scheme(
        given, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return given if own else resolve_url(settings.LOGIN_REDIRECT_URL)


def _typed(request: HttpRequest) -> str:
    return "".join(request.POST.get("code", "")[:40].replace("-", " ").split()).lower()


def _is_from_application(code: str) -> bool:
    return len(code) == DIGITS and code.isascii() and code.isdigit()


@transaction.atomic
def _checked(user: User, code: str) -> TOTPDevice | None:
    """Return the person's device if the code holds now. Wrong ones make the next wait, twice as long each."""
    device = TOTPDevice.objects.select_for_update().filter(user=user, confirmed=True).order_by("pk").first()
    if device is None:
        return None
    if _is_from_application(code):
        return device if device.verify_token(code) else None
    backup = StaticDevice.objects.select_for_update().filter(user=user, confirmed=True).first()
    holds = backup is not None and "\0" not in code and backup.verify_token(code)
    return device if holds else None


@transaction.atomic
def _enrolled(user: User, key: str, code: str) -> tuple[TOTPDevice, list[str]] | None:
    """Keep the device and new backup codes if the code is right and she has no device; else return None."""
    if not _is_from_application(code):
        return None
    User.objects.select_for_update().get(pk=user.pk)
    if device_of(user) is not None:
        return None
    device = TOTPDevice(user=user, key=key, name="application")
    totp = TOTP(device.bin_key, device.step, device.t0, device.digits, device.drift)
    totp.time = time.time()
    if not totp.verify(int(code), device.tolerance):
        return None
    device.last_t, device.drift = totp.t(), totp.drift
    device.save()
    StaticDevice.objects.filter(user=user).delete()
    backup = StaticDevice.objects.create(user=user, name="backup codes")
    codes = [StaticToken.random_token() for _number in range(BACKUP_CODES)]
    StaticToken.objects.bulk_create(StaticToken(device=backup, token=code) for code in codes)
    return device, codes


def _let_in(request: HttpRequest, device: TOTPDevice) -> None:
    request.session.cycle_key()
    request.session.pop(OWED, None)
    request.session[PASSED] = device.pk


def _picture(address: str) -> str:
    """Return the QR code as SVG, dark on light in either scheme, since cameras want it so."""
    out = io.BytesIO()
    segno.make(address, micro=False).save(
        out, kind="svg", scale=5, border=4, dark="#000", light="#fff", xmldecl=False, svgclass="qr",
        lineclass=None,
    )  # fmt: skip
    return mark_safe(out.getvalue().decode())  # drawn from our own text, no word of it inside

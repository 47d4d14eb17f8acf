"""A user's second factors, the page that adds a passkey, and the challenges for the browser."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST
from django_otp.plugins.otp_static.models import StaticDevice

from governance.accounts.passkeys import (
    MOST,
    NAME_LENGTH,
    add_passkey,
    passkeys_of,
    remove_passkey,
    rename_passkey,
)
from governance.accounts.rules import by_user
from governance.accounts.second_step import (
    PASSED,
    device_of,
    has_one,
    has_passkey,
    is_there,
    mark_of,
    must_have_one,
    other_mark,
)
from governance.accounts.webauthn import adding, are_possible, begin_adding, begin_using, default_name
from governance.core.actors import Actor
from governance.core.admin.base import by_of
from governance.core.errors import Invalid, Refused
from governance.core.request_values import correlation_id_of
from governance.models import User
from valhalla.fresh import use_up
from valhalla.pages.second_factor import is_pending, let_in, next_page, person_of


@require_POST
@never_cache
def passkey_options(request: HttpRequest) -> HttpResponse:
    """Return what a browser needs to sign with one of the person's passkeys: JSON, with a new challenge."""
    user = person_of(request)
    if user is None:
        return _said(gettext("You are no longer signed in. Load the page again."), 401)
    if not (are_possible(request) and has_passkey(user)):
        return _said(gettext("You have no passkey that can be used here."), 409)
    return JsonResponse(begin_using(request, user))


def _said(sentence: str, status: int) -> JsonResponse:
    return JsonResponse({"detail": sentence}, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@login_required
def second_factors(request: HttpRequest) -> HttpResponse:
    """Show the user's own second factors; a POST renames (`rename`, `name`) or removes (`remove`) a passkey.

    `?rename=` shows the form for a new name in the passkey's row.
    """
    user: Any = request.user
    if request.method == "POST":
        try:
            _change(request, user)
        except Refused as refusal:
            messages.error(request, _sentence(refusal))
        return redirect("second_factors")
    codes = StaticDevice.objects.filter(user=user).values_list("backup_codes", flat=True)
    context = {
        "app": device_of(user),
        "codes": sum(1 for code in codes if code is not None),
        "rows": list(passkeys_of(user.pk)[:MOST]),
        "possible": are_possible(request),
        "most": MOST,
        "name_length": NAME_LENGTH,
        "renamed": _number(request.GET.get("rename", "")),
    }
    return render(request, "registration/second_factors.html", context)


def _change(request: HttpRequest, user: Any) -> None:
    if "remove" in request.POST:
        name = remove_passkey(
            user.pk,
            _number(request.POST["remove"]),
            must_keep_one=must_have_one(user),
            by=by_of(request),
            at=timezone.now(),
        )
        mark = request.session.get(PASSED)
        if mark is not None and not is_there(user, mark):
            # it opened this session too: the person proved just now who they are, so the session continues
            request.session.pop(PASSED)
            other = other_mark(user)
            if other is not None:
                request.session[PASSED] = other
        messages.success(request, gettext("Passkey “%(name)s” removed.") % {"name": name})
    elif "rename" in request.POST:
        name = rename_passkey(user.pk, _number(request.POST["rename"]), request.POST.get("name", ""))
        messages.success(request, gettext("Passkey renamed to “%(name)s”.") % {"name": name})


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else 0


def _sentence(refusal: Refused) -> str:
    told = refusal.errors.get("name") if isinstance(refusal, Invalid) else None
    return str(told[0]) if told else str(refusal)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def new_passkey(request: HttpRequest) -> HttpResponse:
    """Add a passkey: `begin` returns the browser's options (JSON), `passkey` and `name` store it.

    Also open to users who must have a second factor and have none yet, before any other page.
    """
    user = person_of(request)
    if user is None:
        return redirect_to_login(request.get_full_path())
    if is_pending(request) and (has_one(user) or not must_have_one(user)):
        return redirect(f"{reverse('second_factor')}?{urlencode({'next': next_page(request)})}")
    possible = are_possible(request)
    if request.method == "POST" and "begin" in request.POST:
        if not possible:
            return _said(gettext("Passkeys cannot be used at this address."), 409)
        return JsonResponse(begin_adding(request, user))
    wrong = ""
    name = request.POST.get("name", "") if request.method == "POST" else default_name(request)
    if request.method == "POST" and possible:
        try:
            passkey, codes = add_passkey(
                user.pk,
                name,
                adding(request, user, request.POST.get("passkey", "")),
                first=is_pending(request),
                by=_by(request, user),
                at=timezone.now(),
            )
        except Refused as refusal:
            wrong = _sentence(refusal)
        else:
            use_up(request)
            if PASSED not in request.session:
                let_in(request, mark_of(passkey))
            if codes:
                shown = {"codes": codes, "next": next_page(request)}
                return render(request, "registration/backup_codes.html", shown)
            messages.success(request, gettext("Passkey “%(name)s” added.") % {"name": passkey.name})
            return redirect("second_factors")
    context = {
        "possible": possible,
        "wrong": wrong,
        "name": name,
        "next": next_page(request),
        "is_pending": is_pending(request),
        "name_length": NAME_LENGTH,
    }
    return render(request, "registration/passkey_new.html", context)


def _by(request: HttpRequest, user: User) -> Actor:
    if not is_pending(request):
        return by_of(request)
    return by_user(user, correlation_id=correlation_id_of(request))

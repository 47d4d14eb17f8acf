"""Confirming who is at the browser: a code or passkey of a second factor, else the password."""

from __future__ import annotations

import logging
from typing import NoReturn

from django.contrib.auth import authenticate
from django.db import transaction
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django_otp.plugins.otp_static.models import StaticDevice

from governance.accounts import security_log
from governance.accounts.backup_codes import use_code
from governance.accounts.models import Authenticator, User
from governance.accounts.second_step import Mark, device_of, has_one, has_passkey, mark_of
from governance.accounts.webauthn import WrongPasskey, are_possible, check_passkey
from governance.core.errors import Refused, Unavailable

log = logging.getLogger(__name__)

DIGITS = 6
LONGEST_PASSWORD = 4096  # characters; hashing a longer one takes too long
NOT_PROVED = frozenset({"not_proved", "wrong_passkey"})  # the codes of the refusals that `prove` raises
WRONG_CODE = _(
    "This code is not valid. Wait for the next one, then try again; after several wrong ones wait a few "
    "minutes."
)


def prove(request: HttpRequest, user: User, typed: str, passkey: str = "") -> None:
    """Check `passkey`, the browser's answer, or else `typed`: a code, or without a factor the password.

    Raises Refused with a sentence, and what `check_code` raises. Wrong passwords count as at sign-in and
    lock the name; wrong codes and passkeys delay the next attempt.
    """
    if passkey:
        use_passkey(request, user, passkey)
    elif has_one(user):
        if check_code(request, user, typed_code(typed)) is None:
            security_log.note("second_factor_failed", request, user=user.get_username(), user_id=user.pk)
            _refuse(user, WRONG_CODE)
    else:  # the sign-in's own signals are logged
        found = authenticate(request, username=user.get_username(), password=typed[:LONGEST_PASSWORD])
        if found is None or found.pk != user.pk:
            _refuse(user, _("This is not your password. Check it and try again."))


def proofs_of(request: HttpRequest) -> dict[str, bool]:
    """Return the proofs that the person can give, for the form that asks."""
    user: object = request.user
    with_app, with_passkey = device_of(user) is not None, has_passkey(user)
    return {
        "with_app": with_app,
        "with_passkey": with_passkey,
        "with_code": with_app or with_passkey,
        "possible": are_possible(request),
    }


def _refuse(user: User, sentence: object) -> NoReturn:
    log.warning("%s could not prove who they are", user.get_username())
    raise Refused("not_proved", sentence)


def use_passkey(request: HttpRequest, user: User, answer: str) -> Mark:
    """Return the mark of the passkey with which the person answered. Raises WrongPasskey, which is logged."""
    try:
        return mark_of(check_passkey(request, user, answer))
    except WrongPasskey as wrong:
        log.warning("%s was refused a passkey: %s", user.get_username(), wrong.reason)
        security_log.note(
            "second_factor_failed",
            request,
            user=user.get_username(),
            user_id=user.pk,
            kind="passkey",
            reason=wrong.reason,
        )
        raise


def typed_code(text: str) -> str:
    """Return a code in the form that is compared, without spaces and dashes, in one case."""
    return "".join(text[:40].replace("-", " ").split()).lower()


def is_from_application(code: str) -> bool:
    return len(code) == DIGITS and code.isascii() and code.isdigit()


def check_code(request: HttpRequest, user: User, code: str) -> Mark | None:
    """Return the mark of the factor of a valid code. After wrong ones the next must wait, twice as long each.

    Raises Unavailable if a code of the app cannot be checked because its seed cannot be read; that is not a
    wrong code, and backup codes still work.
    """
    try:
        return _check_code(user, code)
    except Unavailable as refusal:
        log.error("the second factor of %s cannot be checked: %s", user.get_username(), refusal)
        security_log.note(
            "second_factor_unreadable", request, user=user.get_username(), user_id=user.pk, code=refusal.code
        )
        raise


@transaction.atomic
def _check_code(user: User, code: str) -> Mark | None:
    devices = Authenticator.objects.select_for_update().filter(user=user, confirmed=True)
    device: Authenticator | None = devices.order_by("pk").first()
    if device is None and not has_passkey(user):
        return None
    if device is not None and is_from_application(code):
        return mark_of(device) if device.bin_key and device.verify_token(code) else None
    if not use_code(user, code):
        return None
    return mark_of(device or StaticDevice.objects.filter(user=user, confirmed=True).earliest("pk"))

"""A person's passkeys: devices or security keys, in addition to the authenticator app.

governance/accounts/webauthn.py checks what the browser sends; only valid results get here.
"""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Callable
from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice
from django_otp_webauthn.models import WebAuthnCredential

from governance.accounts.account_log import Kind, record
from governance.accounts.backup_codes import create_codes, has_codes
from governance.accounts.models import User
from governance.core.actors import Actor
from governance.core.errors import Invalid, Refused

log = logging.getLogger(__name__)

MOST = 10  # of one person
NAME_LENGTH = 64


def passkeys_of(user_id: int) -> QuerySet[WebAuthnCredential]:
    """Return a person's passkeys, the newest last."""
    rows: QuerySet[WebAuthnCredential] = WebAuthnCredential.objects.filter(user_id=user_id, confirmed=True)
    return rows.order_by("pk")


@transaction.atomic
def add_passkey(
    user_id: int,
    name: str,
    register: Callable[[User, str], WebAuthnCredential],
    *,
    by: Actor,
    at: datetime,
    first: bool = False,
) -> tuple[WebAuthnCredential, list[str]]:
    """Add a passkey to a person; return it, and ten backup codes if they had none yet.

    `register` checks what the browser sent and stores it for the person under the name; it raises Refused.
    Raises Invalid for a name, Refused `too_many_passkeys`, and `not_the_first` if `first` says that the
    person, who owes a second factor, may not have one yet.
    """
    name = _read_name(name)
    user = User.objects.select_for_update().get(pk=user_id)
    count = passkeys_of(user_id).count()
    if first and (count or TOTPDevice.objects.filter(user=user, confirmed=True).exists()):
        raise Refused("not_the_first", _("You now have a second factor. Sign in with it first."))
    if count >= MOST:
        sentence = _("You have %(most)d passkeys, the maximum. Remove one first.")
        raise Refused("too_many_passkeys", sentence % {"most": MOST})
    passkey = register(user, name)
    codes = [] if has_codes(user) else create_codes(user)
    record(Kind.KEY_ADDED, user, by=by, at=at)
    log.info("%s added a passkey", user.username)
    return passkey, codes


@transaction.atomic
def rename_passkey(user_id: int, number: int, name: str) -> str:
    """Rename one's own passkey and return it. Raises Invalid, Refused `unknown_passkey`."""
    name = _read_name(name)
    if not passkeys_of(user_id).filter(pk=number).update(name=name):
        raise _unknown()
    return name


@transaction.atomic
def remove_passkey(user_id: int, number: int, *, must_keep_one: bool, by: Actor, at: datetime) -> str:
    """Remove one's own passkey and return its name; the last second factor takes the backup codes with it.

    `must_keep_one` says that the person may not be without a second factor. Raises Refused `unknown_passkey`,
    `last_second_factor`.
    """
    user = User.objects.select_for_update().get(pk=user_id)
    own = {passkey.pk: passkey for passkey in passkeys_of(user_id)}
    passkey = own.get(number)
    if passkey is None:
        raise _unknown()
    is_last = len(own) == 1 and not TOTPDevice.objects.filter(user=user, confirmed=True).exists()
    if is_last and must_keep_one:
        raise Refused(
            "last_second_factor",
            _("Your role signs in with a second factor. Add another passkey or the application first."),
        )
    passkey.delete()
    if is_last:
        StaticDevice.objects.filter(user=user).delete()
    record(Kind.KEY_GONE, user, by=by, at=at)
    log.info("%s removed a passkey", user.username)
    return str(passkey.name)


def _unknown() -> Refused:
    return Refused("unknown_passkey", _("You have no such passkey. It may have been removed."))


def _read_name(name: str) -> str:
    """Return a name as stored. Raises Invalid if it is empty, too long or unreadable."""
    name = " ".join(name.split())
    if not name:
        raise Invalid({"name": [_("Name the passkey, for example after its device.")]})
    if len(name) > NAME_LENGTH:
        raise Invalid({"name": [_("At most %(most)d characters.") % {"most": NAME_LENGTH}]})
    if any(unicodedata.category(sign)[0] == "C" for sign in name):
        raise Invalid({"name": [_("Use letters and digits in the name.")]})
    return name

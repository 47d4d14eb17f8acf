"""Taking somebody's second factor away, so that she sets it up anew at her next login."""

from __future__ import annotations

import logging
from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

from governance.actors import By
from governance.errors import Forbidden, Refused
from governance.people.models import SignIn, User
from governance.people.services import MANAGE, require_reason
from governance.people.sign_ins import close_all_of

log = logging.getLogger(__name__)


@transaction.atomic
def reset_second_factor(username: str, *, by: By, at: datetime, reason: str) -> bool:
    """Remove a person's device and backup codes, and end her sessions.

    Returns whether she had any, so that a repeat changes nothing. Raises Forbidden without the right, for
    oneself, and for a superuser unless the operator or another superuser does it; Invalid without a reason;
    Refused `unknown_person`.
    """
    if not (by.is_system or by.may(MANAGE)):
        raise Forbidden("not_allowed", _("Only a manager resets a second factor."))
    require_reason(reason)
    user = User.objects.select_for_update().filter(username__iexact=username).first()
    if user is None:
        raise Refused("unknown_person", _("There is nobody of this name."))
    if user.pk == by.user_id:
        raise Forbidden("not_allowed", _("Somebody else must reset your second factor."))
    guarded = user.is_superuser and not by.is_system
    if guarded and not User.objects.filter(username=by.username, is_superuser=True).exists():
        raise Forbidden("not_allowed", _("Only a superuser resets a superuser’s second factor."))
    gone = (
        TOTPDevice.objects.filter(user=user).delete()[0] + StaticDevice.objects.filter(user=user).delete()[0]
    )
    if gone:
        close_all_of(user, SignIn.Ended.FACTOR, at=at, by=by, reason=reason.strip())
        log.info("%s reset the second factor of %s: %s", by.username, user.username, reason.strip())
    return bool(gone)

"""Resetting somebody's second factor, so that they set up a new one at their next sign-in."""

from __future__ import annotations

import logging
from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice
from django_otp_webauthn.models import WebAuthnCredential

from governance.accounts.account_log import Kind, record
from governance.accounts.models import SignIn, User
from governance.accounts.services import MANAGE, guard_superuser, require_reason
from governance.accounts.sign_ins import close_all_of
from governance.core.actors import Actor
from governance.core.errors import Refused, not_allowed
from governance.core.verbs import needs_right

log = logging.getLogger(__name__)


@transaction.atomic
@needs_right(MANAGE, refusal=gettext_lazy("Only a manager resets a second factor."))
def reset_second_factor(username: str, *, by: Actor, at: datetime, reason: str) -> bool:
    """Remove a person's device, passkeys and backup codes, and end their sessions.

    Returns whether they had any, so that a repeat changes nothing. Raises Forbidden without the permission,
    for oneself, and for a superuser unless the operator or another superuser does it; Invalid without a
    reason; Refused `unknown_person`.
    """
    require_reason(reason)
    user = User.objects.select_for_update().filter(username__iexact=username).first()
    if user is None:
        raise Refused("unknown_person", _("There is no person with this username."))
    if user.pk == by.user_id:
        raise not_allowed(_("Somebody else must reset your second factor."))
    guard_superuser(user, by, _("Only a superuser resets a superuser’s second factor."))
    kinds = (TOTPDevice, StaticDevice, WebAuthnCredential)
    gone = sum(kind.objects.filter(user=user).delete()[0] for kind in kinds)
    if gone:
        close_all_of(user, SignIn.Ended.FACTOR, at=at, by=by, reason=reason.strip())
        record(Kind.FACTOR, user, by=by, at=at)
        log.info("%s reset the second factor of %s: %s", by.username, user.username, reason.strip())
    return bool(gone)

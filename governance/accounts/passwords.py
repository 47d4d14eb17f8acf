"""Passwords: people change their own, and others give them a link to set it once."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from governance.accounts.account_log import Kind, record
from governance.accounts.models import User
from governance.accounts.rules import by_user
from governance.accounts.services import MANAGE, guard_superuser
from governance.core.actors import Actor, Role
from governance.core.errors import Invalid, Refused, not_allowed
from governance.core.verbs import needs_right

log = logging.getLogger(__name__)

LINK = re.compile(r"([1-9][0-9]{0,17})\.([0-9a-z]{1,13}-[0-9a-f]{8,64})", re.ASCII)


class _LinkTokens(PasswordResetTokenGenerator):
    """Signed with SECRET_KEY; expire after PASSWORD_RESET_TIMEOUT, at a sign-in and with a new password."""

    key_salt = "governance.people.passwords.link"  # links that were already sent are signed with it


_tokens = _LinkTokens()


@dataclass(frozen=True, slots=True)
class Link:
    """A link's contents. It is shown or sent once and stored nowhere."""

    text: str = field(repr=False)
    user: User
    ends_at: datetime


@transaction.atomic
@needs_right(MANAGE, refusal=gettext_lazy("Only a manager creates password links."))
def create_link(username: str, *, by: Actor, at: datetime) -> Link:
    """Create a link for setting a person's password, once, within 24 hours. The old one works until then.

    Raises Forbidden without the permission, for oneself, and for a superuser unless the operator or another
    superuser does it; Refused `unknown_person`, `inactive`, and `no_password` for a service client.
    """
    user = User.objects.filter(username__iexact=username).first()
    if user is None:
        raise Refused("unknown_person", _("There is no person with this username."))
    if user.pk == by.user_id:
        raise not_allowed(_("Change your own password on the page Password."))
    guard_superuser(user, by, _("Only a superuser creates a password link for a superuser."))
    if not user.is_active:
        raise Refused("inactive", _("%(name)s is no longer active.") % {"name": user.username})
    if user.role == Role.SERVICE:
        raise Refused("no_password", _("A service client has no password: issue a token."))
    record(Kind.LINK, user, by=by, at=at)
    log.info("%s created a password link for %s", by.username, user.username)
    text = f"{user.pk}.{_tokens.make_token(user)}"
    return Link(text, user, at + timedelta(seconds=settings.PASSWORD_RESET_TIMEOUT))


def person_of_link(text: str) -> User | None:
    """Return the person of a link; None if it is invalid, has expired or was used."""
    found = LINK.fullmatch(text)
    if found is None:
        return None
    user = User.objects.filter(pk=int(found[1]), is_active=True).exclude(role=Role.SERVICE).first()
    return user if user is not None and _tokens.check_token(user, found[2]) else None


@transaction.atomic
def use_link(text: str, new: str, *, correlation_id: str, at: datetime) -> User:
    """Set the password of the person whose link it is, and end their sessions.

    Raises Refused `link_ended` if the link is invalid, has expired or was used, Invalid for a weak password.
    """
    found = LINK.fullmatch(text)
    if found is not None:  # of two uses at once the second waits, and then sees the other password
        list(User.objects.select_for_update().filter(pk=int(found[1])))
    user = person_of_link(text)
    if user is None:
        raise Refused(
            "link_ended", _("This link has expired or was already used. Ask a manager for a new one.")
        )
    _set(user, new, by=by_user(user, correlation_id=correlation_id), at=at)
    return user


@transaction.atomic
def set_own_password(user_id: int, new: str, *, by: Actor, at: datetime) -> User:
    """Set one's own password, after the old one was checked, and end one's other sessions.

    Returns the person as stored. Raises Forbidden for another person's, Invalid for a weak password or the
    one in use.
    """
    if by.user_id != user_id:
        raise not_allowed(_("People set their own password; give somebody a password link."))
    user = User.objects.select_for_update().get(pk=user_id)
    if user.check_password(new):
        raise Invalid({"new": [_("This is the password you have. Choose another one.")]})
    _set(user, new, by=by, at=at)
    return user


def _set(user: User, new: str, *, by: Actor, at: datetime) -> None:
    try:
        validate_password(new, user)
    except ValidationError as weak:
        raise Invalid({"new": weak.messages}) from weak
    user.set_password(new)
    user.chosen_by_themselves = True
    user.password_set_by = None
    user.save(update_fields=["password", "password_set_by"])
    record(Kind.PASSWORD, user, by=by, at=at)
    log.info("%s set a password", user.username)

"""Authentication: by password, and for a REST call by its token. Settings and sessions name these classes."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from hashlib import sha256
from hmac import compare_digest
from typing import Any, cast

from axes.backends import AxesStandaloneBackend
from django.conf import settings
from django.contrib.auth.backends import ModelBackend
from django.core.exceptions import PermissionDenied
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from knox.auth import TokenAuthentication
from knox.crypto import hash_token
from knox.settings import CONSTANTS
from rest_framework import exceptions
from rest_framework.authentication import SessionAuthentication, get_authorization_header
from rest_framework.request import Request

from governance.accounts.lockout import is_address_locked, typed_name
from governance.accounts.models import MOST_CALLS, ApiToken, User
from governance.accounts.querysets import tokens_of
from governance.accounts.rules import rights_of_person
from governance.accounts.token_text import is_mistyped
from governance.core.actors import Role
from governance.core.current import current_request
from governance.core.rest.rate_limit import LIMITS, Limits, count_call
from governance.core.transactions import WriterBusy, in_turn

USE_NOTED_EVERY = timedelta(minutes=1)
NOTING_WAITS = 0.2  # seconds; reads must not wait for writes


def refuse_locked_address(request: Any, username: str | None) -> None:
    """Raise PermissionDenied if the request's address is locked for a name, so that no password is hashed."""
    name = typed_name(request, {"username": username})
    if is_address_locked(request, name, timezone.now()):
        request.axes_locked_out = request.address_locked = True  # axes answers as it does for a locked name
        raise PermissionDenied


class RoleBackend(AxesStandaloneBackend, ModelBackend):
    """Passwords as Django stores them; permissions follow from the role alone, without a query."""

    def authenticate(
        self, request: Any, username: str | None = None, password: str | None = None, **kwargs: object
    ) -> Any:
        """Check a password. Raises PermissionDenied while the name is locked at the request's address."""
        if request is not None:
            try:
                super().authenticate(request, username, password, **kwargs)
                refuse_locked_address(request, username)
            except PermissionDenied:
                request.sign_in_denied = True  # the security log distinguishes attempts without a password
                raise
        return ModelBackend.authenticate(self, request, username, password, **kwargs)

    def get_user(self, user_id: Any) -> User | None:
        """Return the user and work profile in one query."""
        user = User.objects.select_related("work_profile").filter(pk=user_id).first()
        return user if user is not None and self.user_can_authenticate(user) else None

    def get_all_permissions(self, user_obj: object, obj: object = None) -> set[str]:
        return set() if obj is not None else set(rights_of_person(user_obj))

    def has_perm(self, user_obj: object, perm: str, obj: object = None) -> bool:
        return perm in self.get_all_permissions(user_obj, obj)

    def has_module_perms(self, user_obj: object, app_label: str) -> bool:
        return any(right.startswith(f"{app_label}.") for right in self.get_all_permissions(user_obj))


class TooManyCalls(exceptions.APIException):
    """Rate limit exceeded: the token, or the person, may call again after `wait` seconds."""

    status_code = 429
    default_code = "throttled"

    def __init__(self, sentence: str, most: int, wait: int) -> None:
        super().__init__(sentence % {"most": most, "seconds": wait})
        self.wait = wait


_TOKEN = gettext_lazy(
    "Rate limit exceeded: this token may make %(most)d calls a minute; try again in %(seconds)d s."
)
_PERSON = gettext_lazy(
    "Rate limit exceeded: you may make %(most)d calls a minute; try again in %(seconds)d s."
)


def _count_token(token: ApiToken) -> None:
    """Count a call of a token, and of its person where people have a lower limit. Raises TooManyCalls.

    Service clients have the limits of their tokens alone.
    """
    _count("token", token.digest, token.calls_per_minute, _TOKEN)
    if settings.PERSON_CALLS_PER_MINUTE < MOST_CALLS and token.user.role != Role.SERVICE:
        _count_person(token.user)


def _count_person(user: User) -> None:
    """Count a call of a person. Raises TooManyCalls."""
    digest = sha256(f"person {user.pk}".encode()).hexdigest()
    _count("person", digest, settings.PERSON_CALLS_PER_MINUTE, _PERSON)


def _count(name: str, digest: str, most: int, sentence: Any) -> None:
    counted = count_call(digest, most)
    request = current_request.get()
    if request is not None:
        LIMITS.once(request, Limits).add(name, most, counted)
    if counted.wait:
        raise TooManyCalls(str(sentence), most, counted.wait)


class BearerToken(TokenAuthentication):
    """`Authorization: Bearer …` or `Token …`; one query finds token, user and role."""

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        parts = get_authorization_header(request).split()
        if not parts or parts[0].lower() not in {b"bearer", b"token"}:
            return None
        if len(parts) != 2:
            raise exceptions.AuthenticationFailed(
                _("The Authorization header must be “Bearer” and the token.")
            )
        return self.authenticate_credentials(parts[1])

    def authenticate_credentials(self, token: bytes) -> tuple[User, ApiToken]:
        wrong = exceptions.AuthenticationFailed(_("This token is unknown, revoked or expired."))
        try:
            text = token.decode("ascii")
        except UnicodeDecodeError:
            raise wrong from None
        if len(text) > 200 or "\0" in text or is_mistyped(text):
            raise wrong
        digest = hash_token(text)
        now = timezone.now()
        for found in tokens_of(key=text[: CONSTANTS.TOKEN_KEY_LENGTH]):
            if not compare_digest(digest, found.digest):
                continue
            expired = found.expiry is not None and found.expiry <= now
            # issued to a service client that is a person now: the issuer could act as that person
            foreign = found.issuer_id not in (None, found.user_id) and found.user.role != Role.SERVICE
            if expired or foreign or found.revoked_at is not None or not found.user.is_active:
                _note_dead_token(found, expired=expired)
                raise wrong
            _count_token(found)
            if found.last_used_at is None or found.last_used_at < now - USE_NOTED_EVERY:
                with suppress(WriterBusy), in_turn(NOTING_WAITS):  # else the next call records it
                    ApiToken.objects.filter(pk=found.pk).update(last_used_at=now)
            return found.user, found
        raise wrong

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


def _note_dead_token(token: ApiToken, *, expired: bool) -> None:
    from governance.accounts import security_log  # it reads settings that name this module

    request = current_request.get()
    reason = "revoked" if token.revoked_at else "expired" if expired else "inactive_user"
    if reason == "inactive_user" and token.user.is_active:
        reason = "foreign_issuer"
    if request is not None:
        security_log.note_refusal(
            "token_refused",
            request,
            ("token", token.pk),
            reason=reason,
            user=token.user.username,
            user_id=token.user_id,
            token=security_log.token_name(token),
        )


class SessionLogin(SessionAuthentication):
    """A signed-in browser; its POSTs need the CSRF token."""

    def authenticate(self, request: Request) -> Any:
        found = super().authenticate(request)
        if found is not None:
            _count_person(cast(User, found[0]))
        return found

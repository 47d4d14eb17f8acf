"""Keeps a row for each session: written at sign-in, once a minute, and at the end.

A person's sessions end when their password, role or active state changes, wherever that is done.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.contrib.auth.signals import user_logged_in
from django.db.models.signals import post_save, pre_save
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone

from governance.accounts import sign_ins
from governance.accounts.models import SignIn, User
from governance.accounts.second_step import PASSED
from governance.core.client_address import client_address

SIGN_IN = "sign_in"  # in the session: the id of its row


@receiver(user_logged_in)
def begin(sender: object, request: HttpRequest, user: object, **kwargs: object) -> None:
    session = request.session
    before = session.pop(SIGN_IN, None)
    if before is not None:  # a repeated sign-in, maybe in the same session: what ends is the old key
        session.cycle_key()
        _close(before, SignIn.Ended.LEFT)
    if session.session_key is None:
        session.create()
    _begin(request, user)


def _begin(request: HttpRequest, user: Any, *, once: bool = False) -> None:
    row = sign_ins.begin(
        user.pk,
        str(request.session.session_key),
        at=timezone.now(),
        address=client_address(request),
        agent=request.headers.get("User-Agent", ""),
        once=once,
    )
    request.session[SIGN_IN] = row.pk


def see(request: HttpRequest) -> bool:
    """Record activity in a session; return False if it was ended."""
    row = request.session.get(SIGN_IN)
    if row is None:  # older than these rows; its first two requests may come at once
        _begin(request, request.user, once=True)
        return True
    return sign_ins.see(row, at=timezone.now(), address=client_address(request))


def end(request: HttpRequest, because: SignIn.Ended) -> None:
    """End the row of the session that is about to be closed."""
    row = request.session.get(SIGN_IN)
    if row is not None:
        _close(row, because)


@contextmanager
def followed(request: HttpRequest) -> Iterator[None]:
    """Keep the row in step with its session during a request: a new key, or its end."""
    session, user = request.session, request.user
    key, row = session.session_key, session.get(SIGN_IN)
    yield
    if row is None or session.session_key == key:
        return
    if session.get(SIGN_IN) != row:  # signed out, or signed in as somebody else
        _close(row, SignIn.Ended.LEFT)
    elif not sign_ins.move(row, str(session.session_key), second_factor=PASSED in session):
        if SignIn.objects.filter(pk=row, ended_because=SignIn.Ended.PASSWORD).exists():
            _begin(request, user)  # the session in which the person changed their password
        else:
            session.flush()


def _close(row: int, because: SignIn.Ended) -> None:
    sign_ins.close(SignIn.objects.filter(pk=row), because, at=timezone.now())


# --- events that end all sessions of a person ---------------------------------------------------------------

WATCHED = ("password", "role", "is_superuser", "is_active")


@receiver(pre_save, sender=User)
def look_what_changes(sender: object, instance: User, update_fields: Any = None, **kwargs: object) -> None:
    instance.ends_sessions = None
    if instance._state.adding or (update_fields is not None and not set(update_fields) & set(WATCHED)):
        return
    before = User.objects.filter(pk=instance.pk).values(*WATCHED).first()
    changed = {name for name, value in (before or {}).items() if value != getattr(instance, name)}
    if "is_active" in changed:
        instance.ends_sessions = SignIn.Ended.INACTIVE
    elif "role" in changed or "is_superuser" in changed:
        instance.ends_sessions = SignIn.Ended.ROLE
    elif "password" in changed:
        instance.ends_sessions = SignIn.Ended.PASSWORD


@receiver(post_save, sender=User)
def end_what_changed(sender: object, instance: User, **kwargs: object) -> None:
    because = getattr(instance, "ends_sessions", None)
    if because is not None:
        sign_ins.close_all_of(instance, because, at=timezone.now())

"""The security log: one JSON line per event, in a daily file under VALHALLA_VAR/log.

It is separate from the database, so that nothing that is reset, rolled back or erased there removes a line.
Lines hold no secrets, no free text and no phone number or e-mail address; docs/security-log.md lists the
fields. Each line is one write at the end of the file, so that several processes can share it.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from axes.signals import user_locked_out
from django.conf import settings
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db import DatabaseError, transaction
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponseBase
from django.urls import reverse

from governance.accounts.lockout import typed_name
from governance.accounts.models import ApiToken
from governance.core import hooks
from governance.core.actors import Actor
from governance.core.client_address import client_address
from governance.core.current import current_correlation_id, current_request

log = logging.getLogger(__name__)

MOST_CHARACTERS = 200  # of one value
MOST_A_MINUTE = 60  # lines about refusals of one caller; the last one says that it is the last
MOST_CALLERS = 10_000
NAME = re.compile(r"security-(\d{4}-\d{2}-\d{2})\.jsonl", re.ASCII)
EMAIL = re.compile(r"[^\s@<>\"',;]+@[^\s@<>\"',;]+")
PHONE = re.compile(r"(?<![\w.])\+?1?[ .(-]{0,2}\d{3}[ .)-]{0,2}\d{3}[ .-]?\d{4}(?![\w.])", re.ASCII)


def note(event: str, request: HttpRequest | None = None, **fields: Any) -> None:
    """Write a line about something that happened now; `request` defaults to the current one.

    `fields` are names, numbers and codes; None is left out. Never pass a secret, or text that somebody typed.
    If the log cannot be written, the action still continues: the line goes to the server's own log then.
    """
    request = request or current_request.get()
    correlation_id = current_correlation_id.get()
    line: dict[str, Any] = {
        "at": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "event": event,
        "correlation_id": None if correlation_id == "-" else correlation_id,
        "address": client_address(request) if request is not None else None,
    }
    line |= {name: _value(value) for name, value in fields.items()}
    text = json.dumps({name: value for name, value in line.items() if value is not None}, ensure_ascii=True)
    try:
        _append(text)
    except OSError as problem:
        log.error("the security log cannot be written (%s): %s", problem.strerror, text)


def note_on_commit(event: str, **fields: Any) -> None:
    """Write a line about a change once it is committed; nothing is written if it is rolled back."""
    transaction.on_commit(lambda: note(event, **fields), robust=True)


def folder() -> Path:
    return Path(settings.VAR) / "log"


def _value(value: object) -> object:
    """Return a value as a line may hold it: at most 200 characters, no phone number or e-mail address."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, (list, tuple)):
        return [_value(item) for item in value[:20]]
    return PHONE.sub("[number]", EMAIL.sub("[e-mail]", str(value)[:MOST_CHARACTERS]))


def _append(text: str) -> None:
    today = datetime.now(UTC).date()
    path = folder() / f"security-{today}.jsonl"
    data = text.encode() + b"\n"
    flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
    try:
        file = os.open(path, flags)
    except FileNotFoundError:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(path, flags | os.O_CREAT, 0o600)
        prune(today)
    try:
        if os.write(file, data) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        os.close(file)


def prune(today: date) -> list[Path]:
    """Remove the files older than SECURITY_LOG_DAYS, and return them. The first line of each day does it."""
    first_kept = today - timedelta(days=settings.SECURITY_LOG_DAYS)
    gone = []
    for path in folder().iterdir():
        named = NAME.fullmatch(path.name)
        if named and named[1] < str(first_kept):
            path.unlink(missing_ok=True)
            gone.append(path)
    return gone


# --- signing in ---------------------------------------------------------------------------------------------


@receiver(user_logged_in)
def signed_in(sender: object, request: HttpRequest, user: Any, **kwargs: object) -> None:
    note("sign_in", request, user=user.get_username(), user_id=user.pk)


@receiver(user_logged_out)
def signed_out(sender: object, request: HttpRequest, user: Any, **kwargs: object) -> None:
    if user is not None:
        note("sign_out", request, user=user.get_username(), user_id=user.pk)


@receiver(user_login_failed)
def failed(
    sender: Any, credentials: dict[str, object], request: HttpRequest | None = None, **kw: object
) -> None:
    if request is None or not getattr(request, "sign_in_denied", False):  # else no password was tried
        note("sign_in_failed", request, **_typed(request, credentials))


@receiver(user_locked_out)
def locked_out(sender: object, request: HttpRequest, username: str, **kwargs: object) -> None:
    what = "address" if getattr(request, "address_locked", False) else "name"
    tried = not getattr(request, "sign_in_denied", False)
    note("sign_in_locked", request, password_tried=tried, what=what, **_named(username))


def _typed(request: HttpRequest | None, credentials: dict[str, object]) -> dict[str, object]:
    if request is None:
        return {}
    return _named(typed_name(request, credentials))


def _named(name: str) -> dict[str, object]:
    """Return a name as failures are counted; only a digest if it does not exist."""
    return {"unknown_user": name[2:]} if name.startswith("? ") else {"user": name}


# --- changes of access --------------------------------------------------------------------------------------


def token_name(token: ApiToken) -> str:
    """Return a token's id in the log: the beginning of its hash, with which nobody can sign in."""
    return token.short_id


@hooks.security_event.register
def by_somebody(event: str, by: Actor, fields: Mapping[str, object]) -> None:
    """Log a change by a service, once it is committed."""
    note_on_commit(
        event,
        by=by.username,
        by_id=by.user_id,
        by_token=by.token_id or None,
        acting_for=by.acting_for or None,
        **fields,
    )


# --- refusals -----------------------------------------------------------------------------------------------

_counts: dict[tuple[object, ...], tuple[int, int]] = {}
_counting = threading.Lock()


def note_refusal(event: str, request: HttpRequest, caller: tuple[object, ...], **fields: object) -> None:
    """Log a refusal, at most 60 per caller and minute: nobody can fill the disk with requests."""
    minute = int(time.monotonic() / 60)
    with _counting:
        if len(_counts) >= MOST_CALLERS:
            _counts.clear()
        of_minute, count = _counts.get(caller, (minute, 0))
        count = count + 1 if of_minute == minute else 1
        _counts[caller] = minute, count
    if count <= MOST_A_MINUTE:
        note(event, request, last_of_this_minute=count == MOST_A_MINUTE or None, **fields)


class Refusals:
    """Logs each request that was refused for lack of a permission: who requested what."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        asking = current_request.set(request)
        try:
            response = self.get_response(request)
            if response.status_code == 403 or _sent_from_admin(request, response):
                self._note(request, response)
            return response
        finally:
            current_request.reset(asking)

    def _note(self, request: HttpRequest, response: HttpResponseBase) -> None:
        who = who_asks()
        found = getattr(request, "resolver_match", None)
        data = getattr(response, "data", None)
        code = data.get("code") if isinstance(data, Mapping) else None
        note_refusal(
            "refused",
            request,
            (who.get("by_id") or client_address(request),),
            **who,
            method=request.method if request.method in METHODS else "OTHER",
            # the pattern, never the path: that can hold a lead's id
            route=found.route if found else None,
            view=found.view_name if found else None,
            code=code,
            status=response.status_code,
        )


METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def who_asks() -> dict[str, object]:
    """Return who makes the current request, as `by`, `by_id`, `role` and `by_token`; {} outside of one."""
    request = current_request.get()
    if request is None:
        return {}
    try:
        user: Any = getattr(request, "pending_user", None) or getattr(request, "user", None)
        if user is None or not user.is_authenticated:
            return {}
        token = getattr(request, "auth", None)
    except DatabaseError:
        return {}
    return {
        "by": user.get_username(),
        "by_id": user.pk,
        "role": user.role,
        "by_token": token_name(token) if isinstance(token, ApiToken) else None,
    }


def _sent_from_admin(request: HttpRequest, response: HttpResponseBase) -> bool:
    """Return whether admin sent a signed-in user to the sign-in page: that is how it refuses."""
    if response.status_code != 302 or not request.path_info.startswith("/admin/"):
        return False
    return (
        response.headers.get("Location", "").partition("?")[0] == reverse("admin:login")
        and bool(who_asks())
        and getattr(request, "pending_user", None) is None
    )

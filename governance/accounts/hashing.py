"""A limit on concurrent password hashes in a web process: each takes 100 MB and much of a core.

Requests that arrive during a hash wait in a short queue; if that is full, they are asked to come back. So
password guessing never occupies all threads of a process, and other requests are served meanwhile, /livez
among them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http import HTTPStatus

from django.conf import settings
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.template.loader import render_to_string
from django.utils.translation import get_language_from_request, override
from django.utils.translation import gettext_lazy as _

from governance.core.errors import Refused
from governance.core.http import Next

WAITS = 5.0  # seconds to wait; a hash takes a tenth of one
COME_BACK = 2  # seconds
SIGN_IN_PATHS = ("/login/", "/admin/login/")


class Busy(Refused):
    """Too many sign-ins at once: retry in `wait` seconds."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    wait = COME_BACK

    def __init__(self) -> None:
        super().__init__(
            "busy", _("Many people are signing in right now. Wait a few seconds, then try again.")
        )


class WorkLimit:
    """Lets `at_once` threads work and `waiting` others wait for up to `seconds`. Raises Busy for the rest."""

    def __init__(self, at_once: int, waiting: int, seconds: float = WAITS) -> None:
        self.at_once, self.most_waiting, self.seconds = at_once, waiting, seconds
        self.working = self.waiting = 0
        self._changed = threading.Condition()

    @property
    def is_full(self) -> bool:
        return self.working >= self.at_once and self.waiting >= self.most_waiting

    @contextmanager
    def turn(self) -> Iterator[None]:
        with self._changed:
            if self.is_full:
                raise Busy
            self.waiting += 1
            try:
                mine = self._changed.wait_for(lambda: self.working < self.at_once, self.seconds)
            finally:
                self.waiting -= 1
            if not mine:
                raise Busy
            self.working += 1
        try:
            yield
        finally:
            with self._changed:
                self.working -= 1
                self._changed.notify()


def turns_of(threads: int, at_once: int) -> WorkLimit:
    """Return the limits for a process with so many threads; with more than one, one always stays free."""
    held = max(1, threads - 1)
    working = min(at_once, held)
    return WorkLimit(working, min(held - working, MOST_WAITING))


MOST_WAITING = 8
turns = turns_of(settings.WEB_THREADS, settings.PASSWORD_HASHES_AT_ONCE)


class BoundedArgon2(Argon2PasswordHasher):
    """Argon2 as in Django, with limited concurrency. Raises Busy."""

    def encode(self, password: str, salt: str) -> str:
        with turns.turn():
            return super().encode(password, salt)

    def verify(self, password: str, encoded: str) -> bool:
        with turns.turn():
            return super().verify(password, encoded)


# Whole sign-ins: besides its hash, each waits for the database, which must not occupy all threads either.
entries = WorkLimit(turns.at_once + turns.most_waiting, 0)


class SignInQueue:
    """Limits concurrent sign-ins; answers the rest before doing any work for them."""

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.method != "POST" or request.path_info not in SIGN_IN_PATHS:
            return self.get_response(request)
        try:
            with entries.turn():
                return self.get_response(request)
        except Busy as refusal:
            return busy_page(request, refusal)


def busy_page(request: HttpRequest, refusal: Busy) -> HttpResponse:
    answer = HttpResponse(_busy_text(get_language_from_request(request)), status=refusal.status)
    answer["Retry-After"] = str(refusal.wait)
    answer["Cache-Control"] = "no-store"
    answer._has_been_logged = True  # type: ignore[attr-defined]  # Django would log an error for each guess
    return answer


@cache
def _busy_text(language: str) -> str:
    """Return the page, which is the same for everybody, so that it costs nothing under load."""
    with override(language):
        return render_to_string("registration/busy.html", {"sentence": Busy().message})

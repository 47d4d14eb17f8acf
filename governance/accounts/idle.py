"""When a session ends by itself: idle for 30 minutes, a VA on shift for 4 hours, and 12 hours after login.

What a page asks by itself, without anybody at it, is no activity.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.contrib.auth import logout
from django.contrib.auth.signals import user_logged_in
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponseBase
from django.urls import Resolver404, resolve, reverse
from django.utils import timezone

from governance.accounts import sessions as sign_ins
from governance.accounts import sign_ins as limits
from governance.accounts.models import SignIn
from governance.accounts.rules import on_shift
from governance.core.actors import Role

IDLE = int(limits.IDLE.total_seconds())
IDLE_ON_SHIFT = int(limits.IDLE_ON_SHIFT.total_seconds())
AT_MOST = int(limits.AT_MOST.total_seconds())
NOTED_EVERY = 60  # seconds
SINCE, SEEN = "since", "seen"  # in the session: when somebody logged in and was last there, in seconds
# The pages' own questions: what is new, the figures of the day, and the renewing of an open card's claim.
ASKED_BY_PAGES = ("followups:news", "followups:day", "followups:renew")


@receiver(user_logged_in)
def note_login(sender: Any, request: HttpRequest, **kwargs: Any) -> None:
    request.session[SINCE] = request.session[SEEN] = int(time.time())


def idle_limit(user: Any, at: datetime) -> int:
    """Return for how many seconds somebody may be away and stay logged in."""
    works = user.role == Role.VA and not user.is_superuser
    return IDLE_ON_SHIFT if works and on_shift(getattr(user, "work_profile", None), at) else IDLE


class IdleSessions:
    """Logs out who was away for too long; writes that somebody is there at most once a minute.

    What becomes of a session meanwhile, its row follows: see governance/accounts/sessions.py.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        session = request.session
        if not request.user.is_authenticated:
            return self.get_response(request)
        now = int(time.time())
        if SEEN not in session or SINCE not in session:  # older than this rule: its time begins now
            session[SINCE] = session[SEEN] = now
        away, logged_in_for = now - session[SEEN], now - session[SINCE]
        too_long = away >= IDLE and away >= idle_limit(request.user, timezone.now())
        if too_long or logged_in_for >= AT_MOST:
            sign_ins.end(request, SignIn.Ended.AWAY if too_long else SignIn.Ended.LONG)
            logout(request)
            return _to_login(self.get_response(request))
        if away >= NOTED_EVERY and not _asked_by_page(request):
            session[SEEN] = now
            if not sign_ins.see(request):  # ended while a request of hers wrote it once more
                logout(request)
        with sign_ins.followed(request):
            return self.get_response(request)


def _asked_by_page(request: HttpRequest) -> bool:
    try:
        return resolve(request.path_info).view_name in ASKED_BY_PAGES
    except Resolver404:
        return False


def _to_login(response: HttpResponseBase) -> HttpResponseBase:
    """Let the login, to which the page sends whoever is nobody, say why; admin sends to the same."""
    for header in ("Location", "X-Login"):
        place = response.headers.get(header, "")
        for login in (reverse("login"), reverse("admin:login")):
            if place.partition("?")[0] == login:
                asked = place.partition("?")[2]
                ended = urlencode({"ended": "idle"})
                response[header] = f"{reverse('login')}?{asked}{'&' if asked else ''}{ended}"
    return response

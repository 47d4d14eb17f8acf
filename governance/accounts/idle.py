"""Session timeouts: after 30 idle minutes, 4 hours for a VA on shift, and 12 hours after sign-in.

Requests that a page sends by itself are not activity.
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
SINCE, SEEN = "since", "seen"  # in the session: when the person signed in and was last active, in seconds
# Requests that pages send by themselves: news, the day's metrics, and renewing an open card's claim.
ASKED_BY_PAGES = ("followups:news", "followups:day", "followups:renew")


@receiver(user_logged_in)
def note_login(sender: object, request: HttpRequest, **kwargs: object) -> None:
    request.session[SINCE] = request.session[SEEN] = int(time.time())


def idle_limit(user: Any, at: datetime) -> int:
    """Return for how many seconds a person may be idle and stay signed in."""
    works = user.role == Role.VA and not user.is_superuser
    return IDLE_ON_SHIFT if works and on_shift(getattr(user, "work_profile", None), at) else IDLE


class IdleSessions:
    """Signs out idle users; records activity at most once a minute.

    The session's row is kept in step: see governance/accounts/sessions.py.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        session = request.session
        if not request.user.is_authenticated:
            return self.get_response(request)
        now = int(time.time())
        if SEEN not in session or SINCE not in session:  # older than this rule: its time starts now
            session[SINCE] = session[SEEN] = now
        away, logged_in_for = now - session[SEEN], now - session[SINCE]
        too_long = away >= IDLE and away >= idle_limit(request.user, timezone.now())
        if too_long or logged_in_for >= AT_MOST:
            sign_ins.end(request, SignIn.Ended.AWAY if too_long else SignIn.Ended.LONG)
            logout(request)
            return _to_login(self.get_response(request))
        if away >= NOTED_EVERY and not _asked_by_page(request):
            session[SEEN] = now
            if not sign_ins.see(request):  # the session was ended while one of its requests saved it again
                logout(request)
        with sign_ins.followed(request):
            return self.get_response(request)


def _asked_by_page(request: HttpRequest) -> bool:
    try:
        return resolve(request.path_info).view_name in ASKED_BY_PAGES
    except Resolver404:
        return False


def _to_login(response: HttpResponseBase) -> HttpResponseBase:
    """Let the sign-in page, to which anonymous users are sent, say why; admin uses the same one."""
    for header in ("Location", "X-Login"):
        place = response.headers.get(header, "")
        for login in (reverse("login"), reverse("admin:login")):
            if place.partition("?")[0] == login:
                asked = place.partition("?")[2]
                ended = urlencode({"ended": "idle"})
                response[header] = f"{reverse('login')}?{asked}{'&' if asked else ''}{ended}"
    return response

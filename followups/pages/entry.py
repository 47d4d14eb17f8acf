"""Code shared by the due-task pages: access control, and responses with a part of a page."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Concatenate, ParamSpec, cast
from urllib.parse import urlencode

from django.contrib.auth.decorators import login_required, permission_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache

from followups.forms import QueueForm
from governance.accounts.rules import by_user
from governance.core.actors import Actor
from governance.core.request_values import correlation_id_of
from governance.golive.banner import banner_of

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponseBase]
SEE = "followups.view_followuptask"
# the page's script swaps these in whatever the status; another page's error is not one of its parts
PART = "X-Part"


def is_part(request: HttpRequest) -> bool:
    """Return whether the page's script requests a part, not the browser a page."""
    htmx = getattr(request, "htmx", None)
    return htmx is not None and bool(htmx) and not htmx.history_restore_request


def current_url(request: HttpRequest) -> str:
    """Return the path of the browser's current page, for coming back to it."""
    path = request.htmx.current_url_abs_path if is_part(request) else None  # type: ignore[attr-defined]  # django-htmx
    if path and url_has_allowed_host_and_scheme(path, allowed_hosts=None):
        return str(path)
    return request.get_full_path() if request.method == "GET" else reverse("followups:due")


def needs(right: str) -> Callable[[View[P]], View[P]]:
    """Let in signed-in users with the permission: others sign in, or see that they may not.

    A request for a part is answered 401 with the link for signing in and coming back, for its script to
    offer.
    """

    def decorate(view: View[P]) -> View[P]:
        guarded: View[P] = login_required(permission_required(right, raise_exception=True)(never_cache(view)))

        @wraps(view)
        def let_in(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            if is_part(request) and not request.user.is_authenticated:
                answer = HttpResponse(status=401)
                answer["X-Login"] = f"{reverse('login')}?{urlencode({'next': current_url(request)})}"
                return answer
            return guarded(request, *args, **kwargs)

        return cast(View[P], let_in)

    return decorate


def posted(view: View[[int]]) -> View[[int]]:
    """Answer anything but a POST with the task's page: after signing in again the browser returns by GET."""

    @wraps(view)
    def answer(request: HttpRequest, pk: int) -> HttpResponseBase:
        return view(request, pk) if request.method == "POST" else to_task(request, pk)

    return answer


def who(request: HttpRequest) -> Actor:
    return by_user(request.user, correlation_id=correlation_id_of(request))


def chosen_of(request: HttpRequest) -> dict[str, str]:
    """Return the list's filters."""
    known = QueueForm.base_fields.keys() & request.GET.keys()
    return QueueForm(request.GET).chosen() if known else {}


def queue_of(request: HttpRequest) -> str:
    """Return the list's filters as the query string for every link and form."""
    chosen = chosen_of(request)
    return f"?{urlencode(chosen)}" if chosen else ""


def page_of(request: HttpRequest) -> int:
    number = request.GET.get("page", "")
    return max(1, int(number)) if re.fullmatch(r"[0-9]{1,4}", number, re.ASCII) else 1


def task_named(text: str) -> int | None:
    """Return the task whose id a page sends along, None if the id is invalid."""
    return int(text) if re.fullmatch(r"[0-9]{1,19}", text, re.ASCII) and int(text) < 2**63 else None


def to_list(request: HttpRequest, **more: object) -> HttpResponseRedirect:
    asked = urlencode({**chosen_of(request), **more})
    return HttpResponseRedirect(reverse("followups:due") + (f"?{asked}" if asked else ""))


def to_task(request: HttpRequest, pk: int) -> HttpResponseRedirect:
    return HttpResponseRedirect(reverse("followups:task", args=[pk]) + queue_of(request))


def stopped(request: HttpRequest) -> str:
    """Return why nobody may be contacted now: the switches' sentence, blank while everything is live."""
    banner = banner_of(request)
    return banner.sentence if banner is not None and banner.stops else ""


def part(
    request: HttpRequest, template: str, context: Mapping[str, object], *, status: int = 200, url: str = ""
) -> HttpResponse:
    """Return a part of a page; `url` becomes the page's URL."""
    answer = render(request, template, dict(context), status=status)
    answer[PART] = "1"
    if url:
        answer["HX-Push-Url"] = url
    return answer

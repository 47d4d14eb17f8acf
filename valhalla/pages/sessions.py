"""Where somebody is signed in: each of their sessions, and ending the others."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from governance.accounts.sessions import SIGN_IN
from governance.accounts.sign_ins import end_others, end_sessions, signed_in
from governance.accounts.wording import ago, device_in_words
from governance.core.admin.base import by_of

MOST_SHOWN = 50


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@login_required
def sessions(request: HttpRequest) -> HttpResponse:
    """Show the user's own open sessions; a POST ends one (`end`, its id) or all others (`others`)."""
    by, at, this = by_of(request), timezone.now(), request.session.get(SIGN_IN, 0)
    if request.method == "POST":
        chosen = request.POST.get("end", "")
        if chosen.isascii() and chosen.isdecimal() and len(chosen) < 19:
            own = signed_in(at).filter(user=by.user_id, pk=int(chosen)).values_list("pk", flat=True)
            ended = len(end_sessions(list(own), by=by, at=at))
        else:
            ended = len(end_others(this, by=by, at=at)) if "others" in request.POST else 0
        text = ngettext("%(count)s session ended.", "%(count)s sessions ended.", ended)
        messages.success(request, text % {"count": ended})
        return redirect("sessions")
    rows: list[dict[str, object]] = [
        {
            "row": row,
            "device": device_in_words(row.browser, row.system),
            "this": row.pk == this,
            "began": ago(row.started_at),
            "seen": ago(row.seen_at),
        }
        for row in signed_in(at).filter(user=by.user_id).order_by("-seen_at", "-pk")[:MOST_SHOWN]
    ]
    return render(request, "registration/sessions.html", {"rows": rows, "others": len(rows) > 1})

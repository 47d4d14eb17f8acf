"""The kill switch for closers, who have no admin: its state, a reason, and one click."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache

from governance.accounts.rules import by_user
from governance.core.request_values import correlation_id_of
from governance.golive.services import ENGAGE, set_kill_switch, state

REASON_LENGTH = 500


class WhyForm(forms.Form):
    """The reason for stopping everything."""

    reason = forms.CharField(
        label=gettext_lazy("Reason"), max_length=REASON_LENGTH, widget=forms.Textarea(attrs={"rows": 2})
    )


@login_required
@permission_required(ENGAGE, raise_exception=True)
@never_cache
def switches(request: HttpRequest) -> HttpResponse:
    """Show the kill switch and engage it; only managers release it, in admin."""
    form = WhyForm(request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        by = by_user(request.user, correlation_id=correlation_id_of(request))
        set_kill_switch(True, by=by, at=timezone.now(), reason=form.cleaned_data["reason"])
        messages.success(request, _("The kill switch is engaged."))
        return redirect("golive:switches")
    return render(request, "golive/switches.html", {"form": form, "state": state()})

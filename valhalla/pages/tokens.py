"""The tokens that people issue to themselves: list, issue and revoke."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from governance.accounts.proof import LONGEST_PASSWORD, NOT_PROVED, proofs_of, prove
from governance.accounts.querysets import own_tokens
from governance.accounts.rules import AREAS, PERSONAL, READ
from governance.accounts.services import ISSUE_OWN, LABEL_LENGTH, MAX_DAYS, issue_token, revoke_token
from governance.core.admin.base import by_of
from governance.core.errors import Refused, Unavailable
from governance.models import ApiToken

MOST_SHOWN = 50
PARTS = (
    ("governance", _("Governance")),
    ("followups", _("Follow-ups")),
    ("buyers", _("Buyers")),
    ("offers", _("Offers")),
)


class OwnTokenForm(forms.Form):
    """A token's label and options, and the proof of identity."""

    label = forms.CharField(label=_("Label"), max_length=LABEL_LENGTH)
    days = forms.IntegerField(label=_("Days"), min_value=1, max_value=MAX_DAYS, initial=MAX_DAYS)
    scopes = forms.MultipleChoiceField(
        label=_("Parts of the API"), choices=PARTS, required=False, widget=forms.CheckboxSelectMultiple
    )
    reads_only = forms.BooleanField(required=False)
    personal = forms.BooleanField(required=False)
    proof = forms.CharField(max_length=LONGEST_PASSWORD, strip=False, required=False)
    passkey = forms.CharField(strip=False, required=False)


def _shown(rows: Iterable[ApiToken]) -> list[dict[str, object]]:
    """Return the tokens for the page, with the parts of the API as the form names them."""
    names: dict[str, object] = dict(PARTS)
    names |= {name + READ: gettext("%(part)s (read only)") % {"part": label} for name, label in PARTS}
    return [
        {
            "label": token.label,
            "short_id": token.short_id,
            "expiry": token.expiry,
            "last_used_at": token.last_used_at,
            "parts": [str(names.get(scope, scope)) for scope in token.scopes if scope != PERSONAL],
            "personal": PERSONAL in token.scopes,
        }
        for token in rows
    ]


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@sensitive_post_parameters("proof", "passkey")
@login_required
def tokens(request: HttpRequest) -> HttpResponse:
    """Show the user's own tokens; a POST revokes one (`revoke`, its id) or issues another, shown once."""
    user: Any = request.user
    if not user.has_perm(ISSUE_OWN):
        raise PermissionDenied
    by, at = by_of(request), timezone.now()
    context: dict[str, Any] = {**proofs_of(request), "most_days": MAX_DAYS}
    form = OwnTokenForm(request.POST if {"issue", "passkey"} & set(request.POST) else None)
    if "revoke" in request.POST:
        own = {token.short_id: token for token in own_tokens(user.pk, at)[:MOST_SHOWN]}
        token = own.get(request.POST["revoke"])
        if token is not None and revoke_token(token, by=by, at=at):
            messages.success(request, gettext("Token revoked."))
        return redirect("tokens")
    status = 200
    if form.is_valid():
        given = form.cleaned_data
        scopes = given["scopes"]
        if given["reads_only"]:
            scopes = [part + READ for part in scopes or AREAS]
        scopes += [PERSONAL] if given["personal"] else []
        try:
            prove(request, user, given["proof"], given["passkey"])
            issued = issue_token(
                user.username, by=by, at=at, scopes=scopes, days=given["days"], label=given["label"]
            )
        except Refused as refusal:
            away = isinstance(refusal, Unavailable)
            form.add_error("proof" if away or refusal.code in NOT_PROVED else None, str(refusal))
            status = refusal.status if away else status
        else:
            return render(request, "registration/token.html", {"issued": issued})
    return render(
        request,
        "registration/tokens.html",
        {**context, "form": form, "rows": _shown(own_tokens(user.pk, at)[:MOST_SHOWN])},
        status=status,
    )


assert {name for name, _label in PARTS} == set(AREAS), "every part of the API can be chosen"

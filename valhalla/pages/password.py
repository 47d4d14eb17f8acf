"""The page for changing one's password, the links for setting one, and the page that uses such a link."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth import authenticate, update_session_auth_hash
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from governance.accounts.passwords import Link, create_link, person_of_link, set_own_password, use_link
from governance.accounts.proof import LONGEST_PASSWORD
from governance.accounts.rules import by_user
from governance.accounts.second_step import OWES_PASSWORD
from governance.core.admin.base import by_of
from governance.core.errors import Invalid, Refused
from governance.core.moments import moment_in_words
from governance.core.request_values import correlation_id_of
from governance.models import User
from governance.outbox.models import PASSWORD_LINK
from governance.outbox.services import post_message
from valhalla.pages.second_factor import next_page

page = require_http_methods(["GET", "HEAD", "POST"])


class NewPasswordForm(forms.Form):
    """A new password, typed twice."""

    new = forms.CharField(max_length=LONGEST_PASSWORD, strip=False)
    again = forms.CharField(max_length=LONGEST_PASSWORD, strip=False)

    def clean_again(self) -> str:
        again = str(self.cleaned_data["again"])
        if "new" in self.cleaned_data and again != self.cleaned_data["new"]:
            raise forms.ValidationError(_("The two new passwords differ. Type them again."))
        return again


class OwnPasswordForm(NewPasswordForm):
    """A new password, with the old one as proof of identity."""

    old = forms.CharField(max_length=LONGEST_PASSWORD, strip=False)


def _tell(form: forms.Form, refusal: Refused) -> None:
    told = refusal.errors.get("new") if isinstance(refusal, Invalid) else None
    form.add_error("new" if told else None, [str(one) for one in told] if told else str(refusal))


@page
@never_cache
@sensitive_post_parameters("old", "new", "again")
def own_password(request: HttpRequest) -> HttpResponse:
    """Let people change their own password; those who got one from somebody else must do so first."""
    owes = OWES_PASSWORD.of(request)
    user: Any = owes or request.user
    if not user.is_authenticated:
        return redirect_to_login(request.get_full_path())
    form = OwnPasswordForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        given = form.cleaned_data
        proved = authenticate(request, username=user.get_username(), password=given["old"])
        if proved is None or proved.pk != user.pk:
            form.add_error("old", gettext("This is not your password."))
        else:
            by = by_user(user, correlation_id=correlation_id_of(request))
            try:
                changed = set_own_password(user.pk, given["new"], by=by, at=timezone.now())
            except Refused as refusal:
                _tell(form, refusal)
            else:
                request.user = user
                update_session_auth_hash(request, changed)
                messages.success(request, gettext("Password changed. Your other sessions were ended."))
                return redirect(next_page(request))
    context = {"form": form, "owes": owes is not None, "next": next_page(request)}
    return render(request, "registration/password.html", context)


@page
@never_cache
@sensitive_post_parameters("new", "again", "link")
def use_password_link(request: HttpRequest) -> HttpResponse:
    """Let the holder of a link set the password of the person it was created for, once."""
    text = (request.POST if request.method == "POST" else request.GET).get("link", "")[:100]
    user = person_of_link(text)
    if user is None:
        return render(request, "registration/password_link_ended.html", status=410)
    form = NewPasswordForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        correlation_id = correlation_id_of(request)
        try:
            use_link(text, form.cleaned_data["new"], correlation_id=correlation_id, at=timezone.now())
        except Refused as refusal:
            _tell(form, refusal)
        else:
            messages.success(request, gettext("Password set. Sign in with it now."))
            return redirect("login")
    return render(request, "registration/password_new.html", {"form": form, "link": text, "person": user})


def link_path(link: Link) -> str:
    """Return the path of a link; the secret is in the query string, which the proxy's log leaves out."""
    return f"{reverse('use_password_link')}?{urlencode({'link': link.text})}"


@page
@never_cache
@login_required
def password_link(request: HttpRequest, pk: int) -> HttpResponse:
    """Create a link for setting a password: shown here once, or e-mailed to the person."""
    if not request.user.has_perm(create_link.right):
        raise PermissionDenied
    user = User.objects.filter(pk=pk).first() if pk < 2**63 else None
    if user is None:
        raise Http404
    context: dict[str, Any] = {
        **admin.site.each_context(request),
        "opts": User._meta,
        "person": user,
        "title": gettext("Password link for %(name)s") % {"name": user.username},
    }
    if request.method == "POST":
        at, by = timezone.now(), by_of(request)
        try:
            link = create_link(user.username, by=by, at=at)
        except Refused as refusal:
            context["refusal"] = str(refusal)
            return render(request, "admin/password_link.html", context, status=refusal.status)
        address = request.build_absolute_uri(link_path(link))
        if "mail" not in request.POST or not user.email:
            context |= {"address": address, "ends": link.ends_at}
            return render(request, "admin/password_link.html", context)
        post_message(
            PASSWORD_LINK,
            user.email,
            gettext("Your Valhalla password"),
            _mail(user, address, link),
            once=f"{PASSWORD_LINK} {by.correlation_id} {user.pk}",
            at=at,
            correlation_id=by.correlation_id,
        )
        messages.success(request, gettext("The link is on its way to %(to)s.") % {"to": user.email})
        return redirect("admin:governance_user_change", user.pk)
    return render(request, "admin/password_link.html", context)


def _mail(user: User, address: str, link: Link) -> str:
    text = gettext(
        "Set your password for Valhalla (username: %(name)s) with this link. It works once, until "
        "%(end)s:\n\n%(address)s\n\n"
        "If you did not expect this, tell a manager."
    )
    return text % {"name": user.username, "end": moment_in_words(link.ends_at), "address": address}

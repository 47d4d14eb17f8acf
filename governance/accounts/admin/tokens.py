"""The admin class for tokens of service clients and people."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Model, QuerySet
from django.forms import BaseForm
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminIntegerFieldWidget,
)

from governance.accounts.admin.common import FindsPerson, ask
from governance.accounts.models import ApiToken
from governance.accounts.querysets import service_clients
from governance.accounts.rules import SCOPES
from governance.accounts.services import (
    MAX_DAYS,
    MOST_AT_ONCE,
    Issued,
    issue_token,
    revoke_token,
)
from governance.accounts.wording import ago
from governance.core.admin.base import (
    RowForm,
    ServiceAdmin,
    WhyForm,
    by_of,
)
from governance.core.admin.display import column
from governance.core.request_values import RequestValue


class TokenForm(RowForm):
    """A new token's label and options."""

    scopes = forms.MultipleChoiceField(
        label=_("Scopes"),
        choices=[(scope, scope) for scope in SCOPES],
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text=_(
            "policy: a service client may also change policies. personal: an MCP client sees names and "
            "numbers instead of masked ones. The other scopes limit it to those parts."
        ),
    )
    days = forms.IntegerField(
        label=_("Days"),
        min_value=1,
        max_value=MAX_DAYS,
        initial=MAX_DAYS,
        widget=UnfoldAdminIntegerFieldWidget,
    )

    class Meta:
        model = ApiToken
        fields = ("user", "label", "scopes", "calls_per_minute")


ISSUED: RequestValue[Issued] = RequestValue("issued")  # from serve to response_add


@admin.register(ApiToken)
class ApiTokenAdmin(FindsPerson, ServiceAdmin):
    """Tokens. Managers issue those of service clients; the secret is shown once, right after that."""

    form = TokenForm
    list_display = (
        "label", "person", "short_id", "scopes_told", "calls_per_minute", "issued", "issuer_display", "ends",
        "last_used", "revoked_at", "revoked_by", "revoke_reason",
    )  # fmt: skip
    list_display_links = None
    list_filter = (("revoked_at", admin.EmptyFieldListFilter), "expiry", "last_used_at")
    list_select_related = ("user",)
    search_fields = ("label", "user__username")
    search_help_text = _("Label, or username of the person")
    ordering = ("-created",)
    actions = ("revoke",)
    fieldsets = (
        (
            None,
            {
                "fields": ("user", "label", "scopes", "days", "calls_per_minute"),
                "description": _(
                    "For a service client. To replace a token, issue the new one first, put it in place, "
                    "then revoke the old one. People issue their own tokens, on the page Your tokens."
                ),
            },
        ),
    )

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return obj is None and super().has_change_permission(request, obj)

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, object],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Model | None = None,
    ) -> HttpResponse:
        # saving leads only to the page that shows the secret once
        context |= {"show_save_and_add_another": False, "show_save_and_continue": False}
        return super().render_change_form(request, context, add, change, form_url, obj)

    def get_fieldsets(self, request: HttpRequest, obj: object = None) -> Any:
        if obj is None:
            return super().get_fieldsets(request, obj)
        fields = (
            "person",
            "label",
            "short_id",
            "calls_per_minute",
            "issued",
            "issuer_display",
            "ends",
            "last_used",
            "revoked_at",
            "revoked_by",
            "revoke_reason",
        )
        return ((None, {"fields": fields}),)

    def serve(self, request: HttpRequest, obj: ApiToken, form: BaseForm, change: bool) -> ApiToken:
        issued = issue_token(
            obj.user.username,
            by=by_of(request),
            at=timezone.now(),
            scopes=form.cleaned_data["scopes"],
            days=form.cleaned_data["days"],
            label=obj.label,
            calls_per_minute=obj.calls_per_minute,
        )
        ISSUED.put(request, issued)
        return issued.token

    def response_add(
        self, request: HttpRequest, obj: object, post_url_continue: object = None
    ) -> HttpResponse:
        issued = ISSUED.required(request)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Token issued"),
            "text": issued.text,
            "token": issued.token,
        }
        response = TemplateResponse(request, "admin/governance/apitoken/issued.html", context)
        response["Cache-Control"] = "no-store"
        return response

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: object) -> Any:
        if db_field.name == "user":
            kwargs["queryset"] = service_clients()
            field = super().formfield_for_foreignkey(db_field, request, **kwargs)
            field.label = _("Service client")
            return field
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    @action(description=_("Revoke selected tokens"), permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        form = WhyForm(request.POST if "apply" in request.POST else None)
        tokens = list(queryset.order_by("pk")[:MOST_AT_ONCE])
        if not form.is_valid():
            says = [gettext("These tokens stop working at once. This cannot be undone.")]
            return ask(self, request, form, "revoke", tokens, [str(token) for token in tokens], says)
        by, at, reason = by_of(request), timezone.now(), form.cleaned_data["reason"]
        ended = sum(revoke_token(token, by=by, at=at, reason=reason) for token in tokens)
        text = ngettext("%(count)s token revoked.", "%(count)s tokens revoked.", ended)
        self.message_user(request, text % {"count": ended})
        return None

    person = column(_("person"), "user", ordering="user__username")
    issued = column(_("issued"), "created", ordering="created")
    ends = column(_("ends"), "expiry", ordering="expiry")

    @admin.display(description=_("last used"), ordering="last_used_at")
    def last_used(self, token: ApiToken) -> str:
        return gettext("never") if token.last_used_at is None else ago(token.last_used_at)

    short_id = column(_("token id"), "short_id", ordering="digest")

    @admin.display(description=_("issued by"), ordering="issued_by")
    def issuer_display(self, token: ApiToken) -> str:
        return token.issued_by or gettext("not recorded")

    scopes_told = column(_("scopes"), lambda token: ", ".join(token.scopes) or "–")

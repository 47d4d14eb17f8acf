"""The admin class for sessions."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action

from governance.accounts.admin.common import ask
from governance.accounts.models import SignIn
from governance.accounts.services import (
    MOST_AT_ONCE,
)
from governance.accounts.sign_ins import end_everything, end_sessions, signed_in
from governance.accounts.wording import ago, device_in_words
from governance.core.admin.base import (
    ReadOnlyAdmin,
    WhyForm,
    by_of,
)
from governance.core.admin.display import column
from governance.core.admin.filters import Choices


class StateFilter(admin.SimpleListFilter):
    """Filters sessions by state; shows open ones by default."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: object) -> Choices:
        return [("ended", _("ended")), ("all", _("all"))]

    def choices(self, changelist: Any) -> Any:
        first, *others = super().choices(changelist)
        return [{**first, "display": _("signed in")}, *others]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Model]) -> QuerySet[Model]:
        if self.value() == "all":
            return queryset
        now = signed_in(timezone.now()).values("pk")
        return queryset.exclude(pk__in=now) if self.value() == "ended" else queryset.filter(pk__in=now)


@admin.register(SignIn)
class SignInAdmin(ReadOnlyAdmin):
    """Sessions, with address and device. The next request of an ended session goes to the sign-in page."""

    list_display = ("user", "role", "device", "address", "started_at", "last_seen", "code_given", "state")
    list_filter = (StateFilter, "user__role", "second_factor")
    list_select_related = ("user",)
    search_fields = ("user__username", "address")
    search_help_text = _("Username or address")
    ordering = ("-seen_at",)
    actions = ["end", "end_everything"]  # type: ignore[assignment]  # the base has none
    fields = (
        "user", "role", "device", "address", "started_at", "seen_at", "code_given", "ended_at",
        "ended_because", "ended_by", "end_reason",
    )  # fmt: skip
    readonly_fields = ("role", "device", "code_given")

    def has_end_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(end_everything.right)

    @action(description=_("End these sessions"), permissions=["end"])
    def end(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        rows = list(queryset.filter(ended_at=None).order_by("user__username", "pk")[:MOST_AT_ONCE])
        told = [f"{row.user.username} · {device_in_words(row.browser, row.system)}" for row in rows]
        return self._ask_and_end(request, "end", rows, told)

    @action(description=_("End all sessions of these people"), permissions=["end"])
    def end_everything(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        rows = list(queryset.order_by("user__username", "pk")[:MOST_AT_ONCE])
        return self._ask_and_end(
            request, "end_everything", rows, list(dict.fromkeys(row.user.username for row in rows))
        )

    def _ask_and_end(
        self, request: HttpRequest, name: str, rows: list[SignIn], told: list[str]
    ) -> HttpResponse | None:
        form = WhyForm(request.POST if "apply" in request.POST else None)
        if not form.is_valid():
            says = [
                gettext(
                    "Their next request leads to the sign-in page. Anybody who knows the password can "
                    "sign in again: to keep somebody out, change the password or deactivate the "
                    "person."
                )
            ]
            return ask(self, request, form, name, rows, told, says)
        by, at, reason = by_of(request), timezone.now(), form.cleaned_data["reason"]
        if name == "end":
            ended = end_sessions([row.pk for row in rows], by=by, at=at, reason=reason)
        else:
            ended = end_everything([row.user_id for row in rows], by=by, at=at, reason=reason)
        for user in {row.user_id: row.user for row in ended}.values():
            self.log_change(request, user, gettext("Sessions ended: %(why)s") % {"why": reason})
        text = ngettext("%(count)s session ended.", "%(count)s sessions ended.", len(ended))
        messages.success(request, text % {"count": len(ended)})
        return None

    role = column(_("role"), "user.get_role_display", ordering="user__role")
    device = column(_("device"), lambda row: device_in_words(row.browser, row.system))

    @admin.display(description=_("with a second factor"), ordering="second_factor")
    def code_given(self, row: SignIn) -> str:
        return gettext("yes") if row.second_factor else gettext("no")

    last_seen = column(_("last seen"), lambda row: ago(row.seen_at), ordering="seen_at")

    @admin.display(description=_("state"))
    def state(self, row: SignIn) -> str:
        if row.ended_at is None:
            return gettext("open")
        told = [row.get_ended_because_display(), row.ended_by, row.end_reason]
        return " · ".join(text for text in told if text)

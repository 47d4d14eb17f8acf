"""The admin page of the two switches."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from governance.core.actors import Actor
from governance.core.admin.base import SHOWS_HISTORY, HistoryAdmin, by_of, reason_field
from governance.core.errors import Refused
from governance.core.reasons import LEAST, too_short
from governance.golive.models import GoLiveState
from governance.golive.services import ENGAGE, SWITCH, checklist, set_go_live, set_kill_switch, state

REASON_LENGTH = 500
Turn = Callable[[Actor, datetime, str], GoLiveState]
# button -> its permission, its service, and the message afterwards
TURNS: dict[str, tuple[str, Turn, object]] = {
    "engage": (
        ENGAGE,
        lambda by, at, reason: set_kill_switch(True, by=by, at=at, reason=reason),
        gettext_lazy("The kill switch is engaged."),
    ),
    "release": (
        SWITCH,
        lambda by, at, reason: set_kill_switch(False, by=by, at=at, reason=reason),
        gettext_lazy("The kill switch is released."),
    ),
    "enable": (
        set_go_live.right,
        lambda by, at, reason: set_go_live(True, by=by, at=at, reason=reason),
        gettext_lazy("Go-live is on."),
    ),
    "disable": (
        set_go_live.right,
        lambda by, at, reason: set_go_live(False, by=by, at=at, reason=reason),
        gettext_lazy("Go-live is off."),
    ),
}


def _why(help_text: object) -> forms.CharField:
    return reason_field(gettext_lazy("Reason"), REASON_LENGTH, help_text, required=False)


class TurnForm(forms.Form):
    """The switch to change, and the reason."""

    turn = forms.ChoiceField(choices=[(name, name) for name in TURNS])
    change_reason = _why(gettext_lazy("Stored with the change and shown to everybody while it is in force."))
    release_reason = _why(
        gettext_lazy(
            "At least 10 characters: what was wrong, and why it is safe to continue. Stored with the change."
        )
    )

    @property
    def reason(self) -> str:
        return str(self.cleaned_data["release_reason" if self._releases() else "change_reason"])

    def _releases(self) -> bool:
        return self.cleaned_data.get("turn") == "release"

    def clean(self) -> Any:
        data = super().clean() or self.cleaned_data
        name = "release_reason" if self._releases() else "change_reason"
        if name in data and not data[name]:
            self.add_error(name, self.fields[name].error_messages["required"])
        elif self._releases() and name in data and len(data[name]) < LEAST:
            self.add_error(name, too_short())
        return data


@admin.register(GoLiveState)
class GoLiveStateAdmin(HistoryAdmin):
    """The page of the two switches."""

    history_list_display = ("go_live_enabled", "kill_switch_engaged", "changed_by")
    fieldsets = (
        (None, {"fields": ("go_live_enabled", "kill_switch_engaged")}),
        (gettext_lazy("Last change"), {"fields": ("changed_by", "reason", "updated_at")}),
    )

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def changelist_view(self, request: HttpRequest, extra_context: object = None) -> HttpResponse:
        """Show the only row."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return redirect("admin:governance_golivestate_change", 1)

    def changeform_view(
        self, request: HttpRequest, object_id: Any = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if SHOWS_HISTORY.of(request):
            return super().changeform_view(request, object_id, form_url, extra_context)
        if not self.has_view_permission(request) or object_id is None:
            raise PermissionDenied
        if request.method != "POST":
            return self._page(request, TurnForm())
        if not self.has_change_permission(request):
            raise PermissionDenied
        return self._turn(request, TurnForm(request.POST))

    def _turn(self, request: HttpRequest, form: TurnForm) -> HttpResponse:
        if not form.is_valid():
            return self._page(request, form)
        _right, turn, done = TURNS[form.cleaned_data["turn"]]
        try:
            turn(by_of(request), timezone.now(), form.reason)
        except Refused as refusal:
            return self._page(request, form, refusal)
        messages.success(request, str(done))
        return HttpResponseRedirect(request.path)

    def _page(self, request: HttpRequest, form: TurnForm, refusal: Refused | None = None) -> HttpResponse:
        by, now = by_of(request), state()
        may = {name for name, (right, _turn, _done) in TURNS.items() if by.may(right)}
        shown = {
            "release" if now.kill_switch_engaged else "engage",
            "disable" if now.go_live_enabled else "enable",
        }
        context = {
            **self.admin_site.each_context(request),
            "title": _("Switches"),
            "opts": self.opts,
            "form": form,
            "refusal": refusal,
            "state": now,
            "buttons": may & shown if self.has_change_permission(request) else set(),
            "lines": sorted(checklist(timezone.now()), key=lambda line: line.ok),
        }
        answer = refusal.status if refusal is not None else 200
        return TemplateResponse(request, "admin/governance/golivestate/switches.html", context, status=answer)

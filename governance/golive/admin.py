"""The two switches on the managers' screens."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from governance.admin_base import HistoryAdmin, ReasonForm, by_of
from governance.golive.models import GoLiveState
from governance.golive.services import set_go_live, set_kill_switch, state


@admin.register(GoLiveState)
class GoLiveStateAdmin(HistoryAdmin):
    """Whether production verbs run at all."""

    form = ReasonForm
    list_display = ("__str__", "go_live_enabled", "kill_switch_engaged", "changed_by", "reason", "updated_at")
    history_list_display = ("go_live_enabled", "kill_switch_engaged", "changed_by")
    readonly_fields = ("changed_by", "reason", "updated_at")
    fieldsets = (
        (
            None,
            {
                "fields": ("go_live_enabled", "kill_switch_engaged"),
                "description": _(
                    "While go-live is off nobody is contacted and nothing is reserved. The kill "
                    "switch also stops "
                    "computing offers. What already happened is always recorded."
                ),
            },
        ),
        (_("Why"), {"fields": ("change_reason",)}),
        (_("Last change"), {"fields": ("changed_by", "reason", "updated_at")}),
    )

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def serve(self, request: HttpRequest, obj: GoLiveState, form: Any, change: bool) -> GoLiveState:
        now, by, at, reason = state(), by_of(request), timezone.now(), form.cleaned_data["change_reason"]
        # the kill switch first: what is engaged and enabled at once must stand still
        if obj.kill_switch_engaged != now.kill_switch_engaged:
            set_kill_switch(obj.kill_switch_engaged, by=by, at=at, reason=reason)
        if obj.go_live_enabled != now.go_live_enabled:
            set_go_live(obj.go_live_enabled, by=by, at=at, reason=reason)
        return obj

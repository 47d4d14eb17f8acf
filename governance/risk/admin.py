"""Caps, which managers edit with a reason, and what is used of them, which nobody edits."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db import models
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from governance.admin_base import HistoryAdmin, ReadOnlyAdmin, VersionForm, by_of
from governance.risk.models import (
    RiskEngine,
    RiskEvent,
    RiskLedgerDay,
    RiskPolicy,
    RiskReservation,
    RiskThrottle,
)
from governance.risk.services import POLICY_FIELDS, upsert_policy


@admin.register(RiskPolicy)
class RiskPolicyAdmin(HistoryAdmin):
    """The caps of each engine; every save is a version with its reason."""

    form = VersionForm
    history_list_display = ("version",)
    list_display = (
        "engine", "enabled", "max_daily_loss", "max_daily_exposure", "max_open_risk", "max_actions_per_day",
        "version", "changed_by", "updated_at",
    )  # fmt: skip
    list_filter = ("enabled", "updated_at")
    ordering = ("engine",)
    readonly_fields = ("version", "changed_by", "reason", "updated_at", "correlation_id")
    fieldsets = (
        (None, {"fields": ("engine", "enabled")}),
        (
            _("Caps"),
            {"fields": ("max_daily_loss", "max_daily_exposure", "max_open_risk", "max_actions_per_day")},
        ),
        (_("Why"), {"fields": ("change_reason", "seen_version")}),
        (_("This version"), {"fields": ("version", "changed_by", "reason", "updated_at", "correlation_id")}),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = super().get_readonly_fields(request, obj)
        # a policy that moved would cap an engine that nobody decided it for
        return (*fields, "engine") if obj is not None else fields

    def serve(self, request: HttpRequest, obj: RiskPolicy, form: Any, change: bool) -> models.Model:
        return upsert_policy(
            obj.engine,
            {name: getattr(obj, name) for name in POLICY_FIELDS},
            reason=form.cleaned_data["change_reason"],
            expected_version=form.cleaned_data["seen_version"] if change else 0,
            by=by_of(request),
            at=timezone.now(),
        )


@admin.register(RiskEngine)
class RiskEngineAdmin(ReadOnlyAdmin):
    """What is reserved now, of all days."""

    list_display = ("engine", "open_risk", "open_cap")
    ordering = ("engine",)
    fields = ("engine", "open_risk", "open_cap")


@admin.register(RiskLedgerDay)
class RiskLedgerDayAdmin(ReadOnlyAdmin):
    """What each engine used in each UTC day, with the caps of that day."""

    list_display = (
        "day", "engine", "realized_loss", "loss_cap", "exposure", "exposure_cap", "actions", "actions_cap",
    )  # fmt: skip
    list_filter = ("engine", "day")
    ordering = ("-day", "engine")
    show_full_result_count = False
    fields = list_display


@admin.register(RiskReservation)
class RiskReservationAdmin(ReadOnlyAdmin):
    """Every reservation and how it ended."""

    list_display = (
        "id", "created_at", "engine", "amount", "state", "realized_loss", "day", "purpose", "closed_at",
        "close_code", "actor",
    )  # fmt: skip
    list_filter = ("state", "engine", "day")
    search_fields = ("purpose__startswith", "correlation_id__startswith", "actor__startswith")
    search_help_text = _("Purpose, correlation id or person, from the beginning")
    ordering = ("-id",)
    show_full_result_count = False
    fields = (
        "created_at", "engine", "amount", "state", "realized_loss", "day", "purpose", "closed_at",
        "closed_by", "close_code", "actor", "acting_for", "correlation_id",
    )  # fmt: skip


@admin.register(RiskThrottle)
class RiskThrottleAdmin(ReadOnlyAdmin):
    """What holds or held engines back; the tripwire's own screen releases it."""

    list_display = ("engine", "tripwire", "since", "released_at", "released_by", "reason")
    list_filter = (("released_at", admin.EmptyFieldListFilter), "engine", "since")
    ordering = ("-id",)
    show_full_result_count = False
    fields = (*list_display, "actor", "correlation_id")


@admin.register(RiskEvent)
class RiskEventAdmin(ReadOnlyAdmin):
    """What was reserved, denied, ended and throttled, with what decided it."""

    list_display = (
        "created_at", "kind", "engine", "amount", "realized_loss", "reservation", "code", "purpose",
        "tripwire", "actor",
    )  # fmt: skip
    list_filter = ("kind", "engine", "code", "created_at")
    list_select_related = ("reservation",)
    search_fields = ("purpose__startswith", "correlation_id__startswith", "actor__startswith")
    search_help_text = _("Purpose, correlation id or person, from the beginning")
    ordering = ("-created_at", "-id")
    show_full_result_count = False
    fields = (*list_display, "detail", "acting_for", "correlation_id")

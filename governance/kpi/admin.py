"""KPI events and targets on the managers' screens."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from governance.admin_base import HistoryAdmin, ReadOnlyAdmin, VersionForm, by_of
from governance.admin_filters import by_index
from governance.kpi.models import Figure, KpiEvent, Target
from governance.kpi.targets import set_target
from governance.kpi.wording import figure_in_words, figure_name, metric_in_words, value_in_words


@admin.register(KpiEvent)
class KpiEventAdmin(ReadOnlyAdmin):
    """What happened, whether it went well, and how much."""

    list_display = (
        "created_at",
        "domain",
        "told",
        "success",
        "value_told",
        "actor",
        "acting_for",
        "correlation_id",
    )
    list_filter = (
        by_index("domain", _("domain")), by_index("metric", _("metric"), within="domain"), "success",
        "created_at",
    )  # fmt: skip
    search_fields = ("correlation_id__exact",)
    search_help_text = _("A whole correlation id")
    sortable_by = ("created_at",)
    ordering = ("-created_at", "-pk")
    fields = (
        "created_at",
        "domain",
        "metric",
        "told",
        "success",
        "value_told",
        "detail",
        "actor",
        "acting_for",
        "correlation_id",
    )

    @admin.display(description=_("what"))
    def told(self, event: KpiEvent) -> str:
        return metric_in_words(event)

    @admin.display(description=_("value"))
    def value_told(self, event: KpiEvent) -> str:
        return value_in_words(event)


@admin.register(Target)
class TargetAdmin(HistoryAdmin):
    """What each figure of the boards should reach; every save is a version with its reason."""

    form = VersionForm
    list_display = ("metric", "told", "version", "changed_by", "reason", "updated_at")
    history_list_display = ("comparison", "value", "version")
    readonly_fields = ("metric", "version", "changed_by", "reason", "updated_at")
    ordering = ("id",)
    fieldsets = (
        (None, {"fields": ("metric", "comparison", "value")}),
        (_("Why"), {"fields": ("change_reason", "seen_version")}),
        (_("This version"), {"fields": ("version", "changed_by", "reason", "updated_at")}),
    )

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # a figure is what the boards compute

    def serve(self, request: HttpRequest, obj: Target, form: Any, change: bool) -> Target:
        return set_target(
            obj.metric,
            comparison=obj.comparison,
            value=obj.value,
            by=by_of(request),
            at=timezone.now(),
            reason=form.cleaned_data["change_reason"],
            expected_version=form.cleaned_data["seen_version"],
        )

    @admin.display(description=_("target"))
    def told(self, target: Target) -> str:
        return target.told


@admin.register(Figure)
class FigureAdmin(ReadOnlyAdmin):
    """The board's figures that a job counts."""

    list_display = ("called", "told", "counted_at")
    fields = ("name", "called", "told", "value", "counted_at")
    ordering = ("name",)

    @admin.display(description=_("figure"), ordering="name")
    def called(self, figure: Figure) -> str:
        return figure_name(figure.name)

    @admin.display(description=_("value"))
    def told(self, figure: Figure) -> str:
        return figure_in_words(figure.value)

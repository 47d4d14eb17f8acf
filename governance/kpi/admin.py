"""Admin classes for KPI events, targets and metrics."""

from __future__ import annotations

from django.contrib import admin
from django.forms import BaseForm
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from governance.core.admin.base import HistoryAdmin, ReadOnlyAdmin, VersionForm, by_of
from governance.core.admin.display import column
from governance.core.admin.filters import Counted, by_index, on_board
from governance.kpi.models import Figure, KpiEvent, Target
from governance.kpi.names import CONTACT_COMPLIANCE, CONTRACT_RATE, OFFER_ACCEPT_RATE, Metric, figure_label
from governance.kpi.querysets import RATES_OVER, rated_since
from governance.kpi.targets import set_target
from governance.kpi.wording import figure_in_words, metric_in_words, value_in_words


def _rate(metric: Metric) -> Counted:
    """Return the filter choice for the events in the board's rate of a metric."""
    return (metric.name, metric.label, lambda rows, at: rated_since(rows, *metric.key, at - RATES_OVER))


@admin.register(KpiEvent)
class KpiEventAdmin(ReadOnlyAdmin):
    """KPI events: what happened, whether it succeeded, and its value."""

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
        on_board(_rate(CONTACT_COMPLIANCE), _rate(OFFER_ACCEPT_RATE), _rate(CONTRACT_RATE)),
        by_index("domain", _("domain")),
        by_index("metric", _("metric"), within="domain"),
        "success",
        "created_at",
    )
    search_fields = ("correlation_id__exact",)
    search_help_text = _("Full correlation id")
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
        "token_id",
    )

    told = column(_("what"), metric_in_words)
    value_told = column(_("value"), value_in_words)


@admin.register(Target)
class TargetAdmin(HistoryAdmin):
    """The targets of the board's metrics; every save is a version with its reason."""

    form = VersionForm
    list_display = ("metric", "told", "version", "changed_by", "reason", "updated_at")
    history_list_display = ("comparison", "value", "version")
    readonly_fields = ("metric",)
    ordering = ("id",)
    fieldsets = (
        (None, {"fields": ("metric", "comparison", "value")}),
        (_("Why"), {"fields": ("change_reason", "seen_version")}),
        (_("This version"), {"fields": ("version", "changed_by", "reason", "updated_at")}),
    )

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False  # metrics are what the boards compute

    def serve(self, request: HttpRequest, obj: Target, form: BaseForm, change: bool) -> Target:
        return set_target(
            obj.metric,
            comparison=obj.comparison,
            value=obj.value,
            by=by_of(request),
            at=timezone.now(),
            reason=form.cleaned_data["change_reason"],
            expected_version=form.cleaned_data["seen_version"],
        )

    told = column(_("target"), "told")


@admin.register(Figure)
class FigureAdmin(ReadOnlyAdmin):
    """The board's metrics that a job computes."""

    list_display = ("called", "told", "counted_at")
    fields = ("name", "called", "told", "value", "counted_at")
    ordering = ("name",)

    called = column(_("metric"), lambda figure: figure_label(figure.name), ordering="name")
    told = column(_("value"), lambda figure: figure_in_words(figure.value))

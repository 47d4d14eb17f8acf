"""KPI events on the managers' screens."""

from __future__ import annotations

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from governance.admin_base import ReadOnlyAdmin
from governance.kpi.models import KpiEvent


@admin.register(KpiEvent)
class KpiEventAdmin(ReadOnlyAdmin):
    """What happened, whether it went well, and how much."""

    list_display = (
        "created_at",
        "domain",
        "metric",
        "success",
        "value",
        "actor",
        "acting_for",
        "correlation_id",
    )
    list_filter = ("domain", "metric", "success", "created_at")
    search_fields = ("correlation_id__startswith", "actor__startswith", "metric__startswith")
    search_help_text = _("Correlation id, person or metric, from the beginning")
    ordering = ("-created_at", "-pk")
    show_full_result_count = False
    fields = (
        "created_at",
        "domain",
        "metric",
        "success",
        "value",
        "detail",
        "actor",
        "acting_for",
        "correlation_id",
    )

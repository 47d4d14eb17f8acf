"""Each lead's way through a template."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from followups.admin.acts import ActsWithReason, OwnerFilter, of_leads
from followups.models import Ladder


@admin.register(Ladder)
class LadderAdmin(ActsWithReason):
    """Each lead's way through a template."""

    list_display = (
        "id",
        "lead_id_text",
        "province",
        "status",
        "owner",
        "template_version",
        "started_at",
        "ended_at",
        "stop_reason",
    )
    list_filter = ("status", "lead__province", OwnerFilter, "started_at")
    list_select_related = ("lead",)
    search_fields = ("lead__external_id",)
    search_help_text = _("Lead id, from the beginning")
    sortable_by = ("started_at",)
    ordering = ("-started_at", "-id")
    actions = ["stop"]
    fields = (
        "lead_id_text",
        "template",
        "template_version",
        "status",
        "owner",
        "started_at",
        "ended_at",
        "stop_reason",
        "steps_shown",
        "actor",
        "acting_for",
        "correlation_id",
    )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        return of_leads(queryset, search_term), False

    @admin.display(description=_("lead"), ordering="lead__external_id")
    def lead_id_text(self, ladder: Ladder) -> str:
        return ladder.lead.external_id

    @admin.display(description=_("province"), ordering="lead__province")
    def province(self, ladder: Ladder) -> str:
        return ladder.lead.province

    @admin.display(description=_("steps"))
    def steps_shown(self, ladder: Ladder) -> str:
        text = json.dumps(ladder.steps, indent=2, ensure_ascii=False)
        return format_html('<pre class="font-mono text-sm whitespace-pre-wrap">{}</pre>', text)

    def has_stop_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("followups.stop_ladder"))

    @admin.action(description=_("Stop"), permissions=["stop"])
    def stop(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        ids = queryset.order_by("pk").values_list("pk", flat=True)
        return self.stop_ladders(request, queryset, ids, _("Stop ladders"))

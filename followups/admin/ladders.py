"""Each lead's way through a template."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from followups import services
from followups.admin.acts import ActsWithReason, OwnerFilter, WhyForm
from followups.models import Ladder
from governance.admin_base import by_of
from governance.errors import Refused


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
    search_fields = ("lead__external_id__startswith", "owner__startswith", "correlation_id__startswith")
    search_help_text = _("Lead id, owner or correlation id, from the beginning")
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
        form = WhyForm(request.POST if "apply" in request.POST else None)
        if not form.is_valid():
            return self.ask(request, queryset, form, "stop", _("Stop ladders"), 100)
        by, at, stopped = by_of(request), timezone.now(), 0
        for pk in queryset.order_by("pk").values_list("pk", flat=True)[:100]:
            try:
                services.stop_ladder(pk, by=by, at=at, reason=form.cleaned_data["reason"])
            except Refused as refusal:
                messages.warning(request, f"{pk}: {refusal}")
            else:
                stopped += 1
        text = ngettext("%(count)s ladder was stopped.", "%(count)s ladders were stopped.", stopped)
        messages.success(request, text % {"count": stopped})
        return None

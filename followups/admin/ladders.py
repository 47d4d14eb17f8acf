"""Each lead's ladder."""

from __future__ import annotations

from typing import ClassVar

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from followups import services
from followups.admin.acts import ActsWithReason, OwnerFilter, of_leads
from followups.models import Ladder
from followups.rules import Step, read_steps
from followups.steps import steps_in_words, time_line
from followups.wording import why_ended
from governance.core.admin.display import column
from governance.core.admin.filters import Choices


def _steps(ladder: Ladder) -> tuple[Step, ...]:
    return read_steps(ladder.steps) if ladder.steps else ()


class DoubledFilter(admin.SimpleListFilter):
    """Ladders that follow up the same person at the same time; they started before ladders waited."""

    title = _("same person")
    parameter_name = "doubled"

    def lookups(self, request: HttpRequest, model_admin: object) -> Choices:
        return [("yes", _("followed up twice at once"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Model]) -> QuerySet[Model]:
        return queryset.filter(pk__in=services.doubled_ladders()) if self.value() == "yes" else queryset


@admin.register(Ladder)
class LadderAdmin(ActsWithReason):
    """Each lead's ladder."""

    list_display = (
        "id",
        "lead_id_text",
        "province",
        "status",
        "nurture",
        "owner",
        "template_version",
        "started_at",
        "ended_at",
        "why_ended",
    )
    list_filter = ("status", "nurture", DoubledFilter, "lead__province", OwnerFilter, "started_at")
    list_select_related = ("lead",)
    search_fields = ("lead__external_id",)
    search_help_text = _("Lead id (starts with)")
    sortable_by = ("started_at",)
    ordering = ("-started_at", "-id")
    actions = ["stop"]
    fields = (
        "lead_id_text",
        "template",
        "template_version",
        "nurture",
        "status",
        "owner",
        "started_at",
        "ended_at",
        "why_ended",
        "line",
        "steps_shown",
        "actor",
        "acting_for",
        "correlation_id",
    )

    class Media:
        css: ClassVar[dict[str, object]] = {"all": ["policies.css"]}  # the timeline

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Model], search_term: str
    ) -> tuple[QuerySet[Model], bool]:
        return of_leads(queryset, search_term), False

    lead_id_text = column(_("lead"), "lead.external_id", ordering="lead__external_id")
    province = column(_("province"), "lead.get_province_display", ordering="lead__province")
    steps_shown = column(_("steps"), lambda ladder: steps_in_words(_steps(ladder)))
    line = column(_("timeline"), lambda ladder: time_line(_steps(ladder)))
    why_ended = column(_("why it ended"), lambda ladder: why_ended(ladder.stop_reason))

    def has_stop_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm(services.stop_ladder.right))

    @admin.action(description=_("Stop"), permissions=["stop"])
    def stop(self, request: HttpRequest, queryset: QuerySet[Model]) -> HttpResponse | None:
        ids = queryset.order_by("pk").values_list("pk", flat=True)
        return self.stop_ladders(request, queryset, ids, _("Stop ladders"))

"""Admin classes for corrections, inbound contacts, look-ups and daily SLA figures."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from followups.models import InboundContact, LookupEvent, RealignRequest, SlaSnapshot, TaskCorrection
from followups.services.lookup_bursts import Burst, bursts_at
from followups.services.lookup_limits import MOST, NOTICED
from followups.wording import task_name
from governance.core.admin.base import ReadOnlyAdmin
from governance.core.admin.display import as_share, column
from governance.core.admin.filters import Choices, one_of
from governance.core.channels import CHANNEL_CHOICES
from governance.core.places import Province
from governance.core.request_values import RequestValue

GROUPED = {
    "ALL": _("combined"),
    "PROVINCE": _("province"),
    "CHANNEL": _("channel"),
    "STEP": _("step"),
    "OWNER": _("owner"),
}


@admin.register(RealignRequest)
class RealignRequestAdmin(ReadOnlyAdmin):
    """Requests to recompute due times, and their progress."""

    list_display = ("id", "province", "asked_by", "asked_at", "moved", "done_at")
    list_filter = (("done_at", admin.EmptyFieldListFilter), "province", "asked_at")
    ordering = ("-id",)
    fields = ("province", "asked_by", "asked_at", "moved", "done_at", "correlation_id")


@admin.register(TaskCorrection)
class TaskCorrectionAdmin(ReadOnlyAdmin):
    """Corrected outcomes, with their reasons."""

    nothing_yet = _("No outcome has been corrected yet.")
    list_display = ("task", "from_outcome", "to_outcome", "actor", "reason", "at")
    list_filter = ("from_outcome", "to_outcome", "at")
    list_select_related = ("task",)
    ordering = ("-id",)


@admin.register(InboundContact)
class InboundContactAdmin(ReadOnlyAdmin):
    """Inbound contacts, with their results."""

    nothing_yet = _("No call or message from a seller has been recorded yet.")
    list_display = ("at", "lead", "channel", "outcome", "next", "actor")
    list_filter = ("channel", "outcome", "at")
    list_select_related = ("lead",)
    ordering = ("-at", "-id")


LOOKED_UP_BY = {"PHONE": _("phone"), "EMAIL": _("e-mail"), "LEAD": _("lead id")}
REVIEW = "followups.review_lookups"
MOST_SHOWN = 50  # bursts above the list
BURSTS: RequestValue[list[Burst]] = RequestValue("lookup_bursts")


def bursts_of(request: HttpRequest) -> list[Burst]:
    """Return the bursts of the last three days, queried once per request; none without the permission."""
    return BURSTS.once(request, lambda: bursts_at(timezone.now()) if request.user.has_perm(REVIEW) else [])


class BurstFilter(admin.SimpleListFilter):
    """Filters look-ups by people who looked up many, since their first burst began."""

    title, parameter_name = _("bursts"), "bursts"

    def lookups(self, request: HttpRequest, model_admin: object) -> Choices:
        return [("yes", _("People with a burst of look-ups"))] if request.user.has_perm(REVIEW) else []

    def queryset(self, request: HttpRequest, queryset: QuerySet[Model]) -> QuerySet[Model]:
        if self.value() != "yes":
            return queryset
        bursts = bursts_of(request)
        if not bursts:
            return queryset.none()
        since = min(burst.since for burst in bursts)
        return queryset.filter(actor__in=sorted({burst.name for burst in bursts}), at__gte=since)


@admin.register(LookupEvent)
class LookupEventAdmin(ReadOnlyAdmin):
    """Look-ups of people, by keyed hash. Managers see above the list who looked up many."""

    list_before_template = "admin/followups/lookupevent/bursts.html"
    nothing_yet = _("Nobody has looked anyone up by number or address yet.")
    list_display = ("at", "actor", "kind", "found")
    search_fields = ("actor__exact",)
    search_help_text = _("Full username")
    # with known values: reading them from the table would scan all of it
    list_filter = (BurstFilter, one_of("kind", _("looked up by"), LOOKED_UP_BY.items), "at")
    ordering = ("-at", "-id")

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, object] | None = None
    ) -> HttpResponse:
        shown = {"may_review": request.user.has_perm(REVIEW), "bursts": bursts_of(request)[:MOST_SHOWN]}
        limits = {"noticed": NOTICED, "most": MOST}
        return super().changelist_view(request, {**(extra_context or {}), **shown, **limits})


@admin.register(SlaSnapshot)
class SlaSnapshotAdmin(ReadOnlyAdmin):
    """Daily SLA figures."""

    list_display = (
        "day",
        "grouped",
        "group",
        "count",
        "share_5m",
        "share_30m",
        "share_2h",
        "median_minutes",
        "p90_minutes",
        "overdue_open",
    )
    list_filter = (one_of("dimension", _("by"), GROUPED.items), "day")
    search_fields = ("value__startswith",)
    search_help_text = _("Province, channel, step or owner (starts with)")
    ordering = ("-day", "dimension", "value")
    fields = list_display

    grouped = column(_("by"), "dimension", words=GROUPED, ordering="dimension")

    @admin.display(description=_("group"), ordering="value")
    def group(self, row: SlaSnapshot) -> str:
        if row.dimension == "OWNER":
            return row.value or gettext("nobody")
        if row.dimension == "STEP":
            return task_name("", int(row.value), None) if row.value else gettext("not part of a ladder")
        return str({**dict(Province.choices), **dict(CHANNEL_CHOICES)}.get(row.value, row.value) or "–")

    share_5m = as_share("within_5m", _("within 5 minutes"), 0)
    share_30m = as_share("within_30m", _("within 30 minutes"), 0)
    share_2h = as_share("within_2h", _("within 2 hours"), 0)

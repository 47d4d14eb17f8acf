"""What people and jobs leave behind: corrections, calls from sellers, look-ups, figures of a day."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from followups.models import InboundContact, LookupEvent, RealignRequest, SlaSnapshot, TaskCorrection
from followups.wording import CHANNELS, task_name
from governance.admin_base import ReadOnlyAdmin
from governance.admin_filters import one_of
from governance.kpi.rules import percent
from governance.places import Province

GROUPED = {
    "ALL": _("all together"),
    "PROVINCE": _("province"),
    "CHANNEL": _("channel"),
    "STEP": _("step"),
    "OWNER": _("owner"),
}


@admin.register(RealignRequest)
class RealignRequestAdmin(ReadOnlyAdmin):
    """Due times that must be judged anew, and how far that is."""

    list_display = ("id", "province", "asked_by", "asked_at", "moved", "done_at")
    list_filter: ClassVar[list[Any]] = [("done_at", admin.EmptyFieldListFilter), "province", "asked_at"]
    ordering = ("-id",)
    fields = ("province", "asked_by", "asked_at", "moved", "done_at", "correlation_id")


@admin.register(TaskCorrection)
class TaskCorrectionAdmin(ReadOnlyAdmin):
    """Outcomes that were corrected, and why."""

    nothing_yet = _("Nobody has corrected an outcome so far.")
    list_display = ("task", "from_outcome", "to_outcome", "actor", "reason", "at")
    list_filter = ("from_outcome", "to_outcome", "at")
    list_select_related = ("task",)
    ordering = ("-id",)


@admin.register(InboundContact)
class InboundContactAdmin(ReadOnlyAdmin):
    """Who called or wrote, and what came of it."""

    nothing_yet = _("No seller has called or written to us so far, as far as it was recorded.")
    list_display = ("at", "lead", "channel", "outcome", "next", "actor")
    list_filter = ("channel", "outcome", "at")
    list_select_related = ("lead",)
    ordering = ("-at", "-id")


@admin.register(LookupEvent)
class LookupEventAdmin(ReadOnlyAdmin):
    """Who looked a person up; by what is kept as a hash."""

    nothing_yet = _("Nobody has looked a person up by a number or address so far.")
    list_display = ("at", "actor", "kind", "found")
    list_filter = ("kind", "at")
    ordering = ("-at", "-id")


@admin.register(SlaSnapshot)
class SlaSnapshotAdmin(ReadOnlyAdmin):
    """How quickly each day's tasks were answered."""

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
    search_help_text = _("Province, channel, step or owner, from the beginning")
    ordering = ("-day", "dimension", "value")
    fields = list_display

    @admin.display(description=_("by"), ordering="dimension")
    def grouped(self, row: SlaSnapshot) -> str:
        return str(GROUPED.get(row.dimension, row.dimension))

    @admin.display(description=_("group"), ordering="value")
    def group(self, row: SlaSnapshot) -> str:
        if row.dimension == "OWNER":
            return row.value or gettext("nobody")
        if row.dimension == "STEP":
            return task_name("", int(row.value), None) if row.value else gettext("no step of a ladder")
        return str({**dict(Province.choices), **CHANNELS}.get(row.value, row.value) or "–")

    @admin.display(description=_("within 5 minutes"), ordering="within_5m")
    def share_5m(self, row: SlaSnapshot) -> str:
        return _share(row.within_5m)

    @admin.display(description=_("within 30 minutes"), ordering="within_30m")
    def share_30m(self, row: SlaSnapshot) -> str:
        return _share(row.within_30m)

    @admin.display(description=_("within 2 hours"), ordering="within_2h")
    def share_2h(self, row: SlaSnapshot) -> str:
        return _share(row.within_2h)


def _share(fraction: Any) -> str:
    return "–" if fraction is None else percent(fraction, 0)

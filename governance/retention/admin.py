"""Admin classes for retention periods, removals and erasures."""

from __future__ import annotations

from django.contrib import admin
from django.forms import BaseForm
from django.http import HttpRequest
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from governance.core.admin.base import HistoryAdmin, ReadOnlyAdmin, VersionForm, by_of
from governance.core.admin.display import EVERY, column, facts
from governance.retention import registry
from governance.retention.models import Erasure, Removal, RetentionPeriod
from governance.retention.periods import set_period


def days_told(days: int) -> str:
    """Return days for display: “3 years” for 1,096, “30 days”; on one line."""
    years, rest = divmod(days, 365)
    if years and rest <= years // 4 + 1:
        told = ngettext("%(years)s year", "%(years)s years", years) % {"years": years}
    else:
        told = ngettext("%(days)s day", "%(days)s days", days) % {"days": days}
    return told.replace(" ", "\u00a0")


class PeriodForm(VersionForm):
    """The form of a retention period."""

    class Meta:
        model = RetentionPeriod
        fields = ("days",)


@admin.register(RetentionPeriod)
class RetentionPeriodAdmin(HistoryAdmin):
    """Retention periods. The nightly job removes older rows; the database prevents any other removal."""

    form = PeriodForm
    list_display = ("__str__", "kept", "least", "why", "version", "changed_by", "updated_at")
    history_list_display = ("days", "version")
    readonly_fields = ("__str__", "least", "why")
    ordering = ("subject",)
    fieldsets = (
        (None, {"fields": ("__str__", "why", "least", "days")}),
        (_("Why"), {"fields": ("change_reason", "seen_version")}),
        (_("This version"), {"fields": ("version", "changed_by", "reason", "updated_at")}),
    )

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False  # the subjects are fixed by the program's tables

    @admin.display(description=_("kept"), ordering="days")
    def kept(self, period: RetentionPeriod) -> str:
        return days_told(period.days) if period.days is not None else str(_("indefinitely"))

    @admin.display(description=_("at least"))
    def least(self, period: RetentionPeriod) -> str:
        rule = registry.rule_of(period.subject)
        return days_told(rule.least_days) if rule else "–"

    @admin.display(description=_("purpose"))
    def why(self, period: RetentionPeriod) -> str:
        rule = registry.rule_of(period.subject)
        return str(rule.why) if rule else "–"

    def serve(
        self, request: HttpRequest, obj: RetentionPeriod, form: BaseForm, change: bool
    ) -> RetentionPeriod:
        return set_period(
            obj.subject,
            obj.days,
            by=by_of(request),
            at=timezone.now(),
            reason=form.cleaned_data["change_reason"],
            expected_version=form.cleaned_data["seen_version"],
        )


@admin.register(Removal)
class RemovalAdmin(ReadOnlyAdmin):
    """The retention job's removals, step by step."""

    nothing_yet = _("Nothing is past its retention period yet; the nightly job removes what is.")
    list_display = ("at", "subject_told", "count", "before", "until", "actor")
    list_filter = ("subject", "at")
    ordering = ("-at", "-pk")
    fields = (
        "at", "subject_told", "table_name", "age", "before", "until", "count", "digest", "actor",
        "acting_for", "correlation_id",
    )  # fmt: skip

    @admin.display(description=_("subject"), ordering="subject")
    def subject_told(self, removal: Removal) -> str:
        rule = registry.rule_of(removal.subject)
        return capfirst(str(rule.label)) if rule else removal.subject


@admin.register(Erasure)
class ErasureAdmin(ReadOnlyAdmin):
    """Erasures, with when and why, and nothing that could identify the person."""

    nothing_yet = _("Nobody has been erased yet. You erase a person on the screen of a lead or buyer.")
    list_display = ("at", "kind", "record_id", "why", "rows_told", "actor")
    list_filter = ("kind", "why", "at")
    ordering = ("-at", "-pk")
    fields = (
        "at", "kind", "record_id", "why", "counts_told", "points", "actor", "acting_for", "correlation_id",
    )  # fmt: skip

    counts_told = column(_("rows per table"), lambda erasure: facts(erasure.counts, {}, quantities=EVERY))
    rows_told = column(_("rows"), "rows")

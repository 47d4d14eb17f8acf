"""Admin classes for messages, job runs and schedules."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django_celery_beat.admin import PeriodicTaskForm, TaskSelectWidget
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from governance.core.admin.base import ChoosesRows, HistoryAdmin, ReadOnlyAdmin
from governance.core.admin.display import column
from governance.core.admin.filters import by_index
from governance.core.strict_json import read_json
from governance.outbox.models import (
    SECRET_KINDS,
    Heartbeat,
    IdempotentAnswer,
    JobSlot,
    JobSwitch,
    OutboxMessage,
    SchedulerLease,
)
from governance.outbox.wording import clock_in_words, schedule_in_words, told_result


@admin.register(OutboxMessage)
class OutboxMessageAdmin(ReadOnlyAdmin):
    """Messages that are queued, were sent, or failed permanently after five attempts."""

    list_display = ("created_at", "kind", "to", "subject", "attempts", "sent_at", "dead_at", "last_error")
    list_filter = (
        "kind",
        ("sent_at", admin.EmptyFieldListFilter),
        ("dead_at", admin.EmptyFieldListFilter),
        "created_at",
    )
    search_fields = ("to", "subject", "correlation_id__startswith")
    search_help_text = _("Recipient, subject or correlation id (starts with)")
    ordering = ("-created_at", "-pk")
    fields = (
        "kind", "to", "subject", "body_display", "created_at", "not_before", "attempts", "last_error",
        "sent_at", "dead_at",
        "dedupe", "correlation_id",
    )  # fmt: skip

    @admin.display(description=_("body"))
    def body_display(self, message: OutboxMessage) -> str:
        """Return the text, unless it would let the reader sign in as somebody else."""
        return (
            gettext("not shown: it contains a password link")
            if message.kind in SECRET_KINDS
            else message.body
        )


@admin.register(JobSlot)
class JobSlotAdmin(ReadOnlyAdmin):
    """Runs of jobs."""

    list_display = ("started_at", "job", "finished_at", "result_told", "error", "by_hand")
    fields = ("job", "slot", "started_at", "finished_at", "result_told", "error", "by_hand")
    list_filter = (by_index("job", _("job")), ("finished_at", admin.EmptyFieldListFilter), "started_at")
    search_fields = ("job__startswith", "slot__startswith")
    search_help_text = _("Job or time slot (starts with)")
    ordering = ("-started_at", "-pk")

    @admin.display(description=_("result"))
    def result_told(self, run: JobSlot) -> str:
        return told_result(run.job, run.result) if run.finished_at else "–"


@admin.register(JobSwitch)
class JobSwitchAdmin(HistoryAdmin):
    """Pauses of jobs, with who and why; the jobs page pauses and resumes them."""

    list_display = ("task", "paused", "changed_by", "reason", "updated_at")
    history_list_display = ("paused", "version")
    fields = ("task", "paused", "version", "changed_by", "reason", "updated_at")
    ordering = ("task",)

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


@admin.register(Heartbeat)
class HeartbeatAdmin(ReadOnlyAdmin):
    """The scheduler's last heartbeat."""

    list_display = ("name", "at")


@admin.register(SchedulerLease)
class SchedulerLeaseAdmin(ReadOnlyAdmin):
    """The scheduler process that fires the jobs now."""

    list_display = ("name", "holder", "expires_at")


@admin.register(IdempotentAnswer)
class IdempotentAnswerAdmin(ReadOnlyAdmin):
    """Answered requests with an Idempotency-Key, without the answers."""

    list_display = ("created_at", "user", "key", "status")
    list_filter = ("status", "created_at")
    list_select_related = ("user",)
    search_fields = ("key__startswith",)
    ordering = ("-created_at", "-pk")
    fields = ("created_at", "user", "key", "status")


# --- schedules: django-celery-beat's models in unfold's style -----------------------------------------------

for model in (PeriodicTask, IntervalSchedule, CrontabSchedule, ClockedSchedule, SolarSchedule):
    admin.site.unregister(model)


class JobSelect(UnfoldAdminSelectWidget, TaskSelectWidget):  # type: ignore[misc]  # neither has types
    """A select of the registered jobs."""


class ScheduledJobForm(PeriodicTaskForm):
    """The form of a job and its schedule."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.fields["task"].widget = UnfoldAdminTextInputWidget()
        self.fields["regtask"].widget = JobSelect()

    def clean(self) -> Any:
        self.cleaned_data.setdefault("task", "")  # it expects the key even if the field was invalid
        return super().clean()

    def _clean_json(self, field: str) -> str:
        text = str(self.cleaned_data[field])
        kind = list if field == "args" else dict
        try:
            fits = isinstance(read_json(text), kind)
        except ValueError as wrong:
            raise forms.ValidationError(_("This is not readable JSON: %(why)s") % {"why": wrong}) from None
        if not fits:
            raise forms.ValidationError(_("A JSON list is needed for arguments, an object for named ones."))
        return text


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(ChoosesRows):
    """The jobs' schedules. A change takes effect at the next tick, and no restart undoes it."""

    form = ScheduledJobForm
    list_display = ("name", "enabled", "when", "begun_last", "begun")
    list_filter = ("enabled", "task", "last_run_at")
    list_fullwidth = True
    list_select_related = ("interval", "crontab")
    search_fields = ("name", "task")
    ordering = ("name",)
    readonly_fields = ("enabled", "when", "begun_last", "begun")
    actions = None
    fieldsets = (
        (None, {"fields": ("name", "regtask", "task", "enabled", "description")}),
        (_("When"), {"fields": ("interval", "crontab", "when", "start_time", "one_off")}),
        (_("Arguments"), {"fields": ("args", "kwargs", "expire_seconds")}),
        (_("Runs"), {"fields": ("begun_last", "begun")}),
    )

    when = column(_("when"), lambda task: schedule_in_words(task.interval, task.crontab))
    begun_last = column(_("last started"), "last_run_at", ordering="last_run_at")
    begun = column(_("number of runs"), "total_run_count", ordering="total_run_count")

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False  # a job is paused, with a reason


class ScheduleAdmin(ChoosesRows):
    """A schedule that jobs share; it can be deleted only while no job uses it."""

    actions = None

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        used = obj is not None and obj.periodictask_set.exists()
        return not used and super().has_delete_permission(request, obj)


@admin.register(CrontabSchedule)
class CrontabScheduleAdmin(ScheduleAdmin):
    """Crontab schedules, shown as times of day."""

    list_display = ("in_words", "minute", "hour", "timezone")
    list_display_links = ("in_words",)
    fields = ("in_words", "minute", "hour", "day_of_month", "month_of_year", "day_of_week", "timezone")
    readonly_fields = ("in_words",)

    in_words = column(_("summary"), clock_in_words)


@admin.register(IntervalSchedule)
class IntervalScheduleAdmin(ScheduleAdmin):
    """Interval schedules."""

    list_display = ("__str__",)
    fields = ("every", "period")

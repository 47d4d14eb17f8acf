"""The admin class for ladder templates."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.forms import BaseForm
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from followups import services
from followups.admin.templates_transfer import TransfersTemplates
from followups.models import LadderTemplate
from followups.rules import read_steps
from followups.steps import OptionalStepsField, StepsField, steps_in_words, time_line, when
from governance.core.actors import Actor
from governance.core.admin.base import WHY_AND_VERSION, DifferencesInWords, HistoryAdmin, VersionForm, by_of
from governance.core.admin.display import column
from governance.core.admin.live import LiveAdmin, SwitchesMany, live
from governance.core.channels import CHANNELS


class TemplateForm(VersionForm):
    """The form of a ladder template."""

    steps = StepsField(
        label=_("Steps"),
        help_text=_(
            "When each step is due, counted from the first, which is due at once. Steps are sorted "
            "automatically, and rows without a channel are ignored. Running ladders keep their steps."
        ),
    )

    nurture_steps = OptionalStepsField(
        label=_("Nurture steps"),
        required=False,
        help_text=_(
            "The short ladder that starts after the rest, where contact is still allowed. "
            "Left blank: a text at once, a call after 2 days, a text after 9 days."
        ),
    )

    class Meta:
        model = LadderTemplate
        fields = ("province", "market", "enabled", "steps", "rest_days", "nurture_steps")


class StepsThatDiffer(DifferencesInWords):
    """Shows the steps of two versions as text, with their scripts."""

    DEFAULT_MAX_DISPLAYED_DELTA_CHANGE_CHARS = 1000

    def prepare_delta_change_value(self, change: Any, value: object) -> object:
        if change.field not in ("steps", "nurture_steps") or not value:
            return super().prepare_delta_change_value(change, value)
        told = []
        for step in read_steps(value):
            scripts = [f"“{script}”" for script in (step.script_en, step.script_fr) if script]
            told.append(" ".join([f"{CHANNELS[step.channel].name}, {when(step)}", *scripts]))
        return " · ".join(told)


@admin.register(LadderTemplate)
class LadderTemplateAdmin(TransfersTemplates, SwitchesMany, LiveAdmin, HistoryAdmin):
    """The steps of new ladders; every save is a version with its reason."""

    form = TemplateForm
    differences = StepsThatDiffer
    list_display = ("where", "market", "enabled", "told", "version", "changed_by", "updated_at")
    list_display_links = ("where", "market")
    list_filter = ("enabled", "province", "updated_at")
    search_fields = ("market_key",)
    search_help_text = _("Market, without accents")
    ordering = ("province", "market")
    history_list_display = ("version", "enabled", "changed_by")
    readonly_fields = ("line", "scripts", "nurture_scripts")
    shown_instead: ClassVar[dict[str, str]] = {"steps": "scripts", "nurture_steps": "nurture_scripts"}
    fixed = ("province", "market")
    fieldsets = (
        (None, {"fields": ("province", "market", "enabled")}),
        (_("What is done"), {"fields": ("steps", "line")}),
        (_("When nobody answers"), {"fields": ("rest_days", "nurture_steps")}),
        *WHY_AND_VERSION,
    )

    where = column(_("province"), "get_province_display", nothing=_("everywhere else"), ordering="province")

    @admin.display(description=_("steps"))
    def told(self, template: LadderTemplate) -> str:
        return " · ".join(str(CHANNELS[step.channel].name) for step in read_steps(template.steps))

    def serve(
        self, request: HttpRequest, obj: LadderTemplate, form: BaseForm, change: bool
    ) -> LadderTemplate:
        return services.save_template(
            obj.province,
            obj.market,
            by=by_of(request),
            at=timezone.now(),
            enabled=obj.enabled,
            steps=obj.steps,
            rest=services.Rest(obj.rest_days, obj.nurture_steps),
            reason=form.cleaned_data["change_reason"],
            expected_version=form.cleaned_data["seen_version"] if change else 0,
        )

    def switch(self, row: LadderTemplate, *, enabled: bool, by: Actor, reason: str) -> None:
        services.save_template(
            row.province, row.market, by=by, at=timezone.now(), enabled=enabled, steps=row.steps,
            reason=reason, expected_version=row.version,
        )  # fmt: skip

    @admin.display(description=_("timeline"))
    def line(self, template: LadderTemplate) -> str:
        return live("line", time_line(read_steps(template.steps)))

    scripts = column(_("steps"), lambda template: steps_in_words(read_steps(template.steps)))
    nurture_scripts = column(_("nurture steps"), lambda template: steps_in_words(template.nurture))

"""Admin classes for work profiles and absences."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import StackedInline, TabularInline
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSelectWidget,
)

from governance.accounts.admin.common import FindsPerson
from governance.accounts.models import Absence, WorkProfile
from governance.accounts.wording import week_in_words
from governance.core.admin.base import (
    ChoosesRows,
    FewRows,
    NamedCells,
    RowForm,
    by_of,
)
from governance.core.admin.display import column
from governance.core.channels import CHANNELS
from governance.core.hours import read_windows, typed_week, week_windows, write_day
from governance.core.places import CANADIAN_ZONES, Province
from governance.core.week_field import WeekField

CHANNEL_NOUNS = [(code, channel.noun) for code, channel in CHANNELS.items()]
LANGUAGE_NAMES = [("en", _("English")), ("fr", _("French"))]


def _channels(profile: WorkProfile) -> list[str]:
    return [str(name) for code, name in CHANNEL_NOUNS if code in profile.channels]


def _languages(profile: WorkProfile) -> list[str]:
    return [str(name) for code, name in LANGUAGE_NAMES if code in profile.languages]


class WorkProfileForm(RowForm):
    """The form of a work profile."""

    provinces = forms.MultipleChoiceField(
        label=_("Provinces"),
        choices=Province.choices,
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text=_("No selection means all."),
    )
    channels = forms.MultipleChoiceField(
        label=_("Channels"),
        choices=CHANNEL_NOUNS,
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text=_("No selection means all."),
    )
    languages = forms.MultipleChoiceField(
        label=_("Languages"),
        choices=LANGUAGE_NAMES,
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text=_("No selection means all."),
    )
    zone = forms.ChoiceField(
        label=_("Time zone"),
        choices=[(zone, zone) for zone in CANADIAN_ZONES],
        widget=UnfoldAdminSelectWidget,
        initial="America/Toronto",
    )
    shifts = WeekField(
        label=_("Shifts"),
        required=False,
        help_text=_(
            "In the person’s own time zone, such as 9:00–12:00, 13:00–17:00; an empty day has no "
            "shift. A night ends at 24:00 and continues at 0:00 the next day. Without shifts, "
            "every hour counts."
        ),
    )

    class Media:
        css: ClassVar[Any] = {"all": ("policies.css",)}

    class Meta:
        model = WorkProfile
        fields = ("provinces", "channels", "languages", "zone", "shifts")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["shifts"] = typed_week(read_windows(self.instance.shifts))

    def clean_shifts(self) -> list[dict[str, object]]:
        """Return the weekly shifts as stored; hours that did not change keep their windows."""
        week, kept = self.cleaned_data["shifts"], self.instance.shifts
        if [write_day(spans) for spans in week] == typed_week(read_windows(kept)):
            return list(kept)
        return [window.as_json() for window in week_windows(week)]


class TellsProfile:
    """An admin class that shows a work profile as text to users who may only view it."""

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        if self.has_change_permission(request, obj):  # type: ignore[attr-defined]  # an admin's
            return WorkProfileForm.Meta.fields
        return ("provinces_told", "channels_told", "languages_told", "zone", "week")

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        return ("provinces_told", "channels_told", "languages_told", "week")

    provinces_told = column(_("provinces"), lambda profile: ", ".join(profile.provinces) or str(_("all")))
    channels_told = column(_("channels"), lambda profile: ", ".join(_channels(profile)) or str(_("all")))
    languages_told = column(_("languages"), lambda profile: ", ".join(_languages(profile)) or str(_("all")))

    @admin.display(description=_("shifts"))
    def week(self, profile: WorkProfile) -> str:
        return week_in_words(read_windows(profile.shifts)) or gettext("every hour")


class WorkProfileInline(FewRows, TellsProfile, StackedInline):  # type: ignore[misc]  # unfold has no types
    """The work profile on a person's page."""

    model = WorkProfile
    form = WorkProfileForm
    can_delete = False
    extra = 0
    max_num = most_rows = 1


class AbsenceInline(FewRows, NamedCells, TabularInline):  # type: ignore[misc]  # unfold has no types
    """A person's absences on their page."""

    model = Absence
    fields = ("starts_at", "ends_at", "reason")
    ordering = ("-starts_at",)
    extra = 0


@admin.register(WorkProfile)
class WorkProfileAdmin(TellsProfile, ChoosesRows):
    """Work profiles; each is created on its person's page."""

    form = WorkProfileForm
    list_display = ("user", "provinces_told", "channels_told", "languages_told", "zone", "week")
    list_filter = ("zone",)
    list_select_related = ("user",)
    search_fields = ("user__username",)
    search_help_text = _("Username")
    ordering = ("user__username",)
    actions = None

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


@admin.register(Absence)
class AbsenceAdmin(FindsPerson):
    """Absences, during which a person's due tasks are offered to others."""

    list_display = ("user", "starts_at", "ends_at", "reason", "marked_by")
    list_filter = ("starts_at", "ends_at")
    list_select_related = ("user",)
    search_fields = ("user__username",)
    search_help_text = _("Username")
    ordering = ("-starts_at",)
    fields = ("user", "starts_at", "ends_at", "reason")

    def save_model(self, request: HttpRequest, obj: Any, form: object, change: bool) -> None:
        if not change:
            obj.marked_by = by_of(request).working_name
        super().save_model(request, obj, form, change)

"""Forms of actions on several people or tokens at once."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    INPUT_CLASSES,
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminTextInputWidget,
)

from governance.core.admin.base import WhyForm, reason_field
from governance.core.hours import DAY_NAMES, MOST_TYPED, Window, read_day, week_windows

DAYS = tuple(enumerate(DAY_NAMES))


def _day(label: Any, help_text: Any = "") -> forms.DateField:
    attrs = {"type": "date", "class": " ".join(INPUT_CLASSES)}
    return forms.DateField(
        label=label, help_text=help_text, widget=forms.DateInput(format="%Y-%m-%d", attrs=attrs)
    )


class AwayForm(WhyForm):
    """A form for time off, both days included."""

    first = _day(_("First day off"))
    last = _day(_("Last day off"), _("Included; each person’s own time zone counts."))
    reason = reason_field(
        _("Reason"), help_text=_("Such as holidays or training. Nothing about anybody’s health.")
    )
    field_order = ("first", "last", "reason")


class ShiftsForm(WhyForm):
    """A form that sets the same hours on each selected day."""

    days = forms.TypedMultipleChoiceField(
        label=_("Days"),
        choices=DAYS,
        coerce=int,
        initial=[0, 1, 2, 3, 4],
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text=_("None ticked: no shifts."),
    )
    hours = forms.CharField(
        label=_("Hours"),
        max_length=MOST_TYPED,
        initial="9:00–17:00",
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text=_("Such as 9:00–12:00, 13:00–17:00."),
    )
    field_order = ("days", "hours", "reason")

    def clean_hours(self) -> tuple[tuple[int, int], ...]:
        try:
            return read_day(self.cleaned_data["hours"])
        except ValueError as wrong:
            sentence = gettext("“%(part)s” is not valid. Example: 9:00–12:00, 13:00–17:00.")
            raise ValidationError(sentence % {"part": str(wrong)[:40]}) from None

    def windows(self) -> tuple[Window, ...]:
        """Return the weekly shifts as stored."""
        chosen, spans = self.cleaned_data["days"], self.cleaned_data["hours"]
        return week_windows([spans if day in chosen else () for day, _name in DAYS])

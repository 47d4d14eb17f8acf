"""The form of an engine's caps: "no cap" is a checkbox of its own, never a 0 typed by mistake."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldBooleanWidget

from governance.core.admin.careful import CarefulForm
from governance.risk.rules import ACTIONS, EXPOSURE, LOSS, OPEN

CAPS = (LOSS, EXPOSURE, OPEN, ACTIONS)


# the model's own help text says that 0 is no cap, which applies to programs
HELP = {
    LOSS: gettext_lazy("CAD lost on reservations of the day, with all that is still open."),
    EXPOSURE: gettext_lazy("CAD reserved in a day and not released."),
    OPEN: gettext_lazy("CAD reserved and not yet settled, of all days."),
    ACTIONS: gettext_lazy("Reservations made in a day."),
}


def no_cap_name(cap: str) -> str:
    """Return the name of the checkbox next to a cap."""
    return f"no_cap_{cap}"


def _tick(label: Any) -> forms.BooleanField:
    return forms.BooleanField(label=label, required=False, widget=UnfoldBooleanWidget)


class RiskPolicyForm(CarefulForm):
    """A policy's caps; the database and the API store 0 for no cap."""

    no_cap_max_daily_loss = _tick(gettext_lazy("No cap on loss"))
    no_cap_max_daily_exposure = _tick(gettext_lazy("No cap on exposure"))
    no_cap_max_open_risk = _tick(gettext_lazy("No cap on open risk"))
    no_cap_max_actions_per_day = _tick(gettext_lazy("No cap on actions"))

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        for name in CAPS:
            if name not in self.fields:  # read-only users have no form
                continue
            self.fields[name].required = False
            self.fields[name].help_text = HELP[name]
            if not self.initial.get(name):
                self.initial[name] = None
                self.initial[no_cap_name(name)] = self.instance.pk is not None

    def clean(self) -> Any:
        data = super().clean() or self.cleaned_data
        for name in CAPS:
            if name not in data:
                continue
            none, cap = data.get(no_cap_name(name)), data[name]
            if none and cap:
                self.add_error(name, _("Either an amount or “no cap”, not both."))
            elif none:
                data[name] = 0
            elif not cap:
                self.add_error(name, _("Enter more than 0, or tick “No cap” beside it."))
        return data

"""The form of a market policy: hours typed day by day, switches, a score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from governance.core.admin.careful import CarefulForm
from governance.core.channels import CHANNELS
from governance.core.hooks import LawsWeek
from governance.core.hours import DAYS, week_windows, write_day
from governance.core.places import CANADIAN_ZONES, ZONES, Province
from governance.core.week_field import Hours, WeekField, WeekWidget
from governance.market.models import MarketPolicy
from governance.market.pictures import day_line, laws_of, legend
from governance.market.rules import MOST_CONTACTS, PER_7_DAYS, PER_DAY, ContactRules, read_rules


class DrawnWeek(WeekWidget):
    """Inputs for hours, each day drawn next to them on a 24-hour scale, with legal hours shaded behind."""

    template = "admin/governance/marketpolicy/week.html"
    laws: Sequence[LawsWeek] = ()

    def drawn(self, spans: Hours, day: int) -> str:
        return day_line(spans, self.laws, day)

    def more(self) -> dict[str, object]:
        return {"laws": legend(self.laws)}


def typed_from(rules: ContactRules) -> dict[str, Any]:
    """Return the form's values for a policy's rules."""
    return {
        "week": [write_day(rules.hours_of(day)) for day in DAYS],
        "channels": list(rules.channels),
        "consent_channels": list(rules.consent_channels),
        "min_score": f"{rules.min_score.normalize():f}",
        "skip_holidays": rules.skip_holidays,
        "per_day": rules.per_day,
        "per_7_days": rules.per_7_days,
    }


def read_start(text: str, zone: str) -> datetime | None:
    """Return the instant in a text, without an offset in this time zone; None if it is blank.

    Raises ValidationError.
    """
    if not text.strip():
        return None
    try:
        found = datetime.fromisoformat(text.strip())
        return (found if found.tzinfo else found.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValidationError(_("Enter the date and time as 2027-01-01 00:00.")) from None


def _channels(label: Any, help_text: Any) -> forms.MultipleChoiceField:
    return forms.MultipleChoiceField(
        label=label,
        help_text=help_text,
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        choices=[(code, channel.plural) for code, channel in CHANNELS.items()],
    )


def _cap(label: Any, help_text: Any) -> forms.IntegerField:
    return forms.IntegerField(
        label=label,
        help_text=help_text,
        min_value=1,
        max_value=MOST_CONTACTS,
        required=False,
        widget=UnfoldAdminIntegerFieldWidget(attrs={"min": "1", "max": str(MOST_CONTACTS)}),
    )


class PolicyForm(CarefulForm):
    """The form of a market policy, without JSON to type."""

    week = WeekField(
        label=gettext_lazy("Contact hours"),
        required=False,
        widget=DrawnWeek,
        help_text=gettext_lazy(
            "Local time. The start is included, the end is not; separate several spans on a day "
            "with commas. A night ends at 24:00 and continues at 0:00 the next day."
        ),
    )
    channels = _channels(gettext_lazy("Enabled channels"), "")
    consent_channels = _channels(
        gettext_lazy("Channels that require consent"),
        gettext_lazy("Contact through these channels requires consent on record."),
    )
    min_score = forms.DecimalField(
        label=gettext_lazy("Minimum lead score"),
        min_value=0,
        max_value=1,
        max_digits=13,
        decimal_places=12,
        widget=UnfoldAdminDecimalFieldWidget(
            attrs={"step": "0.01", "min": "0", "max": "1", "data-slider": ""}
        ),
        help_text=gettext_lazy("0: no minimum. A lead without a score is never blocked."),
    )
    skip_holidays = forms.BooleanField(
        label=gettext_lazy("No contact on holidays"), required=False, widget=UnfoldBooleanSwitchWidget
    )
    per_day = _cap(
        gettext_lazy("Contacts per day"),
        gettext_lazy(
            "The maximum number of contacts with one number or address per local day, across all "
            "leads and channels. Our own rule, not the law."
        ),
    )
    per_7_days = _cap(
        gettext_lazy("Contacts per 7 days"),
        gettext_lazy(
            "The maximum number of contacts with one number or address in 7 local days. Our own "
            "rule, not the law. Callbacks, handoffs and answers within 24 hours are not counted."
        ),
    )
    timezone = forms.ChoiceField(
        label=gettext_lazy("Time zone"),
        required=False,
        choices=[
            ("", gettext_lazy("the city’s own, otherwise all of the province’s")),
            *((zone, zone) for zone in CANADIAN_ZONES),
        ],
        widget=UnfoldAdminSelectWidget,
    )

    effective_from = forms.CharField(
        label=gettext_lazy("Takes effect"),
        required=False,
        max_length=40,
        widget=UnfoldAdminTextInputWidget(attrs={"type": "datetime-local"}),
        help_text=gettext_lazy(
            "Blank: as soon as it is saved. Otherwise the policy stays as it is until this date and time, in "
            "the policy’s time zone, or else in the province’s main one."
        ),
    )

    class Meta:
        model = MarketPolicy
        fields = ("province", "market", "enabled", "timezone")

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        for name, value in typed_from(read_rules(self.instance.rules)).items():
            self.initial.setdefault(name, value)
        province = self.instance.province or str(self.data.get("province") or self.initial.get("province"))
        if "week" in self.fields and province in Province.values:
            widget: Any = self.fields["week"].widget
            widget.laws = laws_of([province], timezone.now()).get(province, ())

    def clean(self) -> Any:
        data = super().clean() or self.cleaned_data
        kept = read_rules(self.instance.rules)
        for name in ("per_day", "per_7_days"):
            if name in data and data[name] is None:  # if left blank it keeps its value
                data[name] = getattr(kept, name)
        if {"per_day", "per_7_days"} <= set(data) and data["per_day"] > data["per_7_days"]:
            self.add_error("per_day", _("This cannot be more than the contacts per 7 days."))
        if {"week", "channels", "consent_channels", "min_score", "per_day", "per_7_days"} <= set(data):
            try:
                self.instance.rules = self._rules(data)
            except ValidationError as wrong:
                self.add_error("week", wrong)
        if "effective_from" in data:
            self.instance.effective_from = self._start(data)
        return data

    def _start(self, data: Mapping[str, Any]) -> datetime | None:
        province = self.instance.province or data.get("province") or Province.ON
        try:
            return read_start(data["effective_from"], data.get("timezone") or ZONES[province][0])
        except ValidationError as wrong:
            self.add_error("effective_from", wrong)
            return None

    def _rules(self, data: Mapping[str, Any]) -> dict[str, object]:
        """Return the rules as stored; hours that did not change keep their windows."""
        kept = read_rules(self.instance.rules)
        same = all(kept.hours_of(day) == data["week"][day] for day in DAYS)
        windows = kept.windows if same else week_windows(data["week"])
        return read_rules(
            {
                "contact_windows_local": [window.as_json() for window in windows],
                "channels_allowed": data["channels"],
                "consent_required_channels": data["consent_channels"],
                "min_lead_score_to_contact": data["min_score"],
                "skip_holidays": data["skip_holidays"],
                PER_DAY: data["per_day"],
                PER_7_DAYS: data["per_7_days"],
            }
        ).as_json()

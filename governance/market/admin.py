"""Market policies on the managers' screens."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from simple_history.template_utils import HistoricalRecordContextHelper
from unfold.widgets import UnfoldAdminSelectWidget

from governance.admin_base import HistoryAdmin, JSONText, VersionForm, by_of, pretty_json
from governance.market.models import MarketPolicy
from governance.market.rules import read_rules
from governance.market.services import upsert_policy
from governance.places import CANADIAN_ZONES, Place

RULES_HELP = _(
    "Windows: days 0 = Monday to 6 = Sunday, start inside, end not, 24:00 is midnight; a night is "
    "two windows, and no "
    "windows means never. Channels: SMS, CALL, EMAIL. min_lead_score_to_contact: 0 to 1. "
    "consent_required_channels: contact there needs a consent on record."
)


class PolicyForm(VersionForm):
    """A policy as a manager edits it."""

    rules = JSONText(label=_("Rules"), help_text=RULES_HELP)
    timezone = forms.ChoiceField(
        label=_("Time zone"),
        required=False,
        choices=[
            ("", _("the city’s own, else every one of the province")),
            *((zone, zone) for zone in CANADIAN_ZONES),
        ],
        widget=UnfoldAdminSelectWidget,
    )

    class Meta:
        model = MarketPolicy
        fields = ("province", "market", "enabled", "timezone", "rules")

    def clean_rules(self) -> Any:
        try:
            return read_rules(self.cleaned_data["rules"]).as_json()
        except ValidationError as wrong:
            raise forms.ValidationError(wrong.messages) from wrong


class RulesThatDiffer(HistoricalRecordContextHelper):  # type: ignore[misc]  # simple_history has no types
    """Shows of two versions' rules only what differs."""

    def prepare_delta_change_value(self, change: Any, value: Any) -> Any:
        if change.field != "rules":
            return super().prepare_delta_change_value(change, value)
        other = change.new if value is change.old else change.old
        differ = {key: item for key, item in value.items() if other.get(key) != item}
        return json.dumps(differ, ensure_ascii=False)


@admin.register(MarketPolicy)
class MarketPolicyAdmin(HistoryAdmin):
    """When and how each market's people may be contacted; every save is a version with its reason."""

    form = PolicyForm
    list_display = (
        "province", "market", "enabled", "hours", "channels", "least_score", "holidays_off", "version",
        "changed_by",
        "updated_at",
    )  # fmt: skip
    list_display_links = ("province", "market")
    list_filter = ("enabled", "province", "updated_at")
    search_fields = ("market_key",)
    search_help_text = _("Market, without accents")
    ordering = ("province", "market")
    history_list_display = ("version",)
    readonly_fields = ("version", "changed_by", "reason", "updated_at", "correlation_id", "rules_shown")

    shown_instead: ClassVar[dict[str, str]] = {"rules": "rules_shown"}
    fieldsets = (
        (None, {"fields": ("province", "market", "enabled", "timezone")}),
        (_("When, how and whom"), {"fields": ("rules",)}),
        (_("Why"), {"fields": ("change_reason", "seen_version")}),
        (_("This version"), {"fields": ("version", "changed_by", "reason", "updated_at", "correlation_id")}),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = super().get_readonly_fields(request, obj)
        # a policy that moved would rule a place that nobody decided it for
        return (*fields, "province", "market") if obj is not None else fields

    def get_historical_record_context_helper(self, request: HttpRequest, historical_record: Any) -> Any:
        return RulesThatDiffer(self.model, historical_record, max_displayed_delta_change_chars=1000)

    def serve(self, request: HttpRequest, obj: MarketPolicy, form: Any, change: bool) -> MarketPolicy:
        return upsert_policy(
            Place(obj.province, obj.market),
            by=by_of(request),
            at=timezone.now(),
            enabled=obj.enabled,
            rules=obj.rules,
            timezone=obj.timezone,
            reason=form.cleaned_data["change_reason"],
            expected_version=form.cleaned_data["seen_version"] if change else 0,
        )

    @admin.display(description=_("contact hours"))
    def hours(self, policy: MarketPolicy) -> str:
        windows = read_rules(policy.rules).windows
        names = [str(day) for day in (_("Mo"), _("Tu"), _("We"), _("Th"), _("Fr"), _("Sa"), _("Su"))]
        told = [f"{_days(window.days, names)} {window}" for window in windows]
        return ", ".join(told) or str(_("never"))

    @admin.display(description=_("channels"))
    def channels(self, policy: MarketPolicy) -> str:
        return ", ".join(read_rules(policy.rules).channels) or "–"

    @admin.display(description=_("least score"))
    def least_score(self, policy: MarketPolicy) -> str:
        return f"{read_rules(policy.rules).min_score:.2f}"

    @admin.display(description=_("holidays off"), boolean=True)
    def holidays_off(self, policy: MarketPolicy) -> bool:
        return read_rules(policy.rules).skip_holidays

    @admin.display(description=_("rules"))
    def rules_shown(self, policy: MarketPolicy) -> str:
        return format_html(
            '<pre class="font-mono text-sm whitespace-pre-wrap">{}</pre>', pretty_json(policy.rules)
        )


def _days(days: tuple[int, ...], names: list[str]) -> str:
    """Return days as a person says them: consecutive ones as a span."""
    if len(days) > 2 and days == tuple(range(days[0], days[-1] + 1)):
        return f"{names[days[0]]}–{names[days[-1]]}"
    return " ".join(names[day] for day in days)

"""Market policies on the managers' screens."""

from __future__ import annotations

import re
from typing import Any, ClassVar
from urllib.parse import urlencode

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action

from governance.actors import By
from governance.admin_base import DifferencesInWords, HistoryAdmin, by_of
from governance.admin_live import LiveAdmin, SwitchesMany, live, sentences
from governance.market.forms import PolicyForm, typed_from
from governance.market.models import MarketPolicy
from governance.market.pictures import laws_of, small_week
from governance.market.rules import read_rules
from governance.market.services import simulate_policy, upsert_policy
from governance.market.transfer import TransfersMarketPolicies
from governance.market.wording import channels_in_words, in_words, moves_in_words, week_in_words
from governance.places import ALL, ZONES, Place

TYPED_AS = {
    "channels_allowed": "channels",
    "min_lead_score_to_contact": "min_score",
    "skip_holidays": "skip_holidays",
    "consent_required_channels": "consent_channels",
}


class RulesThatDiffer(DifferencesInWords):
    """Shows of two versions' rules only what differs, the week in words."""

    def prepare_delta_change_value(self, change: Any, value: Any) -> Any:
        if change.field != "rules":
            return super().prepare_delta_change_value(change, value)
        other = change.new if value is change.old else change.old
        differ = {key: item for key, item in value.items() if other.get(key) != item}
        week = differ.pop("contact_windows_local", None)
        told = [] if week is None else [week_in_words(read_rules(value)) or gettext("no hours")]
        told += [_told(key, item) for key, item in differ.items()]
        return " · ".join(told)


def _told(key: str, value: Any) -> str:
    label = PolicyForm.base_fields[TYPED_AS[key]].label if key in TYPED_AS else key
    if isinstance(value, bool):
        said = gettext("yes") if value else gettext("no")
    elif isinstance(value, list):
        said = channels_in_words(value) or gettext("none")
    else:
        said = number_format(value)
    return gettext("%(field)s:") % {"field": label} + f" {said}"


@admin.register(MarketPolicy)
class MarketPolicyAdmin(TransfersMarketPolicies, SwitchesMany, LiveAdmin, HistoryAdmin):
    """When and how each market's people may be contacted; every save is a version with its reason."""

    form = PolicyForm
    differences = RulesThatDiffer
    list_before_template = "admin/governance/marketpolicy/weeks.html"
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
    readonly_fields = (
        "version",
        "changed_by",
        "reason",
        "updated_at",
        "correlation_id",
        "meaning",
        "week_shown",
        "what_would_change",
    )
    actions_detail: ClassVar[Any] = ["copy"]

    fieldsets = (
        (None, {"fields": ("province", "market", "enabled", "timezone")}),
        (
            _("When, how and whom"),
            {
                "fields": (
                    "week_shown", "week", "channels", "consent_channels", "min_score", "skip_holidays",
                    "meaning",
                )
            },
        ),
        (_("Why"), {"fields": ("what_would_change", "change_reason", "seen_version")}),
        (_("This version"), {"fields": ("version", "changed_by", "reason", "updated_at", "correlation_id")}),
    )  # fmt: skip

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        asks = any("week" in options["fields"] for _title, options in fieldsets)
        if not asks:
            return fieldsets  # who only looks sees the week as a picture
        return [
            (title, {**options, "fields": [name for name in options["fields"] if name != "week_shown"]})
            for title, options in fieldsets
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = super().get_readonly_fields(request, obj)
        # a policy that moved would rule a place that nobody decided it for
        return (*fields, "province", "market") if obj is not None else fields

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        initial = super().get_changeform_initial_data(request)
        copied = request.GET.get("copy", "")
        source = (
            MarketPolicy.objects.filter(pk=copied).first() if re.fullmatch("[0-9]{1,9}", copied) else None
        )
        if source is None:
            return initial
        typed = typed_from(read_rules(source.rules))
        return {**initial, **typed, "province": source.province, "timezone": source.timezone, "market": ""}

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

    def foresee(self, request: HttpRequest, draft: MarketPolicy) -> list[str]:
        moves = simulate_policy(
            Place(draft.province, draft.market),
            at=timezone.now(),
            enabled=draft.enabled,
            rules=draft.rules,
            timezone=draft.timezone,
        )
        return moves_in_words(moves, draft.timezone or ZONES[draft.province][0])

    def switch(self, row: MarketPolicy, *, enabled: bool, by: By, reason: str) -> None:
        upsert_policy(row.place, by=by, at=timezone.now(), enabled=enabled, reason=reason)

    def has_copy_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return bool(self.has_add_permission(request))

    @action(description=_("Copy to a market"), url_path="copy", permissions=["copy"])
    def copy(self, request: HttpRequest, object_id: str) -> HttpResponse:
        query = urlencode({"copy": object_id})
        return HttpResponseRedirect(f"{reverse('admin:governance_marketpolicy_add')}?{query}")

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        response = super().changelist_view(request, extra_context)
        listed = getattr(response, "context_data", None) or {}
        if "cl" in listed:
            listed["weeks"] = self._weeks(listed["cl"].result_list)
        return response

    def _weeks(self, policies: Any) -> list[dict[str, Any]]:
        rows = list(policies)
        laws = laws_of(sorted({row.province for row in rows}), timezone.now())
        return [
            {
                "policy": row,
                "name": row.get_province_display() if row.market == ALL else f"{row.market}, {row.province}",
                "picture": small_week(read_rules(row.rules), laws.get(row.province, ()), enabled=row.enabled),
                "address": reverse("admin:governance_marketpolicy_change", args=[row.pk]),
            }
            for row in rows
        ]

    @admin.display(description=_("in words"))
    def meaning(self, policy: MarketPolicy) -> str:
        said = in_words(read_rules(policy.rules), enabled=policy.enabled, zone=policy.timezone)
        return live("meaning", sentences(said))

    @admin.display(description=_("contact hours"))
    def week_shown(self, policy: MarketPolicy) -> str:
        laws = laws_of([policy.province], timezone.now()).get(policy.province, ())
        return small_week(read_rules(policy.rules), laws, enabled=policy.enabled)

    @admin.display(description=_("contact hours"))
    def hours(self, policy: MarketPolicy) -> str:
        windows = read_rules(policy.rules).windows
        names = [str(day) for day in (_("Mo"), _("Tu"), _("We"), _("Th"), _("Fr"), _("Sa"), _("Su"))]
        told = [f"{_days(window.days, names)} {window}" for window in windows]
        return ", ".join(told) or str(_("never"))

    @admin.display(description=_("channels"))
    def channels(self, policy: MarketPolicy) -> str:
        return channels_in_words(read_rules(policy.rules).channels) or "–"

    @admin.display(description=_("least score"))
    def least_score(self, policy: MarketPolicy) -> str:
        return number_format(read_rules(policy.rules).min_score, 2)

    @admin.display(description=_("holidays off"), boolean=True)
    def holidays_off(self, policy: MarketPolicy) -> bool:
        return read_rules(policy.rules).skip_holidays


def _days(days: tuple[int, ...], names: list[str]) -> str:
    """Return days as a person says them: consecutive ones as a span."""
    if len(days) > 2 and days == tuple(range(days[0], days[-1] + 1)):
        return f"{names[days[0]]}–{names[days[-1]]}"
    return " ".join(names[day] for day in days)

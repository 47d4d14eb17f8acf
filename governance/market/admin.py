"""Admin classes for market policies."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.forms import BaseForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.html import format_html_join
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action

from governance.core.actors import Actor
from governance.core.admin.base import DifferencesInWords, ReadOnlyAdmin, WhyForm, act_on_each, ask_why, by_of
from governance.core.admin.careful import CarefulAdmin
from governance.core.admin.display import column
from governance.core.admin.filters import Choices
from governance.core.admin.live import MOST_SWITCHED, SwitchesMany, live, sentences
from governance.core.places import ALL, ZONES, Place
from governance.core.request_values import RequestValue
from governance.market.forms import PolicyForm, typed_from
from governance.market.models import MarketName, MarketPolicy, ScheduledChange
from governance.market.pictures import laws_of, small_week
from governance.market.querysets import scheduled_of
from governance.market.rules import read_rules
from governance.market.services import (
    cancel_scheduled,
    schedule_change,
    simulate_policy,
    upsert_policy,
)
from governance.market.transfer import TransfersMarketPolicies
from governance.market.wording import (
    change_in_words,
    channels_in_words,
    in_words,
    moves_in_words,
    start_in_words,
    week_in_words,
)

SCHEDULED: RequestValue[ScheduledChange | None] = RequestValue("scheduled")  # from serve to _after_scheduling
TYPED_AS = {
    "channels_allowed": "channels",
    "min_lead_score_to_contact": "min_score",
    "skip_holidays": "skip_holidays",
    "consent_required_channels": "consent_channels",
}


class RulesThatDiffer(DifferencesInWords):
    """Shows only the differences of two versions' rules, the week as text."""

    def prepare_delta_change_value(self, change: Any, value: Any) -> object:
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


@admin.register(MarketName)
class MarketNameAdmin(ReadOnlyAdmin):
    """The spelling of each market, however it is entered."""

    nothing_yet = _("A market appears here once a lead, a policy, an offer or a buyer’s response names it.")
    list_display = ("province", "market")
    list_display_links = ("market",)
    list_filter = ("province",)
    search_fields = ("market_key__startswith",)
    search_help_text = _("Market, without accents (starts with)")
    ordering = ("province", "market")
    fields = ("province", "market")


@admin.register(MarketPolicy)
class MarketPolicyAdmin(TransfersMarketPolicies, SwitchesMany, CarefulAdmin):
    """Market policies; every save is a version with its reason."""

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
        "scheduled",
        "what_would_change",
    )
    actions_detail = ("copy",)

    fixed = ("province", "market")
    fieldsets = (
        (None, {"fields": ("province", "market", "enabled", "timezone", "scheduled")}),
        (
            _("When, how and whom"),
            {
                "fields": (
                    "week_shown", "week", "channels", "consent_channels", "min_score", "skip_holidays",
                    "per_day", "per_7_days", "meaning",
                )
            },
        ),
        (_("Why"), {"fields": ("effective_from", "what_would_change", "change_reason", "seen_version")}),
        (_("This version"), {"fields": ("version", "changed_by", "reason", "updated_at", "correlation_id")}),
    )  # fmt: skip

    def get_fieldsets(self, request: HttpRequest, obj: object = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        asks = any("week" in options["fields"] for _title, options in fieldsets)
        if not asks:
            return fieldsets  # read-only users see the week as a picture
        return [
            (title, {**options, "fields": [name for name in options["fields"] if name != "week_shown"]})
            for title, options in fieldsets
        ]

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

    def serve(self, request: HttpRequest, obj: MarketPolicy, form: BaseForm, change: bool) -> MarketPolicy:
        start = getattr(obj, "effective_from", None)
        expected = form.cleaned_data["seen_version"] if change else 0
        reason = form.cleaned_data["change_reason"]
        place = Place(obj.province, obj.market)
        if start is None:
            return upsert_policy(
                place, by=by_of(request), at=timezone.now(), enabled=obj.enabled, rules=obj.rules,
                timezone=obj.timezone, reason=reason, expected_version=expected,
            )  # fmt: skip
        scheduled = schedule_change(
            place,
            by=by_of(request),
            at=timezone.now(),
            effective_from=start,
            reason=reason,
            expected_version=expected,
            **_changed(obj),
        )
        SCHEDULED.put(request, scheduled)
        return obj

    def response_add(
        self, request: HttpRequest, obj: Model, post_url_continue: str | None = None
    ) -> HttpResponse:
        return self._after_scheduling(request) or super().response_add(request, obj, post_url_continue)

    def response_change(self, request: HttpRequest, obj: Model) -> HttpResponse:
        return self._after_scheduling(request) or super().response_change(request, obj)

    def _after_scheduling(self, request: HttpRequest) -> HttpResponse | None:
        if not SCHEDULED.is_on(request):
            return None
        if SCHEDULED.of(request) is None:
            self.message_user(
                request, gettext("Nothing would change then, so nothing was scheduled."), messages.WARNING
            )
        else:
            said = gettext("Scheduled. Until then the policy stays as it is.")
            self.message_user(request, said, messages.SUCCESS)
        return HttpResponseRedirect(reverse("admin:governance_scheduledchange_changelist"))

    def foresee(self, request: HttpRequest, draft: MarketPolicy) -> list[str]:
        moves = simulate_policy(
            Place(draft.province, draft.market),
            at=timezone.now(),
            effective_from=getattr(draft, "effective_from", None),
            **_changed(draft),
        )
        return moves_in_words(moves, draft.timezone or ZONES[draft.province][0])

    def switch(self, row: MarketPolicy, *, enabled: bool, by: Actor, reason: str) -> None:
        upsert_policy(row.place, by=by, at=timezone.now(), enabled=enabled, reason=reason)

    def has_copy_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return bool(self.has_add_permission(request))

    @action(description=_("Copy to a market"), url_path="copy", permissions=["copy"])
    def copy(self, request: HttpRequest, object_id: str) -> HttpResponse:
        query = urlencode({"copy": object_id})
        return HttpResponseRedirect(f"{reverse('admin:governance_marketpolicy_add')}?{query}")

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, object] | None = None
    ) -> HttpResponse:
        response = super().changelist_view(request, extra_context)
        listed = getattr(response, "context_data", None) or {}
        if "cl" in listed:
            listed["weeks"] = self._weeks(listed["cl"].result_list)
        return response

    def _weeks(self, policies: Any) -> list[dict[str, object]]:
        rows = list(policies)
        scheduled = scheduled_of(rows)
        laws = laws_of(sorted({row.province for row in rows}), timezone.now())
        return [
            {
                "policy": row,
                "name": row.get_province_display() if row.market == ALL else f"{row.market}, {row.province}",
                "picture": small_week(read_rules(row.rules), laws.get(row.province, ()), enabled=row.enabled),
                "address": reverse("admin:governance_marketpolicy_change", args=[row.pk]),
                "scheduled": [_start(change) for change in scheduled.get(row.pk, ())],
            }
            for row in rows
        ]

    @admin.display(description=_("summary"))
    def meaning(self, policy: MarketPolicy) -> str:
        said = in_words(read_rules(policy.rules), enabled=policy.enabled, zone=policy.timezone)
        return live("meaning", sentences(said))

    @admin.display(description=_("scheduled changes"))
    def scheduled(self, policy: MarketPolicy) -> str:
        if not policy.pk:
            return "–"
        if not hasattr(policy, "_scheduled"):  # the page asks for each field several times
            changes = [change for found in scheduled_of([policy]).values() for change in found]
            policy._scheduled = changes  # type: ignore[attr-defined]  # read here alone
        changes = policy._scheduled  # type: ignore[attr-defined]  # set above
        address = reverse("admin:governance_scheduledchange_changelist")
        lines = [
            (address, change.market, _start(change), " · ".join(change_in_words(change.changes)))
            for change in changes
        ]
        if not lines:
            return gettext("none")
        return format_html_join("", '<p><a href="{}">{}, {}</a>: {}</p>', lines)

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

    @admin.display(description=_("minimum score"))
    def least_score(self, policy: MarketPolicy) -> str:
        return number_format(read_rules(policy.rules).min_score, 2)

    @admin.display(description=_("holidays off"), boolean=True)
    def holidays_off(self, policy: MarketPolicy) -> bool:
        return read_rules(policy.rules).skip_holidays


def _days(days: tuple[int, ...], names: list[str]) -> str:
    """Return days for display: consecutive ones as a span."""
    if len(days) > 2 and days == tuple(range(days[0], days[-1] + 1)):
        return f"{names[days[0]]}–{names[days[-1]]}"
    return " ".join(names[day] for day in days)


def _start(change: ScheduledChange) -> str:
    zone = change.changes.get("timezone") or ZONES[change.province][0]
    return start_in_words(change.effective_from, zone)


def _changed(draft: MarketPolicy) -> dict[str, Any]:
    """Return the values changed in the form: unchanged ones must not undo another scheduled change."""
    kept = MarketPolicy.objects.filter(pk=draft.pk).first() if draft.pk else None
    if kept is None:
        return {"enabled": draft.enabled, "timezone": draft.timezone, "rules": draft.rules}
    rules = {name: value for name, value in draft.rules.items() if kept.rules.get(name) != value}
    return {
        "enabled": None if draft.enabled == kept.enabled else draft.enabled,
        "timezone": None if draft.timezone == kept.timezone else draft.timezone,
        "rules": rules or None,
    }


class StateFilter(admin.SimpleListFilter):
    """Filters scheduled changes by state."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: object) -> Choices:
        return [(name, str(label)) for name, label in STATES.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Model]) -> QuerySet[Model]:
        match self.value():
            case "SCHEDULED":
                return queryset.filter(applied_at=None, cancelled_at=None)
            case "IN_FORCE":
                return queryset.filter(applied_at__isnull=False)
            case "CANCELLED":
                return queryset.filter(cancelled_at__isnull=False)
        return queryset


STATES = {"SCHEDULED": _("scheduled"), "IN_FORCE": _("in force"), "CANCELLED": _("cancelled")}


@admin.register(ScheduledChange)
class ScheduledChangeAdmin(ReadOnlyAdmin):
    """Scheduled changes of market policies: entered in a policy's form, cancelled here."""

    actions: Any = ("cancel",)  # read-only screens have none
    list_display = ("province", "market", "starts", "what", "state_shown", "changed_by")
    list_display_links = ("province", "market")
    list_filter = (StateFilter, "province")
    search_fields = ("market_key",)
    search_help_text = _("Market, without accents")
    nothing_yet = _("Nothing is scheduled. Give a date and time under “Takes effect” in a policy’s form.")
    fields = (
        "province", "market", "starts", "what", "state_shown", "changed_by", "reason", "created_at",
        "correlation_id", "applied_at", "made_version", "cancelled_at", "cancelled_by", "cancel_reason",
    )  # fmt: skip

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm(cancel_scheduled.right))

    @admin.action(description=_("Cancel scheduled changes"), permissions=["cancel"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        form = WhyForm(request.POST if "apply" in request.POST else None)
        chosen = list(queryset.order_by("pk")[:MOST_SWITCHED])
        if not form.is_valid():
            rows = [f"{row} · {_start(row)} · {' · '.join(change_in_words(row.changes))}" for row in chosen]
            pks = [row.pk for row in chosen]
            return ask_why(
                self, request, form, "cancel", _("Cancel scheduled changes"), chosen=pks, rows=rows
            )
        by, at, reason = by_of(request), timezone.now(), form.cleaned_data["reason"]
        done = act_on_each(request, chosen, lambda row: cancel_scheduled(row.pk, by=by, at=at, reason=reason))
        said = ngettext("%(count)s change cancelled.", "%(count)s changes cancelled.", done)
        messages.success(request, said % {"count": done})
        return None

    starts = column(_("takes effect"), _start, ordering="effective_from")
    what = column(_("changes"), lambda change: " · ".join(change_in_words(change.changes)))
    state_shown = column(_("state"), lambda change: str(STATES[change.state]))

"""Admin classes for tripwires: their states, firings and policies."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import models
from django.forms import BaseForm
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import display

from governance.core.actors import Actor
from governance.core.admin.base import WHY_AND_VERSION, ReadOnlyAdmin, by_of, reason_field
from governance.core.admin.careful import CarefulAdmin
from governance.core.admin.display import as_share, column
from governance.core.admin.filters import on_board
from governance.core.admin.live import SwitchesMany, live
from governance.core.admin.live import sentences as as_paragraphs
from governance.core.errors import Refused
from governance.core.numbers import percent
from governance.tripwire.models import REASON_LENGTH, RegressionFiring, RegressionPolicy, RegressionState
from governance.tripwire.querysets import OpenDays, local_day
from governance.tripwire.services import POLICY_FIELDS, release_tripwire, seen_by, upsert_policy
from governance.tripwire.why import light, why
from governance.tripwire.wording import figure, label, note, policy_in_words, power, sentences

EARLIER = 20


class ReleaseForm(forms.Form):
    """The reason for resetting a tripwire's alert."""

    change_reason = reason_field(
        gettext_lazy("Reason"), REASON_LENGTH, gettext_lazy("What was found and done; kept with the firing.")
    )


STANDING = on_board(
    (
        "standing",
        gettext_lazy("watching, or triggered"),
        lambda rows, at: rows.standing(),
    ),
)


@admin.register(RegressionState)
class RegressionStateAdmin(ReadOnlyAdmin):
    """The state of every tripwire; its page explains it, and resets the alert."""

    list_display = (
        "light", "metric", "told", "baseline_told", "current_told", "drop_told", "smallest_told",
        "last_checked",
    )  # fmt: skip
    list_display_links = ("light", "metric")
    list_filter = (STANDING, "triggered", "verdict", "policy__enabled", "policy__measure", "policy__domain")
    list_select_related = ("policy",)
    search_fields = ("policy__metric__startswith", "policy__domain__startswith")
    search_help_text = gettext_lazy("Metric or domain (starts with)")
    ordering = ("-triggered", "-policy__enabled", "policy__domain", "policy__metric")

    @display(
        description=gettext_lazy("light"),
        ordering="triggered",
        label={"bad": "danger", "watch": "warning", "good": "success", "": "info", "off": "info"},
    )
    def light(self, state: RegressionState) -> tuple[str, str]:
        found = light(state)
        return found.state, found.says

    metric = column(gettext_lazy("metric"), lambda state: label(state.policy), ordering="policy__metric")
    told = column(gettext_lazy("status"), note)

    @admin.display(description=gettext_lazy("before"), ordering="baseline")
    def baseline_told(self, state: RegressionState) -> str:
        return figure(state.policy.measure, state.baseline)

    @admin.display(description=gettext_lazy("now"), ordering="current")
    def current_told(self, state: RegressionState) -> str:
        return figure(state.policy.measure, state.current)

    @admin.display(description=gettext_lazy("drop"), ordering="drop_fraction")
    def drop_told(self, state: RegressionState) -> str:
        return "–" if state.drop_fraction is None else percent(max(0.0, state.drop_fraction), 0)

    smallest_told = as_share("smallest_drop", gettext_lazy("smallest detectable drop"), 0)

    def changeform_view(
        self, request: HttpRequest, object_id: Any = None, form_url: str = "", extra_context: object = None
    ) -> HttpResponse:
        if not self.has_view_permission(request) or object_id is None:
            raise PermissionDenied
        state: RegressionState | None = self.get_object(request, object_id)
        if state is None:
            raise Http404
        if request.method != "POST":
            return self._page(request, state, ReleaseForm())
        if not by_of(request).may(release_tripwire.right):
            raise PermissionDenied
        return self._release(request, state, ReleaseForm(request.POST))

    def _release(self, request: HttpRequest, state: RegressionState, form: ReleaseForm) -> HttpResponse:
        if not form.is_valid():
            return self._page(request, state, form)
        policy = state.policy
        try:
            release_tripwire(
                policy.domain,
                policy.metric,
                by=by_of(request),
                at=timezone.now(),
                reason=form.cleaned_data["change_reason"],
            )
        except Refused as refusal:
            return self._page(request, state, form, refusal)
        messages.success(request, _("The alert is reset. The tripwire recomputes its baseline from now on."))
        return HttpResponseRedirect(request.path)

    def _page(
        self, request: HttpRequest, state: RegressionState, form: ReleaseForm, refusal: Refused | None = None
    ) -> HttpResponse:
        firings = state.policy.firings.order_by("-tripped_at", "-id")
        shown = list(firings[: EARLIER + 1])
        firing = next((one for one in shown if one.released_at is None), None)
        stands = light(state)
        seen = seen_by(state, local_day(timezone.now()), OpenDays())
        context = {
            **self.admin_site.each_context(request),
            "title": label(state.policy),
            "subtitle": state.policy.name,
            "opts": self.opts,
            "original": state,
            "state": state,
            "look": {"light": stands.state, "says": stands.says, "note": note(state), "power": _power(state)},
            "firing": firing and {"sentences": sentences(firing)[:-1], "why": why(firing.seen, "fired")},
            "form": form if firing and by_of(request).may(release_tripwire.right) else None,
            "refusal": refusal,
            # on the day of the firing both are the same
            "now": None if firing and firing.seen["series"] == seen["series"] else why(seen, "seen"),
            "earlier": [one for one in shown if one is not firing],
        }
        answer = refusal.status if refusal is not None else 200
        return TemplateResponse(
            request, "admin/governance/regressionstate/tripwire.html", context, status=answer
        )


def _power(state: RegressionState) -> str:
    """Return the smallest drop that can be detected, unless the note has it already."""
    told = power(state)
    return told if told not in note(state) else ""


@admin.register(RegressionFiring)
class RegressionFiringAdmin(ReadOnlyAdmin):
    """Every firing of a tripwire: what it found, what it did, and who reset it."""

    list_display = ("tripped_at", "metric", "drop_told", "action", "engine", "released_at", "released_by",
                    "reason")  # fmt: skip
    list_filter = (("released_at", admin.EmptyFieldListFilter), "action", "tripped_at")
    list_select_related = ("policy",)
    ordering = ("-tripped_at", "-id")

    metric = column(gettext_lazy("metric"), lambda firing: label(firing.policy), ordering="policy__metric")
    drop_told = column(gettext_lazy("drop"), lambda firing: percent(firing.seen.get("drop") or 0, 0))

    def changeform_view(
        self, request: HttpRequest, object_id: Any = None, form_url: str = "", extra_context: object = None
    ) -> HttpResponse:
        if not self.has_view_permission(request) or object_id is None or request.method == "POST":
            raise PermissionDenied
        firing: RegressionFiring | None = self.get_object(request, object_id)
        if firing is None:
            raise Http404
        context = {
            **self.admin_site.each_context(request),
            "title": label(firing.policy),
            "subtitle": firing.policy.name,
            "opts": self.opts,
            "original": firing,
            "firing": firing,
            "state_id": firing.policy.state.pk,
            "sentences": sentences(firing)[: -1 if firing.released_at is None else -2],
            "why": why(firing.seen, "fired"),
        }
        return TemplateResponse(request, "admin/governance/regressionfiring/firing.html", context)


@admin.register(RegressionPolicy)
class RegressionPolicyAdmin(SwitchesMany, CarefulAdmin):
    """Tripwire policies; every save is a version with its reason."""

    history_list_display = ("version",)
    list_display = (
        "metric_told", "enabled", "measure", "max_drop_fraction", "max_false_alarm", "action", "engine",
        "version", "changed_by", "updated_at",
    )  # fmt: skip
    list_filter = ("enabled", "measure", "action", "domain", "updated_at")
    search_fields = ("metric__startswith", "domain__startswith")
    search_help_text = gettext_lazy("Metric or domain (starts with)")
    ordering = ("domain", "metric")
    asked_by_address = ("domain", "metric")
    readonly_fields = ("meaning",)
    fixed = ("domain", "metric")
    fieldsets = (
        (None, {"fields": ("domain", "metric", "measure", "enabled")}),
        (gettext_lazy("What counts as a drop"), {"fields": ("max_drop_fraction", "max_false_alarm")}),
        (
            gettext_lazy("Which events are compared"),
            {
                "fields": ("baseline_events", "window_events", "min_events_to_enforce"),
                "description": gettext_lazy(
                    "Changing the measure or the first two fields starts over: earlier events no "
                    "longer count, and the tripwire recomputes its baseline."
                ),
            },
        ),
        (gettext_lazy("Action"), {"fields": ("action", "engine", "meaning")}),
        *WHY_AND_VERSION,
    )

    def serve(
        self, request: HttpRequest, obj: RegressionPolicy, form: BaseForm, change: bool
    ) -> models.Model:
        return upsert_policy(
            obj.domain,
            obj.metric,
            {name: getattr(obj, name) for name in POLICY_FIELDS},
            reason=form.cleaned_data["change_reason"],
            expected_version=form.cleaned_data["seen_version"] if change else 0,
            by=by_of(request),
            at=timezone.now(),
        )

    def switch(self, row: RegressionPolicy, *, enabled: bool, by: Actor, reason: str) -> None:
        upsert_policy(row.domain, row.metric, {"enabled": enabled}, by=by, at=timezone.now(), reason=reason)

    @admin.display(description=gettext_lazy("summary"))
    def meaning(self, policy: RegressionPolicy) -> str:
        return live("meaning", as_paragraphs(policy_in_words(policy)))

    metric_told = column(gettext_lazy("metric"), label, ordering="metric")

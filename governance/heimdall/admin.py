"""Heimdall's admin classes: each domain's figures next to its minimums."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.db import models
from django.forms import BaseForm
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import display

from governance.core.admin.base import SHOWS_HISTORY, WHY_AND_VERSION, ReadOnlyAdmin, by_of
from governance.core.admin.careful import CarefulAdmin, CarefulForm
from governance.core.admin.display import as_share, column, facts
from governance.core.numbers import percent
from governance.heimdall import rules
from governance.heimdall.models import (
    Domain,
    HeimdallEvent,
    HeimdallPolicy,
    HeimdallRecommendation,
    HeimdallScorecardDay,
)
from governance.heimdall.querysets import card_of
from governance.heimdall.rules import Scorecard
from governance.heimdall.services import POLICY_FIELDS, in_words, shown_rate, upsert_policy, window

LABELS = dict(Domain.choices)
ANSWERS = {**dict(rules.Reason.choices), **dict(rules.Misuse.choices)}
ON, READY, NOT_YET, FALLEN = "on", "ready", "not yet", "fallen"


class PolicyForm(CarefulForm):
    """The form of a policy."""

    class Meta:
        model = HeimdallPolicy
        fields = ("domain", *POLICY_FIELDS)


class DomainFilter(admin.SimpleListFilter):
    """Filters by the domains that have a policy: they are few, and the rows are many."""

    title = gettext_lazy("domain")
    parameter_name = "domain"

    def lookups(self, request: HttpRequest, model_admin: object) -> list[tuple[str, str]]:
        return [(name, name) for name in HeimdallPolicy.objects.values_list("domain", flat=True)]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.filter(domain=self.value()) if self.value() else queryset


@admin.register(HeimdallPolicy)
class HeimdallPolicyAdmin(CarefulAdmin):
    """Heimdall policies: each domain's minimums next to its scorecard."""

    form = PolicyForm
    asked_by_address = ("domain",)
    list_display = (
        "domain", "about", "standing", "trials_shown", "rate_shown", "confidence_asked", "changed_by",
        "updated_at",
    )  # fmt: skip
    list_filter = ("prod_use_enabled",)
    ordering = ("domain",)
    history_list_display = ("version", "prod_use_enabled")
    readonly_fields = ("carried", "trials_shown", "rate_shown", "days_shown")
    fixed = ("domain",)
    fieldsets = (
        (None, {"fields": ("domain", "prod_use_enabled")}),
        (
            gettext_lazy("Requirements"),
            {"fields": ("min_confidence_prod", "min_sandbox_trials", "min_sandbox_success_rate")},
        ),
        (
            gettext_lazy("What was shown"),
            {"fields": ("carried", "trials_shown", "rate_shown", "days_shown")},
        ),
        *WHY_AND_VERSION,
    )

    def get_queryset(self, request: HttpRequest) -> Any:
        since, until = window(timezone.now())
        return super().get_queryset(request).with_scorecard(since, until)

    def get_fieldsets(self, request: HttpRequest, obj: object = None) -> Any:
        """Leave out the current figures if there are none: on a new policy, and on an old version."""
        fieldsets = super().get_fieldsets(request, obj)
        if obj is not None and not SHOWS_HISTORY.of(request):
            return fieldsets
        return [entry for entry in fieldsets if "carried" not in entry[1]["fields"]]

    def serve(self, request: HttpRequest, obj: HeimdallPolicy, form: BaseForm, change: bool) -> models.Model:
        return upsert_policy(
            obj.domain,
            {name: getattr(obj, name) for name in POLICY_FIELDS},
            by=by_of(request),
            at=timezone.now(),
            reason=form.cleaned_data["change_reason"],
            expected_version=form.cleaned_data["seen_version"] if change else 0,
        )

    def warnings_of(self, before: HeimdallPolicy | None, after: HeimdallPolicy) -> list[str]:
        if before is None:
            return []
        lowered = rules.lowered(before.thresholds, after.thresholds)
        return [_lowered_display(name, old, new) for name, old, new in lowered]

    about = column(gettext_lazy("about"), lambda policy: str(LABELS.get(policy.domain, "–")))

    @display(
        description=gettext_lazy("status"),
        label={ON: "success", READY: "info", NOT_YET: "", FALLEN: "danger"},
    )
    def standing(self, policy: HeimdallPolicy) -> object:
        carried = rules.shortfall(policy.thresholds, card_of(policy)) is None
        if policy.prod_use_enabled:
            return (ON, _("in production")) if carried else (FALLEN, _("held back: below the requirements"))
        return (READY, _("can be promoted")) if carried else (NOT_YET, _("in the sandbox"))

    @admin.display(description=gettext_lazy("verdict"))
    def carried(self, policy: HeimdallPolicy) -> str:
        card = card_of(policy)
        lacking = rules.shortfall(policy.thresholds, card)
        if lacking is None:
            return _("Enough trials.")
        return _("More trials needed.") + " " + in_words(lacking, policy.domain, policy.thresholds, card)

    @admin.display(description=gettext_lazy("trials"))
    def trials_shown(self, policy: HeimdallPolicy) -> str:
        return _beside(str(card_of(policy).trials), str(policy.min_sandbox_trials))

    @admin.display(description=gettext_lazy("success rate"))
    def rate_shown(self, policy: HeimdallPolicy) -> str:
        return _beside(_rate(card_of(policy)), percent(policy.min_sandbox_success_rate))

    confidence_asked = as_share("min_confidence_prod", gettext_lazy("minimum confidence"))

    @admin.display(description=gettext_lazy("counted"))
    def days_shown(self, policy: HeimdallPolicy) -> str:
        return format_html(
            '<a class="text-primary-600 dark:text-primary-500" href="{}?domain={}">{}</a>',
            reverse("admin:governance_heimdallscorecardday_changelist"),
            policy.domain,
            _("the last %(days)s days, day by day") % {"days": settings.HEIMDALL_TRIAL_DAYS},
        )


def _lowered_display(name: str, old: Any, new: Any) -> str:
    """Return a sentence that says which minimum is lowered."""
    facts = {"old": percent(old), "new": percent(new)} if name != rules.TRIALS else {"old": old, "new": new}
    sentences = {
        rules.CONFIDENCE: _(
            "The minimum confidence falls from %(old)s to %(new)s: less certain recommendations may "
            "drive production."
        ),
        rules.TRIALS: _(
            "The minimum number of trials falls from %(old)s to %(new)s: less evidence is needed."
        ),
        rules.SUCCESS: _(
            "The minimum success rate falls from %(old)s to %(new)s: more trials may have failed."
        ),
    }
    return sentences[name] % facts


def _beside(shown: str, least: str) -> str:
    """Return a figure next to its minimum, on one line."""
    return (_("%(shown)s, required %(least)s") % {"shown": shown, "least": least}).replace(" ", "\u00a0")


def _rate(card: Scorecard) -> str:
    return _("none yet") if card.success_rate is None else shown_rate(card.success_rate)


@admin.register(HeimdallScorecardDay)
class HeimdallScorecardDayAdmin(ReadOnlyAdmin):
    """Sandbox trials by day."""

    list_display = ("day", "domain", "trials", "successes", "rate")
    list_filter = (DomainFilter, "day")
    ordering = ("-day", "domain")
    fields = ("day", "domain", "trials", "successes", "rate")

    rate = column(gettext_lazy("success rate"), lambda day: _rate(Scorecard(day.trials, day.successes)))


@admin.register(HeimdallRecommendation)
class HeimdallRecommendationAdmin(ReadOnlyAdmin):
    """Machine recommendations, and the gate's answer at the time."""

    list_display = (
        "id", "created_at", "domain", "subject", "sure", "reason", "used", "trials", "successes",
        "policy_version", "actor",
    )  # fmt: skip
    list_filter = (DomainFilter, "reason", "created_at")
    search_fields = ("subject__startswith", "correlation_id__startswith", "actor__startswith")
    search_help_text = gettext_lazy("Subject, correlation id or person (starts with)")
    ordering = ("-id",)
    fields = (
        "created_at", "domain", "subject", "sure", "detail_told", "reason", "used", "policy_version",
        "trials", "successes", "actor", "acting_for", "correlation_id", "token_id",
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> Any:
        uses = HeimdallEvent.objects.uses_of(models.OuterRef("pk"))
        return super().get_queryset(request).annotate(is_used=models.Exists(uses))

    @admin.display(description=gettext_lazy("confidence"), ordering="confidence")
    def sure(self, recommendation: HeimdallRecommendation) -> str:
        return shown_rate(recommendation.confidence)

    @admin.display(description=gettext_lazy("detail"))
    def detail_told(self, recommendation: HeimdallRecommendation) -> str:
        return facts(recommendation.detail, {"rank": _("rank")})

    @admin.display(description=gettext_lazy("use"))
    def used(self, recommendation: HeimdallRecommendation) -> str:
        was: bool = recommendation.is_used  # type: ignore[attr-defined]  # annotated above
        return _("used") if was else _("not used")


@admin.register(HeimdallEvent)
class HeimdallEventAdmin(ReadOnlyAdmin):
    """Heimdall's events."""

    list_display = (
        "id", "created_at", "domain", "kind", "outcome", "recommendation_shown", "policy_version", "actor",
    )  # fmt: skip
    list_filter = ("kind", DomainFilter, "success", "created_at")
    search_fields = ("correlation_id__startswith", "actor__startswith", "=recommendation__id")
    search_help_text = gettext_lazy("Correlation id or person (starts with), or a recommendation’s id")
    ordering = ("-id",)
    fields = (
        "created_at", "domain", "kind", "outcome", "recommendation", "policy_version", "actor", "acting_for",
        "correlation_id", "token_id",
    )  # fmt: skip

    @admin.display(description=gettext_lazy("verdict"))
    def outcome(self, event: HeimdallEvent) -> str:
        if event.success is not None:
            return _("succeeded") if event.success else _("failed")
        return str(ANSWERS.get(event.reason, event.reason) or "–")

    recommendation_shown = column(gettext_lazy("recommendation"), "recommendation_id", nothing="–")

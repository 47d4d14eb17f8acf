"""Admin classes for caps, which managers edit with a reason, and their use, which nobody edits."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.db import models
from django.forms import BaseForm
from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.text import get_text_list
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from governance.core.actors import Actor
from governance.core.admin.base import WHY_AND_VERSION, DifferencesInWords, ReadOnlyAdmin, by_of, pretty_json
from governance.core.admin.careful import CarefulAdmin
from governance.core.admin.display import amount, column
from governance.core.admin.filters import one_of
from governance.core.admin.live import SwitchesMany, live, sentences
from governance.risk.forms import CAPS, RiskPolicyForm, no_cap_name
from governance.risk.gauges import as_gauges
from governance.risk.models import (
    RiskEngine,
    RiskEvent,
    RiskLedgerDay,
    RiskPolicy,
    RiskReservation,
    RiskThrottle,
)
from governance.risk.rules import (
    ACTIONS,
    EXPOSURE,
    GLOBAL,
    LOSS,
    OPEN,
    STALE,
    Danger,
    loosened,
)
from governance.risk.services import POLICY_FIELDS, snapshot, upsert_policy
from governance.risk.transfer import TransfersRiskPolicies

WHY = {
    "policy_missing": _("no policy"),
    "policy_disabled": _("the policy is off"),
    EXPOSURE: _("exposure a day"),
    OPEN: _("open risk"),
    ACTIONS: _("actions a day"),
    LOSS: _("loss a day"),
    STALE: _("not ended in 72 hours"),
    "REJECTED": _("the offer was rejected"),
    "FELL_THROUGH": _("the contract fell through"),
    "SUPERSEDED": _("a newer offer took its place"),
    "ASSIGNED": _("the contract was assigned"),
}
PURPOSES = {"offer": _("offer"), "placement": _("placement")}


@admin.display(description=_("purpose"))
def purpose(row: Any) -> str:
    """Return a reservation's purpose for display; an unknown code unchanged."""
    return str(PURPOSES.get(row.purpose, row.purpose)) or "–"


@admin.display(description=_("why it ended"))
def why_closed(reservation: RiskReservation) -> str:
    """Return why a reservation ended, for display."""
    return str(WHY.get(reservation.close_code, reservation.close_code)) or "–"


def _figure(model: type[models.Model], name: str, nothing: str = "") -> Any:
    """Return a column that shows an amount or a number; `nothing` stands for 0."""
    label = next(field.verbose_name for field in model._meta.fields if field.name == name)

    @admin.display(description=label, ordering=name)
    def column(row: Any) -> str:
        figure = getattr(row, name)
        if figure is None or (nothing and not figure):
            return nothing or "–"
        return amount(figure)

    return column


def caps_in_words(policy: RiskPolicy) -> list[str]:
    """Return sentences on what an engine may do under its caps."""
    if not policy.enabled:
        return [gettext("Switched off: nothing is reserved here.")]
    capped = [
        (policy.max_daily_loss, gettext("lose at most %(figure)s CAD a day")),
        (policy.max_daily_exposure, gettext("reserve at most %(figure)s CAD a day")),
        (policy.max_open_risk, gettext("have at most %(figure)s CAD reserved at a time")),
        (policy.max_actions_per_day, gettext("make at most %(figure)s reservations a day")),
    ]
    said = [text % {"figure": amount(figure)} for figure, text in capped if figure]
    if not said:
        return [gettext("No caps: every reservation is allowed.")]
    engine = gettext("All engines together") if policy.engine == GLOBAL else policy.engine
    may = gettext("%(engine)s may %(caps)s. A day is a UTC day.")
    return [may % {"engine": engine, "caps": get_text_list(said, gettext("and"))}]


CAP_NAMES = {
    LOSS: _("loss a day (CAD)"),
    EXPOSURE: _("exposure a day (CAD)"),
    OPEN: _("open risk (CAD)"),
    ACTIONS: _("reservations a day"),
}


def danger_display(danger: Danger) -> str:
    """Return a warning about a dangerous change of a cap."""

    def shown(figure: Any) -> str:
        places = 0 if figure == int(figure) else 2
        return number_format(figure, places, use_l10n=True, force_grouping=True)

    facts = {"cap": CAP_NAMES[danger.name], "old": shown(danger.old), "new": shown(danger.new)}
    if not danger.new:
        return gettext("The cap on %(cap)s, now %(old)s, is removed: nothing limits it any more.") % facts
    sentence = gettext(
        "The cap on %(cap)s rises to %(new)s, above the %(most)s that GLOBAL allows all engines together."
    )
    return sentence % {**facts, "most": shown(danger.most)}


class CapsThatDiffer(DifferencesInWords):
    """Shows a cap of 0 as no cap."""

    def prepare_delta_change_value(self, change: Any, value: object) -> object:
        if change.field in CAPS and not value:
            return gettext("no cap")
        return super().prepare_delta_change_value(change, value)


def _engines() -> list[tuple[str, str]]:
    known = RiskEngine.objects.order_by("engine").values_list("engine", flat=True)
    return [(engine, engine) for engine in known]


OF_ENGINE = one_of("engine", _("engine"), _engines)


@admin.register(RiskPolicy)
class RiskPolicyAdmin(TransfersRiskPolicies, SwitchesMany, CarefulAdmin):
    """Risk policies, with each engine's use of its caps; every save is a version with its reason."""

    form = RiskPolicyForm
    differences = CapsThatDiffer
    list_before_template = "admin/governance/riskpolicy/use.html"
    history_list_display = ("version",)
    list_display = (
        "engine", "enabled", _figure(RiskPolicy, "max_daily_loss", "–"),
        _figure(RiskPolicy, "max_daily_exposure", "–"), _figure(RiskPolicy, "max_open_risk", "–"),
        _figure(RiskPolicy, "max_actions_per_day", "–"), "version", "changed_by", "updated_at",
    )  # fmt: skip
    list_filter = ("enabled", "updated_at")
    ordering = ("engine",)
    asked_by_address = ("engine",)
    readonly_fields = ("meaning",)
    fixed = ("engine",)
    fieldsets = (
        (None, {"fields": ("engine", "enabled")}),
        (
            _("Caps"),
            {
                "fields": (*((name, no_cap_name(name)) for name in CAPS), "meaning"),
            },
        ),
        *WHY_AND_VERSION,
    )

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        shown = {"risk": as_gauges(snapshot(timezone.now()))}
        return super().changelist_view(request, {**(extra_context or {}), **shown})

    def serve(self, request: HttpRequest, obj: RiskPolicy, form: BaseForm, change: bool) -> models.Model:
        return upsert_policy(
            obj.engine,
            {name: getattr(obj, name) for name in POLICY_FIELDS},
            reason=form.cleaned_data["change_reason"],
            expected_version=form.cleaned_data["seen_version"] if change else 0,
            by=by_of(request),
            at=timezone.now(),
        )

    def warnings_of(self, before: RiskPolicy | None, after: RiskPolicy) -> list[str]:
        over_all = None if after.engine == GLOBAL else RiskPolicy.objects.filter(engine=GLOBAL).first()
        dangers = loosened(before.caps if before else None, after.caps, over_all.caps if over_all else None)
        return [danger_display(danger) for danger in dangers]

    def switch(self, row: RiskPolicy, *, enabled: bool, by: Actor, reason: str) -> None:
        upsert_policy(row.engine, {"enabled": enabled}, by=by, at=timezone.now(), reason=reason)

    meaning = column(_("summary"), lambda policy: live("meaning", sentences(caps_in_words(policy))))


@admin.register(RiskEngine)
class RiskEngineAdmin(ReadOnlyAdmin):
    """Each engine's open risk, of all days."""

    list_display = ("engine", _figure(RiskEngine, "open_risk"), _figure(RiskEngine, "open_cap", "–"))
    ordering = ("engine",)
    fields = list_display


@admin.register(RiskLedgerDay)
class RiskLedgerDayAdmin(ReadOnlyAdmin):
    """Each engine's use by UTC day, with the caps of that day."""

    list_display = (
        "day",
        "engine",
        _figure(RiskLedgerDay, "realized_loss"),
        _figure(RiskLedgerDay, "loss_cap", "–"),
        _figure(RiskLedgerDay, "exposure"),
        _figure(RiskLedgerDay, "exposure_cap", "–"),
        _figure(RiskLedgerDay, "actions"),
        _figure(RiskLedgerDay, "actions_cap", "–"),
    )
    list_filter = ("engine", "day")
    ordering = ("-day", "engine")
    fields = list_display


@admin.register(RiskReservation)
class RiskReservationAdmin(ReadOnlyAdmin):
    """Every reservation and how it ended."""

    list_display = (
        "id", "created_at", "engine", _figure(RiskReservation, "amount"), "state",
        _figure(RiskReservation, "realized_loss"), purpose, "closed_at", why_closed, "actor",
    )  # fmt: skip
    list_filter = ("state", OF_ENGINE, "day")
    search_fields = ("purpose__startswith", "correlation_id__startswith", "actor__startswith")
    search_help_text = _("Purpose, correlation id or person (starts with)")
    ordering = ("-id",)
    fields: ClassVar[Any] = (  # functions too, of which the stubs know nothing
        "created_at", "engine", _figure(RiskReservation, "amount"), "state",
        _figure(RiskReservation, "realized_loss"), "day", purpose, "closed_at", "closed_by", why_closed,
        "actor", "acting_for", "correlation_id", "token_id",
    )  # fmt: skip


@admin.register(RiskThrottle)
class RiskThrottleAdmin(ReadOnlyAdmin):
    """Current and past throttles; reset them on the tripwire's own page."""

    list_display = ("engine", "tripwire", "since", "released_at", "released_by", "reason")
    list_filter = (("released_at", admin.EmptyFieldListFilter), "engine", "since")
    ordering = ("-id",)
    fields = (*list_display, "actor", "correlation_id", "token_id")


@admin.register(RiskEvent)
class RiskEventAdmin(ReadOnlyAdmin):
    """Risk events: reservations, denials, ends and throttles, with the basis of each decision."""

    list_display = (
        "created_at", "kind", "engine", _figure(RiskEvent, "amount"), _figure(RiskEvent, "realized_loss"),
        "number", "why", "actor",
    )  # fmt: skip
    list_filter = ("kind", OF_ENGINE, "created_at")
    search_fields = ("purpose__startswith", "correlation_id__startswith", "actor__startswith")
    search_help_text = _("Purpose, correlation id or person (starts with)")
    ordering = ("-created_at", "-id")
    fields: ClassVar[Any] = (  # as above
        "created_at", "kind", "engine", _figure(RiskEvent, "amount"), _figure(RiskEvent, "realized_loss"),
        "reservation", "why", purpose, "decided_by", "actor", "acting_for", "correlation_id",
        "token_id",
    )  # fmt: skip

    number = column(_("reservation"), "reservation_id", nothing="–")
    why = column(_("why"), lambda event: event.tripwire or str(WHY.get(event.code, event.code)) or "–")

    @admin.display(description=_("what decided it"))
    def decided_by(self, event: RiskEvent) -> str:
        return format_html(
            '<pre class="font-mono text-sm whitespace-pre-wrap">{}</pre>', pretty_json(event.detail)
        )

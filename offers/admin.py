"""Admin classes for offer policies, and for offers and their evidence, which nobody edits."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.contrib import admin
from django.db import models
from django.forms import BaseForm
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import TabularInline

from governance.core.actors import Actor
from governance.core.admin.base import FewRows, ReadOnlyAdmin, TellsOfLead, by_of
from governance.core.admin.careful import CarefulAdmin
from governance.core.admin.display import amount, as_share, column, facts, in_cad
from governance.core.admin.live import SwitchesMany, live, sentences
from governance.core.places import Place
from offers import rules
from offers.models import Offer, OfferEvidence, OfferOutcome, OfferPolicy
from offers.services import POLICY_FIELDS, details_of, upsert_policy
from offers.transfer import TransfersOfferPolicies

# Display names of the keys in evidence.
KEPT = {
    "given": _("sales given"), "count": _("sales used"), "median": _("median price (CAD)"),
    "spread": _("spread of the middle half (CAD)"), "relative_spread": _("spread as a share of the median"),
    "lower_fence": _("too low below (CAD)"), "upper_fence": _("too high above (CAD)"),
    "outliers": _("sales left out for their price"), "out_of_range": _("sales left out as not comparable"),
    "unverified": _("sales with missing data"),
    "arv_to_median": _("after-repair value as a share of the median"), "grade": _("grade"),
    "comp": _("sale"), "why": _("because of"), "distance": _("distance"), "age": _("age"),
    "size": _("floor area"),
    "price": _("price (CAD)"), "sqft": _("size (sq. ft.)"), "distance_miles": _("distance (miles)"),
    "months_ago": _("months ago"), "sold_on": _("sold on"), "ref": _("reference"),
    "subject_sqft": _("size of the house (sq. ft.)"), "vacant": _("vacant"),
    "score": _("score"), "score_low": _("cautious score"), "events": _("events"),
    "province": _("province"), "market": _("market"), "enabled": _("enabled"),
    "max_arv_multiplier": _("share of the ARV"), "default_assignment_fee": _("assignment fee"),
    "default_fees_buffer": _("fees buffer"),
    "offer_net_of_assignment_fee": _("offer net of the assignment fee"),
    "min_liquidity_score": _("minimum liquidity score"), "require_heimdall": _("require Heimdall"),
    "domain": _("domain"), "confidence": _("confidence"), "policy_version": _("policy version"),
    "trials": _("trials"), "successes": _("successes"), "success_rate": _("success rate"),
}  # fmt: skip

# Of these, the ones that are amounts, shares and counts; the others are names: versions, listings, days.
QUANTITIES = frozenset(KEPT) - {
    "comp", "ref", "sold_on", "outliers", "unverified", "policy_version", "grade", "domain", "province",
    "market",
}  # fmt: skip


def _kept_display(kept: Any) -> str | SafeString:
    """Return a value in evidence for display."""
    return facts(kept, KEPT, quantities=QUANTITIES)


FIGURES = {"max_arv_multiplier", "default_fees_buffer", "default_assignment_fee"}
EXAMPLE_ARV, EXAMPLE_REPAIRS = Decimal(450_000), Decimal(50_000)


def example_of(policy: OfferPolicy) -> list[str]:
    """Return sentences on the policy's result for the standard example house."""
    house = {"arv": amount(EXAMPLE_ARV), "repairs": amount(EXAMPLE_REPAIRS)}
    calc = rules.calculate(EXAMPLE_ARV, EXAMPLE_REPAIRS, policy.terms)
    said = [
        gettext("A house worth %(arv)s CAD once %(repairs)s CAD of repairs are done:") % house,
        gettext("the end buyer may pay %(mao)s CAD at most, and we offer %(offer)s CAD.")
        % {"mao": amount(calc.mao), "offer": amount(calc.recommended_offer)},
    ]
    if calc.floored:
        said.append(gettext("The result is below zero and set to zero: such a house gets no offer."))
    if not policy.enabled:
        said.append(gettext("Off: no offer is computed here, and ALL does not apply instead."))
    return said


@admin.register(OfferPolicy)
class OfferPolicyAdmin(TransfersOfferPolicies, SwitchesMany, CarefulAdmin):
    """Policies of provinces and markets; every save is a version with its reason."""

    history_list_display = ("version",)
    list_display = (
        "province", "market", "enabled", "share", "fee", "buffer",
        "offer_net_of_assignment_fee", "min_liquidity_score", "require_heimdall",
        "version", "changed_by", "updated_at",
    )  # fmt: skip
    list_display_links = ("province", "market")
    list_filter = ("enabled", "province", "require_heimdall", "updated_at")
    search_fields = ("market_key",)
    search_help_text = _("Market, without accents")
    ordering = ("province", "market")
    readonly_fields = ("example",)
    fixed = ("province", "market")
    fieldsets = (
        (None, {"fields": ("province", "market", "enabled")}),
        (
            _("The formula"),
            {
                "fields": (
                    "max_arv_multiplier",
                    "default_fees_buffer",
                    "default_assignment_fee",
                    "offer_net_of_assignment_fee",
                    "example",
                )
            },
        ),
        (_("Other requirements of an offer"), {"fields": ("min_liquidity_score", "require_heimdall")}),
        (_("Why"), {"fields": ("change_reason", "seen_version")}),
        (_("This version"), {"fields": ("version", "changed_by", "reason", "updated_at")}),
    )

    share = as_share("max_arv_multiplier", _("share of the ARV"))
    fee = in_cad("default_assignment_fee", _("assignment fee"))
    buffer = in_cad("default_fees_buffer", _("fees buffer"))

    def serve(self, request: HttpRequest, obj: OfferPolicy, form: BaseForm, change: bool) -> models.Model:
        return upsert_policy(
            Place(obj.province, obj.market),
            {name: getattr(obj, name) for name in POLICY_FIELDS},
            reason=form.cleaned_data["change_reason"],
            expected_version=form.cleaned_data["seen_version"] if change else 0,
            by=by_of(request),
            at=timezone.now(),
        )

    def switch(self, row: OfferPolicy, *, enabled: bool, by: Actor, reason: str) -> None:
        upsert_policy(row.place, {"enabled": enabled}, by=by, at=timezone.now(), reason=reason)

    @admin.display(description=_("an example"))
    def example(self, policy: OfferPolicy) -> str:
        if FIGURES & getattr(policy, "unusable", set()):
            return live("example", sentences([gettext("First correct the marked amounts.")]))
        return live("example", sentences(example_of(policy)))


class TellsPrices:
    """Columns for an outcome's prices."""

    agreed = in_cad("agreed_price", _("agreed price"))
    resold = in_cad("buyer_price", _("buyer's price"))
    earned = in_cad("fee_earned", _("fee earned"))


class OutcomeInline(TellsPrices, FewRows, TabularInline):  # type: ignore[misc]  # unfold has no types
    """An offer's outcomes, on the page of its evidence."""

    model = OfferOutcome
    extra = 0
    can_delete = False
    fields = (
        "created_at", "outcome", "agreed", "buyer", "resold", "earned", "corrects", "voided", "why", "actor",
    )  # fmt: skip
    readonly_fields = fields
    ordering = ("pk",)

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    why = column(_("reason"), lambda row: row.reason_given.text if hasattr(row, "reason_given") else "")


def _asked(kept: dict[str, Any] | None) -> str:
    return _kept_display(kept) if kept else gettext("not required by the policy")


@admin.register(OfferEvidence)
class OfferEvidenceAdmin(TellsOfLead, ReadOnlyAdmin):
    """Stored computations."""

    lead_key = "lead_id"
    list_display = (
        "id", "created_at", "lead_id", "province", "market_told", "property_type", "worth", "works",
        "highest", "recommended", "binding", "comps_grade", "state", "actor",
    )  # fmt: skip
    list_filter = ("offer__state", "province", "comps_grade", "binding", "property_type", "created_at")
    list_select_related = ("offer",)
    search_fields = ("lead_id__startswith", "correlation_id__startswith", "actor__startswith")
    search_help_text = _("Lead, correlation id or person (starts with)")
    ordering = ("-id",)
    inlines = (OutcomeInline,)
    fieldsets = (
        (None, {"fields": ("created_at", "lead_id", "province", "market_told", "property_type", "state")}),
        (
            _("Amounts"),
            {
                "fields": (
                    "worth",
                    "share",
                    "works",
                    "buffer",
                    "fee",
                    "highest",
                    "recommended",
                    "binding",
                    "floored",
                )
            },
        ),
        (
            _("Inputs"),
            {"fields": ("comps_grade", "sales_say", "sales", "said_besides", "assumed", "market_was")},
        ),
        (
            _("Policy"),
            {"fields": ("policy", "policy_version", "policy_was", "recommendation_id", "let_in")},
        ),
        (
            _("Person and evidence"),
            {"fields": ("actor", "acting_for", "correlation_id", "token_id", "rules_version", "digest")},
        ),
    )

    worth = in_cad("arv", _("after-repair value (ARV)"))
    share = as_share("max_arv_multiplier", _("share of the ARV"))
    works = in_cad("repairs", _("repairs"))
    buffer = in_cad("fees_buffer", _("fees buffer"))
    fee = in_cad("assignment_fee", _("assignment fee"))
    highest = in_cad("mao", _("maximum allowable offer (MAO)"))
    recommended = in_cad("recommended_offer", _("recommended offer"))

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).with_names()

    market_told = column(_("market"), "market_name", ordering="market_key")
    sales_say = column(_("what the sales show"), lambda evidence: _kept_display(evidence.comps_statistics))

    @admin.display(description=_("comparable sales"))
    def sales(self, evidence: OfferEvidence) -> str:
        return _kept_display([{"comp": at, **sale} for at, sale in enumerate(evidence.comps, start=1)])

    @admin.display(description=_("details of the sales"))
    def said_besides(self, evidence: OfferEvidence) -> str:
        """Show what the evidence is not based on, and what is deleted when the person is erased."""
        rows = [{"comp": number, **details} for number, details in details_of(evidence).items()]
        return _kept_display(rows)

    assumed = column(_("assumptions"), lambda evidence: _kept_display(evidence.assumptions))
    market_was = column(_("liquidity"), lambda evidence: _asked(evidence.liquidity))
    policy_was = column(_("values of the policy"), lambda evidence: _kept_display(evidence.policy_values))
    let_in = column(_("Heimdall"), lambda evidence: _asked(evidence.heimdall))
    state = column(_("state"), "offer.get_state_display", ordering="offer__state")


@admin.register(Offer)
class OfferAdmin(ReadOnlyAdmin):
    """The state of offers."""

    list_display = (
        "evidence",
        "lead_id",
        "state",
        "recommended",
        "highest",
        "reservation_id",
        "updated_at",
    )
    list_filter = ("state", "evidence__province", "updated_at")
    list_select_related = ("evidence",)
    search_fields = ("lead_id__startswith",)
    search_help_text = _("Lead (starts with)")
    ordering = ("-evidence_id",)
    fields = ("evidence", "lead_id", "state", "recommended", "highest", "reservation_id", "updated_at")
    recommended = in_cad("recommended_offer", _("recommended offer"), of="evidence")
    highest = in_cad("mao", _("maximum allowable offer (MAO)"), of="evidence")


@admin.register(OfferOutcome)
class OfferOutcomeAdmin(TellsPrices, ReadOnlyAdmin):
    """Outcomes of offers, corrections included."""

    list_display = (
        "created_at", "evidence", "outcome", "agreed", "buyer", "resold", "earned", "corrects", "voided",
        "actor",
    )  # fmt: skip
    list_filter = ("outcome", "voided", "evidence__province", "created_at")
    list_select_related = ("evidence", "corrects", "reason_given")
    search_fields = ("evidence__lead_id__startswith", "buyer__startswith", "correlation_id__startswith")
    search_help_text = _("Lead, buyer’s id or correlation id (starts with)")
    ordering = ("-id",)
    fields = (
        "created_at", "evidence", "outcome", "agreed", "buyer", "resold", "earned", "corrects", "voided",
        "why", "kpi_event_id", "actor", "acting_for", "correlation_id", "token_id",
    )  # fmt: skip

    why = column(_("reason"), lambda row: row.reason_given.text if hasattr(row, "reason_given") else "")

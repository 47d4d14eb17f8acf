"""Admin classes for buyers, their markets' liquidity, and their feedback."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.forms import BaseForm
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminTextInputWidget

from buyers import rules, services
from buyers.models import Buyer, BuyerFeedbackEvent, BuyerLiquidityNode
from buyers.transfer import BuyerResource
from governance.core.admin.base import ReadOnlyAdmin, RowForm, ServiceAdmin, by_of
from governance.core.admin.display import amount, column, facts, number
from governance.core.admin.filters import on_board
from governance.core.admin.transfer import TransfersRows
from governance.core.numbers import percent
from governance.core.places import Province
from governance.core.property_types import PropertyType
from governance.kpi.querysets import RATES_OVER
from governance.retention.registry import BUYER
from governance.retention.screen import ErasesPeople


class LabelList(forms.CharField):
    """A form field for comma-separated labels."""

    widget = UnfoldAdminTextInputWidget

    def prepare_value(self, value: object) -> object:
        return ", ".join(value) if isinstance(value, list) else value

    def to_python(self, value: object) -> Any:
        return [part.strip() for part in (super().to_python(value) or "").split(",") if part.strip()]

    def has_changed(self, initial: object, data: object) -> bool:
        return bool((initial or []) != self.to_python(data))


class BuyerForm(RowForm):
    """The form of a buyer."""

    provinces = forms.MultipleChoiceField(
        label=_("Provinces"),
        choices=Province.choices,
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text=_("No selection means all."),
    )
    markets = LabelList(
        label=_("Markets"), required=False, help_text=_("Separate with commas; leave empty for all.")
    )
    property_types = forms.MultipleChoiceField(
        label=_("Property types"),
        choices=PropertyType.choices,
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text=_("No selection means all."),
    )

    class Meta:
        model = Buyer
        fields = (
            "external_id",
            "name",
            "phone",
            "email",
            "provinces",
            "markets",
            "property_types",
            "price_min",
            "price_max",
            "proof_of_funds",
            "proof_of_funds_on",
        )


@admin.register(Buyer)
class BuyerAdmin(TransfersRows, ErasesPeople, ServiceAdmin):
    """Buyers; nobody deletes one, since feedback names them. Erasing one keeps the row without their data."""

    person_kind = BUYER
    resource = BuyerResource
    form = BuyerForm
    list_display = (
        "external_id", "name", "phone", "email", "buys_in", "buys", "price_range", "funds", "updated_at",
    )  # fmt: skip
    search_fields = ("external_id__startswith", "name", "phone", "email")
    search_help_text = _("Buyer id, name, phone or e-mail")
    list_filter = (("proof_of_funds", admin.EmptyFieldListFilter), "updated_at")
    ordering = ("-updated_at", "-pk")
    readonly_fields = ("created_at", "updated_at")
    fieldsets = (
        (None, {"fields": ("external_id", "name", "phone", "email")}),
        (_("Buy box"), {"fields": ("provinces", "markets", "property_types", "price_min", "price_max")}),
        (_("Proof of funds"), {"fields": ("proof_of_funds", "proof_of_funds_on")}),
        (_("Dates"), {"fields": ("created_at", "updated_at")}),
    )

    @admin.display(description=_("buys in"))
    def buys_in(self, buyer: Buyer) -> str:
        return ", ".join([*buyer.provinces, *buyer.markets]) or str(_("everywhere"))

    @admin.display(description=_("buys"))
    def buys(self, buyer: Buyer) -> str:
        kinds = [str(PropertyType(kind).label) for kind in buyer.property_types]
        return ", ".join(kinds) or str(_("everything"))

    @admin.display(description=_("price (CAD)"), ordering="price_max")
    def price_range(self, buyer: Buyer) -> str:
        ends = [amount(price) if price is not None else "…" for price in (buyer.price_min, buyer.price_max)]
        return "" if ends == ["…", "…"] else " – ".join(ends)

    @admin.display(description=_("proof of funds (CAD)"), ordering="proof_of_funds")
    def funds(self, buyer: Buyer) -> str:
        return amount(buyer.proof_of_funds) if buyer.proof_of_funds is not None else ""

    def exported(self, request: HttpRequest) -> QuerySet[Buyer]:
        return super().exported(request).filter(erasure=None)

    def serve(self, request: HttpRequest, obj: Buyer, form: BaseForm, change: bool) -> Buyer:
        return services.save_buyer(obj, by=by_of(request), at=timezone.now())


@admin.register(BuyerLiquidityNode)
class BuyerLiquidityNodeAdmin(ReadOnlyAdmin):
    """The liquidity of markets; only feedback changes a row."""

    list_display = (
        "rank", "province", "market", "property_type", "points", "points_low", "active_buyer_count",
        "buyer_count", "response_rate", "close_rate", "events", "updated_at",
    )  # fmt: skip
    list_display_links = ("rank", "market")
    list_filter = ("province", "property_type", "updated_at")
    search_fields = ("market_key",)
    search_help_text = _("Market, without accents")
    ordering = ("-score", "pk")
    fields = (
        "province", "market", "property_type", "rank", "points", "points_low", "response_rate", "close_rate",
        *rules.EVENT_COLUMNS, "buyer_count", "active_buyer_count", "active_since", "updated_at",
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[BuyerLiquidityNode]:
        nodes: Any = super().get_queryset(request)
        return nodes.ranked()  # type: ignore[no-any-return]  # our queryset, whose type unfold does not know

    rank = column(_("rank"), "rank", ordering="-score")
    points = column(_("score"), lambda node: number(node.score, 1), ordering="score")
    points_low = column(_("cautious score"), lambda node: number(node.score_low, 1), ordering="score_low")

    @admin.display(description=_("responses"))
    def response_rate(self, node: BuyerLiquidityNode) -> str:
        return percent(rules.rate(*node.counts.of_rate(rules.RESPONSE_RATE)), 0)

    @admin.display(description=_("closes"))
    def close_rate(self, node: BuyerLiquidityNode) -> str:
        return percent(rules.rate(*node.counts.of_rate(rules.CLOSE_RATE)), 0)

    events = column(_("events"), "events")


COUNTED = on_board(
    (
        "buyer_response",
        _("answers of the last 30 days"),
        lambda rows, at: rows.answered_since(at - RATES_OVER),
    ),
)


@admin.register(BuyerFeedbackEvent)
class BuyerFeedbackEventAdmin(ReadOnlyAdmin):
    """Recorded buyer feedback."""

    list_display = ("created_at", "event", "node", "buyer", "deal_id", "actor", "acting_for")
    list_filter = (COUNTED, "event", "node__province", "node__property_type", "created_at")
    list_select_related = ("node", "buyer")
    search_fields = ("buyer__external_id__startswith", "deal_id__startswith", "correlation_id__startswith")
    search_help_text = _("Buyer id, deal id or correlation id (starts with)")
    ordering = ("-created_at", "-pk")
    fields = (
        "created_at", "event", "node", "buyer", "deal_id", "detail_told", "actor", "acting_for",
        "correlation_id", "token_id",
    )  # fmt: skip

    detail_told = column(_("detail"), lambda event: facts(event.detail, {}))

"""Buyers, their feedback on deals, and the liquidity of each market."""

from __future__ import annotations

from dataclasses import fields
from decimal import Decimal
from operator import attrgetter
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from buyers import rules
from buyers.querysets import ActivityQuerySet, FeedbackQuerySet, NodeQuerySet
from buyers.rules import ID_LENGTH, FeedbackKind
from governance.core.actors import Written
from governance.core.append_only import AppendOnly
from governance.core.places import PlaceModel, Province, read_label
from governance.core.property_types import PropertyType


class Buyer(models.Model):
    """A buyer. Feedback with a new id creates a row with only that id."""

    external_id = models.CharField(
        _("buyer id"), max_length=ID_LENGTH, unique=True, help_text=_("The buyer's id in your other systems.")
    )
    name = models.CharField(_("name"), max_length=120, blank=True, default="")
    phone = models.CharField(
        _("phone"),
        max_length=40,
        blank=True,
        default="",
        help_text=_("Kept as +15145550123, however it is typed."),
    )
    email = models.EmailField(_("e-mail"), blank=True, default="")
    provinces = models.JSONField(_("provinces"), default=list, blank=True, help_text=_("Empty: all."))
    markets = models.JSONField(
        _("markets"), default=list, blank=True, help_text=_("Empty: all of the provinces.")
    )
    property_types = models.JSONField(
        _("property types"), default=list, blank=True, help_text=_("Empty: all.")
    )
    price_min = models.DecimalField(
        _("price from (CAD)"),
        max_digits=11,
        decimal_places=2,
        null=True,
        blank=True,
        validators=[MinValueValidator(Decimal(0))],
    )
    price_max = models.DecimalField(
        _("price to (CAD)"),
        max_digits=11,
        decimal_places=2,
        null=True,
        blank=True,
        validators=[MinValueValidator(Decimal(0))],
    )
    proof_of_funds = models.DecimalField(
        _("proof of funds (CAD)"),
        max_digits=11,
        decimal_places=2,
        null=True,
        blank=True,
        validators=[MinValueValidator(Decimal(0))],
        help_text=_("The amount shown; blank if none was."),
    )
    proof_of_funds_on = models.DateField(_("proof of funds dated"), null=True, blank=True)
    created_at = models.DateTimeField(_("created"), editable=False)
    updated_at = models.DateTimeField(_("updated"), editable=False)
    erasure = models.ForeignKey(
        "governance.Erasure", models.PROTECT, null=True, blank=True, related_name="+", editable=False,
        verbose_name=_("erasure"), db_index=False,
    )  # fmt: skip

    class Meta:
        verbose_name = _("buyer")
        verbose_name_plural = _("buyers")
        ordering = ["external_id"]
        constraints = [
            models.CheckConstraint(condition=~models.Q(external_id=""), name="buyer_has_an_id"),
            models.CheckConstraint(
                condition=models.Q(price_min__isnull=True)
                | models.Q(price_max__isnull=True)
                | models.Q(price_max__gte=models.F("price_min")),
                name="buyer_prices_in_order",
                violation_error_message=_("“Price to” is below “price from”."),
            ),
        ]
        indexes = [  # a person who asks to be erased
            models.Index(fields=["phone"], name="buyer_by_phone", condition=~models.Q(phone="")),
            models.Index(fields=["email"], name="buyer_by_email", condition=~models.Q(email="")),
        ]
        permissions = [("view_buyers", "Read buyers and feedback events")]

    def __str__(self) -> str:
        return self.name or self.external_id

    def clean_fields(self, exclude: Any = None) -> None:
        """Normalize the typed values: labels read, the phone in E.164, the e-mail lower-case."""
        readers: dict[str, Any] = {
            "external_id": rules.read_buyer_id,
            "phone": rules.read_phone,
            "email": lambda text: text.strip().lower(),
            "provinces": lambda given: _list_of(given, Province.values),
            "markets": lambda given: _each_once(read_label(item) for item in _list_of(given, None)),
            "property_types": lambda given: _list_of(given, PropertyType.values),
        }
        wrong: dict[str, object] = {}
        for field, read in readers.items():
            if field in (exclude or ()):
                continue
            try:
                setattr(self, field, read(getattr(self, field)))
            except ValidationError as problem:
                wrong[field] = problem
        try:
            super().clean_fields(exclude=exclude)
        except ValidationError as problem:
            wrong = {**problem.error_dict, **wrong}
        if wrong:
            raise ValidationError(wrong)


def _list_of(given: object, known: list[str] | None) -> list[str]:
    if given in (None, ""):
        return []
    if not isinstance(given, list) or not all(isinstance(item, str) for item in given):
        raise ValidationError(_("Enter a list of texts."), code="invalid_list")
    if known is None:
        return given
    words = _each_once(item.strip().upper() for item in given)
    for word in words:
        if word not in known:
            raise ValidationError(
                _("“%(given)s” is unknown; use %(known)s."),
                code="invalid_list",
                params={"given": word[:40], "known": ", ".join(known)},
            )
    return words


def _each_once(words: Any) -> list[str]:
    return list(dict.fromkeys(words))


_COUNTS = attrgetter(*(figure.name for figure in fields(rules.Counts)))


class BuyerLiquidityNode(PlaceModel):
    """The liquidity of one market for one property type: counts of its feedback, and their scores.

    The row always equals a recount of its events: whoever writes an event locks this row until both are
    committed. A buyer is active if they responded or bought after `active_since`, which advances with every
    feedback and every night.
    """

    property_type = models.CharField(
        _("property type"), max_length=12, choices=PropertyType.choices, default=PropertyType.SFR
    )
    responded = models.PositiveBigIntegerField(_("responded"), default=0)
    no_response = models.PositiveBigIntegerField(_("no response"), default=0)
    bought = models.PositiveBigIntegerField(_("bought"), default=0)
    passed = models.PositiveBigIntegerField(_("passed"), default=0)
    buyer_count = models.PositiveBigIntegerField(_("buyers seen"), default=0)
    active_buyer_count = models.PositiveBigIntegerField(
        _("active buyers"),
        default=0,
        help_text=_("Distinct buyers who responded or bought in the last 90 days."),
    )
    active_since = models.DateTimeField(_("active since"))
    score = models.DecimalField(_("score"), max_digits=14, decimal_places=4, default=Decimal(0))
    score_low = models.DecimalField(
        _("cautious score"),
        max_digits=14,
        decimal_places=4,
        default=Decimal(0),
        help_text=_(
            "The score at the lower 5% bound of both rates, so that a few events cannot make it high."
        ),
    )
    updated_at = models.DateTimeField(_("updated"))

    objects = NodeQuerySet.as_manager()

    class Meta:
        verbose_name = _("market liquidity")
        verbose_name_plural = _("market liquidity by type")
        constraints = [
            models.UniqueConstraint(
                fields=["province", "market_key", "property_type"], name="liquidity_node_once_per_market"
            ),
            models.CheckConstraint(
                condition=models.Q(property_type__in=PropertyType.values), name="liquidity_node_type_known"
            ),
            models.CheckConstraint(
                condition=models.Q(active_buyer_count__lte=models.F("buyer_count")),
                name="liquidity_node_active_were_seen",
            ),
        ]
        indexes = [models.Index(fields=["-score", "id"], name="liquidity_node_hottest")]  # the nodes endpoint

    def __str__(self) -> str:
        return f"{self.province}/{self.market} {self.get_property_type_display()}"

    @property
    def counts(self) -> rules.Counts:
        return rules.Counts(*_COUNTS(self))

    @property
    def events(self) -> int:
        """Return how many feedback events were counted."""
        return sum(getattr(self, column) for column in rules.EVENT_COLUMNS)


class BuyerActivity(models.Model):
    """A buyer's activity at a node: when they last responded or bought there.

    It lets the node count distinct buyers without reading its events, and is changed only while the node's
    row is locked.
    """

    node = models.ForeignKey(BuyerLiquidityNode, models.CASCADE, related_name="activity", db_index=False)
    buyer = models.ForeignKey(Buyer, models.PROTECT, related_name="activity", verbose_name=_("buyer"))
    last_active_at = models.DateTimeField(_("last active"), null=True)

    objects = ActivityQuerySet.as_manager()

    class Meta:
        verbose_name = _("buyer's activity")
        verbose_name_plural = _("buyers' activity")
        constraints = [
            models.UniqueConstraint(fields=["node", "buyer"], name="activity_once_per_node_and_buyer")
        ]
        indexes = [
            models.Index(fields=["node", "last_active_at"], name="activity_falling_out")  # every feedback
        ]

    def __str__(self) -> str:
        return f"{self.buyer_id} @ {self.node_id}"


class BuyerFeedbackEvent(Written, AppendOnly):
    """A buyer's feedback on a deal. `detail` holds named numbers, booleans and codes: no free text."""

    node = models.ForeignKey(
        BuyerLiquidityNode, models.PROTECT, related_name="feedback", verbose_name=_("market liquidity")
    )
    buyer = models.ForeignKey(
        Buyer, models.PROTECT, null=True, related_name="feedback", verbose_name=_("buyer")
    )
    deal_id = models.CharField(_("deal id"), max_length=ID_LENGTH, blank=True, default="")
    event = models.CharField(_("event"), max_length=12, choices=FeedbackKind.choices)
    detail = models.JSONField(_("detail"), default=dict, blank=True)
    created_at = models.DateTimeField(_("created"))

    objects: ClassVar[Any] = FeedbackQuerySet.as_manager()

    class Meta:
        verbose_name = _("buyer feedback")
        verbose_name_plural = _("buyer feedback")
        constraints = [
            models.CheckConstraint(
                condition=models.Q(event__in=FeedbackKind.values), name="feedback_kind_known"
            ),
            models.UniqueConstraint(
                fields=["buyer", "deal_id", "event"],
                condition=models.Q(event__in=rules.ACTIVE_KINDS, buyer__isnull=False) & ~models.Q(deal_id=""),
                name="feedback_once_per_buyer_and_deal",
            ),
        ]
        indexes = [
            models.Index(fields=["-created_at", "-id"], name="feedback_newest"),  # the collection
            models.Index(fields=["correlation_id"], name="feedback_trace"),  # the trace of one call
        ]
        permissions = [("record_feedback", "Record what a buyer did with a deal")]

    def __str__(self) -> str:
        return f"{self.get_event_display()} #{self.pk}"

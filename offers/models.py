"""Offers: the policy of a market, the stored computation, the offer's state, and its outcomes."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.formats import number_format
from django.utils.translation import gettext_lazy as _

from governance.core.actors import Written
from governance.core.append_only import AppendOnly
from governance.core.places import PlaceModel
from governance.core.property_types import PropertyType
from governance.core.versions import Versioned
from offers import rules
from offers.querysets import EvidenceQuerySet, OfferPolicyQuerySet, OfferQuerySet, OutcomeQuerySet

LEAD_LENGTH = 64
REASON_LENGTH = 200


def _money(label: Any, **options: Any) -> models.DecimalField[Any, Any]:
    """Return a column of CAD, 0 to 999,999,999.99."""
    return models.DecimalField(
        label, max_digits=11, decimal_places=2, validators=[MinValueValidator(0)], **options
    )


def _never_below_zero(*names: str) -> models.Q:
    return models.Q(**{f"{name}__gte": 0 for name in names})


class OfferPolicy(PlaceModel, Versioned):
    """The terms for offers in one market, or in ALL of a province. Every earlier version is kept."""

    enabled = models.BooleanField(
        _("enabled"),
        default=False,
        help_text=_("When off, every offer there is refused; ALL does not apply instead."),
    )
    max_arv_multiplier = models.DecimalField(
        _("share of the ARV"),
        max_digits=5,
        decimal_places=4,
        default=Decimal("0.70"),
        validators=[
            MinValueValidator(rules.MULTIPLIER_MIN, _("The multiplier is at least 0.50: a fixed bound.")),
            MaxValueValidator(rules.MULTIPLIER_MAX, _("The multiplier is at most 0.90: a fixed bound.")),
        ],
        help_text=_("The share of the after-repair value that the end buyer may pay in total, 0.50 to 0.90."),
    )
    default_assignment_fee = _money(
        _("assignment fee"),
        default=Decimal(10000),
        help_text=_("What we earn when the contract is assigned, CAD."),
    )
    default_fees_buffer = _money(
        _("fees buffer"),
        default=Decimal(2500),
        help_text=_("Set aside for closing costs and contingencies, CAD."),
    )
    offer_net_of_assignment_fee = models.BooleanField(
        _("offer net of the assignment fee"),
        default=True,
        help_text=_("On: the recommended offer leaves room for our fee. Off: it is the maximum offer."),
    )
    min_liquidity_score = models.DecimalField(
        _("minimum liquidity score"),
        max_digits=8,
        decimal_places=2,
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text=_("Compared with the cautious score; a colder market gets no offer. Blank: not required."),
    )
    require_heimdall = models.BooleanField(
        _("require Heimdall"),
        default=False,
        help_text=_("On: an offer needs a recommendation that Heimdall allows in production."),
    )

    objects = OfferPolicyQuerySet.as_manager()

    class Meta:
        verbose_name = _("offer policy")
        verbose_name_plural = _("offer policies")
        ordering = ["province", "market"]
        constraints = [
            models.UniqueConstraint(
                fields=["province", "market_key"],
                name="offer_policy_once_per_market",
                violation_error_message=_("There is a policy for this province and market already."),
            ),
            models.CheckConstraint(
                condition=models.Q(
                    max_arv_multiplier__gte=rules.MULTIPLIER_MIN, max_arv_multiplier__lte=rules.MULTIPLIER_MAX
                ),
                name="offer_policy_multiplier_bounds",
                violation_error_message=_("The multiplier is 0.50 to 0.90; these bounds are fixed."),
            ),
            models.CheckConstraint(
                condition=_never_below_zero("default_assignment_fee", "default_fees_buffer"),
                name="offer_policy_amounts",
                violation_error_message=_("Amounts are never below zero."),
            ),
        ]
        permissions = [("edit_policies", "Change offer policies")]

    def __str__(self) -> str:
        return f"{self.province}/{self.market}"

    @property
    def terms(self) -> rules.Terms:
        return rules.Terms(
            max_arv_multiplier=self.max_arv_multiplier,
            assignment_fee=self.default_assignment_fee,
            fees_buffer=self.default_fees_buffer,
            net_of_assignment_fee=self.offer_net_of_assignment_fee,
        )


class OfferEvidence(PlaceModel, Written, AppendOnly):
    """One computation with its basis; append-only, with a digest of every column but the id."""

    class Binding(models.TextChoices):
        FORMULA = rules.FORMULA, _("the formula")
        MAO_FLOOR = rules.MAO_FLOOR, _("on the maximum offer")
        OFFER_FLOOR = rules.OFFER_FLOOR, _("on the recommended offer")

    class Grade(models.TextChoices):
        A = "A", _("A: five or more, close together")
        B = "B", _("B: three or more")
        C = "C", _("C: three or more, far apart or partly unknown")
        D = "D", _("D: too few")

    lead_id = models.CharField(_("lead"), max_length=LEAD_LENGTH, blank=True, default="")
    property_type = models.CharField(
        _("property type"), max_length=10, choices=PropertyType.choices, default=PropertyType.SFR
    )
    recommendation_id = models.CharField(_("recommendation"), max_length=64, blank=True, default="")
    policy = models.ForeignKey(OfferPolicy, models.PROTECT, related_name="+", verbose_name=_("policy"))
    policy_version = models.PositiveIntegerField(_("policy version"))
    policy_values = models.JSONField(_("values of the policy"))
    liquidity = models.JSONField(
        _("liquidity"),
        null=True,
        help_text=_("The market's liquidity, if the policy requires it."),
    )
    heimdall = models.JSONField(
        _("Heimdall"),
        null=True,
        help_text=_("The verdict that allowed the recommendation, if the policy requires one."),
    )
    arv = _money(_("after-repair value (ARV)"))
    max_arv_multiplier = models.DecimalField(_("share of the ARV"), max_digits=5, decimal_places=4)
    repairs = _money(_("repairs"))
    fees_buffer = _money(_("fees buffer"))
    assignment_fee = _money(_("assignment fee"))
    mao = _money(_("maximum allowable offer (MAO)"))
    recommended_offer = _money(_("recommended offer"))
    binding = models.CharField(_("decided by"), max_length=11, choices=Binding.choices)
    floored = models.BooleanField(_("minimum applied"))
    comps = models.JSONField(_("comparable sales"), default=list)
    comps_statistics = models.JSONField(_("what the sales show"))
    comps_grade = models.CharField(_("grade of the sales"), max_length=1, choices=Grade.choices)
    assumptions = models.JSONField(_("assumptions"), default=dict)
    rules_version = models.PositiveSmallIntegerField(_("version of the formula"))
    digest = models.CharField(_("digest"), max_length=64)
    created_at = models.DateTimeField(_("computed"))

    objects: ClassVar[Any] = EvidenceQuerySet.as_manager()

    class Meta:
        verbose_name = _("offer evidence")
        verbose_name_plural = _("offer evidence")
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=_never_below_zero(
                    "arv", "repairs", "fees_buffer", "assignment_fee", "mao", "recommended_offer"
                ),
                name="offer_evidence_amounts",
            ),
            models.CheckConstraint(
                condition=models.Q(recommended_offer__lte=models.F("mao")), name="offer_evidence_within_mao"
            ),
        ]
        indexes = [
            models.Index(fields=["lead_id", "-id"], name="offer_evidence_of_lead"),  # a lead's timeline
            models.Index(fields=["correlation_id"], name="offer_evidence_trace"),  # trace of one call
            # the collection, and the retention job
            models.Index(fields=["created_at"], name="offer_evidence_when"),
            models.Index(fields=["recommended_offer"], name="offer_evidence_offer"),
        ]
        permissions = [
            ("compute_offer", "Compute an offer"),
            ("view_evidence", "Read offers, their evidence and outcomes"),
        ]

    def __str__(self) -> str:
        return f"{self.pk}: {number_format(self.recommended_offer, 0, force_grouping=True)} CAD"


class CompDetails(models.Model):
    """Additional data on comparable sales from a client, such as addresses and links, by the sale's number.

    Separate from the evidence, which does not use it: append-only rows must hold none of it.
    """

    evidence = models.OneToOneField(  # expired evidence is deleted without checking references to it
        OfferEvidence,
        models.PROTECT,
        db_constraint=False,
        related_name="comp_details",
        verbose_name=_("evidence"),
    )
    lead_id = models.CharField(_("lead"), max_length=LEAD_LENGTH, blank=True, default="")
    details = models.JSONField(_("details"))
    created_at = models.DateTimeField(_("recorded"))

    class Meta:
        verbose_name = _("details of comparable sales")
        verbose_name_plural = _("details of comparable sales")
        indexes = [
            models.Index(fields=["lead_id"], name="comp_details_of_lead"),  # erasing
            models.Index(fields=["created_at"], name="comp_details_when"),  # the retention job
        ]

    def __str__(self) -> str:
        return str(self.evidence_id)


class Offer(models.Model):
    """The state of a computed offer: the part that changes, because evidence never does.

    `reservation_id` names the offer's reservation with the risk guard, which knows whether it is still open;
    null without one.
    """

    class State(models.TextChoices):
        OPEN = rules.OPEN, _("open")
        SUPERSEDED = rules.SUPERSEDED, _("superseded by a newer computation")
        ACCEPTED = rules.ACCEPTED, _("accepted")
        REJECTED = rules.REJECTED, _("rejected")
        CONTRACTED = rules.CONTRACTED, _("under contract")
        ASSIGNED = rules.ASSIGNED, _("assigned to a buyer")
        FELL_THROUGH = rules.FELL_THROUGH, _("fell through")

    evidence = models.OneToOneField(
        OfferEvidence, models.PROTECT, primary_key=True, related_name="offer", verbose_name=_("evidence")
    )
    lead_id = models.CharField(_("lead"), max_length=LEAD_LENGTH, blank=True, default="")
    state = models.CharField(_("state"), max_length=12, choices=State.choices, default=State.OPEN)
    reservation_id = models.BigIntegerField(_("reservation"), null=True, blank=True)
    updated_at = models.DateTimeField(_("updated"))

    objects = OfferQuerySet.as_manager()

    class Meta:
        verbose_name = _("offer")
        verbose_name_plural = _("offers")
        ordering = ["-evidence_id"]
        constraints = [
            models.UniqueConstraint(  # also finds what a new computation supersedes
                fields=["lead_id"], name="offer_one_live_per_lead",
                condition=models.Q(state__in=rules.LIVE_STATES) & ~models.Q(lead_id=""),
                violation_error_message=_("This lead has a live offer already."),
            ),
            models.CheckConstraint(
                condition=models.Q(state__in=[rules.SUPERSEDED, *rules.LIVE_STATES, rules.REJECTED,
                                              rules.ASSIGNED, rules.FELL_THROUGH]),
                name="offer_state_known",
            ),
        ]  # fmt: skip
        indexes = [
            models.Index(
                fields=["lead_id", "evidence"], name="offer_newest_of_lead"
            ),  # only the newest offer can get an outcome
            models.Index(
                fields=["updated_at", "evidence"], name="offer_changed"
            ),  # the collection of evidence
        ]

    def __str__(self) -> str:
        return f"{self.pk}: {self.get_state_display()}"


class OfferOutcome(Written, AppendOnly):
    """An outcome of an offer. A correction is a further row that names the one it replaces.

    A corrected row no longer counts, and a `voided` correction says that it never happened. `kpi_event_id` is
    the event that counted it.
    """

    class Outcome(models.TextChoices):
        ACCEPTED = rules.ACCEPTED, _("accepted")
        REJECTED = rules.REJECTED, _("rejected")
        CONTRACTED = rules.CONTRACTED, _("under contract")
        ASSIGNED = rules.ASSIGNED, _("assigned to a buyer")
        FELL_THROUGH = rules.FELL_THROUGH, _("fell through")

    evidence = models.ForeignKey(
        OfferEvidence, models.PROTECT, related_name="outcomes", verbose_name=_("evidence")
    )
    outcome = models.CharField(_("outcome"), max_length=12, choices=Outcome.choices)
    stage = models.PositiveSmallIntegerField(_("stage"), editable=False)
    agreed_price = _money(_("agreed price"), null=True, blank=True)
    buyer = models.CharField(
        _("buyer"), max_length=64, blank=True, default="", help_text=_("The buyer's id, no name.")
    )
    buyer_price = _money(_("buyer's price"), null=True, blank=True)
    fee_earned = _money(_("fee earned"), null=True, blank=True)
    corrects = models.OneToOneField(
        "self", models.PROTECT, null=True, blank=True, related_name="corrected_by", verbose_name=_("corrects")
    )
    voided = models.BooleanField(_("never happened"), default=False)
    kpi_event_id = models.BigIntegerField(_("KPI event"), null=True, blank=True)
    created_at = models.DateTimeField(_("recorded"))

    objects: ClassVar[Any] = OutcomeQuerySet.as_manager()

    class Meta:
        verbose_name = _("offer outcome")
        verbose_name_plural = _("offer outcomes")
        indexes = [
            models.Index(fields=["correlation_id"], name="offer_outcome_trace"),  # trace of one call
        ]
        ordering = ["-id"]
        constraints = [
            # with the one correction that a row may have, one row counts per evidence and stage
            models.UniqueConstraint(
                fields=["evidence", "stage"],
                condition=models.Q(corrects=None),
                name="offer_outcome_once_per_stage",
            ),
            models.CheckConstraint(
                condition=models.Q(stage=1, outcome__in=[rules.ACCEPTED, rules.REJECTED])
                | models.Q(stage=2, outcome=rules.CONTRACTED)
                | models.Q(stage=3, outcome__in=[rules.ASSIGNED, rules.FELL_THROUGH]),
                name="offer_outcome_stage",
            ),
            models.CheckConstraint(
                condition=models.Q(voided=False) | models.Q(corrects__isnull=False),
                name="offer_outcome_void_corrects",
            ),
        ]
        permissions = [
            ("record_outcome", "Record what happened to an offer"),
            (
                "correct_outcome",
                "Correct an outcome, or record a price above the maximum allowable offer (MAO)",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.evidence_id}: {self.get_outcome_display()}"


class OutcomeReason(models.Model):
    """A manager's reason for correcting an outcome or allowing a price.

    Separate from the outcome, because it is free text: append-only rows must hold none.
    """

    outcome = models.OneToOneField(
        OfferOutcome, models.PROTECT, primary_key=True, related_name="reason_given", verbose_name=_("outcome")
    )
    text = models.CharField(_("reason"), max_length=REASON_LENGTH)

    class Meta:
        verbose_name = _("reason of an outcome")
        verbose_name_plural = _("reasons of outcomes")

    def __str__(self) -> str:
        return self.text

"""Heimdall's policies, scorecards, recommendations and events."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from governance.core.actors import Written
from governance.core.append_only import AppendOnly
from governance.core.versions import Versioned
from governance.heimdall import rules
from governance.heimdall.querysets import EventQuerySet, PolicyQuerySet, ScorecardQuerySet

SUBJECT_LENGTH = 64
TRIALS_MAX = 1_000_000


class Domain(models.TextChoices):
    """The known domains; a manager may add others."""

    WHOLESALE_OFFER = rules.WHOLESALE_OFFER, _("Wholesale offers")
    BUYER_MATCH = rules.BUYER_MATCH, _("Buyer matching")
    CAPITAL_ROUTE = rules.CAPITAL_ROUTE, _("Capital routing")
    FOLLOWUP_NEXT_ACTION = rules.FOLLOWUP_NEXT_ACTION, _("Next follow-up action")


def validate_domain(name: str) -> None:
    """Refuse a value that is not a domain's name as stored."""
    if rules.read_domain(name) != name:
        raise ValidationError(_("Enter a domain in capitals, such as WHOLESALE_OFFER."))


def _fraction(label: Any, **options: Any) -> models.DecimalField[Any, Any]:
    return models.DecimalField(
        label,
        max_digits=5,
        decimal_places=4,
        validators=[MinValueValidator(0), MaxValueValidator(1)],
        **options,
    )


class HeimdallPolicy(Versioned):
    """A domain's minimums for driving production. Every version is kept."""

    domain = models.CharField(
        _("domain"),
        max_length=rules.DOMAIN_LENGTH,
        unique=True,
        validators=[validate_domain],
        help_text=_("What is recommended, in capitals, such as WHOLESALE_OFFER."),
        error_messages={"unique": _("There is a policy for this domain already.")},
    )
    min_confidence_prod = _fraction(
        _("minimum confidence"),
        default=Decimal("0.95"),
        help_text=_("A recommendation below this confidence is never used in production, 0 to 1."),
    )
    min_sandbox_trials = models.PositiveIntegerField(
        _("minimum trials"),
        default=100,
        validators=[MaxValueValidator(TRIALS_MAX)],
        help_text=_("How many sandbox trials there must be in the last days."),
    )
    min_sandbox_success_rate = _fraction(
        _("minimum success rate"),
        default=Decimal("0.85"),
        help_text=_("The share of those trials that must have succeeded, 0 to 1."),
    )
    prod_use_enabled = models.BooleanField(
        _("production use"),
        default=False,
        help_text=_("Can be switched on only while the scorecard supports it, and off at any time."),
    )

    objects: ClassVar[Any] = PolicyQuerySet.as_manager()

    class Meta:
        verbose_name = _("Heimdall policy")
        verbose_name_plural = _("Heimdall policies")
        ordering = ["domain"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(
                    min_confidence_prod__range=(0, 1),
                    min_sandbox_success_rate__range=(0, 1),
                    min_sandbox_trials__lte=TRIALS_MAX,
                ),
                name="heimdall_policy_bounds",
                violation_error_message=_("Fractions are 0 to 1, and trials at most a million."),
            )
        ]
        permissions = [
            ("view_heimdall", "Read Heimdall's scorecards"),
            ("run_heimdall", "Record sandbox trials and recommendations"),
            ("promote_heimdall", "Switch a domain's production use on"),
        ]

    def __str__(self) -> str:
        return self.domain

    @property
    def thresholds(self) -> rules.Thresholds:
        return rules.Thresholds(
            prod_use_enabled=self.prod_use_enabled,
            min_confidence=self.min_confidence_prod,
            min_trials=self.min_sandbox_trials,
            min_success_rate=self.min_sandbox_success_rate,
        )


class HeimdallScorecardDay(models.Model):
    """The sandbox trials of a domain on one UTC day."""

    domain = models.CharField(_("domain"), max_length=rules.DOMAIN_LENGTH)
    day = models.DateField(_("day (UTC)"))
    trials = models.PositiveIntegerField(_("trials"), default=0)
    successes = models.PositiveIntegerField(_("successes"), default=0)

    objects: ClassVar[Any] = ScorecardQuerySet.as_manager()

    class Meta:
        verbose_name = _("scorecard day")
        verbose_name_plural = _("scorecard days")
        ordering = ["-day", "domain"]
        constraints = [
            # also sums a domain's last days
            models.UniqueConstraint(fields=["domain", "day"], name="heimdall_one_row_a_day"),
            models.CheckConstraint(
                condition=models.Q(successes__gte=0, successes__lte=models.F("trials")),
                name="heimdall_successes_are_trials",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.domain} {self.day}"


class HeimdallRecommendation(Written, AppendOnly):
    """A machine's recommendation, its confidence, and the gate's answer at the time; append-only.

    The gate is asked again when it is used. `subject` is what it is about, for offers the lead; if blank, it
    may be used for any.
    """

    domain = models.CharField(_("domain"), max_length=rules.DOMAIN_LENGTH)
    subject = models.CharField(_("subject"), max_length=SUBJECT_LENGTH, blank=True, default="")
    confidence = models.DecimalField(_("confidence"), max_digits=7, decimal_places=6)
    detail = models.JSONField(_("detail"), default=dict)
    reason = models.CharField(_("verdict then"), max_length=40, choices=rules.Reason.choices)
    policy_version = models.PositiveIntegerField(_("policy version"))
    trials = models.PositiveIntegerField(_("trials"))
    successes = models.PositiveIntegerField(_("successes"))
    created_at = models.DateTimeField(_("recommended"))

    class Meta:
        verbose_name = _("Heimdall recommendation")
        verbose_name_plural = _("Heimdall recommendations")
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(confidence__range=(0, 1)), name="heimdall_confidence_is_a_fraction"
            )
        ]
        indexes = [
            models.Index(fields=["domain", "-id"], name="heimdall_recommended"),  # a domain's newest
            models.Index(fields=["correlation_id"], name="heimdall_recommended_trace"),  # trace of one call
        ]

    def __str__(self) -> str:
        return f"{self.pk}: {self.domain}"


class HeimdallEvent(Written, AppendOnly):
    """A Heimdall event: a trial, a policy change, or a recommendation used or refused."""

    class Kind(models.TextChoices):
        TRIAL = "TRIAL", _("sandbox trial")
        POLICY_CHANGED = "POLICY_CHANGED", _("policy changed")
        PROMOTED = "PROMOTED", _("production use on")
        WITHDRAWN = "WITHDRAWN", _("production use off")
        USED = "USED", _("recommendation used")
        REFUSED = "REFUSED", _("recommendation refused")

    domain = models.CharField(_("domain"), max_length=rules.DOMAIN_LENGTH)
    kind = models.CharField(_("event"), max_length=14, choices=Kind.choices)
    success = models.BooleanField(_("success"), null=True)
    reason = models.CharField(_("verdict"), max_length=40, blank=True, default="")
    recommendation = models.ForeignKey(
        HeimdallRecommendation,
        models.PROTECT,
        null=True,
        related_name="events",
        verbose_name=_("recommendation"),
    )
    policy_version = models.PositiveIntegerField(_("policy version"), null=True)
    created_at = models.DateTimeField(_("created"))

    objects: ClassVar[Any] = EventQuerySet.as_manager()

    class Meta:
        verbose_name = _("Heimdall event")
        verbose_name_plural = _("Heimdall events")
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["recommendation"], condition=models.Q(kind="USED"), name="heimdall_used_once"
            ),
            models.CheckConstraint(
                condition=models.Q(kind="TRIAL", success__isnull=False)
                | (~models.Q(kind="TRIAL") & models.Q(success=None)),
                name="heimdall_trials_succeed_or_fail",
            ),
        ]
        indexes = [
            models.Index(fields=["domain", "kind", "-id"], name="heimdall_events_of_domain"),  # admin
            models.Index(fields=["correlation_id"], name="heimdall_event_trace"),  # trace of one call
        ]

    def __str__(self) -> str:
        return f"{self.domain}: {self.get_kind_display()}"

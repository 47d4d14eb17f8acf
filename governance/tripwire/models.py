"""Tripwires: their policies, their last results, and each firing."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from governance.core.actors import ACTOR_LENGTH, Written
from governance.core.versions import Versioned
from governance.risk.models import validate_engine
from governance.risk.rules import ENGINE_LENGTH
from governance.tripwire import rules
from governance.tripwire.names import (
    DOMAIN,
    DOMAIN_LENGTH,
    METRIC,
    METRIC_LENGTH,
    WRITE_DOMAIN,
    WRITE_METRIC,
)
from governance.tripwire.querysets import RegressionStateQuerySet
from governance.tripwire.statistics import MEASURES, Measure

REASON_LENGTH = 500
EVENTS_MAX = 100_000
# values of a client beyond these would mean a warning or nothing
DROP_MIN, DROP_MAX = Decimal("0.01"), Decimal("1")
ALARM_MIN, ALARM_MAX = Decimal("0.0000001"), Decimal("0.05")


def _events(label: Any, default: int, help_text: Any) -> models.PositiveIntegerField[int, int]:
    bounds = [MinValueValidator(1), MaxValueValidator(EVENTS_MAX)]
    return models.PositiveIntegerField(label, default=default, validators=bounds, help_text=help_text)


class RegressionPolicy(Versioned):
    """The monitoring of one metric, and the action when it drops. Every earlier version is kept."""

    class Action(models.TextChoices):
        NOTIFY = "NOTIFY", _("notify the managers")
        THROTTLE = "THROTTLE", _("hold the engine back")
        KILL_SWITCH = "KILL_SWITCH", _("engage the kill switch")

    domain = models.CharField(
        _("domain"), max_length=DOMAIN_LENGTH, validators=[RegexValidator(DOMAIN, WRITE_DOMAIN)]
    )
    metric = models.CharField(
        _("metric"), max_length=METRIC_LENGTH, validators=[RegexValidator(METRIC, WRITE_METRIC)]
    )
    engine = models.CharField(
        _("engine"),
        max_length=ENGINE_LENGTH,
        blank=True,
        default="",
        validators=[validate_engine],
        help_text=_(
            "The engine whose reservations are denied while it is held back; needed for that action only."
        ),
    )
    measure = models.CharField(
        _("measure"),
        max_length=12,
        choices=MEASURES,
        default=Measure.SUCCESS_RATE.value,
        help_text=_(
            "Success rate and mean are monitored over days with events; a number over full "
            "weeks, per open day."
        ),
    )
    window_events = _events(
        _("events of a window"),
        50,
        _("A window is the last 5, 10 or 20 days with events, or more, until it has this many events."),
    )
    baseline_events = _events(
        _("events of the baseline"),
        200,
        _(
            "The baseline is the first 20 days with events, or more, until it has this many. "
            "Numbers: 4 weeks."
        ),
    )
    min_events_to_enforce = _events(
        _("events needed to act"), 50, _("With fewer events in the window a drop only warns.")
    )
    max_drop_fraction = models.DecimalField(
        _("drop that counts"),
        max_digits=5,
        decimal_places=4,
        default=Decimal("0.2"),
        validators=[MinValueValidator(DROP_MIN), MaxValueValidator(DROP_MAX)],
        help_text=_("A fraction of the baseline: with 0.2 a rate of 80 in 100 must fall to 64 in 100."),
    )
    max_false_alarm = models.DecimalField(
        _("chance of a false alarm"),
        max_digits=8,
        decimal_places=7,
        default=Decimal("0.0005"),
        validators=[MinValueValidator(ALARM_MIN), MaxValueValidator(ALARM_MAX)],
        help_text=_(
            "It fires only on a drop that chance alone would cause at most this often in one evaluation."
        ),
    )
    action = models.CharField(
        _("action"),
        max_length=11,
        choices=Action.choices,
        default=Action.NOTIFY,
        help_text=_("Managers are notified in every case."),
    )
    enabled = models.BooleanField(_("enabled"), default=False)

    class Meta:
        verbose_name = _("tripwire policy")
        verbose_name_plural = _("tripwire policies")
        ordering = ["domain", "metric"]
        constraints = [
            models.UniqueConstraint(
                fields=["domain", "metric"],
                name="regression_policy_once",
                violation_error_message=_("There is a tripwire for this metric already."),
            ),
            models.CheckConstraint(
                condition=models.Q(max_drop_fraction__gt=0, max_drop_fraction__lte=1),
                name="regression_policy_drop",
            ),
            models.CheckConstraint(
                condition=models.Q(max_false_alarm__gt=0, max_false_alarm__lt=1),
                name="regression_policy_alarm",
            ),
            models.CheckConstraint(
                condition=~models.Q(action="THROTTLE", engine=""), name="regression_policy_engine"
            ),
        ]
        permissions = [
            ("view_tripwires", "Read what the tripwires found"),
            ("evaluate_tripwires", "Have the tripwires evaluated"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def name(self) -> str:
        return f"{self.domain}/{self.metric}"

    @property
    def limits(self) -> rules.Limits:
        return rules.Limits(
            window_events=self.window_events,
            baseline_events=self.baseline_events,
            min_events=self.min_events_to_enforce,
            max_drop=float(self.max_drop_fraction),
            max_false_alarm=float(self.max_false_alarm),
        )

    def clean(self) -> None:
        if self.action == self.Action.THROTTLE and not self.engine:
            raise ValidationError({"engine": _("Say which engine it holds back.")})


class RegressionState(models.Model):
    """The result of a metric's last evaluation. One row per policy."""

    class Verdict(models.TextChoices):
        LEARNING = rules.Verdict.LEARNING.name, _("learning")
        CLEAR = rules.Verdict.CLEAR.name, _("clear")
        WARNING = rules.Verdict.WARNING.name, _("warning")
        TRIPPED = rules.Verdict.TRIPPED.name, _("tripped")

    policy = models.OneToOneField(
        RegressionPolicy, models.CASCADE, related_name="state", verbose_name=_("tripwire")
    )
    starts_at = models.DateTimeField(
        _("start mark"), help_text=_("Events from before it do not count. A reset moves it.")
    )
    frozen = models.JSONField(_("frozen baseline"), null=True, blank=True)
    verdict = models.CharField(
        _("what it found"), max_length=8, choices=Verdict.choices, default=Verdict.LEARNING
    )
    triggered = models.BooleanField(_("triggered"), default=False)
    baseline = models.FloatField(_("baseline"), null=True, blank=True)
    current = models.FloatField(_("now"), null=True, blank=True)
    drop_fraction = models.FloatField(_("drop"), null=True, blank=True)
    p_value = models.FloatField(_("p-value"), null=True, blank=True)
    dispersion = models.FloatField(_("dispersion"), null=True, blank=True)
    smallest_drop = models.FloatField(_("smallest detectable drop"), null=True, blank=True)
    samples = models.JSONField(_("samples"), default=dict, blank=True)
    arms_on = models.DateField(_("watched from about"), null=True, blank=True)
    last_checked = models.DateTimeField(_("last checked"), null=True, blank=True)
    last_triggered = models.DateTimeField(_("last triggered"), null=True, blank=True)

    objects = RegressionStateQuerySet.as_manager()

    class Meta:
        verbose_name = _("tripwire")
        verbose_name_plural = _("tripwires")
        ordering = ["policy__domain", "policy__metric"]

    def __str__(self) -> str:
        return str(self.policy)


class RegressionFiring(Written):
    """A firing of a tripwire: what it found, what it did, and who reset it when and why."""

    policy = models.ForeignKey(
        RegressionPolicy, models.PROTECT, related_name="firings", verbose_name=_("tripwire")
    )
    tripped_at = models.DateTimeField(_("fired"))
    action = models.CharField(_("action taken"), max_length=11, choices=RegressionPolicy.Action.choices)
    engine = models.CharField(_("engine"), max_length=ENGINE_LENGTH, blank=True, default="")
    seen = models.JSONField(_("observed values"), default=dict)
    released_at = models.DateTimeField(_("reset on"), null=True, blank=True)
    released_by = models.CharField(_("reset by"), max_length=ACTOR_LENGTH, blank=True, default="")
    reason = models.TextField(_("reason"), blank=True, default="")

    class Meta:
        verbose_name = _("firing of a tripwire")
        verbose_name_plural = _("firings of tripwires")
        ordering = ["-tripped_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["policy"], name="regression_firing_open_once", condition=models.Q(released_at=None)
            ),
            models.CheckConstraint(
                condition=models.Q(released_at=None) | models.Q(released_at__gte=models.F("tripped_at")),
                name="regression_firing_span",
            ),
        ]
        indexes = [
            models.Index(fields=["-tripped_at", "-id"], name="regression_firing_newest"),  # the list
            models.Index(fields=["policy", "-tripped_at"], name="regression_firings_of"),  # a tripwire's page
        ]

    def __str__(self) -> str:
        return f"{self.policy} {self.tripped_at:%Y-%m-%d}"

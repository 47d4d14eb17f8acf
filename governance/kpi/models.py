"""KPI events (what happened, whether it succeeded and its value), board metrics, and targets."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

from governance.core.actors import Written
from governance.core.append_only import AppendOnly
from governance.core.numbers import percent
from governance.core.versions import Versioned
from governance.kpi import names
from governance.kpi.rules import AT_LEAST, AT_MOST, MORE_THAN


class Domain(models.TextChoices):
    """The areas that events are counted in; service clients may record others."""

    WHOLESALE = "WHOLESALE", _("Wholesale")
    BUYER_MATCH = "BUYER_MATCH", _("Buyer matching")
    CAPITAL = "CAPITAL", _("Capital")
    FOLLOWUPS = "FOLLOWUPS", _("Follow-ups")
    NOTIFY = "NOTIFY", _("Notices")


class KpiEvent(Written, AppendOnly):
    """One event of a metric. `success` is null if the metric has no success; `detail` has no free text."""

    domain = models.CharField(_("domain"), max_length=40)
    metric = models.CharField(_("metric"), max_length=60)
    success = models.BooleanField(_("success"), null=True)
    value = models.DecimalField(_("value"), max_digits=14, decimal_places=4, null=True)
    detail = models.JSONField(_("detail"), default=dict)
    created_at = models.DateTimeField(_("created"))

    class Meta:
        verbose_name = _("KPI event")
        verbose_name_plural = _("KPI events")
        indexes = [
            models.Index(  # tripwires and boards, which read only its columns
                fields=["domain", "metric", "created_at"],
                name="kpi_figures",
                include=["success", "value"],
            ),
            models.Index(  # the few events that correct an earlier one
                fields=["domain", "metric", "created_at"],
                name="kpi_corrections",
                condition=models.Q(detail__has_key="corrects"),
            ),
            models.Index(fields=["created_at", "id"], name="kpi_newest"),  # the collection
            models.Index(fields=["correlation_id"], name="kpi_trace"),  # trace of one call
        ]
        permissions = [("record_kpi", "Record a KPI event")]

    def __str__(self) -> str:
        return f"{self.domain}/{self.metric}"


class Figure(models.Model):
    """A metric of the operations board that takes too long to compute on request, as last computed."""

    name = models.CharField(_("metric"), max_length=60, unique=True)
    value = models.JSONField(_("value"))
    counted_at = models.DateTimeField(_("counted"))

    class Meta:
        verbose_name = _("board metric")
        verbose_name_plural = _("board metrics")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


METRIC_CHOICES = [(target.name, target.label) for target in names.TARGETS.values()]


class Target(Versioned):
    """The target of a metric. One row per metric; every earlier version is kept."""

    class Comparison(models.TextChoices):
        AT_LEAST = AT_LEAST, _("at least")
        MORE_THAN = MORE_THAN, _("above")
        AT_MOST = AT_MOST, _("at most")

    metric = models.CharField(_("metric"), max_length=40, unique=True, choices=METRIC_CHOICES)
    comparison = models.CharField(_("should be"), max_length=10, choices=Comparison)
    value = models.DecimalField(
        _("target value"),
        max_digits=9,
        decimal_places=4,
        help_text=_("A rate is a fraction from 0 to 1, such as 0.9; for throttles it is their number."),
    )

    class Meta:
        verbose_name = _("target")
        verbose_name_plural = _("targets")
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(condition=models.Q(value__gte=0), name="target_not_negative"),
        ]

    def __str__(self) -> str:
        return str(self.get_metric_display())

    @property
    def is_rate(self) -> bool:
        return names.TARGETS[self.metric].is_rate if self.metric in names.TARGETS else True

    @property
    def told(self) -> str:
        """Return the target for display: “at least 90 %”."""
        value = percent(self.value) if self.is_rate else f"{self.value:.0f}"
        return f"{self.get_comparison_display()} {value}"

    def clean(self) -> None:
        value: Any = self.value  # None if the form's field was invalid already
        if value is None:
            return
        if self.is_rate and not 0 <= value <= 1:
            raise ValidationError({"value": _("A rate from 0 to 1 is needed.")})
        if not self.is_rate and (value < 0 or value != int(value)):
            raise ValidationError({"value": _("A whole number is needed.")})

"""KPI events: what happened, whether it went well, and how much."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from governance.actors import Written
from governance.append_only import AppendOnly


class Domain(models.TextChoices):
    """The areas that events are counted in; others may be recorded by service clients."""

    WHOLESALE = "WHOLESALE", _("Wholesale")
    BUYER_MATCH = "BUYER_MATCH", _("Buyer matching")
    CAPITAL = "CAPITAL", _("Capital")
    FOLLOWUPS = "FOLLOWUPS", _("Follow-ups")
    NOTIFY = "NOTIFY", _("Notices")


class KpiEvent(Written, AppendOnly):
    """One event of a metric. `success` is null where nothing can succeed; `detail` has no free text."""

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
            models.Index(fields=["domain", "metric", "created_at"], name="kpi_series"),  # tripwires, boards
            models.Index(fields=["-created_at", "-id"], name="kpi_newest"),  # the collection
            models.Index(fields=["correlation_id"], name="kpi_trace"),  # trace of one call
        ]
        permissions = [("record_kpi", "Record a KPI event")]

    def __str__(self) -> str:
        return f"{self.domain}/{self.metric}"

"""Go-live: whether production actions may run at all."""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from governance.core.actors import ACTOR_LENGTH


class GoLiveState(models.Model):
    """The only row (id 1), which says whether production actions run."""

    go_live_enabled = models.BooleanField(_("go-live enabled"), default=False)
    kill_switch_engaged = models.BooleanField(_("kill switch engaged"), default=False)
    changed_by = models.CharField(_("changed by"), max_length=ACTOR_LENGTH, blank=True, default="")
    reason = models.TextField(_("reason"), blank=True, default="")
    updated_at = models.DateTimeField(_("updated"))

    history = HistoricalRecords(history_change_reason_field=models.TextField(null=True))

    _change_reason: str  # read by simple_history, as is the date
    _history_date: datetime

    class Meta:
        verbose_name = _("go-live state")
        verbose_name_plural = _("go-live state")
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="go_live_one_row")]
        permissions = [
            ("switch_go_live", "Enable and disable go-live, release the kill switch"),
            ("engage_kill_switch", "Engage the kill switch"),
        ]

    def __str__(self) -> str:
        return str(_("go-live state"))

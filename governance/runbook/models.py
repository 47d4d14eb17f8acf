"""Models of the runbook: backups and compatible migrations. Check results are not stored."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from governance.core.actors import Written
from governance.core.append_only import AppendOnly
from governance.golive.models import GoLiveState


class Runbook(GoLiveState):
    """A model without a table, for the runbook's admin page."""

    class Meta:
        proxy = True
        verbose_name = _("runbook")
        verbose_name_plural = _("runbook")
        default_permissions = ("view",)


class CompatibleMigration(models.Model):
    """A migration on whose tables the previous release runs too; written in the migration's transaction."""

    app = models.CharField(max_length=40)
    name = models.CharField(max_length=150)

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["app", "name"], name="compatible_migration_once")]

    def __str__(self) -> str:
        return f"{self.app}.{self.name}"


class Backup(Written, AppendOnly):
    """A backup that was read back: where, its size, and its contents."""

    file = models.CharField(_("file"), max_length=255)
    size = models.BigIntegerField(_("bytes"))
    digest = models.CharField(_("SHA-256"), max_length=64)
    rows = models.BigIntegerField(_("rows read back"), null=True)
    at = models.DateTimeField(_("created"))

    class Meta:
        verbose_name = _("backup")
        verbose_name_plural = _("backups")
        ordering = ["-at", "-id"]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} UTC"

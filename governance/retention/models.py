"""Retention periods, and the records of removals and erasures."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from governance.core.actors import Written
from governance.core.append_only import AppendOnly
from governance.core.versions import Versioned
from governance.retention import registry
from governance.retention.reasons import Why

MOST_DAYS = 36_525  # a hundred years


class RetentionPeriod(Versioned):
    """The days for which a subject's rows are kept; blank means forever. Every earlier version is kept."""

    subject = models.CharField(_("subject"), max_length=40, unique=True, editable=False)
    days = models.PositiveIntegerField(
        _("days"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(MOST_DAYS)],
        help_text=_("Empty: they are kept indefinitely."),
    )

    class Meta:
        verbose_name = _("retention period")
        verbose_name_plural = _("retention periods")
        ordering = ["subject"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(days=None) | models.Q(days__gte=1, days__lte=MOST_DAYS),
                name="retention_period_days",
            )
        ]

    def __str__(self) -> str:
        rule = registry.rule_of(self.subject)
        return capfirst(str(rule.label)) if rule else self.subject

    def clean(self) -> None:
        rule = registry.rule_of(self.subject)
        if rule is not None and self.days is not None and self.days < rule.least_days:
            raise ValidationError(
                {"days": _("At least %(least)s days: %(why)s") % {"least": rule.least_days, "why": rule.why}}
            )


class Removal(Written, AppendOnly):
    """One step of the retention job: it removed rows older than `before`, the youngest of them `until`.

    On PostgreSQL inserting the row removes the data: the database function `valhalla_remove_expired` checks
    it, fills in the result, and deletes. `digest` is a SHA-256 of the removed rows as the database writes
    them.
    """

    subject = models.CharField(_("subject"), max_length=40)
    table_name = models.CharField(_("table"), max_length=63)
    age = models.CharField(_("date column"), max_length=63)
    before = models.DateTimeField(_("older than"))
    count = models.PositiveIntegerField(_("rows removed"))
    until = models.DateTimeField(_("newest removed"), null=True)
    digest = models.CharField(_("digest"), max_length=64, blank=True, default="")
    at = models.DateTimeField(_("at"))

    class Meta:
        verbose_name = _("removal")
        verbose_name_plural = _("removals")
        indexes = [models.Index(fields=["-at", "-id"], name="removal_newest")]  # the guard of each table

    def __str__(self) -> str:
        return f"{self.table_name} {self.at:%Y-%m-%d %H:%M}: {self.count}"


class Erasure(Written, AppendOnly):
    """The record that a person's data was erased, and how much. It holds nothing that could identify them.

    `points` are the keyed hashes of the person's numbers and addresses: an opt-out that arrives later still
    finds them. On PostgreSQL inserting the row blanks the texts of the person's suppressions and consents.
    """

    class Kind(models.TextChoices):
        LEAD = registry.LEAD, _("lead")
        BUYER = registry.BUYER, _("buyer")

    kind = models.CharField(_("kind"), max_length=5, choices=Kind.choices)
    record_id = models.BigIntegerField(_("number of the row"))
    why = models.CharField(_("why"), max_length=10, choices=Why.choices)
    points = models.JSONField(_("keyed hashes"), default=list)
    counts = models.JSONField(_("rows per table"), default=dict)
    at = models.DateTimeField(_("at"))

    class Meta:
        verbose_name = _("erasure")
        verbose_name_plural = _("erasures")
        constraints = [
            models.UniqueConstraint(fields=["kind", "record_id"], name="erasure_once_per_record"),
            models.CheckConstraint(condition=models.Q(why__in=Why.values), name="erasure_why_known"),
        ]
        indexes = [models.Index(fields=["-at", "-id"], name="erasure_newest")]  # the guard of each table
        permissions = [("erase_person", "Erase a person")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.record_id}, {self.at:%Y-%m-%d}"

    @property
    def rows(self) -> int:
        """Return how many rows were deleted or blanked."""
        counts: dict[str, Any] = self.counts
        return sum(counts.values())

"""Market policies: when, by which channel and whom we may contact in a market."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Self

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

from governance.core.actors import ACTOR_LENGTH, CORRELATION_LENGTH
from governance.core.places import PlaceModel, validate_zone
from governance.core.versions import Versioned
from governance.market.querysets import MarketPolicyQuerySet, ScheduledChangeQuerySet
from governance.market.rules import DEFAULT_RULES, read_rules


def default_rules() -> dict[str, object]:
    return DEFAULT_RULES.as_json()


class MarketName(PlaceModel):
    """The spelling of a market; every other row uses it. Never changed once stored."""

    class Meta:
        verbose_name = _("market")
        verbose_name_plural = _("markets")
        ordering = ["province", "market"]
        constraints = [
            models.UniqueConstraint(fields=["province", "market_key"], name="market_name_once_per_market")
        ]

    def __str__(self) -> str:
        return f"{self.province}/{self.market}"


class MarketPolicy(PlaceModel, Versioned):
    """The contact policy of one market, or of ALL of a province. Every earlier version is kept."""

    enabled = models.BooleanField(
        _("enabled"),
        default=True,
        help_text=_("When off, every contact there is refused; ALL does not apply instead."),
    )
    rules = models.JSONField(_("rules"), default=default_rules)
    timezone = models.CharField(
        _("time zone"),
        max_length=40,
        blank=True,
        default="",
        validators=[validate_zone],
        help_text=_(
            "Blank: the city's own time zone, otherwise every time zone of the province must allow it."
        ),
    )

    objects = MarketPolicyQuerySet.as_manager()

    class Meta:
        verbose_name = _("market policy")
        verbose_name_plural = _("market policies")
        ordering = ["province", "market"]
        constraints = [
            models.UniqueConstraint(
                fields=["province", "market_key"],
                name="market_policy_once_per_market",
                violation_error_message=_("There is a policy for this province and market already."),
            )
        ]
        permissions = [
            ("view_operations", "Read policies, effective, can-contact, scores, nodes, sla and due"),
            ("edit_policies", "Change market policies"),
        ]

    def __str__(self) -> str:
        return f"{self.province}/{self.market}"

    @classmethod
    def from_db(
        cls, db: str | None, field_names: Collection[str], values: Collection[Any], **more: Any
    ) -> Self:
        row = super().from_db(db, field_names, values, **more)
        if isinstance(row.__dict__.get("rules"), dict):  # a rule that is newer than the row has its default
            row.rules = {**default_rules(), **row.rules}
        return row

    def clean(self) -> None:
        try:
            self.rules = read_rules(self.rules).as_json()
        except ValidationError as wrong:
            raise ValidationError({"rules": wrong}) from wrong


class ScheduledChange(PlaceModel):
    """A change of a market policy at an instant; added, then applied or cancelled, never edited.

    `changes` may name enabled, timezone and single rules: other values that change in the meantime stay
    changed. The gate uses it from `effective_from` on; a job makes it the policy's next version soon
    afterwards.
    """

    effective_from = models.DateTimeField(
        _("takes effect"), help_text=_("Until then the policy stays as it is.")
    )
    changes = models.JSONField(_("changes"))
    changed_by = models.CharField(_("changed by"), max_length=ACTOR_LENGTH)
    reason = models.TextField(_("reason"), blank=True, default="")
    correlation_id = models.CharField(
        _("correlation id"), max_length=CORRELATION_LENGTH, default="", blank=True
    )
    created_at = models.DateTimeField(_("scheduled"))
    applied_at = models.DateTimeField(_("applied"), null=True, blank=True)
    made_version = models.PositiveIntegerField(_("version"), null=True, blank=True)
    cancelled_at = models.DateTimeField(_("cancelled"), null=True, blank=True)
    cancelled_by = models.CharField(_("cancelled by"), max_length=ACTOR_LENGTH, blank=True, default="")
    cancel_reason = models.TextField(_("reason for cancelling"), blank=True, default="")

    objects = ScheduledChangeQuerySet.as_manager()

    class Meta:
        verbose_name = _("scheduled policy change")
        verbose_name_plural = _("scheduled policy changes")
        ordering = ["-effective_from", "-id"]
        constraints = [
            # also finds pending changes of a place
            models.UniqueConstraint(
                fields=["province", "market_key", "effective_from"],
                condition=models.Q(cancelled_at=None, applied_at=None),
                name="scheduled_change_once_an_instant",
            ),
            models.CheckConstraint(
                condition=models.Q(cancelled_at=None) | models.Q(applied_at=None),
                name="scheduled_change_applied_or_cancelled",
            ),
        ]
        indexes = [
            models.Index(
                fields=["effective_from"],
                condition=models.Q(cancelled_at=None, applied_at=None),
                name="scheduled_changes_due",
            ),  # the job that applies them
        ]

    def __str__(self) -> str:
        return f"{self.province}/{self.market}"

    @property
    def state(self) -> str:
        """Return SCHEDULED, IN_FORCE or CANCELLED."""
        if self.cancelled_at is not None:
            return "CANCELLED"
        return "SCHEDULED" if self.applied_at is None else "IN_FORCE"

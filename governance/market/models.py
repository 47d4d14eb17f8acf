"""Market policies: when, by which channel and whom a market's rules let us contact."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from governance.actors import ACTOR_LENGTH, CORRELATION_LENGTH
from governance.market.querysets import MarketPolicyQuerySet
from governance.market.rules import DEFAULT_RULES, read_rules
from governance.places import PlaceModel, validate_zone


def default_rules() -> dict[str, Any]:
    return DEFAULT_RULES.as_json()


class MarketPolicy(PlaceModel):
    """The contact rules of one market, or of ALL of a province. Every earlier version is kept."""

    enabled = models.BooleanField(
        _("enabled"),
        default=True,
        help_text=_("Switched off it refuses every contact there; ALL does not step in."),
    )
    rules = models.JSONField(_("rules"), default=default_rules)
    timezone = models.CharField(
        _("time zone"), max_length=40, blank=True, default="", validators=[validate_zone],
        help_text=_("Blank: the city's own clock, else every clock of the province must allow it."),
    )  # fmt: skip
    version = models.PositiveIntegerField(_("version"), default=1, editable=False)
    changed_by = models.CharField(_("changed by"), max_length=ACTOR_LENGTH, editable=False)
    reason = models.TextField(_("reason"), blank=True, default="")
    correlation_id = models.CharField(
        _("correlation id"), max_length=CORRELATION_LENGTH, default="", blank=True, editable=False
    )
    updated_at = models.DateTimeField(_("updated"), editable=False)

    objects = MarketPolicyQuerySet.as_manager()
    history = HistoricalRecords(history_change_reason_field=models.TextField(null=True))

    class Meta:
        verbose_name = _("market policy")
        verbose_name_plural = _("market policies")
        ordering = ["province", "market"]
        constraints = [
            models.UniqueConstraint(
                fields=["province", "market_key"], name="market_policy_once_per_market",
                violation_error_message=_("There is a policy for this province and market already."),
            )
        ]  # fmt: skip
        permissions = [
            ("view_operations", "Read policies, effective, can-contact, scores, nodes, sla and due"),
            ("edit_policies", "Change market policies"),
        ]

    def __str__(self) -> str:
        return f"{self.province}/{self.market}"

    def clean(self) -> None:
        try:
            self.rules = read_rules(self.rules).as_json()
        except ValidationError as wrong:
            raise ValidationError({"rules": wrong}) from wrong

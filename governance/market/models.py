"""Market policies: when, by which channel and whom a market's rules let us contact."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

from governance.market.querysets import MarketPolicyQuerySet
from governance.market.rules import DEFAULT_RULES, read_rules
from governance.places import PlaceModel, validate_zone
from governance.versions import Versioned


def default_rules() -> dict[str, Any]:
    return DEFAULT_RULES.as_json()


class MarketPolicy(PlaceModel, Versioned):
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

    objects = MarketPolicyQuerySet.as_manager()

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

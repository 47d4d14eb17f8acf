"""Key figures by the names that people call them by."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from governance.kpi.models import KpiEvent, Target
from governance.kpi.rules import percent

LABELS = {
    "WHOLESALE/ladder_created": gettext_lazy("Ladders begun"),
    "WHOLESALE/followup_completed": gettext_lazy("Follow-ups completed"),
    "WHOLESALE/offer_generated": gettext_lazy("Offers computed"),
    "WHOLESALE/followup_sla": gettext_lazy("Follow-ups within 2 hours"),
    "WHOLESALE/contact_compliance": gettext_lazy("Contacts inside the rules"),
    "WHOLESALE/offer_accept_rate": gettext_lazy("Offers accepted"),
    "WHOLESALE/contract_rate": gettext_lazy("Accepted offers that become a contract"),
    "BUYER_MATCH/buyer_feedback": gettext_lazy("Buyers who respond"),
    "BUYER_MATCH/match_success": gettext_lazy("Buyer matches that work"),
    "CAPITAL/roi_event": gettext_lazy("Return on capital"),
    "NOTIFY/notice_delivered": gettext_lazy("Notices delivered"),
}

MINUTES = {"WHOLESALE/followup_completed", "WHOLESALE/followup_sla"}
DOLLARS = {"WHOLESALE/offer_generated"}
# The board's figures that have no target.
FIGURES = {
    "liquidity": gettext_lazy("Liquidity by province"),
    "nobodys_leads": gettext_lazy("Nobody’s leads"),
    "offers_by_market": gettext_lazy("Offers by market"),
    "offers_computed": gettext_lazy("Offers computed"),
    "owners_nobody": gettext_lazy("Owners that are nobody"),
    "paused_jobs": gettext_lazy("Paused jobs"),
    "runbook": gettext_lazy("Runbook"),
    "tasks_late": gettext_lazy("Tasks more than 2 allowed hours late"),
    "tasks_of_nobody": gettext_lazy("Tasks of owners that are nobody"),
}


def metric_in_words(event: KpiEvent) -> str:
    """Return what an event counts; its code where it has no name."""
    return str(LABELS.get(str(event), event.metric))


def value_in_words(event: KpiEvent) -> str:
    """Return an event's value with its unit."""
    if event.value is None:
        return "–"
    name, value = str(event), Decimal(event.value)
    if name in DOLLARS:
        return _("%(amount)s CAD") % {"amount": _number(value, 2)}
    if name in MINUTES:
        return _("%(minutes)s min") % {"minutes": _number(value, 1)}
    return _number(value, 4)


def figure_name(name: str) -> str:
    """Return the name of one of the board's figures."""
    targets: dict[Any, Any] = dict(Target.Metric.choices)
    return str(FIGURES.get(name) or targets.get(name, name))


def figure_in_words(value: Any) -> str:
    """Return what a job counted for the board."""
    if isinstance(value, dict) and "value" in value:
        if value["value"] is None:
            return "–"
        told = [percent(value["value"], 1)]
        if "counted" in value:
            told.append(_("of %(count)s") % {"count": number_format(value["counted"], force_grouping=True)})
        return " ".join(told)
    if isinstance(value, dict) and set(value) == {"blockers", "warnings"}:
        said = (
            ngettext("%(count)s blocker", "%(count)s blockers", value["blockers"]),
            ngettext("%(count)s warning", "%(count)s warnings", value["warnings"]),
        )
        return ", ".join(text % {"count": value[name]} for text, name in zip(said, value, strict=True))
    if isinstance(value, list):
        if all(isinstance(one, str) for one in value):
            return ", ".join(value) or "–"
        return ngettext("%(count)s row", "%(count)s rows", len(value)) % {"count": len(value)}
    return number_format(value, force_grouping=True) if isinstance(value, int) else str(value)


def _number(value: Decimal, places: int) -> str:
    whole = value == value.to_integral_value()
    return number_format(value, 0 if whole else places, use_l10n=True, force_grouping=True)

"""The names of all metrics, targets and metrics of the board.

A new metric is a line here and the service that emits it; a new target also needs a migration, for the
choices of `Target.metric`. Names are a contract: they are never changed.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from decimal import Decimal

from django.utils.translation import gettext_lazy as _

from governance.kpi.rules import AT_LEAST, AT_MOST, MORE_THAN

WHOLESALE, BUYERS, CAPITAL = "WHOLESALE", "BUYER_MATCH", "CAPITAL"
FOLLOWUPS, NOTIFY, BACK_OFFICE = "FOLLOWUPS", "NOTIFY", "BACK_OFFICE"


class Unit(enum.Enum):
    """The unit of an event's value."""

    NUMBER = "number"
    MINUTES = "minutes"
    DOLLARS = "dollars"


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric of KPI events; without a label its code is shown.

    The runbook requires a tripwire for each of the `vital` ones.
    """

    domain: str
    name: str
    label: object = None
    unit: Unit = Unit.NUMBER
    is_vital: bool = False

    @property
    def key(self) -> tuple[str, str]:
        return self.domain, self.name


LADDER_CREATED = Metric(WHOLESALE, "ladder_created", _("Ladders started"), is_vital=True)
FOLLOWUP_COMPLETED = Metric(
    WHOLESALE, "followup_completed", _("Follow-ups completed"), Unit.MINUTES, is_vital=True
)
FOLLOWUP_SLA = Metric(WHOLESALE, "followup_sla", _("Follow-ups within 2 hours"), Unit.MINUTES, is_vital=True)
OFFER_GENERATED = Metric(WHOLESALE, "offer_generated", _("Offers computed"), Unit.DOLLARS, is_vital=True)
BUYER_FEEDBACK = Metric(BUYERS, "buyer_feedback", _("Buyers who respond"), is_vital=True)
CONTACT_COMPLIANCE = Metric(WHOLESALE, "contact_compliance", _("Contact compliance"))
OFFER_ACCEPT_RATE = Metric(WHOLESALE, "offer_accept_rate", _("Offers accepted"))
CONTRACT_RATE = Metric(WHOLESALE, "contract_rate", _("Accepted offers that become a contract"))

_METRICS = (
    LADDER_CREATED,
    FOLLOWUP_COMPLETED,
    FOLLOWUP_SLA,
    OFFER_GENERATED,
    BUYER_FEEDBACK,
    CONTACT_COMPLIANCE,
    OFFER_ACCEPT_RATE,
    CONTRACT_RATE,
    Metric(WHOLESALE, "followup_corrected"),
    Metric(BUYERS, "match_success", _("Buyer matches that work")),
    Metric(CAPITAL, "roi_event", _("Return on capital")),
    Metric(NOTIFY, "notice_delivered", _("Notices delivered")),
    Metric(FOLLOWUPS, "inbound_recorded"),
    Metric(FOLLOWUPS, "lookup_burst"),
    Metric(FOLLOWUPS, "lookups_refused"),
    Metric(BACK_OFFICE, "contact_key_added"),
    Metric(BACK_OFFICE, "contact_key_dropped"),
    Metric(BACK_OFFICE, "contact_points_moved"),
    Metric(BACK_OFFICE, "rows_exported"),
    Metric(BACK_OFFICE, "rows_imported"),
)
METRICS = {metric.key: metric for metric in _METRICS}
VITAL = tuple(metric for metric in _METRICS if metric.is_vital)


def metric_label(domain: str, name: str, *, unknown: str) -> str:
    """Return a metric's display name; `unknown` if it has none."""
    metric = METRICS.get((domain, name))
    return str(metric.label) if metric is not None and metric.label else unknown


def unit_of(domain: str, name: str) -> Unit:
    """Return the unit of a metric's values; a number if the metric is unknown."""
    metric = METRICS.get((domain, name))
    return metric.unit if metric is not None else Unit.NUMBER


@dataclass(frozen=True, slots=True)
class TargetFigure:
    """A board metric with a target; `comparison` and `value` are its initial ones.

    A rate is a fraction from 0 to 1, anything else a whole number.
    """

    name: str
    label: object
    comparison: str
    value: Decimal
    is_rate: bool = True


OPEN_THROTTLES = "open_throttles"
TARGETS = {
    target.name: target
    for target in (
        TargetFigure(CONTACT_COMPLIANCE.name, CONTACT_COMPLIANCE.label, AT_LEAST, Decimal(1)),
        TargetFigure(FOLLOWUP_SLA.name, FOLLOWUP_SLA.label, AT_LEAST, Decimal("0.9")),
        TargetFigure("buyer_response", BUYER_FEEDBACK.label, MORE_THAN, Decimal("0.6")),
        TargetFigure(OFFER_ACCEPT_RATE.name, OFFER_ACCEPT_RATE.label, MORE_THAN, Decimal("0.4")),
        TargetFigure(CONTRACT_RATE.name, CONTRACT_RATE.label, MORE_THAN, Decimal("0.25")),
        TargetFigure(OPEN_THROTTLES, _("Open throttles"), AT_MOST, Decimal(0), is_rate=False),
    )
}

# the board's metrics without a target
FIGURES = {
    "liquidity": _("Liquidity by province"),
    "lookup_bursts": _("Look-up bursts of the last 3 days"),
    "nobodys_leads": _("Leads without a next step"),
    "offers_by_market": _("Offers by market"),
    "offers_computed": _("Offers computed"),
    "owners_nobody": _("Unknown owners of tasks"),
    "paused_jobs": _("Paused jobs"),
    "runbook": _("Runbook"),
    "tasks_late": _("Tasks more than 2 allowed hours late"),
    "tasks_of_nobody": _("Tasks with an unknown owner"),
}


def figure_label(name: str) -> str:
    """Return the name of a board metric; its code if it has none."""
    target = TARGETS.get(name)
    return str(FIGURES.get(name) or (target.label if target else name))

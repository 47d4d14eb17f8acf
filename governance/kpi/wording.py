"""Display names and values of KPIs."""

from __future__ import annotations

from decimal import Decimal

from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from governance.core.numbers import percent
from governance.kpi.models import KpiEvent
from governance.kpi.names import Unit, metric_label, unit_of


def metric_in_words(event: KpiEvent) -> str:
    """Return what an event counts; its code if it has no name."""
    return metric_label(event.domain, event.metric, unknown=event.metric)


def value_in_words(event: KpiEvent) -> str:
    """Return an event's value with its unit."""
    if event.value is None:
        return "–"
    unit, value = unit_of(event.domain, event.metric), Decimal(event.value)
    if unit is Unit.DOLLARS:
        return _("%(amount)s CAD") % {"amount": _number(value, 2)}
    if unit is Unit.MINUTES:
        return _("%(minutes)s min") % {"minutes": _number(value, 1)}
    return _number(value, 4)


def figure_in_words(value: object) -> str:
    """Return a board metric for display."""
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

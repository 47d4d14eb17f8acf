"""Calculations on metrics and their targets."""

from __future__ import annotations

from decimal import Decimal

AT_LEAST, MORE_THAN, AT_MOST = "AT_LEAST", "MORE_THAN", "AT_MOST"


def is_met(comparison: str, value: Decimal, figure: Decimal) -> bool:
    """Return whether a metric reaches the target `value`, both in the metric's own unit."""
    if comparison == AT_MOST:
        return figure <= value
    return figure > value if comparison == MORE_THAN else figure >= value


def gap(comparison: str, value: Decimal, figure: Decimal) -> Decimal:
    """Return the distance of a metric from its target, in its own unit: below 0 is worse than the target."""
    return value - figure if comparison == AT_MOST else figure - value

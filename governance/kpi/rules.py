"""Sums about figures and their targets."""

from __future__ import annotations

from decimal import Decimal

AT_LEAST, MORE_THAN, AT_MOST = "AT_LEAST", "MORE_THAN", "AT_MOST"


def is_met(comparison: str, value: Decimal, figure: Decimal) -> bool:
    """Say whether a figure reaches the target `value`, both in the figure's own unit."""
    if comparison == AT_MOST:
        return figure <= value
    return figure > value if comparison == MORE_THAN else figure >= value


def gap(comparison: str, value: Decimal, figure: Decimal) -> Decimal:
    """Return how far a figure is from its target, in its own unit: below 0 is worse than the target."""
    return value - figure if comparison == AT_MOST else figure - value

"""Fractions: parsing, and formatting as percentages."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

from django.utils.formats import number_format


def read_score(raw: object) -> Decimal:
    """Return a score as a fraction 0 to 1. Raises ValueError for anything else."""
    if isinstance(raw, bool) or not isinstance(raw, int | float | Decimal | str):
        raise ValueError(raw)
    if isinstance(raw, str) and not re.fullmatch(r"[0-9]{0,3}\.?[0-9]{1,12}", raw):
        raise ValueError(raw)
    try:
        score = Decimal(str(raw))
    except InvalidOperation:
        raise ValueError(raw) from None
    if not score.is_finite() or not 0 <= score <= 1:
        raise ValueError(raw)
    return score


def percent(fraction: Decimal | float, places: int = 2) -> str:
    """Return a fraction for display: 0.9 is “90 %”, without trailing zeros."""
    number = round(Decimal(str(fraction)) * 100, places).normalize()
    return f"{number_format(format(number, 'f'))}\u00a0%"

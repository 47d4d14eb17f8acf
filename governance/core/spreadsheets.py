"""Cells of the spreadsheets that are given out."""

from __future__ import annotations

FORMULA_SIGNS = tuple("=+-@\t\r\n＝＋－＠")  # a spreadsheet can read the wide ones as the others


def safe(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula: with a quote before what would begin one."""
    return f"'{text}" if text.startswith(FORMULA_SIGNS) else text

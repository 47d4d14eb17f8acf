"""Cells of exported spreadsheets."""

from __future__ import annotations

FORMULA_SIGNS = tuple("=+-@\t\r\n＝＋－＠")  # a spreadsheet can read the full-width ones like the others


def safe(text: str) -> str:
    """Return a cell that no spreadsheet reads as a formula: with a quote before what would begin one."""
    return f"'{text}" if text.startswith(FORMULA_SIGNS) else text

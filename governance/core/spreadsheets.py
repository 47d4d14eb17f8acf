"""Exported spreadsheets: their cells, and the record of each export."""

from __future__ import annotations

from datetime import datetime

from governance.core import hooks
from governance.core.actors import Actor

DOMAIN = "BACK_OFFICE"
FORMULA_SIGNS = tuple("=+-@\t\r\n＝＋－＠")  # a spreadsheet can read the full-width ones like the others


def safe(text: str) -> str:
    """Return a cell that no spreadsheet reads as a formula: with a quote before what would begin one."""
    return f"'{text}" if text.startswith(FORMULA_SIGNS) else text


def log_export(table: str, rows: int, *, reason: str, by: Actor, at: datetime) -> None:
    """Record who exported how many rows of a table (`app.model`), when and why, but not their contents."""
    detail = {"table": table, "rows": rows, "reason": reason}
    hooks.emit_kpi(DOMAIN, "rows_exported", by=by, at=at, success=True, detail=detail)
    hooks.security_event.ask("export", by, {"table": table, "rows": rows})

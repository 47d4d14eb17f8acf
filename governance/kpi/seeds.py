"""The owner's targets."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from governance.kpi.rules import AT_LEAST, AT_MOST, MORE_THAN
from governance.seeding import SEED, GetModel, plant, uproot

KEY = ("metric",)
_TARGETS = (
    ("contact_compliance", AT_LEAST, "1"),
    ("followup_sla", AT_LEAST, "0.9"),
    ("buyer_response", MORE_THAN, "0.6"),
    ("offer_accept_rate", MORE_THAN, "0.4"),
    ("contract_rate", MORE_THAN, "0.25"),
    ("open_throttles", AT_MOST, "0"),
)


def _rows() -> list[dict[str, Any]]:
    return [
        {
            "metric": metric, "comparison": comparison, "value": Decimal(value), "version": 1,
            "changed_by": SEED, "reason": SEED,
        }
        for metric, comparison, value in _TARGETS
    ]  # fmt: skip


def seed(get: GetModel, at: datetime) -> None:
    plant(get, "Target", KEY, [{**row, "updated_at": at} for row in _rows()], at)


def unseed(get: GetModel) -> None:
    uproot(get, "Target", KEY, _rows())

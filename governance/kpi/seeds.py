"""Seed data: the owner's targets."""

from __future__ import annotations

from datetime import datetime

from governance.core.seeding import SEED, GetModel, plant, uproot
from governance.kpi.names import TARGETS

KEY = ("metric",)


def _rows() -> list[dict[str, object]]:
    return [
        {
            "metric": target.name,
            "comparison": target.comparison,
            "value": target.value,
            "version": 1,
            "changed_by": SEED,
            "reason": SEED,
        }
        for target in TARGETS.values()
    ]


def seed(get: GetModel, at: datetime) -> None:
    plant(get, "Target", KEY, [{**row, "updated_at": at} for row in _rows()], at)


def unseed(get: GetModel) -> None:
    uproot(get, "Target", KEY, _rows())

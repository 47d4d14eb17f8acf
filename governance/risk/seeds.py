"""Seed data: the default caps, CAD. Notices spend nothing, so their engine is off."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from governance.core.seeding import SEED, GetModel, plant, uproot
from governance.risk.rules import GLOBAL

KEY = ("engine",)
# engine: loss per day, exposure per day, open risk, enabled
_CAPS = {
    GLOBAL: (25_000, 150_000, 150_000, True),
    "WHOLESALE": (20_000, 100_000, 100_000, True),
    "CAPITAL": (15_000, 75_000, 75_000, True),
    "NOTIFY": (0, 0, 0, False),
}


def _policies() -> list[dict[str, object]]:
    return [
        {
            "engine": engine, "enabled": enabled, "max_daily_loss": Decimal(loss),
            "max_daily_exposure": Decimal(exposure), "max_open_risk": Decimal(most_open),
            "max_actions_per_day": 0, "version": 1, "changed_by": SEED, "reason": SEED,
        }
        for engine, (loss, exposure, most_open, enabled) in _CAPS.items()
    ]  # fmt: skip


def _engines() -> list[dict[str, object]]:
    return [{"engine": engine, "open_risk": Decimal(0), "open_cap": Decimal(0)} for engine in _CAPS]


def seed(get: GetModel, at: datetime) -> None:
    plant(get, "RiskPolicy", KEY, [{**row, "updated_at": at} for row in _policies()], at)
    plant(get, "RiskEngine", KEY, _engines(), at)


def unseed(get: GetModel) -> None:
    uproot(get, "RiskPolicy", KEY, _policies())
    kept = set(get("RiskPolicy")._default_manager.values_list("engine", flat=True))
    uproot(get, "RiskEngine", KEY, [row for row in _engines() if row["engine"] not in kept])

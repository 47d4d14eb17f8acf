"""Seed data: one policy for ALL of each province, the safe defaults of every operation."""

from __future__ import annotations

from datetime import datetime

from governance.core.places import ALL, Province
from governance.core.seeding import SEED, GetModel, plant, uproot
from governance.market.rules import DEFAULT_RULES, PER_7_DAYS, PER_DAY

KEY = ("province", "market_key")

# As in the first databases, so that the reverse step recognizes its rows; missing values have their defaults.
RULES = {name: value for name, value in DEFAULT_RULES.as_json().items() if name not in (PER_DAY, PER_7_DAYS)}


def _rows() -> list[dict[str, object]]:
    return [
        {
            "province": province, "market": ALL, "market_key": ALL, "enabled": True,
            "rules": dict(RULES), "timezone": "", "version": 1, "changed_by": SEED,
            "reason": SEED,
        }
        for province in Province.values
    ]  # fmt: skip


def seed(get: GetModel, at: datetime) -> None:
    plant(get, "MarketPolicy", KEY, [{**row, "updated_at": at} for row in _rows()], at)


def unseed(get: GetModel) -> None:
    uproot(get, "MarketPolicy", KEY, _rows())

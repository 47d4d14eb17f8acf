"""One policy for ALL of each province: the safe defaults that every operation begins with."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from governance.market.rules import DEFAULT_RULES
from governance.places import ALL, Province
from governance.seeding import SEED, GetModel, plant, uproot

KEY = ("province", "market_key")


def _rows() -> list[dict[str, Any]]:
    return [
        {
            "province": province, "market": ALL, "market_key": ALL, "enabled": True,
            "rules": DEFAULT_RULES.as_json(), "timezone": "", "version": 1, "changed_by": SEED,
            "reason": SEED,
        }
        for province in Province.values
    ]  # fmt: skip


def seed(get: GetModel, at: datetime) -> None:
    plant(get, "MarketPolicy", KEY, [{**row, "updated_at": at} for row in _rows()], at)


def unseed(get: GetModel) -> None:
    uproot(get, "MarketPolicy", KEY, _rows())

"""Seed data: one offer policy for ALL of each province, off until a manager decides."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from governance.core.places import ALL, Province
from governance.core.seeding import SEED, GetModel, plant, uproot

KEY = ("province", "market_key")


def _rows() -> list[dict[str, object]]:
    return [
        {
            "province": province, "market": ALL, "market_key": ALL, "enabled": False,
            "max_arv_multiplier": Decimal("0.70"), "default_assignment_fee": Decimal(10000),
            "default_fees_buffer": Decimal(2500), "offer_net_of_assignment_fee": True,
            "min_liquidity_score": None, "require_heimdall": False,
            "version": 1, "changed_by": SEED, "reason": SEED,
        }
        for province in Province.values
    ]  # fmt: skip


def seed(get: GetModel, at: datetime) -> None:
    plant(get, "OfferPolicy", KEY, [{**row, "updated_at": at} for row in _rows()], at)


def unseed(get: GetModel) -> None:
    """Remove rows that nobody changed and no evidence names."""
    used = set(get("OfferEvidence")._default_manager.values_list("policy__province", "policy__market_key"))
    uproot(get, "OfferPolicy", KEY, [row for row in _rows() if tuple(row[name] for name in KEY) not in used])

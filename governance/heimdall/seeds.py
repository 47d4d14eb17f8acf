"""Seed data: four domains of machine recommendations, all with production use off."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from governance.core.seeding import SEED, GetModel, plant, uproot
from governance.heimdall import rules

_CHARTER = (
    (rules.WHOLESALE_OFFER, "0.92", 75, "0.82"),
    (rules.BUYER_MATCH, "0.90", 50, "0.80"),
    (rules.CAPITAL_ROUTE, "0.95", 100, "0.85"),
    (rules.FOLLOWUP_NEXT_ACTION, "0.90", 60, "0.80"),
)


def _rows() -> list[dict[str, object]]:
    return [
        {
            "domain": domain,
            "min_confidence_prod": Decimal(confidence),
            "min_sandbox_trials": trials,
            "min_sandbox_success_rate": Decimal(rate),
            "prod_use_enabled": False,
            "version": 1,
            "changed_by": SEED,
            "reason": SEED,
        }
        for domain, confidence, trials, rate in _CHARTER
    ]


def seed(get: GetModel, at: datetime) -> None:
    plant(get, "HeimdallPolicy", ("domain",), [{**row, "updated_at": at} for row in _rows()], at)


def unseed(get: GetModel) -> None:
    uproot(get, "HeimdallPolicy", ("domain",), _rows())

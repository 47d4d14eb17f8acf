"""Seed data: the default tripwires; five of them are on."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from governance.core.seeding import SEED, GetModel, plant, uproot

KEY = ("domain", "metric")
RATE, MEAN, VOLUME = "SUCCESS_RATE", "MEAN", "VOLUME"
THROTTLE, KILL_SWITCH = "THROTTLE", "KILL_SWITCH"
# domain, metric, engine, measure, drop, action, enabled
_TRIPWIRES = (
    ("WHOLESALE", "ladder_created", "WHOLESALE", VOLUME, "0.2", THROTTLE, True),
    ("WHOLESALE", "followup_completed", "WHOLESALE", VOLUME, "0.2", THROTTLE, True),
    ("WHOLESALE", "offer_generated", "WHOLESALE", VOLUME, "0.2", THROTTLE, True),
    ("WHOLESALE", "followup_sla", "WHOLESALE", RATE, "0.2", THROTTLE, True),
    ("BUYER_MATCH", "buyer_feedback", "WHOLESALE", RATE, "0.2", THROTTLE, True),
    ("WHOLESALE", "contract_rate", "WHOLESALE", RATE, "0.2", THROTTLE, False),
    ("WHOLESALE", "offer_accept_rate", "WHOLESALE", RATE, "0.15", THROTTLE, False),
    ("BUYER_MATCH", "match_success", "WHOLESALE", RATE, "0.25", THROTTLE, False),
    ("CAPITAL", "roi_event", "CAPITAL", MEAN, "0.3", KILL_SWITCH, False),
)


def _rows() -> list[dict[str, object]]:
    return [
        {
            "domain": domain, "metric": metric, "engine": engine, "measure": measure, "window_events": 50,
            "baseline_events": 200, "min_events_to_enforce": 50, "max_drop_fraction": Decimal(drop),
            "max_false_alarm": Decimal("0.0005"), "action": action, "enabled": enabled, "version": 1,
            "changed_by": SEED, "reason": SEED,
        }
        for domain, metric, engine, measure, drop, action, enabled in _TRIPWIRES
    ]  # fmt: skip


def seed(get: GetModel, at: datetime) -> None:
    plant(get, "RegressionPolicy", KEY, [{**row, "updated_at": at} for row in _rows()], at)
    states = get("RegressionState")._default_manager
    without = get("RegressionPolicy")._default_manager.filter(state=None)
    states.bulk_create(get("RegressionState")(policy=policy, starts_at=at) for policy in without)


def unseed(get: GetModel) -> None:
    uproot(get, "RegressionPolicy", KEY, _rows())

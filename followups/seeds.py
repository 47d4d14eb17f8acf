"""Seed data: the default ladder, six steps over seven days, unless a more specific one exists."""

from __future__ import annotations

from datetime import datetime

from followups.rules import DEFAULT_STEPS
from governance.core.places import ALL
from governance.core.seeding import SEED, GetModel, plant, uproot

KEY = ("province", "market_key")
_ROW = {
    "province": "", "market": ALL, "market_key": ALL, "enabled": True,
    "steps": [step.as_json() for step in DEFAULT_STEPS], "version": 1, "changed_by": SEED, "reason": SEED,
}  # fmt: skip


def seed(get: GetModel, at: datetime) -> None:
    plant(get, "LadderTemplate", KEY, [{**_ROW, "updated_at": at}], at)


def unseed(get: GetModel) -> None:
    uproot(get, "LadderTemplate", KEY, [_ROW])

"""Seed data: both switches off."""

from __future__ import annotations

from datetime import datetime

from governance.core.seeding import SEED, GetModel, plant, uproot

_ROW = {"id": 1, "go_live_enabled": False, "kill_switch_engaged": False, "changed_by": SEED, "reason": SEED}


def seed(get: GetModel, at: datetime) -> None:
    plant(get, "GoLiveState", ("id",), [{**_ROW, "updated_at": at}], at)


def unseed(get: GetModel) -> None:
    uproot(get, "GoLiveState", ("id",), [_ROW])

"""Seed data: the default retention periods."""

from __future__ import annotations

from datetime import datetime

from governance.core.seeding import SEED, GetModel, plant, uproot
from governance.retention import registry

KEY = ("subject",)


def _rows() -> list[dict[str, object]]:
    return [
        {"subject": rule.subject, "days": rule.days, "version": 1, "changed_by": SEED, "reason": SEED}
        for rule in registry.rules()
    ]


def seed(get: GetModel, at: datetime) -> None:
    plant(get, "RetentionPeriod", KEY, [{**row, "updated_at": at} for row in _rows()], at)


def unseed(get: GetModel) -> None:
    uproot(get, "RetentionPeriod", KEY, _rows())

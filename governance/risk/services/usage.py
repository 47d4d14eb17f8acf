"""The use of the caps, and the check that it equals the reservations."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from django.db import transaction
from django.db.models import Count, Q, Sum

from governance.risk.models import RiskEngine, RiskLedgerDay, RiskPolicy, RiskReservation
from governance.risk.querysets import open_throttles
from governance.risk.rules import GLOBAL, ZERO, Measure, Use, measures
from governance.risk.services.reservations import days_of, uses_of


@dataclass(frozen=True, slots=True)
class EngineUse:
    """An engine's caps with their use; `throttled_by` names the tripwires that throttle it."""

    engine: str
    policy: RiskPolicy
    use: Use
    measures: tuple[Measure, ...]
    throttled_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What every engine uses on a UTC day, GLOBAL first; every open throttle as its engine and tripwire."""

    day: date
    engines: tuple[EngineUse, ...]
    throttles: tuple[tuple[str, str], ...]


def snapshot(at: datetime) -> Snapshot:
    """Return every engine's caps with their use on the UTC day of `at`."""
    day = at.astimezone(UTC).date()
    engines_by_code = {row.engine: row for row in RiskEngine.objects.all()}
    uses = uses_of(engines_by_code, days_of(engines_by_code, day))
    throttled = defaultdict(list)
    throttles = tuple(open_throttles().values_list("engine", "tripwire"))
    for engine, tripwire in throttles:
        throttled[engine].append(tripwire)
    engines = [
        EngineUse(
            policy.engine,
            policy,
            uses.get(policy.engine, Use()),
            tuple(measures(uses.get(policy.engine, Use()), policy.caps)),
            tuple(throttled[policy.engine]),
        )
        for policy in RiskPolicy.objects.order_by("engine")
    ]
    return Snapshot(day, tuple(sorted(engines, key=lambda found: found.engine != GLOBAL)), throttles)


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure that does not equal its recount; `day` is None for the open risk of all days."""

    engine: str
    day: date | None
    figure: str
    kept: Any
    counted: Any


@transaction.atomic
def recount() -> list[Difference]:
    """Return where engines and ledger differ from a recount of the reservations; empty means nowhere.

    Nothing is reserved or ended meanwhile: it locks every engine. Days before the oldest stored reservation
    are left out: retention may have removed theirs.
    """
    held = RiskEngine.objects.hold(*RiskEngine.objects.values_list("engine", flat=True))
    counted: dict[tuple[str, date | None, str], Any] = defaultdict(lambda: ZERO)
    kept: dict[tuple[str, date | None, str], object] = {
        (engine, None, "open_risk"): row.open_risk for engine, row in held.items()
    }
    oldest = RiskReservation.objects.order_by("day").values_list("day", flat=True).first() or date.min
    for row in RiskLedgerDay.objects.filter(day__gte=oldest):
        for figure in ("realized_loss", "exposure", "actions"):
            kept[row.engine, row.day, figure] = getattr(row, figure)
    per_day: Any = RiskReservation.objects.values("engine", "day").annotate(
        open_risk=Sum("amount", filter=Q(state="PENDING")),
        exposure=Sum("amount", filter=Q(state__in=["PENDING", "SETTLED"])),
        realized_loss=Sum("realized_loss"),
        actions=Count("id"),
    )
    for found in per_day.order_by():
        for engine in (found["engine"], GLOBAL):
            counted[engine, None, "open_risk"] += found["open_risk"] or ZERO
            for figure in ("realized_loss", "exposure", "actions"):
                counted[engine, found["day"], figure] += found[figure] or 0
    return [
        Difference(*where, kept.get(where, ZERO), counted[where])
        for where in sorted(kept.keys() | counted.keys(), key=str)
        if kept.get(where, ZERO) != counted[where]
    ]

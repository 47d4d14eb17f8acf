"""Queries on engines, reservations and throttles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from django.db import models

from governance.core.compiled import CompiledFilter, CompiledQuery, Listed, Param
from governance.risk.rules import GLOBAL, STALE_AFTER

if TYPE_CHECKING:
    from governance.risk.models import RiskEngine, RiskLedgerDay, RiskPolicy, RiskThrottle


class EngineQuerySet(models.QuerySet[Any]):
    """Queries on engines' open risk."""

    def hold(self, *engines: str) -> dict[str, RiskEngine]:
        """Lock these engines' rows until the transaction ends and return them; GLOBAL always comes last.

        Every change of risk does this first: with one locking order there is no deadlock, and what is read
        afterwards stays true.
        """
        return {row.engine: row for row in _held(engines=engines)}


class ReservationQuerySet(models.QuerySet[Any]):
    """Queries on reservations."""

    def pending(self) -> Self:
        return self.filter(state="PENDING")

    def stale(self, at: datetime) -> Self:
        """Return reservations that are still open after 72 hours, the oldest first."""
        return self.pending().filter(created_at__lte=at - STALE_AFTER).order_by("created_at", "id")


class ThrottleQuerySet(models.QuerySet[Any]):
    """Queries on throttles."""

    def open(self) -> Self:
        return self.filter(released_at=None)


@CompiledQuery
def _held() -> models.QuerySet[Any]:
    from governance.risk.models import RiskEngine  # the models themselves need the querysets above

    last = models.Case(models.When(engine=GLOBAL, then=1), default=0)
    rows = RiskEngine.objects.select_for_update().filter(engine__any_of=Listed("engines"))
    return rows.order_by(last, "engine")


@CompiledQuery
def days_of_engines() -> models.QuerySet[RiskLedgerDay]:
    """Return the ledgers of a `day`, of these `engines`."""
    from governance.risk.models import RiskLedgerDay  # the models themselves need the querysets above

    day = Param("day", models.DateField())
    return RiskLedgerDay.objects.filter(day=day, engine__any_of=Listed("engines"))


def _by_engine() -> models.QuerySet[RiskPolicy]:
    from governance.risk.models import RiskPolicy  # the models themselves need the querysets above

    return RiskPolicy.objects.order_by("engine")


_listed = CompiledFilter(_by_engine, engine=models.CharField(), enabled=models.BooleanField())


def listed_policies(engine: str | None, enabled: bool | None, *, limit: int) -> list[RiskPolicy]:
    """Return up to `limit` policies by engine; None does not filter."""
    return _listed(limit, engine=engine, enabled=enabled)


@dataclass(frozen=True, slots=True)
class Span:
    """A time in which an engine was throttled; `until` is None while it still is."""

    tripwire: str
    since: datetime
    until: datetime | None


def open_throttles(engines: Sequence[str] | None = None) -> models.QuerySet[RiskThrottle]:
    """Return the current throttles, the oldest first; of all engines if none is named."""
    from governance.risk.models import RiskThrottle  # the models themselves need the querysets above

    rows = RiskThrottle.objects.open().order_by("since", "id")
    return rows if engines is None else rows.filter(engine__in=engines)


@CompiledQuery
def policies_with_throttle() -> models.QuerySet[Any]:
    """Return the policies of these `engines`, each with the oldest throttle on any of them.

    `throttled_engine` and `throttled_by` (its tripwire) are None without one.
    """
    from governance.risk.models import RiskPolicy  # the models themselves need the querysets above

    engines = Listed("engines")
    oldest = open_throttles().filter(engine__any_of=engines)
    return RiskPolicy.objects.filter(engine__any_of=engines).annotate(
        throttled_engine=models.Subquery(oldest.values("engine")[:1]),
        throttled_by=models.Subquery(oldest.values("tripwire")[:1]),
    )


def board_figures(at: datetime) -> dict[str, int]:
    """Return how many throttles are in force."""
    return {"open_throttles": open_throttles().count()}


def throttled_spans(engine: str, since: datetime, until: datetime) -> list[Span]:
    """Return the times in which an engine was throttled that touch `since` to `until`, the oldest first."""
    from governance.risk.models import RiskThrottle  # the models themselves need the querysets above

    rows = RiskThrottle.objects.filter(
        models.Q(released_at=None) | models.Q(released_at__gt=since), engine=engine, since__lt=until
    )
    return [
        Span(*row) for row in rows.order_by("since", "id").values_list("tripwire", "since", "released_at")
    ]

"""Queries on Heimdall's policies, scorecards and events."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any, Self

from django.db import models
from django.db.models import Model, OuterRef, Subquery, Sum
from django.db.models.functions import Coalesce

from governance.core.append_only import AppendOnlyQuerySet
from governance.heimdall.rules import Scorecard

if TYPE_CHECKING:
    from governance.heimdall.models import HeimdallPolicy


class PolicyQuerySet(models.QuerySet[Any]):
    """Queries on policies."""

    def with_scorecard(self, since: date, until: date) -> Self:
        """Add `trials` and `successes` of the UTC days `since` to `until`, both included."""
        from governance.heimdall.models import HeimdallScorecardDay  # the models need the querysets

        days = HeimdallScorecardDay.objects.within(since, until).filter(domain=OuterRef("domain"))

        def total(name: str) -> Coalesce:
            summed = days.order_by().values("domain").annotate(total=Sum(name)).values("total")
            return Coalesce(Subquery(summed), 0)

        return self.annotate(trials=total("trials"), successes=total("successes"))


class ScorecardQuerySet(models.QuerySet[Any]):
    """Queries on the days of the scorecards."""

    def within(self, since: date, until: date) -> Self:
        """Return the days `since` to `until`, both included."""
        return self.filter(day__range=(since, until))


class EventQuerySet(AppendOnlyQuerySet):
    """Queries on events."""

    def uses_of(self, recommendation_id: int | OuterRef) -> Self:
        """Return the event of a recommendation's use: one, or none if it was not used."""
        return self.filter(recommendation_id=recommendation_id, kind="USED")


def with_use(recommendation_id: int) -> models.QuerySet[Any]:
    """Return a recommendation with `is_used`, in one query."""
    from governance.heimdall.models import HeimdallEvent, HeimdallRecommendation  # as above

    used = models.Exists(HeimdallEvent.objects.uses_of(OuterRef("pk")))
    rows: models.QuerySet[Model] = HeimdallRecommendation.objects.filter(pk=recommendation_id).annotate(
        is_used=used
    )
    return rows


def card_of(policy: HeimdallPolicy) -> Scorecard:
    """Return the scorecard of a policy that was loaded `with_scorecard`."""
    return Scorecard(policy.trials, policy.successes)  # type: ignore[attr-defined]  # annotated

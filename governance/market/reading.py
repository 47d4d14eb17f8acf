"""Market policies over time, as the gate reads them: current, past and scheduled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db.models import (
    BooleanField,
    CharField,
    DateTimeField,
    F,
    IntegerField,
    OuterRef,
    Subquery,
    Value,
)
from django.db.models.functions import Coalesce

from governance.core.compiled import CompiledQuery, Listed, Param
from governance.core.places import ALL, Place
from governance.market.models import MarketPolicy, ScheduledChange
from governance.market.timeline import Change, Key, PolicyRow, applied, in_force, pieces_at, timelines

PAST = timedelta(days=14)  # before a judged instant: how far back earlier versions of policies are read
VERSION, SCHEDULED = "V", "S"
FIELDS = ("id", "province", "market", "market_key", "enabled", "rules", "timezone", "version")
Timelines = dict[Key, tuple[PolicyRow, ...]]


def policies_in_time(of_them: Mapping[str, object], more: Mapping[str, object] | None = None) -> object:
    """Return the query for policies, their versions from parameter `since` on and scheduled changes.

    `more` are texts that are read with each policy, after its own columns. For `read_timelines`.
    """
    more = more or {}
    since = Param("since", DateTimeField())
    columns = ("what", *FIELDS, "starts", *more)
    nothing = {name: Value(None, CharField()) for name in more}
    version = {"what": Value(VERSION, CharField()), "starts": F("updated_at")}
    policies = MarketPolicy.objects.filter(**of_them).order_by()
    # most policies need no earlier version: the present one is older than the instant in question
    versions = MarketPolicy.history.model._default_manager.order_by()
    same = versions.filter(id=OuterRef("id"), updated_at__lte=since).order_by("-version")
    present = MarketPolicy.objects.filter(pk=OuterRef("id")).order_by()
    earlier = versions.filter(
        id__in=policies.filter(updated_at__gt=since).values("id"),
        version__gte=Coalesce(Subquery(same.values("version")[:1]), 0),
        version__lt=Subquery(present.values("version")[:1]),
    )
    changes = ScheduledChange.objects.pending().filter(**of_them).order_by()
    changes = changes.annotate(
        what=Value(SCHEDULED, CharField()),
        enabled=Value(None, BooleanField()),
        rules=F("changes"),
        timezone=Value("", CharField()),
        version=Value(0, IntegerField()),
        starts=F("effective_from"),
        **nothing,
    )
    return (
        policies.annotate(**version, **more)
        .values_list(*columns)
        .union(
            earlier.annotate(**version, **nothing).values_list(*columns),
            changes.values_list(*columns),
            all=True,
        )
    )


def read_timelines(rows: Iterable[tuple[Any, ...]]) -> Timelines:
    """Return by (province, market key) what `policies_in_time` found."""
    versions: list[PolicyRow] = []
    changes: list[Change] = []
    for what, pk, province, market, market_key, enabled, rules, zone, version, starts, *_more in rows:
        if what == VERSION:
            of_version = (pk, province, market, market_key, enabled, rules, zone, version, starts)
            versions.append(PolicyRow(*of_version))
        else:
            changes.append(Change(pk, province, market, market_key, starts, rules))
    return timelines(versions, changes)


@CompiledQuery
def _policies() -> object:
    wanted = {"province__any_of": Listed("provinces"), "market_key__any_of": Listed("market_keys")}
    return policies_in_time(wanted)


def policies_at(places: Iterable[Place], at: datetime) -> Timelines:
    """Return every policy that could apply to one of the places, in one query.

    Includes earlier versions in force from 14 days before `at` on, and scheduled changes.
    """
    wanted = list(places)
    provinces = sorted({place.province for place in wanted})
    market_keys = sorted({ALL, *(place.market_key for place in wanted)})
    return read_timelines(_policies(provinces=provinces, market_keys=market_keys, since=at - PAST))


def policy_in_force(place: Place, at: datetime) -> tuple[PolicyRow | None, bool]:
    """Return the policy of a place at an instant (its own, else ALL's, else None), in one query.

    And whether there is a scheduled change that is not yet a version.
    """
    found = policies_at([place], at)
    return in_force(pieces_at(found, place), at), any(
        row.scheduled for rows in found.values() for row in rows
    )


def policy_as_kept(policy_id: int | None, version: int | None, scheduled: Sequence[int]) -> PolicyRow | None:
    """Return the policy that a decision names: a version, with the scheduled changes in effect on top."""
    versions = MarketPolicy.history.filter(id=policy_id, version=version).order_by()
    row = next((PolicyRow(*kept) for kept in versions.values_list(*FIELDS)[:1]), None)
    wanted = list(scheduled)
    if wanted:
        found = ScheduledChange.objects.in_bulk(wanted)
        for change in (found[pk] for pk in wanted):
            row = applied(row, plain_change(change))
    return row


def plain_change(row: ScheduledChange) -> Change:
    """Return a scheduled change as a plain value."""
    return Change(row.pk, row.province, row.market, row.market_key, row.effective_from, row.changes)

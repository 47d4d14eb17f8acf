"""What the gate reads from the database, in as few queries as the answer needs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.db.models import (
    BooleanField,
    CharField,
    DateTimeField,
    F,
    JSONField,
    Q,
    Subquery,
    TimeField,
    Value,
)

from governance.contact.models import CANADA, CityZone, Closure, Consent, StatutoryHours, Suppression
from governance.contact.rules import Calendar, ClosedDay, ConsentRow, LegalHours, SuppressionRow
from governance.hooks import LawsWeek
from governance.hours import CHANNELS, DAYS, read_clock
from governance.market.models import MarketPolicy
from governance.places import ALL, Place


@dataclass(frozen=True, slots=True)
class PolicyRow:
    """A market policy as the gate reads it."""

    id: int
    province: str
    market: str
    market_key: str
    enabled: bool
    rules: dict[str, Any]
    timezone: str
    version: int


def zone_of_city(province: Any, city_key: Any) -> Subquery:
    """Return the expression for the clock that a city keeps; null where `city_zone` does not know it."""
    return Subquery(CityZone.objects.filter(province=province, city_key=city_key).values("zone")[:1])


def policies_at(places: Iterable[Place]) -> dict[tuple[str, str], PolicyRow]:
    """Return by (province, market key) every policy that could decide for one of the places."""
    wanted = Q(pk__in=[])
    by_province: dict[str, set[str]] = {}
    for place in places:
        by_province.setdefault(place.province, {ALL}).add(place.market_key)
    for province, keys in by_province.items():
        wanted |= Q(province=province, market_key__in=sorted(keys))
    fields = ("id", "province", "market", "market_key", "enabled", "rules", "timezone", "version")
    rows = (PolicyRow(*row) for row in MarketPolicy.objects.filter(wanted).order_by().values_list(*fields))
    return {(row.province, row.market_key): row for row in rows}


def policy_and_clocks(place: Place, city_key: str, market_city_key: str) -> tuple[PolicyRow | None, str, str]:
    """Return the effective policy and what `city_zone` says of the city and of the market, in one query."""
    fields = ("id", "province", "market", "market_key", "enabled", "rules", "timezone", "version")
    rows = MarketPolicy.objects.candidates(place).annotate(
        of_city=zone_of_city(place.province, city_key),
        of_market=zone_of_city(place.province, market_city_key),
    )
    found = rows.values_list(*fields, "of_city", "of_market").first()
    if found is None:
        return None, "", ""
    return PolicyRow(*found[:8]), found[8] or "", found[9] or ""


def law_and_closures(
    provinces: Iterable[str], since: date, until: date
) -> tuple[list[tuple[str, LegalHours]], list[ClosedDay]]:
    """Return, in one query, the law's rows of these provinces as (channel, hours), and the closures.

    Closures are those of the provinces and of all Canada between two local days.
    """
    wanted = sorted(set(provinces))
    columns = (
        "pk",
        "place",
        "on",
        "channel",
        "days",
        "start",
        "end",
        "title",
        "citation",
        "shut",
        "from_time",
    )
    hours = (
        StatutoryHours.objects.filter(jurisdiction__in=[CANADA, *wanted])
        .annotate(
            place=F("jurisdiction"), on=F("valid_from"), title=Value("", CharField()),
            shut=Value(None, BooleanField()), from_time=Value(None, TimeField()),
        )
        .order_by()
        .values_list(*columns)
    )  # fmt: skip
    closures = (
        Closure.objects.filter(province__in=["", *wanted], date__range=(since, until))
        .annotate(
            place=F("province"), on=F("date"), channel=Value("", CharField()), days=Value(None, JSONField()),
            start=Value("", CharField()), end=Value("", CharField()), title=F("name"), shut=F("closed"),
            from_time=F("closed_from"),
        )
        .order_by()
        .values_list(*columns)
    )  # fmt: skip
    legal: list[tuple[str, LegalHours]] = []
    closed: list[ClosedDay] = []
    for pk, place, on, channel, days, start, end, title, citation, shut, from_time in sorted(
        hours.union(closures, all=True), key=lambda row: row[0]
    ):
        if channel:
            row = StatutoryHours(
                pk=pk, jurisdiction=place, days=days, start=start, end=end, valid_from=on, citation=citation
            )
            legal.append((channel, plain_hours(row)))
        else:
            closure = Closure(
                pk=pk,
                province=place,
                date=on,
                closed=shut,
                closed_from=from_time,
                name=title,
                citation=citation,
            )
            closed.append(plain_closure(closure))
    return legal, closed


def laws_week(provinces: Sequence[str], day: date) -> dict[str, list[LawsWeek]]:
    """Return the law's hours of a week that begins with what is in force on `day`, in one query.

    Of each province only the channels of which the law says something.
    """
    legal, _closures = law_and_closures(provinces, day, day)
    found: dict[str, list[LawsWeek]] = {}
    for province in provinces:
        for channel in CHANNELS:
            rows = [row for of, row in legal if of == channel and row.jurisdiction in (CANADA, province)]
            calendar = Calendar(province, None, rows, ())
            in_force = calendar.rows_in_force(day)
            if in_force:
                days = tuple(calendar.legal_hours(day, weekday) for weekday in DAYS)
                citations = tuple(dict.fromkeys(row.citation for row in in_force))
                found.setdefault(province, []).append(LawsWeek(channel, days, citations))
    return found


def plain_hours(row: StatutoryHours) -> LegalHours:
    """Return a row of the law's hours (or of its history) as a plain value."""
    return LegalHours(
        row.pk, row.jurisdiction, tuple(row.days), read_clock(row.start),
        read_clock(row.end, may_be_24=True), row.valid_from, row.citation,
    )  # fmt: skip


def plain_closure(row: Closure) -> ClosedDay:
    """Return a closure (or a row of its history) as a plain value."""
    closed_from = 0 if row.closed_from is None else row.closed_from.hour * 60 + row.closed_from.minute
    return ClosedDay(row.pk, row.province, row.date, row.closed, closed_from, row.name, row.citation)


def personal_rows(digests: Iterable[str]) -> tuple[list[SuppressionRow], list[ConsentRow]]:
    """Return every suppression and consent row of these points, in one query."""
    wanted = sorted(set(digests))
    if not wanted:
        return [], []
    return _personal(Q(point_digest__in=wanted), Q(point_digest__in=wanted))


def personal_rows_by_id(
    suppressions: Iterable[int], consents: Iterable[int]
) -> tuple[list[SuppressionRow], list[ConsentRow]]:
    """Return these suppression and consent rows, in one query."""
    return _personal(Q(pk__in=list(suppressions)), Q(pk__in=list(consents)))


def _personal(which_s: Q, which_c: Q) -> tuple[list[SuppressionRow], list[ConsentRow]]:
    suppressions = (
        Suppression.objects.filter(which_s)
        .annotate(table=Value("S", CharField()), what=F("action"), ends=Value(None, DateTimeField()))
        .values_list("table", "id", "point_digest", "channel", "what", "at", "ends")
    )
    consents = (
        Consent.objects.filter(which_c)
        .annotate(table=Value("C", CharField()), what=F("kind"), ends=F("expires_at"))
        .values_list("table", "id", "point_digest", "channel", "what", "at", "ends")
    )
    found_s: list[SuppressionRow] = []
    found_c: list[ConsentRow] = []
    for table, pk, digest, channel, what, at, ends in suppressions.union(consents, all=True):
        if table == "S":
            found_s.append(SuppressionRow(pk, digest, channel, what == Suppression.Action.LIFT, at))
        else:
            found_c.append(ConsentRow(pk, digest, channel, what, at, ends))
    return found_s, found_c

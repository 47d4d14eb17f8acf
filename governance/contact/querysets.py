"""What the gate reads from the database, in as few queries as the answer needs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, time
from operator import itemgetter
from typing import Any

from django.db.models import (
    BooleanField,
    CharField,
    DateField,
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
from governance.places import ALL, ANY_PLACE, Place
from governance.prepared import Listed, Prepared, Slot


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
    rows = CityZone.objects.filter(province=province, city_key=city_key).order_by()
    return Subquery(rows.values("zone")[:1])


POLICY_FIELDS = ("id", "province", "market", "market_key", "enabled", "rules", "timezone", "version")


@Prepared
def _policies() -> Any:
    rows = MarketPolicy.objects.filter(
        province__any_of=Listed("provinces"), market_key__any_of=Listed("market_keys")
    )
    return rows.order_by().values_list(*POLICY_FIELDS)


def policies_at(places: Iterable[Place]) -> dict[tuple[str, str], PolicyRow]:
    """Return by (province, market key) every policy that could decide for one of the places."""
    wanted = list(places)
    provinces = sorted({place.province for place in wanted})
    market_keys = sorted({ALL, *(place.market_key for place in wanted)})
    rows = (PolicyRow(*row) for row in _policies(provinces=provinces, market_keys=market_keys))
    return {(row.province, row.market_key): row for row in rows}


@Prepared
def _policy_and_clocks() -> Any:
    rows = MarketPolicy.objects.candidates(ANY_PLACE).annotate(
        of_city=zone_of_city(ANY_PLACE.province, Slot("city_key")),
        of_market=zone_of_city(ANY_PLACE.province, Slot("market_city_key")),
    )
    return rows.values_list(*POLICY_FIELDS, "of_city", "of_market")[:1]


def policy_and_clocks(place: Place, city_key: str, market_city_key: str) -> tuple[PolicyRow | None, str, str]:
    """Return the effective policy and what `city_zone` says of the city and of the market, in one query."""
    found = _policy_and_clocks(
        province=place.province,
        market_key=place.market_key,
        city_key=city_key,
        market_city_key=market_city_key,
    )
    if not found:
        return None, "", ""
    *policy, of_city, of_market = found[0]
    return PolicyRow(*policy), of_city or "", of_market or ""


@Prepared
def _law_and_closures() -> Any:
    columns = (
        "pk",
        "place",
        "on",
        "channel",
        "days",
        "start",
        "end",
        "citation",
        "title",
        "shut",
        "from_time",
    )
    hours = StatutoryHours.objects.filter(jurisdiction__any_of=Listed("jurisdictions")).annotate(
        place=F("jurisdiction"), on=F("valid_from"), title=Value("", CharField()),
        shut=Value(None, BooleanField()), from_time=Value(None, TimeField()),
    )  # fmt: skip
    between = (Slot("since", DateField()), Slot("until", DateField()))
    closures = Closure.objects.filter(province__any_of=Listed("places"), date__range=between).annotate(
        place=F("province"), on=F("date"), channel=Value("", CharField()), days=Value(None, JSONField()),
        start=Value("", CharField()), end=Value("", CharField()), title=F("name"), shut=F("closed"),
        from_time=F("closed_from"),
    )  # fmt: skip
    return hours.order_by().values_list(*columns).union(closures.order_by().values_list(*columns), all=True)


def law_and_closures(
    provinces: Iterable[str], since: date, until: date
) -> tuple[list[tuple[str, LegalHours]], list[ClosedDay]]:
    """Return, in one query, the law's rows of these provinces as (channel, hours), and the closures.

    Closures are those of the provinces and of all Canada between two local days.
    """
    wanted = sorted(set(provinces))
    rows = _law_and_closures(jurisdictions=[CANADA, *wanted], places=["", *wanted], since=since, until=until)
    legal: list[tuple[str, LegalHours]] = []
    closed: list[ClosedDay] = []
    for pk, place, on, channel, days, start, end, citation, title, shut, from_time in sorted(
        rows, key=itemgetter(0)
    ):
        if channel:
            legal.append((channel, _legal_hours(pk, place, days, start, end, on, citation)))
        else:
            closed.append(_closed_day(pk, place, on, shut, from_time, title, citation))
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


def _legal_hours(
    pk: int, place: str, days: Sequence[int], start: str, end: str, on: date, citation: str
) -> LegalHours:
    until = read_clock(end, may_be_24=True)
    return LegalHours(pk, place, tuple(days), read_clock(start), until, on, citation)


def plain_hours(row: StatutoryHours) -> LegalHours:
    """Return a row of the law's hours (or of its history) as a plain value."""
    return _legal_hours(row.pk, row.jurisdiction, row.days, row.start, row.end, row.valid_from, row.citation)


def _closed_day(
    pk: int, place: str, on: date, shut: bool, from_time: time | None, title: str, citation: str
) -> ClosedDay:
    since = 0 if from_time is None else from_time.hour * 60 + from_time.minute
    return ClosedDay(pk, place, on, shut, since, title, citation)


def plain_closure(row: Closure) -> ClosedDay:
    """Return a closure (or a row of its history) as a plain value."""
    return _closed_day(row.pk, row.province, row.date, row.closed, row.closed_from, row.name, row.citation)


@Prepared
def _personal_rows() -> Any:
    of_them = Q(point_digest__any_of=Listed("digests"))
    return _suppressions_and_consents(of_them, of_them)


def personal_rows(digests: Iterable[str]) -> tuple[list[SuppressionRow], list[ConsentRow]]:
    """Return every suppression and consent row of these points, in one query."""
    wanted = sorted(set(digests))
    return _personal(_personal_rows(digests=wanted)) if wanted else ([], [])


def personal_rows_by_id(
    suppressions: Iterable[int], consents: Iterable[int]
) -> tuple[list[SuppressionRow], list[ConsentRow]]:
    """Return these suppression and consent rows, in one query."""
    found = _suppressions_and_consents(Q(pk__in=list(suppressions)), Q(pk__in=list(consents)))
    return _personal(found)


def _suppressions_and_consents(which_s: Q, which_c: Q) -> Any:
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
    return suppressions.union(consents, all=True)


def _personal(rows: Iterable[tuple[Any, ...]]) -> tuple[list[SuppressionRow], list[ConsentRow]]:
    found_s: list[SuppressionRow] = []
    found_c: list[ConsentRow] = []
    for table, pk, digest, channel, what, at, ends in rows:
        if table == "S":
            found_s.append(SuppressionRow(pk, digest, channel, what == Suppression.Action.LIFT, at))
        else:
            found_c.append(ConsentRow(pk, digest, channel, what, at, ends))
    return found_s, found_c

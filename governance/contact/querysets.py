"""The gate's database queries, as few as the answer needs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from operator import itemgetter
from typing import Any

from django.db.models import (
    BigIntegerField,
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
from django.db.models.functions import Cast

from governance.contact.digests import JUST_CHANGED, RING, key_problem
from governance.contact.frequency import REACH, ContactRow, InboundRow
from governance.contact.models import (
    CANADA,
    AreaCodeList,
    CityZone,
    Closure,
    Consent,
    HashKeyCheck,
    StatutoryHours,
    Suppression,
)
from governance.contact.national_list import AreaList
from governance.contact.rules import Calendar, ClosedDay, ConsentRow, LegalHours, SuppressionRow
from governance.core import hooks
from governance.core.channels import CHANNELS
from governance.core.compiled import CompiledQuery, Listed, Param
from governance.core.errors import Unavailable
from governance.core.hooks import LawsWeek
from governance.core.hours import DAYS, read_clock
from governance.core.places import ALL, ANY_PLACE, Place, fold_city
from governance.market.reading import PAST, VERSION, Timelines, policies_in_time, read_timelines


def city_names(cities: Collection[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Answer the hook `city_names`: the spelling of known cities in the table of cities."""
    keys = {(province, name): fold_city(name)[:200] for province, name in cities}
    rows = CityZone.objects.filter(
        province__in={province for province, _name in keys}, city_key__in=set(keys.values())
    ).order_by()
    known = {(row.province, row.city_key): row.city for row in rows}
    return {
        (province, name): known[province, key]
        for (province, name), key in keys.items()
        if (province, key) in known
    }


def zone_of_city(province: object, city_key: object) -> Subquery:
    """Return an expression for a city's time zone; null if `city_zone` does not have the city."""
    rows = CityZone.objects.filter(province=province, city_key=city_key).order_by()
    return Subquery(rows.values("zone")[:1])


@CompiledQuery
def _policy_and_clocks() -> object:
    return policies_in_time(
        {"province": ANY_PLACE.province, "market_key__in": [ANY_PLACE.market_key, ALL]},
        {
            "of_city": zone_of_city(ANY_PLACE.province, Param("city_key")),
            "of_market": zone_of_city(ANY_PLACE.province, Param("market_city_key")),
        },
    )


def policy_and_clocks(
    place: Place, city_key: str, market_city_key: str, at: datetime
) -> tuple[Timelines, str, str]:
    """Return a place's policies as `policies_at` does, and the city's and market's rows of `city_zone`.

    In one query.
    """
    found = _policy_and_clocks(
        province=place.province,
        market_key=place.market_key,
        city_key=city_key,
        market_city_key=market_city_key,
        since=at - PAST,
    )
    of_city, of_market = next(((row[-2], row[-1]) for row in found if row[0] == VERSION), (None, None))
    return read_timelines(found), of_city or "", of_market or ""


@CompiledQuery
def _law_and_closures() -> object:
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
        place=F("jurisdiction"),
        on=F("valid_from"),
        title=Value("", CharField()),
        shut=Value(None, BooleanField()),
        from_time=Value(None, TimeField()),
    )
    between = (Param("since", DateField()), Param("until", DateField()))
    closures = Closure.objects.filter(province__any_of=Listed("places"), date__range=between).annotate(
        place=F("province"), on=F("date"), channel=Value("", CharField()), days=Value(None, JSONField()),
        start=Value("", CharField()), end=Value("", CharField()), title=F("name"), shut=F("closed"),
        from_time=F("closed_from"),
    )  # fmt: skip
    return hours.order_by().values_list(*columns).union(closures.order_by().values_list(*columns), all=True)


def law_and_closures(
    provinces: Iterable[str], since: date, until: date
) -> tuple[list[tuple[str, LegalHours]], list[ClosedDay]]:
    """Return, in one query, the legal hours of these provinces as (channel, hours), and the closures.

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
    """Return the legal hours of a week, as in force on `day`, in one query.

    For each province only the channels that the law regulates.
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
    """Return a row of legal hours (or of its history) as a plain value."""
    return _legal_hours(row.pk, row.jurisdiction, row.days, row.start, row.end, row.valid_from, row.citation)


def _closed_day(
    pk: int, place: str, on: date, shut: bool, from_time: time | None, title: str, citation: str
) -> ClosedDay:
    since = 0 if from_time is None else from_time.hour * 60 + from_time.minute
    return ClosedDay(pk, place, on, shut, since, title, citation)


def plain_closure(row: Closure) -> ClosedDay:
    """Return a closure (or a row of its history) as a plain value."""
    return _closed_day(row.pk, row.province, row.date, row.closed, row.closed_from, row.name, row.citation)


def _of_listed() -> Any:
    of_them = Q(point_digest__any_of=Listed("digests"))
    # the keys of these digests, in the same query: judging with other keys would lift every opt-out
    nothing = Value("", CharField())
    key = HashKeyCheck.objects.filter(dropped_at=None).annotate(
        table=Value("K", CharField()), channel=nothing, what=nothing, on=Value(None, DateTimeField()),
        ends=Value(None, DateTimeField()), of_press=nothing,
    ).values_list("table", "id", "fingerprint", "channel", "what", "on", "ends", "of_press")  # fmt: skip
    return _suppressions_and_consents(of_them, of_them).union(key, all=True)


_stops_and_consents = CompiledQuery(_of_listed)


@CompiledQuery
def _personal_rows() -> Any:
    rows = _of_listed()
    contacts = hooks.contacts_of.ask(Listed("digests"), Param("since", DateTimeField()))
    # the newest national list of each area code, its days as text: other tables have instants there
    lists = AreaCodeList.objects.filter(area_code__any_of=Listed("area_codes")).annotate(
        table=Value("L", CharField()),
        number=Cast("source_id", BigIntegerField()),
        channel=Value("", CharField()),
        what=Cast("list_date", CharField()),
        ends=Value(None, DateTimeField()),
        of_press=Cast("previous_date", CharField()),
    )
    columns = lists.order_by().values_list(
        "table", "number", "area_code", "channel", "what", "since", "ends", "of_press"
    )
    return rows.union(*(part for parts in contacts for part in parts), columns, all=True)


@dataclass(slots=True)
class PersonalRows:
    """Stored data on some contact points: suppressions, consents, our contacts and inbound ones.

    `lists` are the newest national do-not-call lists by area code.
    """

    suppressions: list[SuppressionRow] = field(default_factory=list)
    consents: list[ConsentRow] = field(default_factory=list)
    contacts: list[ContactRow] = field(default_factory=list)
    inbound: list[InboundRow] = field(default_factory=list)
    lists: dict[str, AreaList] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)  # hashes under other keys, to the point's own


def personal_rows(
    digests: Iterable[str],
    at: datetime | None,
    area_codes: Iterable[str] = (),
    others: Mapping[str, str] | None = None,
) -> PersonalRows:
    """Return the stored data on these points and area codes, in one query.

    All of their suppressions and consents; contacts and inbound contacts of the days before `at`, or, for
    None, none of these and no list. `others` maps the points' hashes under other keys to their own: rows
    found under the former are returned under the latter. Raises Unavailable `contact_key` if the keys in use
    are not those that the database remembers.
    """
    same = others or {}
    wanted = sorted({*digests, *same})
    if not wanted:
        return PersonalRows()
    if at is None:
        rows = list(_stops_and_consents(digests=wanted))
    else:
        codes = sorted({code for code in area_codes if code})
        rows = list(_personal_rows(digests=wanted, since=at - REACH, area_codes=codes))
    if problem := key_problem({row[1]: row[2] for row in rows if row[0] == "K"}):
        # with the keys of the file the caller's hashes are different: this query did not cover all of them
        raise Unavailable("contact_key", JUST_CHANGED if RING.read_file_again() else problem)
    return _personal((row for row in rows if row[0] != "K"), same)


def remembered_keys() -> dict[int, str]:
    """Return the fingerprints of the keys that look-ups need, by number."""
    return HashKeyCheck.remembered()


def personal_rows_by_id(
    suppressions: Iterable[int], consents: Iterable[int], others: Mapping[str, str]
) -> PersonalRows:
    """Return these suppression and consent rows, in one query; `others` as in `personal_rows`."""
    found = _suppressions_and_consents(Q(pk__in=list(suppressions)), Q(pk__in=list(consents)))
    return _personal(found, others)


def _suppressions_and_consents(which_s: Q, which_c: Q) -> Any:
    suppressions = (
        Suppression.objects.filter(which_s)
        .annotate(
            table=Value("S", CharField()),
            what=F("action"),
            ends=Value(None, DateTimeField()),
            of_press=F("press"),
        )
        .values_list(*hooks.PERSONAL_COLUMNS)
    )
    consents = (
        Consent.objects.filter(which_c)
        .annotate(
            table=Value("C", CharField()),
            what=F("kind"),
            ends=F("expires_at"),
            of_press=Value(None, CharField()),
        )
        .values_list(*hooks.PERSONAL_COLUMNS)
    )
    return suppressions.union(consents, all=True)


def _personal(rows: Iterable[tuple[Any, ...]], same: Mapping[str, str]) -> PersonalRows:
    found = PersonalRows()
    for table, pk, written, channel, what, at, ends, press in rows:
        digest = same.get(written, written)
        if digest != written:
            found.renamed[written] = digest
        if table == "S":
            lifts = what == Suppression.Action.LIFT
            found.suppressions.append(SuppressionRow(pk, digest, channel, lifts, at, press or ""))
        elif table == "C":
            found.consents.append(ConsentRow(pk, digest, channel, what, at, ends))
        elif table == "L":
            previous = None if press is None else date.fromisoformat(press)
            found.lists[digest] = AreaList(digest, date.fromisoformat(what), at, previous, pk)
        elif what == hooks.CONTACT_MADE:
            found.contacts.append(ContactRow(pk, digest, channel, at))
        else:
            found.inbound.append(InboundRow(digest, at))
    return found

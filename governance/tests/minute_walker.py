"""When contact is allowed, a second time and in another way: every minute is written out and looked at.

It shares no code with the gate and knows nothing of spans: of each local day the 1,440 minutes are written
down as allowed or not, laid on the world's clock as each zone shows it, and walked.
"""

from __future__ import annotations

import csv
from calendar import monthrange
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import cache, lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

import holidays

DAY = 1440
HORIZON = 60 * DAY
TORONTO = ZoneInfo("America/Toronto")
EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
YES, NO = b"\x01", b"\x00"
CITIES = Path(__file__).parents[1] / "contact" / "data" / "city_zones.csv"

# as the specification lists them
IN_USE = """
BC Vancouver Dawson_Creek Fort_Nelson Creston Edmonton
AB Edmonton
SK Regina Edmonton Winnipeg
MB Winnipeg
ON Toronto Winnipeg Atikokan
QC Toronto Halifax Blanc-Sablon
NB Moncton
NS Halifax
PE Halifax
NL St_Johns Goose_Bay
YT Whitehorse
NT Edmonton
NU Iqaluit Rankin_Inlet Resolute Cambridge_Bay Atikokan
"""
ZONES = {
    line[:2]: tuple(f"America/{name}" for name in line[3:].split()) for line in IN_USE.strip().splitlines()
}
ANY_ZONE = sorted({zone for zones in ZONES.values() for zone in zones})


@dataclass(frozen=True)
class Hours:
    """Weekly hours, in minutes of the local day; `end` is not inside."""

    days: frozenset[int]
    start: int
    end: int


@dataclass(frozen=True)
class Law:
    """Hours that hold from a date on, in all of Canada (``CA``) or in a province."""

    jurisdiction: str
    hours: Hours
    since: date


@dataclass(frozen=True)
class Closed:
    """A day that is closed from a minute on, or (not `closed`) a public holiday that is worked."""

    province: str
    day: date
    closed: bool
    since: int
    by_law: bool


@dataclass(frozen=True)
class Consented:
    """A consent that was given, or withdrawn, at an instant."""

    given: bool
    at: datetime
    ends: datetime | None


@dataclass(frozen=True)
class Contacted:
    """A contact that was made, by a call or another way, or one that came in."""

    at: datetime
    way: str  # CALL, SMS or IN


@dataclass(frozen=True)
class World:
    """All that decides when somebody may be contacted. `consents` is None where none is needed."""

    province: str
    city: str = ""
    market: str = ""
    own_zone: str = ""
    policy_zone: str = ""
    windows: tuple[Hours, ...] = ()
    skip_holidays: bool = True
    law: tuple[Law, ...] = ()
    closures: tuple[Closed, ...] = ()
    consents: tuple[Consented, ...] | None = None
    refused: str = ""  # what refuses whatever the time is
    contacts: tuple[Contacted, ...] = ()
    per_day: int = 3
    per_7_days: int = 6
    way: str = "CALL"  # by which the next contact would be
    listed: date | None = None  # the day of the newest do-not-call list of the number's area code
    relations: tuple[tuple[str, datetime], ...] = ()  # EXPRESS, BUSINESS, INQUIRY or WITHDRAWN, and when

    @property
    def zones(self) -> tuple[str, ...]:
        city, market = clock_of(self.province, self.city), clock_of(self.province, self.market)
        one = self.own_zone or self.policy_zone or city or market
        return (one,) if one else ZONES[self.province]


@cache
def cities() -> dict[tuple[str, str], str]:
    with CITIES.open(encoding="utf-8", newline="") as file:
        return {(row["province"], row["city"]): row["zone"] for row in csv.DictReader(file)}


def months_on(at: datetime, months: int) -> datetime:
    """The same day and time so many months later, or earlier; the last day where a month is shorter."""
    first = at.replace(day=1)
    for _month in range(abs(months)):
        first = (first + timedelta(days=31 if months > 0 else -1)).replace(day=1)
    return first.replace(day=min(at.day, monthrange(first.year, first.month)[1]))


def clock_of(province: str, city: str) -> str:
    return cities().get((province, city), "")


@cache
def public_days(province: str, year: int) -> frozenset[date]:
    return frozenset(holidays.country_holidays("CA", subdiv=province, years=year))


@lru_cache(maxsize=100_000)
def shown(zone: str, day: int) -> tuple[tuple[int, int, int], ...]:
    """What a zone's clock shows during one UTC day: (first minute, end, local minutes ahead of it).

    Looked up each quarter of an hour; no Canadian clock changed at another minute since 2011.
    """
    info = ZoneInfo(zone)
    midnight = EPOCH + timedelta(days=day)
    ahead = []
    for quarter in range(0, DAY, 15):
        offset = (midnight + quarter * MINUTE).astimezone(info).utcoffset()
        assert offset is not None
        ahead.append(int(offset / MINUTE))
    changes = [0, *(n for n in range(1, len(ahead)) if ahead[n] != ahead[n - 1]), len(ahead)]
    return tuple((a * 15, b * 15, ahead[a]) for a, b in zip(changes, changes[1:], strict=False))


def both(first: bytes, second: bytes) -> bytes:
    """Minutes that are allowed twice."""
    return (int.from_bytes(first, "big") & int.from_bytes(second, "big")).to_bytes(len(first), "big")


def minutes_of(hours: Sequence[Hours], weekday: int) -> bytes:
    allowed = bytearray(DAY)
    for one in hours:
        if weekday in one.days:
            allowed[one.start : one.end] = YES * (one.end - one.start)
    return bytes(allowed)


@dataclass
class Walker:
    """Walks one world; days that it has written out are kept."""

    world: World
    _local: dict[int, bytes] = field(default_factory=dict)
    _days: dict[int, bytes] = field(default_factory=dict)

    def local_day(self, number: int) -> bytes:
        """The minutes of a local day, each allowed or not."""
        if number not in self._local:
            self._local[number] = self._written(EPOCH.date() + timedelta(days=number))
        return self._local[number]

    def _written(self, day: date) -> bytes:
        world = self.world
        allowed = minutes_of(world.windows, day.weekday())
        for jurisdiction in ("CA", world.province):
            passed = [law for law in world.law if law.jurisdiction == jurisdiction and law.since <= day]
            if passed:
                newest = max(law.since for law in passed)
                hours = [law.hours for law in passed if law.since == newest]
                allowed = both(allowed, minutes_of(hours, day.weekday()))
        rows = {row.province: row for row in world.closures if row.day == day}
        row = rows.get(world.province) or rows.get("")
        if row is not None and row.closed and (world.skip_holidays or row.by_law):
            allowed = allowed[: row.since] + NO * (DAY - row.since)
        worked = row is not None and not row.closed
        if world.skip_holidays and not worked and day in public_days(world.province, day.year):
            allowed = NO * DAY
        return allowed

    def utc_day(self, number: int) -> bytes:
        """The minutes of a UTC day, each allowed under every one of the clocks or not."""
        if number not in self._days:
            allowed = YES * DAY
            for zone in self.world.zones:
                seen = b""
                for first, end, ahead in shown(zone, number):
                    local, last = number * DAY + first + ahead, number * DAY + end + ahead
                    while local < last:
                        day, minute = divmod(local, DAY)
                        taken = self.local_day(day)[minute : minute + last - local]
                        seen += taken
                        local += len(taken)
                allowed = both(allowed, seen)
            self._days[number] = allowed
        return self._days[number]

    def walk(self, start: datetime, until: datetime) -> datetime | None:
        """The first allowed instant from `start` on and before `until`."""
        minute = (start - EPOCH) // MINUTE
        while EPOCH + minute * MINUTE < until:
            day, of_day = divmod(minute, DAY)
            found = self.utc_day(day).find(YES, of_day)
            if found >= 0:
                first = max(start, EPOCH + (day * DAY + found) * MINUTE)
                return first if first < until else None
            minute = (day + 1) * DAY
        return None

    def next_allowed(self, start: datetime) -> datetime | None:
        """The first instant within 60 days at which the question is answered yes."""
        if self.world.refused:
            return None
        until = start + HORIZON * MINUTE
        at = start
        while (found := self.next_by_the_clock(at, until)) is not None and self.too_often(found):
            at = self.next_turn(found)
        return found

    def next_turn(self, at: datetime) -> datetime:
        """The next full minute, or an instant at which a contact begins to count otherwise."""
        turns = [at.replace(second=0, microsecond=0) + MINUTE]
        for row in self.world.contacts:
            turns += [row.at, row.at - 10 * MINUTE]
        return min(turn for turn in turns if turn > at)

    def too_often(self, at: datetime) -> bool:
        """Whether one more contact at an instant would be more than the cap, counted contact by contact."""
        came_in = [row.at for row in self.world.contacts if row.way == "IN"]

        def answers(moment: datetime) -> bool:
            return any(timedelta() <= moment - one < timedelta(days=1) for one in came_in)

        made = [(row.at, row.way) for row in self.world.contacts if row.way != "IN" and not answers(row.at)]
        if answers(at) or not made:
            return False
        counts = []
        for rows in (made, [*made, (at, self.world.way)]):
            kept: list[tuple[datetime, str]] = []
            for moment, way in sorted(rows):
                calls = [one for one, other in kept if other == "CALL"]
                if not (way == "CALL" and calls and moment - calls[-1] <= 10 * MINUTE):
                    kept.append((moment, way))
            counts.append([moment for moment, _way in kept])
        if len(counts[0]) == len(counts[1]):
            return False
        for zone in self.world.zones:
            days = [moment.astimezone(ZoneInfo(zone)).toordinal() for moment in counts[1]]
            today = at.astimezone(ZoneInfo(zone)).toordinal()
            if days.count(today) > self.world.per_day:
                return True
            weeks = (range(first, first + 7) for first in range(today - 6, today + 1))
            if any(sum(day in week for day in days) > self.world.per_7_days for week in weeks):
                return True
        return False

    def next_by_the_clock(self, start: datetime, until: datetime) -> datetime | None:
        """The first instant at which the time, the consents and the do-not-call list allow it."""
        if self.world.consents is None and self.world.listed is None:
            return self.walk(start, until)
        turns = [start, until]
        for row in self.world.consents or ():
            turns += [turn for turn in (row.at, row.ends) if turn is not None]
        if self.world.listed is not None:
            for _kind, moment in self.relations():
                turns += [moment, months_on(moment, 6), months_on(moment, 18)]
            first = start.astimezone(TORONTO).date()
            turns += [
                datetime.combine(first + timedelta(days=days), time(), TORONTO).astimezone(UTC)
                for days in range(62)
            ]
        ordered = sorted({turn for turn in turns if start <= turn <= until})
        for since, next_turn in zip(ordered, ordered[1:], strict=False):
            allowed = self.consented(since) and self.may_be_called(since)
            found = self.walk(since, next_turn) if allowed else None
            if found is not None:
                return found
        return None

    def relations(self) -> list[tuple[str, datetime]]:
        """What the person agreed to, asked or bought, in order."""
        rows = [("INQUIRY" if row.given else "WITHDRAWN", row.at) for row in self.world.consents or ()]
        return sorted([*rows, *self.world.relations], key=lambda row: row[1])

    def may_be_called(self, at: datetime) -> bool:
        """Whether the list is at most 31 days old on Toronto's clock, or the call needs none."""
        if self.world.listed is None or (at.astimezone(TORONTO).date() - self.world.listed).days <= 31:
            return True
        standing: list[tuple[str, datetime]] = []
        for kind, moment in self.relations():
            if moment <= at:
                standing = [] if kind == "WITHDRAWN" else [*standing, (kind, moment)]
        lasts = {"INQUIRY": 6, "BUSINESS": 18}
        return any(kind == "EXPRESS" or at < months_on(moment, lasts[kind]) for kind, moment in standing)

    def consented(self, at: datetime) -> bool:
        """Whether a consent is on record that was neither withdrawn since nor has ended, if one is needed."""
        if self.world.consents is None:
            return True
        held: list[Consented] = []
        for row in sorted(self.world.consents or (), key=lambda row: row.at):
            if row.at <= at:
                held = [*held, row] if row.given else []
        return any(row.ends is None or row.ends > at for row in held)


@dataclass
class Succession:
    """Worlds that follow one another, each from its instant on; the first has always been."""

    worlds: Sequence[tuple[datetime, World]]

    def next_allowed(self, start: datetime) -> datetime | None:
        """The first instant within 60 days at which the question is answered yes."""
        until = start + HORIZON * MINUTE
        ends = [since for since, _world in self.worlds[1:]] + [until]
        for number, (since, world) in enumerate(self.worlds):
            low = start if number == 0 else max(start, since)
            high = min(until, ends[number])
            walker, at = Walker(world), low
            while low < high and not world.refused:
                found = walker.next_by_the_clock(at, high) if at < high else None
                if found is None:
                    break
                if not walker.too_often(found):
                    return found
                at = walker.next_turn(found)
        return None

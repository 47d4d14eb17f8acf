"""`next_allowed_at` is true, the first such instant, and what a walk from minute to minute finds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from django.db import transaction
from hypothesis import HealthCheck, Phase, example, given, seed, settings
from hypothesis import strategies as st

from governance.contact.frequency import ContactRow, InboundRow, unprompted
from governance.contact.models import AreaCodeList, StatutoryHours
from governance.contact.national_list import AreaList, ListedNumber
from governance.contact.rules import (
    Calendar,
    ClosedDay,
    ConsentRow,
    LegalHours,
    OpenHours,
    Question,
    SuppressionRow,
    judge,
    next_allowed,
    zones_for,
)
from governance.contact.services import can_contact
from governance.core.hooks import LeadFacts
from governance.core.hours import Window, write_clock
from governance.core.places import ALL
from governance.market.models import MarketPolicy
from governance.market.rules import ContactRules
from governance.tests.factories import (
    ClosureFactory,
    ConsentFactory,
    DoNotCallImportFactory,
    StatutoryHoursFactory,
    SuppressionFactory,
    lead_of,
)
from governance.tests.minute_walker import (
    ANY_ZONE,
    ZONES,
    Closed,
    Consented,
    Contacted,
    Hours,
    Law,
    Walker,
    World,
    cities,
    clock_of,
    months_on,
)
from valhalla.testing import quick

pytestmark = pytest.mark.both

ASKED_OF_EACH = 20
CRTC = (
    Law("CA", Hours(frozenset(range(5)), 540, 1290), date(2008, 9, 30)),
    Law("CA", Hours(frozenset((5, 6)), 600, 1080), date(2008, 9, 30)),
)
EVERY_DAY = frozenset(range(7))
USUAL = Hours(EVERY_DAY, 540, 1200)
FIRST, LAST = datetime(2024, 1, 1, tzinfo=UTC), datetime(2030, 12, 31, 23, 59, 59, tzinfo=UTC)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
REFUSALS = ("policy_disabled", "channel_not_allowed", "suppressed", "lead_score_below_minimum")

# --- worlds -------------------------------------------------------------------------------------------------


def sunday(year: int, month: int, which: int) -> date:
    first = date(year, month, 1)
    return first + timedelta(days=(6 - first.weekday()) % 7 + 7 * (which - 1))


def notable_days() -> list[date]:
    """Days about which clocks change or several holidays lie, 2024 to 2030."""
    years = range(2024, 2031)
    changes = [day for year in years for day in (sunday(year, 3, 2), sunday(year, 11, 1))]
    return changes + [date(year, 12, 26) for year in years]


minutes = st.sampled_from([0, 1, 59, 60, 120, 150, 180, 540, 600, 1080, 1200, 1290, 1380, 1439, 1440])
days = st.sets(st.integers(0, 6), min_size=1).map(frozenset) | st.just(EVERY_DAY)


@st.composite
def weekly_hours(draw: st.DrawFn) -> Hours:
    start, end = sorted(draw(st.sets(minutes | st.integers(0, 1440), min_size=2, max_size=2)))
    return Hours(draw(days), start, end)


@st.composite
def laws(draw: st.DrawFn, province: str, near: date) -> tuple[Law, ...]:
    """None, the CRTC's, or those with others that come into force about a day."""
    law = draw(st.sampled_from([(), CRTC, CRTC]))
    for jurisdiction in draw(st.sampled_from([(), (), ("CA",), (province,), (province, "CA")])):
        since = near + draw(st.integers(-3, 5)) * DAY
        law += tuple(
            Law(jurisdiction, hours, since)
            for hours in draw(st.lists(weekly_hours(), min_size=1, max_size=2))
        )
    return law


@st.composite
def closings(draw: st.DrawFn, province: str, near: date) -> tuple[Closed, ...]:
    """A few days that are closed or worked, or a strike that is longer than the gate looks ahead."""
    if draw(st.integers(0, 19)) == 0:
        length = draw(st.integers(55, 66))
        return tuple(Closed("", near + n * DAY, True, 0, True) for n in range(length))
    found = {}
    for _number in range(draw(st.integers(0, 4))):
        row_of = draw(st.sampled_from(["", province]))
        day = near + draw(st.integers(-3, 6)) * DAY
        closed = draw(st.booleans())
        since = draw(st.sampled_from([0, 0, 600, 900, 1439])) if closed else 0
        found[row_of, day] = Closed(row_of, day, closed, since, draw(st.booleans()))
    return tuple(found.values())


@st.composite
def consents(draw: st.DrawFn, near: datetime) -> tuple[Consented, ...]:
    seconds = st.integers(-3 * 86400, 3 * 86400)
    rows = []
    for _number in range(draw(st.sampled_from([0, 1, 1, 2, 3]))):
        at = near + timedelta(seconds=draw(seconds))
        lasts = draw(st.none() | st.integers(1, 4 * 86400))
        given = draw(st.sampled_from([True, True, True, False]))
        rows.append(Consented(given, at, at + timedelta(seconds=lasts) if given and lasts else None))
    return tuple(rows)


@st.composite
def contacts_near(draw: st.DrawFn, near: datetime) -> tuple[Contacted, ...]:
    """Contacts of a few days, some of them redials, and now and then somebody who called."""
    rows: list[Contacted] = []
    for _number in range(draw(st.integers(1, 9))):
        way = draw(st.sampled_from(["CALL", "CALL", "CALL", "SMS", "SMS", "IN"]))
        after = draw(st.integers(-3 * 86400, 3 * 86400))
        moment = near + timedelta(seconds=after)
        if draw(st.integers(0, 1)) == 1 and rows:
            moment = rows[-1].at + timedelta(seconds=draw(st.sampled_from([1, 300, 599, 600, 601, 1200])))
        rows.append(Contacted(moment, way))
    return tuple(rows)


@st.composite
def lists_near(draw: st.DrawFn, near: datetime) -> date | None:
    """Mostly none of the number's area code, else one that gets too old about a day, or long is."""
    if draw(st.integers(0, 3)):
        return None
    return near.date() - (31 + draw(st.integers(-4, 4) | st.just(300))) * DAY


@st.composite
def relations_near(draw: st.DrawFn, near: datetime, *, more: bool) -> tuple[tuple[str, datetime], ...]:
    """Inquiries and business of about now, or that end about now; with `more` express consent as well."""
    kinds = ["BUSINESS", "INQUIRY", *(["EXPRESS", "WITHDRAWN"] if more else [])]
    rows = []
    for _number in range(draw(st.sampled_from([0, 0, 1, 2]))):
        before = months_on(near, -draw(st.sampled_from([0, 6, 18])))
        moment = before + timedelta(seconds=draw(st.integers(-3 * 86400, 3 * 86400)))
        rows.append((draw(st.sampled_from(kinds)), moment))
    return tuple(rows)


@st.composite
def windows_of(draw: st.DrawFn) -> tuple[Hours, ...]:
    """Up to three windows, none of which overlaps another; seldom none."""
    kept: list[Hours] = []
    for hours in draw(
        st.just([USUAL]) | st.lists(weekly_hours(), min_size=draw(st.sampled_from([0, 1, 2])), max_size=3)
    ):
        if not any(
            hours.days & other.days and hours.start < other.end and other.start < hours.end for other in kept
        ):
            kept.append(hours)
    return tuple(kept)


@st.composite
def clocks_in(draw: st.DrawFn, province: str) -> dict[str, str]:
    """What says whose clock counts: often nothing, sometimes several at once."""
    said = draw(st.sets(st.sampled_from(["city", "market", "own_zone", "policy_zone"]), max_size=4))
    if draw(st.booleans()):
        said = set()
    own_cities = st.sampled_from(["Nowhere", *(city for of, city in cities() if of == province)])
    choices = {"city": own_cities, "market": own_cities, "own_zone": st.sampled_from(ANY_ZONE)}
    return {name: draw(choices.get(name, st.sampled_from(ZONES[province]))) for name in sorted(said)}


@st.composite
def worlds(draw: st.DrawFn) -> tuple[World, list[datetime]]:
    """A world, and instants of 2024 to 2030 at which it is asked."""
    province = draw(st.sampled_from(sorted(ZONES)))
    near = draw(st.sampled_from(notable_days()) | st.dates(FIRST.date(), LAST.date()))
    noon = datetime.combine(near, time(12), UTC)
    per_day = draw(st.integers(1, 4))
    world = World(
        province,
        **draw(clocks_in(province)),
        windows=draw(windows_of()),
        skip_holidays=draw(st.booleans()),
        law=draw(laws(province, near)),
        closures=draw(closings(province, near)),
        consents=draw(consents(noon)) if draw(st.integers(0, 3)) == 0 else None,
        refused=draw(st.sampled_from([""] * 40 + list(REFUSALS))),
        contacts=draw(contacts_near(noon)) if draw(st.integers(0, 2)) == 0 else (),
        per_day=per_day,
        per_7_days=draw(st.integers(per_day, 7)),
        listed=draw(lists_near(noon)),
        relations=(),
    )
    if world.listed is not None:  # express consent would also be the one that is asked for, or end the stop
        more = world.consents is None and world.refused != "suppressed"
        world = replace(world, relations=draw(relations_near(noon, more=more)))
    close = st.integers(-4 * 86400, 4 * 86400).map(lambda seconds: noon + timedelta(seconds=seconds))
    instants = st.lists(close | anywhere, min_size=ASKED_OF_EACH, max_size=ASKED_OF_EACH)
    return world, [min(max(at, FIRST), LAST) for at in draw(instants)]


anywhere = st.integers(0, int((LAST - FIRST).total_seconds())).map(lambda s: FIRST + timedelta(seconds=s))


# --- the gate of a world ------------------------------------------------------------------------------------


def rules_of(world: World) -> ContactRules:
    return ContactRules(
        windows=tuple(Window(tuple(sorted(row.days)), row.start, row.end) for row in world.windows),
        channels=("SMS",) if world.refused == "channel_not_allowed" else ("SMS", "CALL"),
        min_score=Decimal("0.5"),
        skip_holidays=world.skip_holidays,
        consent_channels=() if world.consents is None else ("CALL",),
        per_day=world.per_day,
        per_7_days=world.per_7_days,
    )


def channel_of(kind: str) -> str:
    """The channel of a relation: business and inquiries count whatever the channel was."""
    return "CALL" if kind in ("EXPRESS", "WITHDRAWN") else "SMS"


class RulesOfAWorld:
    """The gate as sums on plain values."""

    def __init__(self, world: World) -> None:
        self.state = "policy_disabled" if world.refused == "policy_disabled" else ""
        law = [
            LegalHours(
                n, row.jurisdiction, tuple(row.hours.days), row.hours.start, row.hours.end, row.since, "law"
            )
            for n, row in enumerate(world.law)
        ]
        closed = [
            ClosedDay(n, row.province, row.day, row.closed, row.since, "closed", "law" if row.by_law else "")
            for n, row in enumerate(world.closures)
        ]
        zones = zones_for(
            world.province,
            own=world.own_zone,
            policy=world.policy_zone,
            city=clock_of(world.province, world.city),
            market=clock_of(world.province, world.market),
        )
        self.hours = OpenHours(Calendar(world.province, rules_of(world), law, closed), zones)
        came_in = [InboundRow("seller", row.at) for row in world.contacts if row.way == "IN"]
        stop = SuppressionRow(1, "seller", "", False, FIRST)
        self.question = Question(
            "CALL",
            True,
            True,
            Decimal("0.4" if world.refused == "lead_score_below_minimum" else "0.5"),
            (stop,) if world.refused == "suppressed" else (),
            (
                *(
                    ConsentRow(n, "seller", "CALL", "INQUIRY" if row.given else "WITHDRAWN", row.at, row.ends)
                    for n, row in enumerate(world.consents or ())
                ),
                *(
                    ConsentRow(100 + n, "seller", channel_of(kind), kind, moment, None)
                    for n, (kind, moment) in enumerate(world.relations)
                ),
            ),
            unprompted(
                [
                    ContactRow(n, "seller", row.way, row.at)
                    for n, row in enumerate(world.contacts)
                    if row.way != "IN"
                ],
                came_in,
            ),
            tuple(came_in),
            numbers=tuple(
                ListedNumber("seller", AreaList("416", day, LONG_AGO))
                for day in (world.listed,)
                if day is not None
            ),
        )

    def allows(self, at: datetime) -> bool:
        return judge(self.question, self.hours.calendar, self.state, self.hours.zones, at).ok

    def next_allowed(self, at: datetime) -> datetime | None:
        verdict = judge(self.question, self.hours.calendar, self.state, self.hours.zones, at)
        return next_allowed(self.question, verdict, self.hours, at)


AUTUMN = (  # 01:00 comes twice, and the second time is asked
    World("ON", "Toronto", windows=(Hours(frozenset([6]), 60, 120),)),
    [datetime(2026, 11, 1, 6, 0, tzinfo=UTC)],
)
PHASES = [Phase.explicit, Phase.generate]  # looking for the smallest case takes longer than a test may
Case = tuple[World, Sequence[datetime]]


def of_each_world(worlds_seen: int, look: Callable[[Case], None], run_seed: int) -> None:
    """Show so many worlds that Hypothesis makes; the seed is this run's own, so that parts differ."""

    @seed(run_seed)
    @settings(max_examples=worlds_seen, phases=PHASES, suppress_health_check=list(HealthCheck))
    @given(worlds())
    @example(AUTUMN)
    def run(case: Case) -> None:
        look(case)

    run()


# --- the sums -----------------------------------------------------------------------------------------------


def compare(cases: int, run_seed: int) -> None:
    seen: Counter[str] = Counter()

    def look(case: Case) -> None:
        world, instants = case
        gate, walker = RulesOfAWorld(world), Walker(world)
        for at in instants:
            said = gate.next_allowed(at)
            assert said == walker.next_allowed(at), at
            assert gate.allows(at) == (said == at), at
            assert said is None or gate.allows(said), at
            seen["never" if said is None else "now" if said == at else "later"] += 1

    of_each_world(cases // ASKED_OF_EACH, look, run_seed)
    assert seen.total() >= cases
    assert min(seen[answer] for answer in ("never", "now", "later")) > cases / 20


@pytest.mark.once
def test_in_2_000_cases_the_next_allowed_instant_is_where_a_walk_ends(seed: int) -> None:
    compare(2_000, seed)


@pytest.mark.once
@pytest.mark.long
@pytest.mark.parametrize("part", range(1, 11))
def test_in_200_000_cases_the_next_allowed_instant_is_where_a_walk_ends(seed: int, part: int) -> None:
    compare(20_000, seed + part)


def by_the_first_clock(gate: RulesOfAWorld, at: datetime) -> datetime | None:
    """Ask one of the zones of a province instead of all."""
    return OpenHours(gate.hours.calendar, gate.hours.zones[:1]).next_open(at)


def by_the_wall(gate: RulesOfAWorld, at: datetime) -> datetime | None:
    """Reckon with the wall clock and turn the result into an instant."""
    info = ZoneInfo(gate.hours.zones[0])
    wall = at.astimezone(info).replace(tzinfo=None, fold=0)
    for number in range(61):
        day = wall.date() + number * DAY
        for start, end in gate.hours.calendar.open_hours(day):
            midnight = datetime.combine(day, time())
            found = max(wall, midnight + timedelta(minutes=start))
            if found < midnight + timedelta(minutes=end):
                return found.replace(tzinfo=info).astimezone(UTC)
    return None


@pytest.mark.once
@pytest.mark.parametrize(("naive", "clocks"), [(by_the_first_clock, {2, 3, 5}), (by_the_wall, {1})])
def test_the_walk_finds_out_what_must_not_be_written(
    naive: Callable[[RulesOfAWorld, datetime], datetime | None], clocks: set[int], seed: int
) -> None:
    wrong = 0

    def look(case: Case) -> None:
        nonlocal wrong
        world = replace(case[0], refused="", consents=None, contacts=(), listed=None)
        if len(world.zones) in clocks:
            gate, walker = RulesOfAWorld(world), Walker(world)
            wrong += sum(naive(gate, at) != walker.next_allowed(at) for at in case[1])

    of_each_world(100, look, seed)
    assert wrong


# --- the gate with its database -----------------------------------------------------------------------------


def plant(world: World, leads: dict[str, LeadFacts]) -> None:
    """Write the world's rows, and others beside them that must not count."""
    MarketPolicy.objects.filter(province=world.province, market=ALL).update(
        enabled=world.refused != "policy_disabled",
        rules=rules_of(world).as_json(),
        timezone=world.policy_zone,
    )
    elsewhere = "PE" if world.province != "PE" else "NU"
    StatutoryHours.objects.all().delete()
    for law in world.law:
        words = {"start": write_clock(law.hours.start), "end": write_clock(law.hours.end)}
        rows = {"days": sorted(law.hours.days), "valid_from": law.since, **words}
        StatutoryHoursFactory(jurisdiction=law.jurisdiction, channel="CALL", **rows)
        StatutoryHoursFactory(jurisdiction=elsewhere, channel="CALL", **{**rows, "end": "24:00", "days": [2]})
        StatutoryHoursFactory(jurisdiction=law.jurisdiction, channel="SMS", **{**rows, "days": [3]})
    for row in world.closures:
        ClosureFactory(
            province=row.province,
            date=row.day,
            closed=row.closed,
            citation="law" if row.by_law else "",
            closed_from=time(row.since // 60, row.since % 60) if row.since else None,
        )
    for day in {row.day for row in world.closures}:
        ClosureFactory(province=elsewhere, date=day, citation="law of theirs")
    for consent in world.consents or ():
        ConsentFactory(
            channel="CALL",
            kind="INQUIRY" if consent.given else "WITHDRAWN",
            at=consent.at,
            expires_at=consent.ends,
        )
    for kind, moment in world.relations:
        ConsentFactory(channel=channel_of(kind), kind=kind, at=moment)
    if world.listed is not None:
        AreaCodeList.objects.create(
            area_code="416", list_date=world.listed, since=LONG_AGO, source=DoNotCallImportFactory.create()
        )
    if world.refused == "suppressed":
        SuppressionFactory(at=FIRST)
    leads["L-1"] = lead_of(
        province=world.province,
        market=world.market or ALL,
        city=world.city,
        zone=world.own_zone,
        score=Decimal("0.4" if world.refused == "lead_score_below_minimum" else "0.5"),
    )


def compare_with_rows(worlds_seen: int, leads: dict[str, LeadFacts], run_seed: int) -> None:
    seen: Counter[str] = Counter()

    def look(case: Case) -> None:
        world, instants = replace(case[0], contacts=()), case[1]  # a pack's rows, tested there
        walker = Walker(world)
        with transaction.atomic():
            plant(world, leads)
            for at in instants:
                answer = can_contact(channel="CALL", at=at, lead_id="L-1")
                assert answer.next_allowed_at == walker.next_allowed(at), at
                assert answer.verdict.ok == (answer.next_allowed_at == at), at
                seen[answer.verdict.reason] += 1
            transaction.set_rollback(True)

    of_each_world(worlds_seen, look, run_seed)
    assert seen.total() >= worlds_seen * ASKED_OF_EACH
    rare = {"holiday", "consent_missing"} if worlds_seen > 50 else set()  # few worlds may do without one
    assert {"within_window", "outside_contact_window"} | rare <= set(seen)


@pytest.mark.django_db
def test_with_rows_in_the_database_the_gate_says_the_same(leads: dict[str, LeadFacts], seed: int) -> None:
    compare_with_rows(quick(30), leads, seed)


@pytest.mark.long
@pytest.mark.django_db
def test_with_rows_in_the_database_the_gate_says_the_same_for_long(
    leads: dict[str, LeadFacts], seed: int
) -> None:
    compare_with_rows(500, leads, seed)

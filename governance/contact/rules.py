"""The contact gate as pure functions: which check refuses, and when it would allow.

The legal hours for CALL are those of the CRTC's Unsolicited Telecommunications Rules, Part III (telemarketing
hours 9:00 to 21:30 on weekdays, 10:00 to 18:00 on weekends, in the consumer's time zone).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from importlib.metadata import version
from typing import Any

import holidays

from governance.contact.clock import Span, common, merged, spans_of
from governance.contact.frequency import Cap, ContactRow, InboundRow, answers, next_change, too_soon
from governance.contact.national_list import STALE, ListCheck, ListedNumber, check_lists, turns_of
from governance.core.channels import CALL
from governance.core.hours import DAY_MINUTES, intersect
from governance.core.moments import local
from governance.core.places import ZONES
from governance.market.rules import ContactRules, is_contact_allowed

HORIZON = timedelta(days=60)
VERSIONS = {"tzdata": version("tzdata"), "holidays": version("holidays")}
WHOLE_DAY = ((0, DAY_MINUTES),)
DAY = timedelta(days=1)
DAYS_REMEMBERED = 128  # per calendar: above the horizon, so that one search never evicts its own

POLICY, CHANNEL, SUPPRESSION, CONSENT = "policy", "channel", "suppression", "consent"
SCORE, HOLIDAY, STATUTORY, WINDOW = "score", "holiday", "statutory_hours", "contact_window"
FREQUENCY = "frequency"
BEFORE_TIME = (POLICY, CHANNEL, SUPPRESSION, CONSENT, SCORE)  # checks that no other hour changes
CHECKS = (*BEFORE_TIME, HOLIDAY, STATUTORY, WINDOW, FREQUENCY)
WITHIN = "within_window"

# Our own policy may be overridden; the law, a suppression or a disabled policy never.
OVERRIDABLE = frozenset(
    {"lead_score_below_minimum", "outside_contact_window", "no_windows_defined", "too_soon"}
)


@dataclass(frozen=True, slots=True)
class LegalHours:
    """A row of the legal hours; `start` and `end` in minutes from local midnight."""

    id: int
    jurisdiction: str
    days: tuple[int, ...]
    start: int
    end: int
    valid_from: date
    citation: str


@dataclass(frozen=True, slots=True)
class ClosedDay:
    """A row of the closures; `closed_from` in minutes from local midnight."""

    id: int
    province: str
    day: date
    closed: bool
    closed_from: int
    name: str
    citation: str


@dataclass(frozen=True, slots=True)
class Closing:
    """The end of contact on a local day, from a minute on; by law if it has a `citation`."""

    since: int
    citation: str = ""
    row_id: int | None = None


@functools.lru_cache(maxsize=512)
def public_holidays(province: str, year: int) -> Mapping[date, str]:
    """Return the province's public holidays of a year, observed ones included, by the `holidays` package."""
    return dict(holidays.country_holidays("CA", subdiv=province, years=year, observed=True))


class Calendar:
    """The hours of one place and channel: policy windows, legal hours, holidays and closures."""

    def __init__(
        self,
        province: str,
        rules: ContactRules | None,
        legal: Sequence[LegalHours],
        closures: Sequence[ClosedDay],
    ) -> None:
        self.province = province
        self.rules = rules
        self.legal = legal
        self.closures: dict[date, ClosedDay] = {}
        for row in sorted(closures, key=lambda row: row.province):  # a province's row overrides the general
            self.closures[row.day] = row
        self._open: dict[date, tuple[tuple[int, int], ...]] = {}

    def admits(self, score: Decimal | None) -> bool:
        """Return whether a score reaches the policy's minimum; an unknown one does."""
        return score is None or self.rules is None or score >= self.rules.min_score

    def closings(self, day: date) -> tuple[Closing, ...]:
        """Return what ends contact on that local day: a closure, a public holiday, or both.

        A closure with a citation is law and applies whatever the policy says about holidays. A closure from a
        time on does not shorten a public holiday, which closes the whole day.
        """
        row = self.closures.get(day)
        skips = self.rules is None or self.rules.skip_holidays
        found: list[Closing] = []
        if row is not None and row.closed and (skips or row.citation):
            found.append(Closing(row.closed_from, row.citation, row.id))
        if skips and (row is None or row.closed) and day in public_holidays(self.province, day.year):
            found.append(Closing(0))
        return tuple(found)

    def rows_in_force(self, day: date) -> list[LegalHours]:
        """Return the law's rows in force on a local day: those with the newest date of each jurisdiction."""
        newest: dict[str, date] = {}
        for row in self.legal:
            if row.valid_from <= day:
                newest[row.jurisdiction] = max(newest.get(row.jurisdiction, row.valid_from), row.valid_from)
        return [row for row in self.legal if newest.get(row.jurisdiction) == row.valid_from]

    def legal_hours(self, day: date, weekday: int | None = None) -> tuple[tuple[int, int], ...]:
        """Return the legal hours of a local day as (start, end) minutes."""
        hours: tuple[tuple[int, int], ...] = WHOLE_DAY
        rows = self.rows_in_force(day)
        weekday = day.weekday() if weekday is None else weekday
        for jurisdiction in sorted({row.jurisdiction for row in rows}):
            own = tuple(
                sorted((r.start, r.end) for r in rows if r.jurisdiction == jurisdiction and weekday in r.days)
            )
            hours = intersect(hours, own)
        return hours

    def open_hours(self, day: date) -> tuple[tuple[int, int], ...]:
        """Return the minutes of a local day in which checks 6 to 8 allow contact."""
        known = self._open.get(day)
        if known is None:
            if len(self._open) >= DAYS_REMEMBERED:
                self._open.clear()
            known = ()
            if self.rules is not None:
                known = intersect(self.rules.hours_of(day.weekday()), self.legal_hours(day))
                for closing in self.closings(day):
                    known = intersect(known, ((0, closing.since),))
            self._open[day] = known
        return known


class Hours:
    """The spans of time in which contact is allowed."""

    def spans(self, since: datetime, until: datetime) -> Iterator[Span]:
        """Yield the open spans between two instants, in order; adjacent ones may be separate."""
        raise NotImplementedError

    def next_open(self, at: datetime, *, within: timedelta = HORIZON) -> datetime | None:
        """Return the first allowed instant at or after `at`, or None within the horizon (60 days)."""
        return self.first_open(at, at + within)

    def first_open(self, at: datetime, until: datetime) -> datetime | None:
        for start, _end in self.spans(at, until):
            return start
        return None

    def closes_at(self, at: datetime) -> datetime | None:
        """Return when the span that contains `at` ends, looking two days ahead; None if none contains it."""
        closes = None
        for start, end in self.spans(at, at + timedelta(days=2)):
            if start != (closes or at):
                break
            closes = end
        return closes

    def after_open_minutes(
        self, since: datetime, minutes: int, *, within: timedelta = HORIZON
    ) -> datetime | None:
        """Return the instant after `minutes` of allowed contact since `since`; None within the horizon."""
        left = timedelta(minutes=minutes)
        for start, end in self.spans(since, since + within):
            if end - start >= left:
                return start + left
            left -= end - start
        return None

    def open_minutes(self, since: datetime, until: datetime) -> Decimal:
        """Return how many minutes of contact were allowed between two instants, to a hundredth."""
        return Decimal(int(self.open_time(since, until).total_seconds() * 100 / 60)) / 100

    def open_time(self, since: datetime, until: datetime) -> timedelta:
        """Return how much of the time between two instants is open."""
        return sum(((end - start) for start, end in self.spans(since, until)), timedelta())


class OpenHours(Hours):
    """The spans in which a calendar allows contact in every one of several time zones."""

    def __init__(self, calendar: Calendar, zones: Sequence[str]) -> None:
        self.calendar = calendar
        self.zones = tuple(zones)
        self._days: dict[date, list[Span]] = {}
        self._open_time: dict[tuple[date, date], timedelta] = {}
        # the last answers: all rows of a page ask about the same present
        self._today: tuple[datetime, timedelta] = (_midnight(date.min), timedelta())
        self._first: tuple[tuple[datetime, datetime] | None, datetime | None] = (None, None)

    def open_time(self, since: datetime, until: datetime) -> timedelta:
        """Return how much of the time between two instants is open; whole days are added up only once.

        A page of tasks that are months late would else add up the same days for each of them.
        """
        first, last = since.astimezone(UTC).date(), until.astimezone(UTC).date()
        if (last - first).days < 2:
            return super().open_time(since, until)
        known = self._open_time.get((first, last))
        if known is None:
            if len(self._open_time) >= DAYS_REMEMBERED:
                self._open_time.clear()
            known = super().open_time(_midnight(first + DAY), _midnight(last))
            self._open_time[first, last] = known
        last_until, today = self._today
        if last_until != until:
            today = self._within(last, _midnight(last), until)
            self._today = until, today
        return self._within(first, since, _midnight(first + DAY)) + known + today

    def _within(self, day: date, since: datetime, until: datetime) -> timedelta:
        """Return how much of the time between two instants of one UTC day is open."""
        found = timedelta()
        for start, end in self._on(day):
            start, end = max(start, since), min(end, until)
            if start < end:
                found += end - start
        return found

    def first_open(self, at: datetime, until: datetime) -> datetime | None:
        asked, found = self._first
        if asked != (at, until):
            found = super().first_open(at, until)
            self._first = (at, until), found
        return found

    def _on(self, day: date) -> list[Span]:
        """Return the open spans of one UTC day."""
        known = self._days.get(day)
        if known is None:
            if len(self._days) >= DAYS_REMEMBERED:
                self._days.clear()
            start = _midnight(day)
            known = [(start, start + DAY)]
            near = (day - DAY, day, day + DAY)
            for zone in self.zones:
                spans = [span for one in near for span in spans_of(zone, one, self.calendar.open_hours(one))]
                known = common(known, merged(spans))
                if not known:
                    break
            self._days[day] = known
        return known

    def spans(self, since: datetime, until: datetime) -> Iterator[Span]:
        """Yield the open spans between two instants, in order, cut at the ends of UTC days."""
        day = since.astimezone(UTC).date()
        last = (until - timedelta.resolution).astimezone(UTC).date()
        while day <= last:
            for start, end in self._on(day):
                start, end = max(start, since), min(end, until)
                if start < end:
                    yield start, end
            day += DAY


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


class HoursInTurn(Hours):
    """The hours of successive policies: each from its instant on, the first without one."""

    def __init__(self, turns: Sequence[tuple[datetime | None, Hours]]) -> None:
        self.turns = turns

    def spans(self, since: datetime, until: datetime) -> Iterator[Span]:
        for hours, low, high in self._parts(since, until):
            yield from hours.spans(low, high)

    def open_time(self, since: datetime, until: datetime) -> timedelta:
        parts = self._parts(since, until)
        return sum((hours.open_time(low, high) for hours, low, high in parts), timedelta())

    def _parts(self, since: datetime, until: datetime) -> Iterator[tuple[Hours, datetime, datetime]]:
        for number, (start, hours) in enumerate(self.turns):
            end = self.turns[number + 1][0] if number + 1 < len(self.turns) else None
            low = since if start is None else max(start, since)
            high = until if end is None else min(end, until)
            if low < high:
                yield hours, low, high


@functools.lru_cache(maxsize=500)
def open_hours_of(
    province: str,
    rules: ContactRules | None,
    legal: tuple[LegalHours, ...],
    closures: tuple[ClosedDay, ...],
    zones: tuple[str, ...],
) -> OpenHours:
    """Return the hours that follow from these rows; cached for the same rows."""
    return OpenHours(Calendar(province, rules, legal, closures), zones)


def zones_for(
    province: str, *, own: str = "", policy: str = "", city: str | None = "", market: str | None = ""
) -> tuple[str, ...]:
    """Return the time zones that count: the lead's, policy's, city's or market's, else all in use."""
    for zone in (own, policy, city, market):
        if zone:
            return (zone,)
    return ZONES[province]


@dataclass(frozen=True, slots=True)
class SuppressionRow:
    """A suppression as the gate reads it."""

    id: int
    digest: str
    channel: str
    lifts: bool
    at: datetime
    press: str = ""


@dataclass(frozen=True, slots=True)
class ConsentRow:
    """A consent as the gate reads it."""

    id: int
    digest: str
    channel: str
    kind: str
    at: datetime
    expires_at: datetime | None


def suppressing(
    channel: str, suppressions: Sequence[SuppressionRow], consents: Sequence[ConsentRow]
) -> SuppressionRow | None:
    """Return the row that suppresses this channel, or None.

    A suppression ends by a later row that lifts it, or by a newer express consent for the channel. A row that
    lifts one key press ends only the suppression of that press.
    """
    standing: dict[str, list[SuppressionRow]] = {}
    for row in sorted(suppressions, key=lambda row: (row.at, row.id)):
        if row.channel not in ("", channel):
            continue
        stops = standing.setdefault(row.digest, [])
        if not row.lifts:
            stops.append(row)
        elif row.press:
            stops[:] = [stop for stop in stops if stop.press != row.press]
        else:
            stops.clear()
    for consent in consents:
        if consent.kind == "EXPRESS" and consent.channel == channel:
            stops = standing.get(consent.digest, [])
            stops[:] = [stop for stop in stops if consent.at <= stop.at]
    return min((stops[-1] for stops in standing.values() if stops), key=lambda row: row.id, default=None)


def consenting(channel: str, consents: Sequence[ConsentRow], at: datetime) -> ConsentRow | None:
    """Return the consent for the channel at an instant: the one that lasts longest, or None."""
    held: dict[str, list[ConsentRow]] = {}
    for row in sorted(consents, key=lambda row: (row.at, row.id)):
        if row.channel != channel or row.at > at:
            continue
        match row.kind:
            case "EXPRESS" | "BUSINESS" | "INQUIRY":
                held.setdefault(row.digest, []).append(row)
            case _:  # withdrawn; an unknown kind is no consent
                held[row.digest] = []
    good = [row for rows in held.values() for row in rows if row.expires_at is None or row.expires_at > at]
    return max(good, key=lambda row: (row.expires_at is None, row.expires_at or row.at), default=None)


@dataclass(frozen=True, slots=True)
class Question:
    """May this person be contacted? `personal` is False if the query names no person.

    `score` is a fraction 0 to 1 or None; `has_points` is False if the caller checks the numbers themselves.
    `contacts` are those that we initiated, `inbound` those that came in; `awaited` marks a callback or
    handoff, which the frequency cap never refuses. `numbers` are those in area codes that have a national
    list; `called` is the one that would be called, blank for any of them. `planned_at` is when a call ahead
    is planned: the lists are used as they are then, since newer ones are imported before the call. None: when
    it is judged. `renamed` pairs a hash under another contact key with the point's.
    """

    channel: str
    personal: bool = False
    has_points: bool = False
    score: Decimal | None = None
    suppressions: tuple[SuppressionRow, ...] = ()
    consents: tuple[ConsentRow, ...] = ()
    contacts: tuple[ContactRow, ...] = ()
    inbound: tuple[InboundRow, ...] = ()
    awaited: bool = False
    numbers: tuple[ListedNumber, ...] = ()
    called: str = ""
    planned_at: datetime | None = None
    renamed: tuple[tuple[str, str], ...] = ()

    @property
    def judged_numbers(self) -> tuple[ListedNumber, ...]:
        if not self.called or not self.numbers:
            return self.numbers
        return tuple(number for number in self.numbers if self.called in (number.digest, number.point))

    def lists(self, at: datetime) -> ListCheck:
        """Return the national lists' answer for a call at an instant."""
        return check_lists(self.judged_numbers, self.consents, at, lists_at=self.planned_at or at)


@dataclass(frozen=True, slots=True)
class Check:
    """One of the nine checks: `result` is pass, fail or not_checked.

    `exemption` says why a call passes although the national list of its area code is too old.
    """

    check: str
    result: str
    reason: str = ""
    exemption: str = ""

    def as_json(self) -> dict[str, str]:
        found = {"check": self.check, "result": self.result, "reason": self.reason}
        return {**found, "exemption": self.exemption} if self.exemption else found


@dataclass(frozen=True, slots=True)
class Verdict:
    """The gate's answer; `reason` names the first check that refuses, else ``within_window``."""

    ok: bool
    reason: str
    checks: tuple[Check, ...]
    zones: tuple[str, ...] = ()
    local_times: tuple[str, ...] = ()
    citation: str = ""
    overridable: bool = False
    basis: dict[str, Any] = field(default_factory=dict)

    def refused_before_time(self) -> str:
        """Return the reason of the first check that refuses at any hour, or nothing."""
        return next((c.reason for c in self.checks if c.result == "fail" and c.check in BEFORE_TIME), "")

    def refused_for_good(self) -> str:
        """Return what refuses a whole ladder, or nothing: a list that is too old blocks only its calls."""
        failed = (c.reason for c in self.checks if c.result == "fail" and c.check in BEFORE_TIME)
        return next((reason for reason in failed if reason != STALE), "")


def _personal_checks(
    question: Question, policy_state: str, rules: ContactRules | None, at: datetime, basis: dict[str, object]
) -> list[Check]:
    """Return checks 1 to 5."""
    found = [Check(POLICY, "fail" if policy_state else "pass", policy_state)]
    if rules is None:
        return found + [Check(name, "not_checked") for name in BEFORE_TIME[1:]]
    allowed = question.channel in rules.channels
    found.append(Check(CHANNEL, "pass") if allowed else Check(CHANNEL, "fail", "channel_not_allowed"))
    needs_consent = question.channel in rules.consent_channels
    if question.personal:
        basis["suppressions"] = sorted(row.id for row in question.suppressions)
        basis["consents"] = sorted(row.id for row in question.consents)
        if question.renamed:
            basis["renamed"] = [list(pair) for pair in question.renamed]
        stop = suppressing(question.channel, question.suppressions, question.consents)
        if stop is not None:
            basis["suppression"] = stop.id
        found.append(Check(SUPPRESSION, "fail", "suppressed") if stop else _list_check(question, at, basis))
        consent = consenting(question.channel, question.consents, at) if needs_consent else None
        if consent is not None:
            basis["consent"] = consent.id
        missing = needs_consent and consent is None
        found.append(Check(CONSENT, "fail", "consent_missing") if missing else Check(CONSENT, "pass"))
    else:
        found += [
            Check(SUPPRESSION, "not_checked"),
            Check(CONSENT, "not_checked" if needs_consent else "pass"),
        ]
    if question.score is None:
        found.append(Check(SCORE, "not_checked"))
    else:
        low = question.score < rules.min_score
        found.append(Check(SCORE, "fail", "lead_score_below_minimum") if low else Check(SCORE, "pass"))
    return found


def _list_check(question: Question, at: datetime, basis: dict[str, object]) -> Check:
    """Return check 3 for somebody who is not suppressed: the national list of the area code, for calls."""
    if question.channel != CALL or not question.judged_numbers:
        return Check(SUPPRESSION, "pass")
    basis["lists"] = [number.as_json() for number in question.judged_numbers]
    found = question.lists(at)
    if found.exempt:
        basis["exempt"] = [list(one) for one in found.exempt]
    if found.refused:
        return Check(SUPPRESSION, "fail", STALE)
    return Check(SUPPRESSION, "pass", exemption=", ".join(sorted({why for _code, why in found.exempt})))


def _window_check(rules: ContactRules, moments: Sequence[tuple[int, int]]) -> Check:
    if not rules.windows:
        return Check(WINDOW, "fail", "no_windows_defined")
    inside = all(is_contact_allowed(rules, weekday=weekday, minute=minute) for weekday, minute in moments)
    return Check(WINDOW, "pass") if inside else Check(WINDOW, "fail", "outside_contact_window")


def _frequency_check(
    question: Question,
    rules: ContactRules | None,
    zones: Sequence[str],
    at: datetime,
    basis: dict[str, object],
) -> Check:
    """Return check 9: our own cap of contacts per number or address."""
    if rules is None or not question.personal:
        return Check(FREQUENCY, "not_checked")
    if question.contacts:
        basis["contacts"] = [row.as_json() for row in question.contacts]
    if question.awaited:
        basis["awaited"] = True
    if answers(at, question.inbound):
        basis["inbound"] = [[row.digest, row.at.isoformat()] for row in question.inbound]
    return (
        Check(FREQUENCY, "fail", "too_soon")
        if _too_soon(question, rules, zones, at)
        else Check(FREQUENCY, "pass")
    )


def _too_soon(question: Question, rules: ContactRules, zones: Sequence[str], at: datetime) -> bool:
    if not question.contacts or question.awaited or answers(at, question.inbound):
        return False
    cap = Cap(rules.per_day, rules.per_7_days)
    return too_soon(question.contacts, question.channel, zones, at, cap)


def _verdict(checks: list[Check], basis: dict[str, Any], *, law: bool, **more: Any) -> Verdict:
    failed = [check.reason for check in checks if check.result == "fail"]
    liftable = OVERRIDABLE if law else OVERRIDABLE | {"holiday"}
    return Verdict(
        ok=not failed,
        reason=failed[0] if failed else WITHIN,
        checks=tuple(checks),
        overridable=bool(failed) and all(reason in liftable for reason in failed),
        basis={**VERSIONS, **basis},
        **more,
    )


@dataclass(frozen=True, slots=True)
class Moment:
    """The result of checks 6 to 8 for an instant, for any person; `law` if they refuse by law."""

    at: datetime
    checks: tuple[Check, ...]
    zones: tuple[str, ...]
    local_times: tuple[str, ...]
    citation: str
    law: bool
    basis: dict[str, object]


def judge(
    question: Question, calendar: Calendar, policy_state: str, zones: Sequence[str], at: datetime
) -> Verdict:
    """Judge the start of a contact at an instant in every one of `zones`.

    `policy_state` is blank, ``policy_missing`` or ``policy_disabled``.
    """
    return judge_at(question, calendar, policy_state, moment_of(calendar, zones, at))


def judge_at(question: Question, calendar: Calendar, policy_state: str, moment: Moment) -> Verdict:
    """Judge as `judge` does, if checks 6 to 8 of the instant are known already."""
    basis: dict[str, object] = {}
    checks = _personal_checks(question, policy_state, calendar.rules, moment.at, basis)
    frequency = _frequency_check(question, calendar.rules, moment.zones, moment.at, basis)
    return _verdict(
        [*checks, *moment.checks, frequency],
        basis | moment.basis,
        law=moment.law,
        zones=moment.zones,
        local_times=moment.local_times,
        citation=moment.citation,
    )


def moment_of(calendar: Calendar, zones: Sequence[str], at: datetime) -> Moment:
    """Run checks 6 to 8 for an instant."""
    basis: dict[str, object] = {}
    rules = calendar.rules
    times = [local(at, zone) for zone in zones]
    told = tuple(f"{moment:%Y-%m-%d %H:%M} {zone}" for moment, zone in zip(times, zones, strict=True))
    citation = ""
    law = False
    moments = [(moment.weekday(), moment.hour * 60 + moment.minute) for moment in times]
    if rules is None:
        unknown = tuple(Check(name, "not_checked") for name in (HOLIDAY, STATUTORY, WINDOW))
        return Moment(at, unknown, tuple(zones), told, "", True, basis)
    shut = []
    used: set[int] = set()
    for moment, (_weekday, minute) in zip(times, moments, strict=True):
        for closing in calendar.closings(moment.date()):
            if closing.row_id is not None:
                used.add(closing.row_id)
            if minute >= closing.since:
                shut.append(closing)
    if used:
        basis["closures"] = sorted(used)
    if shut:
        citation = next((closing.citation for closing in shut if closing.citation), "")
        law = bool(citation)
    checks = [Check(HOLIDAY, "fail", "holiday") if shut else Check(HOLIDAY, "pass")]
    outside = [
        moment
        for moment, (_weekday, minute) in zip(times, moments, strict=True)
        if not any(start <= minute < end for start, end in calendar.legal_hours(moment.date()))
    ]
    rows = {row.id: row for moment in times for row in calendar.rows_in_force(moment.date())}
    basis["statutory"] = sorted(rows)
    if outside and not citation:
        citation = "; ".join(sorted({row.citation for row in rows.values()}))
    checks.append(
        Check(STATUTORY, "fail", "outside_statutory_hours") if outside else Check(STATUTORY, "pass")
    )
    checks.append(_window_check(rules, moments))
    return Moment(at, tuple(checks), tuple(zones), told, citation, law, basis)


def judge_as_given(
    question: Question,
    calendar: Calendar,
    policy_state: str,
    *,
    weekday: int,
    minute: int,
    today: date,
    at: datetime,
) -> Verdict:
    """Judge a weekday and time as they are given: no time zones and no holidays.

    The law is that of the local day `today`, consents those valid at the instant `at`.
    """
    basis: dict[str, object] = {}
    rules = calendar.rules
    checks = _personal_checks(question, policy_state, rules, at, basis)
    checks.append(Check(HOLIDAY, "not_checked"))
    if rules is None:
        checks += [Check(name, "not_checked") for name in (STATUTORY, WINDOW, FREQUENCY)]
        return _verdict(checks, basis, law=True)
    legal = any(start <= minute < end for start, end in calendar.legal_hours(today, weekday))
    rows = calendar.rows_in_force(today)
    basis["statutory"] = sorted(row.id for row in rows)
    checks.append(Check(STATUTORY, "pass") if legal else Check(STATUTORY, "fail", "outside_statutory_hours"))
    checks.append(_window_check(rules, [(weekday, minute)]))
    checks.append(Check(FREQUENCY, "not_checked"))
    citation = "" if legal else "; ".join(sorted({row.citation for row in rows}))
    return _verdict(checks, basis, law=False, citation=citation)


def _free_of_time(question: Question, since: datetime, until: datetime, *, needs_consent: bool) -> list[Span]:
    """Return when, between two instants, a consent for the channel is valid and no national list is too old.

    A consent is only required if the channel needs one.
    """
    numbers = question.judged_numbers
    turns = turns_of(numbers, question.consents, with_lists=question.planned_at is None) if numbers else []
    if needs_consent:
        turns += [edge for row in question.consents for edge in (row.at, row.expires_at) if edge is not None]
    ordered = sorted({since, until, *(turn for turn in turns if since < turn < until)})
    held = [
        (start, end)
        for start, end in zip(ordered, ordered[1:], strict=False)
        if not (needs_consent and consenting(question.channel, question.consents, start) is None)
        and not (numbers and question.lists(start).refused)
    ]
    return merged(held)


def _first_free(question: Question, hours: OpenHours, since: datetime, until: datetime) -> datetime | None:
    """Return the first open instant at which the frequency cap refuses nothing."""
    rules = hours.calendar.rules
    assert rules is not None
    found = hours.first_open(since, until)
    while found is not None and _too_soon(question, rules, hours.zones, found):
        turns = [row.at for row in question.inbound if row.at > found]
        found = hours.first_open(min([next_change(question.contacts, hours.zones, found), *turns]), until)
    return found


def next_allowed(
    question: Question, verdict: Verdict, hours: OpenHours, at: datetime, until: datetime | None = None
) -> datetime | None:
    """Return the first instant at which the same query would be allowed.

    None if there is none before `until`, or within 60 days.
    """
    rules = hours.calendar.rules
    until = until or at + HORIZON
    if rules is None:
        return None
    needs_consent = question.personal and question.channel in rules.consent_channels
    if not (needs_consent or question.judged_numbers):
        return None if verdict.refused_before_time() else _first_free(question, hours, at, until)
    # while hours are closed, a consent or an exemption can begin, end or be withdrawn, or a list become too
    # old
    failed = {
        check.reason for check in verdict.checks if check.result == "fail" and check.check in BEFORE_TIME
    }
    if failed - {"consent_missing", STALE}:
        return None
    for start, end in _free_of_time(question, at, until, needs_consent=needs_consent):
        found = _first_free(question, hours, start, end)
        if found is not None:
            return found
    return None

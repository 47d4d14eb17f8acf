"""The contact gate as sums on plain values: what refuses, which check, and when it would allow.

The law's hours for CALL are the CRTC's Unsolicited Telecommunications Rules, Part III (telemarketing
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

from governance.contact.clock import Span, common, local, merged, spans_of
from governance.hours import DAY_MINUTES, intersect
from governance.market.rules import ContactRules, is_contact_allowed
from governance.places import ZONES

HORIZON = timedelta(days=60)
VERSIONS = {"tzdata": version("tzdata"), "holidays": version("holidays")}
WHOLE_DAY = ((0, DAY_MINUTES),)
DAYS_REMEMBERED = 128  # by each calendar: more than the horizon, so that one search never forgets its own

POLICY, CHANNEL, SUPPRESSION, CONSENT = "policy", "channel", "suppression", "consent"
SCORE, HOLIDAY, STATUTORY, WINDOW = "score", "holiday", "statutory_hours", "contact_window"
CHECKS = (POLICY, CHANNEL, SUPPRESSION, CONSENT, SCORE, HOLIDAY, STATUTORY, WINDOW)
WITHIN = "within_window"

# What is our own policy may be overridden; the law, a suppression or a disabled policy never.
OVERRIDABLE = frozenset({"lead_score_below_minimum", "outside_contact_window", "no_windows_defined"})


@dataclass(frozen=True, slots=True)
class LegalHours:
    """A row of the law's hours; `start` and `end` in minutes from local midnight."""

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
    """What ends contact on a local day from a minute on; by law where `citation` names one."""

    since: int
    citation: str = ""
    row_id: int | None = None


@functools.lru_cache(maxsize=512)
def public_holidays(province: str, year: int) -> Mapping[date, str]:
    """Return the province's public days of a year, observed days included, by the `holidays` package."""
    return dict(holidays.country_holidays("CA", subdiv=province, years=year, observed=True))


class Calendar:
    """The hours of one place and channel: policy windows, the law's hours, holidays and closures."""

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
        for row in sorted(closures, key=lambda row: row.province):  # a province's row beats the one for all
            self.closures[row.day] = row
        self._open: dict[date, tuple[tuple[int, int], ...]] = {}

    def closings(self, day: date) -> tuple[Closing, ...]:
        """Return what ends contact on that local day: a closure, a public holiday, or both.

        A cited closure is law and holds whatever the policy says of holidays. A closure from a time on takes
        nothing from a public holiday, which closes the whole day.
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
        """Return the law's rows that hold on a local day: of each jurisdiction those with its newest date."""
        newest: dict[str, date] = {}
        for row in self.legal:
            if row.valid_from <= day:
                newest[row.jurisdiction] = max(newest.get(row.jurisdiction, row.valid_from), row.valid_from)
        return [row for row in self.legal if newest.get(row.jurisdiction) == row.valid_from]

    def legal_hours(self, day: date, weekday: int | None = None) -> tuple[tuple[int, int], ...]:
        """Return the law's hours of a local day as (start, end) minutes."""
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


class OpenHours:
    """When a calendar allows contact under every one of some clocks, as instants."""

    def __init__(self, calendar: Calendar, zones: Sequence[str]) -> None:
        self.calendar = calendar
        self.zones = tuple(zones)
        self._days: dict[date, list[Span]] = {}

    def _on(self, day: date) -> list[Span]:
        """Return the open spans of one UTC day."""
        known = self._days.get(day)
        if known is None:
            if len(self._days) >= DAYS_REMEMBERED:
                self._days.clear()
            start = datetime.combine(day, time(), UTC)
            known = [(start, start + timedelta(days=1))]
            near = (day - timedelta(days=1), day, day + timedelta(days=1))
            for zone in self.zones:
                spans = [span for one in near for span in spans_of(zone, one, self.calendar.open_hours(one))]
                known = common(known, merged(spans))
                if not known:
                    break
            self._days[day] = known
        return known

    def spans(self, since: datetime, until: datetime) -> Iterator[Span]:
        """Yield the open spans between two instants, in order, cut where a UTC day ends."""
        day = since.astimezone(UTC).date()
        last = (until - timedelta.resolution).astimezone(UTC).date()
        while day <= last:
            for start, end in self._on(day):
                start, end = max(start, since), min(end, until)
                if start < end:
                    yield start, end
            day += timedelta(days=1)

    def next_open(self, at: datetime, *, within: timedelta = HORIZON) -> datetime | None:
        """Return the first allowed instant at or after `at`, or None within the horizon (60 days)."""
        return self.first_open(at, at + within)

    def first_open(self, at: datetime, until: datetime) -> datetime | None:
        for start, _end in self.spans(at, until):
            return start
        return None

    def closes_at(self, at: datetime) -> datetime | None:
        """Return when the span that holds `at` ends, looking two days ahead; None where none holds it."""
        closes = None
        for start, end in self.spans(at, at + timedelta(days=2)):
            if start != (closes or at):
                break
            closes = end
        return closes

    def after_open_minutes(
        self, since: datetime, minutes: int, *, within: timedelta = HORIZON
    ) -> datetime | None:
        """Return when the allowed clock, started at `since`, has run `minutes`; None within the horizon."""
        left = timedelta(minutes=minutes)
        for start, end in self.spans(since, since + within):
            if end - start >= left:
                return start + left
            left -= end - start
        return None

    def open_minutes(self, since: datetime, until: datetime) -> Decimal:
        """Return how many minutes of contact were allowed between two instants, to a hundredth."""
        total = sum(((end - start) for start, end in self.spans(since, until)), timedelta())
        return Decimal(int(total.total_seconds() * 100 / 60)) / 100


@functools.lru_cache(maxsize=500)
def open_hours_of(
    province: str,
    rules: ContactRules | None,
    legal: tuple[LegalHours, ...],
    closures: tuple[ClosedDay, ...],
    zones: tuple[str, ...],
) -> OpenHours:
    """Return the hours that follow from these rows; the same rows have them worked out already."""
    return OpenHours(Calendar(province, rules, legal, closures), zones)


def zones_for(
    province: str, *, own: str = "", policy: str = "", city: str | None = "", market: str | None = ""
) -> tuple[str, ...]:
    """Return whose clock counts: the lead's own, the policy's, its city's or market's, else all in use."""
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
    """Return the row that stops this channel, or None.

    A stop ends by a later row that lifts it, or by an express consent for the channel that is newer.
    """
    standing: dict[str, SuppressionRow] = {}
    for row in sorted(suppressions, key=lambda row: (row.at, row.id)):
        if row.channel not in ("", channel):
            continue
        if row.lifts:
            standing.pop(row.digest, None)
        else:
            standing[row.digest] = row
    for consent in consents:
        stop = standing.get(consent.digest)
        if (
            stop is not None
            and consent.kind == "EXPRESS"
            and consent.channel == channel
            and consent.at > stop.at
        ):
            del standing[consent.digest]
    return min(standing.values(), key=lambda row: row.id, default=None)


def consenting(channel: str, consents: Sequence[ConsentRow], at: datetime) -> ConsentRow | None:
    """Return the consent that holds for the channel at an instant: the one that lasts longest, or None."""
    held: dict[str, list[ConsentRow]] = {}
    for row in sorted(consents, key=lambda row: (row.at, row.id)):
        if row.channel != channel or row.at > at:
            continue
        if row.kind == "WITHDRAWN":
            held[row.digest] = []
        else:
            held.setdefault(row.digest, []).append(row)
    good = [row for rows in held.values() for row in rows if row.expires_at is None or row.expires_at > at]
    return max(good, key=lambda row: (row.expires_at is None, row.expires_at or row.at), default=None)


@dataclass(frozen=True, slots=True)
class Question:
    """May this person be contacted? `personal` is False where nothing is known of whom it is asked.

    `score` is a fraction 0 to 1 or None; `has_points` False where the caller keeps the numbers herself.
    """

    channel: str
    personal: bool = False
    has_points: bool = False
    score: Decimal | None = None
    suppressions: tuple[SuppressionRow, ...] = ()
    consents: tuple[ConsentRow, ...] = ()


@dataclass(frozen=True, slots=True)
class Check:
    """One of the eight: `result` is pass, fail or not_checked."""

    check: str
    result: str
    reason: str = ""

    def as_json(self) -> dict[str, str]:
        return {"check": self.check, "result": self.result, "reason": self.reason}


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
        """Return the reason of the first of checks 1 to 5 that refuses, or nothing."""
        return next((c.reason for c in self.checks[:5] if c.result == "fail"), "")


def _personal_checks(
    question: Question, policy_state: str, rules: ContactRules | None, at: datetime, basis: dict[str, Any]
) -> list[Check]:
    """Checks 1 to 5."""
    found = [Check(POLICY, "fail" if policy_state else "pass", policy_state)]
    if rules is None:
        return found + [Check(name, "not_checked") for name in (CHANNEL, SUPPRESSION, CONSENT, SCORE)]
    allowed = question.channel in rules.channels
    found.append(Check(CHANNEL, "pass") if allowed else Check(CHANNEL, "fail", "channel_not_allowed"))
    needs_consent = question.channel in rules.consent_channels
    if question.personal:
        basis["suppressions"] = sorted(row.id for row in question.suppressions)
        basis["consents"] = sorted(row.id for row in question.consents)
        stop = suppressing(question.channel, question.suppressions, question.consents)
        if stop is not None:
            basis["suppression"] = stop.id
        found.append(Check(SUPPRESSION, "fail", "suppressed") if stop else Check(SUPPRESSION, "pass"))
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


def _window_check(rules: ContactRules, moments: Sequence[tuple[int, int]]) -> Check:
    if not rules.windows:
        return Check(WINDOW, "fail", "no_windows_defined")
    inside = all(is_contact_allowed(rules, weekday=weekday, minute=minute) for weekday, minute in moments)
    return Check(WINDOW, "pass") if inside else Check(WINDOW, "fail", "outside_contact_window")


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
    """What checks 6 to 8 say of an instant, whoever is contacted; `law` where they refuse by law."""

    at: datetime
    checks: tuple[Check, ...]
    zones: tuple[str, ...]
    local_times: tuple[str, ...]
    citation: str
    law: bool
    basis: dict[str, Any]


def judge(
    question: Question, calendar: Calendar, policy_state: str, zones: Sequence[str], at: datetime
) -> Verdict:
    """Judge the start of a contact at an instant under every one of `zones`.

    `policy_state` is blank, ``policy_missing`` or ``policy_disabled``.
    """
    return judge_at(question, calendar, policy_state, moment_of(calendar, zones, at))


def judge_at(question: Question, calendar: Calendar, policy_state: str, moment: Moment) -> Verdict:
    """Judge as `judge` does, where checks 6 to 8 of the instant are known already."""
    basis: dict[str, Any] = {}
    checks = _personal_checks(question, policy_state, calendar.rules, moment.at, basis)
    return _verdict(
        [*checks, *moment.checks], basis | moment.basis, law=moment.law, zones=moment.zones,
        local_times=moment.local_times, citation=moment.citation,
    )  # fmt: skip


def moment_of(calendar: Calendar, zones: Sequence[str], at: datetime) -> Moment:
    """Ask checks 6 to 8 of an instant."""
    basis: dict[str, Any] = {}
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
        moment for moment, (_weekday, minute) in zip(times, moments, strict=True)
        if not any(start <= minute < end for start, end in calendar.legal_hours(moment.date()))
    ]  # fmt: skip
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
    """Judge a weekday and time as they are given: no zones and no holidays.

    The law is that of the local day `today`, consents those that hold at the instant `at`.
    """
    basis: dict[str, Any] = {}
    rules = calendar.rules
    checks = _personal_checks(question, policy_state, rules, at, basis)
    checks.append(Check(HOLIDAY, "not_checked"))
    if rules is None:
        checks += [Check(STATUTORY, "not_checked"), Check(WINDOW, "not_checked")]
        return _verdict(checks, basis, law=True)
    legal = any(start <= minute < end for start, end in calendar.legal_hours(today, weekday))
    rows = calendar.rows_in_force(today)
    basis["statutory"] = sorted(row.id for row in rows)
    checks.append(Check(STATUTORY, "pass") if legal else Check(STATUTORY, "fail", "outside_statutory_hours"))
    checks.append(_window_check(rules, [(weekday, minute)]))
    citation = "" if legal else "; ".join(sorted({row.citation for row in rows}))
    return _verdict(checks, basis, law=False, citation=citation)


def _consented(question: Question, since: datetime, until: datetime) -> list[Span]:
    """Return when, between two instants, a consent for the channel holds."""
    edges = {since, until}
    for row in question.consents:
        edges |= {edge for edge in (row.at, row.expires_at) if edge is not None and since < edge < until}
    ordered = sorted(edges)
    held = [
        (start, end)
        for start, end in zip(ordered, ordered[1:], strict=False)
        if consenting(question.channel, question.consents, start)
    ]
    return merged(held)


def next_allowed(question: Question, verdict: Verdict, hours: OpenHours, at: datetime) -> datetime | None:
    """Return the first instant at which the same question would be answered yes, or None within 60 days."""
    rules = hours.calendar.rules
    if rules is None:
        return None
    if not (question.personal and question.channel in rules.consent_channels):
        return None if verdict.refused_before_time() else hours.next_open(at)
    # a consent can begin, end or be withdrawn while the hours are still closed
    failed = {check.check for check in verdict.checks[:5] if check.result == "fail"}
    if failed - {CONSENT}:
        return None
    for start, end in _consented(question, at, at + HORIZON):
        found = hours.first_open(start, end)
        if found is not None:
            return found
    return None

"""The national do-not-call list by area code: until when a list may be used, and which calls are exempt.

A call needs a version of the list that is at most 31 days old (CRTC Unsolicited Telecommunications Rules,
Part II), unless the person agreed to calls at that number (Part II, s. 4) or has an existing business
relationship with us: 18 months after a purchase or contract, 6 months after an inquiry (Telecommunications
Act, S.C. 1993, c. 38, s. 41.7(2)). The anti-spam law has other periods. No exemption ends a suppression of
ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from governance.core.channels import CALL

if TYPE_CHECKING:
    from governance.contact.rules import ConsentRow

LOCAL = ZoneInfo("America/Toronto")
LASTS_DAYS = 31
WARN_DAYS = 7  # before a list expires
STALE = "dncl_stale"
EXPRESS, BUSINESS, INQUIRY = "express_consent", "business_relationship", "inquiry"
RELATIONSHIP_MONTHS = {"BUSINESS": 18, "INQUIRY": 6}
_NAMES = {"BUSINESS": BUSINESS, "INQUIRY": INQUIRY}


def months_after(at: datetime, months: int) -> datetime:
    """Return the same day and time some months later, or the last day of a shorter month."""
    year, month = divmod(at.year * 12 + at.month - 1 + months, 12)
    last_day = (date(year + (month == 11), (month + 1) % 12 + 1, 1) - timedelta(days=1)).day
    return at.replace(year=year, month=month + 1, day=min(at.day, last_day))


def last_day_of(list_date: date) -> date:
    """Return the last day, in Toronto time, on which a list of this day may be used."""
    return list_date + timedelta(days=LASTS_DAYS)


def stale_from(list_date: date) -> datetime:
    """Return the instant from which a list of this day is older than 31 days."""
    return datetime.combine(last_day_of(list_date) + timedelta(days=1), time(), LOCAL).astimezone(UTC)


def days_left(list_date: date, at: datetime) -> int:
    """Return for how many days after today a list may still be used; negative once it is too old."""
    return (last_day_of(list_date) - at.astimezone(LOCAL).date()).days


@dataclass(frozen=True, slots=True)
class AreaList:
    """The newest list of an area code: its day, and the instant of its import.

    `previous` is the day of the list before it, to judge an earlier call by what we had then; None if there
    was none. `import_id` names the import.
    """

    area_code: str
    list_date: date
    since: datetime
    previous: date | None = None
    import_id: int = 0

    def held_at(self, at: datetime) -> date | None:
        """Return the day of the list that we had at an instant, or None."""
        return self.list_date if at >= self.since else self.previous

    def is_stale(self, at: datetime) -> bool:
        held = self.held_at(at)
        return held is not None and at >= stale_from(held)

    def turns(self) -> list[datetime]:
        """Return the instants at which `is_stale` can change."""
        days = [day for day in (self.list_date, self.previous) if day is not None]
        return [self.since, *map(stale_from, days)]


@dataclass(frozen=True, slots=True)
class ListedNumber:
    """A telephone number (keyed hash) in an area code that has a list.

    `point` is the hash in its lead's row if that differs because of an earlier key.
    """

    digest: str
    area: AreaList
    point: str = ""

    def as_json(self) -> list[Any]:
        area = self.area
        previous = None if area.previous is None else area.previous.isoformat()
        return [
            self.digest,
            area.area_code,
            area.list_date.isoformat(),
            area.since.isoformat(),
            previous,
            area.import_id,
        ]

    @classmethod
    def from_json(cls, kept: Sequence[Any]) -> ListedNumber:
        digest, code, day, since, previous, import_id = kept
        before = None if previous is None else date.fromisoformat(previous)
        area = AreaList(code, date.fromisoformat(day), datetime.fromisoformat(since), before, import_id)
        return cls(digest, area)


def exemption(digest: str, consents: Sequence[ConsentRow], at: datetime) -> str:
    """Return why a call to a number needs no list at an instant, or nothing.

    Express consent counts for calls to that very number, a relationship for the person, whatever the channel.
    A withdrawal ends earlier consents for its number or address and channel; one for calls ends all of them.
    """
    held: list[ConsentRow] = []
    for row in sorted(consents, key=lambda row: (row.at, row.id)):
        if row.at > at:
            continue
        if row.kind != "WITHDRAWN":
            held.append(row)
        elif row.channel == CALL:
            held = []
        else:
            held = [one for one in held if (one.digest, one.channel) != (row.digest, row.channel)]
    if any(row.kind == "EXPRESS" and row.channel == CALL and row.digest == digest for row in held):
        return EXPRESS
    for kind, months in RELATIONSHIP_MONTHS.items():
        if any(row.kind == kind and at < months_after(row.at, months) for row in held):
            return _NAMES[kind]
    return ""


@dataclass(frozen=True, slots=True)
class ListCheck:
    """The lists' answer for a call: which are too old, and which of their numbers are exempt, and why."""

    stale: tuple[ListedNumber, ...] = ()
    exempt: tuple[tuple[str, str], ...] = ()  # (area code, exemption)

    @property
    def refused(self) -> bool:
        return len(self.stale) > len(self.exempt)


def check_lists(
    numbers: Sequence[ListedNumber], consents: Sequence[ConsentRow], at: datetime, *, lists_at: datetime
) -> ListCheck:
    """Check a call at `at` to all of these numbers against the lists as they are at `lists_at`."""
    stale = tuple(number for number in numbers if number.area.is_stale(lists_at))
    found = ((number.area.area_code, exemption(number.digest, consents, at)) for number in stale)
    return ListCheck(stale, tuple((code, why) for code, why in found if why))


def turns_of(
    numbers: Sequence[ListedNumber], consents: Sequence[ConsentRow], *, with_lists: bool
) -> list[datetime]:
    """Return the instants at which the result of `check_lists` can change."""
    found = [turn for number in numbers for turn in number.area.turns()] if with_lists else []
    for row in consents:
        found.append(row.at)
        if row.kind in RELATIONSHIP_MONTHS:
            found.append(months_after(row.at, RELATIONSHIP_MONTHS[row.kind]))
    return found

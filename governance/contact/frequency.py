"""The frequency cap for one number or address: our own rule, across leads and channels.

Days are those of the local time zone. A contact is a completed one that we initiated: neither a callback, a
handoff nor an answer to somebody who called or wrote within the 24 hours before.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from governance.core.channels import CALL

REDIAL = timedelta(minutes=10)
ANSWER = timedelta(hours=24)
WEEK = 7
# Read before a judged instant: 7 local days, 24 hours for answers, and a day for contacts entered late.
REACH = timedelta(days=10)


@dataclass(frozen=True, slots=True)
class ContactRow:
    """A contact that we initiated; `digest` is the keyed hash of the number or address."""

    id: int
    digest: str
    channel: str
    at: datetime

    def as_json(self) -> list[Any]:
        return [self.id, self.digest, self.channel, self.at.isoformat()]

    @classmethod
    def from_json(cls, kept: Sequence[Any]) -> ContactRow:
        pk, digest, channel, at = kept
        return cls(pk, digest, channel, datetime.fromisoformat(at))


@dataclass(frozen=True, slots=True)
class InboundRow:
    """An inbound contact from the lead that has this number or address."""

    digest: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Cap:
    """The maximum contacts in a local day and in 7 local days."""

    per_day: int
    per_7_days: int


def answers(at: datetime, inbound: Iterable[InboundRow], digest: str = "") -> bool:
    """Return whether a contact at an instant answers somebody who called or wrote within 24 hours before."""
    return any(digest in ("", row.digest) and row.at <= at < row.at + ANSWER for row in inbound)


def unprompted(contacts: Iterable[ContactRow], inbound: Sequence[InboundRow]) -> tuple[ContactRow, ...]:
    """Return the contacts that answered nobody, in order."""
    own = (row for row in contacts if not answers(row.at, inbound, row.digest))
    return tuple(sorted(own, key=lambda row: (row.at, row.id)))


def _separate(calls: Iterable[tuple[datetime, str]]) -> list[datetime]:
    """Return the times of separate contacts: calls within 10 minutes of one that counts are the same one."""
    found: list[datetime] = []
    last_call: datetime | None = None
    for at, channel in sorted(calls):
        if channel == CALL:
            if last_call is not None and at - last_call <= REDIAL:
                continue
            last_call = at
        found.append(at)
    return found


def _over(moments: Sequence[datetime], at: datetime, zone: str, cap: Cap) -> bool:
    info = ZoneInfo(zone)
    today = at.astimezone(info).date()
    ahead = [(moment.astimezone(info).date() - today).days for moment in moments]
    if ahead.count(0) > cap.per_day:
        return True
    # a contact that is entered late must fit into the days after it as well
    return any(sum(last - WEEK < day <= last for day in ahead) > cap.per_7_days for last in range(WEEK))


def too_soon(
    contacts: Sequence[ContactRow], channel: str, zones: Sequence[str], at: datetime, cap: Cap
) -> bool:
    """Return whether one more contact at an instant exceeds the cap, for any point and in any time zone."""
    for digest in {row.digest for row in contacts}:
        made = [(row.at, row.channel) for row in contacts if row.digest == digest]
        before, after = _separate(made), _separate([*made, (at, channel)])
        if len(after) > len(before) and any(_over(after, at, zone, cap) for zone in zones):
            return True
    return False


def next_change(contacts: Sequence[ContactRow], zones: Sequence[str], at: datetime) -> datetime:
    """Return the first instant after `at` at which `too_soon` can change."""
    turns = [row.at for row in contacts if row.at > at]
    turns += [row.at - REDIAL for row in contacts if row.at - REDIAL > at]
    for zone in zones:
        turns.append(_midnight(at.astimezone(ZoneInfo(zone)).date() + timedelta(days=1), zone))
    return min(turn for turn in turns if turn > at)


def _midnight(day: date, zone: str) -> datetime:
    """Return the first instant of a local day."""
    return datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC)

"""Which day an evidence is of: the age of a comparable sale is counted in days."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from governance.core.places import ZONES

LOCAL_SINCE = 2  # the version of the sums from which on the day is the house's, not that of UTC


def day_of(at: datetime, province: str, rules_version: int) -> date:
    """Return the day of an instant where the house stands, by the zone that most of its province lives by.

    Evidence of version 1 keeps the day of UTC, by which it was computed.
    """
    if rules_version < LOCAL_SINCE:
        return at.astimezone(UTC).date()
    return at.astimezone(ZoneInfo(ZONES[province][0])).date()

"""The day of an evidence: the age of a comparable sale is counted in days."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from governance.core.places import ZONES

LOCAL_SINCE = 2  # from this version of the rules on, the day is the property's local one, not that of UTC


def day_of(at: datetime, province: str, rules_version: int) -> date:
    """Return the property's local day of an instant, in the time zone that most of its province uses.

    Evidence of version 1 keeps the day of UTC, with which it was computed.
    """
    if rules_version < LOCAL_SINCE:
        return at.astimezone(UTC).date()
    return at.astimezone(ZoneInfo(ZONES[province][0])).date()

"""Market policies as a spreadsheet: a column for each day's hours, one for each switch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from governance.core.actors import Actor
from governance.core.admin.policies import (
    EMPTIED,
    NOTHING,
    TransfersPolicies,
    read_cells,
    read_number,
    read_yes,
    version_of,
    write_number,
    write_yes,
)
from governance.core.admin.transfer import Labels, Preview, Row
from governance.core.channels import CHANNELS
from governance.core.hours import DAY_NAMES, DAYS, listed, read_day, week_windows, write_day
from governance.core.places import ZONES, Place
from governance.market.forms import read_start
from governance.market.models import MarketPolicy, ScheduledChange
from governance.market.querysets import MOST_LISTED, scheduled_of
from governance.market.reading import policy_in_force
from governance.market.rules import DEFAULT_RULES, PER_7_DAYS, PER_DAY, read_rules
from governance.market.services import (
    get_effective_policy,
    lock_provinces,
    schedule_change,
    upsert_policy,
)
from governance.market.timeline import PolicyRow
from governance.market.wording import change_in_words


def _day(text: str) -> tuple[tuple[int, int], ...]:
    try:
        return () if text in EMPTIED else read_day(text)
    except ValueError as part:
        raise ValidationError(
            gettext("“%(part)s” is not valid. Example: 9:00–12:00, 13:00–20:00, or a dash for never.")
            % {"part": str(part)[:40]}
        ) from None


def _channels(text: str) -> list[str]:
    named = [] if text in EMPTIED else [part.upper() for part in Labels().clean(text)]
    if not set(named) <= set(CHANNELS):
        raise ValidationError(
            gettext("Write %(channels)s with commas between them, or a dash for none.")
            % {"channels": listed(CHANNELS)}
        )
    return [channel for channel in CHANNELS if channel in named]


def _cap(text: str) -> int:
    number = read_number(text)
    if number != int(number):
        raise ValidationError(gettext("Enter a whole number."))
    return int(number)


READERS = {
    "enabled": read_yes,
    "timezone": lambda text: "" if text in EMPTIED else text,
    **{f"day_{day}": _day for day in DAYS},
    "channels_allowed": _channels,
    "consent_required_channels": _channels,
    "min_lead_score_to_contact": lambda text: float(read_number(text)),  # as in the stored JSON
    "skip_holidays": read_yes,
    PER_DAY: _cap,
    PER_7_DAYS: _cap,
}
START = "effective_from"
OUTSIDE_RULES = ("enabled", "timezone")


class TransfersMarketPolicies(TransfersPolicies):
    """Import and export for the market policies' admin class."""

    policy_columns: ClassVar[Any] = (
        ("enabled", _("enabled")),
        ("timezone", _("time zone")),
        *((f"day_{day}", DAY_NAMES[day]) for day in DAYS),
        ("channels_allowed", _("Enabled channels")),
        ("consent_required_channels", _("Channels that require consent")),
        ("min_lead_score_to_contact", _("Minimum lead score")),
        ("skip_holidays", _("holidays off")),
        (PER_DAY, _("Contacts per day")),
        (PER_7_DAYS, _("Contacts per 7 days")),
        (START, _("Takes effect")),
    )

    def cells_of(self, policy: MarketPolicy | PolicyRow) -> dict[str, str]:
        rules = read_rules(policy.rules)
        return {
            "enabled": write_yes(policy.enabled),
            "timezone": policy.timezone,
            **{f"day_{day}": write_day(rules.hours_of(day)) for day in DAYS},
            "channels_allowed": ", ".join(rules.channels),
            "consent_required_channels": ", ".join(rules.consent_channels),
            "min_lead_score_to_contact": write_number(rules.min_score),
            "skip_holidays": write_yes(rules.skip_holidays),
            PER_DAY: str(rules.per_day),
            PER_7_DAYS: str(rules.per_7_days),
            START: "",
        }

    def read(self, row: Row, place: Place) -> dict[str, Any]:
        found = read_cells(row, READERS)
        start = _start(row, place)
        general: MarketPolicy | PolicyRow | None = get_effective_policy(place)
        if start is not None:
            general, _changes = policy_in_force(place, start)
            found[START] = start
        kept = read_rules(general.rules) if general else DEFAULT_RULES
        known = [kept.hours_of(day) for day in DAYS]
        week = [found.pop(f"day_{day}", known[day]) for day in DAYS]
        if week != known:  # hours that did not change keep their windows
            found["contact_windows_local"] = [window.as_json() for window in week_windows(week)]
        outside = {name: found.pop(name) for name in (*OUTSIDE_RULES, START) if name in found}
        return {**outside, "rules": found}

    def hold(self, rows: Sequence[Row]) -> None:
        lock_provinces(row["province"].strip().upper() for row in rows)

    def upsert(
        self, place: Place, changes: dict[str, Any], *, by: Actor, at: datetime, reason: str
    ) -> MarketPolicy:
        return upsert_policy(place, by=by, at=at, reason=reason, **changes)

    def _take(
        self, row: Row, seen: Preview, named: dict[Any, str], by: Actor, at: datetime, reason: str
    ) -> None:
        place = self.which(row)
        start = _start(row, place)
        if start is None:
            super()._take(row, seen, named, by, at, reason)
            return
        first = named.setdefault((place.province, place.market_key, start), row["row"])
        if first != row["row"]:
            said = gettext("The file has this one twice, first in row %(row)s.") % {"row": first}
            raise ValidationError({"market": [said]})
        version = self.known(place).values_list("version", flat=True).first() or 0
        asked = self.read(row, place)
        expected = version_of(row["version"])
        change = schedule_change(
            place,
            by=by,
            at=at,
            reason=reason,
            expected_version=expected,
            effective_from=asked.pop(START),
            **asked,
        )
        if change is None:
            seen.same += 1
            return
        row["version"] = str(version)  # the change was decided on the values in the preview
        differences = [(_("Takes effect"), "", row[START]), (_("changes"), "", _told(change))]
        seen.changed.append((str(change), differences))

    def sheet(self, request: HttpRequest, *, by: Actor, at: datetime) -> Iterator[list[str]]:
        """Yield each policy as it is, followed by each scheduled change."""
        yield [str(label) for _name, label in self.columns(request)]
        policies = list(self.exported(request)[:MOST_LISTED])
        scheduled = scheduled_of(policies)
        for policy in policies:
            yield self._line(policy, self.cells_of(policy), policy.version)
            for change in scheduled.get(policy.pk, ()):
                row, _changes = policy_in_force(change.place, change.effective_from)
                if row is not None:
                    cells = {**self.cells_of(row), START: _written(change)}
                    yield self._line(
                        change, cells, 0 if change.market_key != policy.market_key else row.version
                    )

    def _line(self, named: Any, cells: dict[str, str], version: int) -> list[str]:
        told = [cells[name] or NOTHING for name, _label in self.policy_columns]
        return [*self.key_cells(named), *told, str(version)]


def _start(row: Row, place: Place) -> datetime | None:
    text = "" if row[START] in EMPTIED else row[START]
    try:
        return read_start(text, ZONES[place.province][0])
    except ValidationError as wrong:
        raise ValidationError({START: wrong.messages}) from wrong


def _written(change: ScheduledChange) -> str:
    zone = ZoneInfo(ZONES[change.province][0])
    return change.effective_from.astimezone(zone).isoformat(sep=" ")


def _told(change: ScheduledChange) -> str:
    return " · ".join(change_in_words(change.changes))

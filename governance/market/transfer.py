"""Market policies as a spreadsheet: a column for each day's hours, one for each switch."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from governance.actors import By
from governance.admin_policies import (
    EMPTIED,
    TransfersPolicies,
    read_cells,
    read_number,
    read_yes,
    write_number,
    write_yes,
)
from governance.admin_transfer import Labels, Row
from governance.hours import CHANNELS, DAY_NAMES, DAYS, read_day, week_windows, write_day
from governance.market.models import MarketPolicy
from governance.market.rules import DEFAULT_RULES, read_rules
from governance.market.services import get_effective_policy, upsert_policy
from governance.places import Place


def _day(text: str) -> tuple[tuple[int, int], ...]:
    try:
        return () if text in EMPTIED else read_day(text)
    except ValueError as part:
        raise ValidationError(
            gettext("“%(part)s” cannot be read; write such as 9:00–12:00, 13:00–20:00, or a dash for never.")
            % {"part": str(part)[:40]}
        ) from None


def _channels(text: str) -> list[str]:
    named = [] if text in EMPTIED else [part.upper() for part in Labels().clean(text)]
    if not set(named) <= set(CHANNELS):
        raise ValidationError(
            gettext("Write SMS, CALL and EMAIL with commas between them, or a dash for none.")
        )
    return [channel for channel in CHANNELS if channel in named]


READERS = {
    "enabled": read_yes,
    "timezone": lambda text: "" if text in EMPTIED else text,
    **{f"day_{day}": _day for day in DAYS},
    "channels_allowed": _channels,
    "consent_required_channels": _channels,
    "min_lead_score_to_contact": lambda text: float(read_number(text)),  # as JSON keeps it
    "skip_holidays": read_yes,
}
OUTSIDE_RULES = ("enabled", "timezone")


class TransfersMarketPolicies(TransfersPolicies):
    """The market policies' screen with its import and export."""

    policy_columns: ClassVar[Any] = (
        ("enabled", _("enabled")),
        ("timezone", _("time zone")),
        *((f"day_{day}", DAY_NAMES[day]) for day in DAYS),
        ("channels_allowed", _("Channels that are on")),
        ("consent_required_channels", _("Channels that need a consent")),
        ("min_lead_score_to_contact", _("Least lead score")),
        ("skip_holidays", _("holidays off")),
    )

    def cells_of(self, policy: MarketPolicy) -> dict[str, str]:
        rules = read_rules(policy.rules)
        return {
            "enabled": write_yes(policy.enabled),
            "timezone": policy.timezone,
            **{f"day_{day}": write_day(rules.hours_of(day)) for day in DAYS},
            "channels_allowed": ", ".join(rules.channels),
            "consent_required_channels": ", ".join(rules.consent_channels),
            "min_lead_score_to_contact": write_number(rules.min_score),
            "skip_holidays": write_yes(rules.skip_holidays),
        }

    def read(self, row: Row, place: Place) -> dict[str, Any]:
        found = read_cells(row, READERS)
        general = get_effective_policy(place)
        kept = read_rules(general.rules) if general else DEFAULT_RULES
        known = [kept.hours_of(day) for day in DAYS]
        week = [found.pop(f"day_{day}", known[day]) for day in DAYS]
        if week != known:  # hours that did not change keep the windows they are in
            found["contact_windows_local"] = [window.as_json() for window in week_windows(week)]
        outside = {name: found.pop(name) for name in OUTSIDE_RULES if name in found}
        return {**outside, "rules": found}

    def upsert(
        self, place: Place, changes: dict[str, Any], *, by: By, at: datetime, reason: str
    ) -> MarketPolicy:
        return upsert_policy(place, by=by, at=at, reason=reason, **changes)

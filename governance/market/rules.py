"""A market policy's rules, read from JSON into plain values.

Minutes are counted from local midnight, 0 to 1440; days are 0 = Monday to 6 = Sunday.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext as _

from governance.core.channels import CHANNELS
from governance.core.hours import Window, read_windows, wrong_rules
from governance.core.numbers import read_score

PER_DAY, PER_7_DAYS = "max_contacts_per_day", "max_contacts_per_7_days"
MOST_CONTACTS = 50  # the highest cap of either kind


@dataclass(frozen=True, slots=True)
class ContactRules:
    """A policy's rules; `min_score` is a fraction 0 to 1.

    `per_day` and `per_7_days` cap the contacts of one number or address in local days: our own rule, not the
    law.
    """

    windows: tuple[Window, ...]
    channels: tuple[str, ...]
    min_score: Decimal
    skip_holidays: bool
    consent_channels: tuple[str, ...]
    per_day: int = 3
    per_7_days: int = 6

    def as_json(self) -> dict[str, Any]:
        return {
            "contact_windows_local": [window.as_json() for window in self.windows],
            "channels_allowed": list(self.channels),
            "min_lead_score_to_contact": float(self.min_score),
            "skip_holidays": self.skip_holidays,
            "consent_required_channels": list(self.consent_channels),
            PER_DAY: self.per_day,
            PER_7_DAYS: self.per_7_days,
        }

    def hours_of(self, weekday: int) -> tuple[tuple[int, int], ...]:
        """Return the windows of a weekday as (start, end) minutes, in order."""
        return tuple(sorted((w.start, w.end) for w in self.windows if weekday in w.days))


DEFAULT_RULES = ContactRules(
    windows=(Window((0, 1, 2, 3, 4), 9 * 60, 20 * 60), Window((5,), 10 * 60, 18 * 60)),
    channels=tuple(CHANNELS),
    min_score=Decimal("0.65"),
    skip_holidays=True,
    consent_channels=(),
)

_KEYS = {
    "contact_windows_local",
    "channels_allowed",
    "min_lead_score_to_contact",
    "skip_holidays",
    "consent_required_channels",
    PER_DAY,
    PER_7_DAYS,
}


def _read_channels(name: str, raw: object) -> tuple[str, ...]:
    if not isinstance(raw, list) or not all(isinstance(item, str) for item in raw):
        raise wrong_rules(_("%(name)s must be a list of channels."), name=name)
    given = [item.strip().upper() for item in raw]
    for channel in given:
        if channel not in CHANNELS:
            raise wrong_rules(
                _("%(name)s has the unknown channel “%(channel)s”; use %(known)s."),
                name=name,
                channel=channel[:20],
                known=", ".join(CHANNELS),
            )
    return tuple(channel for channel in CHANNELS if channel in given)


def _read_cap(name: str, raw: object) -> int:
    if type(raw) is not int or not 1 <= raw <= MOST_CONTACTS:
        raise wrong_rules(
            _("%(name)s must be a whole number from 1 to %(most)s."), name=name, most=MOST_CONTACTS
        )
    return raw


def read_rules(raw: object) -> ContactRules:
    """Read a policy's rules; missing ones have their defaults. Raises ValidationError with a sentence."""
    if not isinstance(raw, Mapping):
        raise wrong_rules(_("Rules must be a JSON object."))
    unknown = {str(key) for key in raw} - _KEYS
    if unknown:
        raise wrong_rules(_("Rules have the unknown key “%(key)s”."), key=min(unknown)[:60])
    default = DEFAULT_RULES.as_json()
    value = {**default, **raw}
    if type(value["skip_holidays"]) is not bool:
        raise wrong_rules(_("skip_holidays must be true or false."))
    try:
        score = read_score(value["min_lead_score_to_contact"])
    except ValueError:
        raise wrong_rules(_("min_lead_score_to_contact must be a number from 0 to 1.")) from None
    per_day, per_7_days = (_read_cap(name, value[name]) for name in (PER_DAY, PER_7_DAYS))
    if per_day > per_7_days:
        raise wrong_rules(_("%(day)s cannot be more than %(week)s."), day=PER_DAY, week=PER_7_DAYS)
    return ContactRules(
        windows=read_windows(value["contact_windows_local"]),
        channels=_read_channels("channels_allowed", value["channels_allowed"]),
        min_score=score,
        skip_holidays=value["skip_holidays"],
        consent_channels=_read_channels("consent_required_channels", value["consent_required_channels"]),
        per_day=per_day,
        per_7_days=per_7_days,
    )


def kept_rules(raw: object) -> ContactRules:
    """Read a policy's rules as `read_rules` does, with a cache."""
    return _read_text(json.dumps(raw))


@functools.lru_cache(maxsize=500)
def _read_text(text: str) -> ContactRules:
    return read_rules(json.loads(text))


def is_contact_allowed(rules: ContactRules, *, weekday: int, minute: int) -> bool:
    """Return whether a contact window contains `minute` (from midnight) of `weekday` (0 = Monday)."""
    return any(start <= minute < end for start, end in rules.hours_of(weekday))

"""What a market policy says, read from JSON into plain values.

Minutes are counted from local midnight, 0 to 1440; days are 0 = Monday to 6 = Sunday.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import Any

from django.utils.translation import gettext as _

from governance.hours import CHANNELS, Window, read_windows, wrong_rules


@dataclass(frozen=True, slots=True)
class ContactRules:
    """A policy's rules; `min_score` is a fraction 0 to 1."""

    windows: tuple[Window, ...]
    channels: tuple[str, ...]
    min_score: Decimal
    skip_holidays: bool
    consent_channels: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        return {
            "contact_windows_local": [window.as_json() for window in self.windows],
            "channels_allowed": list(self.channels),
            "min_lead_score_to_contact": float(self.min_score),
            "skip_holidays": self.skip_holidays,
            "consent_required_channels": list(self.consent_channels),
        }

    def hours_of(self, weekday: int) -> tuple[tuple[int, int], ...]:
        """Return the windows of a weekday as (start, end) minutes, in order."""
        return tuple(sorted((w.start, w.end) for w in self.windows if weekday in w.days))


DEFAULT_RULES = ContactRules(
    windows=(Window((0, 1, 2, 3, 4), 9 * 60, 20 * 60), Window((5,), 10 * 60, 18 * 60)),
    channels=CHANNELS,
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
}


def _read_channels(name: str, raw: object) -> tuple[str, ...]:
    if not isinstance(raw, list) or not all(isinstance(item, str) for item in raw):
        raise wrong_rules(_("%(name)s must be a list of channels."), name=name)
    given = [item.strip().upper() for item in raw]
    for channel in given:
        if channel not in CHANNELS:
            raise wrong_rules(
                _("%(name)s has the unknown channel “%(channel)s”; use %(known)s."),
                name=name, channel=channel[:20], known=", ".join(CHANNELS),
            )  # fmt: skip
    return tuple(channel for channel in CHANNELS if channel in given)


def read_score(raw: object) -> Decimal:
    """Return a score as a fraction 0 to 1. Raises ValueError for anything else."""
    if isinstance(raw, bool) or not isinstance(raw, int | float | Decimal | str):
        raise ValueError(raw)
    if isinstance(raw, str) and not re.fullmatch(r"[0-9]{0,3}\.?[0-9]{1,12}", raw):
        raise ValueError(raw)
    try:
        score = Decimal(str(raw))
    except InvalidOperation:
        raise ValueError(raw) from None
    if not score.is_finite() or not 0 <= score <= 1:
        raise ValueError(raw)
    return score


def read_rules(raw: object) -> ContactRules:
    """Read a policy's rules; what is missing has its default. Raises ValidationError with a sentence."""
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
    return ContactRules(
        windows=read_windows(value["contact_windows_local"]),
        channels=_read_channels("channels_allowed", value["channels_allowed"]),
        min_score=score,
        skip_holidays=value["skip_holidays"],
        consent_channels=_read_channels("consent_required_channels", value["consent_required_channels"]),
    )


def kept_rules(raw: object) -> ContactRules:
    """Read a policy's rules as `read_rules` does; the same ones have been read already."""
    return _read_text(json.dumps(raw))


@functools.lru_cache(maxsize=500)
def _read_text(text: str) -> ContactRules:
    return read_rules(json.loads(text))


def is_contact_allowed(rules: ContactRules, *, weekday: int, minute: int) -> bool:
    """Say whether a contact window holds `minute` (from midnight) of `weekday` (0 = Monday)."""
    return any(start <= minute < end for start, end in rules.hours_of(weekday))


def without_score(rules: ContactRules) -> ContactRules:
    """Return the rules with no minimum score: for questions that know no lead."""
    return replace(rules, min_score=Decimal(0))

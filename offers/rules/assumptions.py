"""The assumptions behind an offer's figures, as stated by the caller."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from governance.core.places import read_label
from offers.rules.comps import SUBJECT_SIZE
from offers.rules.numbers import MONEY_MAX, number_text, read_number

ASSUMPTIONS_MAX = 30
LABEL_LENGTH = 60
_KEY = re.compile(r"[a-z][a-z0-9_]{0,39}")


def read_assumptions(raw: object) -> dict[str, str | bool]:
    """Read assumptions: numbers (stored as text), booleans, and short labels.

    No free text, because evidence can never be erased. Raises ValidationError naming the key.
    """
    if not isinstance(raw, Mapping):
        raise ValidationError(_("Assumptions must be a JSON object."), code="invalid_assumptions")
    if len(raw) > ASSUMPTIONS_MAX:
        raise ValidationError(
            _("At most %(most)s assumptions can be given.") % {"most": ASSUMPTIONS_MAX},
            code="invalid_assumptions",
        )
    return {_read_key(key): _read_assumption(str(key), value) for key, value in raw.items()}


def _read_key(key: object) -> str:
    if not (isinstance(key, str) and _KEY.fullmatch(key)):
        raise ValidationError(
            _("The assumption “%(key)s” needs a name of small letters, digits and _.")
            % {"key": str(key)[:40]},
            code="invalid_assumptions",
        )
    return key


def _read_assumption(key: str, value: object) -> str | bool:
    try:
        if key == SUBJECT_SIZE:
            return number_text(read_number(value, low=Decimal(1), high=Decimal(10_000_000), places=2)) or ""
        if isinstance(value, bool):
            return value
        if isinstance(value, int | float | Decimal):
            return number_text(read_number(value, low=-MONEY_MAX, high=MONEY_MAX, places=6)) or ""
        return read_label(value, length=LABEL_LENGTH)
    except (ValueError, ValidationError) as wrong:
        why = wrong.messages[0] if isinstance(wrong, ValidationError) else wrong
        raise ValidationError(
            _("Assumption %(key)s: %(why)s") % {"key": key, "why": why}, code="invalid_assumptions"
        ) from None

"""Numbers as offers read and store them, and the digest of stored content.

Money is CAD in whole cents.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from django.utils.translation import gettext as _

CENT = Decimal("0.01")
MONEY_MAX = Decimal("999999999.99")
_NUMBER = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,12})?")


def read_number(raw: object, *, low: Decimal, high: Decimal, places: int) -> Decimal:
    """Return a JSON number, or the text of one, from `low` to `high`. Raises ValueError with a sentence."""
    if isinstance(raw, bool) or not isinstance(raw, int | float | Decimal | str):
        raise ValueError(_("a number is needed"))
    if isinstance(raw, str):
        if not _NUMBER.fullmatch(raw.strip()):
            raise ValueError(_("a number is needed"))
        raw = raw.strip()
    number = Decimal(str(raw))  # for a float, the digits of its JSON
    if not number.is_finite():
        raise ValueError(_("a finite number is needed"))
    if not low <= number <= high:
        raise ValueError(_("a number from %(low)s to %(high)s is needed") % {"low": low, "high": high})
    if number != round(number, places):
        raise ValueError(_("at most %(places)s decimals are kept") % {"places": places})
    return number + 0  # -0 has another text than 0


def money_text(amount: Decimal) -> str:
    """Return an amount as evidence stores it: two decimal places, half a cent up."""
    return format(amount.quantize(CENT, rounding=ROUND_HALF_UP), "f")


def ratio_text(ratio: Decimal) -> str:
    """Return a ratio as evidence stores it: four decimal places."""
    return format(ratio.quantize(Decimal("0.0001"), rounding=ROUND_HALF_UP), "f")


def number_text(number: Decimal | None) -> str | None:
    """Return a number as evidence stores it: plain digits without trailing zeros."""
    if number is None:
        return None
    text = format(number, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in {"-0", ""} else text


def canonical(content: Mapping[str, object]) -> str:
    """Return JSON that is the same for the same content: sorted keys, no spaces, ASCII.

    Numbers with decimals are passed as text: a float can be written in more than one way.
    """
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def digest(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the canonical JSON, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical(content).encode("ascii")).hexdigest()

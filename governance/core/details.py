"""Details that clients may add to append-only rows: numbers and codes, never free text."""

from __future__ import annotations

import math
import re
from decimal import Decimal

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

DETAIL_KEYS = 20
_DETAIL_KEY = re.compile(r"[a-z][a-z0-9_]{0,39}")
_DETAIL_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_.:/-]{0,39}")
# Below any ten-digit number, so that no telephone number passes as an amount.
_DETAIL_NUMBER = Decimal("999999999.99")


def read_detail(raw: object) -> dict[str, object]:
    """Return the detail that a client adds to an event: up to 20 named numbers, booleans and codes.

    An append-only row can never be changed, so nothing that could identify a person may enter it: no text
    with spaces or @, no lists or objects. Raises ValidationError that names the key.
    """
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise ValidationError(_("A JSON object is needed."), code="invalid_detail")
    if len(raw) > DETAIL_KEYS:
        raise ValidationError(
            _("At most %(count)s values are allowed."), code="invalid_detail", params={"count": DETAIL_KEYS}
        )
    for key, value in raw.items():
        if not isinstance(key, str) or not _DETAIL_KEY.fullmatch(key):
            raise ValidationError(
                _("“%(key)s” cannot name a value: lower-case letters, digits and _ only, at most 40."),
                code="invalid_detail",
                params={"key": ascii(key)[1:41]},
            )
        if not _is_plain(value):
            raise ValidationError(
                _(
                    "“%(key)s” must be a number up to 999,999,999.99, true or false, or a code of at most 40 "
                    "letters, digits and _ . : / - that begins with a letter: free text is not kept here."
                ),
                code="invalid_detail",
                params={"key": key},
            )
    return dict(raw)


def _is_plain(value: object) -> bool:
    if isinstance(value, bool):
        return True
    if isinstance(value, int | float):
        return (isinstance(value, int) or math.isfinite(value)) and abs(value) <= _DETAIL_NUMBER
    return isinstance(value, str) and _DETAIL_CODE.fullmatch(value) is not None

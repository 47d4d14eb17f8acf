"""JSON from outside, read strictly. RFC 8259 says what is JSON; the limits are ours."""

from __future__ import annotations

import json
from typing import Any

from django.utils.translation import gettext as _


def read_json(text: str) -> Any:
    """Read JSON text strictly: finite numbers, at most 32 deep, no NUL and no lone surrogates.

    Raises ValueError with a sentence.
    """

    def refuse(constant: str) -> Any:
        raise ValueError(_("%(number)s is no number here.") % {"number": constant})

    try:
        value = json.loads(text, parse_constant=refuse)
    except RecursionError:
        raise ValueError(_("The JSON is nested too deeply.")) from None
    _check_json(value, 0)
    return value


def _check_json(value: Any, depth: int) -> None:
    if depth > 32:
        raise ValueError(_("The JSON is nested more than 32 deep."))
    if isinstance(value, dict):
        for key, item in value.items():
            _check_json(key, depth)
            _check_json(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check_json(item, depth + 1)
    elif isinstance(value, str):
        if "\0" in value:
            raise ValueError(_("Text must not contain NUL characters."))
        if any("\ud800" <= sign <= "\udfff" for sign in value):
            raise ValueError(_("Text must not contain lone surrogates."))
    elif isinstance(value, float) and value in (float("inf"), float("-inf")):
        raise ValueError(_("A number is too large."))

"""Strict parsing of JSON from outside. RFC 8259 defines JSON; the limits are ours."""

from __future__ import annotations

import json
import math
from typing import Any

from django.utils.translation import gettext as _

DEEPEST = 32


class UnreadableJSON(ValueError):
    """The text cannot be used; `field` is the key of the outermost object under which it is invalid."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


def read_json(text: str) -> Any:
    """Read JSON text: finite numbers, at most 32 levels, no duplicate keys, NUL or lone surrogates.

    Raises UnreadableJSON with a sentence.
    """
    try:
        value = json.loads(text, object_pairs_hook=_each_once)
    except UnreadableJSON:
        raise
    except RecursionError:
        raise UnreadableJSON(_("The JSON is nested too deeply.")) from None
    except ValueError as wrong:
        raise UnreadableJSON(_("This is not readable JSON: %(why)s") % {"why": str(wrong)[:200]}) from None
    if isinstance(value, dict):
        for key, item in value.items():
            require_usable(key, 1, "")
            require_usable(item, 1, key)
    else:
        require_usable(value, 0, "")
    return value


def _each_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Build an object without duplicate keys, of which two programs could each read a different value."""
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            why = _("The key %(key)s is given more than once.") % {"key": ascii(key)[:80]}
            raise UnreadableJSON(why, key if key.isprintable() else "")
        found[key] = value
    return found


def require_usable(value: object, depth: int, field: str) -> None:
    """Raise UnreadableJSON for a value at this depth, under `field`, that no database should store."""
    if depth > DEEPEST:
        raise UnreadableJSON(_("The JSON is nested more than %(most)s deep.") % {"most": DEEPEST}, field)
    if isinstance(value, dict):
        for key, item in value.items():
            require_usable(key, depth, field)
            require_usable(item, depth + 1, field)
    elif isinstance(value, list):
        for item in value:
            require_usable(item, depth + 1, field)
    elif isinstance(value, str):
        if "\0" in value:
            raise UnreadableJSON(_("Text must not contain NUL characters."), field)
        if any("\ud800" <= sign <= "\udfff" for sign in value):
            raise UnreadableJSON(_("Text must not contain lone surrogates."), field)
    elif isinstance(value, float) and not math.isfinite(value):
        raise UnreadableJSON(_("A finite number is needed."), field)

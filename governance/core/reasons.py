"""Reasons that people give for changes that can do harm."""

from __future__ import annotations

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from governance.core.errors import Invalid

LEAST = 10  # characters: enough for a cause, too many for "ok"


def require_explanation(reason: str, *, most: int, field: str = "reason") -> str:
    """Return the trimmed reason. Raises Invalid below 10 or above `most` characters."""
    text = reason.strip()
    if len(text) < LEAST:
        raise Invalid({field: [too_short()]})
    if len(text) > most:
        raise Invalid({field: [_("At most %(most)d characters.") % {"most": most}]})
    return text


def too_short() -> str:
    """Return the error message for a reason that is too short."""
    return ngettext(
        "Give the reason, in at least %(least)d character.",
        "Give the reason, in at least %(least)d characters.",
        LEAST,
    ) % {"least": LEAST}

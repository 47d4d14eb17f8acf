"""Contact points as they are stored, and the digests by which suppressions find them."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from governance.contact import digests


def read_point(kind: str, value: str) -> tuple[str, str]:
    """Return a phone (E.164) or e-mail address and its keyed hash. Raises ValidationError."""
    if kind == digests.PHONE:
        read = digests.read_phone(value)
    elif kind == digests.EMAIL:
        read = digests.read_email(value)
    else:
        raise ValidationError(_("A contact point is a phone or an e-mail address."))
    return read, digests.digest(kind, read)


def lead_digest(external_id: str) -> str:
    """Return the hash under which a lead's own opt-out is remembered, numbers or none."""
    return digests.digest(digests.LEAD, external_id)

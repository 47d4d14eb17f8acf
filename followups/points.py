"""Contact points as stored, and the digests by which suppressions find them."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from governance.contact import digests
from governance.core import hooks


def read_value(kind: str, value: str) -> str:
    """Return a phone (E.164) or e-mail address as it is stored. Raises ValidationError."""
    if kind == digests.PHONE:
        return digests.read_phone(value)
    if kind == digests.EMAIL:
        return digests.read_email(value)
    raise ValidationError(_("A contact point is a phone or an e-mail address."))


def read_point(kind: str, value: str) -> tuple[str, str]:
    """Return a phone (E.164) or e-mail address and its keyed hash. Raises ValidationError."""
    read = read_value(kind, value)
    return read, digests.digest(kind, read)


def stored_digests(kind: str, value: str) -> tuple[str, ...]:
    """Return the hashes under which a phone or e-mail address may be stored. Raises ValidationError."""
    return digests.every_digest(kind, read_value(kind, value))


def lead_digest(external_id: str) -> str:
    """Return the hash under which a lead's own opt-out is stored, with or without numbers."""
    return digests.digest(digests.LEAD, external_id)


def lead_facts(external_id: str) -> hooks.PointFacts:
    """Return the lead itself as a point, for the gate."""
    own, *others = digests.every_digest(digests.LEAD, external_id)
    return hooks.PointFacts(digests.LEAD, own, others=tuple(others))

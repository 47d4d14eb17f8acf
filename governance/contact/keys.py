"""The contact keys that a database remembers, by number: add one, or drop one that nothing needs."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Q
from django.utils.translation import gettext as _

from governance.contact import digests
from governance.contact.models import Consent, HashKeyCheck, Suppression
from governance.core.actors import Actor
from governance.core.errors import NotFound, Refused
from governance.core.key_file import FIRST_KEY
from governance.core.verbs import Execution, verb
from governance.kpi.services import emit_kpi

DOMAIN = "BACK_OFFICE"


def known_numbers() -> list[int]:
    """Return the numbers of all contact keys of this database, dropped ones included, in order."""
    return HashKeyCheck.numbers()


def unfinished(number: int) -> bool:
    """Return whether contact points have yet to be rehashed with a key."""
    waiting = HashKeyCheck.objects.filter(pk=number, pk__gt=FIRST_KEY, moved_at=None)
    return waiting.exists()


@verb(Execution.OBSERVE_ONLY)
def add_key(number: int, fingerprint: str, *, by: Actor, at: datetime) -> None:
    """Remember a key under its number; a repeat changes nothing.

    Raises Refused `key_number_taken` if another key has, or had, the number.
    """
    if HashKeyCheck.add(number, fingerprint, at):
        emit_kpi(DOMAIN, "contact_key_added", by=by, at=at, success=True, detail={"key": number})


@verb(Execution.OBSERVE_ONLY)
def moved_to(number: int, *, by: Actor, at: datetime, moved: int) -> None:
    """Record that all contact points have the hashes of a key."""
    HashKeyCheck.objects.filter(pk=number, moved_at=None).update(moved_at=at)
    if moved:
        emit_kpi(
            DOMAIN,
            "contact_points_moved",
            by=by,
            at=at,
            success=True,
            detail={"key": number, "points": moved},
        )


def _of_key(number: int) -> Q:
    if number == FIRST_KEY:
        return ~Q(point_digest__startswith="k")
    return Q(point_digest__startswith=f"k{number:02}")


@verb(Execution.OBSERVE_ONLY)
def drop_key(number: int, *, by: Actor, at: datetime) -> None:
    """Record that a key is no longer needed. Its number is not used again.

    Raises NotFound for an unknown or dropped key, Refused `key_in_use` for the current one, Refused
    `key_needed` while a suppression or consent was written with it: for erased people only the hash is kept,
    so it cannot be computed again with another key.
    """
    row = HashKeyCheck.objects.select_for_update(of=("self",)).filter(pk=number, dropped_at=None).first()
    if row is None:
        raise NotFound(_("There is no contact key %(number)s.") % {"number": number}, code="key_not_found")
    if number == digests.current_key():
        raise Refused("key_in_use", _("This is the current key: add another one first."))
    written = _of_key(number)
    if Suppression.objects.filter(written).exists() or Consent.objects.filter(written).exists():
        raise Refused(
            "key_needed",
            _("Opt-outs or consents were written with key %(number)s and are found with it alone: keep it.")
            % {"number": number},
        )
    row.dropped_at = at
    row.save(update_fields=["dropped_at"])
    emit_kpi(DOMAIN, "contact_key_dropped", by=by, at=at, success=True, detail={"key": number})

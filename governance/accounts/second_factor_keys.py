"""The keys that encrypt the seeds of authenticator apps: add one, encrypt with it, drop one."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from governance.accounts import totp_seeds as seeds
from governance.accounts.models import Authenticator, SecondFactorKey
from governance.core import hooks
from governance.core.actors import Actor
from governance.core.errors import NotFound, Refused

log = logging.getLogger(__name__)

CHUNK = 500
MOST_NAMED = 10


@dataclass(slots=True)
class Sealed:
    """The result of an encryption run: the number of seeds, and the users whose seed cannot be read."""

    count: int = 0
    unreadable: list[str] = field(default_factory=list)  # usernames


def known_numbers() -> list[int]:
    """Return the numbers of all second factor keys of this database, dropped ones included, in order."""
    return SecondFactorKey.numbers()


def unfinished(number: int) -> bool:
    """Return whether seeds have yet to be encrypted with a key."""
    return _of_other_keys(number).exists()


def sealed_seeds() -> QuerySet[Authenticator]:
    return Authenticator.objects.filter(key__startswith=seeds.MARK)


def _of_other_keys(number: int) -> QuerySet[Authenticator]:
    return Authenticator.objects.exclude(key__startswith=seeds.mark_of(number))


@transaction.atomic
def add_key(number: int, *, by: Actor, at: datetime) -> None:
    """Remember a key of the ring under its number; a repeat changes nothing.

    Raises Refused `key_number_taken` if another key has, or had, the number.
    """
    if SecondFactorKey.add(number, seeds.fingerprints()[number], at):
        hooks.security_event.ask("second_factor_key_added", by, {"key": number})


def seal_all() -> Sealed:
    """Encrypt with the current key every seed that is plain or encrypted with another one, in batches.

    It can be repeated. A seed is replaced only if it is still as it was read, so that nothing is lost that a
    sign-in writes meanwhile. Raises Unavailable if the keys are not the database's.
    """
    SecondFactorKey.require()
    done = Sealed()
    for device in _in_steps(_of_other_keys(seeds.current_key())):
        seed = seeds.open_or_none(device.key, device.user_id)
        if seed is None:
            done.unreadable.append(device.user.get_username())
            continue
        sealed = seeds.seal(seed, device.user_id)
        done.count += Authenticator.objects.filter(pk=device.pk, key=device.key).update(key=sealed)
    if done.unreadable:
        log.error("%s", unreadable_sentence(done.unreadable))
    return done


def unreadable_sentence(names: list[str]) -> str:
    return _("These second factors cannot be read: %(names)s. Reset them.") % {"names": named(names)}


def named(names: list[str]) -> str:
    return ", ".join(names[:MOST_NAMED]) + (" …" if len(names) > MOST_NAMED else "")


def _in_steps(devices: QuerySet[Authenticator]) -> Iterator[Authenticator]:
    last = 0
    while found := list(devices.filter(pk__gt=last).select_related("user").order_by("pk")[:CHUNK]):
        yield from found
        last = found[-1].pk


@transaction.atomic
def drop_key(number: int, *, by: Actor, at: datetime) -> None:
    """Record that a key is no longer needed. Its number is not used again.

    Raises NotFound for an unknown or dropped key, Refused `key_in_use` for the current one and `key_needed`
    while a seed is encrypted with it.
    """
    row = SecondFactorKey.objects.select_for_update().filter(pk=number, dropped_at=None).first()
    if row is None:
        sentence = _("There is no second factor key %(number)s.") % {"number": number}
        raise NotFound(sentence, code="key_not_found")
    if number == seeds.current_key():
        raise Refused("key_in_use", _("This is the current key: add another one first."))
    left = Authenticator.objects.filter(key__startswith=seeds.mark_of(number)).select_related("user")
    names = [device.user.get_username() for device in left.order_by("pk")[: MOST_NAMED + 1]]
    if names:
        sentence = _(
            "Second factors are still encrypted with this key: %(names)s. Run the command again, or reset "
            "them."
        )
        raise Refused("key_needed", sentence % {"names": named(names)})
    row.dropped_at = at
    row.save(update_fields=["dropped_at"])
    hooks.security_event.ask("second_factor_key_dropped", by, {"key": number})

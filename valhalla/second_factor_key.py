"""The key that encrypts the seeds of second factors: create, remember and rotate it.

With another key, or without one, codes of authenticator apps are refused and nobody can enrol; everything
else continues, so that people who need no code can work: nothing is kept from starting.
"""

from __future__ import annotations

import logging

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from governance.accounts import totp_seeds as seeds
from governance.accounts.second_factor_keys import (
    Sealed,
    add_key,
    drop_key,
    known_numbers,
    seal_all,
    sealed_seeds,
    unfinished,
)
from governance.core.actors import Actor
from governance.models import Authenticator, SecondFactorKey
from valhalla.keys import Rotation, make_first_key
from valhalla.migrating import one_at_a_time

log = logging.getLogger(__name__)

JOB = Actor.system("rotate_second_factor_key")
ROTATION = Rotation(
    seeds.RING,
    lambda: seeds.RING.problem(seeds.fingerprints, SecondFactorKey.remembered()),
    known_numbers,
    unfinished,
)


def make_key(connection: BaseDatabaseWrapper) -> None:
    """Create the key in VALHALLA_VAR if none is set and the database holds nothing encrypted with one."""
    tables = set(connection.introspection.table_names())
    known = SecondFactorKey._meta.db_table in tables and SecondFactorKey.objects.exists()
    sealed = Authenticator._meta.db_table in tables and sealed_seeds().exists()
    if not (seeds.RING.keys or known or sealed):
        make_first_key(seeds.RING)


def remember_and_seal(sender: object, using: str, **kwargs: object) -> None:
    """Remember the key in a database that has none yet, and encrypt the seeds that an earlier release wrote.

    Does nothing with another key or without one; the log says so.
    """
    if not {SecondFactorKey._meta.db_table, Authenticator._meta.db_table} <= set(
        connections[using].introspection.table_names()
    ):
        return
    if seeds.RING.keys and not known_numbers():
        # rows that remembered another key may have been lost
        if any(
            seeds.open_or_none(device.key, device.user_id) is None for device in sealed_seeds().iterator()
        ):
            log.error("%s", seeds.RING.other_key)
            return
        add_key(seeds.current_key(), by=Actor.system("migrate"), at=timezone.now())
    if problem := SecondFactorKey.problem():
        log.error("%s", problem)
        return
    seal_all()


def rotate() -> tuple[int, Sealed]:
    """Add a key, make it the current one, and encrypt all seeds with it.

    Returns its number and what was encrypted. Raises KeyProblem with what to do.
    """
    with one_at_a_time(connections[DEFAULT_DB_ALIAS], lambda: None):
        number = ROTATION.add(lambda number: add_key(number, by=JOB, at=timezone.now()))
        return number, seal_all()


def drop(number: int) -> None:
    """Drop a former key once no seed is encrypted with it. Raises KeyProblem or a named refusal."""
    seeds.RING.read_file_again()
    ROTATION.require()
    with one_at_a_time(connections[DEFAULT_DB_ALIAS], lambda: None):
        if number != seeds.current_key():
            seal_all()
        drop_key(number, by=JOB, at=timezone.now())
        ROTATION.forget(number)

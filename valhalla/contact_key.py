"""The contact keys, by which opt-outs are found: create, remember, rotate and drop them.

Suppressions and consents are found by keyed hashes. With another key all of them would be lifted unnoticed,
so the database remembers a fingerprint of each of its keys: migrate writes the first one, and nothing starts
or allows a contact with others. A rotation adds a key: new hashes are made with it, look-ups use all of them.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from django.apps import apps
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from followups.services.rekeying import move_points
from governance.contact import digests
from governance.contact.keys import add_key, drop_key, known_numbers, moved_to, unfinished
from governance.contact.querysets import remembered_keys
from governance.contact.services import hash_key_problem, remember_hash_key
from governance.core.actors import Actor
from valhalla.keys import KeyProblem, Rotation, holds_rows, make_first_key
from valhalla.migrating import one_at_a_time

FINGERPRINT = "governance.HashKeyCheck"
HOLDS_DIGESTS = (
    FINGERPRINT,
    "governance.Suppression",
    "governance.Consent",
    "governance.ContactDecision",
    "followups.ContactPoint",
    "followups.LookupEvent",
)
CHUNK = 5000
JOB = Actor.system("rotate_contact_key")


ROTATION = Rotation(digests.RING, lambda: digests.key_problem(remembered_keys()), known_numbers, unfinished)


def make_key(connection: BaseDatabaseWrapper) -> None:
    """Create the key in VALHALLA_VAR if none is set and the database holds nothing written with one.

    Raises KeyProblem if the database does hold such rows: then the former key must be restored.
    """
    if settings.CONTACT_HASH_KEY:
        return
    if holds_rows(connection, HOLDS_DIGESTS):
        raise KeyProblem(
            "the key that opt-outs were written with is gone: restore "
            f"{settings.CONTACT_HASH_KEY_FILE}, or set CONTACT_HASH_KEY to that key."
        )
    make_first_key(digests.RING)


def remember_key(alias: str) -> None:
    """Store the fingerprint once; in an older database, only if its contact points were hashed with this key.

    Raises KeyProblem for keys other than the database's.
    """
    connection = connections[alias]
    model, points = apps.get_model(FINGERPRINT), apps.get_model("followups.ContactPoint")
    tables = set(connection.introspection.table_names())
    if model._meta.db_table not in tables:
        return
    with connection.cursor() as cursor:
        columns = connection.introspection.get_table_description(cursor, model._meta.db_table)
    if "dropped_at" not in {column.name for column in columns}:
        return  # migrated to an earlier step
    if not model._base_manager.using(alias).exists():
        if points._meta.db_table not in tables:
            return
        if not settings.CONTACT_HASH_KEY:
            raise KeyProblem(str(digests.RING.no_key))
        rows = points._base_manager.using(alias).order_by().values_list("kind", "value", "digest")
        if any(digests.digest(kind, value) != known for kind, value, known in rows.iterator(CHUNK)):
            raise KeyProblem(str(digests.RING.other_key))
        remember_hash_key(timezone.now())
    if problem := hash_key_problem():
        raise KeyProblem(problem)


def remember_after_migrate(sender: object, using: str, **kwargs: object) -> None:
    remember_key(using)


def refuse_other_key() -> None:
    """Keep a process from starting with other keys. Raises KeyProblem.

    If the database has not recorded its key, record it now, before anything is written with it.
    """
    with asking_before_the_fork():
        remember_key(DEFAULT_DB_ALIAS)


@contextlib.contextmanager
def asking_before_the_fork() -> Iterator[None]:
    """Query the database when a process starts, and leave no connection open.

    A database that does not answer yet, or was never migrated, does not block the start: /readyz reports it.
    """
    connection = connections[DEFAULT_DB_ALIAS]
    opened = connection.connection is None
    try:
        yield
    except DatabaseError:
        pass
    finally:
        if opened:
            connection.close()  # a worker that is forked from here must not share it


def refuse_to_work(**kwargs: object) -> None:
    """Keep a job worker or scheduler from starting with other keys, with a one-sentence error."""
    try:
        refuse_other_key()
    except KeyProblem as problem:
        sys.exit(f"Valhalla cannot start: {problem}")  # Celery logs other errors and continues


# --- rotation -----------------------------------------------------------------------------------------------


def rotate() -> tuple[int, int]:
    """Add a key, make it the current one, and rehash the contact points.

    Returns the current key's number and how many points were rehashed. Raises KeyProblem with what to do.
    """
    with one_at_a_time(connections[DEFAULT_DB_ALIAS], lambda: None):
        number = ROTATION.add(_remember)
    moved = move_points()
    moved_to(number, by=JOB, at=timezone.now(), moved=moved)
    return number, moved


def _remember(number: int) -> None:
    add_key(number, digests.key_fingerprint(), by=JOB, at=timezone.now())


def drop(number: int) -> None:
    """Drop a former key that no suppression and no consent needs. Raises KeyProblem or a named refusal.

    Restart every process with the other keys first: a process that still writes with this key would write
    opt-outs that nobody finds.
    """
    digests.RING.read_file_again()
    ROTATION.require()
    with one_at_a_time(connections[DEFAULT_DB_ALIAS], lambda: None):
        if number != digests.current_key():
            move_points()
        drop_key(number, by=JOB, at=timezone.now())
        ROTATION.forget(number)

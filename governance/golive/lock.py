"""The lock between the switches and the actions they stop: nothing commits after a switch was acknowledged.

Each such action shares the lock until its transaction ends and reads the switch only once it has it. Engaging
the kill switch and disabling go-live take it exclusively, so they wait for actions in progress. SQLite does
not need it: an action reads the switch as the only writer.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.db import DatabaseError, OperationalError, connection, transaction

from governance.core.compiled import prepared_cursor
from governance.core.transactions import is_rehearsal

log = logging.getLogger(__name__)

LOCK = 0x53544F50  # the advisory lock's number in the database, "STOP"
WAIT = timedelta(seconds=2)  # for actions in progress, before they are aborted
WAIT_AGAIN = timedelta(seconds=1)
ATTEMPTS = 4
_LOCK_NOT_AVAILABLE, _DEADLOCK = "55P03", "40P01"


def share() -> None:
    """Share the lock until the transaction ends; a transaction that holds it already gets it at once.

    Read the switch in a later statement: one that waits here would still see the state before the wait.
    """
    if connection.vendor == "postgresql":
        with prepared_cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", [LOCK])


def take_alone() -> None:
    """Wait until no stoppable action is in progress, and let none start until the transaction ends.

    Those still in progress after 2 s are aborted: their work is rolled back and they get `busy`. Never
    fails: if a holder cannot be ended, the switch changes anyway, after 5 s, and the log says so. A dry run
    makes nobody wait and ends nothing.
    """
    if connection.vendor != "postgresql" or is_rehearsal():
        return
    for attempt in range(ATTEMPTS):
        began = _clock()
        if _taken_within(WAIT_AGAIN if attempt else WAIT):
            return
        _end_holders(began)
    log.error("the switch is turned although verbs it stops could not be ended")


def _clock() -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (at,) = cursor.fetchone()
    assert isinstance(at, datetime)
    return at


def _taken_within(patience: timedelta) -> bool:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = {patience // timedelta(milliseconds=1)}")
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
            cursor.execute("SET LOCAL lock_timeout TO DEFAULT")
    except OperationalError as problem:
        if getattr(problem.__cause__, "sqlstate", None) not in {_LOCK_NOT_AVAILABLE, _DEADLOCK}:
            raise
        return False
    return True


def _end_holders(before: datetime) -> None:
    """End the sessions that share the lock in a transaction that began before `before`.

    Younger ones were waiting behind this one's attempt, and finish in a moment.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT held.pid FROM pg_locks AS held "
            "JOIN pg_stat_activity AS session ON session.pid = held.pid "
            "WHERE held.locktype = 'advisory' AND held.classid = 0 AND held.objid = %s AND held.objsubid = 1 "
            "AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
            "AND held.mode = 'ShareLock' AND held.granted AND held.pid <> pg_backend_pid() "
            "AND (session.xact_start < %s) IS NOT FALSE",  # unknown for another role's sessions
            [LOCK, before],
        )
        pids = [pid for (pid,) in cursor.fetchall()]
    for pid in pids:
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
        except DatabaseError as problem:  # a session of a role that this one may not end
            log.warning("session %s could not be ended: %s", pid, type(problem).__name__)
        else:
            log.warning("ended session %s: it kept a switch waiting", pid)

"""Transactions that are retried if nothing was written and a retry may succeed.

The code that begins the transaction retries: a service, or the idempotent answer around it. SQLite has one
writer; the threads of this process get it in the order of their requests.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from django.db import OperationalError, connection, transaction
from django.utils.translation import gettext_lazy as _

from governance.core.errors import Unavailable

R = TypeVar("R")
log = logging.getLogger(__name__)

TRIES = 3
PAUSE = 0.02, 0.1  # seconds before the next attempt, at random
_DEADLOCKS = {"40P01", "40001"}
_ENDED = "57P01"  # admin_shutdown: a change of a switch ended the session, or the server is stopping


class WriterBusy(Exception):
    """SQLite's writer did not become free within the waiting time; nothing was done."""


class FairWriteLock:
    """Lets the threads of this process through one at a time, first come, first served.

    SQLite itself serves waiting writers in no particular order: measured with 32 threads that write all the
    time, one of them waited longer than 90 s. Other processes are not in the queue; for those few its timeout
    is enough.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: deque[threading.Event] = deque()
        self._taken = False

    @contextmanager
    def turn(self, patience: float | None = None) -> Iterator[None]:
        """Wait for one's turn; raise WriterBusy if it has not come after `patience` seconds."""
        mine = threading.Event()
        with self._guard:
            if self._taken:
                self._waiting.append(mine)
            else:
                self._taken = True
                mine.set()
        if not mine.wait(patience):
            with self._guard:
                if not mine.is_set():  # else the turn came at the last moment
                    self._waiting.remove(mine)
                    raise WriterBusy
        try:
            yield
        finally:
            with self._guard:
                if self._waiting:
                    self._waiting.popleft().set()
                else:
                    self._taken = False


_turns = FairWriteLock()


def _is_busy(problem: OperationalError) -> bool:
    """Return whether another process held SQLite longer than the timeout; threads have their turns."""
    return getattr(problem.__cause__, "sqlite_errorname", "").startswith("SQLITE_BUSY")


def _is_deadlock(problem: OperationalError) -> bool:
    return getattr(problem.__cause__, "sqlstate", None) in _DEADLOCKS


def _is_ended(problem: OperationalError) -> bool:
    """Return whether another session ended this one: its transaction was rolled back."""
    return getattr(problem.__cause__, "sqlstate", None) == _ENDED


def _busy() -> Unavailable:
    return Unavailable("busy", _("The database is busy; try again in a moment."))


@contextmanager
def _waiting_for_sqlite(seconds: float) -> Iterator[None]:
    """Set how long SQLite waits for other processes within the block; raise WriterBusy on a timeout."""
    connection.ensure_connection()
    pragma = connection.connection.execute
    (usual,) = pragma("PRAGMA busy_timeout").fetchone()
    pragma(f"PRAGMA busy_timeout = {max(0, int(seconds * 1000))}")
    try:
        yield
    except OperationalError as problem:
        if _is_busy(problem):
            raise WriterBusy from problem
        raise
    finally:
        pragma(f"PRAGMA busy_timeout = {usual}")


@contextmanager
def in_turn(patience: float | None = None) -> Iterator[None]:
    """Wait for SQLite's writer, raising WriterBusy after `patience` seconds; on PostgreSQL do not wait.

    Within a transaction the caller holds the writer already.
    """
    if connection.vendor != "sqlite" or connection.in_atomic_block:
        yield
        return
    asked = time.monotonic()
    with _turns.turn(patience):
        if patience is None:
            yield
        else:
            with _waiting_for_sqlite(asked + patience - time.monotonic()):
                yield


def in_transaction(work: Callable[[], R], *, patience: float | None = None) -> R:
    """Run `work` in its own transaction, or in a savepoint of the current one.

    In its own transaction, a deadlock or a busy SQLite is retried: `work` may run three times, and must
    reload everything that it decides by. Raises Unavailable `busy` if the last attempt failed as well, and if
    another session ended this one because it delayed a switch: then nothing is retried. `patience` is how
    many seconds to wait for SQLite's writer, after which WriterBusy is raised; on PostgreSQL the work itself
    decides how long it waits for which row.
    """
    if connection.in_atomic_block:
        with transaction.atomic():
            return work()
    for left in reversed(range(TRIES)):
        try:
            with in_turn(patience), transaction.atomic():
                return work()
        except OperationalError as problem:
            if _is_ended(problem):
                raise _busy() from problem
            if not (_is_deadlock(problem) or _is_busy(problem)):
                raise
            log.warning("%s, %s tries left", type(problem.__cause__).__name__, left)
            if not left:
                raise _busy() from problem
            # the winner has to wake up and lock the row first, else both collide again
            time.sleep(random.uniform(*PAUSE))
    raise AssertionError("unreachable")


_rehearsing: ContextVar[bool] = ContextVar("rehearsing", default=False)


def is_rehearsal() -> bool:
    """Return whether what is being done will be rolled back: then nothing outside the database may change."""
    return _rehearsing.get()


def rehearse(work: Callable[[], R]) -> R:
    """Run `work` as it would be done, roll it back, and return its result.

    Everything that it writes goes, including what a refusal stores and what would happen after the commit. It
    takes the same locks as the real thing, and is retried after a deadlock as that is.
    """

    def run() -> R:
        result = work()
        transaction.set_rollback(True)
        return result

    entered = _rehearsing.set(True)
    try:
        return in_transaction(run)
    finally:
        _rehearsing.reset(entered)

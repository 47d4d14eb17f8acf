"""A beat scheduler that can be started several times, of which only one fires."""

from __future__ import annotations

import logging
import os
import socket
import threading
import uuid
from datetime import timedelta

from django.db import Error, close_old_connections, connection
from django.db.models import Q
from django.utils import timezone
from django_celery_beat.models import PeriodicTask, PeriodicTasks
from django_celery_beat.schedulers import DatabaseScheduler, ModelEntry

from governance.outbox.lease import hold, release
from valhalla.logs import is_outage

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=30)
END_SECONDS = 3.0
AGAIN_IN = 5.0  # seconds until a scheduler that may not or cannot fire tries again


class Entry(ModelEntry):
    """A job's row, of which a run updates only when it ran.

    Saving all of it, as the library does, would undo a pause set meanwhile. A last run in the future was
    dated by a wrong clock: the job would not be due until then.
    """

    def __init__(self, model: PeriodicTask, app: object = None) -> None:
        super().__init__(model, app=app)
        self.last_run_at = model.last_run_at = min(model.last_run_at, timezone.now())

    def save(self) -> None:
        row = self.model
        PeriodicTask.objects.filter(pk=row.pk).update(
            last_run_at=row.last_run_at, total_run_count=row.total_run_count
        )
        PeriodicTasks.update_changed()


class LeasedScheduler(DatabaseScheduler):
    """A database scheduler that fires only while it holds the scheduler's lease row."""

    Entry = Entry

    def __init__(self, *args: object, **kwargs: object) -> None:
        self.holder = f"{socket.gethostname()[:40]}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self.held = False
        super().__init__(*args, **kwargs)

    def tick(self, *args: object, **kwargs: object) -> float:
        """Fire what is due and return the seconds to sleep; wait for a database that is down."""
        try:
            held_before, self.held = self.held, hold("scheduler", self.holder, timezone.now(), LEASE)
            if not self.held:
                return AGAIN_IN
            if not held_before:
                self._forget_what_was_read()
            return float(super().tick(*args, **kwargs))
        except Error as problem:
            # the log has one line per outage; a traceback of anything else is of no use here
            cause = problem if is_outage(problem) else None
            log.warning("the scheduler waits for the database: %s", type(problem).__name__, exc_info=cause)
            close_old_connections()
            return AGAIN_IN

    def _forget_what_was_read(self) -> None:
        """Reload the rows: while another scheduler fired, only it knew when jobs last ran."""
        self._initial_read = True
        self._heap = None

    def install_default_entries(self, data: object) -> None:
        """Create no rows for Celery's own jobs: no results are stored, and they undo managers' changes."""

    def _get_crontab_exclude_query(self) -> Q:
        """Leave no row out.

        The library leaves out rows whose hour is far from now, and so forgets a nightly job that was missed
        while no scheduler ran.
        """
        return Q(pk=None)

    def close(self) -> None:
        """Record the last runs and release the lease.

        A signal handler calls this, and may have interrupted this thread in the middle of a statement: so
        another thread does it, with its own connection. If that takes long, the lease expires by itself.
        """
        ending = threading.Thread(target=self._end, daemon=True)
        ending.start()
        ending.join(END_SECONDS)

    def _end(self) -> None:
        try:
            super().close()
            release("scheduler", self.holder)
        except Error as problem:
            log.info("the scheduler ended without the database: %s", type(problem).__name__)
        finally:
            connection.close()

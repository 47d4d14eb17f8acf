"""The retention job's service: removes expired rows, in steps that are each recorded."""

from __future__ import annotations

import logging
import time
from datetime import datetime, timedelta

from axes.models import AccessAttempt
from django.conf import settings
from django.db import DatabaseError, connection
from django.utils.module_loading import import_string

from governance.accounts.sign_ins import close_left_behind
from governance.core.actors import Actor
from governance.core.verbs import Execution, verb
from governance.retention import database, registry
from governance.retention.models import Removal
from governance.retention.periods import periods
from governance.retention.registry import Rule

log = logging.getLogger(__name__)

BATCH = 1000
SECONDS = 120.0  # of one run; the rest waits for the next night


class NotAllRemoved(Exception):
    """Nothing could be removed of some subjects; the others were done."""


def remove_expired(
    at: datetime, *, by: Actor, seconds: float = SECONDS, batch: int = BATCH
) -> dict[str, int]:
    """Remove what is older than its period, oldest first; return how many rows per subject.

    Each step is a transaction with the row that records it, so that a run may be interrupted, repeated, or
    run in parallel. Raises NotAllRemoved after all subjects if the database refused one.
    """
    began = time.monotonic()
    removed: dict[str, int] = {}
    failed: list[str] = []
    known = periods(registry.rules(), at)
    for rule in registry.rules():
        days = known[rule.subject]
        if days is None:
            continue
        before = at - timedelta(days=days)
        try:
            while time.monotonic() - began < seconds and database.any_expired(connection, rule, before):
                count = remove_step(rule, before, by=by, at=at, most=batch)
                removed[rule.subject] = removed.get(rule.subject, 0) + count
        except DatabaseError as problem:  # such as rows that something else still refers to
            log.error("retention of %s failed: %s", rule.subject, type(problem).__name__)
            failed.append(rule.subject)
    close_left_behind(at)
    import_string(f"{settings.SESSION_ENGINE}.SessionStore").clear_expired()
    # A wrong password counts for 15 minutes; the next sign-in removes it, and this removes those without one.
    AccessAttempt.objects.filter(attempt_time__lt=at - timedelta(days=1)).delete()
    if failed:
        raise NotAllRemoved(", ".join(failed))
    return removed


@verb(Execution.OBSERVE_ONLY)
def remove_step(rule: Rule, before: datetime, *, by: Actor, at: datetime, most: int) -> int:
    """Remove at most `most` rows of a rule older than `before`; return how many.

    Raises IntegrityError if the period, or its minimum, forbids it: the database checks that itself.
    """
    row = Removal(
        subject=rule.subject,
        table_name=rule.table,
        age=rule.age,
        before=before,
        count=most,
        at=at,
        **by.written(),
    )
    if connection.vendor == "postgresql":
        row.save()  # the database function does it and fills in the row
        return Removal.objects.values_list("count", flat=True).get(pk=row.pk)
    for name, value in database.remove_by_hand(connection, rule, before, most).items():
        setattr(row, name, value)
    row.save()
    return row.count

"""The scheduler's lease: one process holds it, another takes over once it has expired."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import Q

from governance.outbox.models import SchedulerLease


def hold(name: str, holder: str, at: datetime, length: timedelta) -> bool:
    """Take or renew the lease until `at + length`; return False while another process holds it.

    A lease that ends more than two lengths from now was dated by a clock that was ahead. It is taken over:
    its holder may be gone, and no job would run until that date.
    """
    rows = SchedulerLease.objects.filter(name=name)
    free = Q(holder=holder) | Q(expires_at__lte=at) | Q(expires_at__gt=at + 2 * length)
    if rows.filter(free).update(holder=holder, expires_at=at + length):
        return True
    if rows.exists():
        return False
    try:
        with transaction.atomic():
            SchedulerLease.objects.create(name=name, holder=holder, expires_at=at + length)
    except IntegrityError:
        return False
    return True


def release(name: str, holder: str) -> None:
    """Release the lease, if it is held."""
    SchedulerLease.objects.filter(name=name, holder=holder).delete()

"""The scheduler's lease: one process holds it, another takes it over once it has expired."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import Q

from governance.outbox.models import SchedulerLease


def hold(name: str, holder: str, at: datetime, length: timedelta) -> bool:
    """Take or renew the lease until `at + length`; False while somebody else holds it."""
    rows = SchedulerLease.objects.filter(name=name)
    if rows.filter(Q(holder=holder) | Q(expires_at__lte=at)).update(holder=holder, expires_at=at + length):
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
    """Give the lease back, if it is held."""
    SchedulerLease.objects.filter(name=name, holder=holder).delete()

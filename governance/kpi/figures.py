"""Computing the board's metrics."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from django.db import transaction

from governance.core import hooks
from governance.kpi.models import Figure


@transaction.atomic
def keep_figures(found: Mapping[str, object], at: datetime) -> int:
    """Store metrics as computed at `at`, unless newer ones are there; return how many were given."""
    Figure.objects.bulk_create(
        [Figure(name=name, value=value, counted_at=at) for name, value in sorted(found.items())],
        ignore_conflicts=True,
    )
    for name, value in sorted(found.items()):
        Figure.objects.filter(name=name, counted_at__lt=at).update(value=value, counted_at=at)
    return len(found)


def take_figures(at: datetime) -> int:
    """Compute every pack's metrics and store each pack's together; return how many were stored.

    The packs compute outside of a transaction: no writer waits while a large table is read.
    """
    return sum(keep_figures(found, at) for found in hooks.figures.ask(at))

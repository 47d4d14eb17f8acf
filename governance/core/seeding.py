"""Seed data: safe defaults that a data migration adds and can remove as long as nobody has changed them.

A seed is a list of rows; `key` names the fields that identify a row. The functions work with the historical
models of a migration and with the real ones alike.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import connections, models
from django.db.models import ProtectedError

from governance.core import append_only

GetModel = Callable[[str], Any]
SEED = "seed"


def plant(
    get: GetModel, model: str, key: Sequence[str], rows: Iterable[Mapping[str, Any]], at: datetime
) -> int:
    """Create missing rows, with the first row of their history; return how many were created."""
    manager = get(model)._default_manager
    there = set(manager.values_list(*key))
    fresh = [dict(row) for row in rows if tuple(row[name] for name in key) not in there]
    made = manager.bulk_create([get(model)(**row) for row in fresh])
    try:
        history = get(f"Historical{model}")
    except LookupError:
        return len(made)
    fields = [field.attname for field in get(model)._meta.concrete_fields]
    keyed = {
        tuple(getattr(row, name) for name in key): row
        for row in manager.filter(models.Q(**{f"{key[0]}__in": {row[key[0]] for row in fresh}}))
    }
    history._default_manager.bulk_create(
        history(
            **{name: getattr(keyed[tuple(row[name] for name in key)], name) for name in fields},
            history_date=at,
            history_type="+",
            history_change_reason=SEED,
        )
        for row in fresh
    )
    return len(made)


def uproot(get: GetModel, model: str, key: Sequence[str], rows: Iterable[Mapping[str, object]]) -> int:
    """Delete the seeded rows that are unchanged and unused, with their history; return how many."""
    gone = []
    for row in rows:
        found = get(model)._default_manager.filter(**{name: row[name] for name in key}).first()
        if found is None or any(getattr(found, name) != value for name, value in row.items()):
            continue
        number = found.pk
        try:
            found.delete()
        except ProtectedError:  # something refers to it now: it is no longer an unchanged seed
            continue
        gone.append(number)
    with contextlib.suppress(LookupError):
        history = get(f"Historical{model}")._default_manager
        with append_only.unguarded(connections[history.db], history.model._meta.db_table):
            history.filter(id__in=gone).delete()
    return len(gone)

"""Locks that services take before they read: leads in a fixed order, then their numbers in a fixed order."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import connection
from django.db.models import QuerySet

from followups.models import Lead
from governance.core.compiled import CompiledQuery, Listed, prepared_cursor

LOCKS = 0x76616C68  # the namespace of our advisory locks on numbers


@CompiledQuery
def _lock_leads() -> QuerySet[Lead, tuple[int]]:
    leads = Lead.objects.filter(pk__any_of=Listed("ids")).order_by("pk")
    return leads.select_for_update(of=("self",)).values_list("pk")


def lock_leads(lead_ids: Iterable[int]) -> None:
    """Lock leads in one fixed order. SQLite's one writer needs no lock."""
    ids = sorted(set(lead_ids))
    if ids and connection.features.has_select_for_update:
        _lock_leads(ids=ids)


def lock_numbers(found: Iterable[str]) -> None:
    """Lock numbers (keyed hashes) in one fixed order until the transaction ends.

    Starting or ending a ladder takes them after its lead's row, so that of two ladders for one number the
    second sees the first. SQLite's one writer needs no lock.
    """
    if connection.vendor != "postgresql":
        return
    # two's complement: PostgreSQL's second key is signed
    parts = (bytes.fromhex(digest[-8:] if digest.startswith("k") else digest[:8]) for digest in found)
    keys = sorted({int.from_bytes(part, "big", signed=True) for part in parts})
    if not keys:
        return
    with prepared_cursor() as cursor:  # unnest gives them in their order
        cursor.execute("SELECT pg_advisory_xact_lock(%s, key) FROM unnest(%s::int[]) AS key", [LOCKS, keys])

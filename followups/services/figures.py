"""What follow-ups contribute to the operations board."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import Count, Q

from followups.models import FollowUpTask, Lead
from followups.services.sla import sla_of
from governance.kpi.querysets import RATES_OVER, rate_since
from governance.people.querysets import active

COUNTED_TO = 10_000  # a longer backlog is no better known by its exact length

OPEN_COUNTED_TO = 100


def work_waiting(at: datetime) -> dict[str, int]:
    """Return how many tasks are `due`, `late` (two allowed hours past their time) and `held`.

    Each is counted to 10,001: in two queries that read so many rows of an index at most.
    """
    due = FollowUpTask.objects.due(at)[: COUNTED_TO + 1]
    waiting = due.aggregate(due=Count("pk"), late=Count("pk", filter=Q(sla_2h_at__lt=at)))
    held = FollowUpTask.objects.open().filter(due_at=None).order_by("pk")
    return {**waiting, "held": held[: COUNTED_TO + 1].count()}


def open_work(owners: Sequence[str]) -> dict[str, int]:
    """Return how many open tasks each owner has, counted to 101: a query an owner, read from an index."""
    rows = FollowUpTask.objects.open().order_by("pk")
    return {key: rows.filter(owner_key=key)[: OPEN_COUNTED_TO + 1].count() for key in owners}


def board_figures(at: datetime) -> dict[str, Any]:
    """Return leads that are nobody's, late tasks and those of nobody, the SLA and 30 days' compliance."""
    current = FollowUpTask.objects.open().filter(is_current=True)
    strangers = current.exclude(owner_key="").exclude(
        owner_key__in=list(active().values_list("key", flat=True))
    )
    whole = sla_of(at=at)["sla"]
    return {
        "nobodys_leads": Lead.objects.nobodys().order_by("pk")[: COUNTED_TO + 1].count(),
        "tasks_late": work_waiting(at)["late"],
        "owners_nobody": strangers.values("owner_key").distinct().count(),
        "tasks_of_nobody": strangers.order_by("pk")[: COUNTED_TO + 1].count(),
        "followup_sla": {
            "value": _plain(whole["within_2h"]),
            "counted": whole["count"],
            "median_minutes": _plain(whole["median_minutes"]),
        },
        "contact_compliance": rate_since("WHOLESALE", "contact_compliance", at - RATES_OVER).as_json(),
    }


def _plain(figure: Decimal | None) -> float | None:
    return None if figure is None else float(figure)

"""The follow-ups' metrics for the operations board."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import Count, Q

from followups.models import FollowUpTask, Lead
from followups.rules.outcomes import PERSON_ACTIVE
from followups.services.lookup_bursts import bursts_at
from followups.services.sla import sla_of
from governance.kpi.querysets import RATES_OVER, rate_since

COUNTED_TO = 10_000  # for a longer backlog the exact length does not matter

OPEN_COUNTED_TO = 100


def work_waiting(at: datetime) -> dict[str, int]:
    """Return how many tasks are `due`, `late` (two allowed hours past their time) and `held` (blocked).

    `person_active` are those that wait for another lead of the same person; they are not among the `held`.
    Each is counted up to 10,001, in three queries that read at most so many rows of an index.
    """
    due = FollowUpTask.objects.due(at)[: COUNTED_TO + 1]
    waiting = due.aggregate(due=Count("pk"), late=Count("pk", filter=Q(sla_2h_at__lt=at)))
    held = FollowUpTask.objects.held().order_by("pk")
    of_person = FollowUpTask.objects.open().filter(held_reason=PERSON_ACTIVE).order_by("pk")
    return {
        **waiting,
        "held": held[: COUNTED_TO + 1].count(),
        "person_active": of_person[: COUNTED_TO + 1].count(),
    }


def open_work(owners: Sequence[str]) -> dict[str, int]:
    """Return how many open tasks each owner has, counted up to 101: a query per owner, read from an index."""
    rows = FollowUpTask.objects.open().order_by("pk")
    return {key: rows.filter(owner_key=key)[: OPEN_COUNTED_TO + 1].count() for key in owners}


def board_figures(at: datetime) -> dict[str, Any]:
    """Return the metrics of leads and tasks that need attention, the SLA, compliance, and look-up bursts."""
    strangers = FollowUpTask.objects.of_unknown_owners()
    whole = sla_of(at=at)["sla"]
    return {
        "nobodys_leads": Lead.objects.nobodys().order_by("pk")[: COUNTED_TO + 1].count(),
        "tasks_late": work_waiting(at)["late"],
        "lookup_bursts": len(bursts_at(at)),
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

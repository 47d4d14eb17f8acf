"""The SLA: computed on request, stored daily, and reported when a task is late."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from followups.models import FollowUpTask, SlaSnapshot
from followups.rules import Answered, sla
from governance.accounts.querysets import managers
from governance.core.actors import Actor
from governance.core.verbs import Execution, verb
from governance.kpi.services import Kpi, emit_kpis
from governance.outbox.services import post_message

LAST, MOST = 500, 20_000
GROUPS = {"owner": "owner_key", "province": "province", "channel": "channel", "step": "step"}
LOCAL = ZoneInfo("America/Toronto")
_DONE = (
    "due_at",
    "completed_at",
    "response_minutes",
    "response_wall_minutes",
    "sla_5m_at",
    "sla_30m_at",
    "sla_2h_at",
)
_LIMITS = (timedelta(minutes=5), timedelta(minutes=30), timedelta(hours=2))


def sla_of(
    *,
    at: datetime,
    last: int = LAST,
    since: datetime | None = None,
    until: datetime | None = None,
    group_by: str = "",
    clock: str = "allowed",
) -> dict[str, Any]:
    """Return the SLA of the newest due tasks, or of those due between two instants (at most 20,000).

    `clock` allowed counts minutes in which contact was allowed, wall all of them. The two halves, completed
    and open tasks, each come from an index of their own.
    """
    group_field = GROUPS.get(group_by, "")
    extra = (group_field,) if group_field else ()
    most = MOST if since or until else last
    due: dict[str, datetime] = {}
    if since:
        due["due_at__gte"] = since
    if until:
        due["due_at__lt"] = until
    done = FollowUpTask.objects.filter(status="COMPLETED", due_at__isnull=False, **due)
    waiting = FollowUpTask.objects.filter(status="OPEN", due_at__isnull=False, due_at__lte=at, **due)
    rows = [*done.order_by("-due_at").values_list(*_DONE, *extra)[:most]]
    rows += [
        (row[0], None, None, None, *row[1:])
        for row in waiting.order_by("-due_at").values_list("due_at", *_DONE[4:], *extra)[:most]
    ]
    rows.sort(key=lambda row: row[0], reverse=True)
    rows = rows[:most]
    answered = [_answered(row, clock) for row in rows]
    groups: dict[str, list[Answered]] = {}
    if group_field:
        for row, task in zip(rows, answered, strict=True):
            groups.setdefault(str(row[len(_DONE)] or ""), []).append(task)
    return {
        "sla": sla(answered, at),
        "groups": [{group_by: value, **sla(tasks, at)} for value, tasks in sorted(groups.items())],
        "truncated": len(rows) >= most and bool(since or until),
    }


def newest_due(at: datetime) -> list[int]:
    """Return the ids of the tasks that `sla_of` counts by default."""
    due = FollowUpTask.objects.filter(due_at__isnull=False)
    halves = due.filter(status="COMPLETED"), due.filter(status="OPEN", due_at__lte=at)
    rows = [row for half in halves for row in half.order_by("-due_at").values_list("due_at", "pk")[:LAST]]
    rows.sort(key=lambda row: row[0], reverse=True)
    return [pk for _due_at, pk in rows[:LAST]]


def _answered(row: tuple[Any, ...], clock: str) -> Answered:
    due_at, completed_at, minutes, wall_minutes, *limits = row[: len(_DONE)]
    if clock == "wall":
        return Answered(due_at, completed_at, wall_minutes, tuple(due_at + limit for limit in _LIMITS))
    return Answered(due_at, completed_at, minutes, (limits[0], limits[1], limits[2]))


@verb(Execution.OBSERVE_ONLY)
def escalate_overdue(at: datetime, *, limit: int = 500) -> int:
    """Count each task that is past its limit and still open as a missed SLA, once; return how many."""
    by = Actor.system("followups.escalate_overdue")
    late = FollowUpTask.objects.filter(status="OPEN", sla_counted=False, sla_2h_at__lt=at).order_by(
        "sla_2h_at"
    )
    if connection.features.has_select_for_update_skip_locked:
        late = late.select_for_update(skip_locked=True, of=("self",))
    found = list(late.values_list("pk", "channel", "step", "province")[:limit])
    FollowUpTask.objects.filter(pk__in=[pk for pk, *_rest in found]).note(sla_counted=True)
    events = [
        Kpi(
            "WHOLESALE",
            "followup_sla",
            False,
            None,
            {"task": pk, "channel": channel, "step": step, "province": province},
        )
        for pk, channel, step, province in found
    ]
    emit_kpis(events, by=by, at=at)
    if events:
        _digest(at)
    return len(events)


def _digest(at: datetime) -> None:
    """Write one e-mail per manager and hour with counts and the oldest five."""
    # what is late was due before: stating that lets the query use an index
    late = FollowUpTask.objects.filter(status="OPEN", due_at__lt=at, sla_2h_at__lt=at)
    count = late.count()
    oldest = late.order_by("due_at").values_list("pk", "lead__external_id", "due_at", "owner")[:5]
    lines = [f"{pk}  {lead}  {due:%Y-%m-%d %H:%M} UTC  {owner or '-'}" for pk, lead, due, owner in oldest]
    body = _(
        "%(count)s follow-ups are more than two hours late, counted in allowed contact time. The oldest:"
    ) % {"count": count}
    for manager in managers():
        if manager.email:
            post_message(
                "overdue_digest",
                manager.email,
                _("Follow-ups are late"),
                "\n".join([body, "", *lines]),
                once=f"overdue:{manager.pk}:{at:%Y-%m-%dT%H}",
                at=at,
            )


@verb(Execution.OBSERVE_ONLY)
def report_unopened_handovers(at: datetime, *, limit: int = 200) -> int:
    """Notify the managers of handoffs that nobody opened within 15 allowed minutes, once; return how many.

    Claiming or starting a handoff opens it.
    """
    unopened = FollowUpTask.objects.filter(
        kind=FollowUpTask.Kind.HANDOVER, status="OPEN", opened_at=None, alerted_at=None, alert_at__lte=at
    ).order_by("alert_at")
    if connection.features.has_select_for_update_skip_locked:
        unopened = unopened.select_for_update(skip_locked=True, of=("self",))
    found = list(unopened.values_list("pk", "lead__external_id", "deadline_at")[:limit])
    if not found:
        return 0
    FollowUpTask.objects.filter(pk__in=[pk for pk, *_rest in found]).note(alerted_at=at)
    lines = [
        f"{pk}  {lead}  {deadline:%Y-%m-%d %H:%M} UTC" if deadline else f"{pk}  {lead}"
        for pk, lead, deadline in found
    ]
    body = ngettext(
        "%(count)s handoff has waited 15 minutes for a closer. Its deadline:",
        "%(count)s handoffs have waited 15 minutes for a closer. Their deadlines:",
        len(found),
    ) % {"count": len(found)}
    for manager in managers():
        if manager.email:
            post_message(
                "unopened_handoffs",
                manager.email,
                _("No closer has opened a handoff"),
                "\n".join([body, "", *lines]),
                once=f"unopened:{manager.pk}:{found[0][0]}",
                at=at,
            )
    return len(found)


def snapshot_sla(at: datetime) -> int:
    """Store yesterday's SLA (by Toronto's local day) for all and per group; a repeat writes the same.

    Counts outside of the transaction: no writer waits while 20,000 tasks are read.
    """
    day = (at.astimezone(LOCAL) - timedelta(days=1)).date()
    since, until = _bounds(day)
    found = [("ALL", "", sla_of(at=at, since=since, until=until)["sla"])]
    for group in GROUPS:
        rows = sla_of(at=at, since=since, until=until, group_by=group)["groups"]
        found += [(group.upper(), row.pop(group), row) for row in rows]
    return _keep_snapshot(day, found)


@verb(Execution.OBSERVE_ONLY)
def _keep_snapshot(day: date, found: Sequence[tuple[str, str, Mapping[str, object]]]) -> int:
    return sum(_keep(day, dimension, value, figures) for dimension, value, figures in found)


def _bounds(day: date) -> tuple[datetime, datetime]:
    return datetime.combine(day, time(), LOCAL), datetime.combine(day + timedelta(days=1), time(), LOCAL)


def _keep(day: date, dimension: str, value: str, figures: Mapping[str, object]) -> int:
    SlaSnapshot.objects.update_or_create(day=day, dimension=dimension, value=value, defaults=dict(figures))
    return 1

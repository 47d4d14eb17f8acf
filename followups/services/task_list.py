"""The list next to the task in front: due tasks by closing window, waiting ones, and those due soon."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q

from followups.models import FollowUpTask
from followups.querysets import mark_of
from followups.services.due import LOOKED_THROUGH, count_overdue, due_tasks
from followups.services.reading import add_facts
from governance.core.actors import Actor

SOON = timedelta(minutes=60)
MOST_SOON = 10
MOST_HANDOVERS = 50
FRESH_FOR = timedelta(seconds=60)


@dataclass(slots=True)
class Group:
    """Tasks in the same time zone; `closes_at` if they may be contacted now, else `opens_at` if ever."""

    zone: str
    closes_at: datetime | None
    opens_at: datetime | None
    zones: list[str] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Opening:
    """The next time at which waiting tasks may be contacted, in which zones, and how many then."""

    at: datetime
    zones: tuple[str, ...]
    count: int


@dataclass(frozen=True, slots=True)
class TaskPage:
    """A page of the list, with `handovers` at the top of every page, at any hour.

    `allowed` groups are in order of closing, `waiting` ones in order of opening.

    Counts are of all that is due, up to 2,000: `open_now` may be contacted, `late` is two hours late.
    `opening` is None if something may be contacted now, or nothing ever.
    """

    handovers: list[dict[str, Any]]
    allowed: list[Group]
    waiting: list[Group]
    apart: list[dict[str, object]]
    soon: list[FollowUpTask]
    number: int
    pages: int
    due: int
    open_now: int
    late: int
    mine: int
    held: int
    matching: int
    opening: Opening | None


def beside(
    *,
    by: Actor,
    at: datetime,
    size: int,
    number: int = 1,
    filters: Mapping[str, object] | None = None,
    contactable: bool | None = None,
    whose: str = "",
    order: str = "urgent",
) -> TaskPage:
    """Return a page of due tasks, those that may be contacted now first; a page past the last is the last.

    Looks through the oldest 2,000. `order` is urgent or due.
    """
    rows = due_tasks(
        by=by, at=at, limit=LOOKED_THROUGH, filters=dict(filters or {}), order="urgent", with_closing=True
    )
    mine = [row for row in rows if (row["owner"] or "").lower() == by.key]
    held = [row for row in rows if (row["claimed_by"] or "").lower() == by.key]
    shown = held if whose == "held" else mine if whose == "mine" else rows
    if contactable is not None:
        shown = [row for row in shown if row["contact"]["ok"] is contactable]
    if order == "due":
        shown = sorted(shown, key=lambda row: (row["due_at"], row["id"]))
    shown = sorted(shown, key=lambda row: (not _is_handover(row), not row["contact"]["ok"]))
    first = [row for row in shown if _is_handover(row)][:MOST_HANDOVERS]  # on every page
    others = shown[len(first) :]
    pages = max(1, -(-len(others) // size))
    number = min(number, pages)
    rest = others[(number - 1) * size : number * size]
    count_overdue([*first, *rest], at)
    add_facts([*first, *rest])
    with_point = [row for row in rest if row["lead"]["phone"] or row["lead"]["email"]]
    soon = FollowUpTask.objects.filter(
        is_current=True, due_at__gt=at, due_at__lte=at + SOON, **dict(filters or {})
    )
    soon = soon.filter(Q(snoozed_until=None) | Q(snoozed_until__lte=at + SOON))
    soon = soon.visible_to(by, at).select_related("lead").order_by("due_at", "id")
    allowed, waiting = _grouped(with_point, at)
    return TaskPage(
        handovers=first,
        allowed=allowed,
        waiting=waiting,
        apart=[row for row in rest if row not in with_point],
        soon=list(soon[:MOST_SOON]),
        number=number,
        pages=pages,
        due=len(rows),
        open_now=sum(row["contact"]["ok"] for row in rows),
        late=sum(row["late"] for row in rows),
        mine=len(mine),
        held=len(held),
        matching=len(shown),
        opening=_opening(rows, by, at, filters or {}),
    )


def _opening(
    rows: list[dict[str, Any]], by: Actor, at: datetime, filters: Mapping[str, object]
) -> Opening | None:
    """Return when the next task may be contacted: one that is due already, or that will be due by then."""
    if any(row["contact"]["ok"] for row in rows):
        return None
    ahead = FollowUpTask.objects.filter(is_current=True, due_at__gt=at, **filters)
    ahead = ahead.filter(snoozed_until=None).visible_to(by, at).order_by("due_at", "id")
    opens = [(row["contact"]["next_allowed_at"], row["zone"]) for row in rows]
    opens = [(then, zone) for then, zone in opens if then is not None]
    following = ahead.values_list("due_at", flat=True).first()
    if following is not None:
        opens += ahead.filter(due_at=following).values_list("due_at", "zone")[:LOOKED_THROUGH]
    if not opens:
        return None
    first = min(then for then, _zone in opens)
    zones = [zone for then, zone in opens if then == first]
    return Opening(first, tuple(dict.fromkeys(zones)), len(zones))


def _is_handover(row: Mapping[str, Any]) -> bool:
    return bool(row["kind"] == FollowUpTask.Kind.HANDOVER)


def _grouped(rows: list[dict[str, Any]], at: datetime) -> tuple[list[Group], list[Group]]:
    """Group the rows with the same local time whose windows close, or open, together."""
    allowed: dict[tuple[Any, ...], Group] = {}
    waiting: dict[tuple[Any, ...], Group] = {}
    for row in rows:
        local_time, contact = row["lead"]["local_time"], row["contact"]
        of = allowed if contact["ok"] else waiting
        key = (row["closes_at"],) if contact["ok"] else (contact["next_allowed_at"], contact["reason"])
        group = of.setdefault(
            (local_time, *key), Group(row["zone"], row["closes_at"], contact["next_allowed_at"])
        )
        group.rows.append(row)
        if row["zone"] not in group.zones:
            group.zones.append(row["zone"])
    end = at + timedelta(days=365)
    return (
        sorted(allowed.values(), key=lambda group: group.closes_at or end),
        sorted(waiting.values(), key=lambda group: group.opens_at or end),
    )


def fresh_until(shown: TaskPage, at: datetime) -> datetime:
    """Return when the display changes with time: a window closes or opens, or a minute is over."""
    turns = [group.closes_at for group in shown.allowed] + [group.opens_at for group in shown.waiting]
    turns += [row["contact"]["next_allowed_at"] or row["closes_at"] for row in shown.handovers]
    turns += [row["deadline_at"] for row in shown.handovers]
    return min([turn for turn in turns if turn is not None and turn > at] + [at + FRESH_FOR])


def mark(
    *, by: Actor, at: datetime, filters: Mapping[str, Any] | None = None, task_id: int | None = None
) -> str:
    """Return a text that changes with the list, the switches or the task in front, in one query."""
    return mark_of(by, at, dict(filters or {}), task_id)

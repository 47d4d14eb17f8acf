"""Whether a closer is on shift for a lead, and otherwise the closers' next free times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from followups.models import FollowUpTask, Lead
from followups.rules import CALLBACK, HANDOVER
from followups.services.locked_task import LockedTask, task_for_lead
from governance.accounts.querysets import absences_of, active_or_away
from governance.accounts.rules import on_shift, shifts_between
from governance.core.actors import Actor, Role
from governance.core.channels import CALL

SLOT = timedelta(minutes=30)  # of a closer's call
APART = timedelta(hours=2)  # between the times that are offered
AHEAD = timedelta(days=7)
MOST_CLOSERS = 200
MOST_BOOKED = 500
MOST_TIMES = 3


@dataclass(frozen=True, slots=True)
class Closers:
    """The closers' availability for a lead; `times` are their next free times if none is on shift."""

    on_shift: bool
    times: tuple[datetime, ...] = ()


def closers_for(
    lead: Lead, *, by: Actor, at: datetime, desk: Callable[[], LockedTask] | None = None
) -> Closers:
    """Return whether a closer is on shift for a lead now, in one query; else up to 3 of their free times.

    A closer takes the lead if their work profile does. A free time is 30 minutes of a shift, permitted for a
    call there, within 7 days, for which fewer calls are booked than closers are at work; waiting handoffs
    come first. `desk` returns the lead's locked task, if there is one; it is called only if nobody is on
    shift. A closer who hands off is available.
    """
    if by.role == Role.CLOSER:
        return Closers(True)
    people = active_or_away(at).filter(role=Role.CLOSER).select_related("work_profile").order_by("pk")
    closers = [user for user in people[:MOST_CLOSERS] if _takes(user, lead)]
    if any(not user.away and on_shift(_profile(user), at) for user in closers):
        return Closers(True)
    if not closers:
        return Closers(False)
    until = at + AHEAD
    opened = desk() if desk is not None else task_for_lead(lead, CALL, by, at)
    absences: dict[int, list[tuple[datetime, datetime]]] = {}
    for user_id, starts, ends in absences_of([user.pk for user in closers], at, until):
        absences.setdefault(user_id, []).append((starts, ends))
    return Closers(False, _free_times(closers, absences, opened, at, until))


def _profile(user: Any) -> Any:
    return getattr(user, "work_profile", None)


def _takes(user: Any, lead: Lead) -> bool:
    profile = _profile(user)
    if profile is None:
        return True
    return (
        (not profile.provinces or lead.province in profile.provinces)
        and (not profile.channels or CALL in profile.channels)
        and (not profile.languages or lead.language in ("", *profile.languages))
    )


def _overlaps(spans: Sequence[tuple[datetime, datetime]], start: datetime, end: datetime) -> bool:
    return any(first <= start < last or start < first < end for first, last in spans)


def _free_times(
    closers: Sequence[Any],
    absences: dict[int, list[tuple[datetime, datetime]]],
    desk: LockedTask,
    at: datetime,
    until: datetime,
) -> tuple[datetime, ...]:
    at_work: Counter[datetime] = Counter()
    for user in closers:
        away = absences.get(user.pk, ())
        for start, end in shifts_between(_profile(user), at, until):
            slot = _next_slot(start)
            while slot + SLOT <= end:
                at_work[slot] += not _overlaps(away, slot, slot + SLOT)
                slot += SLOT
    waiting, booked = _booked(closers, at, until)
    found: list[datetime] = []
    for slot in sorted(at_work):
        free = at_work[slot] - booked[slot]
        if free <= 0 or (found and slot < found[-1] + APART) or not _lawful(desk, slot):
            continue
        if waiting >= free:
            waiting -= free
            continue
        waiting = 0
        found.append(slot)
        if len(found) == MOST_TIMES:
            break
    return tuple(found)


def _slot_of(at: datetime) -> datetime:
    """Return the start of the half hour of an instant."""
    at = at.astimezone(UTC)
    return at.replace(minute=at.minute // 30 * 30, second=0, microsecond=0)


def _next_slot(at: datetime) -> datetime:
    """Return the first half hour that begins at or after an instant."""
    slot = _slot_of(at)
    return slot if slot == at else slot + SLOT


def _booked(closers: Sequence[Any], at: datetime, until: datetime) -> tuple[int, Counter[datetime]]:
    """Return how many handoffs are waiting, and how many calls are scheduled in each half hour."""
    current = FollowUpTask.objects.filter(is_current=True, due_at__lte=until).order_by("due_at")
    handovers = current.filter(kind=HANDOVER).values_list("due_at", flat=True)
    callbacks = current.filter(kind=CALLBACK, due_at__gt=at - SLOT, owner_key__in=[c.key for c in closers])
    due = [*handovers[:MOST_BOOKED], *callbacks.values_list("due_at", flat=True)[:MOST_BOOKED]]
    return sum(one <= at for one in due), Counter(_slot_of(one) for one in due if one > at)


def _lawful(desk: LockedTask, slot: datetime) -> bool:
    return desk.first_allowed(CALL, slot, HANDOVER) == slot

"""Opt-outs recorded with one key: what each is about to stop is stored, so that it can be undone."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from followups.models import ContactPoint, FollowUpTask, Ladder, Lead, OptOutPress
from followups.points import lead_digest
from followups.services.guards import name_key
from followups.services.locked_task import LockedTask
from governance.core.actors import Actor

UNDO_LASTS = timedelta(minutes=10)
Status = FollowUpTask.Status


@dataclass(frozen=True, slots=True)
class Before:
    """A task's state before an opt-out was recorded on it."""

    outcome: str
    next: str
    next_at: datetime | None
    was_open: bool

    @classmethod
    def of(cls, task: FollowUpTask) -> Before:
        return cls(task.standing_outcome, task.next, task.next_at, task.status == Status.OPEN)


def points_of_person(locked: LockedTask) -> list[str]:
    """Return the digests of all points of the person who was contacted, and of the lead."""
    contacted = locked.task.contact_point
    whose = contacted.whose if contacted else ""
    theirs = {p.digest for p in locked.points if p.whose == whose and p.status == ContactPoint.Status.USABLE}
    if contacted is not None:  # also a number that turned out to be somebody else's: they said stop
        theirs.add(contacted.digest)
    return [*theirs, lead_digest(locked.lead.external_id)]


def note_press(locked: LockedTask, points: Sequence[str], before: Before) -> str:
    """Store what an opt-out is about to stop, for its undo; return the press's id."""
    usable = ContactPoint.objects.filter(digest__in=points, status=ContactPoint.Status.USABLE)
    lead_ids = sorted({locked.lead.pk, *usable.values_list("lead_id", flat=True)})
    leads = Lead.objects.filter(pk__in=lead_ids).values_list("pk", "status", "follow_up_at", "nurture_at")
    loose = FollowUpTask.objects.filter(lead_id__in=lead_ids, status=Status.OPEN, ladder=None)
    running = Ladder.objects.filter(lead_id__in=lead_ids, status=Ladder.Status.ACTIVE)
    press = OptOutPress.objects.create(
        token=secrets.token_hex(16),
        task=locked.task,
        pressed_by=name_key(locked.by),
        at=locked.at,
        previous=before.outcome,
        was_open=before.was_open,
        stopped={
            "points": sorted(points),
            "leads": {str(pk): [status, _text(then), _text(rest)] for pk, status, then, rest in leads},
            "ladders": sorted(running.values_list("pk", flat=True)),
            "tasks": sorted(loose.values_list("pk", flat=True)),
            "next": [before.next, _text(before.next_at)],
        },
    )
    token: str = press.token
    return token


def _text(at: datetime | None) -> str:
    return at.isoformat() if at else ""


def presses_of_others(by: Actor, at: datetime) -> set[str]:
    """Return the ids of other people's presses that can still be undone."""
    live = OptOutPress.objects.filter(undone_at=None, at__gt=at - UNDO_LASTS)
    return set(live.exclude(pressed_by=name_key(by)).values_list("token", flat=True))

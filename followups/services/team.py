"""People's daily metrics, next to the team's, and who works on what, for themselves and for managers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, time
from decimal import Decimal
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Count, F, OuterRef, Q, Subquery, Value
from django.db.models.functions import Coalesce, Lower, NullIf

from followups.models import FollowUpTask
from governance.accounts.querysets import absences_from, active
from governance.core.actors import Actor, Role, owner_key

TEAM_ZONE = ZoneInfo("America/Toronto")
WORKERS = (Role.VA, Role.CLOSER)
MOST_PEOPLE = 200
MOST_CLAIMS = 500
COUNTED = 5000
LAST_DONE = 20


@dataclass(frozen=True, slots=True)
class Figures:
    """A day's metrics: tasks, leads reached, replies; `sla` is the fraction done in 2 allowed hours."""

    done: int = 0
    reached: int = 0
    replied: int = 0
    sla: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Day:
    """A person's metrics today and the median of those who have done something today."""

    mine: Figures
    team: Figures
    people: int


def _since(at: datetime) -> datetime:
    """Return when the team's day began: midnight in Toronto."""
    return datetime.combine(at.astimezone(TEAM_ZONE).date(), time(), TEAM_ZONE)


def _done_today(at: datetime) -> dict[str, Figures]:
    """Return today's metrics by person, in one query; a corrected outcome counts as corrected."""
    done = FollowUpTask.objects.filter(status="COMPLETED", completed_at__gte=_since(at), completed_at__lte=at)
    rows = (
        done.annotate(who=Lower("completed_by"), said=Coalesce(NullIf("corrected_to", Value("")), "outcome"))
        .values("who")
        .annotate(
            done=Count("pk"),
            reached=Count("pk", filter=Q(said="REACHED")),
            replied=Count("pk", filter=Q(said="REPLIED")),
            counted=Count("pk", filter=Q(due_at__isnull=False)),
            in_time=Count(
                "pk",
                filter=Q(due_at__isnull=False) & (Q(sla_2h_at=None) | Q(completed_at__lte=F("sla_2h_at"))),
            ),
        )
        .order_by("who")
    )
    return {
        row["who"]: Figures(
            row["done"],
            row["reached"],
            row["replied"],
            Decimal(row["in_time"]) / row["counted"] if row["counted"] else None,
        )
        for row in rows
    }


def day_of(by: Actor, at: datetime) -> Day:
    """Return today's metrics of one person next to the team's median, in two queries."""
    done = _done_today(at)
    workers = set(active().filter(role__in=WORKERS).values_list("key", flat=True)[:MOST_PEOPLE])
    team = [figures for name, figures in done.items() if name in workers]
    rates = [figures.sla for figures in team if figures.sla is not None]
    middle = Figures(
        round(median(one.done for one in team)), round(median(one.reached for one in team)),
        round(median(one.replied for one in team)), median(rates) if rates else None,
    ) if team else Figures()  # fmt: skip
    return Day(done.get(by.key, Figures()), middle, len(team))


def last_done(by: Actor) -> list[FollowUpTask]:
    """Return the person's last 20 completed tasks, the newest first, in one query."""
    mine = FollowUpTask.objects.filter(status="COMPLETED").annotate(who=Lower("completed_by"))
    newest = mine.filter(who=owner_key(by.working_name)).order_by("-completed_at", "-pk")
    return list(newest.select_related("lead")[:LAST_DONE])


@dataclass(frozen=True, slots=True)
class Member:
    """A team member. `due` counts their own due tasks among the oldest 5,000; `oldest` is the first of all.

    `holds` are tasks that they have claimed, `absent_until` is set while they are off.
    """

    name: str
    role: str
    absent_until: datetime | None
    holds: list[dict[str, Any]]
    due: int
    oldest: dict[str, Any] | None
    today: Figures


@dataclass(frozen=True, slots=True)
class Team:
    """Everybody at work, unowned tasks, current and future absences; `counted` says how many are due."""

    members: list[Member]
    unowned: int
    oldest_unowned: dict[str, object] | None
    absences: list[dict[str, Any]]
    counted: int

    @property
    def is_more(self) -> bool:
        return self.counted > COUNTED


def team_at(at: datetime) -> Team:
    """Return who works on what, in a fixed number of queries."""
    due = FollowUpTask.objects.due(at)
    oldest = due.filter(owner_key=OuterRef("key")).values("pk")[:1]
    people = (
        active()
        .filter(role__in=(*WORKERS, Role.MANAGER))
        .annotate(oldest=Subquery(oldest))
        .order_by("role", "key")
        .values("pk", "username", "role", "key", "oldest")[:MOST_PEOPLE]
    )
    rows = list(people)
    absences = absences_from(at)
    away = {row["user_id"]: row["ends_at"] for row in absences if row["starts_at"] <= at}
    holds: dict[str, list[dict[str, Any]]] = {}
    claims = FollowUpTask.objects.filter(claim_until__gt=at).order_by("claim_until", "pk")
    for claim in claims.values(
        "pk", "claimed_by", "claimed_at", "started_at", "channel", "lead__name", "lead__external_id"
    )[:MOST_CLAIMS]:
        holds.setdefault(owner_key(claim["claimed_by"]), []).append(claim)
    owners = list(due.values_list("owner_key", flat=True)[: COUNTED + 1])
    waiting = Counter(owners[:COUNTED])
    unowned = due.filter(owner_key="").values_list("pk", flat=True).first()
    wanted = [row["oldest"] for row in rows if row["oldest"]] + ([unowned] if unowned else [])
    firsts = {
        row["pk"]: row
        for row in FollowUpTask.objects.filter(pk__in=wanted).values(
            "pk", "due_at", "zone", "channel", "lead__name", "lead__external_id"
        )
    }
    today = _done_today(at)
    members = [
        Member(
            row["username"],
            row["role"],
            away.get(row["pk"]),
            holds.get(row["key"], []),
            waiting[row["key"]],
            firsts.get(row["oldest"]),
            today.get(row["key"], Figures()),
        )
        for row in rows
    ]
    return Team(members, waiting[""], firsts.get(unowned) if unowned else None, absences, len(owners))

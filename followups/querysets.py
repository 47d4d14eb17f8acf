"""Queries on leads and tasks."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Self, assert_never

from django.db import connection, models
from django.db.models import (
    Aggregate,
    Case,
    Exists,
    F,
    Model,
    OuterRef,
    Q,
    SmallIntegerField,
    Subquery,
    TextField,
    When,
)
from django.db.models.functions import Coalesce, Concat
from django.db.models.sql.compiler import SQLCompiler
from django.utils import timezone

from followups.rules import YOUNG, YOUNG_STEPS, Urgency
from governance.accounts.querysets import active, at_work
from governance.contact.querysets import zone_of_city
from governance.core import hooks
from governance.core.actors import Actor
from governance.core.compiled import Param, bind_all
from governance.core.places import ALL, PlaceQuerySet, SomePlace


class Joined(Aggregate):
    """An aggregate that joins a group's texts with spaces."""

    function = "GROUP_CONCAT"
    template = "%(function)s(%(expressions)s, ' ')"
    output_field = TextField()

    def as_postgresql(self, compiler: SQLCompiler, connection: Any, **extra: object) -> object:
        return super().as_sql(compiler, connection, function="STRING_AGG", **extra)


def contacts_of(listed: object, since: object) -> list[models.QuerySet[Model]]:
    """Return, for the gate, the contacts with points since an instant, and their leads' inbound contacts.

    A contact is a ladder's completed step that reached out and did not turn out to be a wrong number.
    """
    from followups.models import FollowUpTask, InboundContact

    corrected = Q(outcome="WRONG_NUMBER") & ~Q(corrected_to__in=["", "WRONG_NUMBER"])
    made = Q(gate_allowed__isnull=False) | corrected
    wrong = Q(corrected_to="WRONG_NUMBER") | Q(outcome="WRONG_NUMBER", corrected_to="")
    contacts = FollowUpTask.objects.filter(
        made,
        ~wrong,
        status="COMPLETED",
        kind="LADDER",
        contacted_at__gte=since,
        contact_point__digest__any_of=listed,
    )
    inbound = InboundContact.objects.filter(at__gte=since, lead__points__digest__any_of=listed)
    return [
        _as_personal(contacts, hooks.CONTACT_MADE, "contact_point__digest", "contacted_at"),
        _as_personal(inbound, hooks.CAME_IN, "lead__points__digest", "at"),
    ]


def _as_personal(rows: models.QuerySet[Model], what: str, digest: str, at: str) -> models.QuerySet[Model]:
    """Return rows in the columns in which the gate reads suppressions and consents, which come first."""
    named = {"table": models.Value("T"), "point_digest": F(digest), "what": models.Value(what)}
    nothing = {
        "ends": models.Value(None, models.DateTimeField()),
        "of_press": models.Value(None, models.CharField()),
    }
    if at != "at":
        named["at"] = F(at)
    rows = rows.annotate(**named, **nothing).order_by()
    return rows.values_list(*hooks.PERSONAL_COLUMNS)


class Changed(models.QuerySet[Any]):
    """Rows that carry when they last changed, so that a client can ask for what it does not have yet."""

    def update(self, **values: Any) -> int:
        return super().update(**{"updated_at": timezone.now(), **values})

    def touch(self) -> int:
        """Say that the rows changed in what other tables hold of them, such as a lead's numbers."""
        return self.update()

    def note(self, **values: Any) -> int:
        """Update what no answer shows, which is no change."""
        return super().update(**values)


class LeadQuerySet(PlaceQuerySet, Changed):  # type: ignore[override]  # as_manager of each of the two
    """Queries on leads."""

    def visible_to(self, by: Actor, at: datetime) -> Self:
        """Return what the actor may see: everything, or the leads with own or unowned tasks."""
        if by.may("followups.view_all"):
            return self
        from followups.models import FollowUpTask

        tasks = FollowUpTask.objects.filter(lead=OuterRef("pk")).offered_to(by, at)
        return self.filter(Exists(tasks))

    def to_nurture(self, at: datetime) -> Self:
        """Return leads whose rest is over, unless somebody gave them another date since."""
        return self.filter(nurture_at__lte=at, status="NOT_NOW", follow_up_at=F("nurture_at"))

    def nobodys(self) -> Self:
        """Return leads that are neither won nor dead and have no open task and no date."""
        from followups.models import FollowUpTask

        open_tasks = FollowUpTask.objects.filter(lead=OuterRef("pk"), status="OPEN")
        unsettled = self.filter(status__in=["NEW", "WORKING", "HANDED_OVER", "NOT_NOW"], follow_up_at=None)
        return unsettled.filter(~Exists(open_tasks))


class LadderTemplateQuerySet(PlaceQuerySet):
    """Queries on ladder templates; a row without a province applies to provinces without one."""

    def candidates(self, place: SomePlace) -> Self:
        return self.filter(
            province__in=[place.province, ""], market_key__in={place.market_key, ALL}
        ).order_by(
            Case(When(province="", then=1), default=0, output_field=SmallIntegerField()),
            Case(When(market_key=ALL, then=1), default=0, output_field=SmallIntegerField()),
        )


MOST_UNANSWERED = 100


class TaskQuerySet(Changed):
    """Queries on follow-up tasks."""

    def open(self) -> Self:
        return self.filter(status="OPEN")

    def due(self, at: datetime) -> Self:
        """Return current steps that are due and not snoozed, oldest first."""
        return (
            self.filter(is_current=True, due_at__lte=at)
            .filter(Q(snoozed_until=None) | Q(snoozed_until__lte=at))
            .order_by("due_at", "id")
        )

    def of_urgency(self, rank: Urgency, at: datetime) -> Self:
        """Return due tasks of a kind of urgency, as `rules.urgency` ranks them.

        Only the gate knows what closes soon: for that kind, and for the rest, nothing is left out. Of leads
        who wait for an answer, only the hundred who have waited longest are included.
        """
        match rank:
            case Urgency.HANDOVER | Urgency.CALLBACK:
                return self.filter(kind=rank.name)
            case Urgency.INBOUND:
                from followups.models import Lead

                waiting = Lead.objects.filter(unanswered_since__isnull=False).order_by("unanswered_since")
                return self.filter(lead__in=waiting[:MOST_UNANSWERED].values("pk"))
            case Urgency.YOUNG:
                return self.filter(
                    step__in=YOUNG_STEPS, created_at__gte=at - YOUNG, lead__created_at__gte=at - YOUNG
                )
            case Urgency.CLOSING | Urgency.REST:
                return self
            case unknown:
                assert_never(unknown)

    def late(self, at: datetime) -> Self:
        """Return due tasks that are more than two hours of allowed contact late."""
        return self.due(at).filter(sla_2h_at__lt=at)

    def held(self) -> Self:
        """Return open tasks without a permitted contact time, except those that wait for another lead."""
        return self.open().filter(due_at=None).exclude(held_reason="person_active")

    def of_unknown_owners(self) -> Self:
        """Return open tasks whose owner is not the name of an active user."""
        return self.open().exclude(owner_key="").exclude(owner_key__in=active().values("key"))

    def unclaimed(self, at: datetime) -> Self:
        return self.filter(Q(claim_until=None) | Q(claim_until__lte=at))

    def offered_to(self, by: Actor, at: datetime) -> Self:
        """Return the actor's own tasks and those that nobody at work owns; handoffs are offered to closers.

        A manager, a closer's reading and a service client see everything through `visible_to`.
        """
        somebody_else = at_work(at).filter(key=OuterRef("owner_key"))
        unowned = Q(owner_key="") | Q(~Exists(somebody_else))
        if by.role == "VA":
            unowned &= ~Q(kind="HANDOVER")
        return self.filter(Q(owner_key=by.key) | unowned)

    def visible_to(self, by: Actor, at: datetime) -> Self:
        return self if by.may("followups.view_all") else self.offered_to(by, at)

    def fitting(self, by: Actor) -> Self:
        """Return tasks in the actor's work profile (provinces, channels, languages), plus the actor's own."""
        fits = Q()
        if by.provinces:
            fits &= Q(province__in=by.provinces)
        if by.channels:
            fits &= Q(channel__in=by.channels)
        if by.languages:
            fits &= Q(lead__language__in=[*by.languages, ""])
        return self.filter(Q(owner_key=by.key) | fits) if fits else self

    def free_for(self, by: Actor, at: datetime) -> Self:
        """Return unclaimed tasks that the actor may work and that match the actor's work profile."""
        wanted = self.unclaimed(at).fitting(by)
        return wanted if by.may("followups.work_any_task") else wanted.offered_to(by, at)

    def with_clocks(self) -> Self:
        """Add the rows of `city_zone` for the lead's city and market, for the gate."""
        return self.annotate(
            city_zone=Coalesce(
                zone_of_city(OuterRef("lead__province"), OuterRef("lead__city_key")), models.Value("")
            ),
            market_zone=Coalesce(
                zone_of_city(OuterRef("lead__province"), OuterRef("lead__market_city_key")), models.Value("")
            ),
        )

    def with_points(self) -> Self:
        """Add the lead's usable points as text, `PHONE:digest` each, for the gate."""
        from followups.models import ContactPoint

        usable = ContactPoint.objects.filter(lead=OuterRef("lead"), status="USABLE").order_by().values("lead")
        joined = usable.annotate(all=Joined(Concat("kind", models.Value(":"), "digest"))).values("all")
        return self.annotate(
            lead_points=Coalesce(Subquery(joined), models.Value(""), output_field=TextField())
        )

    def of_lead_of(self, task_id: int | Param) -> Self:
        """Return a task, its ladder's other steps, and what is open or running for its lead, in order.

        Adds `newer_ladder`: whether the lead has had a later ladder than the task's.
        """
        from followups.models import Ladder

        task = self.model._default_manager.filter(pk=task_id)
        # PostgreSQL uses an index for an OR if the lead is the same; else it scans the table
        of_lead = self.filter(lead_id=Subquery(task.values("lead_id")[:1]))
        same_ladder = Q(ladder_id=Subquery(task.values("ladder_id")[:1]))
        later = Ladder.objects.filter(lead=OuterRef("lead"), pk__gt=OuterRef("ladder"))
        kept = of_lead.filter(Q(pk=task_id) | same_ladder | Q(status="OPEN") | Q(ladder__status="ACTIVE"))
        return kept.annotate(newer_ladder=Exists(later)).order_by(F("step").asc(nulls_last=True), "id")


class CompiledIds:
    """The ids from several bounded queries, each once, in one query that is compiled once.

    It is not prepared: PostgreSQL finds few claims and few young tasks by their own indexes only if it plans
    with the values. `build` yields the queries. One with places is run once for each, its value `??` standing
    for the place. Django itself cannot combine bounded queries on SQLite.
    """

    def __init__(self, build: Callable[[], Iterable[tuple[models.QuerySet[Model], Sequence[str]]]]) -> None:
        self._build = build
        self._compiled: tuple[str, list[Any]] | None = None

    def __call__(self, **values: Any) -> list[int]:
        if self._compiled is None:
            self._compiled = self._compile()
        sql, slots = self._compiled
        with connection.cursor() as cursor:
            cursor.execute(sql, bind_all(slots, values, connection))
            return list(dict.fromkeys(pk for (pk,) in cursor.fetchall()))

    def _compile(self) -> tuple[str, list[Any]]:
        parts: list[str] = []
        slots: list[Any] = []
        for question, places in self._build():
            sql, given = question.values_list("pk", flat=True).query.sql_with_params()
            for place in places or ("",):
                parts.append(f"SELECT * FROM ({sql}) AS part{len(parts)}")
                slots += [place if value == "??" else value for value in given]
        return " UNION ALL ".join(parts), slots


MARKED = 500
SOMEBODY, SOME_TIME = "??somebody", datetime(2000, 1, 1, tzinfo=UTC)  # for the actor and the instant


def mark_of(by: Actor, at: datetime, filters: Mapping[str, str], task_id: int | None) -> str:
    """Return a text that differs between states of the queue, the switches and one task, in one query.

    Covers the oldest 500 due tasks and the newest, their claims, and the task in front.
    """
    sql, given = _mark_sql(by.role, by.may("followups.view_all"), tuple(sorted(filters)))
    said = {SOMEBODY: by.key, _instant(SOME_TIME): _instant(at), "??task": task_id}
    said |= {f"??{name}": value for name, value in filters.items()}
    with connection.cursor() as cursor:
        cursor.execute(sql, [said.get(value, value) for value in given])
        return repr(cursor.fetchone())


def _instant(at: datetime) -> Any:
    return connection.ops.adapt_datetimefield_value(at)


@functools.cache
def _mark_sql(role: str, sees_all: bool, filters: tuple[str, ...]) -> tuple[str, list[object]]:
    """Return the SQL for one kind of actor, compiled once: every page runs it all day."""
    from followups.models import FollowUpTask

    rights = frozenset({"followups.view_all"} if sees_all else ())
    due = FollowUpTask.objects.due(SOME_TIME).visible_to(Actor(SOMEBODY, role, rights), SOME_TIME)
    due = due.filter(**{name: f"??{name}" for name in filters})
    marked = due.annotate(number=F("pk"), held=F("claim_until")).values_list("number", "held")[:MARKED]
    oldest, of_oldest = marked.query.sql_with_params()
    newest, of_newest = due.order_by("-due_at", "-id").values_list("due_at")[:1].query.sql_with_params()
    sql = (
        "SELECT COUNT(number), SUM(number), SUM(CASE WHEN held > %s THEN number END), "
        f"MAX(held), ({newest}), (SELECT updated_at FROM governance_golivestate WHERE id = 1), "
        "(SELECT status || '/' || claim_token FROM followups_followuptask WHERE id = %s) "
        f"FROM ({oldest}) AS oldest"
    )
    return sql, [_instant(SOME_TIME), *of_newest, "??task", *of_oldest]


def called_area_codes(known: Sequence[str] = ()) -> list[str]:
    """Return the area codes, other than the known ones, of the numbers of open CALL tasks, in one query.

    It jumps from code to code: each prefix of a number is the next index entry after the previous one.
    Numbers are read only for unknown codes, until the first that an open call has. BETWEEN and LIMIT keep
    PostgreSQL on that index if most numbers share a prefix.
    """
    codes = [*known, ""]
    marks = ", ".join(["%s"] * len(codes))
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            WITH RECURSIVE prefix(start) AS (
                SELECT MIN(SUBSTR(value, 1, 5)) FROM followups_contactpoint WHERE kind = 'PHONE'
                UNION ALL
                SELECT (
                    SELECT MIN(SUBSTR(value, 1, 5)) FROM followups_contactpoint
                    WHERE kind = 'PHONE' AND SUBSTR(value, 1, 5) > prefix.start
                ) FROM prefix WHERE prefix.start IS NOT NULL
            )
            SELECT SUBSTR(start, 3, 3) FROM prefix
            WHERE SUBSTR(start, 1, 2) = '+1' AND LENGTH(start) = 5 AND CASE
                WHEN SUBSTR(start, 3, 3) IN ({marks}) THEN 0
                ELSE (SELECT 1 FROM followups_contactpoint point
                JOIN followups_followuptask task ON task.contact_point_id = point.id
                WHERE point.kind = 'PHONE' AND SUBSTR(point.value, 1, 5) BETWEEN prefix.start AND prefix.start
                AND task.status = 'OPEN' AND task.channel = 'CALL'
                LIMIT 1) END = 1
            """,  # as many placeholders as there are known codes, without values
            codes,
        )
        return [code for (code,) in cursor.fetchall()]

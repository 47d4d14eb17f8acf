"""The due queue: what can be done now, with the lead's local time and whether contact is allowed."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import DateTimeField

from followups.models import ContactPoint, FollowUpTask
from followups.points import lead_facts
from followups.rules import Urgency, urgency
from governance.contact import digests
from governance.contact.national_list import ListedNumber
from governance.contact.querysets import personal_rows
from governance.contact.services import GateContext, Records, Where
from governance.core.actors import Actor
from governance.core.channels import CALL, CHANNELS
from governance.core.compiled import CompiledQuery, Listed, Param
from governance.core.places import Place

VIEW_ALL = "followups.view_all"
COMMON_FILTERS = {"province", "market_key", "channel", "owner_key", "pk__any_of"}
MOST = 500
LOOKED_THROUGH = 2000
_FIELDS = (
    "id", "lead__external_id", "lead__name", "lead__language", "lead__zone", "lead__score", "lead__province",
    "lead__market", "lead__created_at", "lead__unanswered_since",
    "contact_point__value", "contact_point__kind", "contact_point__digest", "lead_points",
    "province", "channel", "kind", "step", "due_at", "deadline_at", "sla_2h_at",
    "owner", "claimed_by", "claim_until", "city_zone", "market_zone",
)  # fmt: skip


def due_tasks(
    *,
    by: Actor,
    at: datetime,
    limit: int = 50,
    offset: int = 0,
    filters: Mapping[str, Any] | None = None,
    contactable: bool | None = None,
    order: str = "due",
    with_closing: bool = False,
) -> list[dict[str, Any]]:
    """Return the current steps that are due, oldest first, in a fixed number of queries.

    `offset` skips the first ones. With `contactable` or `order="urgent"` the oldest 2,000 and every handoff
    are considered. VAs see their own and unowned ones. `overdue_minutes` are minutes of allowed contact.
    `with_closing` adds `closes_at`, when allowed contact ends, and `late`, two allowed hours past due, and
    leaves counting the minutes to `count_overdue`.
    """
    wanted = dict(filters or {})
    plain = contactable is None and order == "due"
    window = slice(offset, offset + limit)
    read = window if plain else slice(0, LOOKED_THROUGH)
    if wanted.keys() <= COMMON_FILTERS:
        asked = _prepared(by.role, by.may(VIEW_ALL), tuple(sorted(wanted)), read.start, read.stop)
        rows = asked(at=at, name=by.key, **wanted)
    else:
        rows = _question(by, at, wanted)[read]
    rows = list(rows)
    if not plain and len(rows) == LOOKED_THROUGH:
        # the latest handoffs are the youngest of all, and the most urgent
        seen = {row[0] for row in rows}
        handed_over = _question(by, at, wanted).of_urgency(Urgency.HANDOVER, at)[:MOST]
        rows += [row for row in handed_over if row[0] not in seen]
    found = [dict(zip(_FIELDS, row, strict=True)) for row in rows]
    answered = _with_contact(found, at, with_closing=with_closing, by_urgency=order == "urgent")
    if contactable is not None:
        answered = [row for row in answered if row["contact"]["ok"] is contactable]
    if order == "urgent":
        answered.sort(key=lambda row: row["_urgency"])
        for row in answered:
            del row["_urgency"]
    if not plain:
        answered = answered[window]
    if not with_closing:
        count_overdue(answered, at)
    return answered


def count_overdue(rows: Sequence[dict[str, Any]], at: datetime) -> None:
    """Fill in the minutes of allowed contact since each row's due time, once it is known which are shown."""
    for row in rows:
        row["overdue_minutes"] = int(row["overdue_minutes"].open_minutes(row["due_at"], at))


def overdue_of(task_ids: Sequence[int], *, by: Actor, at: datetime) -> dict[int, int]:
    """Return for how many minutes of allowed contact each of these due tasks has waited since it was due."""
    if not task_ids:
        return {}
    rows = due_tasks(by=by, at=at, limit=MOST, filters={"pk__any_of": list(task_ids)})
    return {row["id"]: row["overdue_minutes"] for row in rows}


def _question(by: Any, at: Any, filters: Mapping[str, Any]) -> Any:
    rows = FollowUpTask.objects.due(at).visible_to(by, at).with_clocks().with_points()
    return rows.filter(**filters).values_list(*_FIELDS)


@dataclass(frozen=True, slots=True)
class _Asker:
    """The actor as a query parameter: their role and whether they see everything; the name comes later."""

    role: str
    sees_all: bool
    key: Param = Param("name")

    def may(self, right: str) -> bool:
        return self.sees_all


@functools.lru_cache(maxsize=200)
def _prepared(role: str, sees_all: bool, filters: tuple[str, ...], first: int, last: int) -> CompiledQuery:
    """Return the compiled query for one kind of actor and some filters."""
    slots = {name: Listed(name) if name.endswith("any_of") else Param(name) for name in filters}
    at = Param("at", DateTimeField())
    return CompiledQuery(lambda: _question(_Asker(role, sees_all), at, slots)[first:last])


def _with_contact(
    found: Sequence[dict[str, Any]], at: datetime, *, with_closing: bool, by_urgency: bool
) -> list[dict[str, Any]]:
    if not found:
        return []
    places = {(row["lead__province"], row["lead__market"]): None for row in found}
    book = GateContext.load([Place(province, market) for province, market in places], at)
    leads = [lead_facts(row["lead__external_id"]) for row in found]
    own = [lead.digest for lead in leads]
    for row in found:
        row["points"] = [tuple(point.split(":")) for point in row["lead_points"].split()]
    points = {digest for row in found for _kind, digest in row["points"]}
    others = {other: lead.digest for lead in leads for other in lead.others}
    for row in found:
        called = row["contact_point__value"] if row["channel"] == CALL else None
        row["area_code"] = digests.area_code(called or "")
    on_record = personal_rows(
        [*own, *points], at, [row["area_code"] for row in found], {**others, **_other_digests(points)}
    )
    records = Records.of(on_record)
    return [
        _row(row, digest, book, records, at, with_closing, by_urgency)
        for row, digest in zip(found, own, strict=True)
    ]


def _other_digests(points: Collection[str]) -> dict[str, str]:
    """Return these points by their hashes under other contact keys; no query while there is one key."""
    if not digests.several_keys():
        return {}
    rows = ContactPoint.objects.filter(digest__in=points).order_by().values_list("kind", "value", "digest")
    return {
        other: known
        for kind, value, known in rows.distinct()
        for other in digests.other_digests(kind, value, known)
    }


def _row(
    row: Mapping[str, Any],
    own: str,
    book: GateContext,
    records: Records,
    at: datetime,
    with_closing: bool,
    by_urgency: bool,
) -> dict[str, object]:
    place = Place(row["lead__province"], row["lead__market"])
    gate = book.gate(Where(place, row["lead__zone"], row["city_zone"], row["market_zone"]), row["channel"])
    asked = [digest for kind, digest in row["points"] if kind == CHANNELS[row["channel"]].kind]
    every = [own, *(digest for _kind, digest in row["points"])]
    area = records.lists.get(row["area_code"])
    question = records.question(
        row["channel"],
        [own, *asked],
        every,
        personal=True,
        has_points=bool(asked),
        score=row["lead__score"],
        numbers=(ListedNumber(row["contact_point__digest"], area),) if area is not None else (),
        awaited=row["kind"] != FollowUpTask.Kind.LADDER,
    )
    verdict = gate.judge(question, at)
    claimed = row["claim_until"] is not None and row["claim_until"] > at
    is_phone = row["contact_point__kind"] == digests.PHONE
    answer = {
        "id": row["id"],
        "lead_id": row["lead__external_id"],
        "lead": {
            "name": row["lead__name"],
            "phone": row["contact_point__value"] if is_phone else None,
            "email": row["contact_point__value"] if row["contact_point__kind"] == digests.EMAIL else None,
            "language": row["lead__language"] or None,
            "local_time": verdict.local_times[0][:16].replace(" ", "T"),
        },
        "province": place.province,
        "market": place.market,
        "zone": gate.zone,
        "channel": row["channel"],
        "kind": row["kind"],
        "step": row["step"],
        "due_at": row["due_at"],
        "deadline_at": row["deadline_at"],
        "overdue_minutes": gate.hours,
        "owner": row["owner"] or None,
        "claimed_by": row["claimed_by"] if claimed else None,
        "contact": {
            "ok": verdict.ok,
            "reason": verdict.reason,
            "next_allowed_at": gate.next_allowed(question, at, verdict),
        },
    }
    if with_closing or by_urgency:
        closes = gate.hours.closes_at(at) if verdict.ok else None
        if with_closing:
            answer["closes_at"] = closes
            answer["late"] = row["sla_2h_at"] is not None and row["sla_2h_at"] <= at
        if by_urgency:
            answer["_urgency"] = urgency(
                at, id=row["id"], kind=row["kind"], step=row["step"], due_at=row["due_at"],
                deadline_at=row["deadline_at"], closes_at=closes, score=row["lead__score"],
                lead_since=row["lead__created_at"], unanswered_since=row["lead__unanswered_since"],
            )  # fmt: skip
    return answer

"""The due queue: what can be done now, with the lead's local time and whether contact is allowed."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import DateTimeField

from followups.models import FollowUpTask
from followups.points import lead_digest
from governance.actors import By
from governance.contact import digests
from governance.contact.querysets import personal_rows
from governance.contact.rules import Question
from governance.contact.services import GateBook, Where
from governance.places import Place
from governance.prepared import Listed, Prepared, Slot

VIEW_ALL = "followups.view_all"
COMMON_FILTERS = {"province", "market_key", "channel", "owner_key", "pk__any_of"}
MOST = 500
LOOKED_THROUGH = 2000
YOUNG = timedelta(hours=2)
CLOSES_SOON = timedelta(minutes=60)
CALLBACK_SOON = timedelta(minutes=10)
_FIELDS = (
    "id", "lead__external_id", "lead__name", "lead__language", "lead__zone", "lead__score", "lead__province",
    "lead__market", "lead__created_at", "lead__unanswered_since",
    "contact_point__value", "contact_point__kind", "lead_points",
    "province", "channel", "kind", "step", "due_at", "owner", "claimed_by", "claim_until", "city_zone",
    "market_zone",
)  # fmt: skip


def due_tasks(
    *,
    by: By,
    at: datetime,
    limit: int = 50,
    offset: int = 0,
    filters: Mapping[str, Any] | None = None,
    contactable: bool | None = None,
    order: str = "due",
    with_closing: bool = False,
) -> list[dict[str, Any]]:
    """Return the current steps that are due, oldest first, in a fixed number of queries.

    `offset` passes over the first ones. With `contactable` or `order="urgent"` the oldest 2,000 are looked
    through. A VA sees her own and unowned. `with_closing` adds `closes_at`, when allowed contact ends.
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
    found = [dict(zip(_FIELDS, row, strict=True)) for row in rows]
    answered = _with_contact(found, at, with_closing=with_closing, by_urgency=order == "urgent")
    if contactable is not None:
        answered = [row for row in answered if row["contact"]["ok"] is contactable]
    if order == "urgent":
        answered.sort(key=lambda row: row["_urgency"])
        for row in answered:
            del row["_urgency"]
    return answered if plain else answered[window]


def _question(by: Any, at: Any, filters: Mapping[str, Any]) -> Any:
    rows = FollowUpTask.objects.due(at).visible_to(by, at).with_clocks().with_points()
    return rows.filter(**filters).values_list(*_FIELDS)


@dataclass(frozen=True, slots=True)
class _Somebody:
    """Whoever asks: her role and whether she sees everything, while her name comes later."""

    role: str
    sees_all: bool
    key: Slot = Slot("name")

    def may(self, right: str) -> bool:
        return self.sees_all


@functools.lru_cache(maxsize=200)
def _prepared(role: str, sees_all: bool, filters: tuple[str, ...], first: int, last: int) -> Prepared:
    """Return the question as one kind of person asks it with some filters."""
    slots = {name: Listed(name) if name.endswith("any_of") else Slot(name) for name in filters}
    at = Slot("at", DateTimeField())
    return Prepared(lambda: _question(_Somebody(role, sees_all), at, slots)[first:last])


def _with_contact(
    found: Sequence[dict[str, Any]], at: datetime, *, with_closing: bool, by_urgency: bool
) -> list[dict[str, Any]]:
    if not found:
        return []
    places = {(row["lead__province"], row["lead__market"]): None for row in found}
    book = GateBook.load([Place(province, market) for province, market in places], at)
    own = [lead_digest(row["lead__external_id"]) for row in found]
    for row in found:
        row["points"] = [tuple(point.split(":")) for point in row["lead_points"].split()]
    points = {digest for row in found for _kind, digest in row["points"]}
    suppressions, consents = personal_rows([*own, *points])
    by_digest: dict[str, tuple[list[Any], list[Any]]] = {}
    for stop in suppressions:
        by_digest.setdefault(stop.digest, ([], []))[0].append(stop)
    for consent in consents:
        by_digest.setdefault(consent.digest, ([], []))[1].append(consent)
    return [
        _row(row, digest, book, by_digest, at, with_closing, by_urgency)
        for row, digest in zip(found, own, strict=True)
    ]


def _row(
    row: Mapping[str, Any],
    own: str,
    book: GateBook,
    personal: Mapping[str, tuple[list[Any], list[Any]]],
    at: datetime,
    with_closing: bool,
    by_urgency: bool,
) -> dict[str, Any]:
    place = Place(row["lead__province"], row["lead__market"])
    gate = book.gate(Where(place, row["lead__zone"], row["city_zone"], row["market_zone"]), row["channel"])
    asked = [digest for kind, digest in row["points"] if kind == digests.KIND_OF_CHANNEL[row["channel"]]]
    known = [personal[digest] for digest in (own, *asked) if digest in personal]
    question = Question(
        row["channel"], True, bool(asked), row["lead__score"],
        tuple(stop for stops, _consents in known for stop in stops),
        tuple(consent for _stops, consents in known for consent in consents),
    )  # fmt: skip
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
        "overdue_minutes": int((at - row["due_at"]).total_seconds() // 60),
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
        if by_urgency:
            answer["_urgency"] = _urgency(row, closes, at)
    return answer


def _urgency(row: Mapping[str, Any], closes: datetime | None, at: datetime) -> tuple[Any, ...]:
    """Return what `order=urgent` sorts by: callbacks, inbound, young leads, closing windows, due, score."""
    rank = 4
    if row["kind"] == FollowUpTask.Kind.CALLBACK and row["due_at"] - at <= CALLBACK_SOON:
        rank = 0
    elif row["lead__unanswered_since"] is not None:
        rank = 1
    elif row["step"] in (1, 2) and at - row["lead__created_at"] < YOUNG:
        rank = 2
    elif closes is not None and closes - at <= CLOSES_SOON:
        rank = 3
    return rank, row["due_at"], -(row["lead__score"] or 0), row["id"]

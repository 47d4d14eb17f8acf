"""The gate for one lead: every number, every channel, any instant, from data that was loaded once."""

from __future__ import annotations

import functools
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, TypeVar

from governance.contact.frequency import ContactRow
from governance.contact.rules import ConsentRow, Question, SuppressionRow, Verdict
from governance.core.channels import CALL, CHANNELS

if TYPE_CHECKING:
    from governance.contact.services import Gate, GateContext, Where

LADDER, HANDOVER = "LADDER", "HANDOVER"
HANDOVER_LIMITS = {"deadline_at": 60, "alert_at": 15}  # minutes of allowed contact: the call, the managers
LATE_AFTER = {"sla_5m_at": 5, "sla_30m_at": 30, "sla_2h_at": 120}
DUE_FIELDS = ("due_at", "zone", "held_reason", *LATE_AFTER, *HANDOVER_LIMITS)
NEWEST = 2**63  # after every stored row


class Point(Protocol):
    """A phone or e-mail address, stored or as the rules see it."""

    @property
    def kind(self) -> str: ...
    @property
    def digest(self) -> str: ...
    @property
    def usable(self) -> bool: ...


SomePoint = TypeVar("SomePoint", bound=Point)


@dataclass(frozen=True, slots=True)
class PointState:
    """A phone or e-mail address of a lead; `digest` is its keyed hash."""

    id: int
    kind: str
    digest: str
    whose: str = ""
    usable: bool = True


def first_usable(points: Iterable[SomePoint], channel: str) -> SomePoint | None:
    """Return the first usable point for a channel."""
    kind = CHANNELS[channel].kind
    return next((point for point in points if point.kind == kind and point.usable), None)


def due_values(kind: str, due_at: datetime | None, gate: Gate, held_reason: str) -> dict[str, object]:
    """Return a task's due time with the instants at which its allowed minutes reach 5, 30 and 120.

    A handoff also gets its deadline and the instant at which the managers are notified, counted the same way.
    """
    limits = LATE_AFTER | (HANDOVER_LIMITS if kind == HANDOVER else {})
    values: dict[str, object] = {
        name: None if due_at is None else gate.hours.after_open_minutes(due_at, minutes)
        for name, minutes in limits.items()
    }
    held = "" if due_at is not None else held_reason
    return {"due_at": due_at, "zone": gate.zone, "held_reason": held, **values}


def with_contact(
    questions: Mapping[str, Question], channel: str, digest: str, at: datetime
) -> dict[str, Question]:
    """Return the questions as they are once this point was contacted."""
    row = ContactRow(0, digest, channel, at)
    kind = CHANNELS[channel].kind
    return {
        name: replace(question, contacts=(*question.contacts, row))
        if CHANNELS[name].kind == kind
        else question
        for name, question in questions.items()
    }


def question_for(
    questions: Mapping[str, Question],
    points: Sequence[PointState],
    channel: str,
    kind: str,
    point: PointState | None = None,
) -> Question:
    """Return the question for a contact of this kind of task; `point` is the number that is called."""
    question = questions[channel]
    if question.numbers:
        used = point if point is not None and point.usable else first_usable(points, channel)
        question = replace(question, called=used.digest if used is not None else "")
    return question if kind == LADDER else replace(question, awaited=True)


@dataclass(frozen=True)
class LeadGate:
    """What the gate needs to judge contacts with one lead; `at` is the present."""

    at: datetime
    where: Where
    book: GateContext
    points: Sequence[PointState]
    questions: Mapping[str, Question]

    def of(self, channel: str) -> Gate:
        return self.book.gate(self.where, channel)

    @functools.cached_property
    def alike(self) -> Hashable | None:
        """Return a key that leads share for whom the gate answers the same at every instant.

        None if anything is stored about the person. Points are compared by kind and order, scores by whether
        they reach the minimum.
        """
        names: dict[str, int] = {}

        def name(digest: str) -> int:
            return names.setdefault(digest, len(names))

        asked: list[Hashable] = []
        for channel, question in self.questions.items():
            if question.suppressions or question.consents or question.contacts or question.inbound:
                return None
            turns = self.of(channel).turns
            numbers = tuple((name(one.digest), name(one.point), one.area) for one in question.numbers)
            asked.append((channel, question.has_points, numbers))
            asked += [(turn.since, turn.policy_state, turn.hours) for turn in turns]
            asked += [turn.hours.calendar.admits(question.score) for turn in turns]
        points = tuple((name(point.digest), point.kind, point.usable) for point in self.points)
        return self.at, points, tuple(asked)

    def point_for(self, channel: str) -> PointState | None:
        """Return the lead's first usable point for a channel."""
        return first_usable(self.points, channel)

    def question(self, channel: str, kind: str, point: PointState | None = None) -> Question:
        return question_for(self.questions, self.points, channel, kind, point)

    def planned(self, channel: str, kind: str, point: PointState | None = None) -> Question:
        """Return the question for a contact that is planned now, possibly for later."""
        question = self.question(channel, kind, point)
        return replace(question, planned_at=self.at) if question.numbers else question

    def judge(self, channel: str, at: datetime, kind: str, point: PointState | None = None) -> Verdict:
        return self.of(channel).judge(self.question(channel, kind, point), at)

    def first_allowed(
        self, channel: str, at: datetime, kind: str, point: PointState | None = None
    ) -> datetime | None:
        """Return the first instant at or after `at` that the gate allows for this lead, or None."""
        return self.of(channel).next_allowed(self.planned(channel, kind, point), at)

    def is_too_soon(self, channel: str, at: datetime, point: PointState | None = None) -> bool:
        """Return whether a step at an instant reaches the frequency cap."""
        verdict = self.judge(channel, at, LADDER, point)
        return any(check.reason == "too_soon" for check in verdict.checks)

    def holding_reason(self, channel: str, at: datetime, kind: str, point: PointState | None = None) -> str:
        """Return why no instant is allowed, for a blocked task."""
        verdict = self.of(channel).judge(self.planned(channel, kind, point), at)
        return verdict.refused_before_time() or verdict.reason

    def list_is_stale(self, channel: str, kind: str, point: PointState | None) -> bool:
        """Return whether the national list of a number is too old for a call now, without an exemption."""
        return channel == CALL and self.question(channel, kind, point).lists(self.at).refused

    def with_consent(self, consent: ConsentRow) -> LeadGate:
        """Return the gate once a consent is recorded; for calls it counts whatever its channel is."""
        kind = CHANNELS[consent.channel].kind
        questions = {
            channel: replace(question, consents=(*question.consents, consent))
            if channel == CALL or CHANNELS[channel].kind == kind
            else question
            for channel, question in self.questions.items()
        }
        return replace(self, questions=questions)

    def lifted(self, at: datetime) -> LeadGate:
        """Return the gate once all earlier suppressions are ended at an instant; newer ones stay."""
        questions = {
            channel: replace(
                question,
                suppressions=(
                    *question.suppressions,
                    *(
                        SuppressionRow(NEWEST, digest, "", True, at)
                        for digest in sorted({stop.digest for stop in question.suppressions})
                    ),
                ),
            )
            for channel, question in self.questions.items()
        }
        return replace(self, questions=questions)

    def counting(self, channel: str, point: PointState | None, at: datetime) -> LeadGate:
        """Return the gate once a contact at an instant, made or planned, is counted."""
        used = point or self.point_for(channel)
        if used is None:
            return self
        return replace(self, questions=with_contact(self.questions, channel, used.digest, at))

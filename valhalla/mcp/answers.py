"""What the tools answer: the fields of the API's answers that an assistant may see, and no other.

A field that the API answers and no class here names does not leave. In `masked` answers names are initials,
and numbers and addresses show their ends only.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from valhalla.mcp.masking import HIDDEN, mask_email, mask_name, mask_phone, mask_point


class Shape(BaseModel):
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)  # a log must not name a person


class Allowed(Shape):
    """Whether a contact by a channel is allowed now, and the gate's reason code."""

    ok: bool
    reason: str
    next_allowed_at: datetime | None = None


class Point(Shape):
    kind: str
    value: str
    whose: str
    status: str

    def masked(self) -> Self:
        whose = HIDDEN if self.whose else ""
        return self.model_copy(update={"value": mask_point(self.kind, self.value), "whose": whose})


class LadderOf(Shape):
    id: int
    status: str
    owner: str


class Task(Shape):
    id: int
    due_at: datetime | None = None
    channel: str
    step: int | None = None


class LastContact(Shape):
    contacted_at: datetime
    channel: str
    outcome: str | None
    completed_by: str


class FoundLead(Shape):
    id: int
    lead_id: str
    name: str
    province: str
    market: str
    language: str | None
    status: str
    zone: str
    local_time: str
    points: list[Point]
    contact: dict[str, Allowed]
    ladder: LadderOf | None
    current_task: Task | None
    last_contact: LastContact | None

    def masked(self) -> Self:
        points = [point.masked() for point in self.points]
        return self.model_copy(update={"name": mask_name(self.name), "points": points})


class FoundLeads(Shape):
    leads: list[FoundLead]
    masked: bool

    @classmethod
    def of(cls, data: dict[str, Any], *, masked: bool) -> Self:
        leads = [FoundLead.model_validate(row) for row in data["leads"]]
        return cls(leads=[lead.masked() for lead in leads] if masked else leads, masked=masked)


class Check(Shape):
    check: str
    result: str
    reason: str


class ContactAnswer(Shape):
    """The gate's answer: `reason` names the first check that refuses, else within_window."""

    ok: bool
    reason: str
    channel: str
    province: str
    market: str
    zones: list[str]
    local_times: list[str]
    checks: list[Check]
    next_allowed_at: datetime | None
    warnings: list[str]
    citation: str


class QueuedLead(Shape):
    name: str
    phone: str | None
    email: str | None
    language: str | None
    local_time: str

    def masked(self) -> Self:
        hidden = {
            "phone": mask_phone(self.phone or "") or None,
            "email": mask_email(self.email or "") or None,
        }
        return self.model_copy(update={"name": mask_name(self.name), **hidden})


class QueuedTask(Shape):
    id: int
    lead_id: str
    lead: QueuedLead
    province: str
    market: str
    zone: str
    channel: str
    kind: str
    step: int | None
    due_at: datetime
    deadline_at: datetime | None
    overdue_minutes: int
    owner: str | None
    claimed_by: str | None
    contact: Allowed

    def masked(self) -> Self:
        return self.model_copy(update={"lead": self.lead.masked()})


class Queue(Shape):
    tasks: list[QueuedTask]
    masked: bool

    @classmethod
    def of(cls, data: dict[str, Any], *, masked: bool) -> Self:
        tasks = [QueuedTask.model_validate(row) for row in data["due"]]
        return cls(tasks=[task.masked() for task in tasks] if masked else tasks, masked=masked)


class BoardTile(Shape):
    title: str
    figure: str
    state: str
    says: str
    target: str
    note: str


class BoardSection(Shape):
    title: str
    tiles: list[BoardTile]


class Board(Shape):
    """`verdict` is the worst state of a tile: bad, watch, unknown, good or plain."""

    verdict: str
    counted_at: datetime | None
    is_stale: bool
    sections: list[BoardSection]


class OfferPolicyUsed(Shape):
    province: str
    market: str
    enabled: bool
    version: int


class Calculation(Shape):
    """Amounts in CAD; `mao` is the maximum allowable offer."""

    arv: Decimal
    max_arv_multiplier: Decimal
    repairs: Decimal
    fees_buffer: Decimal
    assignment_fee: Decimal
    mao: Decimal
    recommended_offer: Decimal
    binding: str
    floored: bool


class OfferEstimate(Shape):
    policy: OfferPolicyUsed
    calc: Calculation
    warnings: list[str]


class SnoozedTask(Shape):
    id: int
    snoozed_until: datetime | None
    due_at: datetime | None


class Snoozed(Shape):
    task: SnoozedTask
    dry_run: bool = False


class SkippedTask(Shape):
    id: int
    status: str
    step: int | None
    channel: str


class Skipped(Shape):
    task: SkippedTask
    next_task: Task | None
    dry_run: bool = False


class Recorded(Shape):
    inbound_id: int
    next_task: Task | None
    dry_run: bool = False

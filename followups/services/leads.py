"""Leads as they come in: created, their blanks filled, their contact points read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from followups.models import ContactPoint, FollowUpTask, Lead
from followups.points import read_point
from followups.services.desk import WRITTEN_FIELDS, facts_of_points, lock_leads, require_not_erased
from governance import hooks
from governance.actors import By
from governance.contact import digests
from governance.errors import Forbidden, Invalid
from governance.golive.services import Execution, verb
from governance.places import ALL

# What decides whose clock and which policy count.
GATE_FIELDS = ("province", "market", "city", "zone", "score")
TEXT_FIELDS = ("name", "city", "postal_code", "zone", "language", "source", "notes")


@dataclass(frozen=True, slots=True)
class LeadDetails:
    """What is said of a lead; blank and None say nothing. `score` is a fraction, `cost` in CAD."""

    name: str = ""
    city: str = ""
    postal_code: str = ""
    zone: str = ""
    language: str = ""
    source: str = ""
    notes: str = ""
    score: Decimal | None = None
    cost: Decimal | None = None
    phone: str = ""
    email: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    def points(self) -> list[tuple[str, str]]:
        return [(k, v) for k, v in ((digests.PHONE, self.phone), (digests.EMAIL, self.email)) if v]


def _written(lead: Lead, by: By, at: datetime) -> None:
    lead.updated_at = at
    for name, value in by.written().items():
        setattr(lead, name, value)


def find_or_create(
    external_id: str, province: str, market: str, details: LeadDetails, *, by: By, at: datetime
) -> tuple[Lead, list[ContactPoint], bool]:
    """Return the locked lead, her points, and whether she is new; of one who is known only blanks are filled.

    Raises Invalid where a new lead has no province, or a known one lives in another.
    """
    lead = Lead.objects.select_for_update().filter(external_id=external_id).first()
    if lead is None:
        if not province:
            raise Invalid({"province": [_("A new lead needs a province.")]})
        lead = Lead(external_id=external_id, province=province, market=market or ALL, created_at=at)
        for name in TEXT_FIELDS:
            setattr(lead, name, getattr(details, name))
        lead.score, lead.cost, lead.extra = details.score, details.cost, dict(details.extra)
        _written(lead, by, at)
        try:
            with transaction.atomic():
                lead.save(force_insert=True)
        except IntegrityError:  # somebody created her at the same moment
            return find_or_create(external_id, province, market, details, by=by, at=at)
        return lead, add_points(lead, details.points(), []), True
    if province and province != lead.province:
        raise Invalid(
            {
                "province": [
                    _("The lead %(lead)s is in %(province)s.")
                    % {"lead": external_id, "province": lead.province}
                ]
            }
        )
    points = list(lead.points.all())
    changed = [
        name for name in (*TEXT_FIELDS, "score", "cost")
        if getattr(lead, name) in ("", None) and getattr(details, name) not in ("", None)
    ]  # fmt: skip
    for name in changed:
        setattr(lead, name, getattr(details, name))
    if lead.market == ALL and market and market != ALL:
        lead.market = market
        changed += ["market"]
    if changed:
        _written(lead, by, at)
        lead.save(update_fields=[*changed, "city_key", "market_city_key", "updated_at", *WRITTEN_FIELDS])
    return lead, add_points(lead, details.points(), points), False


def add_points(lead: Lead, given: Iterable[tuple[str, str]], known: list[ContactPoint]) -> list[ContactPoint]:
    """Add the points that the lead does not have yet and return all of them, in order."""
    there = {(point.kind, point.value) for point in known}
    order = max((point.order for point in known), default=-1)
    fresh = []
    for kind, text in given:
        value, digest = read_point(kind, text)
        if (kind, value) in there:
            continue
        there.add((kind, value))
        order += 1
        fresh.append(ContactPoint(lead=lead, kind=kind, value=value, digest=digest, order=order))
    return [*known, *ContactPoint.objects.bulk_create(fresh)]


def facts_of(lead_id: str) -> hooks.LeadFacts | None:
    """Answer the gate's question about a lead, in one query."""
    points = (
        ContactPoint.objects.filter(lead__external_id=lead_id).select_related("lead").order_by("order", "id")
    )
    found = list(points)
    lead = found[0].lead if found else Lead.objects.filter(external_id=lead_id).first()
    if lead is None:
        return None
    return hooks.LeadFacts(
        lead_id=lead.external_id,
        province=lead.province,
        market=lead.market,
        city=lead.city,
        zone=lead.zone,
        score=lead.score,
        points=tuple(facts_of_points(lead, found)),
    )


def stop_for_suppressed(suppressed: Iterable[str], channel: str, by: By, at: datetime) -> None:
    """Stop what contacts suppressed points: whole ladders, or for one channel hold its tasks."""
    from followups.services.closing import NO_CLAIM
    from followups.services.ladders import stop_ladders_of

    # a number that turned out not to be a lead's says nothing of her
    held = ContactPoint.objects.filter(digest__in=list(suppressed), status=ContactPoint.Status.USABLE)
    lead_ids = sorted(set(held.values_list("lead_id", flat=True)))
    if not lead_ids:
        return
    lock_leads(lead_ids)
    if not channel:
        stop_ladders_of(lead_ids, reason="suppressed", by=by, at=at)
        return
    FollowUpTask.objects.filter(
        lead_id__in=lead_ids, status=FollowUpTask.Status.OPEN, channel=channel
    ).update(
        due_at=None,
        held_reason="suppressed",
        sla_5m_at=None,
        sla_30m_at=None,
        sla_2h_at=None,
        **NO_CLAIM,
        **by.written(),
    )


@verb(Execution.OBSERVE_ONLY)
def save_lead(lead: Lead, *, by: By, at: datetime) -> Lead:
    """Save a lead that was changed by hand; where she lives elsewhere now, judge her due times anew.

    What is saved was cleaned before. Raises Forbidden without the right to add or change leads, Refused
    `lead_erased`.
    """
    from followups.services.realigning import realign_leads

    fresh = lead.pk is None
    require_lead_right(by, "add" if fresh else "change")
    if fresh:
        lead.created_at = at
        _written(lead, by, at)
        lead.save(force_insert=True)
        return lead
    lock_leads([lead.pk])
    before = Lead.objects.get(pk=lead.pk)
    require_not_erased(before)
    lead.created_at = before.created_at
    _written(lead, by, at)
    lead.save(force_update=True)
    if any(getattr(lead, name) != getattr(before, name) for name in GATE_FIELDS):
        realign_leads([lead.pk], at=at, by=by)
    return lead


@verb(Execution.OBSERVE_ONLY)
def settle_points(lead_id: int, *, by: By, at: datetime) -> None:
    """After a lead's numbers were changed by hand, give her open tasks the first usable one of their kind."""
    require_lead_right(by, "change")
    lock_leads([lead_id])
    points = list(ContactPoint.objects.filter(lead=lead_id).order_by("order", "id"))
    usable = {point.pk: point for point in points if point.status == ContactPoint.Status.USABLE}
    for task in FollowUpTask.objects.filter(lead=lead_id, status=FollowUpTask.Status.OPEN):
        kind = digests.KIND_OF_CHANNEL[task.channel]
        if task.contact_point_id in usable and usable[task.contact_point_id].kind == kind:
            continue
        first = next((point for point in usable.values() if point.kind == kind), None)
        if task.contact_point_id != (first.pk if first else None):
            FollowUpTask.objects.filter(pk=task.pk).update(contact_point=first, **by.written())


def require_lead_right(by: By, what: str) -> None:
    if not by.may(f"followups.{what}_lead"):
        raise Forbidden("not_allowed", _("Only a manager changes leads by hand."))

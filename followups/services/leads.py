"""Incoming leads: create them, fill their blanks, read their contact points."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from followups.fields import FIELD_OF_KIND, OF_PLACE, POINTS, VALUES, LeadValues
from followups.intake.gathering import Given, notes_with, same_city
from followups.models import ContactPoint, FollowUpTask, Lead
from followups.points import read_point
from followups.services.guards import require_not_erased
from followups.services.locked_task import WRITTEN_FIELDS, facts_of_points
from followups.services.locks import lock_leads
from followups.services.rekeying import take_stored_digests
from followups.services.waiting import CHANGE_LEAD, rejudge
from governance.core import hooks
from governance.core.actors import Actor
from governance.core.channels import CHANNELS
from governance.core.compiled import CompiledQuery, Param, insert_if_new, insert_rows
from governance.core.errors import Invalid
from governance.core.places import ALL, Place, fold
from governance.core.verbs import Execution, require_right, verb
from governance.market.names import spelled

NOT_BY_HAND = gettext_lazy("Only a manager changes leads by hand.")
# The fields that determine the time zone and the policy.
GATE_FIELDS = ("province", "market", "city", "zone", "score")
# How much additional data of a source is stored: keys, values under one key, and bytes of JSON in all.
MOST_KEYS, MOST_VALUES, MOST_BYTES = 100, 10, 65_536


@dataclass(frozen=True, slots=True)
class LeadDetails(LeadValues):
    """The data on a lead, with contact points and everything else the source sent."""

    phone: str = ""
    email: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    def points(self) -> list[tuple[str, str]]:
        return [(one.point, value) for one in POINTS if (value := getattr(self, one.name))]


def _written(lead: Lead, by: Actor, at: datetime) -> None:
    lead.updated_at = at
    for name, value in by.written().items():
        setattr(lead, name, value)


@CompiledQuery
def _locked() -> QuerySet[Lead]:
    """Lock the lead with this `external_id` and return them."""
    return Lead.objects.select_for_update().filter(external_id=Param("external_id"))


def find_or_create(
    external_id: str, province: str, market: str, details: LeadDetails, *, by: Actor, at: datetime
) -> tuple[Lead, list[ContactPoint], bool]:
    """Return the locked lead, their points, and whether they are new; a known lead is filled in.

    Raises Invalid if a new lead has no province, or a known one lives in another.
    """
    lead: Lead | None = next(iter(_locked(external_id=external_id)), None)
    if lead is None:
        if not province:
            raise Invalid({"province": [_("A new lead needs a province.")]})
        place = spelled(Place(province, market or ALL))
        lead = Lead(external_id=external_id, province=province, market=place.market, created_at=at)
        for name in VALUES:
            setattr(lead, name, getattr(details, name))
        lead.extra = kept_besides({}, details.extra)
        _written(lead, by, at)
        lead.market_key = lead.place.market_key
        lead.fold_keys()
        if not insert_if_new(lead):  # somebody created the lead at the same moment
            return find_or_create(external_id, province, market, details, by=by, at=at)
        return lead, add_points(lead, details.points(), []), True
    points, _names = fill_in(lead, province, market, details, by=by, at=at)
    return lead, points, False


def fill_in(
    lead: Lead, province: str, market: str, details: LeadDetails, *, by: Actor, at: datetime
) -> tuple[list[ContactPoint], list[str]]:
    """Add a source's data to a locked lead; return the lead's points and the names of what was new.

    Only blanks are filled. Another number or address is added to the existing ones, and any other value that
    differs is stored in `extra` under its own name. Raises Invalid for another province.
    """
    if province and province != lead.province:
        raise Invalid(
            {
                "province": [
                    _("The lead %(lead)s is in %(province)s.")
                    % {"lead": lead.external_id, "province": lead.province}
                ]
            }
        )
    known = list(lead.points.all())
    sent: dict[str, object] = {name: getattr(details, name) for name in VALUES}
    sent["market"] = "" if market == ALL else market
    sent = {name: value for name, value in sent.items() if value not in ("", None)}
    there = {name: getattr(lead, name) for name in sent}
    there |= {"market": None} if lead.market == ALL else {}
    blank = [name for name in sent if there[name] in ("", None)]
    differing = {
        name: value if isinstance(value, str) else str(value)
        for name, value in sent.items()
        if name not in blank and not _same(name, value, there[name])
    }
    if "market" in blank:
        sent["market"] = spelled(Place(lead.province, market)).market
    for name in blank:
        setattr(lead, name, sent[name])
    extra = kept_besides(lead.extra, {**differing, **details.extra})
    kept = [key for key in extra if extra[key] != lead.extra.get(key)]
    lead.extra = extra
    if blank or kept:
        _written(lead, by, at)
        columns = [*blank, *(["extra"] if kept else [])]
        lead.save(update_fields=[*columns, "city_key", "market_city_key", "updated_at", *WRITTEN_FIELDS])
    points = add_points(lead, details.points(), known)
    if len(points) > len(known):
        Lead.objects.filter(pk=lead.pk).touch()
    fresh = {FIELD_OF_KIND[point.kind] for point in points[len(known) :]}
    return points, sorted({*blank, *kept, *fresh})


def take_over(lead: Lead, given: Given, market: str) -> list[str]:
    """Apply a source's values to a lead; return the columns that changed. A blank value changes nothing.

    `market` is the spelling of the source's. A lead who moves to another province or city loses their
    individual time zone, which would override the new place's, unless the source has one. City and postal
    code are replaced with the province.
    """
    moved = given.province != lead.province
    wanted: dict[str, object] = {
        "notes": notes_with(lead.notes, given),
        "extra": {**lead.extra, **given.extra},
    }
    for name in VALUES:
        if name not in ("city", "notes"):
            value = getattr(given, name)
            wanted[name] = getattr(lead, name) if value in ("", None) else value
    if given.city or moved:
        wanted |= {"city": given.city, "market": market}
    if moved:
        wanted |= {"province": given.province, **{name: getattr(given, name) for name in OF_PLACE}}
    if moved or not same_city(lead.city, given.city):
        wanted["zone"] = given.zone
    changed = [name for name, value in wanted.items() if getattr(lead, name) != value]
    for name in changed:
        setattr(lead, name, wanted[name])
    return changed


def save_changed(lead: Lead, changed: Sequence[str], *, by: Actor, at: datetime) -> None:
    """Save these columns of a locked lead, with the keys derived from its place."""
    _written(lead, by, at)
    keys = ("city_key", "market_city_key", "market_key")
    lead.save(update_fields=[*changed, *keys, "updated_at", *WRITTEN_FIELDS])


def take_tasks_along(lead_ids: Sequence[int], *, by: Actor, at: datetime) -> None:
    """Move the open tasks of leads whose place changed, and recompute due times in the new time zone."""
    from followups.services.rescheduling import realign_leads

    if not lead_ids:
        return
    tasks = FollowUpTask.objects.filter(lead_id__in=lead_ids, status=FollowUpTask.Status.OPEN)
    for lead in Lead.objects.filter(pk__in=tasks.values("lead_id")):
        tasks.filter(lead=lead).update(province=lead.province, market_key=lead.market_key)
    realign_leads(lead_ids, at=at, by=by)


def _same(name: str, sent: object, there: object) -> bool:
    return fold(sent) == fold(there) if name in ("city", "market") else bool(sent == there)


def kept_besides(there: Mapping[str, object], sent: Mapping[str, object]) -> dict[str, object]:
    """Return a source's additional data merged with new data: a second value joins the first in a list.

    Data beyond the limits is left out: keys past the hundredth, all but the newest ten values of one, and
    whatever would make it more than 64 KB.
    """
    kept = dict(there)
    size = len(json.dumps(kept))
    for key, value in sent.items():
        before = kept.get(key)
        values = before if isinstance(before, list) else [before]
        if key in kept and (value == before or value in values):
            continue
        after = [*values, value][-MOST_VALUES:] if key in kept else value
        grown = size - len(json.dumps(before)) * (key in kept) + len(json.dumps(after))
        grown += 0 if key in kept else len(json.dumps(key)) + 4
        if grown > MOST_BYTES or (key not in kept and len(kept) >= MOST_KEYS):
            continue
        kept[key], size = after, grown
    return kept


def not_stored(lead: Lead, details: LeadDetails) -> list[str]:
    """Return the names of a source's additional data that was too much to store with the lead."""
    lost = []
    for name, value in details.extra.items():
        there = lead.extra.get(name)
        if name not in lead.extra or (there != value and not (isinstance(there, list) and value in there)):
            lost.append(name)
    return lost


def add_points(
    lead: Lead,
    given: Iterable[tuple[str, str]],
    known: Sequence[ContactPoint],
    remarks: Mapping[tuple[str, str], tuple[str, str]] = MappingProxyType({}),
) -> list[ContactPoint]:
    """Add the points that the lead does not have yet and return all of them, in order.

    `remarks` are the label of a new point, and whose it is, by its stored kind and value.
    """
    there = {(point.kind, point.value) for point in known}
    order = max((point.order for point in known), default=-1)
    fresh = []
    for kind, text in given:
        value, digest = read_point(kind, text)
        if (kind, value) in there:
            continue
        there.add((kind, value))
        order += 1
        label, whose = remarks.get((kind, value), ("", ""))
        fresh.append(
            ContactPoint(
                lead=lead, kind=kind, value=value, digest=digest, order=order, label=label, whose=whose
            )
        )
    take_stored_digests(fresh)
    insert_rows(fresh)
    return [*known, *fresh]


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


def stop_for_suppressed(suppressed: Iterable[str], channel: str, by: Actor, at: datetime) -> None:
    """Stop what contacts suppressed points: whole ladders, or for one channel block its tasks."""
    from followups.rules.outcomes import NO_CLAIM
    from followups.services.ladders import stop_ladders_of

    # a number that turned out not to be a lead's does not matter to them
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
        deadline_at=None,
        alert_at=None,
        **NO_CLAIM,
        **by.written(),
    )


@verb(Execution.OBSERVE_ONLY)
def save_lead(lead: Lead, *, by: Actor, at: datetime) -> Lead:
    """Save a lead that was edited by hand; if they live elsewhere now, recompute their due times.

    The lead has been cleaned before. Raises Forbidden without the permission to add or change leads, Refused
    `lead_erased`.
    """
    from followups.services.rescheduling import realign_leads

    fresh = lead.pk is None
    require_right(by, "followups.add_lead" if fresh else CHANGE_LEAD, NOT_BY_HAND)
    lead.market = spelled(lead.place).market
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
    if fold(lead.name) != fold(before.name):
        rejudge([lead.pk], by=by, at=at)
    return lead


@verb(Execution.OBSERVE_ONLY, right=CHANGE_LEAD, refusal=NOT_BY_HAND)
def settle_points(lead_id: int, *, by: Actor, at: datetime) -> None:
    """After a lead's numbers were edited by hand, give their open tasks the first usable one of its kind."""
    lock_leads([lead_id])
    give_points(lead_id, by=by)
    rejudge([lead_id], by=by, at=at)


def give_points(lead_id: int, *, by: Actor) -> None:
    """Give a locked lead's open tasks the first usable point of its kind, if theirs is not usable."""
    points = list(ContactPoint.objects.filter(lead=lead_id).order_by("order", "id"))
    usable = {point.pk: point for point in points if point.status == ContactPoint.Status.USABLE}
    for task in FollowUpTask.objects.filter(lead=lead_id, status=FollowUpTask.Status.OPEN):
        kind = CHANNELS[task.channel].kind
        if task.contact_point_id in usable and usable[task.contact_point_id].kind == kind:
            continue
        first = next((point for point in usable.values() if point.kind == kind), None)
        if task.contact_point_id != (first.pk if first else None):
            FollowUpTask.objects.filter(pk=task.pk).update(contact_point=first, **by.written())

"""Leads who are to start a ladder, loaded with their points and time zones in a few queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from django.db.models import OuterRef, QuerySet, Value
from django.db.models.functions import Coalesce

from followups.models import ContactPoint, Lead
from followups.services.ladders import Candidate
from governance.contact.querysets import zone_of_city
from governance.contact.services import GateContext, Where
from governance.core.compiled import CompiledQuery, Listed

Points = Mapping[int, Sequence[ContactPoint]]


@CompiledQuery
def _points_of_leads() -> QuerySet[ContactPoint]:
    return ContactPoint.objects.filter(lead_id__any_of=Listed("ids")).order_by("order", "id")


def points_of(lead_ids: Sequence[int]) -> Points:
    """Return the points of each lead who has any, in order."""
    points: dict[int, list[ContactPoint]] = {}
    for point in _points_of_leads(ids=lead_ids) if lead_ids else ():
        points.setdefault(point.lead_id, []).append(point)
    return points


def _clock(city_key: str) -> Coalesce:
    return Coalesce(zone_of_city(OuterRef("province"), OuterRef(city_key)), Value(""))


@CompiledQuery
def _leads_with_clocks() -> QuerySet[Lead]:
    leads: QuerySet[Lead] = Lead.objects.filter(pk__any_of=Listed("ids")).order_by("pk")
    return leads.annotate(city_zone=_clock("city_key"), market_zone=_clock("market_city_key"))


def candidates_of(ids: Sequence[int], at: datetime) -> tuple[list[Candidate], GateContext]:
    """Return leads by their primary keys, in that order, with the gate's data for all of them."""
    leads = _leads_with_clocks(ids=ids)
    points = points_of(ids)
    candidates = [
        Candidate(
            lead, points.get(lead.pk, ()), Where(lead.place, lead.zone, lead.city_zone, lead.market_zone)
        )
        for lead in leads
    ]
    return candidates, GateContext.load({lead.place for lead in leads}, at)

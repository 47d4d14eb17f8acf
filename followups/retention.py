"""Retention periods of follow-ups, and leads as records that can be erased: their data, and what stays."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from datetime import datetime

from django.db import models, transaction
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from followups.fields import BLANK
from followups.intake.report import strike_from_reports
from followups.models import (
    ContactPoint,
    FollowUpTask,
    InboundContact,
    Ladder,
    Lead,
    Property,
    TaskCorrection,
)
from followups.points import lead_facts
from followups.services.ladders import stop_ladders_of
from followups.services.locks import lock_leads
from governance.contact import digests
from governance.core.actors import Actor
from governance.retention.registry import LEAD, Person, Rule, Trace, Who
from governance.retention.rules import ERASED, Words

MOST_NAMED = 10
# The reasons that our own code writes; any other was typed by somebody.
CODES = (
    "", ERASED, "no_contact_point", "corrected", "suppressed", "replaced",
    *FollowUpTask.Outcome.values, *Lead.Status.values,
)  # fmt: skip

RULES = (
    Rule(
        "lookups", "followups.LookupEvent", "at", 731, 180,
        _("Look-ups of people"),
        _("to trace who searched for whom after a leak; breaches stay on record for two years"),
    ),
    Rule(
        "sla_by_day", "followups.SlaSnapshot", "day", 1096, 366,
        _("SLA by day"),
        _("to compare with last year; the metrics name owners"),
    ),
    Rule(
        "opt_outs_by_key", "followups.OptOutPress", "at", 31, 1,
        _("Effects of opt-outs by key"),
        _("to undo one within ten minutes, and to see later what that restored"),
    ),
    Rule(
        "realigning_requests", "followups.RealignRequest", "done_at", 30, 1,
        _("Completed rescheduling requests"),
        _("to see why due times moved"),
    ),
)  # fmt: skip


class Leads:
    """Leads, for `governance.retention`."""

    kind = LEAD
    model = Lead

    def find(self, who: Who) -> list[int]:
        leads = Lead.objects.filter(erasure=None)
        if who.lead_id:
            leads = leads.filter(external_id=who.lead_id)
        elif who.phone or who.email:
            kind = digests.PHONE if who.phone else digests.EMAIL
            leads = leads.filter(points__digest__in=digests.every_digest(kind, who.phone or who.email))
        else:
            return []
        return list(leads.order_by("pk").values_list("pk", flat=True).distinct())

    def lock(self, ids: Collection[int]) -> None:
        own = ContactPoint.objects.filter(lead_id__in=ids).values("digest")
        lock_leads([*ids, *ContactPoint.objects.filter(digest__in=own).values_list("lead_id", flat=True)])

    def sharing(self, person: Person) -> list[str]:
        others = Lead.objects.filter(points__digest__in=person.points)
        if person.kind == LEAD:
            others = others.exclude(pk=person.id)
        return [str(lead) for lead in others.order_by("pk").distinct()[:MOST_NAMED]]

    def read(self, record_id: int) -> Person | None:
        lead = Lead.objects.filter(pk=record_id, erasure=None).first()
        if lead is None:
            return None
        points = list(ContactPoint.objects.filter(lead=lead).order_by("order", "id"))
        phones = tuple(point.value for point in points if point.kind == ContactPoint.Kind.PHONE)
        emails = tuple(point.value for point in points if point.kind == ContactPoint.Kind.EMAIL)
        usable = (point.digest for point in points if point.status == ContactPoint.Status.USABLE)
        own = lead_facts(lead.external_id)
        known = [own, *(point.facts for point in points)]
        addresses = Property.objects.filter(lead=lead).values_list("address", flat=True)
        return Person(
            kind=LEAD,
            id=lead.pk,
            label=str(lead),
            reference=lead.external_id,
            words=Words.of([lead.name, lead.postal_code, *emails, *addresses], phones),
            phones=phones,
            emails=emails,
            points=tuple(sorted({digest for one in known for digest in (one.digest, *one.others)})),
            reached=tuple(sorted({own.digest, *usable})),
            running=Ladder.objects.filter(lead=lead, status=Ladder.Status.ACTIVE).count(),
            traces=tuple(_traces(lead)),
        )

    def stop(self, person: Person, *, by: Actor, at: datetime) -> None:
        stop_ladders_of([person.id], reason=ERASED, by=by, at=at)

    def erase(self, person: Person, erasure: models.Model, *, by: Actor) -> int:
        at = erasure.at  # type: ignore[attr-defined]  # packs know the model by its name alone
        transaction.on_commit(lambda: strike_from_reports(person.reference, person.words), robust=True)
        return Lead.objects.filter(pk=person.id).update(
            external_id=f"{ERASED}-{secrets.token_hex(6)}", erasure=erasure, **BLANK, city_key="", extra={},
            follow_up_at=None, nurture_at=None, unanswered_since=None, updated_at=at, **by.written(),
        )  # fmt: skip


def _traces(lead: Lead) -> list[Trace]:
    tasks = FollowUpTask.objects.filter(lead=lead)
    typed = ~Q(note="") | ~Q(override_reason="")
    return [
        Trace(_("notes of tasks"), tasks.filter(typed), blank={"note": "", "override_reason": ""}),
        Trace(
            _("reasons why tasks were closed"),
            tasks.exclude(closed_reason__in=CODES),
            blank={"closed_reason": ERASED},
        ),
        Trace(
            _("reasons why ladders ended"),
            Ladder.objects.filter(lead=lead).exclude(stop_reason__in=CODES),
            blank={"stop_reason": ERASED},
        ),
        Trace(
            _("reasons of corrections"),
            TaskCorrection.objects.filter(task__lead=lead).exclude(reason__in=CODES),
            blank={"reason": ERASED},
        ),
        Trace(
            _("notes of calls and messages that came in"),
            InboundContact.objects.filter(lead=lead).exclude(note=""),
            blank={"note": ""},
        ),
        Trace(_("contact points"), ContactPoint.objects.filter(lead=lead)),
        Trace(_("properties"), Property.objects.filter(lead=lead)),
    ]

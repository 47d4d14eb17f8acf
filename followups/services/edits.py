"""Changing one lead over the API: their values, their contact points, and how they were settled."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _

from followups.fields import VALUES, LeadValues
from followups.models import ContactPoint, Lead
from followups.rules import NOT_NOW
from followups.rules.completion import Completion, check_next
from followups.services.closing import cancel_open, settle_lead
from followups.services.guards import require_not_erased
from followups.services.ladders import stop_running
from followups.services.leads import give_points, kept_besides
from followups.services.locked_task import task_for_lead
from followups.services.locks import lock_leads
from followups.services.plans import effects
from followups.services.rescheduling import realign_leads
from followups.services.upserts import (
    NOT_OVER_THE_API,
    WRITE_LEADS,
    SentLead,
    SentPoint,
    add_sent_points,
    is_suppressed,
    merge,
)
from followups.services.waiting import rejudge, release_after
from governance.core.actors import Actor
from governance.core.channels import CHANNELS
from governance.core.errors import Invalid, NotFound, Refused
from governance.core.places import ALL
from governance.core.verbs import Execution, verb

SETTLED = (Lead.Status.WON, Lead.Status.DEAD, Lead.Status.NOT_NOW)
MOST_POINTS = 50
REASON = "closed_reason"  # its name among the lead's other data


class StaleLead(Refused):
    """The lead has changed since the caller read it."""

    status = 412


def version_of(lead: Lead, points: Sequence[ContactPoint]) -> str:
    """Return the version of a lead as stored, with their points: any change of either changes it."""
    columns = [str(getattr(lead, f.attname)) for f in Lead._meta.concrete_fields if f.name != "extra"]
    of_points = [
        [str(getattr(point, f.attname)) for f in ContactPoint._meta.concrete_fields] for point in points
    ]
    text = json.dumps([columns, lead.extra, of_points], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _locked(lead_id: int) -> tuple[Lead, list[ContactPoint]]:
    """Return a locked lead who is not erased, with their points in order."""
    lock_leads([lead_id])
    lead = Lead.objects.filter(pk=lead_id).first()
    if lead is None:
        raise NotFound(_("There is no such lead."), code="lead_not_found")
    require_not_erased(lead)
    return lead, list(ContactPoint.objects.filter(lead=lead).order_by("order", "id"))


def _require_not_suppressed(lead: Lead, points: Sequence[ContactPoint], at: datetime) -> None:
    if is_suppressed(lead, points, CHANNELS, at):
        raise Refused(
            "lead_suppressed",
            _("This person opted out or is on our do-not-contact list; a manager changes them by hand."),
        )


@verb(Execution.OBSERVE_ONLY, right=WRITE_LEADS, refusal=NOT_OVER_THE_API)
def change_lead(
    lead_id: int,
    values: Mapping[str, object],
    *,
    versions: Collection[str] | None,
    by: Actor,
    at: datetime,
) -> tuple[Lead, list[str], str]:
    """Change the columns of a lead that `values` names; return the lead, what changed and the new version.

    Blank or None clears a column. `versions` are those of which the lead must have one; None: any. A lead
    who moves loses city, postal code and time zone, as far as no new ones are sent; open tasks move along.

    Raises Forbidden without the permission, NotFound `lead_not_found`, StaleLead `stale_version`, Refused
    `lead_erased`, `lead_suppressed`.
    """
    lead, points = _locked(lead_id)
    version = version_of(lead, points)
    if versions is not None and version not in versions:
        raise StaleLead(
            "stale_version", _("This lead was changed in the meantime; read it again first."),
            extra={"version": version},
        )  # fmt: skip
    _require_not_suppressed(lead, points, at)
    wanted = {name: values[name] for name in VALUES if values.get(name) not in ("", None)}
    cleared = [name for name in VALUES if name in values and name not in wanted]
    sent = SentLead(
        province=str(values.get("province") or ""),
        market=str(values.get("market") or ALL),
        values=LeadValues(**wanted),  # type: ignore[arg-type]  # each as its serializer returned it
    )
    changed, _warnings = merge(lead, sent, by=by, at=at, cleared=cleared)
    lead = Lead.objects.get(pk=lead.pk)
    return lead, changed, version_of(lead, points)


@verb(Execution.OBSERVE_ONLY, right=WRITE_LEADS, refusal=NOT_OVER_THE_API)
def add_point(lead_id: int, sent: SentPoint, *, by: Actor, at: datetime) -> tuple[ContactPoint, bool]:
    """Add a number or address to a lead; return it and whether it is new. Open tasks without one get it.

    Raises Forbidden without the permission, NotFound `lead_not_found`, Refused `lead_erased`,
    `lead_suppressed`, `point_retired` for one that turned out to be wrong, `too_many_points`.
    """
    lead, known = _locked(lead_id)
    _require_not_suppressed(lead, known, at)
    points, retired = add_sent_points(lead, [sent], known)
    if retired:
        raise Refused(
            "point_retired",
            _("This number or address was retired as wrong; a manager can mark it usable again."),
        )
    if len(points) > MOST_POINTS:
        raise Refused(
            "too_many_points", _("A lead has at most %(most)s contact points.") % {"most": MOST_POINTS}
        )
    point = next(one for one in points if (one.kind, one.value) == (sent.kind, sent.value))
    if len(points) == len(known):
        return point, False
    Lead.objects.filter(pk=lead.pk).touch()
    give_points(lead.pk, by=by)
    realign_leads([lead.pk], at=at, by=by)
    rejudge([lead.pk], by=by, at=at)
    return point, True


@verb(Execution.OBSERVE_ONLY, right=WRITE_LEADS, refusal=NOT_OVER_THE_API)
def retire_point(lead_id: int, point_id: int, *, by: Actor, at: datetime) -> tuple[ContactPoint, bool]:
    """Retire a lead's number or address as wrong; return it and whether it was usable.

    As after such an outcome of a call, open tasks continue with the next one, and steps whose channel has
    none left are skipped. Raises Forbidden without the permission, NotFound `lead_not_found` and
    `point_not_found`, Refused `lead_erased`.
    """
    lead, points = _locked(lead_id)
    point = next((one for one in points if one.pk == point_id), None)
    if point is None:
        raise NotFound(_("This lead has no such number or address."), code="point_not_found")
    if not point.usable:
        return point, False
    channel = next(code for code, one in CHANNELS.items() if one.kind == point.kind)
    locked = task_for_lead(lead, channel, by, at)
    locked.task.contact_point = point
    effects(locked, Completion(outcome="WRONG_NUMBER"))
    point.refresh_from_db()
    return point, True


@dataclass(frozen=True, slots=True)
class Settled:
    """A lead as they were settled, and what that ended; `changed` is False if they were so already."""

    lead: Lead
    changed: bool
    ladders: int = 0
    tasks: int = 0


@verb(Execution.OBSERVE_ONLY, right=WRITE_LEADS, refusal=NOT_OVER_THE_API)
def settle_by_hand(
    lead_id: int, status: str, *, by: Actor, at: datetime, reason: str = "", until: datetime | None = None
) -> Settled:
    """Set a lead to won, dead or not now, and end their ladder and open tasks.

    DEAD needs a `reason`, NOT_NOW an `until`. A lead who is so already stays as they are. Raises Forbidden
    without the permission, NotFound `lead_not_found`, Invalid, Refused `lead_erased`.
    """
    if status not in SETTLED:
        raise Invalid({"status": [_("A lead is settled as won, dead or not now.")]})
    if status == Lead.Status.DEAD and not reason.strip():
        raise Invalid({"reason": [_("Say why the lead is dead.")]})
    if status == Lead.Status.NOT_NOW:
        try:
            check_next(Completion(outcome="REACHED", next=NOT_NOW, next_at=until), at)
        except Invalid as wrong:
            raise Invalid({"until": wrong.errors["next_at"]}) from wrong
    until = until if status == Lead.Status.NOT_NOW else None
    lead, points = _locked(lead_id)
    if lead.status == status and lead.follow_up_at == until:
        return Settled(lead, changed=False)
    why = reason.strip() or status
    if reason.strip():  # there may be neither ladder nor task to keep it
        lead.extra = kept_besides(lead.extra, {REASON: why[:200]})
        lead.save(update_fields=["extra"])
    ladders = stop_running([lead.pk], reason=why, by=by, at=at)
    tasks = cancel_open([lead.pk], by=by, reason=why)
    settle_lead(lead, status, by=by, at=at, follow_up_at=until)
    release_after([lead.pk], by=by, at=at, numbers=[point.digest for point in points])
    return Settled(lead, changed=True, ladders=ladders, tasks=tasks)

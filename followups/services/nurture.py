"""Nurture: leads who did not answer are asked again, with a short ladder, after their rest."""

from __future__ import annotations

import logging
import time
from datetime import datetime

from django.db import InterfaceError, OperationalError

from followups.models import FollowUpTask, Ladder, Lead
from followups.rules import ASK_AGAIN
from followups.services.ladders import begin
from followups.services.locked_task import WRITTEN_FIELDS, touched
from governance.core.actors import Actor
from governance.core.errors import Refused, Unavailable
from governance.core.verbs import Execution, verb

log = logging.getLogger(__name__)

SECONDS = 5.0
LEADS_A_RUN = 50


def start_nurture(at: datetime, *, limit: int = LEADS_A_RUN, seconds: float = SECONDS) -> int:
    """Start the nurture ladders of leads whose rest is over; return how many started.

    Each lead is a separate transaction. While a switch stops ladders none starts, and a later run continues;
    a lead who may not be contacted now, or whose ladder fails, is tried again a week later.
    """
    by = Actor.system("followups.dispatch_due")
    until = time.monotonic() + seconds
    rested = Lead.objects.to_nurture(at).order_by("nurture_at", "pk").values_list("pk", flat=True)
    started = 0
    for lead_id in list(rested[:limit]):
        if time.monotonic() > until:
            break
        try:
            started += _start(lead_id, by=by, at=at)
        except Unavailable:
            break
        except Refused:
            _postpone(lead_id, by=by, at=at)
        except (OperationalError, InterfaceError):
            raise  # the database, not this lead
        except Exception:
            log.exception("the nurture ladder of lead %s cannot start; it is tried again in a week", lead_id)
            _postpone(lead_id, by=by, at=at)
    return started


@verb(Execution.PROD_EXEC)
def _start(lead_id: int, *, by: Actor, at: datetime) -> bool:
    lead = _locked(lead_id, at)
    if lead is None:
        return False
    if FollowUpTask.objects.filter(lead=lead, status=FollowUpTask.Status.OPEN).exists():
        # somebody is working on this lead; a past date would hide them afterwards
        lead.follow_up_at = lead.nurture_at = None
        lead.save(update_fields=["follow_up_at", "nurture_at"])
        return False
    owners = Ladder.objects.filter(lead=lead).order_by("-started_at", "-pk").values_list("owner", flat=True)
    begin(lead, list(lead.points.all()), by=by, at=at, owner=owners.first() or "", nurture=True)
    return True


@verb(Execution.OBSERVE_ONLY)
def _postpone(lead_id: int, *, by: Actor, at: datetime) -> None:
    lead = _locked(lead_id, at)
    if lead is not None:
        lead.follow_up_at = lead.nurture_at = at + ASK_AGAIN
        touched(lead, by)
        lead.save(update_fields=["follow_up_at", "nurture_at", *WRITTEN_FIELDS])


def _locked(lead_id: int, at: datetime) -> Lead | None:
    return Lead.objects.select_for_update(of=("self",)).to_nurture(at).filter(pk=lead_id).first()

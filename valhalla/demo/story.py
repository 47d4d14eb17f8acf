"""The demo from its first day to now, in one transaction: complete, or not at all."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.conf import settings
from django.db import transaction

from buyers.models import BuyerFeedbackEvent
from followups.intake.services import import_leads
from followups.models import FollowUpTask, Ladder, Lead
from governance.core.actors import Actor
from governance.kpi.figures import take_figures
from offers.models import OfferEvidence
from valhalla.demo.buying import plan_buyers
from valhalla.demo.following import Followups, realign
from valhalla.demo.machines import plan_machines
from valhalla.demo.market import OFFERS_IN, read_lists, set_rules
from valhalla.demo.offering import plan_offer_to, plan_offers
from valhalla.demo.people import make_team, write_people
from valhalla.demo.risking import plan_risk
from valhalla.demo.scripts import say_scripts
from valhalla.demo.timeline import Timeline
from valhalla.demo.watching import plan_tripwire

SEED = 7
CORRELATION = "demo"
IMPORTED_DAYS_AGO = 35
SAMPLES = ("leads.csv", "leads_quebec.csv")


class AlreadyThere(Exception):
    """The database already has demo data."""


class NotEmpty(Exception):
    """The database has leads that are not demo data."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts of what the demo created."""

    leads: int
    ladders: int
    tasks_done: int
    feedback: int
    offers: int


def fill(now: datetime, *, people_file: Path) -> Counts:
    """Fill an empty database with demo data that ends at `now`; write the users' passwords and the token.

    The result is the same for the same `now`, apart from passwords and token. A run that is killed leaves
    nothing behind. Raises AlreadyThere or NotEmpty if there are leads.
    """
    with transaction.atomic(), _switches_aside():
        if Lead.objects.filter(correlation_id=CORRELATION).exists():
            raise AlreadyThere
        if Lead.objects.exists():
            raise NotEmpty
        timeline = Timeline(now, random.Random(SEED))
        team = make_team(now, CORRELATION)
        set_rules(timeline, team.manager)
        read_lists(timeline, CORRELATION)
        say_scripts(timeline, team.manager)
        plan_buyers(timeline, team)
        imported = timeline.days_ago(IMPORTED_DAYS_AGO)
        for name in SAMPLES:
            import_leads(
                settings.BASE_DIR / "samples" / name, by=Actor.system("demo", CORRELATION), at=imported
            )
        plan_offers(timeline, team)
        plan_machines(timeline, team)
        plan_risk(timeline, team)
        plan_tripwire(timeline, team)
        followups = Followups(timeline, team)
        followups.plan()
        followups.plan_last_days()
        handed = Lead.objects.filter(pk__in=followups.handed_over(), province__in=OFFERS_IN).order_by("pk")
        for lead in handed:
            plan_offer_to(lead, timeline, team)
        timeline.play()
        realign(now)
        take_figures(now)
        told = Counts(
            leads=Lead.objects.count(),
            ladders=Ladder.objects.count(),
            tasks_done=FollowUpTask.objects.filter(status=FollowUpTask.Status.COMPLETED).count(),
            feedback=BuyerFeedbackEvent.objects.count(),
            offers=OfferEvidence.objects.count(),
        )
        write_people(people_file, team)
        return told


@contextmanager
def _switches_aside() -> Iterator[None]:
    """Play the past regardless of the current switches: nobody is contacted by it."""
    enforced = settings.GO_LIVE_ENFORCE
    settings.GO_LIVE_ENFORCE = False
    try:
        yield
    finally:
        settings.GO_LIVE_ENFORCE = enforced

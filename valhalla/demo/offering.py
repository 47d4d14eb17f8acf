"""The demo's offers, with comparable sales and outcomes."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from followups.models import Lead
from governance.core.actors import Actor, Role
from governance.core.errors import Refused
from offers import rules
from offers.services import Computed, Figures, compute_offer, correct_outcome, record_outcome
from valhalla.demo.buying import BUYERS, buyer_id
from valhalla.demo.market import OFFERS_IN
from valhalla.demo.people import Team
from valhalla.demo.timeline import Timeline

OFFERS = 40
THOUSAND = Decimal(1000)
# How the first offers end; the others are random.
ENDS: tuple[tuple[str, ...], ...] = (
    ("ACCEPTED", "CONTRACTED", "ASSIGNED"),
    ("ACCEPTED", "CONTRACTED", "FELL_THROUGH"),
    ("REJECTED",),
    ("ACCEPTED",),
    ("CONTRACTED", "ASSIGNED"),
    ("REJECTED",),
    ("ACCEPTED", "CONTRACTED"),
)
CHANCES: tuple[tuple[tuple[str, ...], int], ...] = (
    ((), 9),
    (("REJECTED",), 11),
    (("ACCEPTED",), 6),
    (("ACCEPTED", "CONTRACTED"), 6),
    (("ACCEPTED", "CONTRACTED", "ASSIGNED"), 6),
    (("ACCEPTED", "CONTRACTED", "FELL_THROUGH"), 2),
)
CORRECTED = 5  # which of the offers a manager corrects
COMPUTED_AGAIN = (10, 11, 12)


def plan_offers(timeline: Timeline, team: Team) -> None:
    """Put the offers on the timeline, a few of them computed again for the same lead."""
    chance = timeline.chance
    leads = list(Lead.objects.filter(province__in=OFFERS_IN).order_by("external_id"))
    closers = team.with_role(Role.CLOSER)
    for number, lead in enumerate(chance.sample(leads, OFFERS - len(COMPUTED_AGAIN))):
        again = number in COMPUTED_AGAIN
        ends = () if again else ENDS[number] if number < len(ENDS) else _drawn(timeline)
        early = number < len(ENDS)
        when = timeline.some_day(28, least=22) if early else timeline.some_day(28)
        timeline.at(when, _Offer(timeline, chance.choice(closers), lead, number, ends, team).compute)
        if again:
            later = when + timedelta(hours=20)
            offer = _Offer(timeline, chance.choice(closers), lead, number, (), team)
            timeline.at(min(later, timeline.now), offer.compute)


def plan_offer_to(lead: Lead, timeline: Timeline, team: Team) -> None:
    """Put an offer on the timeline to a lead who was handed off to a closer: they accept and sign."""
    closer = team.with_role(Role.CLOSER)[0]
    ends = ("ACCEPTED", "CONTRACTED")
    offer = _Offer(timeline.apart("an offer"), closer, lead, OFFERS + 2, ends, team)
    timeline.at(timeline.days_ago(9), offer.compute)


def _drawn(timeline: Timeline) -> tuple[str, ...]:
    ends, weights = zip(*CHANCES, strict=True)
    drawn: tuple[str, ...] = timeline.chance.choices(ends, weights)[0]
    return drawn


class _Offer:
    """An offer from its computation through each step of its outcome."""

    def __init__(
        self, timeline: Timeline, closer: Actor, lead: Lead, number: int, ends: tuple[str, ...], team: Team
    ) -> None:
        self.timeline, self.closer, self.lead, self.number, self.team = timeline, closer, lead, number, team
        self.ends = list(ends)
        self.computed: Computed | None = None
        self.agreed = Decimal(0)

    def compute(self, at: datetime) -> None:
        chance = self.timeline.chance
        value = chance.randrange(240, 620) * THOUSAND
        size = chance.randrange(900, 2400)
        comps = [
            _comp(value, size, chance.uniform(-0.08, 0.08), chance.random(), n)
            for n in range(chance.randint(2, 6))
        ]
        today = rules.day_of(at, self.lead.province, rules.RULES_VERSION)
        given: dict[str, Any] = {
            "arv": value,
            "repairs": chance.randrange(8, 80) * THOUSAND,
            "comps": rules.read_comps(comps, today=today),
            "lead_id": self.lead.external_id,
            "assumptions": rules.read_assumptions({"subject_sqft": size, "vacant": chance.random() < 0.4}),
            "by": self.closer,
            "at": at,
        }
        try:
            self.computed = compute_offer(self.lead.place, **given, reserve=self.number % 3 > 0)
        except Refused as full:
            if full.code != "risk_denied":
                raise
            self.computed = compute_offer(self.lead.place, **given)
        self.next_step(at)

    def next_step(self, at: datetime) -> None:
        if self.ends:
            self.timeline.at(at + timedelta(hours=self.timeline.chance.uniform(5, 90)), self.happen)

    def happen(self, at: datetime) -> None:
        evidence = self.computed.evidence if self.computed else None
        if evidence is None:
            return
        outcome = self.ends.pop(0)
        if not self.agreed:
            wanted = evidence.recommended_offer * Decimal(
                str(round(self.timeline.chance.uniform(0.94, 1.0), 3))
            )
            self.agreed = wanted // THOUSAND * THOUSAND
        record_outcome(
            evidence.pk, outcome, figures=self.figures(outcome, evidence.mao), by=self.closer, at=at
        )
        if self.number == CORRECTED:
            correct_outcome(
                evidence.pk,
                "ACCEPTED",
                figures=Figures(agreed_price=self.agreed),
                by=self.team.manager,
                at=at + timedelta(minutes=40),
                reason="Called back and accepted",
            )
        self.next_step(at)

    def figures(self, outcome: str, mao: Decimal) -> Figures:
        more: dict[str, Any] = {}
        if outcome == "ASSIGNED":
            fee = min(Decimal(10_000), mao - self.agreed)
            buyer = buyer_id(self.timeline.chance.randint(1, BUYERS))
            more = {"buyer": buyer, "buyer_price": self.agreed + fee, "fee_earned": fee}
        return (
            Figures(agreed_price=self.agreed, **more)
            if outcome in ("ACCEPTED", "CONTRACTED", "ASSIGNED")
            else Figures()
        )


def _comp(value: Decimal, size: int, off: float, chance: float, number: int) -> dict[str, object]:
    return {
        "price": str(value * Decimal(str(round(1 + off, 3))) // THOUSAND * THOUSAND),
        "sqft": str(round(size * (1 + off))),
        "distance_miles": str(round(0.05 + chance * 0.5, 2)),
        "months_ago": str(round(1 + chance * 5, 1)),
        "ref": f"MLS-{round(chance * 1e6):06}-{number}",
    }

"""The demo's buyers: deals offered to some of them, their answers, and their purchases."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from buyers.models import Buyer
from buyers.services import record_feedback, save_buyer
from governance.core.actors import Actor
from governance.core.places import Place
from valhalla.demo.people import Team
from valhalla.demo.timeline import Timeline

BUYERS, DEALS, DAYS = 60, 62, 120
# Each market with the fraction of its buyers who answer, and of its deals that find a buyer.
MARKETS = (
    (Place("ON", "TORONTO"), 0.75, 0.60), (Place("ON", "OTTAWA"), 0.60, 0.45),
    (Place("ON", "HAMILTON"), 0.55, 0.40), (Place("QC", "MONTRÉAL"), 0.70, 0.55),
    (Place("QC", "QUÉBEC"), 0.45, 0.35), (Place("BC", "SURREY"), 0.65, 0.45),
    (Place("BC", "KELOWNA"), 0.40, 0.25), (Place("AB", "CALGARY"), 0.70, 0.60),
    (Place("AB", "EDMONTON"), 0.60, 0.40), (Place("MB", "WINNIPEG"), 0.45, 0.30),
    (Place("NS", "HALIFAX"), 0.50, 0.35), (Place("SK", "REGINA"), 0.35, 0.20),
)  # fmt: skip
FIRST = "Northern Maple Prairie Harbour Summit Cedar Granite Aurora Pacific Laurentian".split()
LAST = "Homes|Capital|Properties|Holdings|Immobilier|Rentals".split("|")
TYPES = ("SFR", "SFR", "SFR", "CONDO", "TOWNHOUSE")


def buyer_id(number: int) -> str:
    return f"B-{number:03}"


def plan_buyers(timeline: Timeline, team: Team) -> None:
    """Create the buyers, and put about 600 of their answers on the timeline."""
    boxes = [_make_buyer(number, timeline, team.manager) for number in range(1, BUYERS + 1)]
    for deal in range(1, DEALS + 1):
        _plan_deal(deal, boxes, timeline, team)


def _make_buyer(number: int, timeline: Timeline, manager: Actor) -> tuple[int, str]:
    chance = timeline.chance
    place = MARKETS[number % len(MARKETS)][0]
    low = chance.randrange(120, 400) * 1000
    buyer = Buyer(
        external_id=buyer_id(number),
        name=f"{chance.choice(FIRST)} {chance.choice(LAST)} {number}",
        phone=f"416-555-{number:04}",
        email=f"buyer{number}@example.com",
        provinces=[place.province],
        markets=[place.market] if number % 3 else [],
        property_types=["SFR"] if number % 2 else [],
        price_min=Decimal(low),
        price_max=Decimal(low + chance.randrange(100, 500) * 1000),
    )
    if number % 4:
        buyer.proof_of_funds = buyer.price_max
        buyer.proof_of_funds_on = timeline.days_ago(chance.uniform(10, 200)).date()
    save_buyer(buyer, by=manager, at=timeline.days_ago(DAYS + 5))
    return number, place.province


def _plan_deal(deal: int, boxes: list[tuple[int, str]], timeline: Timeline, team: Team) -> None:
    chance = timeline.chance
    place, answering, closing = MARKETS[deal % len(MARKETS)]
    kind = chance.choice(TYPES)
    offered_at = timeline.some_day(DAYS, least=2)
    local = [number for number, province in boxes if province == place.province]
    asked = chance.sample(local, min(len(local), chance.randint(4, 5)))
    asked += chance.sample([number for number, province in boxes if province != place.province], 2)
    sold = False
    for number in asked:
        given = {
            "by": team.program if number % 3 else team.of["casey"],
            "buyer_id": buyer_id(number),
            "deal_id": f"D-{deal:04}",
        }
        answers = chance.random() < answering
        answered_at = offered_at + timedelta(minutes=chance.randrange(10, 2000))
        event = "RESPONDED" if answers else "NO_RESPONSE"
        timeline.at(answered_at, record_feedback, place, kind, event, **given)
        if answers:
            buys = not sold and chance.random() < closing
            sold = sold or buys
            decided_at = answered_at + timedelta(hours=chance.randrange(4, 70))
            event = "BOUGHT" if buys else "PASSED"
            timeline.at(decided_at, record_feedback, place, kind, event, **given)

"""Services of buyers: record feedback, look up liquidity, and keep nodes equal to their events."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import BigIntegerField, CharField, DateTimeField
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from buyers import rules
from buyers.models import Buyer, BuyerActivity, BuyerFeedbackEvent, BuyerLiquidityNode
from buyers.querysets import ActivityQuerySet, NodeQuerySet
from buyers.rules import ACTIVE_FOR, ACTIVE_KINDS, Counts
from governance.core.actors import Actor
from governance.core.compiled import CompiledFilter, CompiledQuery, Param, update_rows
from governance.core.details import read_detail
from governance.core.errors import Invalid, Refused
from governance.core.hooks import Liquidity
from governance.core.places import ANY_PLACE, Place, fold
from governance.core.property_types import PropertyType
from governance.core.verbs import Execution, verb
from governance.kpi.names import BUYER_FEEDBACK
from governance.kpi.services import emit_kpi
from governance.market.names import spelled

log = logging.getLogger(__name__)

KEY = BigIntegerField()
AFTER, UNTIL = Param("after", DateTimeField()), Param("until", DateTimeField())

RECORD = "buyers.record_feedback"
CHANGE_BUYER = "buyers.change_buyer"


@dataclass(frozen=True, slots=True)
class Recorded:
    """A stored feedback; `repeated` if the buyer and deal already had it and nothing was written."""

    event_id: int
    node: BuyerLiquidityNode
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class _Feedback:
    place: Place
    property_type: str
    event: str
    buyer_id: str
    deal_id: str
    detail: dict[str, Any]

    @property
    def counts_once(self) -> bool:
        return self.event in ACTIVE_KINDS and bool(self.buyer_id and self.deal_id)


@verb(Execution.PROD_EXEC, right=RECORD, refusal=gettext_lazy("Your role does not allow recording feedback."))
def record_feedback(
    place: Place,
    property_type: str,
    event: str,
    *,
    buyer_id: str = "",
    deal_id: str = "",
    detail: Mapping[str, object] | None = None,
    by: Actor,
    at: datetime,
) -> Recorded:
    """Record a buyer's feedback on a deal, and return it with its node's new figures.

    RESPONDED and BOUGHT count once per buyer and deal: a repeat returns the first, whatever its place, and
    writes nothing. The first feedback of a market creates its node, the first of a buyer id the buyer's row;
    without a buyer id only the rates change. Raises Forbidden without the permission, Invalid naming each
    invalid field, Unavailable while production actions are off.
    """
    given = _read_feedback(place, property_type, event, buyer_id, deal_id, detail)
    if not given.counts_once:
        return _record(given, by=by, at=at)
    first = _first_of(given)
    if first is not None:
        return first
    try:
        with transaction.atomic():  # so that a concurrent repeat leaves neither node nor buyer behind
            return _record(given, by=by, at=at)
    except IntegrityError:
        first = _first_of(given)
        if first is None:
            raise
        return first


def _read_feedback(
    place: Place, property_type: object, event: object, buyer_id: object, deal_id: object, detail: object
) -> _Feedback:
    wrong: dict[str, list[str]] = {}

    def read(field: str, reader: Callable[[Any], Any], value: object) -> Any:
        try:
            return reader(value)
        except ValidationError as problem:
            wrong[field] = problem.messages
            return None

    found = _Feedback(
        place=place,
        property_type=read("property_type", rules.read_property_type, property_type),
        event=read("event", rules.read_event, event),
        buyer_id=read("buyer_id", rules.read_buyer_id, buyer_id),
        deal_id=read("deal_id", rules.read_deal_id, deal_id),
        detail=read("detail", read_detail, detail),
    )
    if wrong:
        raise Invalid(wrong)
    return found


def _first_of(given: _Feedback) -> Recorded | None:
    first = BuyerFeedbackEvent.objects.first_of(given.buyer_id, given.deal_id, given.event)
    return Recorded(first.pk, first.node, repeated=True) if first is not None else None


def _record(given: _Feedback, *, by: Actor, at: datetime) -> Recorded:
    """Lock the buyer's node, decide how the feedback counts, and write it.

    Always in this order: buyer, node, event, activity. Whoever writes an event holds the lock on its node
    until the commit, which keeps the node equal to its events and rules out deadlocks.
    """
    buyer = _buyer_of(given.buyer_id, at) if given.buyer_id else None
    node = _locked_node(given.place, given.property_type, at)
    own, fallen_out = _activity(node, buyer, at)
    plan = rules.plan_feedback(
        given.event,
        rules.Node(node.counts, node.active_since, node.updated_at),
        at,
        has_buyer=buyer is not None,
        known=rules.Activity(own.last_active_at) if own is not None else None,
        fallen_out=fallen_out,
    )
    event = BuyerFeedbackEvent(
        node=node,
        buyer_id=buyer,
        deal_id=given.deal_id,
        event=given.event,
        detail=given.detail,
        created_at=at,
        **by.written(),
    )
    event.save()
    _write_activity(plan, node, buyer, own)
    _write_node(plan, node)
    emit_kpi(
        *BUYER_FEEDBACK.key,
        by=by,
        at=at,
        success=plan.is_answer,
        detail={
            "feedback": event.pk,
            "event": given.event,
            "province": node.province,
            "market": node.market,
            "property_type": node.property_type,
        },
    )
    return Recorded(event.pk, node)


def _buyer_of(external_id: str, at: datetime) -> int:
    """Return the buyer's row id, creating a bare row for a new id."""
    same = Buyer.objects.filter(external_id=external_id).order_by().values_list("pk", flat=True)
    known = same.first()
    if known is None:
        # no upsert: it would lock a row that new events of locked nodes refer to, and deadlock with them
        Buyer.objects.bulk_create(
            [Buyer(external_id=external_id, created_at=at, updated_at=at)], ignore_conflicts=True
        )
        known = same.get()
    return known


def _locked_node(place: Place, property_type: str, at: datetime) -> BuyerLiquidityNode:
    """Return the market's node, locked until this transaction ends; its first feedback creates it."""
    asked = {"province": place.province, "market_key": place.market_key, "property_type": property_type}
    node: BuyerLiquidityNode | None = next(iter(_node_to_lock(**asked)), None)
    if node is None:
        fresh = BuyerLiquidityNode(
            province=place.province,
            market=spelled(place).market,
            market_key=place.market_key,
            property_type=property_type,
            active_since=at - ACTIVE_FOR,
            updated_at=at,
        )
        BuyerLiquidityNode.objects.bulk_create([fresh], ignore_conflicts=True)
        (node,) = _node_to_lock(**asked)
    return node


@CompiledQuery
def _node_at() -> NodeQuerySet:
    return BuyerLiquidityNode.objects.at(ANY_PLACE, Param("property_type"))


@CompiledQuery
def _node_to_lock() -> NodeQuerySet:
    same = BuyerLiquidityNode.objects.at(ANY_PLACE, Param("property_type"))
    return same.select_for_update(no_key=True)


@CompiledQuery
def _of_or_active_between() -> ActivityQuerySet:
    rows = BuyerActivity.objects.filter(node=Param("node", KEY))
    return rows.of_or_between(Param("buyer", KEY), AFTER, UNTIL)


def _activity(node: BuyerLiquidityNode, buyer: int | None, at: datetime) -> tuple[BuyerActivity | None, int]:
    """Return the buyer's row at a locked node, and how many others fell out since it last counted."""
    since = rules.active_since(node.active_since, at)
    # without a buyer the database compares with NULL, which no row equals
    rows = _of_or_active_between(node=node.pk, buyer=buyer, after=node.active_since, until=since)
    own = next((row for row in rows if row.buyer_id == buyer), None)
    return own, len(rows) - (own is not None)


def _write_activity(
    plan: rules.FeedbackPlan, node: BuyerLiquidityNode, buyer: int | None, own: BuyerActivity | None
) -> None:
    if plan.activity is None or buyer is None:
        return
    last = plan.activity.last_active_at
    if own is None:
        BuyerActivity.objects.create(node=node, buyer_id=buyer, last_active_at=last)
    else:
        BuyerActivity.objects.filter(pk=own.pk).update(last_active_at=last)


def _write_node(plan: rules.FeedbackPlan, node: BuyerLiquidityNode) -> None:
    """Write the figures of a node that is locked."""
    figures = asdict(plan.counts) | asdict(plan.scores)
    figures |= {"active_since": plan.active_since, "updated_at": plan.updated_at}
    for name, value in figures.items():
        setattr(node, name, value)
    update_rows([node], list(figures))


# --- look-ups -----------------------------------------------------------------------------------------------


def liquidity_score(place: Place, property_type: str = PropertyType.SFR) -> BuyerLiquidityNode | None:
    """Return the node of exactly this market and property type, or None without feedback."""
    found: list[BuyerLiquidityNode] = _node_at(
        province=place.province, market_key=place.market_key, property_type=property_type
    )
    return found[0] if found else None


def hottest_nodes(
    *, province: str | None = None, market: str | None = None, property_type: str | None = None, limit: int
) -> list[tuple[Any, ...]]:
    """Return the SHOWN columns of up to `limit` nodes, the highest score first; None does not filter."""
    key = None if market is None else fold(market)
    return _hottest(limit, province=province, market_key=key, property_type=property_type)


_hottest = CompiledFilter(
    lambda: BuyerLiquidityNode.objects.hottest_first().shown(),
    province=CharField(),
    market_key=CharField(),
    property_type=CharField(),
)


def liquidity_at(place: Place, property_type: str) -> Liquidity | None:
    """Answer the hook `liquidity_of`: both scores in points and the number of events; None without a node."""
    node = liquidity_score(place, property_type.strip().upper() or PropertyType.SFR)
    return Liquidity(node.score, node.score_low, node.events) if node is not None else None


# --- keeping nodes equal to their events -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure of a node that differs from its events."""

    node: str
    figure: str
    stored: object
    recounted: object

    def __str__(self) -> str:
        return f"{self.node}: {self.figure} is {self.stored}, its events say {self.recounted}"


@dataclass(frozen=True, slots=True)
class Recount:
    """The result of a recount of all nodes; `fell_out` counts buyers whose 90 days were over."""

    nodes: int
    fell_out: int
    differences: tuple[Difference, ...]


def refresh_activity(*, by: Actor, at: datetime) -> Recount:
    """Stop counting buyers without a response or purchase in the last 90 days; recount every node.

    Each node is a separate transaction, the longest unchecked first, so that an interrupted run continues
    where it ended. Differences are corrected and logged.
    """
    return _recount_all(repair=True, fall_out=True, by=by, at=at)


def rebuild_liquidity(*, repair: bool = False, by: Actor, at: datetime) -> Recount:
    """Compare every node with a recount of its events; with `repair`, correct the node.

    A node is locked while it is recounted: feedback that arrives meanwhile waits and is counted afterwards.
    """
    return _recount_all(repair=repair, fall_out=False, by=by, at=at)


def _recount_all(*, repair: bool, fall_out: bool, by: Actor, at: datetime) -> Recount:
    nodes, fell_out = 0, 0
    differences: list[Difference] = []
    longest_ago_first = BuyerLiquidityNode.objects.order_by("active_since", "pk")
    for node_id in list(longest_ago_first.values_list("pk", flat=True)):
        found, fallen = recount_node(node_id, repair=repair, fall_out=fall_out, by=by, at=at)
        nodes += 1
        fell_out += fallen
        differences += found
    return Recount(nodes, fell_out, tuple(differences))


@verb(Execution.OBSERVE_ONLY)
def recount_node(
    node_id: int, *, repair: bool, fall_out: bool, by: Actor, at: datetime
) -> tuple[list[Difference], int]:
    """Recount one node from its events; return what differs and how many buyers' 90 days were over."""
    node: BuyerLiquidityNode = BuyerLiquidityNode.objects.locked(node_id)
    events = BuyerFeedbackEvent.objects.filter(node=node)
    last_active = events.last_active_by_buyer()

    def figures(since: datetime) -> dict[str, Any]:
        active = sum(rules.is_active(last, since) for last in last_active.values())
        counts = Counts(**kinds, buyer_count=len(last_active), active_buyer_count=active)
        return asdict(counts) | asdict(rules.scores(counts))

    kinds = events.counted()
    true = figures(node.active_since)
    differences = [
        Difference(str(node), name, getattr(node, name), value)
        for name, value in true.items()
        if getattr(node, name) != value
    ]
    differences += _check_activity(node, last_active, repair=repair)
    for difference in differences if repair else ():
        log.warning("liquidity repaired by %s: %s", by.username, difference)
    since = rules.active_since(node.active_since, at) if fall_out else node.active_since
    now = figures(since)
    fell_out: int = true["active_buyer_count"] - now["active_buyer_count"]
    changed = fell_out > 0 or (repair and bool(differences))
    if changed:
        now["updated_at"] = max(node.updated_at, at)
    if changed or since != node.active_since:
        BuyerLiquidityNode.objects.filter(pk=node.pk).update(active_since=since, **now)
    return differences, fell_out


def _check_activity(
    node: BuyerLiquidityNode, last_active: Mapping[int, datetime | None], *, repair: bool
) -> list[Difference]:
    rows = BuyerActivity.objects.filter(node=node)
    stored: dict[int, datetime | None] = dict(rows.values_list("buyer_id", "last_active_at"))
    wrong = [
        buyer
        for buyer in {*stored, *last_active}
        if buyer not in stored or buyer not in last_active or stored[buyer] != last_active[buyer]
    ]
    if not wrong:
        return []
    if repair:
        for begin in range(0, len(wrong), 500):
            part = wrong[begin : begin + 500]
            rows.filter(buyer_id__in=part).delete()
            BuyerActivity.objects.bulk_create(
                BuyerActivity(node=node, buyer_id=buyer, last_active_at=last_active[buyer])
                for buyer in part
                if buyer in last_active
            )
    return [Difference(str(node), "activity rows that are wrong", len(wrong), 0)]


# --- buyers ------------------------------------------------------------------------------------------------


@verb(Execution.OBSERVE_ONLY, right=CHANGE_BUYER, refusal=gettext_lazy("Changing a buyer needs a manager."))
def save_buyer(buyer: Buyer, *, by: Actor, at: datetime) -> Buyer:
    """Create or change a buyer; phone and e-mail are stored normalized.

    Raises Forbidden without the permission, Invalid naming each invalid field, Refused `buyer_erased`.
    """
    if buyer._state.adding:
        buyer.created_at = at
    elif Buyer.objects.select_for_update().get(pk=buyer.pk).erasure_id is not None:
        raise Refused(
            "buyer_erased",
            _("This buyer’s personal information was deleted: nothing more is stored about them."),
        )
    buyer.updated_at = at
    try:
        buyer.full_clean()
    except ValidationError as wrong:
        raise Invalid(wrong.message_dict) from wrong
    buyer.save()
    return buyer

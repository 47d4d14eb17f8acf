"""What PostgreSQL does for the questions that are asked all day, with years of work in its tables.

No statement walks through a large table, and the rows it reads stay in proportion to those that it answers.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
import time_machine
from django.db import connection
from django.db.models import Q
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from pytest_django import DjangoDbBlocker

from bench.volume import OWNERS, analyze, fill
from followups import services
from followups.intake.reader import Sheet, SheetRow
from followups.intake.services import import_leads
from followups.models import FollowUpTask, LookupEvent
from followups.querysets import MARKED, called_area_codes
from followups.services import COUNTED_TO
from followups.services.closers import MOST_BOOKED, closers_for
from followups.services.due import LOOKED_THROUGH
from followups.services.lookup_bursts import bursts_at
from followups.services.reading import held_claims, look_at
from followups.services.task_list import beside, mark
from followups.services.team import COUNTED, day_of, last_done, team_at
from governance.core.actors import Actor
from governance.core.rest.viewsets import CollectionViewSet
from governance.golive.services import state
from governance.kpi.querysets import RATES_OVER
from governance.kpi.services import emit_kpi
from governance.market.services import apply_scheduled
from governance.models import WorkProfile
from governance.risk.models import RiskReservation
from governance.risk.services import release_stale
from governance.tests.factories import AreaCodeListFactory
from offers.models import Offer
from offers.services.figures import by_market
from valhalla.pages.board import board_at
from valhalla.testing import make_by, make_client, make_person, put_back
from valhalla.tests.plans import Plan, plans_of, rows_by_table

NOW = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)  # a Tuesday, 10:00 in Toronto
NIGHT = datetime(2026, 11, 24, 11, 30, tzinfo=UTC)  # 03:30 in Vancouver, 08:00 in St. John's
PART, WHOLE = 100_000, 1_000_000
LARGE = 20_000  # rows; smaller tables PostgreSQL may rather read from end to end
EACH = 8  # rows read of a table for each row answered: a ladder has six steps
AT_LEAST = 60

pytestmark = [pytest.mark.postgres, pytest.mark.django_db, pytest.mark.xdist_group("plans")]
NEWEST = [(PART, "newest"), pytest.param((WHOLE, "newest"), marks=pytest.mark.long)]
OLDEST = [(PART, "oldest"), pytest.param((WHOLE, "oldest"), marks=pytest.mark.long)]


@pytest.fixture(scope="module")
def years_of_work(
    request: pytest.FixtureRequest, django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[None]:
    tasks, backlog = request.param
    with django_db_blocker.unblock():
        fill(tasks, NOW, backlog=backlog)
        analyze()
    yield
    with django_db_blocker.unblock():
        put_back()


@pytest.fixture(autouse=True)
def _at_ten_in_toronto(years_of_work: None, db: None) -> Iterator[None]:
    for number in range(OWNERS):
        make_by("VA", f"va{number}")
    with time_machine.travel(NOW, tick=False):
        yield


@dataclass(frozen=True)
class Ask:
    """A question with its bounds: rows read for each row answered, and besides.

    `whole` names tables that it may read from end to end, where that is the quicker way.
    """

    work: Callable[[], object]
    each: int = EACH
    besides: int | Callable[[], int] = AT_LEAST
    whole: frozenset[str] = frozenset()


def get(path: str, role: str = "MANAGER", name: str = "") -> Any:
    answer = make_client(role, name).get(f"/api{path}")
    assert answer.status_code == 200, answer.json()
    return answer.json()


def post(path: str, body: dict[str, Any], role: str = "MANAGER", name: str = "") -> Any:
    answer = make_client(role, name).post(f"/api{path}", body, format="json")
    assert answer.status_code in (200, 201), answer.json()
    return answer.json()


def current() -> FollowUpTask:
    """Return a task that can be worked on."""
    free = FollowUpTask.objects.due(NOW).unclaimed(NOW).filter(province="ON")
    found: FollowUpTask = free.order_by("-due_at").select_related("lead")[0]
    return found


def on_task(verb: str, role: str = "MANAGER", **body: object) -> Callable[[], object]:
    return lambda: post(f"/followups/task/{current().pk}/{verb}", body, role)


def done_today() -> int:
    return FollowUpTask.objects.filter(status="COMPLETED", completed_at__gt=NOW - timedelta(days=1)).count()


def open_tasks() -> int:
    return FollowUpTask.objects.filter(status="OPEN").count()


def realign(province: str) -> None:
    services.request_realigning(province, Actor.system("tests"), NOW)
    services.realign_due(NOW, seconds=0.01)


def realign_with_a_stale_list(province: str) -> None:
    AreaCodeListFactory.create(area_code="999", list_date=NOW.date() - timedelta(days=40))
    realign(province)


def free_times() -> None:
    """Ask for the free times of closers who are not on shift."""
    for number in range(5):
        user = make_person("CLOSER", f"closer{number}")
        shifts = [{"days": [0, 1, 2, 3, 4], "start": "12:00", "end": "17:00"}]
        WorkProfile.objects.update_or_create(user=user, defaults={"shifts": shifts})
    look = look_at(current().pk, by=make_by(*MANAGER), at=NOW)
    answer = closers_for(look.task.lead, by=make_by(*VA), at=NOW, desk=lambda: look.desk)
    assert not answer.on_shift
    assert answer.times


VA, MANAGER = ("VA", "va1"), ("MANAGER", "")
# thousands of people are found quicker in the whole list of opt-outs than one by one
OPT_OUTS = frozenset({"governance_suppression", "governance_consent"})
QUEUE: dict[str, Ask] = {
    "due": Ask(lambda: get("/followups/due")),
    "due of a VA": Ask(lambda: get("/followups/due", *VA)),
    "due of a VA without tasks of her own": Ask(lambda: get("/followups/due", "VA", "newcomer")),
    "due in a province": Ask(lambda: get("/followups/due?province=ON", *VA)),
    "due by a channel that nothing is due by": Ask(lambda: get("/followups/due?channel=CALL")),
    "due of an owner": Ask(lambda: get("/followups/due?owner=va1")),
    "due of an owner without tasks": Ask(lambda: get("/followups/due?owner=nobody")),
    "500 due": Ask(lambda: get("/followups/due?limit=500"), whole=OPT_OUTS),
    # these look through the oldest 2,000
    "due and contactable": Ask(
        lambda: get("/followups/due?contactable=true"), besides=LOOKED_THROUGH * 2, whole=OPT_OUTS
    ),
    "due by urgency": Ask(
        lambda: get("/followups/due?order=urgent", *VA), besides=LOOKED_THROUGH * 2, whole=OPT_OUTS
    ),
    "list beside, of a manager": Ask(
        lambda: beside(by=make_by(*MANAGER), at=NOW, size=50), besides=LOOKED_THROUGH * 2, whole=OPT_OUTS
    ),
    "list beside, of a VA": Ask(
        lambda: beside(by=make_by(*VA), at=NOW, size=50), besides=LOOKED_THROUGH * 4, whole=OPT_OUTS
    ),
    "list beside at night, of a VA": Ask(
        lambda: beside(by=make_by(*VA), at=NIGHT, size=50), besides=LOOKED_THROUGH * 4, whole=OPT_OUTS
    ),
    "list beside at night, of a channel": Ask(
        lambda: beside(by=make_by(*VA), at=NIGHT, size=50, filters={"channel": "CALL"}),
        besides=LOOKED_THROUGH * 4,
        whole=OPT_OUTS,
    ),
    "closers' free times": Ask(lambda: free_times(), besides=MOST_BOOKED * 3),
    "handoffs that nobody opened": Ask(lambda: services.report_unopened_handovers(NOW)),
    "area codes of open calls": Ask(lambda: called_area_codes(["416"])),
    "realigning a province while a do-not-call list is too old": Ask(
        lambda: realign_with_a_stale_list("ON"), besides=open_tasks
    ),
    "a person's last tasks": Ask(lambda: last_done(make_by(*VA))),
    "news of a VA": Ask(lambda: mark(by=make_by(*VA), at=NOW, task_id=1_000_001), besides=MARKED * 4),
    "news in a province": Ask(
        lambda: mark(by=make_by(*VA), at=NOW, filters={"province": "ON"}), besides=MARKED * 4
    ),
    "next": Ask(lambda: services.next_task(by=make_by(*VA), at=NOW), besides=1000),
    "next of a manager": Ask(lambda: services.next_task(by=make_by(*MANAGER), at=NOW), besides=1000),
    "next of a newcomer": Ask(lambda: services.next_task(by=make_by("VA", "newcomer"), at=NOW), besides=1000),
    "team": Ask(lambda: team_at(NOW), besides=COUNTED + 1000),
    "day": Ask(lambda: day_of(make_by(*VA), NOW), besides=done_today),
    "claiming": Ask(lambda: post("/followups/due/claim", {}, *VA)),
    "claims that a VA holds": Ask(lambda: held_claims(make_by(*VA), NOW), besides=1000),
    "claims past their end": Ask(lambda: services.free_expired_claims(NOW)),
    "sla": Ask(lambda: get("/followups/sla")),
    "sla by owner": Ask(lambda: get("/followups/sla?group_by=owner")),
    "sla of a day": Ask(lambda: get("/followups/sla?since=2026-11-01T00:00:00Z&until=2026-11-02T00:00:00Z")),
    "sla kept": Ask(lambda: services.snapshot_sla(NOW)),
    "reassigning what an owner has": Ask(
        lambda: post("/followups/reassign", {"of_owner": "va1", "owner": "va2", "reason": "ill"}),
        besides=10_000,
    ),
    # these count or look through what is open; nothing that is done is read
    "escalation": Ask(lambda: services.escalate_overdue(NOW), besides=open_tasks),
    "held tasks": Ask(lambda: services.bring_back_held(NOW), besides=open_tasks),
    "realigning a province": Ask(lambda: realign("ON"), besides=open_tasks),
    "realigning everywhere": Ask(lambda: realign(""), besides=open_tasks),
}

RISK = "/governance/risk"
SHEET = Sheet(
    ["Lead ID", "Phone", "Province", "City", "Lead Score"],
    [
        SheetRow(number + 2, [f"I-{number}", f"416 777 {number:04}", "ON", "Ottawa", "0.8"])
        for number in range(60)
    ],
)
NEW_LEAD = {"lead_id": "new", "province": "ON", "phone": "416 555 0199"}
AGREED = {
    "channel": "SMS",
    "wording": "yes",
    "obtained_at": "2026-11-24T14:00:00Z",
    "source": "form",
}
BOUGHT = {"province": "ON", "market": "MARKET 3", "event": "BOUGHT", "buyer_id": "B-7", "deal_id": "d1"}
OTHERS: dict[str, Ask] = {
    "policies": Ask(lambda: get("/governance/market/policies")),
    "effective policy": Ask(lambda: get("/governance/market/effective?province=ON&market=TORONTO")),
    "contact as given": Ask(lambda: can_contact("province=ON&channel=SMS&weekday=1&hhmm=10:30")),
    "contact of a lead": Ask(lambda: can_contact("lead_id=V-7&channel=SMS")),
    "contact of a phone": Ask(lambda: can_contact("province=ON&phone=416-555-0199&channel=CALL")),
    "liquidity nodes": Ask(lambda: get("/buyers/liquidity/nodes")),
    "liquidity score": Ask(lambda: get("/buyers/liquidity/score?province=ON&market=MARKET 3")),
    "offer policies": Ask(lambda: get("/deals/offers/policies")),
    "looking a lead up": Ask(lambda: get("/followups/lookup?lead_id=V-7", *VA)),
    "looking a phone up": Ask(lambda: get("/followups/lookup?phone=416-555-0199", *VA)),
    "task page": Ask(lambda: look_at(current().pk, by=make_by(*VA), at=NOW)),
    "changing a market policy": Ask(
        lambda: post("/governance/market/policies/upsert", {"province": "ON", "enabled": False})
    ),
    "scheduling a change of a market policy": Ask(
        lambda: post(
            "/governance/market/policies/upsert",
            {"province": "ON", "enabled": False, "effective_from": "2027-01-04T05:00:00Z"},
        )
    ),
    "applying scheduled changes": Ask(lambda: apply_scheduled(NOW)),
    "changing an offer policy": Ask(
        lambda: post("/deals/offers/policies/upsert", {"province": "ON", "enabled": True})
    ),
    "importing leads": Ask(
        lambda: import_leads(SHEET, by=Actor.system("import_leads"), at=NOW, ladders=True)
    ),
    "beginning a ladder": Ask(lambda: post("/followups/ladder/create", NEW_LEAD, *VA)),
    "sending a new lead": Ask(
        lambda: post("/followups/leads", {**NEW_LEAD, "ladder": True, "consents": [AGREED]})
    ),
    "sending a lead without an id": Ask(
        lambda: post("/followups/leads", {"province": "ON", "phone": "416 000 0007"})
    ),
    "sending a known lead again": Ask(lambda: post("/followups/leads", {"lead_id": "V-7", "score": 0.9})),
    "settling a lead": Ask(lambda: post(f"/followups/leads/{current().lead_id}/won", {})),
    "stopping a ladder": Ask(
        lambda: post(f"/followups/ladder/{current().ladder_id}/stop", {"reason": "sold"})
    ),
    "starting": Ask(on_task("start")),
    "completing": Ask(on_task("complete", "SERVICE")),
    "completing, reached": Ask(on_task("complete", outcome="REACHED")),
    "completing, opted out": Ask(on_task("complete", outcome="OPTED_OUT")),
    "completing, wrong number": Ask(on_task("complete", outcome="WRONG_NUMBER")),
    "skipping": Ask(on_task("skip", reason="sold")),
    "snoozing": Ask(on_task("snooze", until="2026-11-25T15:00:00Z")),
    "reassigning": Ask(on_task("reassign", owner="va2", reason="ill")),
    "inbound call": Ask(
        lambda: post(f"/followups/lead/{current().lead.external_id}/inbound", {"channel": "CALL"}, *VA)
    ),
    "feedback": Ask(lambda: post("/buyers/liquidity/feedback", BOUGHT, *VA)),
    "computing an offer": Ask(lambda: compute()),
    "reserving risk": Ask(lambda: post(f"{RISK}/check-and-reserve", {"engine": "WHOLESALE", "amount": 5})),
    "a reservation that is denied": Ask(
        lambda: post(f"{RISK}/check-and-reserve", {"engine": "WHOLESALE", "amount": 50_000})
    ),
    "settling a reservation": Ask(
        lambda: post(f"{RISK}/settle", {"reservation_id": pending_risk(), "realized_loss": 1})
    ),
    "releasing a reservation": Ask(lambda: post(f"{RISK}/release", {"reservation_id": pending_risk()})),
    "releasing stale reservations": Ask(lambda: release_stale(by=Actor.system("tests"), at=NOW)),
    "risk use": Ask(lambda: get(f"{RISK}/snapshot")),
    "risk ledger of today": Ask(lambda: get(f"{RISK}/ledger/today")),
    "risk policies": Ask(lambda: get(f"{RISK}/policies")),
    "changing a risk policy": Ask(
        lambda: post(f"{RISK}/policies/upsert", {"engine": "WHOLESALE", "enabled": False})
    ),
    "look-up bursts": Ask(lambda: bursts_at(NOW)),
    # where those of 30 days are many, their states are found quicker in the whole small table of offers
    "offers by market": Ask(
        lambda: by_market(NOW - RATES_OVER),
        besides=lambda: Offer.objects.filter(evidence__created_at__gte=NOW - RATES_OVER).count(),
        whole=frozenset({"offers_offer"}),
    ),
    "operations board": Ask(lambda: board_at(NOW, state()), besides=COUNTED_TO * 2),
}


def pending_risk() -> int:
    """Return a reservation that is still to be ended."""
    return int(RiskReservation.objects.pending().earliest("created_at").pk)


def can_contact(asked: str) -> object:
    return get(f"/governance/market/can-contact?{asked}", *VA)


def compute() -> None:
    post("/deals/offers/policies/upsert", {"province": "ON", "enabled": True})
    post(
        "/deals/offers/compute",
        {"province": "ON", "lead_id": "V-7", "arv": 450_000, "repairs": 50_000, "reserve": True},
    )


# --- collections: each of them, in every order, at its beginning and deep inside ----------------------------


def collections(patterns: Any = None, prefix: str = "") -> Iterator[tuple[str, type[CollectionViewSet]]]:
    """Find the path and viewset of every collection."""
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from collections(pattern.url_patterns, path)
        elif isinstance(pattern, URLPattern):
            view = getattr(pattern.callback, "cls", None)
            listed = "list" in getattr(pattern.callback, "actions", {}).values()
            if listed and isinstance(view, type) and issubclass(view, CollectionViewSet):
                yield path.removeprefix("api"), view


def cursor(field: str) -> str:
    """Return a cursor that stands in the middle of what was filled in."""
    middle = "1050000" if field == "id" else "2026-06-27 15:00:00+00:00"
    return base64.b64encode(urlencode({"p": middle}).encode()).decode()


def pages() -> Iterator[str]:
    for path, view in collections():
        yield path
        for name in view.ordering_fields:
            yield from (f"{path}?ordering={name}", f"{path}?ordering=-{name}")
        first = view.ordering[0].lstrip("-")
        yield f"{path}?cursor={cursor(first)}"
        filters = getattr(view.filterset_class, "base_filters", {})
        yield from (f"{path}?{name}=V-7" for name in ("lead_id", "correlation_id") if name in filters)


def reads(path: str, *who: str, each: int = EACH) -> Ask:
    return Ask(lambda: get(path, *who), each=each)


KPI = "/governance/kpi/events?domain=WHOLESALE&metric=followup_sla"
COLLECTIONS: dict[str, Ask] = {path: reads(path) for path in pages()} | {
    # a VA sees her own and unowned: of each lead there she may see, its tasks are looked at
    "leads of a VA": reads("/followups/leads", *VA, each=20),
    "tasks of a VA": reads("/followups/tasks", *VA),
    "denied reservations": reads(f"{RISK}/events?kind=DENIED"),
    "one series of KPI events": reads(KPI),
    "a week of one series": reads(f"{KPI}&since=2026-06-01T00:00:00Z&until=2026-06-08T00:00:00Z"),
}


def large_tables() -> set[str]:
    return {table for table, rows in rows_by_table().items() if rows > LARGE}


def walks(plans: list[Plan], tables: set[str]) -> list[str]:
    """Return the statements that walk through one of the tables."""
    return [str(plan) for plan in plans if plan.walked & tables]


def greedy(plans: list[Plan], tables: set[str], each: int = EACH, besides: int = AT_LEAST) -> list[str]:
    """Return the statements that read more of one of the tables than they have need of."""
    return [
        str(plan)
        for plan in plans
        if any(plan.read[table] > each * plan.answered + besides for table in tables)
    ]


def judge(ask: Ask) -> list[Plan]:
    plans = plans_of(ask.work)
    assert plans
    tables = large_tables() - ask.whole
    assert walks(plans, tables) == []
    besides = ask.besides() if callable(ask.besides) else ask.besides
    assert greedy(plans, tables, ask.each, besides) == []
    return plans


@pytest.mark.parametrize("years_of_work", NEWEST, indirect=True)
@pytest.mark.parametrize("name", [*QUEUE, *OTHERS, *COLLECTIONS])
def test_no_question_walks_through_a_table_or_reads_more_than_it_answers(name: str) -> None:
    judge({**QUEUE, **OTHERS, **COLLECTIONS}[name])


@pytest.mark.parametrize("years_of_work", OLDEST, indirect=True)
@pytest.mark.parametrize("name", QUEUE)
def test_nor_does_one_of_the_queue_where_the_oldest_work_is_what_remains(name: str) -> None:
    judge(QUEUE[name])


@pytest.mark.parametrize("years_of_work", [NEWEST[0]], indirect=True)
def test_the_sla_is_answered_by_its_two_indexes_alone() -> None:
    plans = [plan for plan in judge(QUEUE["sla"]) if plan.read.keys() == {"followups_followuptask"}]
    assert [(plan.indexes, plan.only_indexes) for plan in plans] == [
        ({"task_sla_done"}, True),
        ({"task_sla_open"}, True),
    ]


@pytest.mark.parametrize("years_of_work", [NEWEST[0]], indirect=True)
def test_the_look_ups_of_people_with_a_burst_are_found_by_index() -> None:
    looked = [(f"va{number % OWNERS}", NOW - timedelta(minutes=number)) for number in range(LARGE + 5000)]
    LookupEvent.objects.bulk_create(
        LookupEvent(kind="PHONE", digest="0", found=0, at=at, actor=name) for name, at in looked
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE followups_lookupevent")
    emit_kpi("FOLLOWUPS", "lookup_burst", by=make_by(*VA), at=NOW, success=False, detail={"count": 31})
    client = Client()
    client.force_login(make_person("MANAGER"))

    def look() -> None:
        answer = client.get("/admin/followups/lookupevent/?bursts=yes")
        assert [burst.name for burst in answer.context["bursts"]] == ["va1"]

    assert "followups_lookupevent" in large_tables()
    judge(Ask(look))


@pytest.mark.parametrize("years_of_work", [NEWEST[0]], indirect=True)
def test_what_must_not_be_written_is_noticed() -> None:
    task = current()
    same_ladder = FollowUpTask.objects.filter(pk=task.pk).values("ladder_id")
    either = FollowUpTask.objects.filter(Q(pk=task.pk) | Q(ladder_id__in=same_ladder))
    plans = plans_of(lambda: list(either))
    tables = large_tables()
    assert "followups_followuptask" in tables
    assert len(walks(plans, tables)) == len(greedy(plans, tables)) == 1
    counting = plans_of(lambda: FollowUpTask.objects.due(NOW).count())
    assert (walks(counting, tables), len(greedy(counting, tables))) == ([], 1)
